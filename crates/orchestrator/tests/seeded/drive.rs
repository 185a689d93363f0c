//! Runs one case from its first command to the end of everything, and says what was wrong on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use towpath_model::action::Outcome;
use towpath_model::declaration::{ConditionType, RetryMode};
use towpath_model::event::{Event, TransitionType};
use towpath_model::history::{HistoryEntry, HistoryEvent};
use towpath_model::ids::{ActionExecutionId, ExecutionId, Scope};
use towpath_model::state::{ActionStatus, ConditionStatus, Trigger};
use towpath_orchestrator::simulation::{Ending, Plan, Setting, World};
use towpath_orchestrator::{CommandError, NewPipeline, Orchestrator, Runtime as _, StartRequest};

use crate::seeded::case::{Case, Command, Fault};
use crate::seeded::chaos::Chaos;
use crate::seeded::check::Checker;
use crate::seeded::views;

const PIPELINE: &str = "p";
const BY: &str = "arn:aws:iam::123456789012:user/ada";
/// Rounds of help at the end before an execution counts as stuck.
const ROUNDS: usize = 200;
/// The API is compared with the history after every so-many-th commit, and at the end.
const VIEWS_EVERY: usize = 10;

pub struct Failure {
    pub message: String,
    /// What was asked and what happened, in order, with virtual times.
    pub story: Vec<String>,
}

/// What a run went through; for the curious, and to see that the cases reach everything.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    pub commits: usize,
    pub writes: u64,
    pub history: Vec<String>,
    /// Commands by their name and whether they were accepted.
    pub answers: BTreeMap<String, usize>,
}

/// What became of a command.
enum Answer {
    Done(String),
    Refused(String, String),
}

struct Drive {
    world: World,
    chaos: Arc<Chaos>,
    checker: Arc<Mutex<Checker>>,
    scope: Scope,
    answers: Arc<Mutex<Vec<Answer>>>,
    shared: bool,
    told: usize,
    viewed: usize,
    again: Vec<(u64, Duration, bool)>,
    story: Vec<String>,
    counts: BTreeMap<String, usize>,
    asked: u64,
    /// Which execution each request token started.
    started: Arc<Mutex<BTreeMap<String, Vec<ExecutionId>>>>,
    /// Tokens of approvals whose answer was accepted.
    approved: Arc<Mutex<Vec<ActionExecutionId>>>,
}

fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn run(case: &Case) -> Result<Report, Failure> {
    let checker = Arc::new(Mutex::new(Checker::default()));
    let chaos = Arc::new(Chaos::new(case, Arc::clone(&checker)));
    let script: Arc<Chaos> = Arc::clone(&chaos);
    let interference: Arc<Chaos> = Arc::clone(&chaos);
    let node = case.shared.then(|| "one".to_owned());
    let mut world = World::new(Setting { seed: case.seed, script, interference, node, ..Setting::default() });
    if case.shared {
        world.join("two");
    }
    let again = case.faults.iter().filter_map(|fault| match fault {
        Fault::Again { answer, delay, opposite } => Some((*answer, *delay, *opposite)),
        _ => None,
    });
    let mut drive = Drive {
        scope: world.scope().clone(),
        world,
        chaos,
        checker,
        answers: Arc::default(),
        shared: case.shared,
        told: 0,
        viewed: 0,
        again: again.collect(),
        story: Vec::new(),
        counts: BTreeMap::new(),
        asked: 0,
        started: Arc::default(),
        approved: Arc::default(),
    };
    match drive.case(case) {
        Ok(()) => Ok(Report {
            commits: whole(&drive.checker).commits,
            writes: drive.chaos.writes(),
            history: drive.story,
            answers: drive.counts,
        }),
        Err(message) => Err(Failure { message, story: drive.story }),
    }
}

enum Next<'c> {
    Command(&'c Command),
    Jump(i64),
}

impl Drive {
    fn case(&mut self, case: &Case) -> Result<(), String> {
        let commands = case.commands.iter().map(|(at, command)| (*at, Next::Command(command)));
        let jumps = case.faults.iter().filter_map(|fault| match fault {
            Fault::Jump { at, millis } => Some((*at, Next::Jump(*millis))),
            _ => None,
        });
        let mut plan: Vec<(Duration, Next)> = commands.chain(jumps).collect();
        plan.sort_by_key(|(at, _)| *at);
        for (at, next) in plan {
            self.run_to(at)?;
            match next {
                Next::Command(command) => self.command(case, command),
                Next::Jump(millis) => {
                    self.tell(&format!("the clock jumps by {millis} ms"));
                    self.world.runtime().jump(millis);
                }
            }
        }
        self.run_to(self.world.runtime().elapsed() + Duration::from_mins(10))?;
        self.finish(case)
    }

    fn tell(&mut self, line: &str) {
        let elapsed = self.world.runtime().elapsed();
        let (minutes, seconds) = (elapsed.as_secs() / 60, elapsed.as_secs() % 60);
        self.story.push(format!("{minutes:4}:{seconds:02}.{:03} {line}", elapsed.subsec_millis()));
    }

    /// Everything up to a moment, one poll at a time, looked at after each.
    fn run_to(&mut self, moment: Duration) -> Result<(), String> {
        loop {
            while self.world.runtime().step() {
                self.look()?;
            }
            match self.world.runtime().next_timer() {
                Some(next) if next <= moment => self.world.runtime().advance_to(next),
                _ => break,
            }
        }
        self.world.runtime().advance_to(moment);
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        while self.world.runtime().has_crashed() {
            self.tell("the process dies and another one starts");
            self.world.restart();
            if self.shared && !self.world.runtime().has_crashed() {
                self.world.join("two");
            }
        }
        let checker = Arc::clone(&self.checker);
        let checker = whole(&checker);
        if self.told < checker.history.len() {
            let lines: Vec<String> = checker.history[self.told..].iter().map(|entry| line(entry, &checker)).collect();
            self.told = checker.history.len();
            for line in lines {
                self.tell(&line);
            }
        }
        let answers = std::mem::take(&mut *whole(&self.answers));
        for answer in answers {
            let (what, line) = match answer {
                Answer::Done(what) => (format!("{what} accepted"), format!("  {what}: accepted")),
                Answer::Refused(what, why) => (format!("{what} refused"), format!("  {what}: {why}")),
            };
            *self.counts.entry(what).or_default() += 1;
            self.tell(&line);
            if line.contains("internal failure") {
                return Err(line);
            }
        }
        if let Some(fault) = &checker.fault {
            return Err(fault.clone());
        }
        if checker.commits >= self.viewed + VIEWS_EVERY {
            self.viewed = checker.commits;
            views::compare(&self.world.observer(), &self.scope, &checker)?;
        }
        drop(checker);
        self.once_more();
        self.promises()
    }

    /// Last words that arrive again.
    fn once_more(&mut self) {
        let mut due = Vec::new();
        {
            let checker = whole(&self.checker);
            self.again.retain(|(answer, delay, opposite)| {
                let end = usize::try_from(*answer).ok().and_then(|at| checker.ends.get(at));
                if let Some((execution, action, succeeded)) = end {
                    let pipeline = checker.executions[execution].pipeline.clone();
                    due.push((pipeline, execution.clone(), action.clone(), *succeeded != *opposite, *delay));
                }
                end.is_none()
            });
        }
        for (pipeline, execution, action, succeeds, delay) in due {
            self.tell(&format!("the last word about {action} comes once more"));
            let (runtime, node) = (self.world.runtime().clone(), Arc::clone(self.world.node()));
            let outcome =
                if succeeds { Outcome::succeeded() } else { Outcome::failed("JobFailed", "it came once more") };
            self.world.runtime().spawn(Box::pin(async move {
                runtime.sleep(delay).await;
                let event = Event::ActionFinished { execution, action, outcome };
                let _ = World::deliver(node, pipeline, event).await;
            }));
        }
    }

    /// What clients were told holds.
    fn promises(&self) -> Result<(), String> {
        for (token, executions) in &*whole(&self.started) {
            if executions.windows(2).any(|pair| pair[0] != pair[1]) {
                return Err(format!("the request token {token} started {executions:?}"));
            }
        }
        let approved = whole(&self.approved);
        let mut once = BTreeSet::new();
        match approved.iter().find(|token| !once.insert(*token)) {
            Some(token) => Err(format!("the approval token {token} was consumed twice")),
            None => Ok(()),
        }
    }

    fn ask<F>(&mut self, what: &str, question: impl FnOnce(Arc<Orchestrator>, Scope) -> F)
    where
        F: Future<Output = Result<(), CommandError>> + Send + 'static,
    {
        let kind = what.split(' ').next().unwrap_or_default().to_owned();
        self.tell(&format!("> {what}"));
        // Clients ask one node or the other.
        let node = match self.world.others() {
            [other, ..] if self.asked.is_multiple_of(2) => Arc::clone(other),
            _ => Arc::clone(self.world.node()),
        };
        self.asked += 1;
        let future = question(node, self.scope.clone());
        let answers = Arc::clone(&self.answers);
        self.world.runtime().spawn(Box::pin(async move {
            let answer = match future.await {
                Ok(()) => Answer::Done(kind),
                Err(error) => Answer::Refused(kind, error.to_string()),
            };
            whole(&answers).push(answer);
        }));
    }

    fn command(&mut self, case: &Case, command: &Command) {
        let checker = Arc::clone(&self.checker);
        let (by, reason) = (BY.to_owned(), Some("closed by the simulation".to_owned()));
        match command {
            Command::Create { version } => {
                let declaration = case.versions[*version].clone();
                self.ask(&format!("create v{version} {}", declaration.mode().as_str()), |node, scope| async move {
                    let new = NewPipeline { scope, declaration, tags: Vec::new(), created_by: by };
                    node.create_pipeline(new).await.map(drop)
                });
            }
            Command::Update { version } => {
                let declaration = case.versions[*version].clone();
                self.ask(&format!("update v{version} {}", declaration.mode().as_str()), |node, scope| async move {
                    node.update_pipeline(&scope, declaration).await.map(drop)
                });
            }
            Command::Delete => {
                self.ask("delete", |node, scope| async move { node.delete_pipeline(&scope, PIPELINE).await });
            }
            Command::Start { token } => {
                let token = token.map(|token| format!("token-{token}"));
                let started = Arc::clone(&self.started);
                let gate = whole(&checker).gate.as_ref().map(|gate| gate.pipeline.to_string());
                self.ask(&format!("start {}", token.as_deref().unwrap_or_default()), |node, scope| async move {
                    let request = StartRequest {
                        trigger: Trigger { kind: "StartPipelineExecution".to_owned(), detail: by },
                        variables: Vec::new(),
                        source_overrides: Vec::new(),
                        client_request_token: token.clone(),
                    };
                    let id = node.start_execution(&scope, PIPELINE, request).await?;
                    if let Some(token) = token {
                        // A deleted pipeline takes its tokens with it.
                        let key = format!("{token} of {}", gate.unwrap_or_default());
                        whole(&started).entry(key).or_default().push(id);
                    }
                    Ok(())
                });
            }
            Command::Stop { pick, abandon } => {
                let Some(id) = pick_execution(&whole(&checker), *pick, |execution| !execution) else { return };
                let abandon = *abandon;
                let name = whole(&checker).replay.name(&id);
                self.ask(&format!("stop {name} abandon={abandon}"), |node, scope| async move {
                    node.stop_execution(&scope, PIPELINE, &id, abandon, reason, by).await
                });
            }
            Command::Retry { pick, stage, all } => {
                let found = {
                    let checker = whole(&checker);
                    let likely = checker.retryable();
                    if likely.is_empty() || pick.is_multiple_of(5) {
                        pick_execution(&checker, *pick, |_| true).zip(pick_stage(&checker, *stage))
                    } else {
                        likely.get(index(*pick, likely.len())).cloned()
                    }
                };
                let Some((id, stage)) = found else { return };
                let mode = if *all { RetryMode::AllActions } else { RetryMode::FailedActions };
                let name = whole(&checker).replay.name(&id);
                self.ask(&format!("retry {name} {stage} {mode:?}"), |node, scope| async move {
                    node.retry_stage(&scope, PIPELINE, &stage, &id, mode).await
                });
            }
            Command::Rollback { pick, stage } => {
                let found = {
                    let checker = whole(&checker);
                    let likely = checker.rollback_targets();
                    if likely.is_empty() || pick.is_multiple_of(5) {
                        pick_execution(&checker, *pick, |ended| ended).zip(pick_stage(&checker, *stage))
                    } else {
                        likely.get(index(*pick, likely.len())).cloned()
                    }
                };
                let Some((id, stage)) = found else { return };
                let name = whole(&checker).replay.name(&id);
                self.ask(&format!("rollback {stage} to {name}"), |node, scope| async move {
                    node.rollback_stage(&scope, PIPELINE, &stage, &id, by).await.map(drop)
                });
            }
            Command::Override { pick, stage, gate } => {
                let found = {
                    let checker = whole(&checker);
                    let likely = conditions(&checker, *gate);
                    if likely.is_empty() || pick.is_multiple_of(5) {
                        pick_execution(&checker, *pick, |_| true).zip(pick_stage(&checker, *stage))
                    } else {
                        likely.get(index(*pick, likely.len())).cloned()
                    }
                };
                let Some((id, stage)) = found else { return };
                let (gate, name) = (*gate, whole(&checker).replay.name(&id));
                self.ask(&format!("override {name} {stage}.{}", gate.as_str()), |node, scope| async move {
                    node.override_condition(&scope, PIPELINE, &stage, &id, gate, by).await
                });
            }
            Command::Transition { stage, outbound, enable } => {
                let Some(stage) = pick_stage(&whole(&checker), *stage) else { return };
                self.transition(&stage, *outbound, *enable);
            }
            Command::Answer { pick, approved, stale } => {
                let found = {
                    let checker = whole(&checker);
                    let tokens: Vec<_> =
                        checker.tokens.iter().filter(|(_, action)| *stale || is_open(&checker, action)).collect();
                    tokens.get(index(*pick, tokens.len())).map(|(_, action)| action.clone())
                };
                if let Some(action) = found {
                    self.answer(&action, *approved);
                }
            }
        }
    }

    fn transition(&mut self, stage: &str, outbound: bool, enable: bool) {
        let which = if outbound { TransitionType::Outbound } else { TransitionType::Inbound };
        let reason = (!enable).then(|| "closed by the simulation".to_owned());
        let stage = stage.to_owned();
        let what = if enable { "enable" } else { "disable" };
        self.ask(&format!("{what} {stage} {which:?}"), |node, scope| async move {
            node.change_transition(&scope, PIPELINE, &stage, which, reason, BY.to_owned()).await
        });
    }

    fn answer(&mut self, token: &ActionExecutionId, approved: bool) {
        let (stage, action, name) = {
            let checker = whole(&self.checker);
            let Some(told) = checker.replay.actions.get(token) else { return };
            (told.stage.clone(), told.name.clone(), checker.replay.name(&told.execution))
        };
        let what = format!("answer {name} {stage}/{action} approved={approved}");
        let (token, consumed) = (token.clone(), Arc::clone(&self.approved));
        let event = Event::ApprovalAnswered {
            stage,
            action,
            token: token.to_string(),
            approved,
            summary: "seen".to_owned(),
            answered_by: BY.to_owned(),
        };
        self.ask(&what, |node, scope| async move {
            node.put_approval_result(&scope, PIPELINE, event).await?;
            whole(&consumed).push(token);
            Ok(())
        });
    }

    /// Nothing goes wrong any more, everything is opened, answered and ended: then everything must end.
    fn finish(&mut self, case: &Case) -> Result<(), String> {
        self.tell("nothing goes wrong any more");
        self.chaos.calm_down();
        if whole(&self.checker).gate.is_none() {
            self.command(case, &Command::Create { version: 0 });
        }
        for _ in 0..ROUNDS {
            self.help();
            self.run_to(self.world.runtime().elapsed() + Duration::from_mins(3))?;
            let checker = whole(&self.checker);
            if checker.executions.values().all(|execution| execution.status.has_ended()) && checker.tasks.is_empty() {
                break;
            }
        }
        let checker = whole(&self.checker);
        if let Some(stuck) = checker.executions.values().find(|execution| !execution.status.has_ended()) {
            return Err(format!("{} never ended; it is {:?}", checker.replay.name(&stuck.id), stuck.position));
        }
        if let Some(task) = checker.tasks.values().next() {
            return Err(format!("{:?} of {} is left in the outbox", task.kind, task.invocation.action_name));
        }
        if checker.gate.is_none() {
            return Err("no pipeline could be created in the end".to_owned());
        }
        // What another node ended is forgotten when it falls due.
        if !self.shared && self.world.node().tasks_pending() > 0 {
            return Err("the schedule still holds a task that the outbox does not".to_owned());
        }
        views::compare(&self.world.observer(), &self.scope, &checker)?;
        // The process that ran all the time shows the same.
        views::compare(self.world.node(), &self.scope, &checker)
    }

    fn help(&mut self) {
        let checker = Arc::clone(&self.checker);
        let closed: Vec<(String, bool)> = whole(&checker).gate.as_ref().map_or_else(Vec::new, |gate| {
            let doors = gate.stages.iter().flat_map(|door| {
                [
                    (door.name.to_string(), false, door.inbound.enabled),
                    (door.name.to_string(), true, door.outbound.enabled),
                ]
            });
            doors.filter(|(_, _, enabled)| !enabled).map(|(stage, outbound, _)| (stage, outbound)).collect()
        });
        for (stage, outbound) in closed {
            self.transition(&stage, outbound, true);
        }
        let open: Vec<ActionExecutionId> = {
            let checker = whole(&checker);
            checker.tokens.iter().map(|(_, action)| action).filter(|id| is_open(&checker, id)).cloned().collect()
        };
        for token in open {
            self.answer(&token, true);
        }
        for work in self.world.outside().all() {
            let id = work.action.action_execution_id.clone();
            self.world.outside().finish(&id, Ending::success());
            if work.plan == Plan::Reported && is_open(&whole(&checker), &id) {
                let node = Arc::clone(self.world.node());
                let execution = work.action.execution_id;
                let pipeline = whole(&checker).executions[&execution].pipeline.clone();
                let event = Event::ActionFinished { execution, action: id, outcome: Outcome::succeeded() };
                self.world.runtime().spawn(Box::pin(async move {
                    let _ = World::deliver(node, pipeline, event).await;
                }));
            }
        }
    }
}

fn is_open(checker: &Checker, action: &ActionExecutionId) -> bool {
    checker.replay.actions.get(action).is_some_and(|told| told.status == ActionStatus::InProgress)
}

fn index(pick: u64, length: usize) -> usize {
    usize::try_from(pick % (length.max(1) as u64)).unwrap_or(0)
}

/// One of those that fit; now and then any.
fn pick_execution(checker: &Checker, pick: u64, fits: impl Fn(bool) -> bool) -> Option<ExecutionId> {
    let order = &checker.replay.order;
    let fitting: Vec<&ExecutionId> =
        order.iter().filter(|id| pick.is_multiple_of(7) || fits(checker.executions[*id].status.has_ended())).collect();
    fitting.get(index(pick / 7, fitting.len())).map(|id| (*id).clone())
}

fn pick_stage(checker: &Checker, pick: u64) -> Option<String> {
    let stages = &checker.gate.as_ref()?.stages;
    stages.get(index(pick, stages.len())).map(|door| door.name.to_string())
}

/// Where a condition of the gate holds an execution back, or may yet.
fn conditions(checker: &Checker, gate: ConditionType) -> Vec<(ExecutionId, String)> {
    let mut found = Vec::new();
    for (id, execution) in &checker.executions {
        let Some(run) = execution.stages.last() else { continue };
        let status = run.condition(gate).map(|condition| condition.status);
        let holds = match gate {
            ConditionType::OnSuccess => matches!(status, Some(ConditionStatus::InProgress | ConditionStatus::Failed)),
            ConditionType::BeforeEntry | ConditionType::OnFailure => status == Some(ConditionStatus::InProgress),
        };
        if holds {
            found.push((id.clone(), run.name.to_string()));
        }
    }
    found
}

fn line(entry: &HistoryEntry, checker: &Checker) -> String {
    let who = checker.replay.name(&entry.execution);
    match &entry.event {
        HistoryEvent::Execution { state, .. } => format!("{who} {}", state.as_str()),
        HistoryEvent::Stage { stage, state } => format!("{who} {stage} {}", state.as_str()),
        HistoryEvent::Action { stage, action, state, .. } => format!("{who} {stage}/{action} {}", state.as_str()),
        HistoryEvent::Waiting { stage } => format!("{who} waits at {stage}"),
        HistoryEvent::Condition { stage, gate, status, .. } => {
            format!("{who} {stage}.{} {}", gate.as_str(), status.as_str())
        }
        HistoryEvent::Rule { stage, gate, rule, state, .. } => {
            format!("{who} {stage}.{}/{rule} {}", gate.as_str(), state.as_str())
        }
    }
}
