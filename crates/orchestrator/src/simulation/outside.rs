//! The world outside of Towpath: work that actions and rules began there, which goes on whether Towpath runs or not, and
//! the scripted providers that begin it, ask after it and stop it. Their entries are the real catalogue's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use towpath_model::action::{ActionInvocation, Outcome, Progress, Revision, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypes as _, Category};
use towpath_model::ids::ActionExecutionId;
use towpath_providers::{Call, Catalogue, Provider};

use super::executor::Virtual;
use crate::runtime::Runtime as _;

/// How work outside ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Succeeds { variables: BTreeMap<String, String> },
    Fails { code: String, message: String },
}

impl Ending {
    pub fn success() -> Self {
        Self::Succeeds { variables: BTreeMap::new() }
    }

    pub fn failure(message: impl Into<String>) -> Self {
        Self::Fails { code: error_code::JOB_FAILED.to_owned(), message: message.into() }
    }
}

/// How one execution of an action or a rule goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It ends by itself after a while.
    Ends(Duration, Ending),
    /// It goes on until [`Outside::finish`], or for ever.
    Open,
    /// The provider answers that somebody will report the result; nobody need.
    Reported,
    /// What the real provider of the catalogue does.
    Real,
}

/// What happens to one call of a provider beside its work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disturbance {
    /// How long the call takes before it has its effect, and how long the answer is under way.
    pub before: Duration,
    pub after: Duration,
    /// The peer could not be asked; the call has no effect.
    pub unavailable: bool,
    /// The provider has a fault.
    pub panics: bool,
}

/// Which function of a provider is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Start,
    Poll,
    Stop,
}

/// Says how things go outside.
pub trait Script: Send + Sync {
    /// Asked once per execution of an action or a rule; `nth` counts those of the same one in the same pipeline execution,
    /// from 0.
    fn plan(&self, action: &ActionInvocation, nth: u32) -> Plan;

    /// Asked at every call of a provider, as it begins.
    fn disturbance(&self, _asked: Asked, _action: &ActionInvocation) -> Disturbance {
        Disturbance::default()
    }

    /// How long until the next poll of work whose end is not known.
    fn poll_interval(&self, _action: &ActionInvocation) -> Duration {
        Duration::from_mins(1)
    }
}

/// Work that was begun outside.
#[derive(Debug, Clone)]
pub struct Work {
    pub action: ActionInvocation,
    /// When it began, in time since the beginning of the world.
    pub began: Duration,
    pub plan: Plan,
    /// How often `start` was called for it.
    pub starts: u32,
    pub stopped: bool,
    finished: Option<Ending>,
}

type Works = BTreeMap<ActionExecutionId, Work>;

/// All work outside. It survives every crash of Towpath.
#[derive(Clone)]
pub struct Outside {
    runtime: Virtual,
    script: Arc<dyn Script>,
    works: Arc<Mutex<Works>>,
}

impl Outside {
    pub fn new(runtime: Virtual, script: Arc<dyn Script>) -> Self {
        Self { runtime, script, works: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Works> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Scripted providers for every entry of the real catalogue.
    pub fn catalogue(&self, real: &Arc<Catalogue>) -> Catalogue {
        let scripted = |entry: &ActionTypeEntry| {
            Box::new(Scripted { entry: entry.clone(), real: Arc::clone(real), outside: self.clone() })
                as Box<dyn Provider>
        };
        Catalogue::of(real.all().into_iter().map(scripted).collect())
    }

    pub fn work(&self, id: &ActionExecutionId) -> Option<Work> {
        self.lock().get(id).cloned()
    }

    pub fn all(&self) -> Vec<Work> {
        self.lock().values().cloned().collect()
    }

    /// Ends work whose plan is open. Whoever drives the world also wakes the node, or lets it find out by a poll.
    pub fn finish(&self, id: &ActionExecutionId, ending: Ending) -> bool {
        self.lock().get_mut(id).is_some_and(|work| {
            work.finished.get_or_insert(ending);
            true
        })
    }

    /// Begins the work unless it was begun: a repeated start is the same work.
    fn begin(&self, action: &ActionInvocation) {
        let mut works = self.lock();
        let same = |work: &&Work| {
            let other = &work.action;
            (&other.execution_id, &other.stage_name, &other.action_name, other.condition)
                == (&action.execution_id, &action.stage_name, &action.action_name, action.condition)
        };
        let nth = u32::try_from(works.values().filter(same).count()).unwrap_or(u32::MAX);
        let began = self.runtime.elapsed();
        let work = works.entry(action.action_execution_id.clone()).or_insert_with(|| Work {
            action: action.clone(),
            began,
            plan: self.script.plan(action, nth),
            starts: 0,
            stopped: false,
            finished: None,
        });
        work.starts += 1;
    }

    /// What somebody who asks after the work is told. None: the real provider knows.
    fn state(&self, action: &ActionInvocation) -> Option<Outcome> {
        let works = self.lock();
        let Some(work) = works.get(&action.action_execution_id) else {
            return Some(Outcome::failed(error_code::INTERNAL_ERROR, "asked after work that never began"));
        };
        let progress = Progress { external_id: Some(external_id(action)), ..Progress::default() };
        let ending = match (&work.finished, &work.plan) {
            (Some(ending), _) => ending,
            (None, Plan::Ends(duration, ending)) if self.runtime.elapsed() >= work.began.saturating_add(*duration) => {
                ending
            }
            (None, Plan::Ends(..) | Plan::Open) => return Some(Outcome::Pending { progress }),
            (None, Plan::Reported) => return Some(Outcome::AwaitingCallback { progress: Progress::default() }),
            (None, Plan::Real) => return None,
        };
        Some(outcome(action, ending, progress))
    }

    /// When the work ends, if that is known.
    fn ends(&self, id: &ActionExecutionId) -> Option<Duration> {
        match self.lock().get(id) {
            Some(Work { began, plan: Plan::Ends(duration, _), finished: None, .. }) => {
                Some(began.saturating_add(*duration))
            }
            _ => None,
        }
    }
}

/// What the work is called outside.
pub fn external_id(action: &ActionInvocation) -> String {
    format!("work-{}", action.action_execution_id)
}

fn outcome(action: &ActionInvocation, ending: &Ending, progress: Progress) -> Outcome {
    match ending {
        Ending::Succeeds { variables } => {
            Outcome::Succeeded { progress, variables: variables.clone(), revisions: revisions(action) }
        }
        Ending::Fails { code, message } => {
            Outcome::Failed { progress, error: towpath_model::action::ErrorDetails::new(code, message.as_str()) }
        }
    }
}

/// A source tells the revision it read: the overriding one, else one of its own.
fn revisions(action: &ActionInvocation) -> Vec<Revision> {
    if action.action_type.category != Category::Source {
        return Vec::new();
    }
    let pinned = action.source_overrides.first().map(|pinned| pinned.revision_value.clone());
    let id = pinned.unwrap_or_else(|| format!("revision-{}", action.action_execution_id));
    let revision = |artifact: &towpath_model::action::ArtifactLocation| Revision {
        artifact: artifact.name.clone(),
        action: action.action_name.clone(),
        id: id.clone(),
        change_id: None,
        summary: Some(format!("Simulated {id}")),
        url: None,
        created: Some(action.started),
    };
    action.output_artifacts.iter().map(revision).collect()
}

/// A provider with a real entry whose calls go to the script.
struct Scripted {
    entry: ActionTypeEntry,
    real: Arc<Catalogue>,
    outside: Outside,
}

impl Scripted {
    /// `progress` is that of a poll; None begins the work.
    async fn ask(&self, cx: &Call<'_>, action: &ActionInvocation, progress: Option<&Progress>) -> Outcome {
        let Outside { runtime, script, .. } = &self.outside;
        let asked = if progress.is_none() { Asked::Start } else { Asked::Poll };
        let disturbance = script.disturbance(asked, action);
        pause(runtime, disturbance.before).await;
        if disturbance.unavailable {
            return Outcome::Unavailable { message: "the simulated service cannot be reached".to_owned() };
        }
        if progress.is_none() {
            self.outside.begin(action);
        }
        if disturbance.panics {
            // Past the panic hook: nobody needs to read of it.
            std::panic::resume_unwind(Box::new("the simulation wants this call to panic"));
        }
        let answer = match (self.outside.state(action), self.real.get(&self.entry.id)) {
            (Some(outcome), _) => outcome,
            (None, Some(real)) => match progress {
                None => real.start(cx, action).await,
                Some(progress) => real.poll(cx, action, progress).await,
            },
            (None, None) => Outcome::failed(error_code::INTERNAL_ERROR, "no real provider to ask"),
        };
        pause(runtime, disturbance.after).await;
        answer
    }
}

async fn pause(runtime: &Virtual, duration: Duration) {
    if !duration.is_zero() {
        runtime.sleep(duration).await;
    }
}

#[async_trait]
impl Provider for Scripted {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn check_value(&self, key: &str, value: &str) -> Result<(), String> {
        self.real.check_value(&self.entry.id, key, value)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        self.ask(cx, action, None).await
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        self.ask(cx, action, Some(progress)).await
    }

    async fn stop(&self, _cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        let Outside { runtime, script, .. } = &self.outside;
        let disturbance = script.disturbance(Asked::Stop, action);
        pause(runtime, disturbance.before).await;
        if disturbance.unavailable {
            return Err("the simulated service cannot be reached".to_owned());
        }
        if let Some(work) = self.outside.lock().get_mut(&action.action_execution_id) {
            work.stopped = true;
        }
        pause(runtime, disturbance.after).await;
        Ok(())
    }

    fn poll_interval(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress, polls: u32) -> Duration {
        let id = &action.action_execution_id;
        if let Some(ends) = self.outside.ends(id) {
            // To the millisecond: less would be asked too early, over and over.
            return ends.saturating_sub(self.outside.runtime.elapsed()).max(Duration::from_millis(1));
        }
        match (self.outside.work(id).map(|work| work.plan), self.real.get(&self.entry.id)) {
            (Some(Plan::Real), Some(real)) => real.poll_interval(cx, action, progress, polls),
            _ => self.outside.script.poll_interval(action),
        }
    }
}
