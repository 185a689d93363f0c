//! GetPipelineState. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_GetPipelineState.html

use towpath_model::action::Revision;
use towpath_model::catalogue::ActionTypes;
use towpath_model::declaration::{ActionDeclaration, ConditionType, StageDeclaration};
use towpath_model::ids::ExecutionId;
use towpath_model::state::{ActionAttempt, ActionStatus, Execution, ExecutionKind, StageRun, Transition};
use towpath_orchestrator::PipelineState;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    ActionExecution, ActionRevision, ActionState, GetPipelineStateInput, GetPipelineStateOutput, Operation as Name,
    RetryStageMetadata, StageExecution, StageState, TransitionState,
};

use super::{Call, Operation, Resource, conditions, convert, errors};

pub struct GetPipelineState;

impl Operation for GetPipelineState {
    type Input = GetPipelineStateInput;
    type Output = GetPipelineStateOutput;
    const NAME: Name = Name::GetPipelineState;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let state = call.orchestrator.pipeline_state(call.scope(), &input.name).await.map_err(errors::wire)?;
        let types = call.orchestrator.types_for(call.scope(), [&*state.declaration]).await.map_err(errors::wire)?;
        Ok(GetPipelineStateOutput {
            pipeline_name: Some(input.name),
            pipeline_version: Some(convert::int(state.gate.definition_version)),
            created: Some(convert::time(state.gate.created)),
            updated: Some(convert::time(state.gate.updated)),
            stage_states: Some(
                state.declaration.stages.iter().map(|stage| stage_state(stage, &state, &types)).collect(),
            ),
        })
    }
}

fn stage_state(stage: &StageDeclaration, state: &PipelineState, types: &dyn ActionTypes) -> StageState {
    let find = |id: &ExecutionId| state.executions.iter().find(|e| e.id == *id);
    let gate = state.gate.stage(&stage.name);
    let latest = gate.and_then(|g| g.latest.as_ref()).and_then(find);
    let run = latest.and_then(|e| e.stage_run(&stage.name));
    let waiting: Vec<StageExecution> = gate
        .map(|g| g.waiting.as_slice())
        .unwrap_or_default()
        .iter()
        .filter_map(find)
        .map(|e| stage_execution(e, e.status.as_str()))
        .collect();
    StageState {
        stage_name: Some(stage.name.to_string()),
        inbound_execution: waiting.last().cloned(),
        inbound_executions: Some(waiting),
        inbound_transition_state: Some(transition(gate.map(|g| &g.inbound))),
        action_states: Some(
            stage
                .actions
                .iter()
                .map(|action| action_state(action, run, latest, types, &state.gate.scope.region))
                .collect(),
        ),
        latest_execution: latest.zip(run).map(|(e, run)| stage_execution(e, run.status.as_str())),
        retry_stage_metadata: run.and_then(retries),
        before_entry_condition_state: conditions::state(stage, run, ConditionType::BeforeEntry),
        on_success_condition_state: conditions::state(stage, run, ConditionType::OnSuccess),
        on_failure_condition_state: conditions::state(stage, run, ConditionType::OnFailure),
    }
}

fn stage_execution(execution: &Execution, status: &str) -> StageExecution {
    StageExecution {
        pipeline_execution_id: execution.id.to_string(),
        status: status.to_owned(),
        r#type: match execution.kind {
            ExecutionKind::Standard => None,
            ExecutionKind::Rollback { .. } => Some("ROLLBACK".to_owned()),
        },
    }
}

fn transition(transition: Option<&Transition>) -> TransitionState {
    let untouched = Transition::default();
    let transition = transition.unwrap_or(&untouched);
    TransitionState {
        enabled: Some(transition.enabled),
        last_changed_at: transition.last_changed_at.map(convert::time),
        last_changed_by: transition.last_changed_by.clone(),
        disabled_reason: transition.disabled_reason.clone(),
    }
}

fn retries(run: &StageRun) -> Option<RetryStageMetadata> {
    let count = |n: u32| (n > 0).then(|| convert::int(n));
    run.latest_retry_trigger.as_ref().map(|trigger| RetryStageMetadata {
        auto_stage_retry_attempt: count(run.automatic_retries),
        manual_stage_retry_attempt: count(run.manual_retries),
        latest_retry_trigger: Some(trigger.clone()),
    })
}

fn action_state(
    action: &ActionDeclaration,
    run: Option<&StageRun>,
    latest: Option<&Execution>,
    types: &dyn ActionTypes,
    region: &str,
) -> ActionState {
    let attempt = run.and_then(|r| r.actions.iter().find(|a| a.name == action.name)).and_then(|a| a.latest.as_ref());
    let revision = attempt
        .filter(|a| a.status == ActionStatus::Succeeded)
        .and(latest)
        .filter(|e| matches!(e.kind, ExecutionKind::Standard))
        .and_then(|e| e.revisions.iter().find(|r| r.action == action.name));
    let entry = types.described(&action.action_type_id);
    ActionState {
        action_name: Some(action.name.to_string()),
        latest_execution: attempt.map(action_execution),
        current_revision: revision.zip(attempt).map(|(revision, attempt)| current_revision(revision, attempt)),
        entity_url: entry.and_then(|e| e.entity_url_template.as_ref()).map(|url| filled(url, action, region)),
        revision_url: revision.and_then(|r| r.url.clone()),
    }
}

/// A console link with the action's own configuration values put in.
fn filled(template: &str, action: &ActionDeclaration, region: &str) -> String {
    // The templates name no Region; AWS puts the action's in.
    let template = template.replace("?#", &format!("?region={}#", action.region.as_deref().unwrap_or(region)));
    action
        .configuration
        .iter()
        .flatten()
        .fold(template, |url, (key, value)| url.replace(&format!("{{Config:{key}}}"), value))
}

/// The model requires all three members, though recordings of S3 sources show the id alone (docs/deviations.md).
fn current_revision(revision: &Revision, attempt: &ActionAttempt) -> ActionRevision {
    ActionRevision {
        revision_id: revision.id.clone(),
        revision_change_id: revision.change_id.clone().unwrap_or_else(|| revision.id.clone()),
        created: convert::time(revision.created.unwrap_or(attempt.last_change)),
    }
}

/// An open approval shows its id, status and token only (observed).
fn action_execution(attempt: &ActionAttempt) -> ActionExecution {
    let open_approval = attempt.token.is_some() && attempt.status == ActionStatus::InProgress;
    let shown = ActionExecution {
        action_execution_id: Some(attempt.id.to_string()),
        status: Some(attempt.status.as_str().to_owned()),
        ..ActionExecution::default()
    };
    if open_approval {
        return ActionExecution { token: attempt.token.clone(), ..shown };
    }
    ActionExecution {
        summary: attempt.progress.summary.clone(),
        last_status_change: Some(convert::time(attempt.last_change)),
        last_updated_by: attempt.updated_by.clone(),
        external_execution_id: attempt.progress.external_id.clone(),
        external_execution_url: attempt.progress.external_url.clone(),
        percent_complete: attempt.progress.percent.map(i32::from),
        error_details: attempt.error.as_ref().map(convert::error_details),
        log_stream_arn: attempt.progress.log_stream_arn.clone(),
        ..shown
    }
}
