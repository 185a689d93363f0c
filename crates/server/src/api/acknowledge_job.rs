//! AcknowledgeJob. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_AcknowledgeJob.html

use towpath_orchestrator::Door;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{AcknowledgeJobInput, AcknowledgeJobOutput, Operation as Name};

use super::{Call, Operation, Resource, errors};

pub struct AcknowledgeJob;

impl Operation for AcknowledgeJob {
    type Input = AcknowledgeJobInput;
    type Output = AcknowledgeJobOutput;
    const NAME: Name = Name::AcknowledgeJob;

    fn resource(input: &Self::Input) -> Resource {
        let _: &AcknowledgeJobInput = input;
        Resource::Any
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let acknowledged =
            call.orchestrator.acknowledge_job(call.scope(), &input.job_id, Door::Custom, &input.nonce).await;
        let status = acknowledged.map_err(errors::wire)?;
        Ok(AcknowledgeJobOutput { status: Some(status.as_str().to_owned()) })
    }
}
