//! PutApprovalResult: the token, the answer, and answers nobody may give any more.

use towpath_engine::Reply;
use towpath_model::declaration::RetryMode;
use towpath_model::event::Rejection;
use towpath_model::history::HistoryEvent;
use towpath_model::ids::ExecutionId;
use towpath_model::state::{ActionStatus, ExecutionStatus};

use crate::bench::{BY, Bench, Open, bench};
use crate::declare::{Action, approval, pipeline, source, work};

fn waiting_at(gate: Action) -> (Bench, ExecutionId, String) {
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage("Gate", [gate]).stage("Deploy", [work("D")]));
    let e1 = b.start();
    b.done(&e1, "S");
    b.hush();
    let token = b.token(&e1, "Ok");
    (b, e1, token)
}

#[test]
fn the_token_is_the_action_execution_id_and_the_world_only_waits() {
    let (b, e1, token) = waiting_at(approval("Ok"));
    let action = b.running(&e1, "Ok");
    assert_eq!(token, action.as_str());
    assert!(matches!(b.open[&action], Open::Await(_)));
    assert_eq!(b.attempt(&e1, "Ok").progress.external_id, None);
}

#[test]
fn an_approval_with_a_topic_is_started_and_can_be_answered_before_anybody_was_told() {
    let (mut b, e1, token) =
        waiting_at(approval("Ok").config("NotificationArn", "arn:aws:sns:us-east-1:123456789012:t"));
    let action = b.running(&e1, "Ok");
    assert!(matches!(b.open[&action], Open::Start(_)));
    assert_eq!(b.answer("Gate", "Ok", &token, true, ""), Ok(Reply::ApprovedAt(b.now)));
    assert!(!b.open.contains_key(&action), "there is nothing to start any more");
    assert_eq!(b.status(&e1), ExecutionStatus::InProgress);
}

#[test]
fn approved() {
    let (mut b, e1, token) = waiting_at(approval("Ok"));
    assert_eq!(b.answer("Gate", "Ok", &token, true, "looks good"), Ok(Reply::ApprovedAt(b.now)));
    assert_eq!(b.happened(), ["e1 Gate/Ok SUCCEEDED", "e1 Gate SUCCEEDED", "e1 Deploy STARTED", "e1 Deploy/D STARTED"]);
    let attempt = b.attempt(&e1, "Ok");
    assert_eq!(attempt.updated_by.as_deref(), Some(BY));
    assert_eq!(attempt.progress.summary.as_deref(), Some("looks good"));
}

#[test]
fn rejected_shows_no_error_but_the_event_carries_one() {
    let (mut b, e1, token) = waiting_at(approval("Ok"));
    b.answer("Gate", "Ok", &token, false, "not today").unwrap();
    assert_eq!(b.status(&e1), ExecutionStatus::Failed);
    let attempt = b.attempt(&e1, "Ok");
    assert_eq!((attempt.status, &attempt.error), (ActionStatus::Failed, &None));
    assert_eq!(attempt.progress.summary.as_deref(), Some("not today"));
    assert_eq!(attempt.progress.external_id.as_deref(), Some(token.as_str()));
    let told = b.history.iter().find_map(|entry| match &entry.event {
        HistoryEvent::Action { error: Some(error), .. } => Some(error.clone()),
        _ => None,
    });
    assert_eq!(told.unwrap().code, "JobFailed");
}

#[test]
fn a_token_is_consumed_once() {
    for first in [true, false] {
        let (mut b, _, token) = waiting_at(approval("Ok"));
        b.answer("Gate", "Ok", &token, first, "").unwrap();
        for second in [true, false] {
            let refused = b.answer("Gate", "Ok", &token, second, "");
            assert!(matches!(refused, Err(Rejection::ApprovalAlreadyCompleted(_))), "{refused:?}");
        }
    }
}

#[test]
fn unknown_names_and_tokens() {
    let (mut b, _, token) = waiting_at(approval("Ok"));
    assert!(matches!(b.answer("Nowhere", "Ok", &token, true, ""), Err(Rejection::StageNotFound(_))));
    assert_eq!(
        b.answer("Gate", "Nobody", &token, true, ""),
        Err(Rejection::ActionNotFound(
            "Action with name 'Nobody' does not exist in stage 'Gate' of pipeline with name 'p'".to_owned()
        ))
    );
    assert!(matches!(b.answer("Gate", "Ok", "other", true, ""), Err(Rejection::InvalidApprovalToken(_))));
    // The token of one action does not open another.
    assert!(matches!(b.answer("Deploy", "D", &token, true, ""), Err(Rejection::InvalidApprovalToken(_))));
    b.answer("Gate", "Ok", &token, true, "").unwrap();
}

#[test]
fn an_action_that_is_no_approval_cannot_be_answered() {
    let (mut b, e1, token) = waiting_at(approval("Ok"));
    b.answer("Gate", "Ok", &token, true, "").unwrap();
    let id = b.running(&e1, "D").to_string();
    assert!(matches!(b.answer("Deploy", "D", &id, true, ""), Err(Rejection::InvalidApprovalToken(_))));
}

#[test]
fn a_required_summary() {
    let (mut b, _, token) = waiting_at(approval("Ok").config("IsSummaryRequired", "true"));
    for empty in ["", "  "] {
        assert_eq!(
            b.answer("Gate", "Ok", &token, true, empty),
            Err(Rejection::InvalidApprovalToken(
                "Action 'Ok' in stage 'Gate' requires a summary. Provide a summary in the approval result and try again."
                    .to_owned()
            ))
        );
    }
    b.answer("Gate", "Ok", &token, true, "because").unwrap();
}

#[test]
fn a_timed_out_approval_fails_and_its_token_is_dead() {
    let (mut b, e1, token) = waiting_at(approval("Ok"));
    b.time_out(&e1, "Ok");
    assert_eq!(b.status(&e1), ExecutionStatus::Failed);
    assert!(b.stopped.is_empty());
    assert!(matches!(b.answer("Gate", "Ok", &token, true, ""), Err(Rejection::InvalidApprovalToken(_))));
}

#[test]
fn a_new_attempt_has_a_new_token() {
    let (mut b, e1, token) = waiting_at(approval("Ok"));
    b.answer("Gate", "Ok", &token, false, "no").unwrap();
    b.retry(&e1, "Gate", RetryMode::FailedActions).unwrap();
    let fresh = b.token(&e1, "Ok");
    assert_ne!(token, fresh);
    assert!(matches!(b.answer("Gate", "Ok", &token, true, ""), Err(Rejection::InvalidApprovalToken(_))));
    b.answer("Gate", "Ok", &fresh, true, "").unwrap();
}

#[test]
fn an_update_outdates_the_request() {
    let (mut b, e1, token) = waiting_at(approval("Ok"));
    b.update(pipeline("p").stage("Source", [source("S")]).stage("Gate", [approval("Ok")]).stage("Deploy", [work("D")]));
    assert_eq!(b.happened(), ["e1 Gate/Ok CANCELED", "e1 Gate CANCELED", "e1 CANCELED"]);
    assert_eq!(b.attempt(&e1, "Ok").progress.summary.as_deref(), Some("The approval action has been canceled."));
    assert_eq!(
        b.answer("Gate", "Ok", &token, true, ""),
        Err(Rejection::InvalidApprovalToken(
            "The pipeline p has been updated, and the approval request you responded to is now out of date.".to_owned()
        ))
    );
}
