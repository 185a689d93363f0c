//! AcknowledgeThirdPartyJob.
//! Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_AcknowledgeThirdPartyJob.html

use towpath_orchestrator::Door;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{AcknowledgeThirdPartyJobInput, AcknowledgeThirdPartyJobOutput, Operation as Name};

use super::{Call, Operation, Resource, errors};

pub struct AcknowledgeThirdPartyJob;

impl Operation for AcknowledgeThirdPartyJob {
    type Input = AcknowledgeThirdPartyJobInput;
    type Output = AcknowledgeThirdPartyJobOutput;
    const NAME: Name = Name::AcknowledgeThirdPartyJob;

    fn resource(input: &Self::Input) -> Resource {
        let _: &AcknowledgeThirdPartyJobInput = input;
        Resource::Any
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let door = Door::Partner { token: &input.client_token };
        let acknowledged = call.orchestrator.acknowledge_job(call.scope(), &input.job_id, door, &input.nonce).await;
        let status = acknowledged.map_err(errors::wire)?;
        Ok(AcknowledgeThirdPartyJobOutput { status: Some(status.as_str().to_owned()) })
    }
}
