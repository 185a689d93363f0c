//! StartBuild and RetryBuild: one command that writes the build, its place in the lists and the mark of unfinished work
//! together; only then is a worker told.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use towpath_model::ids::Scope;
use towpath_model::time::Timestamp;
use towpath_store::{DocumentsExt as _, Expect, Key, Scan, Versioned, Write};
use towpath_wire::WireError;
use towpath_wire::codebuild::{
    Build, BuildArtifacts, CloudWatchLogsConfig, LogsLocation, Project, ProjectSource, ProjectSourceVersion,
    RetryBuildInput, RetryBuildOutput, S3LogsConfig, StartBuildInput, StartBuildOutput, source_type,
};

use super::errors::{invalid, limit, not_found, store};
use super::names::{
    OPEN_BUILDS, OPEN_PARTITION, TOKENS, build_arn, build_key, by_number_key, by_time_key, open_key, partition,
    project_arn, project_key, strip_arn,
};
use super::phases::{begin, end, wire_time};
use super::records::{BuildRecord, FORMAT, ProjectRecord, Stage, TokenRecord};
use super::{CodeBuild, check, effective, plan};
use crate::call::Call;
use crate::identity::policy::Context;
use crate::identity::{Principal, PrincipalKind};

/// What the name of a pipeline's role session starts with; the rest is the pipeline's name.
const PIPELINE_SESSION: &str = "codepipeline@";
/// Tag of a project that CodePipeline made for itself: the pipeline it runs.
const PIPELINE_TAG: &str = "codepipeline:pipeline-name";
const TOKEN_MILLIS: i64 = 5 * 60 * 1000;
/// A pipeline repeats a start whose answer it never saw, however long its server was away; its tokens are used once.
const PIPELINE_TOKEN_MILLIS: i64 = 7 * 24 * 3_600_000;
const TOKEN_CHARS_MAX: usize = 64;
/// Tokens past their time that one start clears away.
const TOKENS_CLEARED: usize = 50;
const ATTEMPTS_MAX: usize = 32;
const OPEN_SCAN: usize = 1_000;

/// What is started, whichever way it was asked for.
struct Start {
    effective: Box<Project>,
    pipeline: Option<String>,
    pipeline_role: Option<String>,
    initiator: String,
    token: Option<(String, String)>,
}

impl CodeBuild {
    pub(super) async fn start_build(
        self: &Arc<Self>,
        call: &Call,
        input: StartBuildInput,
    ) -> Result<StartBuildOutput, WireError> {
        let scope = &call.scope;
        let name = strip_arn(scope, &input.project_name, "project/");
        let name = name.ok_or_else(|| invalid(format!("Invalid project ARN: {}", input.project_name)))?.to_owned();
        self.may(call, "StartBuild", &project_arn(scope, &name), Context::new()).await?;
        if input.debug_session_enabled == Some(true) {
            return Err(super::errors::unsupported("debugSessionEnabled", "Leave it out."));
        }
        let project = self.project(scope, &name).await?;
        super::belongs(call, &name, project.value.of_codepipeline)?;
        let own = project.value.of_codepipeline;
        let pipeline = if own { tagged(&project.value.project) } else { pipeline_of(&call.principal) };
        let pipeline = pipeline.map(str::to_owned);
        let effective = Box::new(effective::apply(&project.value.project, &input, scope));
        effective::check_start(&effective)?;
        check::project(&effective)?;
        let mut fetched = effective.source.iter().chain(effective.secondary_sources.iter().flatten());
        fetched.try_for_each(check::fetchable)?;
        // CodePipeline reaches the role of an action through the pipeline's; the worker finds out.
        if effective.service_role != project.value.project.service_role && !own {
            self.check_role(call, &effective, &project_arn(scope, &name)).await?;
        }
        let token = input.idempotency_token.clone();
        let token = token.map(|token| (format!("start/{name}/{token}"), fingerprint(&input)));
        check_token(input.idempotency_token.as_deref())?;
        let pipeline_role = project.value.project.service_role.clone().filter(|_| own);
        let initiator = initiator(&call.principal, pipeline.as_deref());
        let start = Start { effective, pipeline, pipeline_role, initiator, token };
        Ok(StartBuildOutput { build: Some(self.submit(scope, &name, project, start).await?) })
    }

    pub(super) async fn retry_build(
        self: &Arc<Self>,
        call: &Call,
        input: RetryBuildInput,
    ) -> Result<RetryBuildOutput, WireError> {
        let scope = &call.scope;
        let asked = input.id.unwrap_or_default();
        let id = super::builds::build_id(scope, &asked)?;
        let name = super::names::split_build_id(id).map_or("", |(project, _)| project).to_owned();
        self.may(call, "RetryBuild", &project_arn(scope, &name), Context::new()).await?;
        check_token(input.idempotency_token.as_deref())?;
        let missing = || not_found(format!("Build {asked} does not exist"));
        let found = self.build(scope, id).await?.ok_or_else(missing)?;
        let project = self.project(scope, &name).await?;
        super::belongs(call, &name, project.value.of_codepipeline || found.value.pipeline_role.is_some())?;
        let token = input.idempotency_token.map(|token| (format!("retry/{name}/{token}"), id.to_owned()));
        let start = Start {
            effective: Box::new(found.value.effective),
            pipeline: pipeline_of(&call.principal).map(str::to_owned),
            pipeline_role: found.value.pipeline_role,
            initiator: initiator(&call.principal, pipeline_of(&call.principal)),
            token,
        };
        Ok(RetryBuildOutput { build: Some(self.submit(scope, &name, project, start).await?) })
    }

    async fn submit(
        self: &Arc<Self>,
        scope: &Scope,
        name: &str,
        mut project: Versioned<ProjectRecord>,
        start: Start,
    ) -> Result<Build, WireError> {
        for _ in 0..ATTEMPTS_MAX {
            let now = self.ambient.now();
            if let Some(known) = self.known_token(scope, start.token.as_ref(), now).await? {
                return Ok(known);
            }
            self.check_room(scope, name, &start.effective).await?;
            let uuid = self.ambient.uuid();
            let record = new_record(scope, name, &project.value, &start, &uuid, now);
            let writes = self.writes_of(scope, name, &project, &record, start.token.as_ref(), now).await?;
            match self.documents.write(writes).await {
                Ok(_) => {
                    let build = record.build.clone();
                    self.changed(scope, record.id(), false);
                    self.employ(scope.clone(), record.id().to_owned(), None);
                    return Ok(build);
                }
                // Somebody else started a build of this project, or with this token: look again.
                Err(error) if error.is_conflict() => project = self.project(scope, name).await?,
                Err(error) => return Err(store(error)),
            }
        }
        Err(limit(format!("Too many builds of project {name} are being started at once. Try again.")))
    }

    /// Everything a new build consists of, as one command.
    async fn writes_of(
        &self,
        scope: &Scope,
        name: &str,
        project: &Versioned<ProjectRecord>,
        record: &BuildRecord,
        token: Option<&(String, String)>,
        now: Timestamp,
    ) -> Result<Vec<Write>, WireError> {
        let id = record.id();
        let number = record.build.build_number.unwrap_or_default();
        let numbered = ProjectRecord { builds: number, ..project.value.clone() };
        let put = |key: Key, value: &str, expect| Write::put_json(key, value, expect).map_err(store);
        let mut writes = vec![
            Write::put_json(project_key(scope, name), &numbered, Expect::Version(project.version)).map_err(store)?,
            Write::put_json(build_key(scope, id), record, Expect::Absent).map_err(store)?,
            put(by_time_key(scope, now.millis(), id), id, Expect::Any)?,
            put(by_number_key(scope, name, number, id), id, Expect::Any)?,
            Write::put_json(open_key(scope, id), &self.open_mark(id), Expect::Any).map_err(store)?,
        ];
        let Some((token, input)) = token else { return Ok(writes) };
        let scan = Scan::all().limit(TOKENS_CLEARED);
        let old = self.documents.scan_json::<TokenRecord>(TOKENS, &partition(scope), scan).await.map_err(store)?;
        for (key, found) in old {
            if found.value.until_ms < now.millis() && key != *token {
                writes.push(Write::delete(Key::new(TOKENS, partition(scope), key), Expect::Any));
            }
        }
        let key = Key::new(TOKENS, partition(scope), token.as_str());
        let known = self.documents.get(&key.collection, &key.partition, &key.key).await.map_err(store)?;
        let expect = known.map_or(Expect::Absent, |document| Expect::Version(document.version));
        let life = if record.pipeline.is_some() { PIPELINE_TOKEN_MILLIS } else { TOKEN_MILLIS };
        let until_ms = now.millis() + life;
        let kept = TokenRecord { id: id.to_owned(), input: input.clone(), until_ms };
        writes.push(Write::put_json(key, &kept, expect).map_err(store)?);
        Ok(writes)
    }

    /// The build that was started with this token, while the token lives.
    async fn known_token(
        &self,
        scope: &Scope,
        token: Option<&(String, String)>,
        now: Timestamp,
    ) -> Result<Option<Build>, WireError> {
        let Some((token, input)) = token else { return Ok(None) };
        let found = self.documents.get_json::<TokenRecord>(TOKENS, &partition(scope), token).await.map_err(store)?;
        let Some(found) = found.filter(|found| found.value.until_ms >= now.millis()) else { return Ok(None) };
        if found.value.input != *input {
            return Err(invalid("The idempotency token was used with other input before"));
        }
        Ok(self.build(scope, &found.value.id).await?.map(|found| found.value.build))
    }

    async fn check_room(&self, scope: &Scope, name: &str, effective: &Project) -> Result<(), WireError> {
        let prefix = format!("{}/", partition(scope));
        let scan = Scan::prefix(&prefix).limit(OPEN_SCAN);
        let open = self.documents.scan(OPEN_BUILDS, OPEN_PARTITION, scan).await.map_err(store)?;
        let most = self.settings.concurrent_builds + self.settings.queued_builds_max;
        if open.len() >= most.min(OPEN_SCAN) {
            let most = self.settings.queued_builds_max;
            return Err(limit(format!("Cannot have more than {most} builds in queue for the account")));
        }
        let Some(most) = effective.concurrent_build_limit.and_then(|most| usize::try_from(most).ok()) else {
            return Ok(());
        };
        let own = format!("{prefix}{name}:");
        if open.iter().filter(|document| document.key.starts_with(&own)).count() >= most {
            return Err(limit(format!("Cannot have more than {most} active builds for the project {name}")));
        }
        Ok(())
    }
}

fn check_token(token: Option<&str>) -> Result<(), WireError> {
    if token.is_some_and(|token| token.len() > TOKEN_CHARS_MAX) {
        return Err(invalid(format!("Invalid idempotency token: it can have at most {TOKEN_CHARS_MAX} characters")));
    }
    Ok(())
}

fn fingerprint(input: &StartBuildInput) -> String {
    hex::encode(Sha256::digest(serde_json::to_vec(input).unwrap_or_default()))
}

/// The pipeline whose action opened the caller's session.
fn pipeline_of(principal: &Principal) -> Option<&str> {
    let session = principal.role_session()?;
    session.session_name.strip_prefix(PIPELINE_SESSION).filter(|name| !name.is_empty())
}

/// The pipeline that a project of CodePipeline runs.
fn tagged(project: &Project) -> Option<&str> {
    let tag = project.tags.iter().flatten().find(|tag| tag.key.as_deref() == Some(PIPELINE_TAG))?;
    tag.value.as_deref().filter(|name| !name.is_empty())
}

fn initiator(principal: &Principal, pipeline: Option<&str>) -> String {
    match (&principal.kind, pipeline) {
        (_, Some(pipeline)) => format!("codepipeline/{pipeline}"),
        (PrincipalKind::AssumedRole(session), None) => format!("{}/{}", session.role_name, session.session_name),
        (PrincipalKind::Root, None) => "root".to_owned(),
        (PrincipalKind::User(caller), None) => caller.name.clone(),
        (PrincipalKind::Service(service), None) => service.clone(),
    }
}

fn new_record(
    scope: &Scope,
    name: &str,
    project: &ProjectRecord,
    start: &Start,
    uuid: &str,
    now: Timestamp,
) -> BuildRecord {
    let effective = &start.effective;
    let id = format!("{name}:{uuid}");
    let of_pipeline = start.pipeline.is_some();
    let mut build = Build {
        arn: Some(build_arn(scope, &id)),
        artifacts: Some(shown_artifacts(plan::primary_target(effective).as_ref(), uuid)),
        build_complete: Some(false),
        build_number: Some(project.builds + 1),
        build_status: Some("IN_PROGRESS".to_owned()),
        cache: effective.cache.clone(),
        encryption_key: effective.encryption_key.clone(),
        environment: effective.environment.clone(),
        id: Some(id),
        initiator: Some(start.initiator.clone()),
        logs: Some(logs_before(scope, effective)),
        project_name: Some(name.to_owned()),
        queued_timeout_in_minutes: effective.queued_timeout_in_minutes,
        secondary_artifacts: Some(
            plan::secondary_targets(effective).iter().map(|target| shown_artifacts(Some(target), uuid)).collect(),
        ),
        secondary_source_versions: effective.secondary_source_versions.clone(),
        secondary_sources: effective.secondary_sources.clone(),
        service_role: effective.service_role.clone(),
        source: effective.source.clone(),
        source_version: effective.source_version.clone(),
        start_time: Some(wire_time(now)),
        timeout_in_minutes: effective.timeout_in_minutes,
        vpc_config: effective.vpc_config.clone(),
        ..Build::default()
    };
    if of_pipeline {
        show_as_pipeline(&mut build, effective);
    }
    begin(&mut build, "SUBMITTED", now);
    end(&mut build, "SUCCEEDED", None, now);
    begin(&mut build, "QUEUED", now);
    BuildRecord {
        format: FORMAT,
        scope: scope.clone(),
        build,
        effective: effective.as_ref().clone(),
        pipeline: start.pipeline.clone(),
        pipeline_role: start.pipeline_role.clone(),
        stage: Stage::Queued,
        prepared: Vec::new(),
        revision: None,
    }
}

/// A pipeline's build shows its sources as type CODEPIPELINE, and as version where they lie.
fn show_as_pipeline(build: &mut Build, effective: &Project) {
    let shown = |source: Option<&ProjectSource>| ProjectSource {
        r#type: source_type::CODEPIPELINE.to_owned(),
        buildspec: source.and_then(|source| source.buildspec.clone()),
        insecure_ssl: Some(false),
        source_identifier: source.and_then(|source| source.source_identifier.clone()),
        ..ProjectSource::default()
    };
    build.source = Some(ProjectSource { source_identifier: None, ..shown(effective.source.as_ref()) });
    build.source_version = plan::primary_input(effective).map(|input| input.arn());
    let secondary = effective.secondary_sources.as_deref().unwrap_or_default();
    build.secondary_sources = Some(secondary.iter().map(|source| shown(Some(source))).collect());
    let version = |input: plan::Input| ProjectSourceVersion {
        source_version: input.arn(),
        source_identifier: input.identifier.unwrap_or_default(),
    };
    build.secondary_source_versions = Some(plan::secondary_inputs(effective).into_iter().map(version).collect());
}

fn shown_artifacts(target: Option<&plan::Target>, uuid: &str) -> BuildArtifacts {
    let Some(target) = target else {
        return BuildArtifacts { location: Some(String::new()), ..BuildArtifacts::default() };
    };
    BuildArtifacts {
        artifact_identifier: target.identifier.clone(),
        encryption_disabled: Some(false),
        location: Some(target.arn(&target.key(uuid, None, None))),
        ..BuildArtifacts::default()
    }
}

/// Before there is a stream CodeBuild names group and stream `null`.
fn logs_before(scope: &Scope, effective: &Project) -> LogsLocation {
    let Scope { account, region } = scope;
    let configured = effective.logs_config.as_ref().and_then(|logs| logs.cloud_watch_logs.clone());
    let enabled = || CloudWatchLogsConfig { status: "ENABLED".to_owned(), ..CloudWatchLogsConfig::default() };
    LogsLocation {
        cloud_watch_logs: Some(configured.unwrap_or_else(enabled)),
        cloud_watch_logs_arn: Some(format!("arn:aws:logs:{region}:{account}:log-group:null:log-stream:null")),
        deep_link: Some(format!(
            "https://console.aws.amazon.com/cloudwatch/home?region={region}#logEvent:group=null;stream=null"
        )),
        s3_logs: Some(S3LogsConfig {
            status: "DISABLED".to_owned(),
            encryption_disabled: Some(false),
            ..S3LogsConfig::default()
        }),
        ..LogsLocation::default()
    }
}
