//! A worker whose work is done by an HTTP service that a small file describes (`description`): it starts a run, asks for it
//! until it is over, and tells what came of it. Partners' action types are driven with it, and any other service like theirs.
//!
//! What is known of a run fits into a continuation token, which is told as soon as the run is started: any worker with the
//! same description goes on with it. Secrets are never part of it, nor of anything that is shown.

mod client;
mod description;
mod template;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::time::Instant;
use towpath_model::secret::Secret;

pub use self::client::Http;
use self::client::{Made, ServiceError};
pub use self::description::Description;
use self::description::{Request, Wait};
use self::template::{Missing, Scope, Template, Values};
use super::artifacts::{Places, Store, Trouble, safe};
use super::jobs::{Outcome, Progress, backoff, kind};
use super::work::{Stop, Taken, Work};
use crate::limits;

/// What marks the continuations of this kind of worker.
const TOKEN: &str = "towpath-http ";
/// The file of an output artifact where the description names none.
const RESULT_FILE: &str = "result.json";

pub struct HttpWork {
    pub description: Description,
    pub secrets: BTreeMap<String, Secret>,
    pub http: Http,
    pub store: Store,
    pub base: PathBuf,
    pub report_every: Duration,
    /// What was read from the answer to the login, while the service takes it.
    pub login: Mutex<Option<BTreeMap<String, String>>>,
}

/// A run at the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    /// What was read from the answer to the start.
    start: BTreeMap<String, String>,
}

impl Run {
    fn token(&self) -> Result<String, Trouble> {
        // Names and texts; nothing in it can fail to serialize, and an empty token would only begin anew.
        let token = format!("{TOKEN}{}", serde_json::to_string(self).unwrap_or_default());
        if token.chars().count() > limits::CONTINUATION_CHARS_MAX {
            return Err(Trouble::new(
                kind::CONFIGURATION,
                format!(
                    "What [start] reads is longer than {} characters. Read ids alone from the answer.",
                    limits::CONTINUATION_CHARS_MAX
                ),
            ));
        }
        Ok(token)
    }

    fn read(token: &str) -> Option<Self> {
        serde_json::from_str(token.strip_prefix(TOKEN)?).ok()
    }
}

/// How far a run has come.
enum Followed {
    Moved(Progress),
    /// It is over; the answer that told so.
    Ended(Json),
}

#[async_trait]
impl Work for HttpWork {
    async fn run(&self, taken: &Taken) -> Option<Outcome> {
        let mut values = self.known(taken);
        let resumed = taken.job.data.continuation_token.as_deref();
        let outcome = tokio::select! {
            outcome = self.carry_out(taken, resumed, &mut values) => outcome,
            () = taken.unwanted() => Err(None),
        };
        match outcome {
            Ok(outcome) => Some(outcome),
            Err(None) => {
                self.withdraw(taken, &values).await;
                None
            }
            Err(Some(Trouble { kind, message })) => {
                let external_id = self.external_id(&values);
                Some(Outcome::Failed { kind, message: values.without_secrets(&message), external_id })
            }
        }
    }
}

impl HttpWork {
    /// What is known before anything is asked.
    fn known(&self, taken: &Taken) -> Values {
        let mut values = Values::default();
        values.put_all(Scope::Config, taken.job.data.action_configuration.configuration.clone());
        let secrets = self.secrets.iter().map(|(name, secret)| (name.clone(), secret.expose().to_owned()));
        values.put_all(Scope::Secret, secrets);
        let context = &taken.job.data.pipeline_context;
        let execution = context.pipeline_execution_id.clone().unwrap_or_default();
        for (name, value) in [
            ("id", taken.job.id.clone()),
            ("pipeline", context.pipeline_name.clone()),
            ("execution-id", execution),
            ("stage", context.stage.name.clone()),
            ("action", context.action.name.clone()),
            ("action-execution-id", context.action.action_execution_id.clone()),
        ] {
            values.put(Scope::Job, name, value);
        }
        values
    }

    /// The job's outcome. Trouble ends it; None never comes from here.
    async fn carry_out(
        &self,
        taken: &Taken,
        resumed: Option<&str>,
        values: &mut Values,
    ) -> Result<Outcome, Option<Trouble>> {
        let Some(token) = resumed else {
            let answer = self.begin(taken, values).await.map_err(Some)?;
            if self.description.poll.is_none() {
                return self.end(taken, values, answer).await.map_err(Some);
            }
            // Told at once, so that nobody starts the run a second time.
            let progress = Progress { external_id: self.external_id(values), ..Progress::default() };
            let token = Run { start: values.of(Scope::Start) }.token().map_err(Some)?;
            return Ok(Outcome::Continued { token, progress });
        };
        let run = Run::read(token).ok_or_else(|| {
            Some(Trouble::new(kind::CONFIGURATION, "The continuation token is not of a worker for HTTP services."))
        })?;
        values.put_all(Scope::Start, run.start);
        match self.follow(taken, values).await.map_err(Some)? {
            Followed::Moved(progress) => Ok(Outcome::Continued { token: token.to_owned(), progress }),
            Followed::Ended(answer) => self.end(taken, values, answer).await.map_err(Some),
        }
    }

    /// Starts the run.
    async fn begin(&self, taken: &Taken, values: &mut Values) -> Result<Json, Trouble> {
        self.bring(taken, values).await?;
        let since = Instant::now();
        let mut failures = 0;
        let answer = loop {
            match self.ask("start the run", &self.description.start, values).await {
                // Not asked again when the answer is lost: the run may have been started.
                Err(Refused::Service(error))
                    if error.refused_for_now() && since.elapsed() < limits::WORKER_HTTP_PATIENCE =>
                {
                    tracing::warn!(%error, "asked again");
                    tokio::time::sleep(backoff(failures)).await;
                    failures += 1;
                }
                answer => break answer.map_err(|refused| self.trouble("start the run", refused))?,
            }
        };
        let read = self.reading("start", &self.description.start, &answer, true)?;
        values.put_all(Scope::Start, read);
        match self.external_id(values) {
            Some(id) => taken.note(&format!("{} has started the run {id}", self.description.name)),
            None => taken.note(&format!("{} has started a run", self.description.name)),
        }
        Ok(answer)
    }

    /// What of the first input artifact the start sends.
    async fn bring(&self, taken: &Taken, values: &mut Values) -> Result<(), Trouble> {
        let mut files = self.description.files().peekable();
        if files.peek().is_none() && !self.description.wants_link() {
            return Ok(());
        }
        let Some(artifact) = taken.job.data.input_artifacts.first().filter(|artifact| safe(&artifact.name)) else {
            return Err(Trouble::new(
                kind::CONFIGURATION,
                format!("{} needs an input artifact, and the action has none.", self.description.name),
            ));
        };
        if self.description.wants_link() {
            values.put(Scope::Input, "link", self.store.link(taken, artifact).await?);
        }
        if files.peek().is_none() {
            return Ok(());
        }
        let places = Places::new(&self.base)?;
        let directory = places.inputs().join(&artifact.name);
        self.store.bring(taken, artifact, &places.scratch(), &directory).await?;
        for file in files {
            let odd = file.name.split('/').any(|part| matches!(part, "" | "." | ".."));
            let path = directory.join(&file.name);
            let length = tokio::fs::metadata(&path).await.map(|found| found.len());
            let length = match length {
                Ok(length) if !odd && path.is_file() => length,
                _ if file.instead.is_some() => continue,
                _ => {
                    return Err(Trouble::new(
                        kind::CONFIGURATION,
                        format!("The input artifact {} has no file {}.", artifact.name, file.name),
                    ));
                }
            };
            if length > limits::WORKER_HTTP_FILE_BYTES_MAX {
                let message = format!("The file {} has {length} bytes, which is too much for a request.", file.name);
                return Err(Trouble::new(kind::CONFIGURATION, message));
            }
            let bytes = tokio::fs::read(&path)
                .await
                .map_err(|error| Trouble::new(kind::SYSTEM, format!("Cannot read the file {}: {error}", file.name)))?;
            let value = match file.scope {
                Scope::Base64 => STANDARD.encode(&bytes),
                _ => String::from_utf8(bytes).map_err(|_| {
                    let hint = format!("The file {0} is no text. Send it as ${{base64.{0}}}.", file.name);
                    Trouble::new(kind::CONFIGURATION, hint)
                })?,
            };
            values.put(file.scope, &file.name, value);
        }
        Ok(())
    }

    /// Asks for the run until it is over, or until it is time for the next job.
    async fn follow(&self, taken: &Taken, values: &mut Values) -> Result<Followed, Trouble> {
        let (Some(poll), Some(wait)) = (&self.description.poll, &self.description.wait) else {
            return Err(Trouble::new(kind::CONFIGURATION, "The description of the service has no [poll] any more."));
        };
        let since = Instant::now();
        let mut told = None;
        loop {
            let answer = self.surely("ask for the run", poll, values).await?;
            values.put_all(Scope::Poll, self.reading("poll", poll, &answer, false)?);
            let status = self.shown(&wait.status, values)?;
            if !wait.goes_on(&status) {
                return Ok(Followed::Ended(answer));
            }
            if told.as_ref() != Some(&status) {
                taken.note(&format!("{} says: {status}", self.description.name));
                told = Some(status);
            }
            let progress = self.progress(wait, values);
            let mut left = wait.pause();
            // A worker that ends leaves the run to the next one.
            loop {
                if taken.stop() != Stop::No || since.elapsed() >= self.report_every {
                    return Ok(Followed::Moved(progress));
                }
                if left.is_zero() {
                    break;
                }
                let step = left.min(limits::WORKER_LOOK_EVERY);
                tokio::time::sleep(step).await;
                left = left.saturating_sub(step);
            }
        }
    }

    fn progress(&self, wait: &Wait, values: &Values) -> Progress {
        let text = |template: &Option<Template>| template.as_ref().and_then(|template| template.text(values).ok());
        let percent = text(&wait.percent).and_then(|text| percent(&text));
        let summary = text(&wait.summary).filter(|text| !text.is_empty()).map(|text| values.without_secrets(&text));
        Progress { summary, percent, external_id: self.external_id(values) }
    }

    /// The run is over.
    async fn end(&self, taken: &Taken, values: &mut Values, mut answer: Json) -> Result<Outcome, Trouble> {
        if let Some(verdict) = &self.description.verdict {
            answer = self.surely("ask how the run went", verdict, values).await?;
            values.put_all(Scope::Verdict, self.reading("verdict", verdict, &answer, false)?);
        }
        let result = &self.description.result;
        let status = self.shown(&result.status, values)?;
        let text = |template: &Option<Template>| {
            let text = template.as_ref().and_then(|template| template.text(values).ok());
            text.filter(|text| !text.trim().is_empty()).map(|text| values.without_secrets(&text))
        };
        let told = format!("{} says: {status}", self.description.name);
        if !result.succeeded.contains(&status) {
            let message = text(&result.message).unwrap_or(told);
            return Err(Trouble::new(kind::JOB_FAILED, message));
        }
        self.deliver(taken, values, &answer).await?;
        let mut variables = BTreeMap::new();
        for (name, template) in &self.description.variables {
            variables.insert(name.clone(), values.without_secrets(&self.shown(template, values)?));
        }
        let summary = text(&result.summary).or(Some(told));
        let progress = Progress { summary, external_id: self.external_id(values), percent: Some(100) };
        Ok(Outcome::Succeeded { progress, variables, revision: None })
    }

    /// The output artifacts: the files of the description, or the last answer.
    async fn deliver(&self, taken: &Taken, values: &Values, answer: &Json) -> Result<(), Trouble> {
        let wanted = &taken.job.data.output_artifacts;
        if wanted.is_empty() {
            return Ok(());
        }
        if let Some(odd) = wanted.iter().find(|artifact| !safe(&artifact.name)) {
            return Err(Trouble::new(kind::CONFIGURATION, format!("`{}` is no name of an artifact.", odd.name)));
        }
        let mut files = BTreeMap::new();
        for (name, template) in &self.description.output {
            files.insert(name.clone(), self.shown(template, values)?);
        }
        if files.is_empty() {
            files.insert(RESULT_FILE.to_owned(), format!("{answer:#}\n"));
        }
        let places = Places::new(&self.base)?;
        let unmade =
            |error: std::io::Error| Trouble::new(kind::SYSTEM, format!("Cannot write an output file: {error}"));
        for artifact in wanted {
            let directory = places.outputs().join(&artifact.name);
            for (name, text) in &files {
                let file = directory.join(name);
                if let Some(parent) = file.parent() {
                    tokio::fs::create_dir_all(parent).await.map_err(unmade)?;
                }
                tokio::fs::write(&file, values.without_secrets(text)).await.map_err(unmade)?;
            }
            self.store.deliver(taken, artifact, &directory, &places.scratch()).await?;
        }
        Ok(())
    }

    /// Nobody waits for the run any more.
    async fn withdraw(&self, taken: &Taken, values: &Values) {
        let mut values = values.clone();
        // Stopped while it was taken up: what was started is in the token.
        if let Some(run) = taken.job.data.continuation_token.as_deref().and_then(Run::read) {
            values.put_all(Scope::Start, run.start);
        }
        let Some(stop) = &self.description.stop else { return };
        if values.of(Scope::Start).is_empty() {
            return;
        }
        match self.ask("stop the run", stop, &mut values).await {
            Ok(_) => taken.note(&format!("the run was stopped at {}", self.description.name)),
            Err(refused) => {
                let why = self.trouble("stop the run", refused).message;
                taken.note(&values.without_secrets(&why));
            }
        }
    }

    fn external_id(&self, values: &Values) -> Option<String> {
        let id = self.description.external_id.as_ref()?.text(values).ok()?;
        Some(values.without_secrets(&id)).filter(|id| !id.is_empty())
    }

    fn shown(&self, template: &Template, values: &Values) -> Result<String, Trouble> {
        template.text(values).map_err(|missing| self.trouble("read the answer", Refused::Missing(missing)))
    }

    /// What a request reads from its answer. `needed`: all of it must be there.
    fn reading(
        &self,
        place: &str,
        request: &Request,
        answer: &Json,
        needed: bool,
    ) -> Result<BTreeMap<String, String>, Trouble> {
        let mut read = BTreeMap::new();
        for (name, pointer) in &request.read {
            match client::read(answer, pointer) {
                Some(value) => read.insert(name.clone(), value),
                None if !needed => read.insert(name.clone(), String::new()),
                None => {
                    return Err(Trouble::new(
                        kind::JOB_FAILED,
                        format!(
                            "The answer of {} has nothing at {pointer}, where [{place}] reads {name}.",
                            self.description.name
                        ),
                    ));
                }
            };
        }
        Ok(read)
    }

    /// Asks until there is an answer, as long as it may come.
    async fn surely(&self, doing: &str, request: &Request, values: &mut Values) -> Result<Json, Trouble> {
        let since = Instant::now();
        let mut failures = 0;
        loop {
            match self.ask(doing, request, values).await {
                Err(Refused::Service(error)) if error.passes() && since.elapsed() < limits::WORKER_HTTP_PATIENCE => {
                    tracing::warn!(%error, doing, "asked again");
                    tokio::time::sleep(backoff(failures)).await;
                    failures += 1;
                }
                answer => return answer.map_err(|refused| self.trouble(doing, refused)),
            }
        }
    }

    /// Asks once; and once more after a new login, where the service takes the last one no more.
    async fn ask(&self, doing: &str, request: &Request, values: &mut Values) -> Result<Json, Refused> {
        self.sign_in(values).await?;
        match self.once(request, values).await {
            Err(Refused::Service(error)) if error.wants_login() && self.description.login.is_some() => {
                tracing::debug!(doing, "the login has ended; a new one is asked for");
                *self.login() = None;
                self.sign_in(values).await?;
                self.once(request, values).await
            }
            answer => answer,
        }
    }

    async fn once(&self, request: &Request, values: &Values) -> Result<Json, Refused> {
        let common = self.description.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        let made = Made::new(request, common, self.description.basic.as_ref(), values).map_err(Refused::Missing)?;
        self.http.send(&made).await.map_err(Refused::Service)
    }

    async fn sign_in(&self, values: &mut Values) -> Result<(), Refused> {
        let Some(login) = &self.description.login else { return Ok(()) };
        let known = self.login().clone();
        let read = if let Some(read) = known {
            read
        } else {
            let made = Made::new(login, [], None, values).map_err(Refused::Missing)?;
            let answer = self.http.send(&made).await.map_err(Refused::Login)?;
            let read = self.reading("login", login, &answer, true).map_err(Refused::Trouble)?;
            *self.login() = Some(read.clone());
            read
        };
        values.put_all(Scope::Login, read);
        Ok(())
    }

    fn login(&self) -> std::sync::MutexGuard<'_, Option<BTreeMap<String, String>>> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self, doing: &str, refused: Refused) -> Trouble {
        let name = &self.description.name;
        match refused {
            Refused::Trouble(trouble) => trouble,
            Refused::Missing(Missing(reference)) if reference.scope == Scope::Config => Trouble::new(
                kind::CONFIGURATION,
                format!("The action's configuration has no {}, which is needed to {doing} at {name}.", reference.name),
            ),
            Refused::Missing(Missing(reference)) => Trouble::new(
                kind::CONFIGURATION,
                format!("There is no {reference} to {doing} at {name} with. Look into the description of the service."),
            ),
            Refused::Login(error) => Trouble::new(failure(&error), format!("Cannot sign in at {name}: {error}")),
            Refused::Service(error) => Trouble::new(failure(&error), format!("Cannot {doing} at {name}: {error}")),
        }
    }
}

/// Why a request brought nothing.
enum Refused {
    Missing(Missing),
    Login(ServiceError),
    Service(ServiceError),
    Trouble(Trouble),
}

const fn failure(error: &ServiceError) -> &'static str {
    match error {
        ServiceError::Status { status: 401 | 403, .. } => kind::PERMISSION,
        ServiceError::Status { status: 400 | 404 | 405 | 409 | 410 | 415 | 422, .. } | ServiceError::Unmade(_) => {
            kind::CONFIGURATION
        }
        ServiceError::Status { status: 429 | 500.., .. } | ServiceError::Unreachable(_) => kind::SYSTEM,
        ServiceError::Status { .. } | ServiceError::Unreadable(_) => kind::JOB_FAILED,
    }
}

/// How far a run is; never done before it is.
fn percent(text: &str) -> Option<u8> {
    let number: f64 = text.trim().trim_end_matches('%').trim_end().parse().ok()?;
    (0..=99_u8).rev().find(|whole| f64::from(*whole) <= number).or(Some(0)).filter(|_| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_fits_into_a_token() {
        let run = Run { start: BTreeMap::from([("run".to_owned(), "r-1".to_owned())]) };
        assert_eq!(run.token().unwrap(), r#"towpath-http {"start":{"run":"r-1"}}"#);
        assert_eq!(Run::read(&run.token().unwrap()), Some(run));
        assert_eq!(Run::read("towpath-jenkins {}"), None);
        let long = Run { start: BTreeMap::from([("body".to_owned(), "x".repeat(3_000))]) };
        assert!(long.token().unwrap_err().message.contains("Read ids alone"));
    }

    #[test]
    fn percent_is_a_number_below_the_end() {
        let all = ["0", "41.7", "100", "140", "-3", "55 %", "", "NaN", "many"].map(percent);
        assert_eq!(all, [Some(0), Some(41), Some(99), Some(99), Some(0), Some(55), None, None, None]);
    }

    #[test]
    fn failures_have_aws_own_kinds() {
        let of = |status| failure(&ServiceError::Status { status, why: String::new() });
        assert_eq!([of(403), of(422)], ["PermissionError", "ConfigurationError"]);
        assert_eq!(
            (of(401), of(404), of(429), of(502)),
            ("PermissionError", "ConfigurationError", "SystemUnavailable", "SystemUnavailable")
        );
        assert_eq!((of(402), failure(&ServiceError::Unreachable("x".into()))), ("JobFailed", "SystemUnavailable"));
    }
}
