//! Small, valid values to store.

use std::collections::BTreeMap;

use towpath_model::action::{ActionInvocation, Progress};
use towpath_model::catalogue::{ActionTypeId, Category, Owner};
use towpath_model::declaration::{ConditionType, Definition, ExecutionMode, PipelineDeclaration};
use towpath_model::effect::{Task, TaskKind};
use towpath_model::history::{ActionRecord, EventState, HistoryEntry, HistoryEvent};
use towpath_model::ids::{PipelineId, Scope};
use towpath_model::state::{
    ActionAttempt, ActionStatus, Execution, ExecutionKind, ExecutionStatus, Gate, Position, StageGate, StageRun,
    StageStatus, Trigger,
};
use towpath_model::time::Timestamp;

pub fn scope() -> Scope {
    Scope::new("123456789012", "us-east-1")
}

pub fn gate(pipeline: &str, name: &str) -> Gate {
    Gate {
        pipeline: pipeline.into(),
        scope: scope(),
        name: name.into(),
        definition_version: 1,
        created: Timestamp(1),
        updated: Timestamp(1),
        next_sequence: 1,
        stages: vec![StageGate::new("Source".into()), StageGate::new("Build".into())],
        active: Vec::new(),
        parallel: Vec::new(),
    }
}

pub fn definition(pipeline: &str, version: u32) -> Definition {
    Definition {
        pipeline: pipeline.into(),
        version,
        created: Timestamp(1),
        declaration: PipelineDeclaration {
            name: "app".into(),
            role_arn: "arn:aws:iam::123456789012:role/r".to_owned(),
            artifact_store: None,
            artifact_stores: None,
            stages: Vec::new(),
            version: Some(version),
            execution_mode: None,
            pipeline_type: None,
            variables: None,
            triggers: None,
        },
    }
}

pub fn execution(pipeline: &str, id: &str, sequence: u64) -> Execution {
    Execution {
        id: id.into(),
        pipeline: pipeline.into(),
        scope: scope(),
        pipeline_name: "app".into(),
        pipeline_version: 1,
        sequence,
        mode: ExecutionMode::Superseded,
        kind: ExecutionKind::Standard,
        status: ExecutionStatus::InProgress,
        status_summary: None,
        attempt: 1,
        trigger: Trigger { kind: "StartPipelineExecution".to_owned(), detail: String::new() },
        stop: None,
        cancelling: false,
        position: Position::Before(0),
        variables: Some(BTreeMap::new()),
        source_overrides: Vec::new(),
        revisions: Vec::new(),
        stages: Vec::new(),
        artifacts: BTreeMap::new(),
        outputs: BTreeMap::new(),
        started: Timestamp(10),
        updated: Timestamp(10),
    }
}

pub fn stage_run(name: &str, status: StageStatus) -> StageRun {
    StageRun {
        name: name.into(),
        status,
        actions: Vec::new(),
        conditions: Vec::new(),
        manual_retries: 0,
        automatic_retries: 0,
        latest_retry_trigger: None,
        entered: Timestamp(10),
        updated: Timestamp(10),
    }
}

fn action_type() -> ActionTypeId {
    ActionTypeId::new(Category::Build, Owner::Custom, "Rehearsal", "1")
}

pub fn invocation(action: &str) -> ActionInvocation {
    ActionInvocation {
        scope: scope(),
        pipeline_name: "app".into(),
        pipeline_version: 1,
        execution_id: "e1".into(),
        stage_name: "Build".into(),
        action_name: "Compile".into(),
        action_execution_id: action.into(),
        action_type: action_type(),
        condition: None,
        configuration: BTreeMap::from([("Outcome".to_owned(), "Succeeded".to_owned())]),
        region: "us-east-1".to_owned(),
        pipeline_role_arn: "arn:aws:iam::123456789012:role/r".to_owned(),
        role_arn: None,
        input_artifacts: Vec::new(),
        copies: Vec::new(),
        output_artifacts: Vec::new(),
        output_files: Vec::new(),
        encryption_key: None,
        source_overrides: Vec::new(),
        commands: Vec::new(),
        environment_variables: Vec::new(),
        output_variables: Vec::new(),
        started: Timestamp(10),
        deadline: Timestamp(1_000),
    }
}

/// An action execution of pipeline `p`.
pub fn action(execution: &str, id: &str, name: &str, started: i64) -> ActionRecord {
    ActionRecord {
        pipeline: "p".into(),
        execution: execution.into(),
        pipeline_version: 1,
        stage: "Build".into(),
        action: name.into(),
        action_type: action_type(),
        condition: None,
        namespace: None,
        role_arn: None,
        region: "us-east-1".to_owned(),
        configuration: BTreeMap::new(),
        resolved_configuration: BTreeMap::new(),
        attempt: ActionAttempt {
            id: id.into(),
            status: ActionStatus::InProgress,
            started: Timestamp(started),
            last_change: Timestamp(started),
            deadline: Timestamp(1_000),
            token: None,
            progress: Progress::default(),
            error: None,
            updated_by: None,
            variables: BTreeMap::new(),
            invocation: Some(invocation(id)),
        },
    }
}

/// A rule execution of pipeline `p`.
pub fn rule(execution: &str, id: &str, name: &str, gate: ConditionType, started: i64) -> ActionRecord {
    ActionRecord { condition: Some(gate), ..action(execution, id, name, started) }
}

pub fn entry(pipeline: &str, execution: &str, state: EventState) -> HistoryEntry {
    HistoryEntry {
        sequence: 0,
        time: Timestamp(10),
        pipeline: pipeline.into(),
        scope: scope(),
        pipeline_name: "app".into(),
        pipeline_version: 1,
        execution: execution.into(),
        attempt: 1,
        event: HistoryEvent::Execution { state, summary: None },
    }
}

pub fn task(id: &str, due: i64) -> Task {
    Task {
        id: id.into(),
        pipeline: PipelineId::new("p"),
        execution: "e1".into(),
        kind: TaskKind::Start,
        due: Timestamp(due),
        invocation: invocation(id),
        progress: Progress::default(),
        failures: 3,
        last_failure: Some("throttled".to_owned()),
        owner: None,
        lease_until: None,
    }
}
