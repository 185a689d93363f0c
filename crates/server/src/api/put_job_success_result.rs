//! PutJobSuccessResult. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutJobSuccessResult.html

use towpath_model::time::Timestamp;
use towpath_orchestrator::{Door, JobProgress, JobRevision, JobSuccess};
use towpath_wire::WireError;
use towpath_wire::codepipeline::{CurrentRevision, Operation as Name, PutJobSuccessResultInput};

use super::{Call, Operation, Resource, errors};

pub struct PutJobSuccessResult;

impl Operation for PutJobSuccessResult {
    type Input = PutJobSuccessResultInput;
    type Output = ();
    const NAME: Name = Name::PutJobSuccessResult;
    const EMPTY: bool = true;

    fn resource(input: &Self::Input) -> Resource {
        let _: &PutJobSuccessResultInput = input;
        Resource::Any
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let id = input.job_id.clone();
        call.orchestrator.put_job_success(call.scope(), &id, Door::Custom, success(input)).await.map_err(errors::wire)
    }
}

pub fn success(input: PutJobSuccessResultInput) -> JobSuccess {
    let told = input.execution_details.unwrap_or_default();
    JobSuccess {
        revision: input.current_revision.map(revision),
        continuation_token: input.continuation_token,
        progress: JobProgress {
            summary: told.summary,
            external_id: told.external_execution_id,
            percent: told.percent_complete.and_then(|n| u8::try_from(n).ok()),
        },
        variables: input.output_variables.unwrap_or_default(),
    }
}

fn revision(told: CurrentRevision) -> JobRevision {
    JobRevision {
        id: told.revision,
        change_id: told.change_identifier,
        created: told.created.map(|at| Timestamp::from_millis(at.as_millis())),
        summary: told.revision_summary,
    }
}
