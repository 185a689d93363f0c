//! What a CloudFormation action tells: how its work goes on, how it ended, and what a call that CloudFormation refused means
//! for it. Asks nobody.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{Stack, StackStatus};
use serde::{Deserialize, Serialize};
use towpath_model::action::{ErrorDetails, Outcome, Progress, error_code};
use towpath_model::limits::ERROR_MESSAGE_CHARS_MAX;

use super::deeds::{Mode, Step};
use super::work::Work;
use crate::links;
use crate::problem::{Kind, Problem};

/// What is remembered between polls.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    pub step: Step,
    pub stack: String,
}

impl Memory {
    pub fn of(progress: &Progress) -> Option<Self> {
        serde_json::from_str(progress.continuation.as_deref()?).ok()
    }
}

/// The texts by which CloudFormation tells that there is nothing to do.
pub(super) fn says_nothing_changes(text: &str) -> bool {
    text.contains("No updates are to be performed") || text.contains("The submitted information didn't contain changes")
}

/// Only the text tells what is not there from other wrong input.
pub(super) fn is_absent(problem: &Problem) -> bool {
    matches!(problem.kind, Kind::NotFound | Kind::Rejected) && problem.message.contains("does not exist")
}

pub(super) fn is_code(problem: &Problem, codes: &[&str]) -> bool {
    codes.iter().any(|code| problem.code.trim_end_matches("Exception") == *code)
}

pub(super) fn id_of(stack: &Stack) -> &str {
    stack.stack_id().or(stack.stack_name()).unwrap_or_default()
}

pub(super) fn id_in(set: &DescribeChangeSetOutput) -> &str {
    set.stack_id().or(set.stack_name()).unwrap_or_default()
}

pub(super) fn succeeded(progress: Progress) -> Outcome {
    Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() }
}

pub(super) fn failed(progress: Progress, code: &str, message: impl Into<String>) -> Outcome {
    let message: String = message.into().chars().take(ERROR_MESSAGE_CHARS_MAX).collect();
    let progress = Progress { summary: Some(message.clone()), ..progress };
    Outcome::Failed { progress, error: ErrorDetails::new(code, message) }
}

impl Work<'_> {
    /// By which a change set is known as this action's.
    pub(super) fn description(&self) -> String {
        format!("Action execution {} of the pipeline {}", self.action.action_execution_id, self.action.pipeline_name)
    }

    pub(super) fn made_empty(&self) -> String {
        format!("Change set {} was created with no changes.", self.plan.change_set)
    }

    fn progress(&self, step: Step, stack: &str, page: &str, summary: &str) -> Progress {
        let memory = Memory { step, stack: stack.to_owned() };
        Progress {
            external_id: Some(page.to_owned()),
            external_url: Some(links::cloudformation(&self.action.region, page)),
            summary: Some(summary.to_owned()),
            continuation: serde_json::to_string(&memory).ok(),
            ..Progress::default()
        }
    }

    pub(super) fn told(&self, step: Step, stack: &str, summary: &str) -> Progress {
        self.progress(step, stack, &format!("stack/detail?stackId={stack}"), summary)
    }

    pub(super) fn of_change_set(&self, set: &str, stack: &str, doing: &str) -> Progress {
        let page = format!("changeset/detail?changeSetId={set}&stackId={stack}");
        self.progress(Step::ChangeSet, stack, &page, &format!("Change set {} {doing}.", self.plan.change_set))
    }

    pub(super) fn pending(&self, step: Step, stack: &str) -> Outcome {
        let doing = match step {
            Step::Create => "created",
            Step::Delete => "deleted",
            Step::Replace => "deleted, to be created again",
            Step::Update | Step::Execute | Step::Settle | Step::ChangeSet => "updated",
        };
        let summary = match step {
            Step::Execute => format!("Change set {} is being executed.", self.plan.change_set),
            _ => format!("Stack {} is being {doing}.", self.plan.stack),
        };
        Outcome::Pending { progress: self.told(step, stack, &summary) }
    }

    /// Something else goes on; the next poll looks again.
    pub(super) fn settle(&self) -> Outcome {
        let stack = self.plan.stack;
        let memory = Memory { step: Step::Settle, stack: stack.to_owned() };
        let progress = Progress {
            summary: Some(format!("Another operation on stack {stack} goes on; waiting for its end.")),
            continuation: serde_json::to_string(&memory).ok(),
            ..Progress::default()
        };
        Outcome::Pending { progress }
    }

    pub(super) fn nothing_to_delete(&self) -> Outcome {
        let summary = format!("Stack {} does not exist; there is nothing to delete.", self.plan.stack);
        succeeded(Progress { summary: Some(summary), ..Progress::default() })
    }

    pub(super) fn deleted(&self, stack: &str) -> Outcome {
        succeeded(self.told(Step::Delete, stack, &format!("Stack {} was deleted.", self.plan.stack)))
    }

    /// In AWS's words.
    pub(super) fn refuse(&self, stack: &Stack) -> Outcome {
        let status = stack.stack_status().map_or("", StackStatus::as_str);
        let next = match self.plan.mode {
            Mode::ChangeSetExecute | Mode::ChangeSetReplace | Mode::ReplaceOnFailure => "Delete the stack",
            Mode::CreateUpdate | Mode::DeleteOnly => "Delete the stack, or use the action mode REPLACE_ON_FAILURE",
        };
        let message = format!("Stack:{} is in {status} state and can not be updated. {next}.", id_of(stack));
        failed(self.told(Step::Settle, id_of(stack), ""), error_code::CONFIGURATION_ERROR, message)
    }

    /// What a failed call means for the action.
    pub(super) fn refused(&self, problem: &Problem) -> Outcome {
        let message = problem.detail();
        let busy = (problem.message.contains("_IN_PROGRESS state") && !problem.message.contains("REVIEW_IN_PROGRESS"))
            || is_code(problem, &["OperationInProgress"]);
        match problem.kind {
            Kind::Rejected if busy => self.settle(),
            // Among the SDK's throttling codes, but a quota here.
            _ if is_code(problem, &["LimitExceeded"]) => failed(Progress::default(), error_code::JOB_FAILED, message),
            Kind::Rejected if is_code(problem, &["InvalidChangeSetStatus"]) => {
                problem.outcome(error_code::JOB_FAILED, message)
            }
            Kind::Rejected if is_code(problem, &["InsufficientCapabilities"]) => problem.outcome(
                error_code::CONFIGURATION_ERROR,
                format!("{message}. Acknowledge them in the action's configuration: Capabilities."),
            ),
            Kind::AccessDenied => problem.outcome(error_code::PERMISSION_ERROR, message),
            Kind::NotFound | Kind::Rejected | Kind::Transient | Kind::Session => {
                problem.outcome(error_code::CONFIGURATION_ERROR, message)
            }
        }
    }
}
