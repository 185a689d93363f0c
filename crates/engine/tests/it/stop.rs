//! StopPipelineExecution: waiting for what runs, or abandoning it; and what may be stopped when.

use towpath_engine::Reply;
use towpath_model::action::Outcome;
use towpath_model::event::{Event, Rejection};
use towpath_model::ids::ExecutionId;
use towpath_model::state::{ActionStatus, ExecutionStatus, StageStatus};

use crate::bench::{BY, Bench, bench};
use crate::declare::{approval, pipeline, source, three_stages, work};

fn two_at_once() -> (Bench, ExecutionId) {
    let mut b =
        bench(pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A"), work("B"), work("C").order(2)]));
    let e1 = b.start();
    b.done(&e1, "S");
    b.hush();
    (b, e1)
}

#[test]
fn stop_and_wait_lets_actions_end_and_starts_nothing() {
    let (mut b, e1) = two_at_once();
    assert_eq!(b.stop(&e1, false, Some("enough")), Ok(Reply::StopAccepted(e1.clone())));
    assert_eq!(b.happened(), ["e1 STOPPING (enough)", "e1 Work STOPPING"]);
    b.done(&e1, "A");
    assert_eq!(b.happened(), ["e1 Work/A SUCCEEDED"]);
    b.done(&e1, "B");
    assert_eq!(b.happened(), ["e1 Work/B SUCCEEDED", "e1 Work STOPPED", "e1 STOPPED (enough)"]);
    assert_eq!(b.executions[&e1].status_summary.as_deref(), Some("enough"));
    assert_eq!(b.executions[&e1].stop.as_ref().unwrap().requested_by, BY);
    assert_eq!(b.lock("Work"), None);
    assert!(b.stopped.is_empty());
}

#[test]
fn it_is_stopped_even_when_the_last_action_fails() {
    let (mut b, e1) = two_at_once();
    b.stop(&e1, false, None).unwrap();
    b.fail(&e1, "A");
    b.done(&e1, "B");
    assert_eq!((b.status(&e1), b.stage_status(&e1, "Work")), (ExecutionStatus::Stopped, StageStatus::Stopped));
}

#[test]
fn stop_and_abandon_ends_everything_at_once() {
    let (mut b, e1) = two_at_once();
    let running = [b.running(&e1, "A"), b.running(&e1, "B")];
    b.stop(&e1, true, None).unwrap();
    assert_eq!(
        b.happened(),
        [
            "e1 STOPPING",
            "e1 Work STOPPING",
            "e1 Work/A ABANDONED",
            "e1 Work/B ABANDONED",
            "e1 Work STOPPED",
            "e1 STOPPED"
        ]
    );
    assert_eq!(b.stopped, running);
    assert!(b.open.is_empty());
    // What the abandoned work says later counts for nothing.
    let late =
        Event::ActionFinished { execution: e1.clone(), action: running[0].clone(), outcome: Outcome::succeeded() };
    b.apply(&late).unwrap();
    assert_eq!(b.attempt(&e1, "A").status, ActionStatus::Abandoned);
}

#[test]
fn repeated_stops() {
    let (mut b, e1) = two_at_once();
    b.stop(&e1, false, Some("first")).unwrap();
    assert!(matches!(b.stop(&e1, false, None), Err(Rejection::DuplicatedStopRequest(_))));
    b.stop(&e1, true, None).unwrap();
    assert_eq!(b.happened()[2..4], ["e1 STOPPING (first)", "e1 Work STOPPING"]);
    for abandon in [true, false] {
        assert_eq!(
            b.stop(&e1, abandon, None),
            Err(Rejection::PipelineExecutionNotStoppable(format!(
                "The pipeline execution with ID '{e1}' in 'p' can't be stopped now. Either it does not exist in the pipeline, \
                 or the pipeline execution has no action executions in progress."
            )))
        );
    }
}

#[test]
fn what_has_ended_or_never_was_cannot_be_stopped() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.fail(&e1, "S");
    for id in [e1, ExecutionId::new("nobody")] {
        assert!(matches!(b.stop(&id, true, None), Err(Rejection::PipelineExecutionNotStoppable(_))));
    }
}

#[test]
fn a_stopped_stage_lets_the_next_one_in() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    let e2 = b.start();
    b.done(&e2, "S");
    b.stop(&e1, true, None).unwrap();
    assert_eq!(b.lock("Build"), Some("e2".to_owned()));
}

#[test]
fn an_approval_stays_open_while_stopping_and_its_answer_counts() {
    let mut b = bench(
        pipeline("p").stage("Source", [source("S")]).stage("Gate", [approval("Ok")]).stage("Deploy", [work("D")]),
    );
    let e1 = b.start();
    b.done(&e1, "S");
    b.stop(&e1, false, None).unwrap();
    let token = b.token(&e1, "Ok");
    b.answer("Gate", "Ok", &token, true, "").unwrap();
    assert_eq!(b.attempt(&e1, "Ok").status, ActionStatus::Succeeded);
    assert_eq!((b.status(&e1), b.stage_status(&e1, "Gate")), (ExecutionStatus::Stopped, StageStatus::Stopped));
}

#[test]
fn an_abandoned_approval_says_so_and_its_token_is_dead() {
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage("Gate", [approval("Ok")]));
    let e1 = b.start();
    b.done(&e1, "S");
    let token = b.token(&e1, "Ok");
    b.stop(&e1, true, None).unwrap();
    let attempt = b.attempt(&e1, "Ok");
    assert_eq!(attempt.progress.summary.as_deref(), Some("The approval action has been canceled."));
    assert_eq!(attempt.token, None);
    assert!(b.stopped.is_empty(), "there is nothing outside to stop");
    assert!(matches!(b.answer("Gate", "Ok", &token, true, ""), Err(Rejection::InvalidApprovalToken(_))));
}

#[test]
fn a_stopped_inbound_execution_stays_visible_and_never_enters() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    let e2 = b.start();
    b.done(&e2, "S");
    b.hush();
    b.stop(&e2, false, None).unwrap();
    assert_eq!(b.happened(), ["e2 STOPPING", "e2 STOPPED"]);
    assert_eq!(b.waiting("Build"), ["e2"]);
    b.done(&e1, "B");
    assert_eq!(b.lock("Build"), None);
    // The next arrival takes the slot.
    let e3 = b.start();
    b.done(&e3, "S");
    assert_eq!(b.lock("Build"), Some("e3".to_owned()));
    assert_eq!(b.waiting("Build"), Vec::<String>::new());
    assert_eq!(b.status(&e2), ExecutionStatus::Stopped);
}
