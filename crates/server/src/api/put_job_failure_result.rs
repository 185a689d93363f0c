//! PutJobFailureResult. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutJobFailureResult.html

use towpath_orchestrator::{Door, JobFailure};
use towpath_wire::WireError;
use towpath_wire::codepipeline::{FailureDetails, Operation as Name, PutJobFailureResultInput};

use super::{Call, Operation, Resource, errors};

pub struct PutJobFailureResult;

impl Operation for PutJobFailureResult {
    type Input = PutJobFailureResultInput;
    type Output = ();
    const NAME: Name = Name::PutJobFailureResult;
    const EMPTY: bool = true;

    fn resource(input: &Self::Input) -> Resource {
        let _: &PutJobFailureResultInput = input;
        Resource::Any
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let failure = failure(input.failure_details);
        call.orchestrator
            .put_job_failure(call.scope(), &input.job_id, Door::Custom, failure)
            .await
            .map_err(errors::wire)
    }
}

pub fn failure(told: FailureDetails) -> JobFailure {
    JobFailure { kind: told.r#type, message: told.message, external_id: told.external_execution_id }
}
