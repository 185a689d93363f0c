//! What a CloudFormation action tells: how its work goes on, how it ended, and what a call that CloudFormation refused means
//! for it. Asks nobody.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{Stack, StackStatus};
use serde::{Deserialize, Serialize};
use towpath_model::action::{Outcome, Progress, error_code};

use super::answer::{class_of, is_code, succeeded};
use super::deeds::{Mode, Step};
use super::work::Work;
use crate::deploys::{self, failed};
use crate::links;
use crate::problem::{Kind, Problem};

/// What is remembered between polls.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    pub step: Step,
    pub stack: String,
    /// How many resources the step is about, where that is known and its events may be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<usize>,
    /// The failed stack in whose place this one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
}

impl Memory {
    pub fn of(progress: &Progress) -> Option<Self> {
        deploys::recall(progress)
    }

    fn new(step: Step, stack: &str) -> Self {
        Self { step, stack: stack.to_owned(), of: None, replaced: None }
    }
}

/// The same outcome, with more to remember.
pub(super) fn remembering(outcome: Outcome, more: impl FnOnce(&mut Memory)) -> Outcome {
    let also = |progress: Progress| match Memory::of(&progress) {
        Some(mut memory) => {
            more(&mut memory);
            deploys::remember(progress, &memory)
        }
        None => progress,
    };
    match outcome {
        Outcome::Pending { progress } => Outcome::Pending { progress: also(progress) },
        Outcome::Succeeded { progress, variables, revisions } => {
            Outcome::Succeeded { progress: also(progress), variables, revisions }
        }
        Outcome::Failed { progress, error } => Outcome::Failed { progress: also(progress), error },
        other => other,
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

pub(super) fn id_of(stack: &Stack) -> &str {
    stack.stack_id().or(stack.stack_name()).unwrap_or_default()
}

pub(super) fn id_in(set: &DescribeChangeSetOutput) -> &str {
    set.stack_id().or(set.stack_name()).unwrap_or_default()
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
        let progress = Progress {
            external_id: Some(page.to_owned()),
            external_url: Some(links::cloudformation(self.cx.realm.region(&self.action.region), page)),
            summary: Some(summary.to_owned()),
            ..Progress::default()
        };
        deploys::remember(progress, &Memory::new(step, stack))
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
        let summary = Some(format!("Another operation on stack {stack} goes on; waiting for its end."));
        let progress = Progress { summary, ..Progress::default() };
        Outcome::Pending { progress: deploys::remember(progress, &Memory::new(Step::Settle, stack)) }
    }

    pub(super) fn nothing_to_delete(&self) -> Outcome {
        let summary = format!("Stack {} does not exist; there is nothing to delete.", self.plan.stack);
        succeeded(Progress { summary: Some(summary), ..Progress::default() }, BTreeMap::new())
    }

    pub(super) fn deleted(&self, stack: &str) -> Outcome {
        let progress = self.told(Step::Delete, stack, &format!("Stack {} was deleted.", self.plan.stack));
        succeeded(progress, BTreeMap::new())
    }

    /// In AWS's words, and what may be done about it.
    pub(super) fn refuse(&self, stack: &Stack) -> Outcome {
        let status = stack.stack_status().cloned().unwrap_or_else(|| StackStatus::from(""));
        let next = match (self.plan.mode, &status) {
            (Mode::CreateUpdate, StackStatus::ReviewInProgress) => {
                "Nothing but change sets has been made of it: execute one, or use the action mode REPLACE_ON_FAILURE"
            }
            (_, StackStatus::DeleteInProgress) => "Wait for its end, and make the change set again",
            // Deleting it would take away what still works.
            (_, StackStatus::UpdateRollbackFailed) => "Continue the rollback of its update (ContinueUpdateRollback)",
            (Mode::CreateUpdate, _) => "Delete the stack, or use the action mode REPLACE_ON_FAILURE",
            _ => "Delete the stack",
        };
        let message = format!("Stack:{} is in {status} state and can not be updated. {next}.", id_of(stack));
        failed(self.told(Step::Settle, id_of(stack), ""), error_code::CONFIGURATION_ERROR, message)
    }

    /// What a failed call means for the action.
    pub(super) fn refused(&self, problem: &Problem) -> Outcome {
        let busy = (problem.message.contains("_IN_PROGRESS state") && !problem.message.contains("REVIEW_IN_PROGRESS"))
            || is_code(problem, &["OperationInProgress"]);
        if problem.kind == Kind::Rejected && busy {
            return self.settle();
        }
        let message = if is_code(problem, &["InsufficientCapabilities"]) {
            format!("{}. Acknowledge them in the action's configuration: Capabilities.", problem.detail())
        } else {
            problem.detail()
        };
        problem.outcome(class_of(problem), message)
    }
}
