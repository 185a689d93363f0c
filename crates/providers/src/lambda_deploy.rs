//! Deploy / AWS / Lambda: new code for a function, a version of it, and an alias's traffic moved to that version, at once or
//! step by step, watched by alarms.
//!
//! One poll goes as far as it can: upload, wait for the update, publish, wait for the version, shift, wait for provisioned
//! concurrency. What has to be known afterwards is in [`Memory`]; everything else is asked of Lambda, so that a call that was
//! made and not stored is found made. Traffic moves only after the start's answer is stored, because that says where it was.
//!
//! During a shift the alias names the old version and gives the new one its weight; the last step names the new one. Whatever
//! ends a shift early gives the alias back to the old version, unless somebody else has changed it meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::types::{LastUpdateStatus, State};
use serde::{Deserialize, Serialize};
use towpath_model::action::{ActionInvocation, ArtifactLocation, ErrorDetails, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;
use towpath_model::time::Timestamp;

use crate::deploys::{given, misconfigured, needed, recall, refused, remember};
use crate::lambda_calls::{At, Stuck};
use crate::lambda_shift::{Shift, Strategy};
use crate::limits::{LAMBDA_ALARMS_MAX, LAMBDA_LOOK_INTERVAL_MAX, LAMBDA_SHIFT_MINUTES_MAX};
use crate::logs::{self, LogLine, LogPage};
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider, interval};
use crate::realm::RealmKind;
use crate::realms::Service;
use crate::{deploys, links};

pub struct LambdaDeploy {
    entry: ActionTypeEntry,
}

impl Default for LambdaDeploy {
    fn default() -> Self {
        Self::new()
    }
}

impl LambdaDeploy {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "Lambda", "1"),
        description: "Gives an AWS Lambda function the input artifact as its code, publishes a version, and moves an \
                      alias's traffic to it, at once or step by step while CloudWatch alarms are watched."
            .to_owned(),
        properties: vec![
            Property::required("FunctionName", "Function to deploy to."),
            Property::optional(
                "FunctionAlias",
                "Alias whose traffic moves; without it a version is published and no more.",
            ),
            Property::optional(
                "PublishedTargetVersion",
                "Number of a published version to move the alias to, in place of an input artifact.",
            ),
            Property::optional(
                "DeployStrategy",
                "`AllAtOnce` (when absent), `Canary10Percent5Minutes` or `Linear10PercentEvery1Minute`, with any percentage \
                 and any number of minutes; at most 2 days in all.",
            ),
            Property::optional(
                "Alarms",
                "Names of at most 10 CloudWatch alarms, separated by commas. One in ALARM gives the traffic back and fails \
                 the action.",
            ),
        ],
        inputs: Bounds::new(0, 1),
        outputs: Bounds::new(0, 0),
        output_variables: vec!["FunctionVersion".to_owned()],
        // The hour of every action, and the longest shift.
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES + LAMBDA_SHIFT_MINUTES_MAX,
        timeout_configurable: false,
        v2_only: true,
        repeat: Repeat::SameWrite,
        entity_url_template: Some(
            "https://console.aws.amazon.com/lambda/home?#/functions/{Config:FunctionName}".to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-LambdaDeploy.html"
            .to_owned(),
    }
}

/// What is deployed.
enum Code<'a> {
    Artifact(&'a ArtifactLocation),
    Published(&'a str),
}

/// The configuration, read.
struct Plan<'a> {
    function: &'a str,
    code: Code<'a>,
    shift: Option<Shift<'a>>,
}

fn alarms(text: &str) -> Result<Vec<&str>, String> {
    let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.len() > LAMBDA_ALARMS_MAX {
        return Err(format!("Alarms names {} alarms; {LAMBDA_ALARMS_MAX} are allowed.", names.len()));
    }
    Ok(names)
}

fn published(text: &str) -> Result<&str, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text);
    }
    Err(format!("The value of PublishedTargetVersion is '{text}'; it must be the number of a published version."))
}

impl<'a> Plan<'a> {
    fn read(action: &'a ActionInvocation, kind: RealmKind) -> Result<Self, String> {
        let name = &action.action_name;
        let code = match (given(action, "PublishedTargetVersion"), action.input_artifacts.as_slice()) {
            (None, [artifact]) => Code::Artifact(artifact),
            (Some(version), []) => Code::Published(published(version)?),
            (Some(_), _) => {
                return Err(format!(
                    "Action {name} has both PublishedTargetVersion and an input artifact. Remove one of them: the version \
                     has its code already."
                ));
            }
            (None, _) => {
                return Err(format!(
                    "Action {name} has neither an input artifact, the new code, nor PublishedTargetVersion, a version that \
                     has it."
                ));
            }
        };
        let strategy = given(action, "DeployStrategy").map(Strategy::parse).transpose()?;
        let alarms = given(action, "Alarms").map(alarms).transpose()?.unwrap_or_default();
        let shift = given(action, "FunctionAlias").map(|alias| Shift {
            alias,
            strategy: strategy.unwrap_or(Strategy::AllAtOnce),
            alarms,
        });
        match &shift {
            None if matches!(code, Code::Published(_)) => {
                return Err(format!("Action {name} has PublishedTargetVersion and no FunctionAlias to move to it."));
            }
            None if strategy.is_some_and(|strategy| strategy != Strategy::AllAtOnce) => {
                return Err(format!("The DeployStrategy of action {name} moves traffic, so it needs FunctionAlias."));
            }
            None if given(action, "Alarms").is_some() => {
                return Err(format!(
                    "The Alarms of action {name} watch traffic that moves, so it needs FunctionAlias."
                ));
            }
            Some(shift) if !shift.alarms.is_empty() && kind == RealmKind::Embedded => {
                return Err(format!(
                    "Action {name} runs in Towpath's own Lambda, beside which there is no Amazon CloudWatch for its \
                     Alarms. Remove Alarms, or watch the alarm with a CloudWatchAlarm rule of the stage, or deploy to a \
                     realm that has both: `[realm.NAME]` with `providers = [\"Lambda\"]` in towpath.toml."
                ));
            }
            _ => {}
        }
        Ok(Self { function: needed(action, "FunctionName")?, code, shift })
    }
}

/// What is kept between polls.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Memory {
    /// What the alias named when the action began.
    old: Option<String>,
    /// The uploaded code, by Lambda's digest of it; None while Lambda was too busy to take it.
    sha256: Option<String>,
    /// The version that is to have the traffic.
    version: Option<String>,
    /// Steps of the shift that are made, and when the last one was.
    steps: usize,
    stepped_ms: i64,
    /// Why the alias is being given back.
    failing: Option<ErrorDetails>,
    /// What was done and when: Lambda keeps no record of a shift.
    #[serde(default)]
    told: Vec<(i64, String)>,
}

impl Memory {
    /// The version, once it is known.
    fn new_version(&self) -> &str {
        self.version.as_deref().unwrap_or_default()
    }

    fn tell(&mut self, at: Timestamp, text: impl Into<String>) {
        self.told.push((at.millis(), text.into()));
    }
}

/// One action on its way.
struct Work<'a> {
    at: At<'a>,
    plan: Plan<'a>,
}

impl<'a> Work<'a> {
    const fn new(cx: &'a Call<'a>, action: &'a ActionInvocation, plan: Plan<'a>) -> Self {
        Self { at: At { cx, action, function: plan.function }, plan }
    }

    async fn give_back(&self, shift: &Shift<'_>, memory: &Memory) -> Result<bool, Stuck> {
        let Some(old) = memory.old.as_deref() else { return Ok(false) };
        self.at.give_back(shift, old, memory.version.as_deref()).await
    }

    fn progress(&self, memory: &Memory, summary: impl Into<String>) -> Progress {
        let version = memory.version.as_deref();
        let link =
            |version| links::lambda_version(self.at.cx.realm, &self.at.action.region, self.plan.function, version);
        let progress = Progress {
            external_id: version.map(ToOwned::to_owned),
            external_url: version.map(link),
            summary: Some(summary.into()),
            ..Progress::default()
        };
        // At the end, too: its log is in there.
        remember(progress, memory)
    }

    fn pending(&self, memory: &Memory, summary: impl Into<String>) -> Outcome {
        Outcome::Pending { progress: self.progress(memory, summary) }
    }

    fn now(&self) -> Timestamp {
        self.at.cx.clock.now()
    }

    fn uploaded(&self, memory: &mut Memory, sha256: String) {
        memory.tell(self.now(), format!("The function {} has new code, of the digest {sha256}.", self.plan.function));
        memory.sha256 = Some(sha256);
    }

    /// Everything up to where the old version's place is known and the new code is on its way.
    async fn begin(&self) -> Outcome {
        let mut memory = Memory::default();
        if let Some(shift) = &self.plan.shift {
            match self.at.named(shift).await {
                Ok(version) => memory.old = Some(version),
                Err(stuck) => return self.stuck(&memory, stuck),
            }
        }
        if let Code::Artifact(artifact) = self.plan.code {
            match self.at.upload(artifact).await {
                Ok(sha256) => self.uploaded(&mut memory, sha256),
                Err(stuck) => return self.stuck(&memory, stuck),
            }
        }
        self.pending(&memory, format!("Deploying to the function {}.", self.plan.function))
    }

    /// As far as it goes now.
    async fn go_on(&self, mut memory: Memory) -> Outcome {
        if memory.failing.is_none() && self.now() >= self.limit() {
            let message = format!("The function {} was not ready in time.", self.plan.function);
            memory.failing = Some(ErrorDetails::new(error_code::TIMED_OUT, message));
        }
        if memory.failing.is_some() {
            return self.retreat(memory).await;
        }
        match Box::pin(self.advance(&mut memory)).await {
            Ok(outcome) => outcome,
            Err(stuck) => {
                let outcome = self.stuck(&memory, stuck);
                match outcome {
                    Outcome::Failed { error, .. } if memory.steps > 0 => {
                        self.retreat(Memory { failing: Some(error), ..memory }).await
                    }
                    other => other,
                }
            }
        }
    }

    /// Whether the alias has two versions for a while.
    fn has_steps(&self) -> bool {
        self.plan.shift.as_ref().is_some_and(|shift| shift.strategy != Strategy::AllAtOnce)
    }

    /// An hour for everything but the shift, which has its own time.
    fn limit(&self) -> Timestamp {
        let shift = self.plan.shift.as_ref().map_or(0, |shift| shift.strategy.minutes());
        let shift = u32::try_from(shift).unwrap_or(LAMBDA_SHIFT_MINUTES_MAX);
        self.at.action.started.plus_minutes(TIMEOUT_DEFAULT_MINUTES + shift)
    }

    async fn advance(&self, memory: &mut Memory) -> Result<Outcome, Stuck> {
        if memory.version.is_none() {
            match self.version(memory).await? {
                Ok(version) => {
                    if memory.sha256.is_some() {
                        memory.tell(self.now(), format!("Version {version} of {} is published.", self.plan.function));
                    }
                    memory.version = Some(version);
                }
                Err(waiting) => return Ok(waiting),
            }
        }
        let new = memory.new_version().to_owned();
        if memory.steps == 0 {
            let found = self.at.look(Some(&new)).await?;
            match found.state() {
                Some(State::Pending) => {
                    return Ok(self.pending(memory, format!("Version {new} of {} is being made.", self.plan.function)));
                }
                Some(State::Failed) => {
                    let why = found.state_reason().unwrap_or("Lambda gives no reason.");
                    return Ok(self.broken(memory, format!("Version {new} is Failed: {why}")));
                }
                _ => {}
            }
        }
        let Some(shift) = &self.plan.shift else { return Ok(self.done(memory)) };
        let old = memory.old.clone().unwrap_or_default();
        let steps = shift.strategy.steps();
        while old != new && memory.steps < steps.len() {
            if let Some(error) = self.at.alarmed(shift).await? {
                let failing = Memory { failing: Some(error), ..memory.clone() };
                return Ok(self.retreat(failing).await);
            }
            let now = self.now();
            if memory.steps > 0 && now < due(memory, shift) {
                return Ok(self.shifting(memory, shift, steps[memory.steps - 1]));
            }
            self.at.route(shift, &old, &new, steps[memory.steps]).await?;
            let percent = steps[memory.steps];
            memory.tell(now, format!("Version {new} has {percent} % of the traffic of {}.", shift.alias));
            memory.steps += 1;
            memory.stepped_ms = now.millis();
        }
        if !self.at.settled(shift).await? {
            let summary = format!("Provisioned concurrency of {} is being allocated.", shift.alias);
            return Ok(self.pending(memory, summary));
        }
        Ok(self.done(memory))
    }

    /// The version to deploy, or what is waited for until there is one.
    async fn version(&self, memory: &mut Memory) -> Result<Result<String, Outcome>, Stuck> {
        let artifact = match self.plan.code {
            Code::Published(version) => return Ok(Ok(version.to_owned())),
            Code::Artifact(artifact) => artifact,
        };
        let sha256 = if let Some(sha256) = &memory.sha256 {
            sha256.clone()
        } else {
            let sha256 = self.at.upload(artifact).await?;
            self.uploaded(memory, sha256.clone());
            sha256
        };
        let found = self.at.look(None).await?;
        match found.last_update_status() {
            Some(LastUpdateStatus::InProgress) => {
                let summary = format!("The code of the function {} is being updated.", self.plan.function);
                Ok(Err(self.pending(memory, summary)))
            }
            Some(LastUpdateStatus::Failed) => {
                let code = found.last_update_status_reason_code().map_or("Failed", |code| code.as_str());
                let why = found.last_update_status_reason().unwrap_or("Lambda gives no reason.");
                let message = format!("The update of the function {} failed: {code}: {why}", self.plan.function);
                Ok(Err(self.broken(memory, message)))
            }
            _ => self.at.publish(&sha256).await.map(Ok),
        }
    }

    fn shifting(&self, memory: &Memory, shift: &Shift<'_>, percent: u32) -> Outcome {
        let next = due(memory, shift).iso8601();
        let (new, alias) = (memory.new_version(), shift.alias);
        let summary = format!("Version {new} has {percent} % of the traffic of {alias}; the next step is at {next}.");
        Outcome::Pending {
            progress: Progress { percent: u8::try_from(percent).ok(), ..self.progress(memory, summary) },
        }
    }

    fn done(&self, memory: &Memory) -> Outcome {
        let new = memory.new_version();
        let summary = match &self.plan.shift {
            Some(shift) => format!("{} of {} is version {new}.", shift.alias, self.plan.function),
            None => format!("Version {new} of {} is published.", self.plan.function),
        };
        let progress = self.progress(memory, summary);
        let variables = BTreeMap::from([("FunctionVersion".to_owned(), new.to_owned())]);
        Outcome::Succeeded { progress, variables, revisions: Vec::new() }
    }

    fn broken(&self, memory: &Memory, message: String) -> Outcome {
        deploys::failed(self.progress(memory, ""), error_code::JOB_FAILED, message)
    }

    /// Gives the traffic back and fails. While Lambda cannot be asked, the reason is kept.
    async fn retreat(&self, mut memory: Memory) -> Outcome {
        let Some(error) = memory.failing.clone() else { return self.pending(&memory, "") };
        let progress = self.progress(&memory, "");
        let Some(shift) = &self.plan.shift else { return deploys::failed(progress, &error.code, error.message) };
        match self.give_back(shift, &memory).await {
            Ok(moved) => {
                let old = memory.old.as_deref().filter(|_| moved);
                let back =
                    old.map_or_else(String::new, |old| format!(" {} is version {old} alone again.", shift.alias));
                memory.tell(self.now(), format!("{}.{back}", error.message.trim_end_matches('.')));
                deploys::failed(self.progress(&memory, ""), &error.code, error.message)
            }
            Err(stuck) => match self.stuck(&memory, stuck) {
                Outcome::Failed { error: why, .. } => {
                    let old = memory.old.as_deref().unwrap_or_default();
                    let message = format!(
                        "{} The alias {} could not be set back to version {old}: {}",
                        error.message, shift.alias, why.message
                    );
                    deploys::failed(progress, &error.code, message)
                }
                _ => self.pending(&memory, format!("The traffic is being given back: {}", error.message)),
            },
        }
    }

    fn stuck(&self, memory: &Memory, stuck: Stuck) -> Outcome {
        match stuck {
            Stuck::Busy => self.pending(memory, format!("The function {} is being changed.", self.plan.function)),
            Stuck::Changed { now } => self.broken(
                memory,
                format!(
                    "Somebody else changed the alias {} of {} while its traffic was being moved: {now}. It is left as it is.",
                    self.plan.shift.as_ref().map_or("", |shift| shift.alias),
                    self.plan.function
                ),
            ),
            Stuck::Refused(call, problem) => refused(self.progress(memory, ""), call, &problem),
            Stuck::Ended(outcome) => *outcome,
        }
    }
}

/// When the next step of a shift is.
fn due(memory: &Memory, shift: &Shift<'_>) -> Timestamp {
    Timestamp::from_millis(memory.stepped_ms).plus_minutes(shift.strategy.pause_minutes())
}

#[async_trait]
impl Provider for LambdaDeploy {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn check_value(&self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "DeployStrategy" => Strategy::parse(value).map(drop),
            "Alarms" => alarms(value).map(drop),
            "PublishedTargetVersion" => published(value).map(drop),
            _ => Ok(()),
        }
    }

    fn service(&self) -> Option<Service> {
        Some(Service::Lambda)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        match Plan::read(action, cx.realm.kind()) {
            Ok(plan) => Work::new(cx, action, plan).begin().await,
            Err(message) => misconfigured(message),
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        let plan = match Plan::read(action, cx.realm.kind()) {
            Ok(plan) => plan,
            Err(message) => return misconfigured(message),
        };
        let work = Work::new(cx, action, plan);
        if let Some(memory) = recall(progress) {
            return work.go_on(memory).await;
        }
        // Nothing is known of the start; no traffic has moved, and the same code makes the same version.
        match work.begin().await {
            Outcome::Pending { progress } => match recall(&progress) {
                // A shift of several steps waits until it is stored where it began.
                Some(memory) if !work.has_steps() => work.go_on(memory).await,
                _ => Outcome::Pending { progress },
            },
            other => other,
        }
    }

    fn keeps_its_log(&self) -> bool {
        true
    }

    /// What was done, a line each.
    async fn logs(
        &self,
        _cx: &Call<'_>,
        _action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        let told = recall::<Memory>(progress).unwrap_or_default().told;
        let line = |(at, text): (i64, String)| LogLine { time: Timestamp::from_millis(at), text };
        Ok(logs::rest_of(told.into_iter().map(line).collect(), token))
    }

    /// Gives back the traffic of a shift that is not over. Code and version stay.
    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        let (Some(memory), Ok(plan)) = (recall::<Memory>(progress), Plan::read(action, cx.realm.kind())) else {
            return Ok(());
        };
        let work = Work::new(cx, action, plan);
        let Some(shift) = &work.plan.shift else { return Ok(()) };
        match work.give_back(shift, &memory).await {
            // Somebody else's alias by now.
            Ok(_) | Err(Stuck::Changed { .. }) => Ok(()),
            Err(Stuck::Refused(_, problem)) if problem.kind == Kind::NotFound => Ok(()),
            Err(Stuck::Refused(call, problem)) => Err(format!("Error calling {call}: {}", problem.detail())),
            Err(Stuck::Busy | Stuck::Ended(_)) => Err(format!("the function {} is being changed", work.plan.function)),
        }
    }

    fn poll_interval(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress, polls: u32) -> Duration {
        let usual = interval(cx, polls);
        let (Some(memory), Ok(plan)) = (recall::<Memory>(progress), Plan::read(action, cx.realm.kind())) else {
            return usual;
        };
        let goes_on = |shift: &Shift<'_>| memory.steps > 0 && memory.steps < shift.strategy.steps().len();
        let Some(shift) = plan.shift.filter(|shift| memory.failing.is_none() && goes_on(shift)) else { return usual };
        let left = due(&memory, &shift).millis().saturating_sub(cx.clock.now().millis());
        // Without alarms there is nothing to see before the next step.
        let longest = if shift.alarms.is_empty() { LAMBDA_LOOK_INTERVAL_MAX } else { usual };
        Duration::from_millis(u64::try_from(left).unwrap_or(0)).clamp(Duration::from_millis(20), longest)
    }
}
