//! How everything stands in the end: each execution, and each stage as GetPipelineState would show it. Read from the rows
//! themselves, not from the story.

use towpath_model::declaration::{ConditionType, ExecutionMode, PipelineDeclaration};
use towpath_model::state::{
    ActionStatus, ConditionStatus, Execution, ExecutionKind, ExecutionStatus, Position, StageGate, StageRun,
    StageStatus,
};

use super::chart::standing;
use super::rehearsed::Rehearsed;
use super::words;
use crate::display::style::{Line, Style, wrap};

pub fn lines(rehearsed: &Rehearsed, declaration: &PipelineDeclaration, width: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let name = |execution: &Execution| format!("Execution {}", execution.sequence);
    let names = rehearsed.executions.iter().map(|e| name(e).len()).max().unwrap_or_default();
    let words = rehearsed.executions.iter().map(|e| e.status.as_str().len()).max().unwrap_or_default();
    for execution in &rehearsed.executions {
        let (glyph, style, word) = standing(execution.status);
        let details = wrap(&detail(rehearsed, execution), width.saturating_sub(names + words + 8));
        for (at, row) in details.iter().map(String::as_str).chain(details.is_empty().then_some("")).enumerate() {
            let line = if at == 0 {
                Line::new()
                    .with(style, format!("  {glyph} "))
                    .with(Style::Plain, format!("{:<names$}  ", name(execution)))
                    .with(style, format!("{word:<words$}  "))
            } else {
                Line::new().with(Style::Plain, " ".repeat(names + words + 8))
            };
            lines.push(line.with(Style::Dim, row.to_owned()));
        }
    }
    // In PARALLEL mode a stage has no state of its own; AWS shows none either.
    if declaration.mode() != ExecutionMode::Parallel {
        lines.push(Line::new());
        let columns = rehearsed.gate.stages.iter().map(|gate| gate.name.chars().count()).max().unwrap_or_default();
        for gate in &rehearsed.gate.stages {
            lines.push(stage(rehearsed, gate, columns));
        }
    }
    lines
}

fn stage(rehearsed: &Rehearsed, gate: &StageGate, columns: usize) -> Line {
    let latest = gate.latest.as_ref().and_then(|id| rehearsed.execution(id));
    let run = latest.and_then(|execution| execution.stage_run(&gate.name));
    let (style, word) = run.map_or((Style::Dim, "not reached"), |run| stage_word(run.status));
    let mut line = Line::new()
        .with(Style::Plain, format!("    {:<columns$}  ", gate.name.as_str()))
        .with(style, format!("{word:<11}"));
    if let Some(execution) = latest {
        let kind = if matches!(execution.kind, ExecutionKind::Rollback { .. }) { ", a rollback" } else { "" };
        line = line.with(Style::Dim, format!("  execution {}{kind}", execution.sequence));
    }
    let waiting: Vec<u64> = gate
        .waiting
        .iter()
        .filter(|id| rehearsed.execution(id).is_some_and(|e| !e.status.has_ended()))
        .map(|id| rehearsed.number(id))
        .collect();
    if !waiting.is_empty() {
        let verb = if waiting.len() == 1 { "waits" } else { "wait" };
        line = line.with(Style::Attention, format!("  {} {verb} in front of it", words::list(&waiting)));
    }
    for (transition, text) in [(&gate.inbound, "  way in closed"), (&gate.outbound, "  way out closed")] {
        if !transition.enabled {
            line = line.with(Style::Attention, text);
        }
    }
    line
}

const fn stage_word(status: StageStatus) -> (Style, &'static str) {
    let word = status.as_str();
    match status {
        StageStatus::Succeeded => (Style::Good, word),
        StageStatus::Failed => (Style::Bad, word),
        StageStatus::InProgress => (Style::Busy, word),
        StageStatus::Stopping | StageStatus::Stopped | StageStatus::Cancelled | StageStatus::Skipped => {
            (Style::Attention, word)
        }
    }
}

fn stage_name(execution: &Execution, rehearsed: &Rehearsed, index: usize) -> String {
    let entered = match execution.kind {
        ExecutionKind::Rollback { ref stage, .. } => Some(stage.to_string()),
        ExecutionKind::Standard => rehearsed.gate.stages.get(index).map(|gate| gate.name.to_string()),
    };
    entered.unwrap_or_default()
}

/// Where it stands and why.
fn detail(rehearsed: &Rehearsed, execution: &Execution) -> String {
    if let Some(waits) = waits_for(rehearsed, execution) {
        return waits;
    }
    let mut text = match (execution.status, execution.position) {
        (ExecutionStatus::Superseded | ExecutionStatus::Stopped | ExecutionStatus::Cancelled, Position::Before(at)) => {
            format!("in front of {}", stage_name(execution, rehearsed, at))
        }
        (ExecutionStatus::Stopped | ExecutionStatus::Cancelled, Position::In(at) | Position::After(at)) => {
            format!("in {}", stage_name(execution, rehearsed, at))
        }
        (ExecutionStatus::Failed, Position::In(at)) => {
            let stage = stage_name(execution, rehearsed, at);
            match execution.stage_run(&stage).and_then(culprit) {
                Some(culprit) => format!("in {stage}: {culprit}"),
                None => format!("in {stage}"),
            }
        }
        (ExecutionStatus::Failed, _) => execution.status_summary.clone().unwrap_or_default(),
        _ => String::new(),
    };
    let skipped: Vec<&str> =
        execution.stages.iter().filter(|s| s.status == StageStatus::Skipped).map(|s| s.name.as_str()).collect();
    let retries: u32 = execution.stages.iter().map(|s| s.manual_retries + s.automatic_retries).sum();
    let mut add = |words: String| {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&words);
    };
    if let ExecutionKind::Rollback { target, stage } = &execution.kind {
        add(format!("rollback of {stage} to execution {}", rehearsed.number(target)));
    }
    if !skipped.is_empty() {
        add(format!("{} skipped", words::list(&skipped)));
    }
    if retries > 0 {
        add(format!("after {}", crate::diagnostics::plural(retries as usize, "retry").replace("retrys", "retries")));
    }
    text
}

/// The action or the condition that a stage failed of.
fn culprit(run: &StageRun) -> Option<String> {
    let failed = |action: &&towpath_model::state::ActionRun| {
        action.latest.as_ref().is_some_and(|attempt| attempt.status == ActionStatus::Failed)
    };
    let actions: Vec<&str> = run.actions.iter().filter(failed).map(|action| action.name.as_str()).collect();
    if !actions.is_empty() {
        return Some(format!("{} failed", words::list(&actions)));
    }
    let unmet = |gate: &ConditionType| {
        run.condition(*gate).is_some_and(|c| matches!(c.status, ConditionStatus::Failed | ConditionStatus::Errored))
    };
    let gate = [ConditionType::BeforeEntry, ConditionType::OnSuccess].into_iter().find(unmet)?;
    Some(format!("{} not met", gate.as_str()))
}

/// What an execution that has not ended waits for.
pub fn waits_for(rehearsed: &Rehearsed, execution: &Execution) -> Option<String> {
    if execution.status.has_ended() {
        return None;
    }
    Some(match execution.position {
        Position::Before(at) => {
            let name = stage_name(execution, rehearsed, at);
            let gate = rehearsed.gate.stage(&name);
            let holder = gate.and_then(|gate| gate.lock.as_ref()).map(|id| rehearsed.number(id));
            match (gate.is_some_and(|gate| !gate.inbound.enabled), holder) {
                (true, _) => format!("waits in front of {name}: the transition into it is disabled"),
                (false, Some(holder)) => format!("waits in front of {name}: execution {holder} is in it"),
                (false, None) => format!("waits in front of {name}"),
            }
        }
        Position::After(at) => {
            let name = stage_name(execution, rehearsed, at);
            format!("waits in {name}: the transition out of it is disabled")
        }
        Position::In(at) => {
            let name = stage_name(execution, rehearsed, at);
            let open = execution.stage_run(&name).into_iter().flat_map(StageRun::work);
            let open: Vec<String> = open
                .filter(|(_, attempt)| attempt.status == ActionStatus::InProgress)
                .map(|(work, attempt)| {
                    let name = match work {
                        towpath_model::state::Work::Action(name) => name.to_string(),
                        towpath_model::state::Work::Rule(gate, name) => format!("{}/{name}", gate.as_str()),
                    };
                    let what = if attempt.token.is_some() { "an answer to " } else { "" };
                    format!("{what}{name} (times out at {})", words::since(rehearsed.start, attempt.deadline))
                })
                .collect();
            format!("in {name}: waits for {}", words::list(&open))
        }
        Position::Done => String::new(),
    })
}
