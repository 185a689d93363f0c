//! What the API shows equals the replay of the history: executions, action and rule executions, and the pipeline state,
//! read page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use towpath_model::ids::Scope;
use towpath_orchestrator::{ActionPage, CommandError, Orchestrator};

use crate::seeded::check::Checker;

const PIPELINE: &str = "p";
/// Small, so that there are several.
const PAGE: usize = 7;

/// Over a store that answers at once.
fn now<T>(answer: impl Future<Output = Result<T, CommandError>>) -> Result<T, String> {
    answer.now_or_never().ok_or("a read did not answer at once")?.map_err(|error| error.to_string())
}

pub fn compare(node: &Arc<Orchestrator>, scope: &Scope, checker: &Checker) -> Result<(), String> {
    let Some(gate) = &checker.gate else {
        return match now(node.pipeline_state(scope, PIPELINE)) {
            Err(_) => Ok(()),
            Ok(_) => Err("GetPipelineState shows a deleted pipeline".to_owned()),
        };
    };
    let replay = &checker.replay;
    let mut shown = Vec::new();
    let mut token = None;
    loop {
        let page = now(node.list_executions(scope, PIPELINE, None, token.as_deref(), PAGE))?;
        shown.extend(page.executions);
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    let of_pipeline = replay.order.iter().rev().filter(|id| replay.executions[*id].pipeline == gate.pipeline);
    let told: Vec<_> =
        of_pipeline.map(|id| (id, replay.executions[id].status, replay.executions[id].summary.as_ref())).collect();
    let listed: Vec<_> = shown.iter().map(|e| (&e.id, e.status, e.status_summary.as_ref())).collect();
    if told != listed {
        return Err(format!("ListPipelineExecutions shows {listed:?}, history says {told:?}"));
    }
    for rules in [false, true] {
        listed_actions(node, scope, checker, rules)?;
    }
    state(node, scope, checker)
}

fn page(node: &Arc<Orchestrator>, scope: &Scope, rules: bool, token: Option<&str>) -> Result<ActionPage, String> {
    if rules {
        now(node.list_rules(scope, PIPELINE, None, false, token, PAGE))
    } else {
        now(node.list_actions(scope, PIPELINE, None, false, token, PAGE))
    }
}

fn listed_actions(node: &Arc<Orchestrator>, scope: &Scope, checker: &Checker, rules: bool) -> Result<(), String> {
    let pipeline = checker.gate.as_ref().map(|gate| &gate.pipeline);
    let mut records = Vec::new();
    let mut token = None;
    loop {
        let page = page(node, scope, rules, token.as_deref())?;
        records.extend(page.records);
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    if records.windows(2).any(|pair| pair[0].attempt.started < pair[1].attempt.started) {
        return Err("action executions are not listed newest first".to_owned());
    }
    let shown: BTreeMap<_, _> = records
        .iter()
        .map(|r| (&r.attempt.id, (&r.execution, &r.stage, &r.action, r.condition, r.attempt.status, r.attempt.started)))
        .collect();
    let replay = &checker.replay;
    let of_pipeline = replay.actions.iter().filter(|(_, told)| {
        told.condition.is_some() == rules
            && replay.executions.get(&told.execution).map(|execution| &execution.pipeline) == pipeline
    });
    let told: BTreeMap<_, _> = of_pipeline
        .map(|(id, told)| (id, (&told.execution, &told.stage, &told.name, told.condition, told.status, told.started)))
        .collect();
    if shown.len() != records.len() || shown != told {
        let wrong = shown.iter().find(|(id, record)| told.get(*id) != Some(record));
        let missing = told.iter().find(|(id, _)| !shown.contains_key(*id));
        return Err(format!("the list of action executions and history differ: {wrong:?}, {missing:?}"));
    }
    Ok(())
}

fn state(node: &Arc<Orchestrator>, scope: &Scope, checker: &Checker) -> Result<(), String> {
    let state = now(node.pipeline_state(scope, PIPELINE))?;
    let replay = &checker.replay;
    for door in &state.gate.stages {
        let latest = replay.latest.get(&(state.gate.pipeline.clone(), door.name.clone()));
        if latest != door.latest.as_ref() {
            return Err(format!("the latest execution of {} is {:?}, history says {latest:?}", door.name, door.latest));
        }
        if let Some(id) = latest {
            let shown = state.executions.iter().find(|e| e.id == *id).and_then(|e| e.stage_run(&door.name));
            let told = replay.executions[id].stages.iter().find(|stage| stage.name == door.name);
            if shown.map(|run| run.status) != told.map(|run| run.status) {
                return Err(format!("the state of {} is {shown:?}, history says {told:?}", door.name));
            }
        }
        for id in &door.waiting {
            let told = &replay.executions[id];
            if !told.status.has_ended() && told.waits_at.as_ref() != Some(&door.name) {
                return Err(format!("{} waits at {}, history says {:?}", replay.name(id), door.name, told.waits_at));
            }
        }
    }
    // Whoever history says waits does wait: in a line, or held behind the stage before.
    for (id, told) in &replay.executions {
        if told.pipeline == state.gate.pipeline
            && !told.status.has_ended()
            && let Some(stage) = &told.waits_at
        {
            let in_line = state.gate.stage(stage).is_some_and(|door| door.waiting.contains(id));
            let held = told
                .stages
                .last()
                .is_some_and(|last| state.gate.stage(&last.name).is_some_and(|door| !door.outbound.enabled));
            if !in_line && !held {
                return Err(format!("history says {} waits at {stage}, the state does not", replay.name(id)));
            }
        }
    }
    Ok(())
}
