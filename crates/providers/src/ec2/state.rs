//! What an EC2 deployment remembers between polls: its targets in their order, how far each is, and the batch that is being
//! worked on. Names are short because the whole of it is stored with every step, for up to 500 targets.

use serde::{Deserialize, Serialize};
use towpath_model::action::Progress;
use towpath_model::time::Timestamp;

use crate::ec2::spec::Spec;
use crate::targets::{DeployEvent, DeployTarget};

/// Steps of the deployment to one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    #[serde(rename = "p")]
    Prepare,
    #[serde(rename = "o")]
    BlockTraffic,
    #[serde(rename = "g")]
    Download,
    #[serde(rename = "b")]
    Before,
    #[serde(rename = "d")]
    Deploy,
    #[serde(rename = "a")]
    After,
    #[serde(rename = "i")]
    AllowTraffic,
}

impl Step {
    pub const ALL: [Self; 7] = [
        Self::Prepare,
        Self::BlockTraffic,
        Self::Download,
        Self::Before,
        Self::Deploy,
        Self::After,
        Self::AllowTraffic,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "PREPARE",
            Self::BlockTraffic => "BLOCK_TRAFFIC",
            Self::Download => "DOWNLOAD_BUNDLE",
            Self::Before => "BEFORE_DEPLOY",
            Self::Deploy => "DEPLOY",
            Self::After => "AFTER_DEPLOY",
            Self::AllowTraffic => "ALLOW_TRAFFIC",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == name)
    }

    /// Whether the command on the target does it.
    pub const fn is_commanded(self) -> bool {
        matches!(self, Self::Download | Self::Before | Self::Deploy | Self::After)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Status {
    #[default]
    #[serde(rename = "p")]
    Pending,
    #[serde(rename = "i")]
    InProgress,
    #[serde(rename = "s")]
    Succeeded,
    #[serde(rename = "f")]
    Failed,
    #[serde(rename = "k")]
    Skipped,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
        }
    }

    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped)
    }

    /// Whether the target may serve again.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped)
    }
}

/// Step, status, begin, end (milliseconds, 0 where there is none), and what was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event(pub Step, pub Status, pub i64, pub i64, pub String);

/// A target in a target group: which group, and the port it has there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(pub usize, pub Option<i32>);

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Target {
    #[serde(rename = "n")]
    pub id: String,
    #[serde(rename = "s", default)]
    pub status: Status,
    /// Where it served before the deployment.
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// Its command's number among those that were sent.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub command: Option<usize>,
    #[serde(rename = "b", default)]
    pub begun: i64,
    #[serde(rename = "d", default)]
    pub done: i64,
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

impl Target {
    pub fn new(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    /// One that is not deployed to at all.
    pub fn unfit(id: String, why: String, now: Timestamp) -> Self {
        let at = now.millis();
        let events = vec![Event(Step::Prepare, Status::Failed, at, at, why)];
        Self { id, status: Status::Failed, begun: at, done: at, events, ..Self::default() }
    }

    pub fn begin(&mut self, now: Timestamp) {
        if self.begun == 0 {
            self.begun = now.millis();
        }
        self.status = Status::InProgress;
    }

    pub fn end(&mut self, status: Status, now: Timestamp) {
        self.status = status;
        self.done = now.millis();
    }

    pub fn event(&self, step: Step) -> Option<&Event> {
        self.events.iter().find(|event| event.0 == step)
    }

    /// Begins a step once.
    pub fn open(&mut self, step: Step, now: Timestamp) {
        if self.event(step).is_none() {
            self.events.push(Event(step, Status::InProgress, now.millis(), 0, String::new()));
        }
    }

    pub fn close(&mut self, step: Step, now: Timestamp) {
        if let Some(event) = self.events.iter_mut().find(|event| event.0 == step && event.3 == 0) {
            event.1 = Status::Succeeded;
            event.3 = now.millis();
        }
    }

    /// `i-1 AFTER_DEPLOY hooks/start.sh exit 3: no such file`, of a target that failed.
    pub fn failure(&self) -> String {
        match self.events.iter().find(|event| event.1 == Status::Failed) {
            Some(event) => format!("{} {} {}", self.id, event.0.as_str(), event.4),
            None => format!("{} failed", self.id),
        }
    }
}

/// What is being done with the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Its targets leave their load balancers.
    Out,
    /// Its commands run.
    Run,
    /// Those that succeeded come back.
    In,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// In the order in which they are deployed to; those that cannot be come last.
    pub targets: Vec<Target>,
    /// How many can be deployed to.
    pub fit: usize,
    /// Targets of a batch.
    pub batch: usize,
    /// Failed targets that are tolerated.
    pub tolerated: usize,
    /// The first target of the current batch.
    pub at: usize,
    pub phase: Phase,
    /// When the phase began, in milliseconds.
    pub since: i64,
    /// ARNs of the target groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Every command that was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<String>,
    /// What is done on each target.
    pub spec: Spec,
    /// What a target has that has been deployed to.
    pub mark: String,
}

impl State {
    pub fn of(progress: &Progress) -> Option<Self> {
        serde_json::from_str(progress.continuation.as_deref()?).ok()
    }

    pub fn remembered(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// Where the current batch is among the targets.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.at..(self.at + self.batch).min(self.fit)
    }

    pub fn current(&mut self) -> &mut [Target] {
        let range = self.range();
        &mut self.targets[range]
    }

    /// The commands of the current batch.
    pub fn commands(&self) -> Vec<String> {
        let mut numbers: Vec<usize> = self.targets[self.range()].iter().filter_map(|target| target.command).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(|number| self.sent.get(number).cloned()).collect()
    }

    /// Whether nothing has been sent to the current batch.
    pub fn is_untouched(&self) -> bool {
        self.targets[self.range()].iter().all(|target| target.command.is_none())
    }

    pub fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        self.since = now.millis();
    }

    pub fn count(&self, of: impl Fn(Status) -> bool) -> usize {
        self.targets.iter().filter(|target| of(target.status)).count()
    }

    pub fn failed(&self) -> usize {
        self.count(|status| status == Status::Failed)
    }

    /// `3 of 8 targets`, and how much of all that is.
    pub fn done(&self) -> (String, u8) {
        let (done, all) = (self.count(Status::has_ended), self.targets.len());
        let failed = self.failed();
        let more = if failed == 0 { String::new() } else { format!(", {failed} failed") };
        let percent = u8::try_from(done * 100 / all.max(1)).unwrap_or(100);
        (format!("{} of {all} targets{more}", self.count(Status::is_good)), percent)
    }

    /// The targets as the API shows them.
    pub fn shown(&self, kind: &str) -> Vec<DeployTarget> {
        let time = |millis: i64| (millis > 0).then(|| Timestamp::from_millis(millis));
        let command = |target: &Target| target.command.and_then(|number| self.sent.get(number).cloned());
        let event = |target: &Target, event: &Event| DeployEvent {
            name: event.0.as_str(),
            status: event.1.as_str(),
            started: time(event.2),
            ended: time(event.3),
            command: command(target).filter(|_| event.0.is_commanded()),
            message: Some(event.4.clone()).filter(|text| !text.is_empty()),
        };
        let shown = self.targets.iter().map(|target| DeployTarget {
            id: target.id.clone(),
            kind: kind.to_owned(),
            status: target.status.as_str(),
            started: time(target.begun),
            ended: time(target.done),
            events: target.events.iter().map(|one| event(target, one)).collect(),
        });
        shown.collect()
    }
}
