//! Stage conditions: what each gate lets through, what its result does, and OverrideStageCondition.

use towpath_model::declaration::ConditionType::{self, BeforeEntry, OnFailure, OnSuccess};
use towpath_model::declaration::ExecutionMode;
use towpath_model::event::Rejection;
use towpath_model::ids::ExecutionId;
use towpath_model::state::{ExecutionStatus, StageStatus};

use crate::bench::{Bench, bench};
use crate::declare::{Pipeline, pipeline, source, work};

/// A condition at a gate of the middle stage.
fn gated(gate: ConditionType, result: &str, rules: &[&str]) -> Pipeline {
    let pipeline = pipeline("p").stage("Source", [source("S")]).stage("Build", [work("B")]);
    pipeline.gate(gate, result, rules).stage("Deploy", [work("D")])
}

fn at_the_gate(gate: ConditionType, result: &str, rules: &[&str]) -> (Bench, ExecutionId) {
    let mut b = bench(gated(gate, result, rules));
    let e1 = b.start();
    b.hush();
    b.done(&e1, "S");
    (b, e1)
}

#[test]
fn an_entry_condition_that_is_met_lets_the_actions_start() {
    let (mut b, e1) = at_the_gate(BeforeEntry, "FAIL", &["R1", "R2"]);
    assert_eq!(
        b.happened(),
        [
            "e1 Source/S SUCCEEDED",
            "e1 Source SUCCEEDED",
            "e1 Build STARTED",
            "e1 Build.beforeEntry InProgress",
            "e1 Build.beforeEntry/R1 STARTED",
            "e1 Build.beforeEntry/R2 STARTED",
        ]
    );
    b.rule(&e1, "R1", Ok(()));
    assert!(b.in_flight(&e1).is_empty(), "every rule must be met");
    b.rule(&e1, "R2", Ok(()));
    assert_eq!(b.condition(&e1, "Build", BeforeEntry), "Succeeded");
    assert_eq!(b.in_flight(&e1).into_iter().collect::<Vec<_>>(), ["B"]);
}

#[test]
fn an_entry_condition_with_fail_ends_the_execution_before_any_action() {
    let (mut b, e1) = at_the_gate(BeforeEntry, "FAIL", &["R1", "R2"]);
    b.hush();
    b.rule(&e1, "R1", Err("JobFailed"));
    assert_eq!(
        b.happened(),
        [
            "e1 Build.beforeEntry/R1 FAILED",
            "e1 Build.beforeEntry/R2 ABANDONED",
            "e1 Build.beforeEntry Failed",
            "e1 Build FAILED",
            "e1 FAILED",
        ]
    );
    assert_eq!(b.lock("Build"), None);
    assert!(b.executions[&e1].stage_run("Build").unwrap().actions.iter().all(|action| action.latest.is_none()));
}

#[test]
fn an_entry_condition_with_skip_passes_the_stage_by() {
    let (mut b, e1) = at_the_gate(BeforeEntry, "SKIP", &["R"]);
    b.rule(&e1, "R", Err("JobFailed"));
    assert_eq!(b.stage_status(&e1, "Build"), StageStatus::Skipped);
    assert_eq!(b.lock("Build"), None);
    b.done(&e1, "D");
    assert_eq!(b.status(&e1), ExecutionStatus::Succeeded);
    assert_eq!(b.gate.stage("Build").unwrap().last_success, None, "a skipped stage is no rollback target");
    assert!(matches!(b.roll_back("Build", &e1), Err(Rejection::UnableToRollbackStage(_))));
}

#[test]
fn a_rule_that_could_not_be_asked_is_an_error_and_counts_as_not_met() {
    for code in ["ConfigurationError", "PermissionError", "InternalError"] {
        let (mut b, e1) = at_the_gate(BeforeEntry, "FAIL", &["R"]);
        b.rule(&e1, "R", Err(code));
        assert_eq!(b.condition(&e1, "Build", BeforeEntry), "Errored");
        assert_eq!(b.status(&e1), ExecutionStatus::Failed);
    }
}

#[test]
fn a_success_condition_keeps_the_lock_and_then_lets_go() {
    let (mut b, e1) = at_the_gate(OnSuccess, "FAIL", &["R"]);
    b.hush();
    b.done(&e1, "B");
    assert_eq!(
        b.happened(),
        ["e1 Build/B SUCCEEDED", "e1 Build SUCCEEDED", "e1 Build.onSuccess InProgress", "e1 Build.onSuccess/R STARTED"]
    );
    assert_eq!(b.lock("Build"), Some("e1".to_owned()));
    b.rule(&e1, "R", Ok(()));
    assert_eq!(b.lock("Build"), None);
    assert_eq!(b.in_flight(&e1).into_iter().collect::<Vec<_>>(), ["D"]);
}

#[test]
fn a_success_condition_with_fail_fails_a_stage_that_had_succeeded() {
    let (mut b, e1) = at_the_gate(OnSuccess, "FAIL", &["R"]);
    b.done(&e1, "B");
    b.hush();
    b.rule(&e1, "R", Err("JobFailed"));
    assert_eq!(
        b.happened(),
        ["e1 Build.onSuccess/R FAILED", "e1 Build.onSuccess Failed", "e1 Build FAILED", "e1 FAILED"]
    );
    assert_eq!(b.gate.stage("Build").unwrap().last_success, None);
}

#[test]
fn a_success_condition_with_rollback_leaves_the_stage_succeeded_and_goes_back() {
    let (mut b, e1) = at_the_gate(OnSuccess, "ROLLBACK", &["R"]);
    b.done(&e1, "B");
    b.rule(&e1, "R", Ok(()));
    b.done(&e1, "D");
    let e2 = b.start();
    b.done(&e2, "S");
    b.done(&e2, "B");
    b.rule(&e2, "R", Err("JobFailed"));
    assert_eq!((b.status(&e2), b.stage_status(&e2, "Build")), (ExecutionStatus::Failed, StageStatus::Succeeded));
    let rollback = b.newest().clone();
    assert_eq!(rollback.trigger.kind, "AutomatedRollback");
    assert_eq!(rollback.trigger.detail, format!("{{\"FailedPipelineExecutionId\":\"{e2}\"}}"));
    // It is asked the same question; not met again, nothing chains.
    b.done(&rollback.id, "B");
    b.rule(&rollback.id, "R", Err("JobFailed"));
    assert_eq!(b.status(&rollback.id), ExecutionStatus::Failed);
    assert_eq!(b.executions.len(), 3);
}

#[test]
fn a_failure_condition_rolls_back_when_its_criteria_are_met() {
    for (answer, executions) in [(Ok(()), 3), (Err("JobFailed"), 2)] {
        let (mut b, e1) = at_the_gate(OnFailure, "ROLLBACK", &["R"]);
        b.done(&e1, "B");
        b.done(&e1, "D");
        let e2 = b.start();
        b.done(&e2, "S");
        b.fail(&e2, "B");
        assert_eq!((b.status(&e2), b.stage_status(&e2, "Build")), (ExecutionStatus::InProgress, StageStatus::Failed));
        assert_eq!(b.lock("Build"), Some("e2".to_owned()));
        b.rule(&e2, "R", answer);
        assert_eq!(b.status(&e2), ExecutionStatus::Failed);
        assert_eq!(b.executions.len(), executions);
    }
}

#[test]
fn an_entry_condition_that_is_still_asked_can_be_overridden() {
    let (mut b, e1) = at_the_gate(BeforeEntry, "FAIL", &["R"]);
    b.hush();
    b.override_condition(&e1, "Build", BeforeEntry).unwrap();
    assert_eq!(
        b.happened(),
        ["e1 Build.beforeEntry/R ABANDONED", "e1 Build.beforeEntry Overridden", "e1 Build/B STARTED"]
    );
    assert!(matches!(b.override_condition(&e1, "Build", BeforeEntry), Err(Rejection::ConditionNotOverridable(_))));
}

#[test]
fn a_skip_cannot_be_overridden() {
    let (mut b, e1) = at_the_gate(BeforeEntry, "SKIP", &["R"]);
    assert!(matches!(b.override_condition(&e1, "Build", BeforeEntry), Err(Rejection::ConditionNotOverridable(_))));
    b.rule(&e1, "R", Err("JobFailed"));
    assert!(matches!(b.override_condition(&e1, "Build", BeforeEntry), Err(Rejection::ConditionNotOverridable(_))));
}

#[test]
fn an_overridden_success_condition_lets_the_execution_proceed() {
    for result in ["FAIL", "ROLLBACK"] {
        let (mut b, e1) = at_the_gate(OnSuccess, result, &["R"]);
        b.done(&e1, "B");
        b.rule(&e1, "R", Err("JobFailed"));
        assert_eq!(b.status(&e1), ExecutionStatus::Failed);
        b.override_condition(&e1, "Build", OnSuccess).unwrap();
        assert_eq!(b.condition(&e1, "Build", OnSuccess), "Overridden");
        assert_eq!(
            (b.status(&e1), b.stage_status(&e1, "Build")),
            (ExecutionStatus::InProgress, StageStatus::Succeeded)
        );
        assert_eq!(b.gate.stage("Build").unwrap().last_success, Some(e1.clone()));
        b.done(&e1, "D");
        assert_eq!(b.status(&e1), ExecutionStatus::Succeeded);
    }
}

#[test]
fn what_cannot_be_overridden() {
    let (mut b, e1) = at_the_gate(OnSuccess, "FAIL", &["R"]);
    let refused = |answer| matches!(answer, Err(Rejection::ConditionNotOverridable(_)));
    assert!(refused(b.override_condition(&e1, "Build", OnSuccess)), "not asked yet");
    assert!(refused(b.override_condition(&e1, "Build", OnFailure)));
    assert!(refused(b.override_condition(&"none".into(), "Build", OnSuccess)));
    assert!(matches!(b.override_condition(&e1, "Nowhere", OnSuccess), Err(Rejection::StageNotFound(_))));
    b.done(&e1, "B");
    b.rule(&e1, "R", Err("JobFailed"));
    let e2 = b.start();
    b.done(&e2, "S");
    assert!(matches!(b.override_condition(&e1, "Build", OnSuccess), Err(Rejection::NotLatestPipelineExecution(_))));
}

#[test]
fn a_failure_condition_cannot_be_overridden_even_while_it_is_asked() {
    let (mut b, e1) = at_the_gate(OnFailure, "ROLLBACK", &["R"]);
    b.fail(&e1, "B");
    assert_eq!(b.condition(&e1, "Build", OnFailure), "InProgress");
    assert!(matches!(b.override_condition(&e1, "Build", OnFailure), Err(Rejection::ConditionNotOverridable(_))));
}

#[test]
fn a_stop_withdraws_the_question() {
    for (abandon, condition) in [(false, "Cancelled"), (true, "Abandoned")] {
        let (mut b, e1) = at_the_gate(BeforeEntry, "FAIL", &["R"]);
        b.stop(&e1, abandon, None).unwrap();
        assert_eq!(b.condition(&e1, "Build", BeforeEntry), condition);
        assert_eq!((b.status(&e1), b.stage_status(&e1, "Build")), (ExecutionStatus::Stopped, StageStatus::Stopped));
        assert_eq!(b.stopped.len(), 1, "the rule's provider is told");
    }
}

#[test]
fn a_stop_while_success_is_being_weighed_leaves_the_stage_succeeded() {
    let (mut b, e1) = at_the_gate(OnSuccess, "FAIL", &["R"]);
    b.done(&e1, "B");
    b.stop(&e1, false, None).unwrap();
    assert_eq!((b.status(&e1), b.stage_status(&e1, "Build")), (ExecutionStatus::Stopped, StageStatus::Succeeded));
    assert_eq!(b.lock("Build"), None);
}

#[test]
fn an_update_cancels_the_question() {
    let (mut b, e1) = at_the_gate(BeforeEntry, "FAIL", &["R"]);
    b.update(gated(BeforeEntry, "FAIL", &["R"]));
    assert_eq!(b.condition(&e1, "Build", BeforeEntry), "Cancelled");
    assert_eq!((b.status(&e1), b.stage_status(&e1, "Build")), (ExecutionStatus::Cancelled, StageStatus::Cancelled));
}

#[test]
fn a_retry_asks_the_gates_again() {
    let (mut b, e1) = at_the_gate(BeforeEntry, "FAIL", &["R"]);
    b.rule(&e1, "R", Err("JobFailed"));
    b.retry(&e1, "Build", towpath_model::declaration::RetryMode::FailedActions).unwrap();
    assert_eq!(b.condition(&e1, "Build", BeforeEntry), "InProgress");
    b.rule(&e1, "R", Ok(()));
    b.fail(&e1, "B");
    b.retry(&e1, "Build", towpath_model::declaration::RetryMode::FailedActions).unwrap();
    assert!(b.in_flight(&e1).is_empty(), "the entry is weighed before the action starts anew");
    b.rule(&e1, "R", Ok(()));
    b.done(&e1, "B");
    assert_eq!(b.records.values().filter(|record| record.condition == Some(BeforeEntry)).count(), 3);
}

#[test]
fn a_rule_may_time_out() {
    let (mut b, e1) = at_the_gate(BeforeEntry, "FAIL", &["R"]);
    let rule = b.executions[&e1].stage_run("Build").unwrap().conditions[0].rules[0].attempt.id.clone();
    b.apply(&towpath_model::event::Event::ActionTimedOut { execution: e1.clone(), action: rule, unavailable: None })
        .unwrap();
    assert_eq!(b.condition(&e1, "Build", BeforeEntry), "Failed");
    assert_eq!(b.stopped.len(), 1);
}

#[test]
fn parallel_executions_have_their_own_conditions() {
    let mut b = bench(gated(BeforeEntry, "FAIL", &["R"]).mode(ExecutionMode::Parallel));
    let (e1, e2) = (b.start(), b.start());
    b.done(&e1, "S");
    b.done(&e2, "S");
    b.rule(&e1, "R", Err("JobFailed"));
    b.override_condition(&e2, "Build", BeforeEntry).unwrap();
    assert_eq!((b.status(&e1), b.status(&e2)), (ExecutionStatus::Failed, ExecutionStatus::InProgress));
}
