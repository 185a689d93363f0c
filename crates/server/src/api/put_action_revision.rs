//! PutActionRevision. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutActionRevision.html

use towpath_model::event::ReportedRevision;
use towpath_model::time::Timestamp;
use towpath_orchestrator::NewRevision;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, PutActionRevisionInput, PutActionRevisionOutput};

use super::{Call, Operation, Resource, errors};

pub struct PutActionRevision;

impl Operation for PutActionRevision {
    type Input = PutActionRevisionInput;
    type Output = PutActionRevisionOutput;
    const NAME: Name = Name::PutActionRevision;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Action(input.pipeline_name.clone(), input.stage_name.clone(), input.action_name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let revision = input.action_revision;
        let new = NewRevision {
            stage: input.stage_name,
            action: input.action_name,
            revision: ReportedRevision {
                id: revision.revision_id,
                change_id: revision.revision_change_id,
                created: Timestamp::from_millis(revision.created.as_millis()),
            },
            reported_by: call.caller(),
        };
        let (is_new, execution) =
            call.orchestrator.put_revision(call.scope(), &input.pipeline_name, new).await.map_err(errors::wire)?;
        Ok(PutActionRevisionOutput { new_revision: Some(is_new), pipeline_execution_id: Some(execution.into_string()) })
    }
}
