//! One call of a stack set action: looks at the set, begins an operation, and tells how it goes on. An operation's id is
//! made of the action execution id, so that a repeated one is the same one; of the operations on one set only one goes on
//! at a time, and others are waited for.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::types::{
    OperationResultFilter, OperationResultFilterName, Parameter, StackInstanceSummary, StackSet, StackSetOperation,
    StackSetOperationResultStatus, StackSetOperationResultSummary, StackSetOperationStatus,
    StackSetOperationStatusDetails,
};
use serde::{Deserialize, Serialize};
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};

use super::log::is_over;
use super::set::SetPlan;
use super::targets::{self, Options, Targets};
use crate::cloudformation::SERVICE;
use crate::cloudformation::answer::{Answer, Halt, class_of, is_code, percent, succeeded};
use crate::cloudformation::files::{Files, wrong};
use crate::cloudformation::plan::{name, required};
use crate::limits::{STACK_INSTANCE_PAGES_MAX, STACK_SET_PROGRESS_PAGES_MAX};
use crate::problem::{Kind, Problem};
use crate::provider::Call;
use crate::{deploys, links};

/// What is remembered between polls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The operation that goes on; None while somebody else's does.
    pub operation: Option<String>,
    /// `name:uuid`, where it is known.
    pub set: Option<String>,
    /// The action's operations that are over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<String>,
    /// When it is over, the set is updated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub update: bool,
    /// Its results may not be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
}

impl Memory {
    pub fn of(progress: &Progress) -> Option<Self> {
        deploys::recall(progress)
    }

    pub fn of_set(set: Option<&str>) -> Self {
        Self { set: set.map(str::to_owned), ..Self::default() }
    }
}

pub struct Work<'a> {
    pub cx: &'a Call<'a>,
    pub action: &'a ActionInvocation,
    pub name: &'a str,
    pub options: Options,
    /// The set itself, not only its instances.
    whole: bool,
}

impl<'a> Work<'a> {
    pub fn new(cx: &'a Call<'a>, action: &'a ActionInvocation, whole: bool) -> Result<Self, String> {
        let name = name("StackSetName", required(action, "StackSetName", "")?)?;
        Ok(Self { cx, action, name, options: Options::read(action)?, whole })
    }

    pub async fn begin(&self) -> Outcome {
        let begun = if self.whole { Box::pin(self.begin_set()).await } else { Box::pin(self.begin_instances()).await };
        self.answered(begun)
    }

    pub async fn go_on(&self, progress: &Progress) -> Outcome {
        match Memory::of(progress) {
            None => match self.begin().await {
                Outcome::Pending { progress } => self.answered(Box::pin(self.resume(&progress)).await),
                other => other,
            },
            Some(memory) if memory.operation.is_none() => self.begin().await,
            Some(_) => match self.answered(Box::pin(self.resume(progress)).await) {
                // What follows the first operation has told nothing yet.
                Outcome::Pending { progress: next } => {
                    Outcome::Pending { progress: Progress { percent: next.percent.max(progress.percent), ..next } }
                }
                other => other,
            },
        }
    }

    async fn resume(&self, progress: &Progress) -> Answer {
        let memory = Memory::of(progress).unwrap_or_default();
        let Some(operation) = memory.operation.clone() else {
            return Ok(Outcome::Pending { progress: progress.clone() });
        };
        let found = self.operation(&operation).await?;
        let memory = Memory { set: found.stack_set_id().map(str::to_owned).or(memory.set), ..memory };
        match found.status() {
            Some(StackSetOperationStatus::Succeeded) if memory.update => {
                let done = memory.done.into_iter().chain([operation]).collect();
                Box::pin(self.update_after(Memory { operation: None, done, update: false, ..memory })).await
            }
            Some(StackSetOperationStatus::Succeeded) => Ok(self.succeeded(&memory, &operation, &found)),
            Some(StackSetOperationStatus::Failed | StackSetOperationStatus::Stopped) => {
                self.failed(&memory, &operation, &found).await
            }
            _ => Ok(self.counted(memory, &operation, progress.percent).await),
        }
    }

    /// With how many of the operation's instances are done, of those of all the action's operations.
    async fn counted(&self, mut memory: Memory, operation: &str, before: Option<u8>) -> Outcome {
        let mut told = before;
        if !memory.unseen {
            match self.results(operation, false, STACK_SET_PROGRESS_PAGES_MAX).await {
                Ok((results, true)) => {
                    let part = percent(results.iter().filter(|result| is_over(result)).count(), results.len());
                    let (past, all) = (memory.done.len(), memory.done.len() + 1 + usize::from(memory.update));
                    told = part.and_then(|part| percent(past * 100 + usize::from(part), all * 100)).max(before);
                }
                Err(problem) if problem.kind == Kind::AccessDenied => memory.unseen = true,
                // Too many to count every time, or not to be had now.
                Ok(_) | Err(_) => {}
            }
        }
        match self.pending(&memory) {
            Outcome::Pending { progress } => Outcome::Pending { progress: Progress { percent: told, ..progress } },
            other => other,
        }
    }

    /// Those of the action that could go on: known from the progress, or those that a start whose answer was lost has begun.
    pub async fn stop(&self, progress: &Progress) -> Result<(), String> {
        let known = Memory::of(progress).and_then(|memory| memory.operation);
        let operations = known.map_or_else(|| vec![self.id("update"), self.id("create")], |operation| vec![operation]);
        for operation in operations {
            let asked = async {
                let request = self.client().await?.stop_stack_set_operation().stack_set_name(self.name);
                let request = request.operation_id(&operation).set_call_as(self.options.call_as.clone());
                request.send().await.map_err(|error| self.problem(&error))
            };
            match asked.await {
                Ok(_) => {}
                // Over, or never begun.
                Err(problem) if matches!(problem.kind, Kind::NotFound | Kind::Rejected) => {}
                Err(problem) => return Err(problem.detail()),
            }
        }
        Ok(())
    }

    /// Instances alone: the set is there, and stays as it is.
    async fn begin_instances(&self) -> Answer {
        let mut files = Files::new(self.cx, self.action);
        let Some(targets) = Targets::read(self.action, &mut files).await? else {
            let message = format!(
                "The configuration of action {} lacks {} and {}.",
                self.action.action_name,
                targets::TARGETS,
                targets::REGIONS
            );
            return Err(wrong(message).into());
        };
        let overrides = targets::parameters(self.action, "ParameterOverrides", &mut files).await?;
        // Whose permissions they are, the targets say: the role need not be allowed to look at the set.
        let service_managed = !targets.units.is_empty();
        self.create_instances(&targets, service_managed, overrides, Memory::default()).await
    }

    async fn begin_set(&self) -> Answer {
        let plan = SetPlan::read(self.action).map_err(wrong)?;
        let mut files = Files::new(self.cx, self.action);
        let targets = Targets::read(self.action, &mut files).await?;
        let found = self.stack_set().await?;
        plan.check(self.action, targets.as_ref(), found.as_ref()).map_err(wrong)?;
        let service_managed = plan.service_managed(found.as_ref());
        let Some(found) = found else {
            let Some(set) = Box::pin(self.create_set(&plan, &mut files)).await? else {
                return Ok(self.wait(Memory::default()));
            };
            let memory = Memory::of_set(Some(&set));
            return match targets {
                Some(targets) => Box::pin(self.create_instances(&targets, service_managed, None, memory)).await,
                None => Ok(self.created(&memory)),
            };
        };
        let memory = Memory::of_set(found.stack_set_id());
        let Some(targets) = targets else {
            return Box::pin(self.update_set(&plan, &mut files, None, Some(&found), memory)).await;
        };
        match targets.missing(&self.instances().await?) {
            // They are made as the set still is, and updated with the others.
            Some(missing) => {
                let memory = Memory { update: true, ..memory };
                Box::pin(self.create_instances(&missing, service_managed, None, memory)).await
            }
            None => Box::pin(self.update_set(&plan, &mut files, Some(&targets), Some(&found), memory)).await,
        }
    }

    /// The update that follows the creation of instances.
    async fn update_after(&self, memory: Memory) -> Answer {
        let plan = SetPlan::read(self.action).map_err(wrong)?;
        let mut files = Files::new(self.cx, self.action);
        let targets = Targets::read(self.action, &mut files).await?;
        let found = self.stack_set().await?;
        Box::pin(self.update_set(&plan, &mut files, targets.as_ref(), found.as_ref(), memory)).await
    }

    // What is asked of CloudFormation

    pub async fn client(&self) -> Result<Client, Problem> {
        self.cx.realm.cloudformation(self.action).await
    }

    pub fn problem<E>(&self, error: &SdkError<E>) -> Problem
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.cx.realm.note(self.action, Problem::of(SERVICE, error))
    }

    /// The id of an operation of this action.
    pub fn id(&self, operation: &str) -> String {
        format!("{}-{operation}", self.action.action_execution_id)
    }

    async fn stack_set(&self) -> Result<Option<StackSet>, Problem> {
        let request = self.client().await?.describe_stack_set().stack_set_name(self.name);
        let asked = request.set_call_as(self.options.call_as.clone()).send().await;
        match asked.map_err(|error| self.problem(&error)) {
            Ok(answer) => Ok(answer.stack_set),
            Err(problem) if is_code(&problem, &["StackSetNotFound"]) => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    pub async fn operation(&self, operation: &str) -> Result<StackSetOperation, Problem> {
        let request = self.client().await?.describe_stack_set_operation().stack_set_name(self.name);
        let request = request.operation_id(operation).set_call_as(self.options.call_as.clone());
        let answer = request.send().await.map_err(|error| self.problem(&error))?;
        answer
            .stack_set_operation
            .ok_or_else(|| Problem::broken(SERVICE, "DescribeStackSetOperation answered without an operation"))
    }

    async fn instances(&self) -> Result<Vec<StackInstanceSummary>, Problem> {
        let client = self.client().await?;
        let (mut list, mut place) = (Vec::new(), None);
        for _ in 0..STACK_INSTANCE_PAGES_MAX {
            let request = client.list_stack_instances().stack_set_name(self.name).set_next_token(place.take());
            let asked = request.set_call_as(self.options.call_as.clone()).send().await;
            let answer = asked.map_err(|error| self.problem(&error))?;
            list.extend(answer.summaries.unwrap_or_default());
            match answer.next_token {
                Some(next) => place = Some(next),
                None => break,
            }
        }
        Ok(list)
    }

    async fn create_instances(
        &self,
        targets: &Targets,
        service_managed: bool,
        overrides: Option<Vec<Parameter>>,
        memory: Memory,
    ) -> Answer {
        let id = self.id("create");
        let request = self
            .client()
            .await?
            .create_stack_instances()
            .stack_set_name(self.name)
            .set_accounts(targets.accounts(service_managed))
            .set_deployment_targets(targets.deployment_targets(service_managed))
            .set_regions(Some(targets.regions.clone()))
            .set_parameter_overrides(overrides)
            .operation_preferences(self.options.preferences(&targets.regions))
            .operation_id(&id)
            .set_call_as(self.options.call_as.clone());
        let asked = request.send().await.map_err(|error| self.problem(&error));
        self.begun(asked.map(|answer| answer.operation_id), id, memory)
    }

    /// The results of one operation; of the failed instances alone, or of all. And whether these pages have all of them.
    pub async fn results(
        &self,
        operation: &str,
        failed: bool,
        pages: usize,
    ) -> Result<(Vec<StackSetOperationResultSummary>, bool), Problem> {
        let client = self.client().await?;
        let filter = OperationResultFilter::builder().name(OperationResultFilterName::OperationResultStatus);
        let filter = failed.then(|| vec![filter.values("FAILED").build()]);
        let (mut list, mut place) = (Vec::new(), None);
        for _ in 0..pages {
            let request = client.list_stack_set_operation_results().stack_set_name(self.name).operation_id(operation);
            let request = request.set_filters(filter.clone()).set_next_token(place.take());
            let asked = request.set_call_as(self.options.call_as.clone()).send().await;
            let answer = asked.map_err(|error| self.problem(&error))?;
            list.extend(answer.summaries.unwrap_or_default());
            match answer.next_token {
                Some(next) => place = Some(next),
                None => return Ok((list, true)),
            }
        }
        Ok((list, false))
    }

    // What is made of its answers

    /// An operation that was asked for: ours goes on, or another one is waited for.
    pub fn begun(&self, asked: Result<Option<String>, Problem>, own: String, memory: Memory) -> Answer {
        let of = |operation: String| self.pending(&Memory { operation: Some(operation), ..memory.clone() });
        match asked {
            Ok(operation) => Ok(of(operation.unwrap_or(own))),
            Err(problem) if is_code(&problem, &["OperationIdAlreadyExists"]) => Ok(of(own)),
            Err(problem) if is_code(&problem, &["OperationInProgress"]) => {
                // `Another Operation on StackSet ARN is in progress: ID`
                let other = problem.message.rsplit(": ").next().unwrap_or_default().trim_end_matches('.');
                if other == own {
                    return Ok(of(own));
                }
                if self.whole && other == self.id("create") {
                    let memory = Memory { operation: Some(other.to_owned()), update: true, ..memory };
                    return Ok(self.pending(&memory));
                }
                Ok(self.wait(memory))
            }
            // The set changed meanwhile.
            Err(problem) if is_code(&problem, &["StaleRequest"]) => Ok(self.wait(memory)),
            Err(problem) => Err(problem.into()),
        }
    }

    fn progress(&self, memory: &Memory, summary: String) -> Progress {
        // A set of which only the name is known is named.
        let set = memory.set.as_deref().unwrap_or(self.name);
        let page = match &memory.operation {
            Some(operation) => format!("stacksets/{set}/operations/{operation}"),
            None => format!("stacksets/{set}/info"),
        };
        let progress = Progress {
            external_id: memory.operation.clone().or_else(|| memory.set.clone()),
            external_url: Some(links::cloudformation(self.cx.realm.region(&self.action.region), &page)),
            summary: Some(summary),
            ..Progress::default()
        };
        deploys::remember(progress, memory)
    }

    fn pending(&self, memory: &Memory) -> Outcome {
        let operation = memory.operation.as_deref().unwrap_or_default();
        let summary = format!("StackSet {} operation {operation} is going on.", self.name);
        Outcome::Pending { progress: self.progress(memory, summary) }
    }

    fn wait(&self, memory: Memory) -> Outcome {
        let summary = format!("Another operation on StackSet {} goes on; waiting for its end.", self.name);
        let progress = Progress { summary: Some(summary), ..Progress::default() };
        Outcome::Pending { progress: deploys::remember(progress, &Memory { operation: None, ..memory }) }
    }

    fn created(&self, memory: &Memory) -> Outcome {
        succeeded(self.progress(memory, format!("StackSet {} was created.", self.name)), variables(memory))
    }

    fn succeeded(&self, memory: &Memory, operation: &str, found: &StackSetOperation) -> Outcome {
        let failed =
            found.status_details().and_then(StackSetOperationStatusDetails::failed_stack_instances_count).unwrap_or(0);
        let tolerated =
            if failed > 0 { format!("; {failed} failed stack instances are tolerated") } else { String::new() };
        let summary = format!("StackSet {} operation {operation} SUCCEEDED{tolerated}", self.name);
        succeeded(self.progress(memory, summary), variables(memory))
    }

    /// The first failed instance says why, where the role may read the results.
    async fn failed(&self, memory: &Memory, operation: &str, found: &StackSetOperation) -> Answer {
        let results = match self.results(operation, true, STACK_INSTANCE_PAGES_MAX).await {
            Ok((results, _)) => results,
            Err(problem) if matches!(problem.kind, Kind::Transient | Kind::Session) => return Err(problem.into()),
            Err(_) => Vec::new(),
        };
        let is_failed =
            |result: &&StackSetOperationResultSummary| result.status() == Some(&StackSetOperationResultStatus::Failed);
        let count = results.iter().filter(is_failed).count();
        let why = match results.iter().find(is_failed) {
            Some(first) => format!(": {} ({count} failed)", shown(first)),
            None => found.status_reason().map(|reason| format!(": {reason}")).unwrap_or_default(),
        };
        let status = found.status().map_or("", StackSetOperationStatus::as_str);
        let message = format!("StackSet operation {operation} {status}{why}");
        Ok(deploys::failed(self.progress(memory, String::new()), error_code::JOB_FAILED, message))
    }

    fn answered(&self, answer: Answer) -> Outcome {
        match answer {
            Ok(outcome) => outcome,
            Err(Halt::Ended(outcome)) => *outcome,
            Err(Halt::Problem(problem)) => self.refused(&problem),
        }
    }

    fn refused(&self, problem: &Problem) -> Outcome {
        let message = if is_code(problem, &["StackSetNotFound"]) {
            let detail = problem.detail();
            format!("StackSet {} does not exist. Create it with a CloudFormationStackSet action. {detail}", self.name)
        } else {
            problem.detail()
        };
        problem.outcome(class_of(problem), message)
    }
}

fn variables(memory: &Memory) -> BTreeMap<String, String> {
    let of = |name: &str, value: &Option<String>| value.clone().map(|value| (name.to_owned(), value));
    [of("StackSetId", &memory.set), of("OperationId", &memory.operation)].into_iter().flatten().collect()
}

/// `111122223333/eu-west-1: reason`.
fn shown(result: &StackSetOperationResultSummary) -> String {
    let reason = result.status_reason().or_else(|| result.account_gate_result().and_then(|gate| gate.status_reason()));
    format!(
        "{}/{}: {}",
        result.account().unwrap_or_default(),
        result.region().unwrap_or_default(),
        reason.unwrap_or("no reason was given")
    )
}
