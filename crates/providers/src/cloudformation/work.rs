//! One call of a CloudFormation action: looks at the stack, does what the table says, and tells how what was begun goes on.
//! Every operation carries a token made of the action execution id, so that a repeated one is the same one, and so that
//! the stack's events say whose it is.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{ChangeSetStatus, ChangeSetType, ExecutionStatus, Stack, StackStatus};
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};

use super::answer::{Answer, Halt, is_code, percent, succeeded};
use super::deeds::{Deed, End, Mode, Step, deed, ended};
use super::plan::{Plan, Settings};
use super::told::{Memory, id_in, id_of, is_absent, remembering, says_nothing_changes};
use super::{SERVICE, events};
use crate::artifact_files;
use crate::deploys::failed;
use crate::limits::STACK_EVENT_PAGES_MAX;
use crate::problem::{Kind, Problem};
use crate::provider::Call;

pub struct Work<'a> {
    pub(super) cx: &'a Call<'a>,
    pub(super) action: &'a ActionInvocation,
    pub(super) plan: Plan<'a>,
}

fn has_status(stack: &Stack, status: &StackStatus) -> bool {
    stack.stack_status() == Some(status)
}

impl<'a> Work<'a> {
    pub fn new(cx: &'a Call<'a>, action: &'a ActionInvocation) -> Result<Self, String> {
        Ok(Self { cx, action, plan: Plan::read(action)? })
    }

    /// Begins, or finds what an earlier call has begun. `again`: one has been made, and what it did was not heard of.
    pub async fn begin(&self, again: bool) -> Outcome {
        self.answered(Box::pin(self.decide(again)).await)
    }

    fn answered(&self, answer: Answer) -> Outcome {
        match answer {
            Ok(outcome) => outcome,
            Err(Halt::Ended(outcome)) => *outcome,
            Err(Halt::Problem(problem)) => self.refused(&problem),
        }
    }

    pub async fn go_on(&self, progress: &Progress) -> Outcome {
        let Some(memory) = Memory::of(progress) else {
            return match self.begin(true).await {
                Outcome::Pending { progress } => self.answered(Box::pin(self.resume(&progress)).await),
                other => other,
            };
        };
        match memory.step {
            Step::Settle => self.begin(false).await,
            _ => self.answered(Box::pin(self.resume(progress)).await),
        }
    }

    /// How the operation goes on that the progress tells of.
    async fn resume(&self, progress: &Progress) -> Answer {
        let Some(memory) = Memory::of(progress).filter(|memory| memory.step != Step::Settle) else {
            return Ok(Outcome::Pending { progress: progress.clone() });
        };
        let Memory { step, stack, of, replaced } = memory;
        if step == Step::ChangeSet {
            return Box::pin(self.watch_change_set(&self.change_set(&stack).await?)).await;
        }
        let outcome = match (self.describe(&stack).await?, step) {
            (Some(found), step) => Box::pin(self.watch(step, &found)).await?,
            (None, Step::Delete) => self.deleted(&stack),
            (None, Step::Replace) => Box::pin(self.create()).await?,
            (None, _) => {
                let message = format!("Stack with id {stack} does not exist: it was deleted while the action ran.");
                failed(Progress { continuation: None, ..progress.clone() }, error_code::JOB_FAILED, message)
            }
        };
        let replaced = replaced.or_else(|| (step == Step::Replace).then(|| stack.clone()));
        let outcome = remembering(outcome, |memory| {
            memory.of = if memory.step == step { of } else { memory.of };
            memory.replaced = replaced.filter(|old| *old != memory.stack);
        });
        match outcome {
            Outcome::Pending { progress: next } => Ok(self.counted(next, progress.percent).await),
            other => Ok(other),
        }
    }

    /// With how much of it is done, where that is known. A rollback adds nothing to it, and takes nothing back.
    async fn counted(&self, progress: Progress, before: Option<u8>) -> Outcome {
        let progress = Progress { percent: before, ..progress };
        let Some(Memory { stack, of: Some(all), .. }) = Memory::of(&progress) else {
            return Outcome::Pending { progress };
        };
        match events::done(self.cx, self.action, &stack).await {
            Ok(done) => {
                let percent = done.and_then(|done| percent(done, all)).max(before);
                Outcome::Pending { progress: Progress { percent, ..progress } }
            }
            // Who may not read them is not asked again.
            Err(problem) if problem.kind == Kind::AccessDenied => {
                remembering(Outcome::Pending { progress }, |memory| memory.of = None)
            }
            Err(_) => Outcome::Pending { progress },
        }
    }

    /// Ends what can be ended: an update, which CloudFormation then rolls back.
    pub async fn stop(&self, progress: &Progress) -> Result<(), String> {
        let memory = Memory::of(progress);
        let may_update = match &memory {
            Some(memory) => matches!(memory.step, Step::Update | Step::Execute),
            None => self.plan.mode.may_update(),
        };
        if !may_update {
            return Ok(());
        }
        let named = memory.as_ref().map_or(self.plan.stack, |memory| memory.stack.as_str());
        let stopped = async {
            let Some(stack) = self.describe(named).await? else { return Ok(()) };
            if !has_status(&stack, &StackStatus::UpdateInProgress) {
                return Ok(());
            }
            let ours = match self.own(&stack).await {
                Ok(step) => step.is_some(),
                // Nobody may say whose it is; the last poll saw it go on.
                Err(problem) if problem.kind == Kind::AccessDenied => memory.is_some(),
                Err(problem) => return Err(problem),
            };
            if !ours {
                return Ok(());
            }
            let request = self.client().await?.cancel_update_stack().stack_name(id_of(&stack));
            let asked = request.client_request_token(self.token("cancel")).send().await;
            match asked.map_err(|error| self.problem(&error)) {
                Ok(_) => Ok(()),
                // It ended in between.
                Err(problem) if problem.kind == Kind::Rejected => Ok(()),
                Err(problem) => Err(problem),
            }
        };
        stopped.await.map_err(|problem: Problem| problem.detail())
    }

    async fn decide(&self, again: bool) -> Answer {
        let stack = self.describe(self.plan.stack).await?;
        let stack = stack.filter(|stack| !has_status(stack, &StackStatus::DeleteComplete));
        let status = stack.as_ref().and_then(Stack::stack_status);
        if let Some(stack) = &stack
            && self.may_be_ours(stack, again)
        {
            match self.own(stack).await {
                Ok(Some(step)) => return Box::pin(self.found(step, stack)).await,
                Ok(None) => {}
                Err(problem) if problem.kind == Kind::AccessDenied => {}
                Err(problem) => return Err(problem.into()),
            }
        }
        match (deed(self.plan.mode, status), &stack) {
            (Deed::AwaitDelete, Some(stack)) => Ok(self.pending(Step::Delete, id_of(stack))),
            (Deed::Nothing, _) => Ok(self.nothing_to_delete()),
            (Deed::Create, _) => Box::pin(self.create()).await,
            (Deed::Update, Some(stack)) => Box::pin(self.update(stack)).await,
            (Deed::Delete, Some(stack)) => Box::pin(self.delete(Step::Delete, stack)).await,
            (Deed::Replace, Some(stack)) => Box::pin(self.delete(Step::Replace, stack)).await,
            (Deed::ChangeSet(kind), stack) => Box::pin(self.replace_change_set(stack.as_ref(), kind)).await,
            (Deed::Execute, stack) => Box::pin(self.execute(stack.as_ref())).await,
            (Deed::Refuse, Some(stack)) => Ok(self.refuse(stack)),
            (Deed::Wait, _)
            | (Deed::AwaitDelete | Deed::Update | Deed::Delete | Deed::Replace | Deed::Refuse, None) => {
                Ok(self.settle())
            }
        }
    }

    /// A state that an operation of this very action may have left, before which a repeated start must not act again.
    fn may_be_ours(&self, stack: &Stack, again: bool) -> bool {
        use StackStatus as S;
        if self.plan.mode == Mode::ChangeSetReplace {
            return false;
        }
        let untold = [S::CreateComplete, S::UpdateComplete, S::ImportComplete, S::ReviewInProgress];
        again || !stack.stack_status().is_some_and(|status| untold.contains(status))
    }

    /// What an earlier call has begun, with what that one knew.
    async fn found(&self, step: Step, stack: &Stack) -> Answer {
        let outcome = Box::pin(self.watch(step, stack)).await?;
        let of = match (&outcome, step) {
            (Outcome::Pending { .. }, Step::Create) => self.plan.resources(self.cx, self.action).await,
            (Outcome::Pending { .. }, Step::Execute) => match self.change_set(id_of(stack)).await {
                Ok(set) => self.changes(&set).await?,
                // Once it has been executed it may be gone.
                Err(_) => None,
            },
            _ => return Ok(outcome),
        };
        Ok(remembering(outcome, |memory| memory.of = of))
    }

    /// Which step of this action the stack's latest operation is.
    async fn own(&self, stack: &Stack) -> Result<Option<Step>, Problem> {
        let operation = events::own_operation(self.cx, self.action, id_of(stack)).await?;
        Ok(match operation.as_deref() {
            Some("create") => Some(Step::Create),
            Some("update" | "cancel") => Some(Step::Update),
            Some("exec") => Some(Step::Execute),
            Some("delete") if self.plan.mode == Mode::ReplaceOnFailure => Some(Step::Replace),
            Some("delete") => Some(Step::Delete),
            _ => None,
        })
    }

    // What is asked of CloudFormation

    async fn client(&self) -> Result<Client, Problem> {
        self.cx.realm.cloudformation(self.action).await
    }

    fn problem<E>(&self, error: &SdkError<E>) -> Problem
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.cx.realm.note(self.action, Problem::of(SERVICE, error))
    }

    fn token(&self, operation: &str) -> String {
        format!("{}{operation}", events::token_prefix(self.action))
    }

    async fn describe(&self, stack: &str) -> Result<Option<Stack>, Problem> {
        let asked = self.client().await?.describe_stacks().stack_name(stack).send().await;
        match asked.map_err(|error| self.problem(&error)) {
            Ok(answer) => Ok(answer.stacks.unwrap_or_default().into_iter().next()),
            Err(problem) if is_absent(&problem) => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    async fn change_set(&self, stack: &str) -> Result<DescribeChangeSetOutput, Problem> {
        let request = self.client().await?.describe_change_set().change_set_name(self.plan.change_set);
        request.stack_name(stack).send().await.map_err(|error| self.problem(&error))
    }

    async fn create(&self) -> Answer {
        let settings = Box::pin(self.plan.settings(self.cx, self.action)).await?;
        let resources = settings.template.resources;
        let request = self
            .client()
            .await?
            .create_stack()
            .stack_name(self.plan.stack)
            .set_template_body(settings.template.body())
            .set_template_url(settings.template.url())
            .set_parameters(settings.parameters)
            .set_capabilities(self.capabilities())
            .set_role_arn(self.plan.role.map(str::to_owned))
            .set_tags(settings.tags)
            .set_stack_policy_body(settings.policy)
            .client_request_token(self.token("create"));
        match request.send().await.map_err(|error| self.problem(&error)) {
            Ok(answer) => {
                let outcome = self.pending(Step::Create, answer.stack_id().unwrap_or(self.plan.stack));
                Ok(remembering(outcome, |memory| memory.of = resources))
            }
            // Made in between, by a call of this action or by somebody else: the next look tells.
            Err(problem) if is_code(&problem, &["AlreadyExists", "TokenAlreadyExists"]) => Ok(self.settle()),
            Err(problem) => Err(problem.into()),
        }
    }

    async fn update(&self, stack: &Stack) -> Answer {
        let settings = Box::pin(self.plan.settings(self.cx, self.action)).await?;
        let request = self
            .client()
            .await?
            .update_stack()
            .stack_name(id_of(stack))
            .set_template_body(settings.template.body())
            .set_template_url(settings.template.url())
            .set_parameters(settings.parameters)
            .set_capabilities(self.capabilities())
            .set_role_arn(self.plan.role.map(str::to_owned))
            .set_tags(settings.tags)
            .set_stack_policy_body(settings.policy)
            .client_request_token(self.token("update"));
        match request.send().await.map_err(|error| self.problem(&error)) {
            Ok(_) => Ok(self.pending(Step::Update, id_of(stack))),
            Err(problem) if says_nothing_changes(&problem.message) => {
                Box::pin(self.completed(Step::Update, stack)).await
            }
            Err(problem) if is_code(&problem, &["TokenAlreadyExists"]) => Ok(self.pending(Step::Update, id_of(stack))),
            Err(problem) => Err(problem.into()),
        }
    }

    async fn delete(&self, step: Step, stack: &Stack) -> Answer {
        if step == Step::Replace {
            // Nothing is deleted for the sake of a template that cannot be read.
            Box::pin(self.plan.settings(self.cx, self.action)).await?;
        }
        let request = self.client().await?.delete_stack().stack_name(id_of(stack));
        let request =
            request.set_role_arn(self.plan.role.map(str::to_owned)).client_request_token(self.token("delete"));
        match request.send().await.map_err(|error| self.problem(&error)) {
            Ok(_) => Ok(self.pending(step, id_of(stack))),
            Err(problem) if is_code(&problem, &["TokenAlreadyExists"]) => Ok(self.pending(step, id_of(stack))),
            Err(problem) => Err(problem.into()),
        }
    }

    /// Makes the change set, in the place of one of the same name.
    async fn replace_change_set(&self, stack: Option<&Stack>, kind: ChangeSetType) -> Answer {
        let mut settings = None;
        // Once more after a deletion, which may be over at once.
        for _ in 0..2 {
            let Some(stack) = stack else { break };
            let found = match self.change_set(id_of(stack)).await {
                Ok(found) => found,
                Err(problem) if is_absent(&problem) => break,
                Err(problem) => return Err(problem.into()),
            };
            if found.description() == Some(self.description().as_str()) {
                return Box::pin(self.watch_change_set(&found)).await;
            }
            match found.status() {
                Some(ChangeSetStatus::DeleteComplete) => break,
                Some(ChangeSetStatus::DeletePending | ChangeSetStatus::DeleteInProgress) => return Ok(self.settle()),
                Some(ChangeSetStatus::DeleteFailed) => return Box::pin(self.watch_change_set(&found)).await,
                _ => {}
            }
            // Nothing is deleted for the sake of a template that cannot be read.
            if settings.is_none() {
                settings = Some(Box::pin(self.plan.settings(self.cx, self.action)).await?);
            }
            let name = found.change_set_id().unwrap_or(self.plan.change_set);
            let request = self.client().await?.delete_change_set().change_set_name(name).stack_name(id_of(stack));
            match request.send().await.map_err(|error| self.problem(&error)) {
                Ok(_) => {}
                // It is being made, or executed.
                Err(problem) if is_code(&problem, &["InvalidChangeSetStatus"]) => return Ok(self.settle()),
                Err(problem) => return Err(problem.into()),
            }
        }
        let settings = match settings {
            Some(settings) => settings,
            None => Box::pin(self.plan.settings(self.cx, self.action)).await?,
        };
        Box::pin(self.create_change_set(stack, kind, settings)).await
    }

    async fn create_change_set(&self, stack: Option<&Stack>, kind: ChangeSetType, settings: Settings) -> Answer {
        let request = self
            .client()
            .await?
            .create_change_set()
            .stack_name(self.plan.stack)
            .change_set_name(self.plan.change_set)
            .change_set_type(kind)
            .description(self.description())
            .set_template_body(settings.template.body())
            .set_template_url(settings.template.url())
            .set_parameters(settings.parameters)
            .set_capabilities(self.capabilities())
            .set_role_arn(self.plan.role.map(str::to_owned))
            .set_tags(settings.tags)
            .client_token(self.token("set"));
        match request.send().await.map_err(|error| self.problem(&error)) {
            Ok(answer) => {
                let (set, stack) = (answer.id().unwrap_or_default(), answer.stack_id().unwrap_or(self.plan.stack));
                Ok(Outcome::Pending { progress: self.of_change_set(set, stack, "is being created") })
            }
            Err(problem) if says_nothing_changes(&problem.message) => {
                let progress = match stack {
                    Some(stack) => self.told(Step::ChangeSet, id_of(stack), &self.made_empty()),
                    None => Progress { summary: Some(self.made_empty()), ..Progress::default() },
                };
                self.with_outputs(stack, progress).await
            }
            // The old one is not quite gone.
            Err(problem) if is_code(&problem, &["AlreadyExists"]) => Ok(self.settle()),
            Err(problem) => Err(problem.into()),
        }
    }

    async fn execute(&self, stack: Option<&Stack>) -> Answer {
        let found = self.change_set(stack.map_or(self.plan.stack, id_of)).await?;
        let reason = found.status_reason().unwrap_or_default();
        let name = self.plan.change_set;
        let set = || self.of_change_set(found.change_set_id().unwrap_or_default(), id_in(&found), "");
        match (found.status(), stack) {
            (Some(ChangeSetStatus::Failed), Some(stack)) if says_nothing_changes(reason) => {
                let told = format!("Change set {name} was executed with no change.");
                self.concluded(stack, self.told(Step::Execute, id_of(stack), &told)).await
            }
            (Some(ChangeSetStatus::CreatePending | ChangeSetStatus::CreateInProgress), _) => Ok(self.settle()),
            (Some(ChangeSetStatus::CreateComplete), Some(stack)) => {
                Box::pin(self.execute_change_set(&found, stack)).await
            }
            (status, _) => {
                let status = status.map_or("gone", |status| status.as_str());
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                Ok(failed(set(), error_code::JOB_FAILED, format!("Change set {name} is {status}{why}")))
            }
        }
    }

    async fn execute_change_set(&self, set: &DescribeChangeSetOutput, stack: &Stack) -> Answer {
        let name = set.change_set_id().unwrap_or(self.plan.change_set);
        // What is wrong with the file is told before anything is done.
        self.plan.policy(self.cx, self.action).await?;
        let changes = self.changes(set).await?;
        let request = self.client().await?.execute_change_set().change_set_name(name).stack_name(id_of(stack));
        let asked = request.client_request_token(self.token("exec")).send().await;
        match asked.map_err(|error| self.problem(&error)) {
            Ok(_) => {
                let outcome = self.pending(Step::Execute, id_of(stack));
                Ok(remembering(outcome, |memory| memory.of = changes))
            }
            Err(problem) if is_code(&problem, &["TokenAlreadyExists"]) => Ok(self.pending(Step::Execute, id_of(stack))),
            // Executed already: by an earlier call of this action?
            Err(problem) if is_code(&problem, &["InvalidChangeSetStatus"]) => match self.own(stack).await {
                Ok(Some(step)) => Box::pin(self.watch(step, stack)).await,
                _ => Err(problem.into()),
            },
            Err(problem) => Err(problem.into()),
        }
    }

    /// How many resources the change set is about.
    async fn changes(&self, set: &DescribeChangeSetOutput) -> Result<Option<usize>, Problem> {
        let (mut count, mut place) = (set.changes().len(), set.next_token().map(str::to_owned));
        let Some(id) = set.change_set_id() else { return Ok(None) };
        for _ in 0..STACK_EVENT_PAGES_MAX {
            let Some(next) = place else { return Ok(Some(count)) };
            let request = self.client().await?.describe_change_set().change_set_name(id).next_token(next);
            let answer = request.send().await.map_err(|error| self.problem(&error))?;
            count += answer.changes().len();
            place = answer.next_token;
        }
        Ok(None)
    }

    // What is made of its answers

    fn capabilities(&self) -> Option<Vec<aws_sdk_cloudformation::types::Capability>> {
        Some(self.plan.capabilities.clone()).filter(|list| !list.is_empty())
    }

    async fn watch(&self, step: Step, stack: &Stack) -> Answer {
        let Some(status) = stack.stack_status() else { return Ok(self.pending(step, id_of(stack))) };
        let mut end = ended(step, status);
        // The execution begins a moment after it was asked for.
        if end != End::Going && step == Step::Execute && self.is_to_be_executed(stack).await? {
            end = End::Going;
        }
        match end {
            End::Going => Ok(self.pending(step, id_of(stack))),
            End::Good => Box::pin(self.completed(step, stack)).await,
            End::Bad => Box::pin(self.broken(step, stack)).await,
        }
    }

    async fn is_to_be_executed(&self, stack: &Stack) -> Result<bool, Problem> {
        match self.change_set(id_of(stack)).await {
            Ok(found) => Ok(matches!(
                found.execution_status(),
                Some(ExecutionStatus::Available | ExecutionStatus::ExecuteInProgress)
            )),
            Err(problem) if is_absent(&problem) => Ok(false),
            Err(problem) => Err(problem),
        }
    }

    async fn watch_change_set(&self, set: &DescribeChangeSetOutput) -> Answer {
        use ChangeSetStatus as S;
        let name = self.plan.change_set;
        let told = |doing: &str| self.of_change_set(set.change_set_id().unwrap_or_default(), id_in(set), doing);
        let reason = set.status_reason().unwrap_or_default();
        match set.status() {
            Some(S::CreateComplete) => self.prepared(id_in(set), told("was created")).await,
            Some(S::Failed) if says_nothing_changes(reason) => {
                self.prepared(id_in(set), told("was created with no changes")).await
            }
            Some(S::Failed) => {
                let message = format!("Change set {name} could not be created: {reason}");
                Ok(failed(told(""), error_code::JOB_FAILED, message))
            }
            Some(S::DeleteFailed) => {
                let message = format!("Change set {name} could not be deleted: {reason}");
                Ok(failed(told(""), error_code::JOB_FAILED, message))
            }
            _ => Ok(Outcome::Pending { progress: told("is being created") }),
        }
    }

    /// The change set is there; the stack is as it was.
    async fn prepared(&self, stack: &str, progress: Progress) -> Answer {
        let stack = self.describe(stack).await?;
        self.with_outputs(stack.as_ref(), progress).await
    }

    async fn completed(&self, step: Step, stack: &Stack) -> Answer {
        match step {
            Step::Delete => return Ok(self.deleted(id_of(stack))),
            Step::Replace => return Box::pin(self.create()).await,
            Step::Settle | Step::Create | Step::Update | Step::Execute | Step::ChangeSet => {}
        }
        let created = has_status(stack, &StackStatus::CreateComplete) && step != Step::Update;
        let done = if created { "created" } else { "updated" };
        let progress = self.told(step, id_of(stack), &format!("Stack {} was {done}.", self.plan.stack));
        self.concluded(stack, progress).await
    }

    /// The stack is as it was to be: its policy, and its outputs as the action's.
    async fn concluded(&self, stack: &Stack, progress: Progress) -> Answer {
        if self.plan.mode == Mode::ChangeSetExecute
            && let Some(policy) = self.plan.policy(self.cx, self.action).await?
        {
            let request = self.client().await?.set_stack_policy().stack_name(id_of(stack)).stack_policy_body(policy);
            request.send().await.map_err(|error| self.problem(&error))?;
        }
        self.with_outputs(Some(stack), progress).await
    }

    /// A success, with the stack's outputs as variables and in the output artifact.
    async fn with_outputs(&self, stack: Option<&Stack>, progress: Progress) -> Answer {
        let outputs = stack.map(Stack::outputs).unwrap_or_default().iter().filter_map(|output| {
            Some((output.output_key()?.to_owned(), output.output_value().unwrap_or_default().to_owned()))
        });
        let variables: BTreeMap<String, String> = outputs.collect();
        if let ([artifact], Some(file)) = (self.action.output_artifacts.as_slice(), self.plan.output_file) {
            let document = serde_json::json!(variables).to_string().into_bytes();
            let written = artifact_files::write_one(self.cx, self.action, artifact, file, document).await;
            written.map_err(|trouble| Box::new(trouble.outcome(artifact)))?;
        }
        Ok(succeeded(progress, variables))
    }

    /// The first resource that failed says why, where the role may read the stack's events.
    async fn broken(&self, step: Step, stack: &Stack) -> Answer {
        let found = match events::first_failure(self.cx, self.action, id_of(stack)).await {
            Ok(found) => found,
            Err(problem) if matches!(problem.kind, Kind::Transient | Kind::Session) => return Err(problem.into()),
            Err(_) => None,
        };
        let status = stack.stack_status().map_or("", StackStatus::as_str);
        let message = found.unwrap_or_else(|| {
            let reason = stack.stack_status_reason().filter(|reason| !reason.is_empty());
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("Stack {} is in {status} state{reason}", self.plan.stack)
        });
        Ok(failed(self.told(step, id_of(stack), ""), error_code::JOB_FAILED, message))
    }
}
