//! PutApprovalResult. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutApprovalResult.html

use towpath_model::event::Event;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, PutApprovalResultInput, PutApprovalResultOutput};

use super::{Call, Operation, Resource, convert, errors};

pub struct PutApprovalResult;

impl Operation for PutApprovalResult {
    type Input = PutApprovalResultInput;
    type Output = PutApprovalResultOutput;
    const NAME: Name = Name::PutApprovalResult;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Action(input.pipeline_name.clone(), input.stage_name.clone(), input.action_name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let answer = Event::ApprovalAnswered {
            stage: input.stage_name.into(),
            action: input.action_name.into(),
            token: input.token,
            approved: input.result.status == "Approved",
            summary: input.result.summary,
            answered_by: call.caller(),
        };
        let approved_at = call
            .orchestrator
            .put_approval_result(call.scope(), &input.pipeline_name, answer)
            .await
            .map_err(errors::wire)?;
        Ok(PutApprovalResultOutput { approved_at: Some(convert::time(approved_at)) })
    }
}
