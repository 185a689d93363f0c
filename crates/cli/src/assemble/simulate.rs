//! Rehearses a definition for `towpath simulate`: the real orchestrator in a simulated world, with what runs outside and
//! what people do scripted from the command line. Decides nothing about the pipeline and waits for no real time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use towpath_model::action::ActionInvocation;
use towpath_model::catalogue::Category;
use towpath_model::declaration::ConditionType;
use towpath_model::event::{Event, TransitionType};
use towpath_model::history::{EventState, HistoryEntry, HistoryEvent};
use towpath_model::ids::{ActionExecutionId, ActionName, ExecutionId, Scope, StageName};
use towpath_model::state::{ConditionStatus, Execution, ExecutionKind, StageStatus, Trigger};
use towpath_orchestrator::simulation::{Ending, Plan, Script, Setting, World};
use towpath_orchestrator::{CommandError, Orchestrator, StartRequest};
use towpath_store::HistoryFilter;

use crate::commands::simulate::moment::{Deed, Moment, Part, Planned, Target};
use crate::commands::simulate::rehearsed::{Beat, Done, Rehearsed};
use crate::commands::simulate::wish::{Conduct, End, Wishes};
use crate::commands::validate::Checked;
use crate::errors::ExpectedError;
use crate::limits;

/// Who does what the options say.
const SOMEBODY: &str = "arn:aws:iam::123456789012:user/somebody";
/// How long after a failure somebody reacts, where the option does not say.
const REACTION: Duration = Duration::from_mins(1);
/// The shortest time that anything takes: time has to pass for things to come one after the other.
const LENGTH_MIN: Duration = Duration::from_millis(1);
const PAGE: usize = 1000;

/// The whole rehearsal.
pub fn simulate(checked: &Checked, wishes: &Wishes) -> Result<Rehearsed, ExpectedError> {
    let script = Arc::new(Scripted { wishes: wishes.clone(), noted: Mutex::default() });
    let world = World::new(Setting {
        start: wishes.start,
        scope: Scope::new(&checked.account, &checked.region),
        catalogue: Arc::new(super::catalogue(&checked.config.config)),
        script: Arc::clone(&script) as Arc<dyn Script>,
        ..Setting::default()
    });
    let mut director = Director {
        world,
        script,
        wishes,
        agenda: Vec::new(),
        pending: wishes.deeds.iter().cloned().map(Some).collect(),
        running: BTreeSet::new(),
        held: BTreeSet::new(),
        entered: BTreeMap::new(),
        seen: 0,
        beats: Vec::new(),
    };
    director.run()?;
    director.result()
}

/// How often what ran, and which runs go on until somebody ends them.
#[derive(Default)]
struct Noted {
    ran: BTreeMap<Target, u32>,
    held: BTreeSet<ActionExecutionId>,
}

/// The world outside, as it is wished.
struct Scripted {
    wishes: Wishes,
    noted: Mutex<Noted>,
}

impl Scripted {
    /// Counts a run and settles how it goes.
    fn next(&self, target: &Target, id: &ActionExecutionId) -> Conduct {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = noted.ran.entry(target.clone()).or_default();
        *nth += 1;
        let conduct = self.wishes.conduct(target, *nth);
        if conduct.end == End::Never {
            noted.held.insert(id.clone());
        }
        conduct
    }

    fn is_held(&self, id: &ActionExecutionId) -> bool {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).held.contains(id)
    }
}

impl Script for Scripted {
    fn plan(&self, action: &ActionInvocation, _: u32) -> Plan {
        let target = Target::new(&action.stage_name, action.condition, &action.action_name);
        let conduct = self.next(&target, &action.action_execution_id);
        let length = conduct.length.max(LENGTH_MIN);
        match conduct.end {
            End::Succeeds { variables } => Plan::Ends(length, Ending::Succeeds { variables }),
            End::Fails(why) => Plan::Ends(length, Ending::failure(why)),
            End::Never => Plan::Open,
            End::AsDeclared => Plan::Real,
        }
    }

    fn poll_interval(&self, _: &ActionInvocation) -> Duration {
        Duration::from_hours(1)
    }
}

enum Todo {
    Deed { planned: Planned, cause: Option<ExecutionId> },
    Answer { execution: ActionExecutionId, stage: StageName, action: ActionName, refused: Option<String> },
}

/// Something that is to be done at a time since the beginning.
struct Appointment {
    at: Duration,
    todo: Todo,
}

/// Lets time pass, and does what is to be done when its time has come.
struct Director<'a> {
    world: World,
    script: Arc<Scripted>,
    wishes: &'a Wishes,
    agenda: Vec<Appointment>,
    /// Deeds whose moment is not known yet; None where it is.
    pending: Vec<Option<Planned>>,
    running: BTreeSet<ActionExecutionId>,
    /// Of those that run, approvals that nobody answers.
    held: BTreeSet<ActionExecutionId>,
    /// How often a stage, or something in one, began.
    entered: BTreeMap<(String, Option<Part>), u32>,
    seen: u64,
    beats: Vec<Beat>,
}

fn failed(error: &CommandError) -> ExpectedError {
    ExpectedError::System { message: format!("cannot simulate the pipeline: {error}"), hint: None, usage: false }
}

fn crashed() -> ExpectedError {
    ExpectedError::System { message: "the simulation stopped answering".to_owned(), hint: None, usage: false }
}

impl Director<'_> {
    fn run(&mut self) -> Result<(), ExpectedError> {
        for at in 0..self.pending.len() {
            if let Some(Planned { moment: Moment::After(after), .. }) = &self.pending[at] {
                let after = *after;
                self.appoint(at, after, None);
            }
        }
        self.world.create(self.wishes.declaration.clone()).map_err(|error| failed(&error))?;
        self.take_history()?;
        let last = self.wishes.until.unwrap_or(limits::SIMULATED_MAX);
        loop {
            let now = self.world.runtime().elapsed();
            while let Some(at) = self.agenda.iter().position(|appointment| appointment.at <= now) {
                let appointment = self.agenda.remove(at);
                self.keep(appointment.todo)?;
            }
            let next = self.agenda.iter().map(|appointment| appointment.at).min();
            let busy = match self.wishes.until {
                Some(_) => !self.running.is_empty(),
                None => self.running.iter().any(|id| !self.held.contains(id) && !self.script.is_held(id)),
            };
            if next.is_none() && !busy {
                return Ok(());
            }
            let timer = self.world.runtime().next_timer();
            let Some(to) = next.into_iter().chain(timer).min().filter(|to| *to <= last) else { break };
            self.world.runtime().run_until(to);
            self.take_history()?;
        }
        self.world.runtime().run_until(last);
        self.take_history()
    }

    /// Deeds of one time are done in their order, after what was appointed before.
    fn appoint(&mut self, at: usize, time: Duration, cause: Option<ExecutionId>) {
        if let Some(planned) = self.pending[at].take() {
            self.enter(Appointment { at: time, todo: Todo::Deed { planned, cause } });
        }
    }

    fn enter(&mut self, appointment: Appointment) {
        let after = self.agenda.iter().position(|other| other.at > appointment.at).unwrap_or(self.agenda.len());
        self.agenda.insert(after, appointment);
    }

    // --- what happened ---

    fn take_history(&mut self) -> Result<(), ExpectedError> {
        let mut ended: Vec<(StageName, ExecutionId)> = Vec::new();
        loop {
            let (store, after) = (Arc::clone(self.world.gateway()), self.seen);
            let read = self.world.ask(|_| async move { store.history(&HistoryFilter::All, after, PAGE).await });
            let entries = read.ok_or_else(crashed)?.map_err(|error| failed(&CommandError::Store(error)))?;
            let Some(last) = entries.last() else { break };
            self.seen = last.sequence;
            for entry in entries {
                self.note(&entry, &mut ended);
                self.beats.push(Beat::History(Box::new(entry)));
            }
        }
        for (stage, execution) in ended {
            let due = |planned: &Option<Planned>| {
                planned.as_ref().is_some_and(|planned| planned.moment == Moment::Ended(stage.to_string()))
            };
            if let Some(at) = self.pending.iter().position(due) {
                self.appoint(at, self.world.runtime().elapsed() + REACTION, Some(execution));
            }
        }
        Ok(())
    }

    fn note(&mut self, entry: &HistoryEntry, ended: &mut Vec<(StageName, ExecutionId)>) {
        let id = &entry.execution;
        match &entry.event {
            HistoryEvent::Stage { stage, state } => match state {
                EventState::Started => self.began(stage, None, id),
                EventState::Resumed => {
                    // It went on in the same moment: nobody has to retry it.
                    ended.retain(|(ended, of)| ended != stage || of != id);
                    self.began(stage, None, id);
                }
                EventState::Failed | EventState::Stopped => ended.push((stage.clone(), id.clone())),
                _ => {}
            },
            HistoryEvent::Action { stage, action, action_execution, action_type, state, .. } => {
                self.work(action_execution, *state);
                if *state == EventState::Started {
                    self.began(stage, Some(&Part { gate: None, name: action.to_string() }), id);
                    if action_type.category == Category::Approval {
                        self.ask(stage, action, action_execution);
                    }
                }
            }
            HistoryEvent::Rule { stage, gate, rule, rule_execution, state, .. } => {
                self.work(rule_execution, *state);
                if *state == EventState::Started {
                    self.began(stage, Some(&Part { gate: Some(*gate), name: rule.to_string() }), id);
                }
            }
            HistoryEvent::Condition { stage, gate, status, .. } => {
                let held_back = match (gate, status) {
                    (ConditionType::BeforeEntry, ConditionStatus::InProgress) => Some(Duration::ZERO),
                    (ConditionType::OnSuccess, ConditionStatus::Failed | ConditionStatus::Errored) => Some(REACTION),
                    _ => None,
                };
                let moment = Moment::HeldBack(stage.to_string(), *gate);
                let due = |planned: &Option<Planned>| planned.as_ref().is_some_and(|p| p.moment == moment);
                if let (Some(after), Some(at)) = (held_back, self.pending.iter().position(due)) {
                    self.appoint(at, self.world.runtime().elapsed() + after, Some(id.clone()));
                }
            }
            HistoryEvent::Execution { .. } | HistoryEvent::Waiting { .. } => {}
        }
    }

    fn work(&mut self, id: &ActionExecutionId, state: EventState) {
        if state == EventState::Started {
            self.running.insert(id.clone());
        } else {
            self.running.remove(id);
        }
    }

    /// A stage, or something in one, began: what was to be done then has its time.
    fn began(&mut self, stage: &StageName, part: Option<&Part>, by: &ExecutionId) {
        let count = self.entered.entry((stage.to_string(), part.cloned())).or_default();
        *count += 1;
        let count = *count;
        for at in 0..self.pending.len() {
            if let Some(Planned { moment: Moment::During { stage: of, part: wanted, nth, plus }, .. }) =
                &self.pending[at]
                && *of == **stage
                && wanted.as_ref() == part
                && *nth == count
            {
                let time = self.world.runtime().elapsed() + *plus;
                self.appoint(at, time, Some(by.clone()));
            }
        }
    }

    /// Somebody is asked for approval, and will answer as it is wished.
    fn ask(&mut self, stage: &StageName, action: &ActionName, id: &ActionExecutionId) {
        let conduct = self.script.next(&Target::new(stage, None, action), id);
        let refused = match conduct.end {
            End::Fails(why) => Some(why),
            End::Succeeds { .. } | End::AsDeclared => None,
            End::Never => {
                self.held.insert(id.clone());
                return;
            }
        };
        let (stage, action) = (stage.clone(), action.clone());
        let at = self.world.runtime().elapsed() + conduct.length.max(LENGTH_MIN);
        self.enter(Appointment { at, todo: Todo::Answer { execution: id.clone(), stage, action, refused } });
    }

    // --- what is done ---

    fn keep(&mut self, todo: Todo) -> Result<(), ExpectedError> {
        match todo {
            Todo::Answer { execution, stage, action, refused } => {
                // Somebody else may have ended it meanwhile.
                if self.running.contains(&execution) {
                    let approved = refused.is_none();
                    let summary = refused.unwrap_or_else(|| "approved in the simulation".to_owned());
                    let answer = Event::ApprovalAnswered {
                        stage,
                        action,
                        token: execution.to_string(),
                        approved,
                        summary,
                        answered_by: SOMEBODY.to_owned(),
                    };
                    self.command(|node, scope, name| async move {
                        node.put_approval_result(&scope, &name, answer).await.map(drop)
                    })?
                    .map_err(|error| failed(&error))?;
                }
            }
            Todo::Deed { planned, cause } => self.perform(planned, cause)?,
        }
        self.world.settle();
        self.take_history()
    }

    fn perform(&mut self, planned: Planned, cause: Option<ExecutionId>) -> Result<(), ExpectedError> {
        let executions = self.executions()?;
        let execution = match &planned.deed {
            Deed::Start | Deed::Rollback { .. } | Deed::Transition { .. } | Deed::Update => None,
            Deed::Stop { execution: Some(number), .. } => {
                executions.iter().find(|e| e.sequence == *number).map(|e| e.id.clone())
            }
            Deed::Stop { execution: None, .. } => cause.or_else(|| {
                let under_way = executions.iter().filter(|e| !e.status.has_ended());
                under_way.max_by_key(|e| e.sequence).map(|e| e.id.clone())
            }),
            Deed::Retry { stage, .. } | Deed::Override { stage, .. } => {
                latest_in(&executions, stage).map(|e| e.id.clone())
            }
        };
        let done = Done {
            time: self.world.now(),
            deed: planned.deed.clone(),
            option: planned.option,
            execution: execution.clone(),
            refused: None,
        };
        let at = self.beats.len();
        self.beats.push(Beat::Done(done));
        let refused = self.carry_out(planned.deed, execution, &executions)?.err();
        if let Some(Beat::Done(done)) = self.beats.get_mut(at) {
            done.refused = refused;
        }
        Ok(())
    }

    /// The inner error is why it was refused.
    fn carry_out(
        &mut self,
        deed: Deed,
        execution: Option<ExecutionId>,
        executions: &[Execution],
    ) -> Result<Result<(), String>, ExpectedError> {
        let by = || SOMEBODY.to_owned();
        let nobody = |why: &str| Ok(Err(why.to_owned()));
        let answer = match deed {
            Deed::Start => {
                let trigger = Trigger { kind: "StartPipelineExecution".to_owned(), detail: by() };
                let request = StartRequest {
                    trigger,
                    variables: Vec::new(),
                    source_overrides: Vec::new(),
                    client_request_token: None,
                };
                self.command(|node, scope, name| async move {
                    node.start_execution(&scope, &name, request).await.map(drop)
                })?
            }
            Deed::Stop { abandon, .. } => {
                let Some(id) = execution else { return nobody("No such execution is under way.") };
                self.command(|node, scope, name| async move {
                    node.stop_execution(&scope, &name, &id, abandon, None, by()).await
                })?
            }
            Deed::Retry { stage, mode } => {
                let Some(id) = execution else { return nobody("No execution has entered the stage.") };
                self.command(
                    |node, scope, name| async move { node.retry_stage(&scope, &name, &stage, &id, mode).await },
                )?
            }
            Deed::Rollback { stage } => {
                let Some(target) = earlier_success(executions, &stage) else {
                    return nobody("No earlier execution has succeeded in the stage.");
                };
                self.command(|node, scope, name| async move {
                    node.rollback_stage(&scope, &name, &stage, &target, by()).await.map(drop)
                })?
            }
            Deed::Override { stage, gate } => {
                let Some(id) = execution else { return nobody("No execution has entered the stage.") };
                self.command(|node, scope, name| async move {
                    node.override_condition(&scope, &name, &stage, &id, gate, by()).await
                })?
            }
            Deed::Transition { stage, outbound, enable } => {
                let which = if outbound { TransitionType::Outbound } else { TransitionType::Inbound };
                let reason = (!enable).then(|| "disabled in the simulation".to_owned());
                self.command(|node, scope, name| async move {
                    node.change_transition(&scope, &name, &stage, which, reason, by()).await
                })?
            }
            Deed::Update => {
                let declaration = self.wishes.declaration.clone();
                self.command(|node, scope, _| async move { node.update_pipeline(&scope, declaration).await.map(drop) })?
            }
        };
        Ok(answer.map_err(|error| error.to_string()))
    }

    fn command<F>(
        &mut self,
        call: impl FnOnce(Arc<Orchestrator>, Scope, String) -> F,
    ) -> Result<Result<(), CommandError>, ExpectedError>
    where
        F: Future<Output = Result<(), CommandError>> + Send + 'static,
    {
        let (scope, name) = (self.world.scope().clone(), self.wishes.declaration.name.to_string());
        self.world.ask(|node| call(node, scope, name)).ok_or_else(crashed)
    }

    // --- rows ---

    /// Every execution, oldest first.
    fn executions(&mut self) -> Result<Vec<Execution>, ExpectedError> {
        let (scope, name) = (self.world.scope().clone(), self.wishes.declaration.name.to_string());
        let read = self.world.ask(|node| async move {
            let mut all = Vec::new();
            let mut token = None;
            loop {
                let page = node.list_executions(&scope, &name, None, token.as_deref(), PAGE).await?;
                all.extend(page.executions);
                token = page.next_token;
                if token.is_none() {
                    return Ok(all);
                }
            }
        });
        let mut executions = read.ok_or_else(crashed)?.map_err(|error| failed(&error))?;
        executions.sort_by_key(|execution: &Execution| execution.sequence);
        Ok(executions)
    }

    fn result(mut self) -> Result<Rehearsed, ExpectedError> {
        let executions = self.executions()?;
        let (scope, name) = (self.world.scope().clone(), self.wishes.declaration.name.to_string());
        let state = self.world.ask(|node| async move { node.pipeline_state(&scope, &name).await });
        let gate = state.ok_or_else(crashed)?.map_err(|error| failed(&error))?.gate;
        let ran = self.script.noted.lock().unwrap_or_else(PoisonError::into_inner).ran.clone();
        let late = self.agenda.iter().filter_map(|appointment| match &appointment.todo {
            Todo::Deed { planned, .. } => Some(format!("{}: the simulation ended before", planned.option)),
            Todo::Answer { .. } => None,
        });
        let missed = self.pending.iter().flatten().map(|planned| format!("{}: it never came to that", planned.option));
        // Looking at the clock took no time, but the schedule may have passed the last thing that happened.
        let happened = self.beats.iter().map(|beat| match beat {
            Beat::History(entry) => entry.time,
            Beat::Done(done) => done.time,
        });
        let end = if self.wishes.until.is_some() { None } else { happened.max() };
        Ok(Rehearsed {
            start: self.wishes.start,
            end: end.unwrap_or_else(|| self.world.now()),
            executions,
            gate,
            ran,
            missed: missed.chain(late).collect(),
            beats: self.beats,
        })
    }
}

/// The execution that entered the stage last.
fn latest_in<'e>(executions: &'e [Execution], stage: &str) -> Option<&'e Execution> {
    let entered = executions.iter().filter_map(|e| Some((e.stage_run(stage)?.entered, e)));
    entered.max_by_key(|(entered, e)| (*entered, e.sequence)).map(|(_, execution)| execution)
}

/// The newest standard execution that succeeded in the stage, before the one that is in it or was the last.
fn earlier_success(executions: &[Execution], stage: &str) -> Option<ExecutionId> {
    let latest = latest_in(executions, stage)?;
    let succeeded = executions.iter().filter(|e| {
        matches!(e.kind, ExecutionKind::Standard)
            && e.id != latest.id
            && e.stage_run(stage).is_some_and(|run| run.status == StageStatus::Succeeded)
    });
    succeeded.max_by_key(|e| e.sequence).map(|e| e.id.clone())
}
