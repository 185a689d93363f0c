//! QUEUED and PARALLEL: order of arrival, caps, no locks; and switching between modes.

use towpath_model::declaration::ExecutionMode::{Parallel, Queued, Superseded};
use towpath_model::declaration::RetryMode;
use towpath_model::event::{Event, Rejection, TransitionType};
use towpath_model::ids::ExecutionId;
use towpath_model::state::{ExecutionStatus, Position};

use crate::bench::{Bench, bench};
use crate::declare::{approval, pipeline, source, three_stages, work};

fn started(b: &mut Bench, count: usize) -> Vec<ExecutionId> {
    (0..count).map(|_| b.start()).collect()
}

#[test]
fn a_queue_keeps_the_order_of_arrival_and_supersedes_nobody() {
    let mut b = bench(three_stages().mode(Queued));
    let e = started(&mut b, 4);
    assert_eq!(b.waiting("Source"), ["e2", "e3", "e4"]);
    b.done(&e[0], "S");
    assert_eq!((b.lock("Source"), b.lock("Build")), (Some("e2".to_owned()), Some("e1".to_owned())));
    b.done(&e[1], "S");
    b.done(&e[2], "S");
    assert_eq!(b.waiting("Build"), ["e2", "e3"]);
    b.fail(&e[0], "B");
    assert_eq!(b.lock("Build"), Some("e2".to_owned()));
    b.done(&e[1], "B");
    assert_eq!((b.lock("Build"), b.lock("Deploy")), (Some("e3".to_owned()), Some("e2".to_owned())));
}

#[test]
fn a_stopped_one_in_the_queue_is_passed_over() {
    let mut b = bench(three_stages().mode(Queued));
    let e = started(&mut b, 4);
    b.stop(&e[1], false, None).unwrap();
    assert_eq!(b.waiting("Source"), ["e2", "e3", "e4"]);
    b.done(&e[0], "S");
    assert_eq!(b.lock("Source"), Some("e3".to_owned()));
    assert_eq!(b.waiting("Source"), ["e4"]);
}

#[test]
fn a_closed_door_lets_the_head_of_the_queue_in_when_it_opens() {
    let mut b = bench(three_stages().mode(Queued));
    b.close("Source");
    started(&mut b, 3);
    b.reopen("Source");
    assert_eq!(
        (b.lock("Source"), b.waiting("Source")),
        (Some("e1".to_owned()), vec!["e2".to_owned(), "e3".to_owned()])
    );
}

#[test]
fn queued_and_parallel_hold_fifty_at_most() {
    for mode in [Queued, Parallel] {
        let mut b = bench(three_stages().mode(mode));
        let e = started(&mut b, 50);
        let refused = b.start_with(&[], &[]).unwrap_err();
        assert!(matches!(&refused, Rejection::ConcurrentPipelineExecutionsLimitExceeded(_)), "{refused:?}");
        b.fail(&e[0], "S");
        b.start();
        let refused = b.retry(&e[0], "Source", RetryMode::FailedActions).unwrap_err();
        // In the queue the next one has entered meanwhile, which is told first.
        match mode {
            Parallel => {
                assert!(matches!(&refused, Rejection::ConcurrentPipelineExecutionsLimitExceeded(_)), "{refused:?}");
            }
            _ => assert!(matches!(&refused, Rejection::NotLatestPipelineExecution(_)), "{refused:?}"),
        }
    }
}

#[test]
fn a_whole_queue_may_fail_in_one_step() {
    let mut b =
        bench(pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A").input("Nothing")]).mode(Queued));
    b.close("Work");
    let e = started(&mut b, 49);
    for id in &e {
        b.done(id, "S");
    }
    assert_eq!(b.waiting("Work").len(), 49);
    b.reopen("Work");
    assert!(e.iter().all(|id| b.status(id) == ExecutionStatus::Failed));
    assert_eq!(b.lock("Work"), None);
}

#[test]
fn parallel_executions_do_not_see_each_other() {
    let mut b = bench(three_stages().mode(Parallel));
    let e = started(&mut b, 3);
    for id in &e {
        b.done(id, "S");
    }
    assert_eq!(b.gate.stage("Build").unwrap().lock, None);
    assert_eq!(b.gate.stage("Build").unwrap().latest, None);
    assert_eq!(b.gate.parallel, e);
    b.fail(&e[1], "B");
    b.retry(&e[1], "Build", RetryMode::AllActions).unwrap();
    for id in &e {
        b.done(id, "B");
        b.done(id, "D");
        assert_eq!(b.status(id), ExecutionStatus::Succeeded);
    }
    assert!(b.gate.parallel.is_empty());
}

#[test]
fn a_parallel_execution_runs_five_actions_at_once() {
    let mut b = bench(
        pipeline("p")
            .stage("Source", [source("S")])
            .stage("Work", ["A", "B", "C", "D", "E", "F", "G"].map(work))
            .mode(Parallel),
    );
    let e1 = b.start();
    b.done(&e1, "S");
    assert_eq!(b.in_flight(&e1).len(), 5);
    b.done(&e1, "C");
    assert_eq!(b.in_flight(&e1).len(), 5);
    assert!(b.in_flight(&e1).contains("F"));
    // After a failure nothing more starts; the retry takes it up.
    for action in ["A", "B", "D", "E"] {
        b.fail(&e1, action);
    }
    b.done(&e1, "F");
    assert_eq!(b.status(&e1), ExecutionStatus::Failed);
    b.retry(&e1, "Work", RetryMode::FailedActions).unwrap();
    assert_eq!(b.in_flight(&e1).len(), 5);
    for action in ["A", "B", "D", "E", "G"] {
        b.done(&e1, action);
    }
    assert_eq!(b.status(&e1), ExecutionStatus::Succeeded);
}

#[test]
fn the_token_of_a_parallel_approval_is_its_external_id() {
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage("Gate", [approval("Ok")]).mode(Parallel));
    let e = started(&mut b, 2);
    for id in &e {
        b.done(id, "S");
    }
    let token = b.attempt(&e[1], "Ok").progress.external_id.clone().unwrap();
    b.answer("Gate", "Ok", &token, true, "").unwrap();
    assert_eq!((b.status(&e[0]), b.status(&e[1])), (ExecutionStatus::InProgress, ExecutionStatus::Succeeded));
}

#[test]
fn closed_doors_hold_parallel_executions_too() {
    let mut b = bench(three_stages().mode(Parallel));
    b.close("Build");
    b.transition("Build", TransitionType::Outbound, false).unwrap();
    let e = started(&mut b, 2);
    for id in &e {
        b.done(id, "S");
    }
    assert_eq!(b.waiting("Build"), ["e1", "e2"]);
    b.reopen("Build");
    for id in &e {
        b.done(id, "B");
        assert_eq!(b.executions[id].position, Position::After(1));
    }
    b.transition("Build", TransitionType::Outbound, true).unwrap();
    for id in &e {
        b.done(id, "D");
    }
}

#[test]
fn an_update_lets_parallel_executions_run_on_with_their_own_definition() {
    for mode in [Parallel, Superseded] {
        let mut b = bench(three_stages().mode(Parallel));
        let e1 = b.start();
        b.close("Build");
        let e2 = b.start();
        b.done(&e2, "S");
        // The stage e2 waits at is gone in the new version, so nothing holds it any more.
        b.update(pipeline("p").stage("Source", [source("S")]).stage("Other", [work("O")]).mode(mode));
        assert_eq!(b.executions[&e2].position, Position::In(1));
        b.done(&e1, "S");
        for id in [&e1, &e2] {
            b.done(id, "B");
            b.done(id, "D");
            assert_eq!(b.status(id), ExecutionStatus::Succeeded);
        }
        let e3 = b.start();
        assert_eq!(b.executions[&e3].mode, mode);
    }
}

#[test]
fn an_exit_that_is_gone_holds_no_parallel_execution() {
    let mut b = bench(three_stages().mode(Parallel));
    b.transition("Build", TransitionType::Outbound, false).unwrap();
    let e1 = b.start();
    b.done(&e1, "S");
    b.done(&e1, "B");
    b.update(pipeline("p").stage("Source", [source("S")]).stage("Other", [work("O")]).mode(Parallel));
    b.done(&e1, "D");
    assert_eq!(b.status(&e1), ExecutionStatus::Succeeded);
}

#[test]
fn switching_to_parallel_cancels_what_ran_under_locks() {
    let mut b = bench(three_stages().mode(Queued));
    let e = started(&mut b, 2);
    b.update(three_stages().mode(Parallel));
    assert_eq!(b.status(&e[1]), ExecutionStatus::Cancelled);
    let e3 = b.start();
    b.done(&e3, "S");
    b.done(&e[0], "S");
    assert_eq!(b.status(&e[0]), ExecutionStatus::Cancelled);
    b.done(&e3, "B");
}

#[test]
fn deleting_abandons_parallel_executions() {
    let mut b = bench(three_stages().mode(Parallel));
    let e = started(&mut b, 3);
    b.apply(&Event::PipelineDeleted).unwrap();
    assert!(e.iter().all(|id| b.status(id) == ExecutionStatus::Stopped));
    assert_eq!(b.stopped.len(), 3);
}
