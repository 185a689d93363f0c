//! Deploy / AWS / EC2: the input artifact onto instances with a tag, with shell commands of Systems Manager, a batch at a
//! time, out of their load balancers and back.
//!
//! A call moves the deployment as far as it goes without waiting: the batch leaves its target groups, its commands run, it
//! comes back, the next batch. All that is known is in the stored progress (`state.rs`); every step can be repeated.

pub mod balancers;
pub mod commands;
pub mod fleet;
pub mod spec;
pub mod state;

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_s3::presigning::PresigningConfig;
use sha2::{Digest as _, Sha256};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;
use towpath_model::time::Timestamp;

use crate::artifact_files;
use crate::deploys::{failed, given, misconfigured, needed, one_input, unable};
use crate::ec2::fleet::Selection;
use crate::ec2::spec::Spec;
use crate::ec2::state::{Phase, State, Status, Target};
use crate::inputs;
use crate::limits::{EC2_FAILURES_SHOWN, EC2_SPEC_BYTES_MAX, EC2_TARGET_GROUPS_MAX, EC2_URL_LIFE};
use crate::links;
use crate::logs::{self, LogLine, LogPage};
use crate::objects::S3;
use crate::problem::Problem;
use crate::provider::{Artifacts, Call, Provider};
use crate::realms::Service;
use crate::targets::DeployTarget;

pub const SSM: &str = "AmazonSSM";
const EC2: &str = "EC2";
const MANAGED: &str = "SSM_MANAGED_NODE";

pub struct Ec2Deploy {
    entry: ActionTypeEntry,
}

impl Ec2Deploy {
    #[expect(clippy::new_without_default, reason = "a provider is made by the catalogue alone")]
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "EC2", "1"),
        description:
            "Deploys the input artifact to Linux instances with a tag, through AWS Systems Manager: scripts of the \
                      artifact run before and after its files are copied."
                .to_owned(),
        properties: vec![
            Property::required("InstanceTagKey", "Key of the tag that the instances have."),
            Property::optional("InstanceTagValue", "Value of the tag; any when absent."),
            Property::required("InstanceType", "Running instances of Amazon EC2, or managed nodes of Systems Manager.")
                .one_of(&[EC2, MANAGED]),
            Property::optional("TargetDirectory", "Absolute path that the artifact is copied to. Not with DeploySpec."),
            Property::optional(
                "DeploySpec",
                "Path of a spec file in the artifact (`version: 0.1`, `files`, `scripts` with `BeforeDeploy` and \
                 `AfterDeploy`), or of an appspec of CodeDeploy; instead of the directory and the scripts.",
            ),
            Property::optional("PreScript", "Path in the artifact of a script that runs before the copy."),
            Property::optional("PostScript", "Path in the artifact of a script that runs after the copy."),
            Property::optional("MaxBatch", "Instances at a time, a number or `N%`; all when absent."),
            Property::optional("MaxError", "Instances that may fail, a number or `N%`; none when absent."),
            Property::optional(
                "TargetGroupNameList",
                "Target groups of Elastic Load Balancing, separated by commas, that instances leave while they are \
                 deployed to.",
            ),
        ],
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: true,
        repeat: Repeat::Lookup,
        entity_url_template: None,
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-EC2Deploy.html"
            .to_owned(),
    }
}

/// A number or a share of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    Of(usize),
    Percent(usize),
}

impl Amount {
    fn read(key: &str, text: &str, least: usize) -> Result<Self, String> {
        let text = text.trim();
        let (digits, percent) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        let most = if percent { 100 } else { usize::MAX };
        let number = Some(digits).filter(|digits| digits.chars().all(|c| c.is_ascii_digit()));
        match number.and_then(|digits| digits.parse().ok()).filter(|number| (least..=most).contains(number)) {
            Some(number) if percent => Ok(Self::Percent(number)),
            Some(number) => Ok(Self::Of(number)),
            None => Err(format!("The value of {key} is '{text}'; it must be a number of instances or a percentage.")),
        }
    }

    /// Rounded down.
    fn of(self, all: usize) -> usize {
        match self {
            Self::Of(number) => number.min(all),
            Self::Percent(percent) => all * percent / 100,
        }
    }
}

/// What the configuration says, but for what is done on the targets.
struct Wanted<'a> {
    selection: Selection<'a>,
    batch: Option<Amount>,
    tolerated: Option<Amount>,
    groups: Vec<String>,
    artifact: &'a ArtifactLocation,
}

impl<'a> Wanted<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let given = |key: &str| given(action, key);
        let name = &action.action_name;
        let key = needed(action, "InstanceTagKey")?;
        let managed = match given("InstanceType") {
            Some(EC2) => false,
            Some(MANAGED) => true,
            other => {
                return Err(format!(
                    "The value of InstanceType is '{}'; it must be {EC2} or {MANAGED}.",
                    other.unwrap_or_default()
                ));
            }
        };
        if given("DeploySpec").is_some() {
            let both = ["TargetDirectory", "PreScript", "PostScript"].into_iter().find(|key| given(key).is_some());
            if let Some(key) = both {
                return Err(format!(
                    "{name} has DeploySpec and {key}. Leave one of them out: the spec file says it all."
                ));
            }
        }
        let amount = |key: &str, least| given(key).map(|text| Amount::read(key, text, least)).transpose();
        let groups = given("TargetGroupNameList").unwrap_or_default().split(',').map(str::trim);
        let groups: Vec<String> = groups.filter(|group| !group.is_empty()).map(ToOwned::to_owned).collect();
        if groups.len() > EC2_TARGET_GROUPS_MAX {
            return Err(format!(
                "TargetGroupNameList has {} target groups; {EC2_TARGET_GROUPS_MAX} are the most.",
                groups.len()
            ));
        }
        let artifact = one_input(action)?;
        Ok(Self {
            selection: Selection { key, value: given("InstanceTagValue"), managed },
            batch: amount("MaxBatch", 1)?,
            tolerated: amount("MaxError", 0)?,
            groups,
            artifact,
        })
    }
}

/// What is done on each target.
async fn spec(cx: &Call<'_>, action: &ActionInvocation, artifact: &ArtifactLocation) -> Result<Spec, Outcome> {
    let Some(path) = given(action, "DeploySpec") else {
        return Spec::of_keys(action).map_err(misconfigured);
    };
    let read = artifact_files::read(cx, action, artifact, path, EC2_SPEC_BYTES_MAX).await;
    let bytes = read.map_err(|trouble| trouble.outcome(artifact))?;
    let spec = String::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned());
    let spec = spec.and_then(|text| Spec::of_file(&text));
    spec.map_err(|why| {
        misconfigured(format!("The file {path} of the artifact {} is no deploy spec: {why}.", artifact.name))
    })
}

/// A directory of each target for this action: names of pipelines and actions have no other characters than paths may.
fn base(action: &ActionInvocation) -> String {
    format!("/opt/codepipeline/{}/{}/{}", action.pipeline_name, action.stage_name, action.action_name)
}

/// What a target has afterwards: this artifact, deployed like this.
fn mark(etag: Option<&str>, spec: &Spec, artifact: &ArtifactLocation) -> String {
    let mut hash = Sha256::new();
    hash.update(etag.unwrap_or(&artifact.key));
    hash.update([0]);
    hash.update(serde_json::to_vec(spec).unwrap_or_default());
    hex::encode(&hash.finalize()[..16])
}

/// Everything that has to be known before anything is done.
async fn plan(cx: &Call<'_>, action: &ActionInvocation) -> Result<State, Outcome> {
    let wanted = Wanted::read(action).map_err(misconfigured)?;
    let artifact = wanted.artifact;
    let spec = spec(cx, action, artifact).await?;
    let from = S3::new(cx.artifacts, action, &artifact.region);
    let found = from.look(&artifact.bucket, &artifact.key, None).await;
    let found = found.map_err(|problem| inputs::outcome(artifact, &problem))?;
    let candidates = fleet::select(cx, action, &wanted.selection).await?;
    let before = commands::before(cx, action).await;
    let before = before.map_err(|problem| unable("listCommandInvocations", &problem, Progress::default()))?;
    let now = cx.clock.now();
    let (unfit, mut fit): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|one| one.unfit.is_some());
    fit.sort_by_key(|one| before.rank(&one.id));
    let all = fit.len() + unfit.len();
    let targets = fit.into_iter().map(|one| Target::new(one.id));
    let unfit = unfit.into_iter().map(|one| Target::unfit(one.id, one.unfit.unwrap_or_default(), now));
    let targets: Vec<Target> = targets.chain(unfit).collect();
    let mut state = State {
        fit: targets.iter().filter(|target| target.status == Status::Pending).count(),
        targets,
        batch: wanted.batch.map_or(all, |batch| batch.of(all)).max(1),
        tolerated: wanted.tolerated.map_or(0, |tolerated| tolerated.of(all)),
        at: 0,
        phase: Phase::Out,
        since: now.millis(),
        groups: Vec::new(),
        sent: Vec::new(),
        mark: mark(found.etag.as_deref(), &spec, artifact),
        spec,
    };
    balancers::survey(cx, action, wanted.groups, &mut state).await?;
    Ok(state)
}

/// Where a target can read the artifact, for a while, without credentials of its own.
async fn url(cx: &Call<'_>, action: &ActionInvocation) -> Result<String, Problem> {
    let artifact = one_input(action).map_err(Problem::refused)?;
    let unsigned = |error: &dyn std::fmt::Display| Problem::refused(format!("cannot sign a URL: {error}"));
    let request = cx.artifacts.s3(action, cx.artifacts.region(&artifact.region)).await?.get_object();
    let life = PresigningConfig::expires_in(EC2_URL_LIFE).map_err(|error| unsigned(&error))?;
    let signed = request.bucket(&artifact.bucket).key(&artifact.key).presigned(life).await;
    signed.map(|signed| signed.uri().to_owned()).map_err(|error| unsigned(&error))
}

fn told(cx: &Call<'_>, action: &ActionInvocation, state: &State) -> Progress {
    let (summary, percent) = state.done();
    let region = cx.realm.region(&action.region);
    Progress {
        external_id: Some(action.action_execution_id.to_string()),
        external_url: state.sent.last().map(|command| links::ssm_command(region, command)),
        summary: Some(summary),
        percent: Some(percent),
        log_stream_arn: None,
        continuation: state.remembered(),
    }
}

/// Goes on as far as there is nothing to wait for.
async fn advance(cx: &Call<'_>, action: &ActionInvocation, mut state: State) -> Outcome {
    let known = told(cx, action, &state);
    let refused = |call: &str, problem: &Problem| unable(call, problem, known.clone());
    loop {
        let now = cx.clock.now();
        if state.failed() > state.tolerated && state.phase == Phase::Out {
            return ended_badly(cx, action, state, now);
        }
        if state.range().is_empty() {
            return Outcome::Succeeded {
                progress: told(cx, action, &state),
                variables: BTreeMap::new(),
                revisions: Vec::new(),
            };
        }
        let done = match state.phase {
            Phase::Out => balancers::leave(cx, action, &mut state).await,
            Phase::Run if state.commands().is_empty() => {
                let sent = async {
                    let url = url(cx, action).await?;
                    let script = state.spec.script(&base(action), &state.mark, &url);
                    commands::send(cx, action, &mut state, &script).await
                };
                sent.await.map(|()| false).map_err(|problem| (problem, "sendCommand"))
            }
            Phase::Run => {
                let looked = commands::look(cx, action, &mut state).await;
                looked.map_err(|problem| (problem, "listCommandInvocations"))
            }
            Phase::In => balancers::come_back(cx, action, &mut state).await,
        };
        match done {
            Ok(true) => {
                let next = match state.phase {
                    Phase::Out => Phase::Run,
                    Phase::Run => Phase::In,
                    Phase::In => {
                        state.at = state.range().end;
                        Phase::Out
                    }
                };
                state.enter(next, now);
            }
            Ok(false) => return Outcome::Pending { progress: told(cx, action, &state) },
            Err((problem, call)) => return refused(call, &problem),
        }
    }
}

/// Too many targets have failed; those that were not begun are left as they are.
fn ended_badly(cx: &Call<'_>, action: &ActionInvocation, mut state: State, now: Timestamp) -> Outcome {
    let bad: Vec<String> = state.targets.iter().filter(|t| t.status == Status::Failed).map(Target::failure).collect();
    for target in state.targets.iter_mut().filter(|target| !target.status.has_ended()) {
        target.end(Status::Skipped, now);
    }
    let shown: Vec<&str> = bad.iter().take(EC2_FAILURES_SHOWN).map(String::as_str).collect();
    let more = bad.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let message = format!(
        "{} of {} targets failed, where {} may (MaxError). {}{more}",
        bad.len(),
        state.targets.len(),
        state.tolerated,
        shown.join("; ")
    );
    let progress = told(cx, action, &state);
    failed(progress, error_code::JOB_FAILED, message)
}

#[async_trait]
impl Provider for Ec2Deploy {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn check_value(&self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "MaxBatch" => Amount::read(key, value, 1).map(drop),
            "MaxError" => Amount::read(key, value, 0).map(drop),
            _ => Ok(()),
        }
    }

    fn service(&self) -> Option<Service> {
        Some(Service::Ec2)
    }

    /// The targets fetch the artifact.
    fn artifacts(&self) -> Artifacts {
        Artifacts::ByService
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        match plan(cx, action).await {
            // Where instances serve has to be stored before the first of them leaves.
            Ok(state) if state.targets.iter().any(|target| !target.places.is_empty()) => {
                Outcome::Pending { progress: told(cx, action, &state) }
            }
            Ok(state) => advance(cx, action, state).await,
            Err(outcome) => outcome,
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        if let Some(state) = State::of(progress) {
            return advance(cx, action, state).await;
        }
        // Nothing is known of the start; starting again finds the commands that it sent.
        match self.start(cx, action).await {
            Outcome::Pending { progress } => match State::of(&progress) {
                Some(state) if !state.sent.is_empty() => advance(cx, action, state).await,
                _ => Outcome::Pending { progress },
            },
            other => other,
        }
    }

    /// Cancels the commands of the batch that is at work, or brings it back where no command was sent to it yet; what has been
    /// done stays done.
    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        let state = State::of(progress);
        commands::cancel(cx, action, state.as_ref()).await?;
        let Some(mut state) = state.filter(|state| state.phase != Phase::In && state.is_untouched()) else {
            return Ok(());
        };
        let back = balancers::come_back(cx, action, &mut state).await;
        back.map(drop).map_err(|(problem, call)| format!("Error calling {call}: {}", problem.detail()))
    }

    /// The steps on all targets, in the order in which they became known: instances have clocks of their own.
    async fn logs(
        &self,
        _cx: &Call<'_>,
        _action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        let mut lines = Vec::new();
        for target in State::of(progress).map(|state| state.targets).unwrap_or_default() {
            for event in target.events.iter().filter(|event| event.3 > 0) {
                let message = if event.4.is_empty() { String::new() } else { format!(": {}", event.4) };
                let text = format!("{} {} {}{message}", target.id, event.0.as_str(), event.1.as_str());
                let line = LogLine { time: Timestamp::from_millis(event.3), text };
                lines.push((if event.0.is_commanded() { target.done } else { event.3 }, line));
            }
        }
        lines.sort_by_key(|(known, _)| *known);
        Ok(logs::rest_of(lines.into_iter().map(|(_, line)| line).collect(), token))
    }

    fn targets(&self, action: &ActionInvocation, progress: &Progress) -> Vec<DeployTarget> {
        let kind = action.config("InstanceType").unwrap_or(EC2);
        State::of(progress).map(|state| state.shown(kind)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_numbers_or_shares() {
        assert_eq!(Amount::read("MaxBatch", "3", 1), Ok(Amount::Of(3)));
        assert_eq!(Amount::read("MaxBatch", "25%", 1).map(|amount| amount.of(10)), Ok(2));
        assert_eq!(Amount::read("MaxError", "0", 0).map(|amount| amount.of(10)), Ok(0));
        assert_eq!(Amount::Of(30).of(10), 10);
        for text in ["", "0", "-1", "+1", "101%", "x", "1.5", "%"] {
            let why = Amount::read("MaxBatch", text, 1).unwrap_err();
            assert!(why.ends_with("it must be a number of instances or a percentage."), "{text}: {why}");
        }
    }
}
