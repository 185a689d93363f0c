//! Deploy / AWS / EKS: a chart or manifests of the input artifact into a cluster, with `helm` or `kubectl` on this machine
//! (AWS has its managed compute). What they print is put into the log group that AWS uses, in the cluster's realm.

pub mod kube;
pub mod run;
pub mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_sdk_eks::types::{Cluster, ClusterStatus};
use tempfile::TempDir;
use towpath_artifacts::{Limits, unpack};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};

use crate::deploys::{failed, misconfigured, one_input, unable};
use crate::eks::kube::Access;
use crate::eks::run::{End, Run, Runs, Tools};
use crate::eks::work::{Step, Wanted};
use crate::inputs;
use crate::limits::{
    EKS_LINE_CHARS_MAX, EKS_LOG_PIECES_MAX, EKS_WAIT, LOG_BATCH_BYTES_MAX, LOG_BATCH_EVENTS_MAX,
    LOG_EVENT_OVERHEAD_BYTES, TIMEOUT_EKS_MINUTES,
};
use crate::links;
use crate::logs;
use crate::objects::{S3, StoreError};
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider};
use crate::realms::Service;

const SERVICE: &str = "AmazonEKS";

pub struct Eks {
    entry: ActionTypeEntry,
    tools: Tools,
    runs: Runs,
}

impl Eks {
    pub fn new(tools: Tools) -> Self {
        Self { entry: entry(), tools, runs: Runs::default() }
    }
}

fn entry() -> ActionTypeEntry {
    let network =
        "Ids, separated by commas. Of no effect: Towpath's server itself has to reach the cluster's endpoint.";
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "EKS", "1"),
        description:
            "Deploys a Helm chart or Kubernetes manifests of the input artifact to a cluster of Amazon EKS. The \
                      action's environment variables stand in manifests and values files as `$NAME` or `${NAME}`."
                .to_owned(),
        properties: vec![
            Property::required("ClusterName", "Cluster to deploy to. The role needs an access entry of it."),
            Property::optional("HelmReleaseName", "Release to install or upgrade; with HelmChartLocation."),
            Property::optional("HelmChartLocation", "Folder of the chart in the artifact."),
            Property::optional("HelmValuesFiles", "Paths of values files in the artifact, separated by commas."),
            Property::optional(
                "ManifestFiles",
                "Paths of manifests in the artifact, separated by commas; instead of a chart.",
            ),
            Property::optional("Namespace", "Namespace of Kubernetes; `default` when absent."),
            Property::optional("Subnets", network),
            Property::optional("SecurityGroupIds", network),
        ],
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(0, 0),
        output_variables: vec!["EKSClusterName".to_owned()],
        default_timeout_minutes: TIMEOUT_EKS_MINUTES,
        timeout_configurable: false,
        v2_only: true,
        repeat: Repeat::AtLeastOnce,
        entity_url_template: Some("https://console.aws.amazon.com/eks/home?#/clusters/{Config:ClusterName}".to_owned()),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-EKS.html".to_owned(),
    }
}

fn moment(error: &dyn std::fmt::Display) -> Outcome {
    Outcome::Unavailable { message: format!("cannot prepare the deployment for the moment: {error}") }
}

/// Where a run's lines go.
struct Log {
    group: String,
    stream: String,
    /// Of the cluster: partition, Region and account.
    arn: String,
}

impl Log {
    fn of(action: &ActionInvocation, cluster: &Cluster) -> Self {
        let group = format!("/aws/codepipeline/{}", action.pipeline_name);
        let stream = action.action_execution_id.to_string();
        let of_cluster: Vec<&str> = cluster.arn().unwrap_or_default().split(':').collect();
        let part = |number: usize, otherwise: &str| {
            (*of_cluster.get(number).filter(|part| !part.is_empty()).unwrap_or(&otherwise)).to_owned()
        };
        let (partition, account) = (part(1, "aws"), part(4, &action.scope.account));
        let arn =
            format!("arn:{partition}:logs:{}:{account}:log-group:{group}:log-stream:{stream}", part(3, &action.region));
        Self { group, stream, arn }
    }

    fn known(action: &ActionInvocation, progress: &Progress) -> Option<Self> {
        let arn = progress.log_stream_arn.clone()?;
        let (group, stream) = logs::group_and_stream(&arn)?;
        let (group, stream) = (group.to_owned(), stream.to_owned());
        (stream == action.action_execution_id.as_str()).then_some(Self { group, stream, arn })
    }

    /// Makes the stream, and its group where there is none; a start before this one may have made both.
    async fn open(&self, cx: &Call<'_>, action: &ActionInvocation) -> Result<(), Outcome> {
        let refused = |call: &'static str| move |problem: &Problem| unable(call, problem, Progress::default());
        for last in [false, true] {
            let asked = async {
                let request = cx.realm.logs(action).await?.create_log_stream().log_group_name(&self.group);
                let answer = request.log_stream_name(&self.stream).send().await;
                answer.map_err(|error| cx.realm.note(action, Problem::of(logs::SERVICE, &error)))
            };
            match asked.await {
                Ok(_) => return Ok(()),
                Err(problem) if problem.code.ends_with("ResourceAlreadyExistsException") => return Ok(()),
                Err(problem) if problem.kind == Kind::NotFound && !last => {}
                Err(problem) => return Err(refused("createLogStream")(&problem)),
            }
            let asked = async {
                let request = cx.realm.logs(action).await?.create_log_group().log_group_name(&self.group);
                let answer = request.send().await;
                answer.map_err(|error| cx.realm.note(action, Problem::of(logs::SERVICE, &error)))
            };
            match asked.await {
                Ok(_) => {}
                Err(problem) if problem.code.ends_with("ResourceAlreadyExistsException") => {}
                Err(problem) => return Err(refused("createLogGroup")(&problem)),
            }
        }
        Ok(())
    }

    async fn put(&self, cx: &Call<'_>, action: &ActionInvocation, text: &str) -> Result<(), Problem> {
        let now = cx.clock.now().millis();
        let line = |line: &str| {
            let cut: String = line.chars().take(EKS_LINE_CHARS_MAX).collect();
            InputLogEvent::builder().timestamp(now).message(cut).build().ok()
        };
        // An event has at least one character.
        let events: Vec<InputLogEvent> = text.lines().filter(|text| !text.is_empty()).filter_map(line).collect();
        for some in batches(&events) {
            let request = cx.realm.logs(action).await?.put_log_events().log_group_name(&self.group);
            let answer = request.log_stream_name(&self.stream).set_log_events(Some(some.to_vec())).send().await;
            answer.map_err(|error| cx.realm.note(action, Problem::of(logs::SERVICE, &error)))?;
        }
        Ok(())
    }
}

/// As many events as PutLogEvents takes, each.
fn batches(events: &[InputLogEvent]) -> Vec<&[InputLogEvent]> {
    let (mut found, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, event) in events.iter().enumerate() {
        let more = event.message().len() + LOG_EVENT_OVERHEAD_BYTES;
        if at - from == LOG_BATCH_EVENTS_MAX || bytes + more > LOG_BATCH_BYTES_MAX {
            found.push(&events[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += more;
    }
    found.push(&events[from..]);
    found.retain(|some| !some.is_empty());
    found
}

/// The cluster, if it can be deployed to.
async fn describe(cx: &Call<'_>, action: &ActionInvocation, name: &str) -> Result<Cluster, Outcome> {
    let asked = async {
        let request = cx.realm.eks(action).await?.describe_cluster().name(name);
        request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
    };
    let answer = asked.await.map_err(|problem| unable("describeCluster", &problem, Progress::default()))?;
    let Some(cluster) = answer.cluster else {
        return Err(moment(&"DescribeCluster answered without a cluster"));
    };
    match cluster.status() {
        Some(ClusterStatus::Active | ClusterStatus::Updating) => Ok(cluster),
        status => Err(misconfigured(format!(
            "The cluster {name} is {}; only one that is ACTIVE or UPDATING can be deployed to.",
            status.map_or("in an unknown state", ClusterStatus::as_str)
        ))),
    }
}

/// The artifact, unpacked and filled in, and what to run in it.
async fn prepared(
    cx: &Call<'_>,
    action: &ActionInvocation,
    artifact: &ArtifactLocation,
    wanted: &Wanted,
) -> Result<(TempDir, Vec<Step>), Outcome> {
    let directory = tempfile::Builder::new().prefix("eks-").tempdir_in(cx.scratch).map_err(|error| moment(&error))?;
    let root = directory.path().to_path_buf();
    let zip = root.join("artifact.zip");
    let from = S3::new(cx.artifacts, action, &artifact.region);
    from.fetch(&artifact.bucket, &artifact.key, &zip).await.map_err(|error| match error {
        StoreError::S3(problem) => inputs::outcome(artifact, &problem),
        StoreError::Read(error) => moment(&error),
    })?;
    let (wanted, name) = (wanted.clone(), artifact.name.to_string());
    let steps = tokio::task::spawn_blocking(move || unpacked(&root, &zip, &wanted, &name)).await;
    let steps = steps.map_err(|error| moment(&error))?.map_err(misconfigured)?;
    Ok((directory, steps))
}

fn unpacked(root: &Path, zip: &Path, wanted: &Wanted, artifact: &str) -> Result<Vec<Step>, String> {
    let unable = |error: &dyn std::fmt::Display| format!("The artifact {artifact} cannot be unpacked: {error}.");
    let content = root.join("artifact");
    unpack(zip, &content, &Limits::DEFAULT).map_err(|error| unable(&error))?;
    std::fs::remove_file(zip).map_err(|error| unable(&error))?;
    std::fs::create_dir(root.join("home")).map_err(|error| unable(&error))?;
    wanted.prepare(&content)
}

fn told(cx: &Call<'_>, action: &ActionInvocation, log: &Log, wanted: &Wanted) -> Progress {
    let region = cx.realm.region(&action.region);
    Progress {
        external_id: Some(action.action_execution_id.to_string()),
        external_url: Some(links::log_stream(region, &log.group, &log.stream)),
        summary: Some(format!("{} deploys to {}.", wanted.tool(), wanted.cluster)),
        percent: None,
        log_stream_arn: Some(log.arn.clone()),
        continuation: None,
    }
}

/// What a tool's last words mean, and what to do about it.
fn ended(end: &End, wanted: &Wanted, action: &ActionInvocation, progress: Progress) -> Outcome {
    let (code, message) = match end {
        End::Good => {
            let variables = BTreeMap::from([("EKSClusterName".to_owned(), wanted.cluster.clone())]);
            let summary = format!("{} deployed to {}.", wanted.tool(), wanted.cluster);
            let progress = Progress { summary: Some(summary), ..progress };
            return Outcome::Succeeded { progress, variables, revisions: Vec::new() };
        }
        End::Broken(why) => (error_code::CONFIGURATION_ERROR, format!("{why}.")),
        End::Failed { command, status, said } => {
            let message = format!("{command} failed ({status}): {said}");
            let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
            if has(&["You must be logged in to the server", "Unauthorized"]) {
                let role = action.acting_role();
                (
                    error_code::PERMISSION_ERROR,
                    format!("{message} The role {role} needs an access entry of the cluster."),
                )
            } else if has(&["(Forbidden)", "is forbidden: User"]) {
                let hint = "The access entry of the role does not allow it in Kubernetes (RBAC).";
                (error_code::PERMISSION_ERROR, format!("{message} {hint}"))
            } else if has(&["dial tcp", "no such host", "i/o timeout", "TLS handshake timeout"]) {
                let hint = "Towpath's server has to reach the cluster's endpoint; a private one from inside its VPC.";
                (error_code::JOB_FAILED, format!("{message} {hint}"))
            } else {
                (error_code::JOB_FAILED, message)
            }
        }
    };
    failed(progress, code, message)
}

/// Tells the log what was printed since the last time.
async fn tell(cx: &Call<'_>, action: &ActionInvocation, log: &Log, run: &Run) -> Result<(), Problem> {
    for _ in 0..EKS_LOG_PIECES_MAX {
        let Ok((text, bytes)) = run.printed() else { return Ok(()) };
        if bytes == 0 {
            return Ok(());
        }
        if let Err(problem) = log.put(cx, action, &text).await {
            run.unread(bytes);
            return Err(problem);
        }
    }
    Ok(())
}

impl Eks {
    async fn begin(&self, cx: &Call<'_>, action: &ActionInvocation) -> Result<Progress, Outcome> {
        let wanted = Wanted::read(action).map_err(misconfigured)?;
        let artifact = one_input(action).map_err(misconfigured)?;
        if !self.tools.has(wanted.tool()) {
            return Err(misconfigured(format!(
                "{} is not installed where Towpath's server runs. Install it there, on the PATH of the server.",
                wanted.tool()
            )));
        }
        let cluster = describe(cx, action, &wanted.cluster).await?;
        let log = Log::of(action, &cluster);
        let progress = told(cx, action, &log, &wanted);
        if self.runs.get(&action.action_execution_id).is_some() {
            return Ok(progress);
        }
        let (directory, steps) = prepared(cx, action, artifact, &wanted).await?;
        log.open(cx, action).await?;
        let first = format!("Deploying the artifact {} to the cluster {}.", artifact.name, wanted.cluster);
        let put = log.put(cx, action, &first).await;
        put.map_err(|problem| unable("putLogEvents", &problem, Progress::default()))?;
        let credentials = cx.realm.credentials(action).await;
        let access = Access {
            region: cx.realm.region(&action.region).to_owned(),
            endpoint: cluster.endpoint().unwrap_or_default().to_owned(),
            authority: cluster.certificate_authority().and_then(|ca| ca.data()).unwrap_or_default().to_owned(),
            namespace: wanted.namespace.clone(),
            credentials: credentials.map_err(|problem| unable("assumeRole", &problem, Progress::default()))?,
            clock: cx.realm.clock(),
            cluster: wanted.cluster,
        };
        self.runs.begin(&action.action_execution_id, directory, access, self.tools.clone(), steps);
        Ok(progress)
    }

    async fn look(&self, cx: &Call<'_>, action: &ActionInvocation, run: &Run, progress: &Progress) -> Outcome {
        let wanted = match Wanted::read(action) {
            Ok(wanted) => wanted,
            Err(message) => return misconfigured(message),
        };
        let end = run.wait(EKS_WAIT).await;
        if let Some(log) = Log::known(action, progress)
            && let Err(problem) = tell(cx, action, &log, run).await
        {
            return unable("putLogEvents", &problem, progress.clone());
        }
        match end {
            Some(end) => ended(&end, &wanted, action, progress.clone()),
            None => Outcome::Pending { progress: progress.clone() },
        }
    }
}

#[async_trait]
impl Provider for Eks {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::Eks)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        match self.begin(cx, action).await {
            Ok(progress) => Outcome::Pending { progress },
            Err(outcome) => outcome,
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        let known: Option<Arc<Run>> = self.runs.get(&action.action_execution_id);
        if let Some(run) = known.filter(|_| progress.log_stream_arn.is_some()) {
            return self.look(cx, action, &run, progress).await;
        }
        // Another process began it, or nothing is known of the start; the tools take what is there already.
        match self.begin(cx, action).await {
            Ok(progress) => match self.runs.get(&action.action_execution_id) {
                Some(run) => self.look(cx, action, &run, &progress).await,
                None => Outcome::Pending { progress },
            },
            Err(outcome) => outcome,
        }
    }

    /// Ends the tool; helm may leave a release that is pending.
    async fn stop(&self, _cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        if let Some(run) = self.runs.get(&action.action_execution_id) {
            run.stop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_put_in_pieces_that_logs_takes() {
        let event = |text: &str| InputLogEvent::builder().timestamp(1).message(text).build().unwrap();
        let sizes = |events: &[InputLogEvent]| batches(events).iter().map(|some| some.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), Vec::<usize>::new());
        assert_eq!(sizes(&vec![event("a"); 10_001]), [10_000, 1]);
        let long = event(&"x".repeat(LOG_BATCH_BYTES_MAX / 4));
        assert_eq!(sizes(&vec![long; 5]), [3, 2]);
    }
}
