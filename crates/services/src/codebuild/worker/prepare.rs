//! PROVISIONING and the service's share of DOWNLOAD_SOURCE: the service role, the log stream, the sources on disk, the
//! runner's request. Ends when the runner was started. Repeatable up to the written request; from then on the request is
//! what counts, and nothing before it is done again.

use std::path::Path;

use towpath_artifacts::{Limits, unpack};
use towpath_builds::request::{BuildRequest, BuildspecSource, REQUEST_FORMAT, SecondarySource};
use towpath_builds::{BuildsError, Handle, spawn};
use towpath_wire::codebuild::PhaseContext;
use towpath_wire::types::Timestamp as WireTime;

use super::super::objects::ObjectError;
use super::super::phases::{begin, context, succeed};
use super::super::plan::{self, Input};
use super::super::projects::{acting_for, role_arn};
use super::super::records::{BuildRecord, Stage};
use super::files::Files;
use super::queue::{log_place, show_logs};
use super::{Loaded, Next, StepError, Worker};
use crate::identity::policy::Context;
use crate::identity::{AssumeRequest, CODEBUILD_PRINCIPAL, CODEPIPELINE_PRINCIPAL, SessionCredentials};

/// Metadata of an artifact object: the revision of the source it was made from.
pub(super) const REVISION_METADATA: &str = "codepipeline-revision-id";
const FOLDER_KEYS_MAX: usize = 100_000;
/// Sessions of services last twelve hours at most.
const SESSION_SECONDS_MAX: i32 = 43_200;
/// Sessions of roles that are assumed by roles.
const CHAINED_SECONDS_MAX: i32 = 3_600;
/// A session outlives its build by this much, for the upload.
const SESSION_SPARE_SECONDS: i32 = 900;
/// Buildspecs in S3 are refused past this size.
const BUILDSPEC_BYTES_MAX: u64 = 1024 * 1024;

/// A build that fails before its runner starts.
pub(super) struct Failure {
    contexts: Vec<PhaseContext>,
    finalizing: bool,
}

impl Failure {
    fn provisioning(code: &str, message: &str) -> Self {
        Self { contexts: vec![context(code, message)], finalizing: false }
    }

    pub(super) fn source(message: &str) -> Self {
        Self { contexts: vec![context("CLIENT_ERROR", message)], finalizing: true }
    }
}

pub(super) enum Trouble {
    /// The build's.
    Failed(Failure),
    /// Ours.
    Step(StepError),
}

/// An input that is on the disk.
struct Fetched {
    /// The object's.
    metadata: Vec<(String, String)>,
    /// Where it was cloned from, if it was.
    clone_url: Option<String>,
}

impl<E: Into<StepError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Step(error.into())
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Worker {
    pub(super) async fn prepare(&mut self, mut loaded: Loaded) -> Result<Next, StepError> {
        let files = self.files();
        // A request that is there was complete when the last process died: start its runner, or adopt it.
        if files.request().exists() {
            loaded.record.stage = Stage::Running;
            self.save(&mut loaded).await?;
            return Ok(Next::Again);
        }
        match self.try_prepare(&mut loaded, &files).await {
            Ok(next) => Ok(next),
            Err(Trouble::Step(error)) => Err(error),
            Err(Trouble::Failed(Failure { contexts, finalizing })) => {
                let message = contexts.first().and_then(|context| context.message.clone()).unwrap_or_default();
                if files.run().exists() {
                    files.say(self.service.ambient.now(), &message)?;
                }
                self.fail(loaded, contexts, finalizing).await
            }
        }
    }

    async fn try_prepare(&mut self, loaded: &mut Loaded, files: &Files) -> Result<Next, Trouble> {
        let inputs = inputs(&loaded.record);
        files.begin(inputs.len().max(1))?;
        let session = self.service_role(&loaded.record).await?;
        self.attach_log(&loaded.record, &session).await?;
        let image = loaded.record.effective.environment.clone().unwrap_or_default();
        let sandbox =
            self.service.settings.sandbox.policy().choose(&image.image, image.privileged_mode.unwrap_or(false));
        let sandbox = sandbox.map_err(|why| {
            let text = format!("Unable to pull customer's container image. {why}");
            Failure::provisioning("BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", &text)
        })?;

        // Repeated after a crash, PROVISIONING may be over already.
        if loaded.record.build.current_phase.as_deref() == Some("PROVISIONING") {
            let now = self.service.ambient.now();
            show_logs(&mut loaded.record.build, &self.scope, self.service.settings.console_url.as_deref());
            succeed(&mut loaded.record.build, now);
            begin(&mut loaded.record.build, "DOWNLOAD_SOURCE", now);
            if !self.save(loaded).await? {
                return Ok(Next::Again);
            }
        }
        let of_pipeline = loaded.record.pipeline.is_some();
        let mut cloned = Vec::with_capacity(inputs.len());
        for (index, input) in inputs.iter().enumerate() {
            let Fetched { metadata, clone_url } = self.fetch(input, index, files, &session, of_pipeline).await?;
            cloned.push(clone_url);
            if index == 0 {
                let revision = metadata.into_iter().find(|(name, _)| name == REVISION_METADATA).map(|(_, value)| value);
                if loaded.record.pipeline.is_some() {
                    loaded.record.build.resolved_source_version.clone_from(&revision);
                }
                loaded.record.revision = revision;
            }
        }
        let buildspec = self.buildspec(&loaded.record, files, &session).await?;

        loaded.record.prepared = loaded.record.build.phases.clone().unwrap_or_default();
        if !self.save(loaded).await? {
            return Ok(Next::Again);
        }
        let minutes = loaded.record.build.timeout_in_minutes.unwrap_or_default();
        let provisioned =
            loaded.record.prepared.iter().find(|phase| phase.phase_type.as_deref() == Some("PROVISIONING"));
        let begun = provisioned.and_then(|phase| phase.start_time).map_or(0, WireTime::as_millis);
        let spent = (self.service.ambient.now().millis() - begun).max(0) / 1000;
        let request = BuildRequest {
            format: REQUEST_FORMAT,
            build_id: self.id.clone(),
            dir: files.run(),
            primary_source: files.source(0),
            secondary_sources: inputs
                .iter()
                .enumerate()
                .filter_map(|(index, input)| {
                    let identifier = plan::variable_name(input.identifier.as_deref()?);
                    Some(SecondarySource { identifier, dir: files.source(index) })
                })
                .collect(),
            buildspec,
            environment: super::environment::project_variables(&loaded.record),
            codebuild: super::environment::codebuild_variables(&loaded.record, &inputs, &cloned),
            base_environment: super::environment::base(
                &self.scope,
                &session,
                self.service.endpoint().as_deref(),
                cloned.iter().any(Option::is_some),
            ),
            sandbox,
            timeout_seconds: u64::try_from(i64::from(minutes) * 60 - spent).unwrap_or(0),
            artifacts: plan::wanted(&loaded.record.effective),
            local_cache: super::environment::uses_cache(&loaded.record.effective)
                .then(|| self.service.cache_dir(&self.scope, loaded.record.project_name())),
            masks: super::environment::masks(&session),
        };
        // Stopped while the sources came in: nothing was started, nothing has to be ended.
        if self.load().await?.is_none_or(|now| now.version != loaded.version) {
            return Ok(Next::Again);
        }
        self.launch(loaded, &request).await
    }

    /// Starts the runner. A program that cannot be started is a fault of this installation, not a failed build.
    async fn launch(&mut self, loaded: &mut Loaded, request: &BuildRequest) -> Result<Next, Trouble> {
        match spawn(request, &self.service.settings.runner_command) {
            Ok(_) | Err(BuildsError::AlreadyStarted { .. }) => {}
            Err(error @ (BuildsError::Runner { .. } | BuildsError::NoRunnerCommand)) => {
                let why = chain(&error);
                tracing::error!(why, build = self.id, "a build runner cannot be started");
                return Ok(self.fault(loaded, &why).await?);
            }
            Err(error) => return Err(Trouble::Step(error.into())),
        }
        loaded.record.stage = Stage::Running;
        self.save(loaded).await?;
        Ok(Next::Again)
    }

    async fn service_role(&self, record: &BuildRecord) -> Result<SessionCredentials, Trouble> {
        let role = role_arn(&self.scope, record.build.service_role.as_deref().unwrap_or_default());
        let who = if record.pipeline_role.is_some() { "CodePipeline" } else { "CodeBuild" };
        self.assume(record, &role).await.map_err(|error| {
            if error.status >= 500 {
                return Trouble::Step(error.into());
            }
            Failure::provisioning(
                "ACCESS_DENIED",
                &format!("{who} is not authorized to perform: sts:AssumeRole on {role}"),
            )
            .into()
        })
    }

    pub(super) async fn assume(
        &self,
        record: &BuildRecord,
        role: &str,
    ) -> Result<SessionCredentials, towpath_wire::WireError> {
        let minutes = record.build.timeout_in_minutes.unwrap_or_default();
        let request = AssumeRequest {
            role_arn: role.to_owned(),
            session_name: format!("AWSCodeBuild-{}", record.uuid()),
            seconds: Some(
                minutes.saturating_mul(60).saturating_add(SESSION_SPARE_SECONDS).clamp(900, SESSION_SECONDS_MAX),
            ),
            ..AssumeRequest::default()
        };
        let project = super::super::names::project_arn(&self.scope, record.project_name());
        let context = acting_for(&self.scope, &project);
        let identity = &self.service.identity;
        let Some(pipeline_role) = &record.pipeline_role else {
            return identity.assume_as_service(CODEBUILD_PRINCIPAL, request, context).await;
        };
        let first = AssumeRequest { role_arn: pipeline_role.clone(), ..request.clone() };
        let session = identity.assume_as_service(CODEPIPELINE_PRINCIPAL, first, context).await?;
        if *pipeline_role == role {
            return Ok(session);
        }
        // A role that a role assumes lasts an hour at most, which is longer than such a build may.
        let seconds = request.seconds.map(|seconds| seconds.min(CHAINED_SECONDS_MAX));
        identity.assume(&session.principal, AssumeRequest { seconds, ..request }, Context::new()).await
    }

    async fn attach_log(&self, record: &BuildRecord, session: &SessionCredentials) -> Result<(), Trouble> {
        let Some((group, stream)) = log_place(&record.build) else { return Ok(()) };
        let directory = super::super::relative_build_dir(&self.scope, record.project_name(), record.uuid());
        let file = format!("{directory}/{}/{}", super::super::RUN, super::super::LOG_FILE);
        let attached = self.service.logs.attach(&session.principal, &self.scope, &group, &stream, &file).await;
        attached.map_err(|error| {
            if error.status >= 500 {
                return Trouble::Step(error.into());
            }
            let message = format!(
                "Service role {} does not allow AWS CodeBuild to create Amazon CloudWatch Logs log streams for build {}. \
                 Error message: {}",
                record.build.service_role.as_deref().unwrap_or_default(),
                record.build.arn.as_deref().unwrap_or_default(),
                error.message
            );
            Failure::provisioning("ACCESS_DENIED", &message).into()
        })
    }

    /// Brings one input to disk.
    async fn fetch(
        &self,
        input: &Input,
        index: usize,
        files: &Files,
        session: &SessionCredentials,
        of_pipeline: bool,
    ) -> Result<Fetched, Trouble> {
        let objects = &self.service.objects;
        let failed = |key: &str, error: &ObjectError| {
            let text = format!("error while downloading key {key}, error: {}: {}", error.code, error.message);
            Trouble::from(Failure::source(&text))
        };
        let destination = files.source(index);
        if input.is_folder() {
            let listed = objects.list(&session.principal, &input.bucket, &input.key, FOLDER_KEYS_MAX + 1).await;
            let keys = listed.map_err(|error| failed(&input.key, &error))?;
            if keys.len() > FOLDER_KEYS_MAX {
                let text = format!("source folder {} has more than {FOLDER_KEYS_MAX} objects", input.arn());
                return Err(Failure::source(&text).into());
            }
            for key in keys.iter().filter(|key| !key.ends_with('/')) {
                let Some(path) = inside(&destination, &key[input.key.len()..]) else {
                    let text = format!("source object {key} has a name that is no path inside a folder");
                    return Err(Failure::source(&text).into());
                };
                if let Some(parent) = path.parent() {
                    tokio::fs::create_dir_all(parent).await?;
                }
                let read = objects.read(&session.principal, &input.bucket, key, None, &path).await;
                read.map_err(|error| failed(key, &error))?;
            }
            return Ok(Fetched { metadata: Vec::new(), clone_url: None });
        }
        let archive = files.download(index);
        let read =
            objects.read(&session.principal, &input.bucket, &input.key, input.version.as_deref(), &archive).await;
        let facts = read.map_err(|error| failed(&input.key, &error))?;
        // Only what a pipeline hands over is ever a reference.
        if of_pipeline && let Some(reference) = super::clone::reference(&archive)? {
            tokio::fs::remove_file(&archive).await?;
            let name = input.identifier.as_deref();
            let url = self.clone_source(&reference, name, &destination, session).await?;
            return Ok(Fetched { metadata: facts.metadata, clone_url: Some(url) });
        }
        let unpacked = tokio::task::spawn_blocking(move || {
            let unpacked = unpack(&archive, &destination, &Limits::DEFAULT).map_err(|error| chain(&error));
            std::fs::remove_file(&archive)?;
            Ok::<_, std::io::Error>(unpacked)
        })
        .await??;
        unpacked.map_err(|why| {
            let text = format!("error while unpacking key {}: {why}", input.key);
            Failure::source(&text)
        })?;
        Ok(Fetched { metadata: facts.metadata, clone_url: None })
    }

    async fn buildspec(
        &self,
        record: &BuildRecord,
        files: &Files,
        session: &SessionCredentials,
    ) -> Result<BuildspecSource, Trouble> {
        let (bucket, key) = match plan::buildspec(&record.effective) {
            plan::Buildspec::Local(source) => return Ok(source),
            plan::Buildspec::Object { bucket, key } => (bucket, key),
        };
        let file = files.download(99);
        let read = self.service.objects.read(&session.principal, &bucket, &key, None, &file).await;
        read.map_err(|error| {
            let text = format!("error while downloading key {key}, error: {}: {}", error.code, error.message);
            Failure::source(&text)
        })?;
        if tokio::fs::metadata(&file).await?.len() > BUILDSPEC_BYTES_MAX {
            return Err(Failure::source(&format!("buildspec {key} is larger than {BUILDSPEC_BYTES_MAX} bytes")).into());
        }
        let text = tokio::fs::read(&file).await?;
        let text = String::from_utf8(text).map_err(|_| Failure::source(&format!("buildspec {key} is not UTF-8")))?;
        tokio::fs::remove_file(&file).await?;
        Ok(BuildspecSource::Inline(text))
    }
}

/// Primary first. A build without a source has an empty directory in its place.
pub(super) fn inputs(record: &BuildRecord) -> Vec<Input> {
    let secondary = plan::secondary_inputs(&record.effective);
    match plan::primary_input(&record.effective) {
        Some(primary) => std::iter::once(primary).chain(secondary).collect(),
        None => Vec::new(),
    }
}

/// The path below `root`, unless the key tries to leave it.
fn inside(root: &Path, relative: &str) -> Option<std::path::PathBuf> {
    let mut path = root.to_owned();
    let mut any = false;
    for part in relative.split('/').filter(|part| !part.is_empty()) {
        if part == "." || part == ".." || part.contains('\0') || part.len() > 255 {
            return None;
        }
        path.push(part);
        any = true;
    }
    any.then_some(path)
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Adopts the build's directory.
pub(super) fn adopt(files: &Files) -> Result<Handle, BuildsError> {
    Handle::adopt(&files.run())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_inside_their_folder() {
        let root = Path::new("/r");
        assert_eq!(inside(root, "a//b.txt"), Some("/r/a/b.txt".into()));
        for bad in ["../x", "a/../../x", "./x", "", "/"] {
            assert_eq!(inside(root, bad), None, "{bad}");
        }
    }
}
