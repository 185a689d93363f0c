//! PutThirdPartyJobFailureResult.
//! Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutThirdPartyJobFailureResult.html

use towpath_orchestrator::Door;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, PutThirdPartyJobFailureResultInput};

use super::{Call, Operation, Resource, errors, put_job_failure_result};

pub struct PutThirdPartyJobFailureResult;

impl Operation for PutThirdPartyJobFailureResult {
    type Input = PutThirdPartyJobFailureResultInput;
    type Output = ();
    const NAME: Name = Name::PutThirdPartyJobFailureResult;
    const EMPTY: bool = true;

    fn resource(input: &Self::Input) -> Resource {
        let _: &PutThirdPartyJobFailureResultInput = input;
        Resource::Any
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let failure = put_job_failure_result::failure(input.failure_details);
        let door = Door::Partner { token: &input.client_token };
        call.orchestrator.put_job_failure(call.scope(), &input.job_id, door, failure).await.map_err(errors::wire)
    }
}
