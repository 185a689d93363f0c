//! CodeBuild: projects, builds and what they leave. The API answers from documents; every build has a worker in this
//! process that drives it through its phases, and a detached runner that outlives the process. A build's record is
//! committed before anything is done for it, so that a start after a crash goes on where the last one was. Where several
//! processes share the documents and the data directory, each build is one's own as long as that one lives.
//!
//! Must not know pipelines: that a build belongs to one is learned from the name of the caller's session, or, where
//! CodePipeline itself is the caller, from the tag of the project it made for its Commands actions.

mod builds;
mod check;
mod effective;
mod errors;
mod names;
mod objects;
mod page;
mod phases;
mod plan;
mod projects;
mod records;
mod report_groups;
mod reports;
mod settings;
mod start;
mod worker;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use towpath_model::ids::Scope;
use towpath_store::Documents;
use towpath_wire::codebuild::{Operation, SERVICE};
use towpath_wire::{Dialect, WireError, json};

use crate::ambient::Ambient;
use crate::call::{Call, Response};
use crate::identity::policy::Context;
use crate::identity::{CODEPIPELINE_PRINCIPAL, Identity, Principal, PrincipalKind, Refusal};
use crate::logs::Logs;

pub use objects::{EmbeddedObjects, ObjectError, ObjectFacts, Objects};
pub use settings::{DefaultSandbox, SandboxPolicy, Sandboxes, Settings};

/// Changes that a slow listener may miss before it is told so.
const CHANGES_KEPT: usize = 1_024;

/// The services and stores that CodeBuild stands on.
pub struct Parts {
    pub documents: Arc<dyn Documents>,
    pub ambient: Ambient,
    pub identity: Arc<Identity>,
    pub logs: Arc<Logs>,
    pub objects: Arc<dyn Objects>,
    pub settings: Settings,
}

/// Something about a build is new: its record, or its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildChange {
    pub scope: Scope,
    pub id: String,
    pub complete: bool,
}

/// A piece of a build's log and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTail {
    /// Epoch milliseconds and message, which ends with a line feed.
    pub lines: Vec<(i64, String)>,
    pub next: u64,
}

/// The embedded CodeBuild.
pub struct CodeBuild {
    documents: Arc<dyn Documents>,
    ambient: Ambient,
    identity: Arc<Identity>,
    logs: Arc<Logs>,
    objects: Arc<dyn Objects>,
    settings: Settings,
    endpoint: Mutex<Option<String>>,
    slots: Arc<Semaphore>,
    /// Workers by the key of their build.
    live: Mutex<HashMap<String, worker::Live>>,
    workers: TaskTracker,
    closing: CancellationToken,
    changes: broadcast::Sender<BuildChange>,
}

impl CodeBuild {
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { documents, ambient, identity, logs, objects, settings } = parts;
        Arc::new(Self {
            documents,
            ambient,
            identity,
            logs,
            objects,
            endpoint: Mutex::new(settings.endpoint.clone()),
            slots: Arc::new(Semaphore::new(settings.concurrent_builds.clamp(1, Semaphore::MAX_PERMITS))),
            settings,
            live: Mutex::default(),
            workers: TaskTracker::new(),
            closing: CancellationToken::new(),
            changes: broadcast::Sender::new(CHANGES_KEPT),
        })
    }

    /// Tells builds that start from now on where this server listens.
    pub fn set_endpoint(&self, endpoint: impl Into<String>) {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint.into());
    }

    /// Every change of every build from now on. A listener that lags must look for itself.
    pub fn on_change(&self) -> broadcast::Receiver<BuildChange> {
        self.changes.subscribe()
    }

    /// Stops working on builds and waits for the workers to let go. Runners go on; the next process adopts them, or
    /// another that shares them.
    pub async fn shutdown(&self) {
        self.closing.cancel();
        self.workers.close();
        self.workers.wait().await;
        self.leave().await;
    }

    /// Answers one request.
    pub async fn handle(self: &Arc<Self>, call: &Call) -> Response {
        match Box::pin(self.answer(call)).await {
            Ok(value) => json::respond(&value, &call.request_id).unwrap_or_else(|error| {
                tracing::error!(%error, operation = call.operation, "a CodeBuild answer cannot be written");
                json::respond_error(&WireError::internal(Dialect::Json), &call.request_id)
            }),
            Err(error) => json::respond_error(&error, &call.request_id),
        }
    }

    async fn answer(self: &Arc<Self>, call: &Call) -> Result<serde_json::Value, WireError> {
        let operation = Operation::from_name(&call.operation).ok_or_else(WireError::unknown_operation)?;
        let body = &call.body;
        match operation {
            Operation::BatchDeleteBuilds => value(self.batch_delete_builds(call, json::decode(body)?).await?),
            Operation::BatchGetBuilds => value(self.batch_get_builds(call, json::decode(body)?).await?),
            Operation::BatchGetProjects => value(self.batch_get_projects(call, json::decode(body)?).await?),
            Operation::BatchGetReportGroups => value(self.batch_get_report_groups(call, json::decode(body)?).await?),
            Operation::BatchGetReports => value(self.batch_get_reports(call, json::decode(body)?).await?),
            Operation::CreateProject => value(self.create_project(call, json::decode(body)?).await?),
            Operation::DeleteProject => value(self.delete_project(call, json::decode(body)?).await?),
            Operation::DescribeTestCases => value(self.describe_test_cases(call, json::decode(body)?).await?),
            Operation::InvalidateProjectCache => value(self.invalidate_project_cache(call, json::decode(body)?).await?),
            Operation::ListBuilds => value(self.list_builds(call, json::decode(body)?).await?),
            Operation::ListBuildsForProject => value(self.list_builds_for_project(call, json::decode(body)?).await?),
            Operation::ListProjects => value(self.list_projects(call, json::decode(body)?).await?),
            Operation::ListReportGroups => value(self.list_report_groups(call, json::decode(body)?).await?),
            Operation::ListReports => value(self.list_reports(call, json::decode(body)?).await?),
            Operation::ListReportsForReportGroup => {
                value(self.list_reports_for_report_group(call, json::decode(body)?).await?)
            }
            Operation::RetryBuild => value(Box::pin(self.retry_build(call, json::decode(body)?)).await?),
            Operation::StartBuild => value(Box::pin(self.start_build(call, json::decode(body)?)).await?),
            Operation::StopBuild => value(self.stop_build(call, json::decode(body)?).await?),
            Operation::UpdateProject => value(self.update_project(call, json::decode(body)?).await?),
            other => Err(errors::invalid(format!(
                "{} is not supported in this version of Towpath (see docs/deviations.md for the operations of {} that are)",
                other.name(),
                SERVICE.name
            ))),
        }
    }

    async fn may(&self, call: &Call, action: &str, resource: &str, context: Context) -> Result<(), WireError> {
        // No policy speaks of it: its own projects are what it runs Commands actions in.
        if is_codepipeline(&call.principal) {
            return Ok(());
        }
        let action = format!("codebuild:{action}");
        let context = call.context().merged(context);
        self.identity.authorize(&call.principal, &action, resource, context).await.map_err(refused)
    }

    /// Where one build's files are.
    fn build_dir(&self, scope: &Scope, project: &str, uuid: &str) -> PathBuf {
        self.settings.data_dir.join(relative_build_dir(scope, project, uuid))
    }

    fn cache_dir(&self, scope: &Scope, project: &str) -> PathBuf {
        self.settings.data_dir.join("cache").join(&scope.account).join(&scope.region).join(project)
    }

    /// Lines of a build's log from a byte position on, about `bytes_max` at a time. `None`: there is no such build.
    pub async fn tail(&self, scope: &Scope, id: &str, from: u64, bytes_max: usize) -> Option<LogTail> {
        let (project, uuid) = names::split_build_id(id)?;
        let plain = |text: &str| !text.starts_with('.') && !text.contains(['/', '\\']);
        if !plain(project) || !plain(uuid) {
            return None;
        }
        let path = self.build_dir(scope, project, uuid).join(RUN).join(LOG_FILE);
        let read = tokio::task::spawn_blocking(move || {
            let (mut lines, mut bytes) = (Vec::new(), 0);
            let next = crate::logs::lines::forward(&path, from, |line| {
                if bytes > 0 && bytes + line.message.len() > bytes_max {
                    return std::ops::ControlFlow::Break(());
                }
                bytes += line.message.len();
                lines.push((line.time, line.message));
                std::ops::ControlFlow::Continue(())
            })?;
            Ok::<_, std::io::Error>(LogTail { lines, next })
        });
        match read.await {
            Ok(Ok(tail)) => Some(tail),
            Ok(Err(error)) => {
                tracing::warn!(%error, build = id, "the log of a build cannot be read");
                None
            }
            Err(_) => None,
        }
    }

    fn changed(&self, scope: &Scope, id: &str, complete: bool) {
        // Nobody listening is no error.
        let _ = self.changes.send(BuildChange { scope: scope.clone(), id: id.to_owned(), complete });
    }
}

/// CodePipeline as itself, not in the session of a pipeline's role.
fn is_codepipeline(principal: &Principal) -> bool {
    matches!(&principal.kind, PrincipalKind::Service(service) if service == CODEPIPELINE_PRINCIPAL)
}

/// What one side made is not the other's: a project of CodePipeline acts as a role that its users need not be given.
fn belongs(call: &Call, name: &str, of_codepipeline: bool) -> Result<(), WireError> {
    match (is_codepipeline(&call.principal), of_codepipeline) {
        (true, true) | (false, false) => Ok(()),
        (true, false) => Err(errors::invalid(format!(
            "Project {name} was not made by CodePipeline, which needs its name for Commands actions. Delete the project"
        ))),
        (false, true) => Err(errors::invalid(format!(
            "Project {name} belongs to CodePipeline, which runs Commands actions in it. Retry the stage of the pipeline \
             instead"
        ))),
    }
}

/// The runner's own directory inside a build's.
const RUN: &str = "run";
/// The runner's log inside it.
const LOG_FILE: &str = "log.jsonl";

fn relative_build_dir(scope: &Scope, project: &str, uuid: &str) -> String {
    format!("builds/{}/{}/{project}/{uuid}", scope.account, scope.region)
}

fn value<T: serde::Serialize>(output: T) -> Result<serde_json::Value, WireError> {
    serde_json::to_value(output).map_err(|error| {
        tracing::error!(%error, "a CodeBuild answer cannot be made");
        WireError::internal(Dialect::Json)
    })
}

fn refused(refusal: Refusal) -> WireError {
    match refusal {
        Refusal::Denied(denied) => WireError::access_denied(Dialect::Json, denied.to_string()),
        Refusal::Unavailable(error) => errors::store(error),
    }
}
