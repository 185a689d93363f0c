//! StartPipelineExecution, CreatePipeline's first run, triggers: a new execution comes to the first door.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::action::{Revision, SourceRevisionOverride};
use towpath_model::catalogue::Category;
use towpath_model::declaration::{ExecutionMode, PipelineDeclaration, PipelineType};
use towpath_model::event::Rejection;
use towpath_model::history::{EventState, HistoryEvent};
use towpath_model::ids::ExecutionId;
use towpath_model::limits;
use towpath_model::state::{Execution, ExecutionKind, ExecutionStatus, Gate, Position, Trigger};

use crate::stage::door;
use crate::step::Reply;
use crate::turn::{Result, Turn};

pub(crate) fn start(
    turn: &mut Turn,
    trigger: &Trigger,
    variables: &[(String, String)],
    source_overrides: &[SourceRevisionOverride],
) -> Result<Reply> {
    start_with(turn, trigger, variables, source_overrides, Vec::new())
}

/// `revisions` are those that are known before any source action has run.
pub(crate) fn start_with(
    turn: &mut Turn,
    trigger: &Trigger,
    variables: &[(String, String)],
    source_overrides: &[SourceRevisionOverride],
    revisions: Vec<Revision>,
) -> Result<Reply> {
    let definition = turn.current_definition()?;
    check_request(&definition, variables, source_overrides)?;
    let mode = definition.mode();
    check_cap(&turn.gate, mode)?;

    let id = ExecutionId::new(turn.ids.uuid());
    let bound = bind(&definition, variables);
    let sequence = turn.gate.next_sequence;
    turn.gate.next_sequence += 1;
    match mode {
        ExecutionMode::Parallel => turn.gate.parallel.push(id.clone()),
        ExecutionMode::Superseded | ExecutionMode::Queued => turn.gate.active.push(id.clone()),
    }
    let execution = Execution {
        id: id.clone(),
        pipeline: turn.gate.pipeline.clone(),
        scope: turn.gate.scope.clone(),
        pipeline_name: turn.gate.name.clone(),
        pipeline_version: turn.gate.definition_version,
        sequence,
        mode,
        kind: ExecutionKind::Standard,
        status: ExecutionStatus::InProgress,
        status_summary: None,
        attempt: 1,
        trigger: trigger.clone(),
        stop: None,
        cancelling: false,
        position: Position::Before(0),
        variables: bound.as_ref().ok().cloned(),
        source_overrides: source_overrides.to_vec(),
        revisions,
        stages: Vec::new(),
        artifacts: BTreeMap::new(),
        outputs: BTreeMap::new(),
        started: turn.now,
        updated: turn.now,
    };
    turn.add_execution(execution);
    turn.tell(&id, HistoryEvent::Execution { state: EventState::Started, summary: None })?;
    match bound {
        Ok(_) => door::arrive(turn, &id, 0)?,
        Err(missing) => {
            let summary = format!("Values for required variables haven't been provided: {}", missing.join(","));
            turn.set_execution(&id, ExecutionStatus::Failed, EventState::Failed, Some(summary))?;
        }
    }
    Ok(Reply::Started(id))
}

/// What is refused of a request whatever the state of the pipeline; AWS looks at it before the client's token.
pub fn check_request(
    definition: &PipelineDeclaration,
    variables: &[(String, String)],
    source_overrides: &[SourceRevisionOverride],
) -> Result {
    check_variables(variables)?;
    check_overrides(definition, source_overrides)
}

/// QUEUED and PARALLEL pipelines hold at most 50 executions that have not ended.
pub(crate) fn check_cap(gate: &Gate, mode: ExecutionMode) -> Result {
    let active = match mode {
        ExecutionMode::Superseded => return Ok(()),
        ExecutionMode::Queued => gate.active.len(),
        ExecutionMode::Parallel => gate.parallel.len(),
    };
    if active < limits::EXECUTIONS_ACTIVE_MAX {
        return Ok(());
    }
    Err(Rejection::ConcurrentPipelineExecutionsLimitExceeded(format!(
        "The pipeline '{}' has reached the limit of {} concurrent executions in {} mode. Wait for an execution to end, \
         or stop one, and try again.",
        gate.name,
        limits::EXECUTIONS_ACTIVE_MAX,
        mode.as_str()
    )))
}

fn check_variables(variables: &[(String, String)]) -> Result {
    let mut seen = BTreeSet::new();
    for (name, _) in variables {
        if !seen.insert(name) {
            return Err(Rejection::Validation(format!(
                "Variable names must be unique. The following variable name is already in use: {name}"
            )));
        }
    }
    Ok(())
}

/// Bound once: from the request, then from the defaults. Names nobody declared are ignored.
fn bind(
    definition: &PipelineDeclaration,
    given: &[(String, String)],
) -> std::result::Result<BTreeMap<String, String>, Vec<String>> {
    let mut bound = BTreeMap::new();
    let mut missing = Vec::new();
    for variable in definition.declared_variables() {
        let value = given.iter().find(|(name, _)| *name == variable.name).map(|(_, value)| value);
        match value.or(variable.default_value.as_ref()) {
            Some(value) => {
                bound.insert(variable.name.clone(), value.clone());
            }
            None => missing.push(variable.name.clone()),
        }
    }
    if missing.is_empty() { Ok(bound) } else { Err(missing) }
}

/// Which source providers take which kind of revision.
fn accepted_by(revision_type: &str, provider: &str) -> bool {
    match revision_type {
        "COMMIT_ID" => matches!(provider, "CodeCommit" | "CodeStarSourceConnection"),
        "IMAGE_DIGEST" => provider == "ECR",
        "S3_OBJECT_VERSION_ID" | "S3_OBJECT_KEY" => provider == "S3",
        _ => false,
    }
}

fn check_overrides(definition: &PipelineDeclaration, overrides: &[SourceRevisionOverride]) -> Result {
    let refuse = |message: String| Err(Rejection::Validation(message));
    if !overrides.is_empty() && definition.pipeline_type == Some(PipelineType::V1) {
        return refuse("Source revision overrides can only be used with V2 pipelines.".to_owned());
    }
    let mut seen = BTreeSet::new();
    for one in overrides {
        let (name, kind) = (&one.action_name, one.revision_type.as_str());
        let mut sources = definition.stages.iter().flat_map(|s| &s.actions);
        let Some(action) = sources.find(|a| a.name == *name && a.action_type_id.category == Category::Source) else {
            return refuse(format!("The pipeline '{}' has no source action named '{name}'.", definition.name));
        };
        if !seen.insert((name, kind)) {
            return refuse(format!(
                "Source revision overrides must be unique. '{kind}' is given more than once for action '{name}'."
            ));
        }
        let provider = &action.action_type_id.provider;
        // The provider that rehearses takes whatever it is told.
        if !accepted_by(kind, provider) && provider != "Rehearsal" {
            return refuse(format!(
                "The revision type '{kind}' cannot be used with action '{name}', whose provider is {provider}."
            ));
        }
        let may_replace_key =
            action.config("AllowOverrideForS3ObjectKey").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        if kind == "S3_OBJECT_KEY" && !may_replace_key {
            return refuse(format!(
                "The object key of action '{name}' cannot be overridden unless its configuration sets \
                 AllowOverrideForS3ObjectKey to true."
            ));
        }
    }
    Ok(())
}
