//! Lambda: functions from zips, run as processes of this machine that speak the Lambda Runtime API. The API answers from
//! documents; `runtime` has the processes; asynchronous events wait in documents until they have run.
//!
//! Knows nothing of pipelines: a function that an action invokes is invoked like any other.

mod aliases;
mod attributes;
mod check;
mod code;
mod create;
mod declared;
mod delete;
mod downloads;
mod errors;
mod invoke;
mod limits;
mod names;
mod permissions;
mod queue;
mod read;
mod records;
mod runtime;
mod update;
mod versions;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts as RequestParts;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use towpath_model::ids::Scope;
use towpath_store::Documents;
use towpath_wire::lambda::{Operation, SERVICE};
use towpath_wire::schema::Route;
use towpath_wire::{Dialect, WireError, rest};

use crate::ambient::Ambient;
use crate::call::{Call, Response};
use crate::codebuild::{Objects, Sandboxes};
use crate::identity::Identity;
use crate::identity::policy::{Kind, Policy};
use crate::logs::Logs;

use downloads::Downloads;
use names::Reference;
use queue::Queue;
use records::Function;
use runtime::{Interpreters, Runtimes};

pub use declared::Declared;
pub use downloads::PATH as CODE_PATH;
pub use runtime::monitor::main as monitor_main;

/// How often idle processes are looked at.
const REAP: Duration = Duration::from_secs(10);

/// How the service is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    pub data_dir: PathBuf,
    /// The command that runs a function's process: this program's `function-runner`.
    pub monitor: Vec<String>,
    /// The same that builds have.
    pub sandbox: Sandboxes,
    /// Where functions find this server.
    pub endpoint: Option<String>,
    /// Other servers share documents and data directory.
    pub shared: bool,
    /// Before the first and the second repetition of an asynchronous invocation that failed.
    pub retry_delays: [Duration; 2],
    pub init_limit: Duration,
    pub idle_limit: Duration,
}

impl Settings {
    /// With Lambda's own times.
    pub fn new(data_dir: PathBuf, monitor: Vec<String>, sandbox: Sandboxes) -> Self {
        Self {
            data_dir,
            monitor,
            sandbox,
            endpoint: None,
            shared: false,
            retry_delays: [Duration::from_mins(1), Duration::from_mins(2)],
            init_limit: limits::INIT_LIMIT,
            idle_limit: limits::IDLE_LIMIT,
        }
    }
}

/// What Lambda stands on.
pub struct Parts {
    pub documents: Arc<dyn Documents>,
    pub ambient: Ambient,
    pub identity: Arc<Identity>,
    pub logs: Arc<Logs>,
    pub objects: Arc<dyn Objects>,
    pub settings: Settings,
}

/// The embedded Lambda.
pub struct Lambda {
    documents: Arc<dyn Documents>,
    ambient: Ambient,
    identity: Arc<Identity>,
    logs: Arc<Logs>,
    objects: Arc<dyn Objects>,
    settings: Settings,
    downloads: Downloads,
    runtimes: Runtimes,
    interpreters: Interpreters,
    queue: Queue,
    work: TaskTracker,
    closing: CancellationToken,
}

impl Lambda {
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { documents, ambient, identity, logs, objects, settings } = parts;
        Arc::new(Self {
            downloads: Downloads::new(&ambient, settings.endpoint.clone()),
            queue: Queue::new(ambient.uuid()),
            documents,
            ambient,
            identity,
            logs,
            objects,
            settings,
            runtimes: Runtimes::default(),
            interpreters: Interpreters::default(),
            work: TaskTracker::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Takes up what the last process left: events that wait, files that nobody needs. Call it once the front door is open.
    pub fn resume(self: &Arc<Self>) -> std::io::Result<()> {
        runtime::write_clients(&self.clients_dir())?;
        if !self.settings.shared {
            // Whoever used these is gone with the last process.
            let left = self.settings.data_dir.join("lambda").join("run");
            match std::fs::remove_dir_all(&left) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.work.spawn(Arc::clone(self).work_queue());
        let lambda = Arc::clone(self);
        self.work.spawn(async move {
            if let Err(error) = lambda.sweep_code().await {
                tracing::warn!(%error, "the code of deleted functions stays for now");
            }
            loop {
                tokio::select! {
                    () = tokio::time::sleep(REAP) => lambda.runtimes.reap(lambda.settings.idle_limit),
                    () = lambda.closing.cancelled() => return,
                }
            }
        });
        Ok(())
    }

    /// Ends every process. Events that were running are run again by the next server.
    pub fn shutdown(&self) {
        self.closing.cancel();
        self.runtimes.retire(None);
        self.work.close();
    }

    fn clients_dir(&self) -> PathBuf {
        self.settings.data_dir.join("lambda").join("clients")
    }

    /// The zip that a URL of GetFunction names, if it is still good.
    pub fn download(&self, path: &str, query: &str) -> Option<PathBuf> {
        self.downloads.code(path, query, self.ambient.now()).map(|code| self.zip_path(code))
    }

    /// Ends the idle processes of a function that has changed. Those that run an event end when they have had their time:
    /// nothing asks for an old launch again.
    fn retire(&self, scope: &Scope, name: &str) {
        self.runtimes.retire(Some(&format!("{}/{name}", records::partition(scope))));
    }

    /// Answers one request.
    pub async fn handle(self: &Arc<Self>, call: &Call, request: &RequestParts) -> Response {
        match Box::pin(self.answer(call, request)).await {
            Ok(response) => response,
            Err(error) => rest::respond_error(&error, &call.request_id),
        }
    }

    async fn answer(self: &Arc<Self>, call: &Call, request: &RequestParts) -> Result<Response, WireError> {
        let matched = rest::find(&SERVICE, &request.method, request.uri.path());
        let matched = matched.ok_or_else(|| WireError::new("UnknownOperationException", 404, ""))?;
        let operation = Operation::from_name(matched.route.operation).ok_or_else(WireError::unknown_operation)?;
        let route = matched.route;
        let (matched, body) = (&matched, &call.body);
        macro_rules! input {
            () => {
                rest::decode(matched, request, body)?
            };
        }
        match operation {
            Operation::AddPermission => reply(call, route, &self.add_permission(call, input!()).await?),
            Operation::CreateAlias => reply(call, route, &self.create_alias(call, input!()).await?),
            Operation::DeleteAlias => {
                self.delete_alias(call, input!()).await?;
                Ok(done(call, route))
            }
            Operation::DeleteFunctionConcurrency => {
                self.delete_function_concurrency(call, input!()).await?;
                Ok(done(call, route))
            }
            Operation::DeleteFunctionEventInvokeConfig => {
                self.delete_function_event_invoke_config(call, input!()).await?;
                Ok(done(call, route))
            }
            Operation::GetAlias => reply(call, route, &self.get_alias(call, input!()).await?),
            Operation::GetFunctionConcurrency => {
                reply(call, route, &self.get_function_concurrency(call, input!()).await?)
            }
            Operation::GetFunctionEventInvokeConfig => {
                reply(call, route, &self.get_function_event_invoke_config(call, input!()).await?)
            }
            Operation::GetPolicy => reply(call, route, &self.get_policy(call, input!()).await?),
            Operation::ListAliases => reply(call, route, &self.list_aliases(call, input!()).await?),
            Operation::ListTags => reply(call, route, &self.list_tags(call, input!()).await?),
            Operation::PutFunctionConcurrency => {
                reply(call, route, &self.put_function_concurrency(call, input!()).await?)
            }
            Operation::PutFunctionEventInvokeConfig => {
                reply(call, route, &self.put_function_event_invoke_config(call, input!()).await?)
            }
            Operation::RemovePermission => {
                self.remove_permission(call, input!()).await?;
                Ok(done(call, route))
            }
            Operation::TagResource => {
                self.tag_resource(call, input!()).await?;
                Ok(done(call, route))
            }
            Operation::UntagResource => {
                self.untag_resource(call, input!()).await?;
                Ok(done(call, route))
            }
            Operation::UpdateAlias => reply(call, route, &self.update_alias(call, input!()).await?),
            Operation::UpdateFunctionEventInvokeConfig => {
                reply(call, route, &self.update_function_event_invoke_config(call, input!()).await?)
            }
            Operation::CreateFunction => reply(call, route, &self.create_function(call, input!()).await?),
            Operation::DeleteFunction => {
                self.delete_function(call, input!()).await?;
                Ok(rest::reply(204, bytes::Bytes::new(), &call.request_id))
            }
            Operation::GetAccountSettings => reply(call, route, &self.get_account_settings(call).await?),
            Operation::GetFunction => reply(call, route, &self.get_function(call, input!()).await?),
            Operation::GetFunctionCodeSigningConfig => {
                reply(call, route, &self.get_function_code_signing_config(call, input!()).await?)
            }
            Operation::GetFunctionConfiguration => {
                reply(call, route, &self.get_function_configuration(call, input!()).await?)
            }
            Operation::GetProvisionedConcurrencyConfig => {
                reply(call, route, &self.get_provisioned_concurrency_config(call, input!()).await?)
            }
            Operation::Invoke => self.invoke(call, input!()).await,
            Operation::ListFunctions => reply(call, route, &self.list_functions(call, input!()).await?),
            Operation::ListVersionsByFunction => {
                reply(call, route, &self.list_versions_by_function(call, input!()).await?)
            }
            Operation::PublishVersion => reply(call, route, &self.publish_version(call, input!()).await?),
            Operation::UpdateFunctionCode => reply(call, route, &self.update_function_code(call, input!()).await?),
            Operation::UpdateFunctionConfiguration => {
                reply(call, route, &self.update_function_configuration(call, input!()).await?)
            }
        }
    }

    /// Whether the caller may do what it asks for.
    async fn may(&self, call: &Call, resource: &str) -> Result<(), WireError> {
        self.may_also(call, &call.operation, resource).await
    }

    async fn may_also(&self, call: &Call, action: &str, resource: &str) -> Result<(), WireError> {
        let action = format!("lambda:{action}");
        self.identity.authorize(&call.principal, &action, resource, call.context()).await.map_err(errors::refused)
    }

    /// The same where the function's own policy may let the caller in.
    async fn may_on(
        &self,
        call: &Call,
        action: &str,
        reference: &Reference,
        function: Option<&Function>,
    ) -> Result<(), WireError> {
        let qualifier = reference.qualifier.as_deref().unwrap_or_default();
        let policy =
            function.and_then(|function| function.policies.get(qualifier)).map(records::ResourcePolicy::document);
        let policy = policy.map(|text| Policy::parse(&text, Kind::Resource)).transpose();
        let policy = policy.map_err(|error| errors::internal("read the policy of a function", &error))?;
        let resource = reference.qualified_arn(&call.scope);
        self.identity
            .authorize_on(
                &call.principal,
                &format!("lambda:{action}"),
                &resource,
                call.context(),
                policy.as_ref(),
                Some(&call.scope.account),
            )
            .await
            .map_err(errors::refused)
    }
}

/// The answer of an operation without output.
fn done(call: &Call, route: &Route) -> Response {
    rest::reply(route.status, bytes::Bytes::new(), &call.request_id)
}

fn reply<T: serde::Serialize>(call: &Call, route: &Route, output: &T) -> Result<Response, WireError> {
    rest::respond(route, output, &call.request_id).map_err(|error| {
        tracing::error!(%error, operation = route.operation, "a Lambda answer cannot be written");
        WireError::internal(Dialect::Rest)
    })
}
