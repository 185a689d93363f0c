//! What providers answer: progress, results, timeouts; and answers that come too late, twice or to nobody.

use std::collections::BTreeMap;

use towpath_engine::Reply;
use towpath_model::action::{Outcome, Progress, error_code};
use towpath_model::event::Event;
use towpath_model::ids::{ActionExecutionId, ExecutionId};
use towpath_model::state::{ActionStatus, ExecutionStatus};

use crate::bench::bench;
use crate::declare::{approval, codebuild, pipeline, source, three_stages, work};

fn told(id: &str, summary: &str) -> Progress {
    Progress { external_id: Some(id.to_owned()), summary: Some(summary.to_owned()), ..Progress::default() }
}

#[test]
fn progress_is_kept_until_told_anew_and_leaves_no_history() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.hush();
    b.progress(&e1, "S", told("build:1", "queued"));
    let more = Progress { summary: Some("running".to_owned()), percent: Some(140), ..Progress::default() };
    b.progress(&e1, "S", more);
    let progress = &b.attempt(&e1, "S").progress;
    assert_eq!(progress.external_id.as_deref(), Some("build:1"));
    assert_eq!(progress.summary.as_deref(), Some("running"));
    assert_eq!(progress.percent, Some(100));
    assert_eq!(b.happened(), Vec::<String>::new());
}

#[test]
fn the_last_word_keeps_what_was_known() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.progress(&e1, "S", told("build:1", "running"));
    b.done(&e1, "S");
    assert_eq!(b.attempt(&e1, "S").progress.external_id.as_deref(), Some("build:1"));
}

#[test]
fn what_a_provider_tells_is_cut_to_its_bounds() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    let outcome = Outcome::Failed {
        progress: told(&"i".repeat(5000), &"ä".repeat(5000)),
        error: towpath_model::action::ErrorDetails::new("JobFailed", "x".repeat(9000)),
    };
    b.finish_with(&e1, "S", outcome);
    let attempt = b.attempt(&e1, "S");
    assert_eq!(attempt.progress.external_id.as_ref().unwrap().len(), 1500);
    assert_eq!(attempt.progress.summary.as_ref().unwrap().chars().count(), 2048);
    assert_eq!(attempt.error.as_ref().unwrap().message.len(), 5000);
}

#[test]
fn late_stale_and_unknown_answers_change_nothing() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    let s = b.running(&e1, "S");
    b.done(&e1, "S");
    b.hush();
    let before = (b.executions.clone(), b.gate.clone());
    let stranger = ExecutionId::new("nobody");
    for (execution, action) in [(&e1, &s), (&e1, &ActionExecutionId::new("nothing")), (&stranger, &s)] {
        for event in [
            Event::ActionFinished {
                execution: execution.clone(),
                action: action.clone(),
                outcome: Outcome::succeeded(),
            },
            Event::ActionFinished {
                execution: execution.clone(),
                action: action.clone(),
                outcome: Outcome::failed("JobFailed", "late"),
            },
            Event::ActionTimedOut { execution: execution.clone(), action: action.clone(), unavailable: None },
            Event::ActionProgressed {
                execution: execution.clone(),
                action: action.clone(),
                progress: told("late", "late"),
            },
        ] {
            assert_eq!(b.apply(&event), Ok(Reply::Nothing));
        }
    }
    assert_eq!((b.executions.clone(), b.gate.clone()), before);
    assert_eq!(b.happened(), Vec::<String>::new());
}

#[test]
fn the_deadline_is_the_types_own_or_the_one_that_may_be_set() {
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage(
        "Work",
        [
            codebuild("Build").input("SOut"),
            approval("Long"),
            approval("Short").with(|a| a.timeout_in_minutes = Some(5)),
            work("Plain").with(|a| a.timeout_in_minutes = Some(5)),
        ],
    ));
    let e1 = b.start();
    b.done(&e1, "S");
    let minutes = |action: &str| (b.attempt(&e1, action).deadline.millis() - b.now.millis()) / 60_000;
    assert_eq!((minutes("Build"), minutes("Long"), minutes("Short"), minutes("Plain")), (36 * 60, 7 * 24 * 60, 5, 60));
}

#[test]
fn a_timeout_fails_the_action_and_stops_what_runs_outside() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.progress(&e1, "S", told("build:1", "running"));
    let action = b.running(&e1, "S");
    b.time_out(&e1, "S");
    assert_eq!(b.status(&e1), ExecutionStatus::Failed);
    assert_eq!(b.error(&e1, "S").code, error_code::TIMED_OUT);
    assert_eq!(b.error(&e1, "S").message, "The action did not complete within 60 minutes.");
    assert_eq!(b.stopped, [action]);
}

#[test]
fn too_large_output_variables_fail_the_action() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    let fits = BTreeMap::from([("K".to_owned(), "v".repeat(122_879))]);
    let outcome = |variables| Outcome::Succeeded { progress: Progress::default(), variables, revisions: Vec::new() };
    b.finish_with(&e1, "S", outcome(fits));
    assert_eq!(b.attempt(&e1, "S").status, ActionStatus::Succeeded);
    let too_large = BTreeMap::from([("K".to_owned(), "v".repeat(122_880))]);
    b.finish_with(&e1, "B", outcome(too_large));
    assert_eq!(b.status(&e1), ExecutionStatus::Failed);
    assert!(b.error(&e1, "B").message.contains("122881 bytes"), "{}", b.error(&e1, "B").message);
}

#[test]
fn a_secret_is_clear_to_the_provider_and_masked_in_the_record() {
    let mut b = bench(
        pipeline("p")
            .stage("Source", [source("S")])
            .stage("Work", [work("A").config("Password", "hunter2").config("Text", "t")]),
    );
    let e1 = b.start();
    b.done(&e1, "S");
    assert_eq!(b.invocation(&e1, "A").config("Password"), Some("hunter2"));
    let record = &b.records[&b.running(&e1, "A")];
    let masked = record.attempt.invocation.as_ref().unwrap();
    assert_eq!(masked.config("Password"), Some("****"));
    assert_eq!(record.configuration["Password"], "****");
    assert_eq!(record.resolved_configuration["Password"], "****");
    assert_eq!(record.configuration["Text"], "t");
}

#[test]
fn an_action_type_that_went_away_fails_the_action() {
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage(
        "Work",
        [work("A").with(|a| {
            a.action_type_id.provider = "Gone".to_owned();
            a.configuration = Some(BTreeMap::from([("Token".to_owned(), "secret".to_owned())]));
        })],
    ));
    let e1 = b.start();
    b.done(&e1, "S");
    assert_eq!(b.status(&e1), ExecutionStatus::Failed);
    assert_eq!(
        b.error(&e1, "A").message,
        "ActionType (Category: 'Test', Provider: 'Gone', Owner: 'Custom', Version: '1') in action 'A' is not available in \
         region 'EU_WEST_1'"
    );
    // Nobody knows which of its values are secret.
    assert_eq!(b.records[&b.attempt(&e1, "A").id].configuration["Token"], "****");
}

#[test]
fn an_acknowledged_start_that_tells_nothing_is_a_change_all_the_same() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    let before = b.executions[&e1].clone();
    b.now = b.now.plus_millis(5);
    b.progress(&e1, "S", Progress::default());
    assert_ne!(b.executions[&e1], before, "a decision that changes nothing says that nobody waits for the action");
}
