//! Random commands and outcomes in random order, stale and repeated ones among them. After every step the bench checks
//! its invariants; here it is also replayed, and every run is brought to an end.

use proptest::collection::vec;
use proptest::prelude::*;
use towpath_model::action::{ErrorDetails, Outcome, Progress};
use towpath_model::declaration::{ExecutionMode, RetryMode};
use towpath_model::event::{Event, TransitionType};
use towpath_model::ids::{ActionExecutionId, ExecutionId};
use towpath_model::state::Trigger;

use crate::bench::{BY, Bench, bench};
use crate::declare::{Pipeline, approval, pipeline, source, work};

/// One thing that happens; the numbers pick among what there is at that moment.
#[derive(Debug, Clone)]
enum Move {
    Start { with_variable: bool },
    Finish { attempt: usize, succeeds: bool },
    TimeOut { attempt: usize },
    Progress { attempt: usize },
    Answer { attempt: usize, approved: bool },
    Stop { execution: usize, abandon: bool },
    Retry { execution: usize, stage: usize, all: bool },
    Transition { stage: usize, inbound: bool, enabled: bool },
    Update { definition: usize },
}

const STAGES: [&str; 4] = ["Source", "Work", "Gate", "Deploy"];

fn definition(index: usize, mode: ExecutionMode) -> Pipeline {
    let base = pipeline("p").stage("Source", [source("S").namespace("Src"), source("T")]).stage(
        "Work",
        [work("A").input("SOut").output("O"), work("B").config("Text", "#{Src.Sometimes}"), work("C").order(2)],
    );
    let whole = match index {
        0 => base.stage("Gate", [approval("Ok")]).stage("Deploy", [work("D").input("O")]),
        1 => base.stage("Deploy", [work("D").input("O")]),
        _ => base.stage("Gate", [approval("Ok"), work("E"), work("F"), work("G"), work("H"), work("I")]),
    };
    whole.variable("Needed", None).mode(mode)
}

fn mode() -> impl Strategy<Value = ExecutionMode> {
    prop_oneof![
        3 => Just(ExecutionMode::Superseded),
        1 => Just(ExecutionMode::Queued),
        1 => Just(ExecutionMode::Parallel),
    ]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => proptest::bool::weighted(0.9).prop_map(|with_variable| Move::Start { with_variable }),
        20 => (any::<usize>(), proptest::bool::weighted(0.8)).prop_map(|(attempt, succeeds)| Move::Finish { attempt, succeeds }),
        1 => any::<usize>().prop_map(|attempt| Move::TimeOut { attempt }),
        1 => any::<usize>().prop_map(|attempt| Move::Progress { attempt }),
        5 => any::<(usize, bool)>().prop_map(|(attempt, approved)| Move::Answer { attempt, approved }),
        2 => any::<(usize, bool)>().prop_map(|(execution, abandon)| Move::Stop { execution, abandon }),
        4 => any::<(usize, usize, bool)>().prop_map(|(execution, stage, all)| Move::Retry { execution, stage, all }),
        3 => (any::<(usize, bool)>(), proptest::bool::weighted(0.6))
            .prop_map(|((stage, inbound), enabled)| Move::Transition { stage, inbound, enabled }),
        1 => (0..3usize).prop_map(|definition| Move::Update { definition }),
    ];
    vec(one, 1..80)
}

/// Picks an action execution: mostly open ones, but also any that ever was, and none at all.
fn attempt(b: &Bench, pick: usize) -> (ExecutionId, ActionExecutionId) {
    let open: Vec<_> = b.open.keys().cloned().collect();
    let ever: Vec<_> = b.records.keys().cloned().collect();
    let id = match (pick % 8, open.is_empty(), ever.is_empty()) {
        (0, _, false) => ever[pick / 8 % ever.len()].clone(),
        (1..=7, false, _) => open[pick / 8 % open.len()].clone(),
        _ => ActionExecutionId::new("nothing"),
    };
    let execution = b.records.get(&id).map_or_else(|| ExecutionId::new("nobody"), |record| record.execution.clone());
    (execution, id)
}

fn execution(b: &Bench, pick: usize) -> ExecutionId {
    match b.executions.len() {
        0 => ExecutionId::new("nobody"),
        count => b.executions.keys().nth(pick % count).unwrap().clone(),
    }
}

fn event(b: &Bench, one: &Move, mode: ExecutionMode) -> Event {
    match *one {
        Move::Start { with_variable } => Event::ExecutionRequested {
            trigger: Trigger { kind: "StartPipelineExecution".to_owned(), detail: BY.to_owned() },
            variables: with_variable.then(|| ("Needed".to_owned(), "x".to_owned())).into_iter().collect(),
            source_overrides: Vec::new(),
        },
        Move::Finish { attempt: pick, succeeds } => {
            let (execution, action) = attempt(b, pick);
            let progress = Progress { external_id: Some("outside".to_owned()), ..Progress::default() };
            let outcome = if succeeds {
                // Now and then the variable that B needs is missing.
                let told = (pick % 5 != 0).then(|| ("Sometimes".to_owned(), "value".to_owned()));
                Outcome::Succeeded { progress, variables: told.into_iter().collect(), revisions: Vec::new() }
            } else {
                Outcome::Failed { progress, error: ErrorDetails::new("JobFailed", "it broke") }
            };
            Event::ActionFinished { execution, action, outcome }
        }
        Move::TimeOut { attempt: pick } => {
            let (execution, action) = attempt(b, pick);
            Event::ActionTimedOut { execution, action, unavailable: None }
        }
        Move::Progress { attempt: pick } => {
            let (execution, action) = attempt(b, pick);
            let progress = Progress { summary: Some(format!("step {pick}")), ..Progress::default() };
            Event::ActionProgressed { execution, action, progress }
        }
        Move::Answer { attempt: pick, approved } => Event::ApprovalAnswered {
            stage: "Gate".into(),
            action: "Ok".into(),
            token: attempt(b, pick).1.into_string(),
            approved,
            summary: "answer".to_owned(),
            answered_by: BY.to_owned(),
        },
        Move::Stop { execution: pick, abandon } => {
            Event::StopRequested { execution: execution(b, pick), abandon, reason: None, requested_by: BY.to_owned() }
        }
        Move::Retry { execution: pick, stage, all } => Event::StageRetryRequested {
            execution: execution(b, pick),
            stage: STAGES[stage % STAGES.len()].into(),
            mode: if all { RetryMode::AllActions } else { RetryMode::FailedActions },
        },
        Move::Transition { stage, inbound, enabled } => Event::TransitionChanged {
            stage: STAGES[stage % STAGES.len()].into(),
            transition: if inbound { TransitionType::Inbound } else { TransitionType::Outbound },
            enabled,
            reason: None,
            changed_by: BY.to_owned(),
        },
        Move::Update { definition: index } => {
            let mode = if index == 1 { ExecutionMode::Superseded } else { mode };
            Event::DefinitionUpdated { declaration: Box::new(definition(index, mode).0) }
        }
    }
}

/// Applies the moves and returns the events that were accepted or refused, in order.
fn run(b: &mut Bench, moves: &[Move], mode: ExecutionMode) -> Vec<Event> {
    let mut events = Vec::new();
    for one in moves {
        let event = event(b, one, mode);
        b.now = b.now.plus_millis(1000);
        let answers = matches!(event, Event::ApprovalAnswered { .. });
        let accepted = b.apply(&event).is_ok();
        if accepted && answers {
            assert!(b.apply(&event).is_err(), "a token was consumed twice");
        }
        events.push(event);
    }
    events
}

/// Opens every door and lets everything succeed: nobody may be left behind.
fn drain(b: &mut Bench) {
    for stage in STAGES {
        for transition in [TransitionType::Inbound, TransitionType::Outbound] {
            // The current version may not have the stage.
            let _ = b.transition(stage, transition, true);
        }
    }
    for _ in 0..20_000 {
        let Some(action) = b.open.keys().next().cloned() else { break };
        let execution = b.records[&action].execution.clone();
        let variables = [("Sometimes".to_owned(), "value".to_owned())].into();
        let outcome = Outcome::Succeeded { progress: Progress::default(), variables, revisions: Vec::new() };
        b.apply(&Event::ActionFinished { execution, action, outcome }).unwrap();
    }
    for execution in b.executions.values() {
        assert!(execution.status.has_ended(), "{} is left behind at {:?}", execution.id, execution.position);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold_and_everybody_ends(mode in mode(), moves in moves()) {
        let mut b = bench(definition(0, mode));
        run(&mut b, &moves, mode);
        drain(&mut b);
    }

    #[test]
    fn the_same_events_give_the_same_state(mode in mode(), moves in moves()) {
        let mut first = bench(definition(0, mode));
        let events = run(&mut first, &moves, mode);
        let mut second = bench(definition(0, mode));
        for event in events {
            second.now = second.now.plus_millis(1000);
            let accepted = second.apply(&event).is_ok();
            if accepted && matches!(event, Event::ApprovalAnswered { .. }) {
                let _ = second.apply(&event);
            }
        }
        prop_assert_eq!(&first.gate, &second.gate);
        prop_assert_eq!(&first.executions, &second.executions);
        prop_assert_eq!(&first.history, &second.history);
        prop_assert_eq!(&first.records, &second.records);
    }
}
