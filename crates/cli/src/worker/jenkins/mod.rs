//! A worker whose work is done by a Jenkins server: each job is a build of the project that the action names.
//!
//! What is known of a build fits into a continuation token, so that any worker of the type can go on with it: a worker
//! that ends hands its builds on instead of stopping them.

mod client;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use towpath_model::time::Clock;

pub use self::client::Jenkins;
use self::client::{Build, FileField, JenkinsError, Parameter, Queued};
use super::artifacts::{Places, Store, Trouble, safe};
use super::jobs::{Outcome, Progress, backoff, kind};
use super::work::{Stop, Taken, Work};
use crate::limits;

/// What marks the continuations of this kind of worker.
const TOKEN: &str = "towpath-jenkins ";
/// The property of the action type that names the project.
const PROJECT: &str = "ProjectName";

pub struct JenkinsWork {
    pub jenkins: Jenkins,
    pub store: Store,
    pub base: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub report_every: Duration,
}

/// Where a build is and how much of it was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    project: String,
    item: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(default)]
    console: u64,
}

impl Run {
    fn token(&self) -> String {
        // Numbers and a name; nothing in it can fail to serialize, and an empty token would only begin anew.
        format!("{TOKEN}{}", serde_json::to_string(self).unwrap_or_default())
    }

    fn read(token: &str) -> Option<Self> {
        serde_json::from_str(token.strip_prefix(TOKEN)?).ok()
    }

    fn external_id(&self) -> Option<String> {
        self.number.map(|number| number.to_string())
    }
}

#[async_trait]
impl Work for JenkinsWork {
    async fn run(&self, taken: &Taken) -> Option<Outcome> {
        let begun = match taken.job.data.continuation_token.as_deref() {
            Some(token) => Run::read(token).ok_or_else(|| {
                Trouble::new(kind::CONFIGURATION, "The continuation token is not of a worker for Jenkins.")
            }),
            None => self.begin(taken).await,
        };
        let mut run = match begun {
            Ok(run) => run,
            Err(Trouble { kind, message }) => return Some(Outcome::Failed { kind, message, external_id: None }),
        };
        let followed = tokio::select! {
            followed = self.follow(taken, &mut run) => followed,
            () = taken.unwanted() => {
                self.withdraw(taken, &run).await;
                return None;
            }
        };
        Some(match followed {
            Ok(Followed::Moved(progress)) => Outcome::Continued { token: run.token(), progress },
            Ok(Followed::Ended(build)) => self.end(taken, &run, &build).await,
            Err(Trouble { kind, message }) => Outcome::Failed { kind, message, external_id: run.external_id() },
        })
    }
}

enum Followed {
    Moved(Progress),
    Ended(Build),
}

impl JenkinsWork {
    /// Starts the build.
    async fn begin(&self, taken: &Taken) -> Result<Run, Trouble> {
        let project = taken.job.configured(PROJECT).unwrap_or_default();
        let odd = |part: &str| matches!(part.trim(), "" | "." | "..");
        if project.split('/').any(odd) {
            return Err(Trouble::new(
                kind::CONFIGURATION,
                format!("The action's configuration has no {PROJECT} that names a Jenkins project."),
            ));
        }
        let declared = self.surely(|| self.jenkins.parameters(project)).await?;
        let (parameters, files) = match &declared {
            Some(declared) => {
                let (parameters, files) = self.filled(taken, declared).await?;
                (Some(parameters), files)
            }
            None => (None, Vec::new()),
        };
        // Not asked again when the answer is lost: the build may have been started.
        let item = self.jenkins.start(project, parameters.as_ref(), &files).await.map_err(|error| trouble(&error))?;
        taken.note(&format!("Jenkins has taken a build of {project} into its queue"));
        Ok(Run { project: project.to_owned(), item, number: None, console: 0 })
    }

    /// The parameters of the project that something is known for.
    async fn filled(
        &self,
        taken: &Taken,
        declared: &[Parameter],
    ) -> Result<(BTreeMap<String, String>, Vec<FileField>), Trouble> {
        let (data, context) = (&taken.job.data, &taken.job.data.pipeline_context);
        let known = BTreeMap::from([
            ("CODEPIPELINE_PIPELINE_NAME", context.pipeline_name.clone()),
            ("CODEPIPELINE_EXECUTION_ID", context.pipeline_execution_id.clone().unwrap_or_default()),
            ("CODEPIPELINE_STAGE_NAME", context.stage.name.clone()),
            ("CODEPIPELINE_ACTION_NAME", context.action.name.clone()),
            ("CODEPIPELINE_JOB_ID", taken.job.id.clone()),
        ]);
        let (mut parameters, mut files) = (BTreeMap::new(), Vec::new());
        for parameter in declared {
            let name = parameter.name.as_str();
            let artifact = |wanted: &str| data.input_artifacts.iter().find(|artifact| artifact.name == wanted);
            if parameter.is_file() {
                let Some(artifact) = artifact(name).filter(|artifact| safe(&artifact.name)) else { continue };
                let places = Places::new(&self.base)?;
                let zip = places.scratch().join("input.zip");
                self.store.fetch(taken, artifact, &zip).await?;
                let unread = |error: std::io::Error| {
                    Trouble::new(kind::SYSTEM, format!("Cannot read the input artifact {name}: {error}"))
                };
                let length = tokio::fs::metadata(&zip).await.map_err(unread)?.len();
                if length > limits::WORKER_UPLOAD_BYTES_MAX {
                    return Err(Trouble::new(
                        kind::CONFIGURATION,
                        format!(
                            "The input artifact {name} has {length} bytes, which is too much for a file parameter. Declare the \
                             text parameter CODEPIPELINE_INPUT_{name} instead, and fetch the link it is given."
                        ),
                    ));
                }
                let bytes = Bytes::from(tokio::fs::read(&zip).await.map_err(unread)?);
                files.push(FileField { name: name.to_owned(), file_name: format!("{name}.zip"), bytes });
            } else if let Some(artifact) = name.strip_prefix("CODEPIPELINE_INPUT_").and_then(artifact) {
                parameters.insert(name.to_owned(), self.store.link(taken, artifact).await?);
            } else if let Some(value) = known.get(name).map(String::as_str).or_else(|| taken.job.configured(name)) {
                parameters.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok((parameters, files))
    }

    /// Shows the build until it ends, or until it is time for the next job.
    async fn follow(&self, taken: &Taken, run: &mut Run) -> Result<Followed, Trouble> {
        let since = Instant::now();
        let mut told = String::new();
        let mut rest = Vec::new();
        loop {
            let mut progress = Progress { external_id: run.external_id(), ..Progress::default() };
            if let Some(number) = run.number {
                // The end is asked for before the console is read, so that nothing printed is left out.
                let build = self.surely(|| self.jenkins.build(&run.project, number)).await?;
                let ended = !build.building && build.result.is_some();
                if self.show(taken, run, number, ended, &mut rest).await? {
                    continue;
                }
                if ended {
                    return Ok(Followed::Ended(build));
                }
                progress.percent = percent(&build, self.clock.now().millis());
                progress.summary = Some(format!("Jenkins build {number} of {} is running", run.project));
            } else {
                match self.surely(|| self.jenkins.queued(run.item)).await? {
                    Queued::Started(number) => {
                        run.number = Some(number);
                        taken.note(&format!("Jenkins build {number} of {} has started", run.project));
                        continue;
                    }
                    Queued::Cancelled => {
                        return Err(Trouble::new(
                            kind::JOB_FAILED,
                            format!("The build of {} was taken out of Jenkins's queue.", run.project),
                        ));
                    }
                    Queued::Waiting(why) => {
                        if why != told {
                            taken.note(&format!("the build waits in Jenkins's queue: {why}"));
                            told.clone_from(&why);
                        }
                        progress.summary = Some(format!("Waiting in Jenkins's queue. {why}").trim_end().to_owned());
                    }
                }
            }
            // A worker that ends leaves the build to the next one.
            if taken.stop() != Stop::No || since.elapsed() >= self.report_every {
                // A line that is not whole is read again from its beginning.
                run.console = run.console.saturating_sub(rest.len() as u64);
                return Ok(Followed::Moved(progress));
            }
            tokio::time::sleep(limits::WORKER_JENKINS_LOOK_EVERY).await;
        }
    }

    /// Shows what the console has to show; answers whether there may be more at once.
    async fn show(
        &self,
        taken: &Taken,
        run: &mut Run,
        number: u64,
        ended: bool,
        rest: &mut Vec<u8>,
    ) -> Result<bool, Trouble> {
        let piece = self.surely(|| self.jenkins.console(&run.project, number, run.console)).await?;
        let moved = piece.next > run.console;
        run.console = piece.next;
        rest.extend_from_slice(&piece.text);
        let mut shown = 0;
        while let Some(length) = rest[shown..].iter().position(|byte| *byte == b'\n') {
            taken.line(&String::from_utf8_lossy(&rest[shown..shown + length]));
            shown += length + 1;
        }
        rest.drain(..shown);
        let last = ended && !moved;
        if !rest.is_empty() && (last || rest.len() > limits::WORKER_CONSOLE_PIECE) {
            taken.line(&String::from_utf8_lossy(rest));
            rest.clear();
        }
        Ok(moved && (ended || piece.text.len() >= limits::WORKER_CONSOLE_PIECE))
    }

    async fn end(&self, taken: &Taken, run: &Run, build: &Build) -> Outcome {
        let number = run.number.unwrap_or_default();
        let result = build.result.as_deref().unwrap_or_default();
        let external_id = run.external_id();
        let told = format!("Jenkins build {number} of {} ended as {result}", run.project);
        if result != "SUCCESS" {
            return Outcome::Failed { kind: kind::JOB_FAILED, message: format!("{told}. {}", build.url), external_id };
        }
        if let Err(Trouble { kind, message }) = self.outputs(taken, run, number, build).await {
            return Outcome::Failed { kind, message, external_id };
        }
        let variables = BTreeMap::from([
            ("BuildNumber".to_owned(), number.to_string()),
            ("BuildUrl".to_owned(), build.url.clone()),
        ]);
        let progress = Progress { summary: Some(told), external_id, percent: Some(100) };
        Outcome::Succeeded { progress, variables, revision: None }
    }

    /// The archived files as output artifacts: all of them as the only one, else each directory as that of its name.
    async fn outputs(&self, taken: &Taken, run: &Run, number: u64, build: &Build) -> Result<(), Trouble> {
        let wanted = &taken.job.data.output_artifacts;
        if wanted.is_empty() {
            return Ok(());
        }
        if let Some(odd) = wanted.iter().find(|artifact| !safe(&artifact.name)) {
            return Err(Trouble::new(kind::CONFIGURATION, format!("`{}` is no name of an artifact.", odd.name)));
        }
        let places = Places::new(&self.base)?;
        for archived in &build.artifacts {
            let path = archived.relative_path.as_str();
            let clean = path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'));
            if !clean {
                return Err(Trouble::new(kind::JOB_FAILED, format!("Jenkins archived a file of the name `{path}`.")));
            }
            let target = match wanted.as_slice() {
                [only] => format!("{}/{path}", only.name),
                several if several.iter().any(|artifact| path.starts_with(&format!("{}/", artifact.name))) => {
                    path.to_owned()
                }
                _ => continue,
            };
            let file = places.outputs().join(target);
            if let Some(directory) = file.parent() {
                std::fs::create_dir_all(directory)
                    .map_err(|error| Trouble::new(kind::SYSTEM, format!("Cannot make a directory: {error}")))?;
            }
            self.surely(|| self.jenkins.fetch(&run.project, number, path, &file)).await?;
        }
        for artifact in wanted {
            let from = places.outputs().join(&artifact.name);
            if !from.is_dir() {
                let where_ = if wanted.len() == 1 { String::new() } else { format!(" below `{}/`", artifact.name) };
                return Err(Trouble::new(
                    kind::JOB_FAILED,
                    format!(
                        "The build archived no files{where_} for the output artifact {}. Add the step `archiveArtifacts` to \
                         the project.",
                        artifact.name
                    ),
                ));
            }
            self.store.deliver(taken, artifact, &from, &places.scratch()).await?;
        }
        Ok(())
    }

    /// Nobody waits for the build any more.
    async fn withdraw(&self, taken: &Taken, run: &Run) {
        let asked = match run.number {
            Some(number) => self.jenkins.abort(&run.project, number).await,
            None => match self.jenkins.cancel(run.item).await {
                Ok(()) => match self.jenkins.queued(run.item).await {
                    // It left the queue before it could be taken out.
                    Ok(Queued::Started(number)) => self.jenkins.abort(&run.project, number).await,
                    Ok(_) | Err(_) => Ok(()),
                },
                refused => refused,
            },
        };
        match asked {
            Ok(()) => taken.note("the build was stopped at Jenkins"),
            Err(error) => taken.note(&format!("the build could not be stopped at Jenkins: {error}")),
        }
    }

    /// Asks until there is an answer, as long as it may come: a Jenkins that restarts is gone for a while.
    async fn surely<T, F: Future<Output = Result<T, JenkinsError>>>(&self, ask: impl Fn() -> F) -> Result<T, Trouble> {
        let since = Instant::now();
        let mut failures = 0;
        loop {
            match ask().await {
                Err(error) if error.passes() && since.elapsed() < limits::WORKER_JENKINS_PATIENCE => {
                    tracing::warn!(%error, "asked again");
                    tokio::time::sleep(backoff(failures)).await;
                    failures += 1;
                }
                answer => return answer.map_err(|error| trouble(&error)),
            }
        }
    }
}

fn trouble(error: &JenkinsError) -> Trouble {
    let kind = match error {
        JenkinsError::SignIn { .. } | JenkinsError::Forbidden { .. } => kind::PERMISSION,
        JenkinsError::NotFound { .. } => kind::CONFIGURATION,
        JenkinsError::Unreachable { .. } | JenkinsError::Status { .. } | JenkinsError::Unreadable { .. } => {
            kind::SYSTEM
        }
    };
    Trouble { kind, message: format!("Cannot {error}.") }
}

/// How far a build is, by Jenkins's own estimate; never done before it is.
fn percent(build: &Build, now: i64) -> Option<u8> {
    if build.estimated_duration <= 0 {
        return None;
    }
    let elapsed = now.saturating_sub(build.timestamp).max(0);
    u8::try_from((elapsed.saturating_mul(100) / build.estimated_duration).min(99)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_fits_into_a_token() {
        let run = Run { project: "docks/ferry".into(), item: 7, number: Some(12), console: 4096 };
        assert_eq!(run.token(), r#"towpath-jenkins {"project":"docks/ferry","item":7,"number":12,"console":4096}"#);
        assert_eq!(Run::read(&run.token()), Some(run));
        assert_eq!(Run::read("towpath-worker x"), None);
        assert_eq!(Run::read("towpath-jenkins {}"), None);
    }

    #[test]
    fn percent_is_an_estimate() {
        let build = Build { estimated_duration: 200, timestamp: 1_000, ..Build::default() };
        assert_eq!(percent(&build, 1_050), Some(25));
        assert_eq!(percent(&build, 9_000), Some(99));
        assert_eq!(percent(&build, 0), Some(0));
        assert_eq!(percent(&Build { estimated_duration: -1, ..build }, 1_050), None);
    }

    #[test]
    fn troubles_have_aws_own_kinds() {
        let doing = || "start a build of ferry".to_owned();
        let of = |error: JenkinsError| trouble(&error).kind;
        assert_eq!(of(JenkinsError::NotFound { doing: doing() }), "ConfigurationError");
        assert_eq!(of(JenkinsError::SignIn { doing: doing(), status: 401 }), "PermissionError");
        assert_eq!(of(JenkinsError::Unreachable { doing: doing(), why: "x".into() }), "SystemUnavailable");
        let message = trouble(&JenkinsError::NotFound { doing: doing() }).message;
        assert_eq!(message, "Cannot start a build of ferry: there is no such thing at Jenkins (HTTP 404).");
    }
}
