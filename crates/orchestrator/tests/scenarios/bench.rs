//! Runs the steps of one scenario in a world.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use towpath_model::action::{ActionInvocation, SourceRevisionOverride};
use towpath_model::declaration::{PipelineDeclaration, RetryMode};
use towpath_model::event::{Event, Rejection, TransitionType};
use towpath_model::ids::{ActionExecutionId, ExecutionId, PipelineId};
use towpath_model::state::{ActionAttempt, Execution, Trigger};
use towpath_orchestrator::simulation::{Ending, Outside, Plan, Script, Setting, World};
use towpath_orchestrator::{CommandError, Orchestrator, StartRequest};
use towpath_store::{ExecutionFilter, Store};

use crate::declare;
use crate::file::{Answer, Fail, Finish, Pipeline, Retry, Scenario, Start, Step, Stop, Transition, Who};
use crate::names::{self, Place};
use crate::seen;

pub const PIPELINE: &str = "p";
const BY: &str = "arn:aws:iam::123456789012:user/ada";
const EXECUTIONS_MAX: usize = 1000;

/// Work of the first stage succeeds at once, unless it is held; real rules answer for themselves; everything else waits
/// for its step.
struct Held {
    first_stage: String,
    hold_source: bool,
}

impl Script for Held {
    fn plan(&self, action: &ActionInvocation, _: u32) -> Plan {
        if action.condition.is_some() && action.action_type.provider != "Rehearsal" {
            return Plan::Real;
        }
        if action.condition.is_none() && action.stage_name == *self.first_stage && !self.hold_source {
            return Plan::Ends(Duration::ZERO, Ending::success());
        }
        Plan::Open
    }

    fn poll_interval(&self, _: &ActionInvocation) -> Duration {
        Duration::from_hours(1)
    }
}

pub struct Bench {
    pub world: World,
    pub pipeline_id: PipelineId,
    pipeline: Pipeline,
    /// Every version so far.
    declared: Vec<PipelineDeclaration>,
    /// In the order of starts, as they are after the last step.
    pub executions: Vec<Execution>,
    pub heard: usize,
    /// Tokens of approvals that were open once, by the name of the action; the newest one.
    tokens: BTreeMap<String, String>,
}

pub fn run(scenario: &Scenario, store: Arc<dyn Store>) -> Result<(), String> {
    let mut bench = Bench::new(scenario, store)?;
    for (number, step) in scenario.steps.iter().enumerate() {
        let done = bench.step(step);
        done.map_err(|error| format!("step {}: {error}\n\n{}", number + 1, bench.story()))?;
    }
    Ok(())
}

impl Bench {
    fn new(scenario: &Scenario, store: Arc<dyn Store>) -> Result<Self, String> {
        let pipeline = scenario.pipeline.clone();
        let first = pipeline.stages.first().and_then(|stage| stage.keys().next()).cloned().unwrap_or_default();
        let script = Held { first_stage: first, hold_source: scenario.hold_source };
        let mut world = World::new(Setting { store, script: Arc::new(script), ..Setting::default() });
        let declared = declare::declaration(&pipeline)?;
        let created = world.create(declared.clone()).map_err(|error| violations(&error))?;
        world.settle();
        let first = created.execution.ok_or("CreatePipeline started nothing")?;
        let store = Arc::clone(world.gateway());
        let row = world.ask(|_| async move { store.execution(&first).await });
        let row = row.and_then(Result::ok).flatten().ok_or("the first execution is not there")?;
        let mut bench = Self {
            world,
            pipeline_id: row.value.pipeline,
            pipeline,
            declared: vec![declared],
            executions: Vec::new(),
            heard: 0,
            tokens: BTreeMap::new(),
        };
        bench.look()?;
        Ok(bench)
    }

    fn look(&mut self) -> Result<(), String> {
        self.world.settle();
        let (store, pipeline) = (Arc::clone(self.world.gateway()), self.pipeline_id.clone());
        let page = self
            .world
            .ask(|_| async move { store.execution_page(&pipeline, &ExecutionFilter::All, None, EXECUTIONS_MAX).await });
        let page = page.and_then(Result::ok).ok_or("the executions cannot be read")?;
        self.executions = page.items.into_iter().map(|row| row.value).rev().collect();
        for (number, execution) in self.executions.iter().enumerate() {
            for stage in &execution.stages {
                for action in &stage.actions {
                    if let Some(token) = action.latest.as_ref().and_then(|attempt| attempt.token.clone()) {
                        self.tokens.insert(format!("e{} {}/{}", number + 1, stage.name, action.name), token);
                    }
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Start(start) => self.start(start.as_ref())?,
            Step::Finish(finish) => {
                let (who, variables) = match finish {
                    Finish::Who(who) => (who, BTreeMap::new()),
                    Finish::Whole(whole) => {
                        let mut variables = whole.variables.clone();
                        if let Some(bytes) = whole.bytes {
                            for value in variables.values_mut() {
                                *value = value.repeat(bytes);
                            }
                        }
                        (&whole.who, variables)
                    }
                };
                self.end(who, Ending::Succeeds { variables })?;
            }
            Step::Fail(fail) => {
                let (who, code, message) = match fail {
                    Fail::Who(who) => (who, None, None),
                    Fail::Whole(whole) => (&whole.who, whole.code.clone(), whole.message.clone()),
                };
                let code = code.unwrap_or_else(|| "JobFailed".to_owned());
                let message = message.unwrap_or_else(|| "it broke".to_owned());
                self.end(who, Ending::Fails { code, message })?;
            }
            Step::Approve(answer) => self.answer(answer, true)?,
            Step::Reject(answer) => self.answer(answer, false)?,
            Step::Stop(stop) => self.stop(stop)?,
            Step::Retry(retry) => self.retry(retry)?,
            Step::Rollback(rollback) => {
                let target = self.id(number(&rollback.to)?)?;
                let event = Event::RollbackRequested {
                    stage: rollback.stage.as_str().into(),
                    target,
                    requested_by: BY.to_owned(),
                };
                self.deliver(event, rollback.error.as_deref())?;
            }
            Step::Override(who) => {
                let (who, error) = match who {
                    Who::Name(who) => (who, None),
                    Who::Whole(whole) => (&whole.who, whole.error.as_deref()),
                };
                let name = names::parse(who)?;
                let Place::Condition(stage, gate) = name.place else { return Err(format!("`{who}` is no condition")) };
                let execution = self.id(name.execution)?;
                let event =
                    Event::ConditionOverridden { execution, stage: stage.into(), gate, overridden_by: BY.to_owned() };
                self.deliver(event, error)?;
            }
            Step::Disable(transition) => self.transition(transition, true)?,
            Step::Enable(transition) => self.transition(transition, false)?,
            Step::Update(update) => {
                if let Some(mode) = &update.mode {
                    self.pipeline.mode = Some(mode.clone());
                }
                if let Some(stages) = &update.stages {
                    self.pipeline.stages.clone_from(stages);
                }
                let declaration = declare::declaration(&self.pipeline)?;
                self.declared.push(declaration.clone());
                let answer = self
                    .command(|node, scope| async move { node.update_pipeline(&scope, declaration).await.map(drop) })?;
                judge(answer, update.error.as_deref())?;
            }
            Step::Delete(()) => {
                let answer = self.command(|node, scope| async move { node.delete_pipeline(&scope, PIPELINE).await })?;
                judge(answer, None)?;
            }
            Step::Advance(text) => self.world.advance(duration(text)?),
            Step::Crash(()) => self.world.restart(),
            Step::Expect(expected) => return self.expect(expected),
        }
        self.look()
    }

    fn command<T, F>(
        &mut self,
        question: impl FnOnce(Arc<Orchestrator>, towpath_model::ids::Scope) -> F,
    ) -> Result<Result<T, CommandError>, String>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CommandError>> + Send + 'static,
    {
        let scope = self.world.scope().clone();
        self.world.ask(|node| question(node, scope)).ok_or_else(|| "the command did not answer".to_owned())
    }

    fn deliver(&mut self, event: Event, error: Option<&str>) -> Result<(), String> {
        let pipeline = self.pipeline_id.clone();
        let answer = self.world.ask(|node| World::deliver(node, pipeline, event));
        judge(answer.ok_or("the command did not answer")?, error)
    }

    fn start(&mut self, start: Option<&Start>) -> Result<(), String> {
        let default = Start::default();
        let start = start.unwrap_or(&default);
        for _ in 0..start.times.unwrap_or(1) {
            let request = StartRequest {
                trigger: Trigger { kind: "StartPipelineExecution".to_owned(), detail: BY.to_owned() },
                variables: start.variables.clone(),
                source_overrides: start
                    .overrides
                    .iter()
                    .map(|(action, kind, value)| SourceRevisionOverride {
                        action_name: action.as_str().into(),
                        revision_type: kind.clone(),
                        revision_value: value.clone(),
                    })
                    .collect(),
                client_request_token: start.token.clone(),
            };
            let answer =
                self.command(|node, scope| async move { node.start_execution(&scope, PIPELINE, request).await })?;
            judge(answer, start.error.as_deref())?;
            self.world.settle();
        }
        Ok(())
    }

    /// Ends the running work of an action or a rule.
    fn end(&mut self, who: &str, ending: Ending) -> Result<(), String> {
        let attempt = self.attempt(who)?.ok_or_else(|| format!("{who} never started"))?;
        let (id, external) = (attempt.id.clone(), attempt.progress.external_id.clone());
        if !self.world.outside().finish(&id, ending) {
            return Err(format!("nothing runs outside for {who}"));
        }
        if let Some(external) = external {
            self.world.node().wake_external(&external);
        }
        Ok(())
    }

    fn answer(&mut self, answer: &Answer, approved: bool) -> Result<(), String> {
        let (who, summary, error) = match answer {
            Answer::Who(who) => (who, None, None),
            Answer::Whole(whole) => (&whole.who, whole.summary.as_deref(), whole.error.as_deref()),
        };
        let Place::Action(stage, action) = names::parse(who)?.place else {
            return Err(format!("`{who}` is no action"));
        };
        let token = self.tokens.get(who).cloned().ok_or_else(|| format!("{who} never had a token"))?;
        let event = Event::ApprovalAnswered {
            stage: stage.into(),
            action: action.into(),
            token,
            approved,
            summary: summary.unwrap_or("seen").to_owned(),
            answered_by: BY.to_owned(),
        };
        let answer =
            self.command(|node, scope| async move { node.put_approval_result(&scope, PIPELINE, event).await })?;
        judge(answer, error)
    }

    fn stop(&mut self, stop: &Stop) -> Result<(), String> {
        let (who, abandon, reason, error) = match stop {
            Stop::Who(who) => (who, false, None, None),
            Stop::Whole(whole) => (&whole.who, whole.abandon, whole.reason.clone(), whole.error.as_deref()),
        };
        let id = self.id(number(who)?)?;
        let answer = self.command(|node, scope| async move {
            node.stop_execution(&scope, PIPELINE, &id, abandon, reason, BY.to_owned()).await
        })?;
        judge(answer, error)
    }

    fn retry(&mut self, retry: &Retry) -> Result<(), String> {
        let (who, all, error) = match retry {
            Retry::Who(who) => (who, false, None),
            Retry::Whole(whole) => (&whole.who, whole.all, whole.error.as_deref()),
        };
        let name = names::parse(who)?;
        let Place::Stage(stage) = name.place else { return Err(format!("`{who}` is no stage")) };
        let id = self.id(name.execution)?;
        let mode = if all { RetryMode::AllActions } else { RetryMode::FailedActions };
        let answer =
            self.command(|node, scope| async move { node.retry_stage(&scope, PIPELINE, &stage, &id, mode).await })?;
        judge(answer, error)
    }

    fn transition(&mut self, transition: &Transition, disable: bool) -> Result<(), String> {
        let (stage, outbound, reason, error) = match transition {
            Transition::Stage(stage) => (stage, false, None, None),
            Transition::Whole(whole) => (&whole.stage, whole.outbound, whole.reason.clone(), whole.error.as_deref()),
        };
        let which = if outbound { TransitionType::Outbound } else { TransitionType::Inbound };
        let reason = disable.then(|| reason.unwrap_or_else(|| "closed".to_owned()));
        let stage = stage.clone();
        let answer = self.command(|node, scope| async move {
            node.change_transition(&scope, PIPELINE, &stage, which, reason, BY.to_owned()).await
        })?;
        judge(answer, error)
    }

    fn expect(&mut self, expected: &BTreeMap<String, Value>) -> Result<(), String> {
        let mut wrong = Vec::new();
        for (what, expected) in expected {
            let found = seen::of(self, what)?;
            if found != *expected {
                wrong.push(format!("{what}: expected {expected}, found {found}"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    // --- what is there ---

    pub fn id(&self, number: u64) -> Result<ExecutionId, String> {
        Ok(self.execution(number)?.id.clone())
    }

    pub fn execution(&self, number: u64) -> Result<&Execution, String> {
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        self.executions.get(index).ok_or_else(|| format!("there is no e{number}"))
    }

    pub fn name_of(&self, id: &ExecutionId) -> String {
        let at = self.executions.iter().position(|execution| execution.id == *id);
        at.map_or_else(|| id.to_string(), |at| format!("e{}", at + 1))
    }

    /// A name that no version of the pipeline has is a mistake of the scenario, not something that did not happen.
    pub fn declared(&self, place: &Place) -> Result<(), String> {
        let is_there = self.declared.iter().any(|declaration| {
            let stage = |name: &str| declaration.stage(name);
            match place {
                Place::Execution => true,
                Place::Stage(name) => stage(name).is_some(),
                Place::Action(name, action) => stage(name).is_some_and(|stage| stage.action(action).is_some()),
                Place::Condition(name, gate) => stage(name).is_some_and(|stage| stage.condition(*gate).is_some()),
                Place::Rule(name, gate, rule) => {
                    let condition = stage(name).and_then(|stage| stage.condition(*gate));
                    condition.is_some_and(|condition| condition.rule(rule).is_some())
                }
            }
        });
        if is_there { Ok(()) } else { Err(format!("the pipeline declares no {place:?}")) }
    }

    /// The newest execution of an action or a rule.
    pub fn attempt(&self, who: &str) -> Result<Option<&ActionAttempt>, String> {
        let name = names::parse(who)?;
        let execution = self.execution(name.execution)?;
        self.declared(&name.place)?;
        Ok(match &name.place {
            Place::Action(stage, action) => execution
                .stage_run(stage)
                .and_then(|run| run.actions.iter().find(|run| run.name == *action.as_str())?.latest.as_ref()),
            Place::Rule(stage, gate, rule) => execution.stage_run(stage).and_then(|run| {
                let rules = &run.condition(*gate)?.rules;
                rules.iter().find(|run| run.name == *rule.as_str()).map(|run| &run.attempt)
            }),
            Place::Execution | Place::Stage(_) | Place::Condition(..) => {
                return Err(format!("`{who}` is neither an action nor a rule"));
            }
        })
    }

    pub fn outside(&self) -> &Outside {
        self.world.outside()
    }

    pub fn invocation(&self, id: &ActionExecutionId) -> Option<ActionInvocation> {
        self.outside().work(id).map(|work| work.action)
    }

    /// Everything that happened, for whoever reads a failure.
    fn story(&mut self) -> String {
        let lines = seen::history(self).unwrap_or_default();
        let mut story = vec!["history:".to_owned()];
        story.extend(lines.into_iter().map(|line| format!("  - {line}")));
        story.join("\n")
    }
}

/// The command was refused as expected, or not at all.
fn judge<T>(answer: Result<T, CommandError>, expected: Option<&str>) -> Result<(), String> {
    match (answer, expected) {
        (Ok(_), None) => Ok(()),
        (Ok(_), Some(expected)) => Err(format!("expected {expected}, but it was accepted")),
        (Err(error), Some(expected)) if code(&error) == expected => Ok(()),
        (Err(error), expected) => {
            Err(format!("expected {}, found {}: {}", expected.unwrap_or("no error"), code(&error), violations(&error)))
        }
    }
}

/// The AWS error code.
fn code(error: &CommandError) -> String {
    let code = match error {
        CommandError::PipelineNotFound { .. } => "PipelineNotFoundException",
        CommandError::PipelineNameInUse { .. } => "PipelineNameInUseException",
        CommandError::Invalid(_) => "InvalidStructure",
        CommandError::Rejected(rejection) => match rejection {
            Rejection::Validation(_) => "ValidationException",
            Rejection::Conflict(_) => "ConflictException",
            Rejection::StageNotFound(_) => "StageNotFoundException",
            Rejection::ActionNotFound(_) => "ActionNotFoundException",
            Rejection::PipelineExecutionNotFound(_) => "PipelineExecutionNotFoundException",
            Rejection::PipelineExecutionNotStoppable(_) => "PipelineExecutionNotStoppableException",
            Rejection::DuplicatedStopRequest(_) => "DuplicatedStopRequestException",
            Rejection::InvalidApprovalToken(_) => "InvalidApprovalTokenException",
            Rejection::ApprovalAlreadyCompleted(_) => "ApprovalAlreadyCompletedException",
            Rejection::StageNotRetryable(_) => "StageNotRetryableException",
            Rejection::NotLatestPipelineExecution(_) => "NotLatestPipelineExecutionException",
            Rejection::ConcurrentPipelineExecutionsLimitExceeded(_) => {
                "ConcurrentPipelineExecutionsLimitExceededException"
            }
            Rejection::UnableToRollbackStage(_) => "UnableToRollbackStageException",
            Rejection::PipelineExecutionOutdated(_) => "PipelineExecutionOutdatedException",
            Rejection::ConditionNotOverridable(_) => "ConditionNotOverridableException",
            Rejection::Internal(_) => "InternalFailure",
        },
        other => return format!("{other:?}"),
    };
    code.to_owned()
}

fn violations(error: &CommandError) -> String {
    match error {
        CommandError::Invalid(violations) => {
            violations.iter().map(|violation| violation.message.as_str()).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

fn number(text: &str) -> Result<u64, String> {
    names::execution(text).ok_or_else(|| format!("`{text}` is no execution; write e1"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write 90s, 20m, 24h or 7d");
    let (digits, unit) = text.split_at(text.len().saturating_sub(1));
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(number * seconds))
}

/// Text, or null.
pub fn text(value: Option<impl AsRef<str>>) -> Value {
    value.map_or(Value::Null, |value| json!(value.as_ref()))
}
