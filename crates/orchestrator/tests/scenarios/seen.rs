//! What a scenario may expect, each under its key.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use towpath_model::history::{HistoryEntry, HistoryEvent};
use towpath_model::state::{ActionStatus, ExecutionKind, Gate, Position, StageGate, Work};

use crate::bench::{Bench, PIPELINE, text};
use crate::names::{self, Name, Place};

const PAGE: usize = 1000;

pub fn of(bench: &mut Bench, what: &str) -> Result<Value, String> {
    let (first, rest) = what.split_once(' ').map_or((what, ""), |(first, rest)| (first, rest));
    match first {
        "waiting" => waiting(bench, rest),
        "in" => Ok(text(stage_gate(bench, rest)?.lock.map(|id| bench.name_of(&id)))),
        "latest" => Ok(text(stage_gate(bench, rest)?.latest.map(|id| bench.name_of(&id)))),
        "reason" => Ok(text(stage_gate(bench, rest)?.inbound.disabled_reason)),
        "running" => Ok(json!(running(bench))),
        "executions" => Ok(json!(bench.executions.len())),
        "stopped" if rest == "outside" => Ok(json!(stopped_outside(bench))),
        "tasks" => {
            let store = Arc::clone(bench.world.gateway());
            let count = bench.world.ask(|_| async move { store.task_count().await });
            Ok(json!(count.and_then(Result::ok).ok_or("the outbox cannot be read")?))
        }
        "shown" if rest == "executions" => shown(bench),
        "history" => {
            let lines = history(bench)?;
            let new = lines[bench.heard.min(lines.len())..].to_vec();
            bench.heard = lines.len();
            Ok(json!(new))
        }
        _ => match (names::parse(what), what.rsplit_once(' ')) {
            (Ok(name), _) if !is_property(what, &name) => status(bench, &name),
            (_, Some((who, property))) => named(bench, who, property),
            (Err(error), None) => Err(error),
            (Ok(_), None) => Err(format!("nothing can be expected of `{what}`")),
        },
    }
}

/// `e1 trigger` reads like a stage called `trigger`; properties win.
fn is_property(what: &str, name: &Name) -> bool {
    matches!(&name.place, Place::Stage(_))
        && OF_EXECUTIONS.iter().any(|property| what.ends_with(&format!(" {property}")))
}

const OF_EXECUTIONS: &[&str] =
    &["summary", "trigger", "detail", "attempt", "version", "variables", "kind", "stop", "revisions", "mode"];

fn status(bench: &Bench, name: &Name) -> Result<Value, String> {
    let execution = bench.execution(name.execution)?;
    bench.declared(&name.place)?;
    let run = |stage: &str| execution.stage_run(stage);
    Ok(match &name.place {
        Place::Execution => json!(execution.status.as_str()),
        Place::Stage(stage) => text(run(stage).map(|run| run.status.as_str())),
        Place::Condition(stage, gate) => {
            text(run(stage).and_then(|run| run.condition(*gate)).map(|condition| condition.status.as_str()))
        }
        Place::Action(stage, action) => {
            text(bench.attempt(&format!("e{} {stage}/{action}", name.execution))?.map(|a| a.status.as_str()))
        }
        Place::Rule(stage, gate, rule) => {
            let who = format!("e{} {stage}.{}/{rule}", name.execution, gate.as_str());
            text(bench.attempt(&who)?.map(|attempt| attempt.status.as_str()))
        }
    })
}

fn named(bench: &mut Bench, who: &str, property: &str) -> Result<Value, String> {
    let name = names::parse(who)?;
    let execution = bench.execution(name.execution)?;
    let unknown = || Err(format!("`{property}` of `{who}` is nothing that can be expected"));
    match &name.place {
        Place::Execution => Ok(match property {
            "summary" => text(execution.status_summary.as_ref()),
            "trigger" => json!(execution.trigger.kind),
            "detail" => {
                let mut detail = execution.trigger.detail.clone();
                for (number, execution) in bench.executions.iter().enumerate() {
                    detail = detail.replace(execution.id.as_str(), &format!("e{}", number + 1));
                }
                json!(detail)
            }
            "attempt" => json!(execution.attempt),
            "version" => json!(execution.pipeline_version),
            "variables" => json!(execution.variables),
            "mode" => json!(execution.mode.as_str()),
            "stop" => text(execution.stop.as_ref().and_then(|stop| stop.reason.as_ref())),
            "revisions" => json!(execution.revisions.iter().map(|revision| &revision.id).collect::<Vec<_>>()),
            "kind" => json!(match &execution.kind {
                ExecutionKind::Standard => "Standard".to_owned(),
                ExecutionKind::Rollback { target, stage } => {
                    format!("Rollback of {stage} to {}", bench.name_of(target))
                }
            }),
            _ => return unknown(),
        }),
        Place::Stage(stage) => {
            let Some(run) = execution.stage_run(stage) else { return Err(format!("{who} was not entered")) };
            Ok(match property {
                "retries" => json!({
                    "manual": run.manual_retries,
                    "automatic": run.automatic_retries,
                    "latest": run.latest_retry_trigger,
                }),
                _ => return unknown(),
            })
        }
        Place::Condition(stage, gate) => {
            let condition = execution.stage_run(stage).and_then(|run| run.condition(*gate));
            Ok(match property {
                "summary" => text(condition.and_then(|condition| condition.summary.as_ref())),
                _ => return unknown(),
            })
        }
        Place::Action(stage, action) if property == "runs" => {
            let (id, stage, action) = (execution.id.clone(), stage.clone(), action.clone());
            let scope = bench.world.scope().clone();
            let page = bench
                .world
                .ask(|node| async move { node.list_actions(&scope, PIPELINE, Some(&id), false, None, PAGE).await });
            let records = page.and_then(Result::ok).ok_or("the actions cannot be listed")?.records;
            let of_action = records.iter().filter(|r| r.stage == *stage.as_str() && r.action == *action.as_str());
            Ok(json!(of_action.map(|record| record.attempt.status.as_str()).rev().collect::<Vec<_>>()))
        }
        Place::Action(..) | Place::Rule(..) => {
            let Some(attempt) = bench.attempt(who)? else { return Err(format!("{who} never started")) };
            let invocation = || bench.invocation(&attempt.id).ok_or_else(|| format!("{who} was given to no provider"));
            Ok(match property {
                "error" => text(attempt.error.as_ref().map(|error| &error.code)),
                "message" => text(attempt.error.as_ref().map(|error| &error.message)),
                "summary" => text(attempt.progress.summary.as_ref()),
                "minutes" => json!((attempt.deadline.millis() - attempt.started.millis()) / 60_000),
                "token" => json!(if attempt.token.is_some() { "open" } else { "none" }),
                "external" => json!(match &attempt.progress.external_id {
                    Some(id) if *id == *attempt.id => "actionExecutionId",
                    Some(_) => "other",
                    None => "none",
                }),
                "region" => json!(invocation()?.region),
                "configuration" => json!(invocation()?.configuration),
                "overrides" => {
                    let overrides = invocation()?.source_overrides;
                    json!(overrides.into_iter().map(|one| one.revision_value).collect::<Vec<_>>())
                }
                // Whose artifact each input is, by the run that made it.
                "inputs" => {
                    let inputs = invocation()?.input_artifacts;
                    json!(inputs.iter().map(|input| maker(bench, &input.key)).collect::<Vec<_>>())
                }
                "copies" => {
                    let copies = invocation()?.copies;
                    let copy = |copy: &towpath_model::action::ArtifactCopy| {
                        format!("{} from {} to {}", copy.from.name, copy.from.bucket, copy.to.bucket)
                    };
                    json!(copies.iter().map(copy).collect::<Vec<_>>())
                }
                "outputs" => json!(invocation()?.output_artifacts.iter().map(|o| key_form(&o.key)).collect::<Vec<_>>()),
                _ => return unknown(),
            })
        }
    }
}

/// The random part of a key, by its form.
fn key_form(key: &str) -> String {
    let Some((front, random)) = key.rsplit_once('/') else { return key.to_owned() };
    let form = if random.len() == 7 && random.bytes().all(|b| b.is_ascii_alphanumeric()) { "*7" } else { random };
    format!("{front}/{form}")
}

/// Which run made the artifact under a key: `e1 Source/S 1`, counting its runs.
fn maker(bench: &Bench, key: &str) -> String {
    let mut works = bench.outside().all();
    works.sort_by_key(|work| (work.action.started, work.began));
    let made =
        |work: &&towpath_orchestrator::simulation::Work| work.action.output_artifacts.iter().any(|o| o.key == key);
    let Some(work) = works.iter().find(made) else { return "nobody".to_owned() };
    let (execution, stage, action) = (&work.action.execution_id, &work.action.stage_name, &work.action.action_name);
    let same = works.iter().filter(|other| {
        (&other.action.execution_id, &other.action.stage_name, &other.action.action_name) == (execution, stage, action)
    });
    let nth = same.take_while(|other| other.action.action_execution_id != work.action.action_execution_id).count();
    format!("{} {stage}/{action} {}", bench.name_of(execution), nth + 1)
}

fn gate(bench: &mut Bench) -> Result<Gate, String> {
    let scope = bench.world.scope().clone();
    let state = bench.world.ask(|node| async move { node.pipeline_state(&scope, PIPELINE).await });
    match state {
        Some(Ok(state)) => Ok(state.gate),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("GetPipelineState did not answer".to_owned()),
    }
}

fn stage_gate(bench: &mut Bench, stage: &str) -> Result<StageGate, String> {
    gate(bench)?.stage(stage).cloned().ok_or_else(|| format!("the pipeline has no stage {stage}"))
}

/// Who waits to enter a stage: in its line, and held behind the stage before. Ended ones are shown with their status.
fn waiting(bench: &mut Bench, stage: &str) -> Result<Value, String> {
    let gate = gate(bench)?;
    let index = gate.stages.iter().position(|gate| gate.name == *stage);
    let index = index.ok_or_else(|| format!("the pipeline has no stage {stage}"))?;
    let line = gate.stages[index].waiting.iter();
    let held = bench.executions.iter().filter(|execution| {
        !execution.status.has_ended() && matches!(execution.position, Position::After(at) if at + 1 == index)
    });
    let all = line.chain(held.map(|execution| &execution.id));
    let shown = all.map(|id| {
        let ended = bench.executions.iter().find(|execution| execution.id == *id && execution.status.has_ended());
        let name = bench.name_of(id);
        ended.map_or_else(|| name.clone(), |execution| format!("{name} {}", execution.status.as_str()))
    });
    Ok(json!(shown.collect::<Vec<_>>()))
}

fn running(bench: &Bench) -> Vec<String> {
    let mut running = Vec::new();
    for (number, execution) in bench.executions.iter().enumerate() {
        for stage in &execution.stages {
            for (work, attempt) in stage.work() {
                if attempt.status == ActionStatus::InProgress {
                    running.push(match work {
                        Work::Action(action) => format!("e{} {}/{action}", number + 1, stage.name),
                        Work::Rule(gate, rule) => format!("e{} {}.{}/{rule}", number + 1, stage.name, gate.as_str()),
                    });
                }
            }
        }
    }
    running.sort();
    running
}

fn stopped_outside(bench: &Bench) -> Vec<String> {
    let stopped = bench.outside().all().into_iter().filter(|work| work.stopped);
    let mut names: Vec<String> = stopped
        .map(|work| {
            let (who, action) = (bench.name_of(&work.action.execution_id), work.action);
            match action.condition {
                None => format!("{who} {}/{}", action.stage_name, action.action_name),
                Some(gate) => format!("{who} {}.{}/{}", action.stage_name, gate.as_str(), action.action_name),
            }
        })
        .collect();
    names.sort();
    names
}

/// ListPipelineExecutions, newest first.
fn shown(bench: &mut Bench) -> Result<Value, String> {
    let scope = bench.world.scope().clone();
    let page = bench.world.ask(|node| async move { node.list_executions(&scope, PIPELINE, None, None, PAGE).await });
    let page = page.and_then(Result::ok).ok_or("the executions cannot be listed")?;
    let line = |e: &towpath_model::state::Execution| format!("{} {}", bench.name_of(&e.id), e.status.as_str());
    Ok(json!(page.executions.iter().map(line).collect::<Vec<_>>()))
}

/// Every line of history: `e1 Build/A STARTED`.
pub fn history(bench: &mut Bench) -> Result<Vec<String>, String> {
    let entries = bench.world.history().map_err(|error| error.to_string())?;
    let names: BTreeMap<_, _> =
        bench.executions.iter().enumerate().map(|(at, e)| (e.id.clone(), format!("e{}", at + 1))).collect();
    Ok(entries
        .iter()
        .filter(|entry| entry.pipeline == bench.pipeline_id)
        .map(|entry| line(entry, names.get(&entry.execution).map_or("?", String::as_str)))
        .collect())
}

fn line(entry: &HistoryEntry, who: &str) -> String {
    match &entry.event {
        HistoryEvent::Execution { state, summary: Some(summary) } => format!("{who} {} ({summary})", state.as_str()),
        HistoryEvent::Execution { state, summary: None } => format!("{who} {}", state.as_str()),
        HistoryEvent::Stage { stage, state } => format!("{who} {stage} {}", state.as_str()),
        HistoryEvent::Action { stage, action, state, .. } => format!("{who} {stage}/{action} {}", state.as_str()),
        HistoryEvent::Waiting { stage } => format!("{who} waits at {stage}"),
        HistoryEvent::Condition { stage, gate, status, .. } => {
            format!("{who} {stage}.{} {}", gate.as_str(), status.as_str())
        }
        HistoryEvent::Rule { stage, gate, rule, state, .. } => {
            format!("{who} {stage}.{}/{rule} {}", gate.as_str(), state.as_str())
        }
    }
}
