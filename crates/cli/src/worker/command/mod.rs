//! A worker around any command: input artifacts become directories, configuration becomes environment variables, and what
//! the command leaves becomes output artifacts, variables and the result.
//!
//! A command that reports progress while it runs changes jobs: its job ends with a continuation, which shows the progress,
//! and the next job of the action belongs to the same run. Only the process that has the run takes that job.

mod process;
mod report;

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use self::process::Process;
use self::report::{Report, variables};
use super::artifacts::{Places, Store, Trouble, safe};
use super::job::Job;
use super::jobs::{Outcome, Progress, kind};
use super::work::{Claim, Stop, Taken, Work};
use crate::limits;

/// What marks the continuations of this kind of worker. Behind it: the worker's name and the run.
const TOKEN: &str = "towpath-worker";

pub struct CommandWork {
    pub argv: Vec<OsString>,
    /// Where the directories of jobs are made.
    pub base: PathBuf,
    pub store: Store,
    /// Unlike that of every other worker.
    pub name: String,
    /// Progress is shown at most this often.
    pub report_every: Duration,
    /// Runs that wait for their next job, by their token.
    pub parked: Mutex<HashMap<String, Parked>>,
}

/// A run between two jobs.
pub struct Parked {
    run: Run,
    since: Instant,
}

struct Run {
    process: Process,
    places: Places,
    shown: Progress,
    shown_at: Instant,
}

#[async_trait]
impl Work for CommandWork {
    fn claim(&self, job: &Job) -> Claim {
        match job.data.continuation_token.as_deref() {
            Some(token) if self.lock().contains_key(token) => Claim::Ours,
            Some(token) if token.starts_with(TOKEN) => Claim::Theirs,
            _ => Claim::New,
        }
    }

    fn parked(&self) -> usize {
        self.lock().len()
    }

    async fn tidy(&self, stop: Stop) {
        let lost: Vec<Parked> = {
            let mut parked = self.lock();
            let over = |one: &Parked| stop == Stop::Now || one.since.elapsed() > limits::WORKER_PARKED_KEPT;
            let tokens: Vec<String> =
                parked.iter().filter(|(_, one)| over(one)).map(|(token, _)| token.clone()).collect();
            tokens.iter().filter_map(|token| parked.remove(token)).collect()
        };
        for mut one in lost {
            tracing::warn!("a command's next job did not come; its action has ended. The command is stopped");
            one.run.process.stop().await;
        }
    }

    async fn run(&self, taken: &Taken) -> Option<Outcome> {
        let token = taken.job.data.continuation_token.as_deref();
        let resumed = token.and_then(|token| self.lock().remove(token)).map(|parked| parked.run);
        let begun = match resumed {
            Some(run) => Ok(run),
            None => self.begin(taken).await,
        };
        let mut run = match begun {
            Ok(run) => run,
            Err(Trouble { kind, message }) => return Some(Outcome::Failed { kind, message, external_id: None }),
        };
        match self.follow(taken, &mut run).await {
            Followed::Ended(status) => Some(self.end(taken, &mut run, status).await),
            Followed::Unwanted => {
                run.process.stop().await;
                None
            }
            Followed::Stopped => {
                run.process.stop().await;
                Some(Outcome::Failed {
                    kind: kind::SYSTEM,
                    message: "The worker was stopped, and the command with it.".to_owned(),
                    external_id: run.shown.external_id,
                })
            }
            Followed::Moved(progress) => {
                run.shown = progress.clone();
                run.shown_at = Instant::now();
                let token = format!("{TOKEN} {} {}", self.name, taken.job.id);
                self.lock().insert(token.clone(), Parked { run, since: Instant::now() });
                Some(Outcome::Continued { token, progress })
            }
        }
    }
}

/// Why a run is not followed any further under its present job.
enum Followed {
    Ended(std::io::Result<ExitStatus>),
    /// It told something new.
    Moved(Progress),
    Unwanted,
    Stopped,
}

impl CommandWork {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin(&self, taken: &Taken) -> Result<Run, Trouble> {
        let data = &taken.job.data;
        let named = data.input_artifacts.iter().chain(&data.output_artifacts);
        if let Some(odd) = named.map(|artifact| &artifact.name).find(|name| !safe(name)) {
            return Err(Trouble::new(kind::CONFIGURATION, format!("`{odd}` is no name of an artifact.")));
        }
        let places = Places::new(&self.base)?;
        for artifact in &data.input_artifacts {
            self.store.bring(taken, artifact, &places.scratch(), &places.inputs().join(&artifact.name)).await?;
        }
        for artifact in &data.output_artifacts {
            std::fs::create_dir(places.outputs().join(&artifact.name))
                .map_err(|error| Trouble::new(kind::SYSTEM, format!("Cannot make an output directory: {error}")))?;
        }
        let directory = match data.input_artifacts.first() {
            Some(first) => places.inputs().join(&first.name),
            None => places.inputs(),
        };
        let environment = environment(&taken.job, &places)?;
        let process = Process::start(&self.argv, &directory, &environment, &taken.job.title(), &taken.log);
        let process = process.map_err(|error| {
            let program = self.argv.first().map(|program| program.to_string_lossy()).unwrap_or_default();
            Trouble::new(kind::CONFIGURATION, format!("The command `{program}` cannot be started: {error}"))
        })?;
        Ok(Run { process, places, shown: Progress::default(), shown_at: Instant::now() })
    }

    async fn follow(&self, taken: &Taken, run: &mut Run) -> Followed {
        let report = run.places.scratch().join(REPORT);
        let mut look = tokio::time::interval(limits::WORKER_LOOK_EVERY);
        let (unwanted, stopped) = (taken.unwanted(), taken.stopped());
        tokio::pin!(unwanted, stopped);
        loop {
            tokio::select! {
                biased;
                ended = run.process.wait() => return Followed::Ended(ended),
                () = &mut stopped => return Followed::Stopped,
                () = &mut unwanted => return Followed::Unwanted,
                _ = look.tick() => {
                    // A worker that is to end soon takes no next job.
                    if taken.stop() != Stop::No || run.shown_at.elapsed() < self.report_every {
                        continue;
                    }
                    if let Ok(told) = Report::read(&report, false)
                        && told.progress != run.shown
                    {
                        return Followed::Moved(told.progress);
                    }
                }
            }
        }
    }

    /// The command has ended; what it left is told.
    async fn end(&self, taken: &Taken, run: &mut Run, status: std::io::Result<ExitStatus>) -> Outcome {
        let scratch = run.places.scratch();
        let report = Report::read(&scratch.join(REPORT), true);
        let external_id = report.as_ref().ok().and_then(|report| report.progress.external_id.clone());
        let failed = |kind, message| Outcome::Failed { kind, message, external_id: external_id.clone() };
        let status = match status {
            Ok(status) => status,
            Err(error) => return failed(kind::SYSTEM, format!("The end of the command is not known: {error}")),
        };
        if !status.success() {
            let told = report.unwrap_or_default();
            let why = match (status.code(), status.signal()) {
                (Some(code), _) => format!("The command ended with exit code {code}."),
                (None, Some(signal)) => format!("The command was ended by signal {signal}."),
                (None, None) => "The command failed.".to_owned(),
            };
            let summary = told.progress.summary.map(|summary| format!("{summary}\n")).unwrap_or_default();
            let tail = run.process.tail();
            let message = format!("{summary}{why}{}{tail}", if tail.is_empty() { "" } else { "\n" });
            return failed(told.failure_type.unwrap_or(kind::JOB_FAILED), message);
        }
        let report = match report {
            Ok(report) => report,
            Err(why) => return failed(kind::JOB_FAILED, format!("The command's report is not clear: {why}.")),
        };
        if let Some(token) = report.continuation_token {
            if token.starts_with(TOKEN) {
                return failed(kind::JOB_FAILED, format!("A continuation token may not begin with `{TOKEN}`."));
            }
            return Outcome::Continued { token, progress: report.progress };
        }
        let variables = match variables(&scratch.join(VARIABLES)) {
            Ok(variables) => variables,
            Err(why) => return failed(kind::JOB_FAILED, format!("The command's variables are not clear: {why}.")),
        };
        for artifact in &taken.job.data.output_artifacts {
            let from = run.places.outputs().join(&artifact.name);
            if let Err(Trouble { kind, message }) = self.store.deliver(taken, artifact, &from, &scratch).await {
                return failed(kind, message);
            }
        }
        let revision = report.revision();
        Outcome::Succeeded { progress: report.progress, variables, revision }
    }
}

const REPORT: &str = "report";
const VARIABLES: &str = "variables";
const CONFIGURATION: &str = "configuration.json";

/// What the command is told. The names are documented in docs/workers.md and in the command's help.
fn environment(job: &Job, places: &Places) -> Result<Vec<(String, OsString)>, Trouble> {
    let (data, scratch) = (&job.data, places.scratch());
    let configuration = &data.action_configuration.configuration;
    let file = scratch.join(CONFIGURATION);
    serde_json::to_vec(configuration)
        .map_err(std::io::Error::other)
        .and_then(|json| std::fs::write(&file, json))
        .map_err(|error| Trouble::new(kind::SYSTEM, format!("The configuration cannot be written down: {error}")))?;
    for name in [REPORT, VARIABLES] {
        std::fs::write(scratch.join(name), "")
            .map_err(|error| Trouble::new(kind::SYSTEM, format!("A file of the job cannot be made: {error}")))?;
    }
    let context = &data.pipeline_context;
    let mut all: Vec<(String, OsString)> = Vec::new();
    let mut tell = |name: &str, value: OsString| all.push((format!("CODEPIPELINE_{name}"), value));
    tell("JOB_ID", job.id.clone().into());
    tell("ACCOUNT_ID", job.account.clone().into());
    tell("CATEGORY", data.action_type_id.category.clone().into());
    tell("PROVIDER", data.action_type_id.provider.clone().into());
    tell("VERSION", data.action_type_id.version.clone().into());
    tell("PIPELINE_NAME", context.pipeline_name.clone().into());
    tell("PIPELINE_ARN", context.pipeline_arn.clone().unwrap_or_default().into());
    tell("EXECUTION_ID", context.pipeline_execution_id.clone().unwrap_or_default().into());
    tell("STAGE_NAME", context.stage.name.clone().into());
    tell("ACTION_NAME", context.action.name.clone().into());
    tell("ACTION_EXECUTION_ID", context.action.action_execution_id.clone().into());
    tell("CONTINUATION_TOKEN", data.continuation_token.clone().unwrap_or_default().into());
    tell("CONFIGURATION", file.into());
    tell("REPORT", scratch.join(REPORT).into());
    tell("VARIABLES", scratch.join(VARIABLES).into());
    tell("INPUTS", places.inputs().into());
    tell("OUTPUTS", places.outputs().into());
    for (key, value) in configuration {
        tell(&format!("CONFIG_{}", shell_name(key)), value.into());
    }
    for artifact in &data.input_artifacts {
        tell(&format!("INPUT_{}", shell_name(&artifact.name)), places.inputs().join(&artifact.name).into());
        let revision = artifact.revision.clone().unwrap_or_default();
        tell(&format!("REVISION_{}", shell_name(&artifact.name)), revision.into());
    }
    for artifact in &data.output_artifacts {
        tell(&format!("OUTPUT_{}", shell_name(&artifact.name)), places.outputs().join(&artifact.name).into());
    }
    // A NUL ends a variable of the environment; a value with one would keep the command from starting.
    all.retain(|(_, value)| !value.as_encoded_bytes().contains(&0));
    Ok(all)
}

/// A name as a shell can say it.
fn shell_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::job::tests::job;
    use super::*;

    #[test]
    fn a_command_is_told_everything_by_name() {
        let base = tempfile::tempdir().unwrap();
        let places = Places::new(base.path()).unwrap();
        let all: HashMap<String, OsString> = environment(&job(), &places).unwrap().into_iter().collect();
        let text = |name: &str| all[name].to_str().unwrap().to_owned();
        assert_eq!(text("CODEPIPELINE_CONFIG_Project"), "ferry");
        assert_eq!(text("CODEPIPELINE_CONFIG_api_key"), "hush");
        assert_eq!(text("CODEPIPELINE_PIPELINE_NAME"), "p");
        assert_eq!(text("CODEPIPELINE_REVISION_src"), "r");
        assert!(text("CODEPIPELINE_INPUT_src").ends_with("inputs/src"));
        assert!(text("CODEPIPELINE_OUTPUT_out_1").ends_with("outputs/out-1"));
        let written = std::fs::read_to_string(text("CODEPIPELINE_CONFIGURATION")).unwrap();
        assert_eq!(written, r#"{"Project":"ferry","api-key":"hush"}"#);
    }
}
