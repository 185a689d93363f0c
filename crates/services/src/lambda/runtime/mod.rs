//! The processes that functions run in: which one takes an event, when a new one is started, when one ends. An environment
//! belongs to one configuration of one version and runs one event at a time; concurrency is more of them.

mod api;
mod environment;
mod launch;
mod log;
mod memory;
pub mod monitor;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use towpath_builds::Enclosure;
use towpath_model::ids::Scope;
use towpath_wire::WireError;

use self::api::{Event, RuntimeApi};
use self::environment::{Environment, Plan, Unstarted};
use self::launch::{Places, Program};
use super::Lambda;
use super::errors::{internal, invalid_runtime, throttled};
use super::limits::{CONCURRENT_MAX, CREDENTIAL_SECONDS, ENVIRONMENT_LIFE};
use super::records::{Version, partition};
use crate::identity::policy::Context;
use crate::identity::{AssumeRequest, LAMBDA_PRINCIPAL, SessionCredentials};

pub(super) use launch::{Interpreters, write_clients};

/// An event for a function.
pub(super) struct Job {
    pub scope: Scope,
    pub name: String,
    pub version: Version,
    pub reserved: Option<i32>,
    pub request_id: String,
    /// The ARN by which it was invoked.
    pub arn: String,
    pub payload: Bytes,
    pub client_context: Option<String>,
}

/// What an invocation answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub version: String,
    pub failed: bool,
    pub body: Bytes,
    pub tail: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Runtimes {
    pools: Arc<Mutex<Pools>>,
}

#[derive(Default)]
struct Pools {
    /// By function and launch of their version; the last one used comes last.
    idle: HashMap<String, Vec<(Environment, Instant)>>,
    /// Environments that run an event, by partition and function.
    busy: HashMap<String, usize>,
}

impl Pools {
    fn busy(&self) -> usize {
        self.busy.values().sum()
    }

    fn idle(&self) -> usize {
        self.idle.values().map(Vec::len).sum()
    }
}

/// A place among the environments that run, given back when dropped.
struct Place {
    pools: Arc<Mutex<Pools>>,
    function: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(busy) = pools.busy.get_mut(&self.function) {
            *busy -= 1;
            if *busy == 0 {
                pools.busy.remove(&self.function);
            }
        }
    }
}

impl Runtimes {
    fn pools(&self) -> std::sync::MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, function: String, reserved: Option<i32>) -> Result<Place, WireError> {
        let mut pools = self.pools();
        let busy = pools.busy.get(&function).copied().unwrap_or(0);
        if reserved.is_some_and(|reserved| busy >= usize::try_from(reserved).unwrap_or(0)) {
            return Err(throttled("ReservedFunctionConcurrentInvocationLimitExceeded"));
        }
        if pools.busy() >= CONCURRENT_MAX {
            return Err(throttled("ConcurrentInvocationLimitExceeded"));
        }
        *pools.busy.entry(function.clone()).or_default() += 1;
        Ok(Place { pools: Arc::clone(&self.pools), function })
    }

    fn take(&self, kind: &str) -> Option<Environment> {
        let mut pools = self.pools();
        let idle = pools.idle.get_mut(kind)?;
        while let Some((environment, _)) = idle.pop() {
            if environment.is_alive() && environment.born.elapsed() < ENVIRONMENT_LIFE {
                return Some(environment);
            }
        }
        None
    }

    fn give_back(&self, kind: String, environment: Environment, now: Instant) {
        let mut pools = self.pools();
        if pools.idle() + pools.busy() >= CONCURRENT_MAX {
            return;
        }
        pools.idle.entry(kind).or_default().push((environment, now));
    }

    /// Ends the idle environments of a function, or all of them.
    pub fn retire(&self, function: Option<&str>) {
        self.pools()
            .idle
            .retain(|kind, _| function.is_some_and(|function| !kind.starts_with(&format!("{function}\n"))));
    }

    /// Ends environments that had nothing to do for long.
    pub fn reap(&self, idle_limit: Duration) {
        let mut pools = self.pools();
        for idle in pools.idle.values_mut() {
            idle.retain(|(environment, since)| environment.is_alive() && since.elapsed() < idle_limit);
        }
        pools.idle.retain(|_, idle| !idle.is_empty());
    }
}

impl Lambda {
    /// Runs an event to its end. An error is Lambda's own, such as a throttle; an error of the function is an outcome.
    pub(super) async fn run(&self, job: Job) -> Result<Outcome, WireError> {
        let function = format!("{}/{}", partition(&job.scope), job.name);
        let kind = format!("{function}\n{}", job.version.launch);
        let _place = self.runtimes.enter(function, job.reserved)?;
        let label = job.version.label().to_owned();
        let outcome = |failed, body, tail| Outcome { version: label.clone(), failed, body, tail };
        let mut environment = match self.runtimes.take(&kind) {
            Some(environment) => environment,
            None => match Box::pin(self.start(&job)).await? {
                Ok(environment) => environment,
                Err((body, tail)) => return Ok(outcome(true, body, tail)),
            },
        };
        if environment.served > 0 {
            environment.with_log(log::RunLog::begin);
        }
        let seconds = u64::try_from(job.version.timeout_seconds()).unwrap_or(3);
        let timeout = Duration::from_secs(seconds);
        let id = &job.request_id;
        let now = self.ambient.now();
        environment.with_log(|log| log.line(&format!("START RequestId: {id} Version: {label}"), now));
        let trace: [u8; 16] = self.ambient.bytes();
        let trace = hex::encode(trace);
        let event = Event {
            id: id.clone(),
            deadline_ms: now.plus_millis(i64::try_from(seconds * 1000).unwrap_or(i64::MAX)).millis(),
            arn: job.arn,
            body: job.payload,
            client_context: job.client_context,
            trace: format!("Root=1-{:08x}-{};Parent={};Sampled=0", now.millis() / 1000, &trace[..24], &trace[16..]),
        };
        let ran = environment.run(event, timeout, &self.ambient).await;
        let now = self.ambient.now();
        environment.with_log(|log| {
            if let Some(("timeout", _)) = ran.status {
                let seconds = timeout.as_secs_f64();
                log.line(&format!("{} {id} Task timed out after {seconds:.2} seconds\n", now.iso8601()), now);
            }
            log.line(&format!("END RequestId: {id}"), now);
            log.line(&report(&environment, id, &ran, job.version.memory_mb()), now);
        });
        let tail = environment.with_log(log::RunLog::tail);
        if !ran.spent {
            self.runtimes.give_back(kind, environment, Instant::now());
        }
        Ok(outcome(ran.failed, ran.body, tail))
    }

    /// A new environment, or the error of its initialisation with the log's tail.
    async fn start(&self, job: &Job) -> Result<Result<Environment, (Bytes, Vec<u8>)>, WireError> {
        let begun = Instant::now();
        let config = &job.version.config;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (runtime, handler, role) = (text(&config.runtime), text(&config.handler), text(&config.role));
        let request = AssumeRequest {
            role_arn: role,
            session_name: job.name.clone(),
            seconds: Some(CREDENTIAL_SECONDS),
            ..AssumeRequest::default()
        };
        let session = self.identity.assume_as_service(LAMBDA_PRINCIPAL, request, Context::new()).await;
        let session = session.map_err(|_| {
            WireError::access_denied(
                towpath_wire::Dialect::Rest,
                "The role defined for the function cannot be assumed by Lambda.",
            )
        })?;
        let places = self.places(&job.version, self.is_enclosed().await?);
        let program = match self.interpreters.program(&runtime, &handler, &places).await {
            Ok(program) => program,
            Err(error @ launch::LaunchError::NoInterpreter { .. }) => return Err(invalid_runtime(error.to_string())),
            Err(error @ launch::LaunchError::NoBootstrap { .. }) => {
                let text = error.to_string().replace("{id}", &job.request_id);
                let body = serde_json::json!({"errorType": "Runtime.InvalidEntrypoint", "errorMessage": text});
                return Ok(Err((Bytes::from(body.to_string()), Vec::new())));
            }
        };
        let group = config.logging_config.as_ref().and_then(|logging| logging.log_group.clone());
        let group = group.unwrap_or_else(|| format!("/aws/lambda/{}", job.name));
        let day = self.ambient.now().iso8601().chars().take(10).collect::<String>().replace('-', "/");
        let unique: [u8; 16] = self.ambient.bytes();
        let stream = format!("{day}/[{}]{}", job.version.label(), hex::encode(unique));
        // As on AWS, a role that may not write logs runs the function without them.
        let log = match self.logs.provide(&session.principal, &job.scope, &group, &stream).await {
            Ok(path) => Some(path),
            Err(error) => {
                tracing::warn!(function = job.name, %error, "the function's log is not kept");
                None
            }
        };
        let scratch = self.settings.data_dir.join("lambda").join("run").join(self.ambient.uuid());
        std::fs::create_dir_all(&scratch).map_err(|error| internal("make a scratch directory", &error))?;
        let api = RuntimeApi::open().await.map_err(|error| internal("open a loopback port", &error))?;
        let mut variables = self.variables(job, &session, &places, &group, &stream);
        variables.insert("AWS_LAMBDA_RUNTIME_API".to_owned(), api.address.to_string());
        let tmp = places.tmp.as_ref().unwrap_or(&scratch);
        variables.insert("TMPDIR".to_owned(), tmp.to_string_lossy().into_owned());
        let mut command = self.settings.monitor.clone();
        command.push("--".to_owned());
        command.extend(if places.enclosed { self.enclosed(&program, &places, &scratch) } else { program.words });
        let plan = Plan {
            command,
            variables,
            task_root: places.code,
            enclosed: places.enclosed,
            scratch,
            log,
            memory_mb: job.version.memory_mb(),
            init_limit: self.settings.init_limit,
        };
        match Environment::start(api, plan, &self.ambient, &job.request_id, begun).await {
            Ok(environment) => Ok(Ok(environment)),
            Err((tail, Unstarted::Function(body))) => Ok(Err((body, tail.unwrap_or_default()))),
            Err((_, Unstarted::System(error))) => Err(internal("start a function's process", &error)),
        }
    }

    /// Whether functions are enclosed here; an error says why none can run.
    pub(super) async fn is_enclosed(&self) -> Result<bool, WireError> {
        let sandbox = self.settings.sandbox.clone();
        // The first look starts programs.
        let found = tokio::task::spawn_blocking(move || sandbox.policy().encloses_functions()).await;
        found.map_err(|error| internal("look for a sandbox", &error))?.map_err(invalid_runtime)
    }

    pub(super) fn places(&self, version: &Version, enclosed: bool) -> Places {
        let code = self.task_root(&version.code);
        if enclosed {
            let (task_root, clients) = (PathBuf::from("/var/task"), PathBuf::from("/var/runtime"));
            return Places { code, task_root, clients, tmp: Some(PathBuf::from("/tmp")), enclosed };
        }
        Places { task_root: code.clone(), code, clients: self.clients_dir(), tmp: None, enclosed }
    }

    /// Refuses what could not be started on this machine.
    pub(super) async fn is_startable(&self, version: &Version) -> Result<(), WireError> {
        let places = self.places(version, self.is_enclosed().await?);
        let runtime = version.config.runtime.as_deref().unwrap_or_default();
        match self.interpreters.program(runtime, "", &places).await {
            Err(error @ launch::LaunchError::NoInterpreter { .. }) => Err(invalid_runtime(error.to_string())),
            // That is the function's own fault, and told as such.
            Ok(_) | Err(launch::LaunchError::NoBootstrap { .. }) => Ok(()),
        }
    }

    /// The program behind bubblewrap: its code and its interpreter read-only, `scratch` as its /tmp, nothing else of ours.
    fn enclosed(&self, program: &Program, places: &Places, scratch: &Path) -> Vec<String> {
        let mut needs = program.needs.clone();
        for name in ["NODE_PATH", "PYTHONPATH", "LD_LIBRARY_PATH"] {
            needs.extend(std::env::var_os(name).iter().flat_map(std::env::split_paths));
        }
        let data_dir = &self.settings.data_dir;
        let mut hidden = vec![data_dir.clone(), PathBuf::from("/tmp")];
        hidden.extend(std::path::absolute(data_dir).ok());
        hidden.extend(data_dir.canonicalize().ok());
        hidden.extend(std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()));
        let shown = launch::shown(needs, &hidden).into_iter().map(|path| (path.clone(), path));
        let own = [(&places.code, &places.task_root), (&self.clients_dir(), &places.clients)];
        let own = own.map(|(outside, inside)| {
            (std::path::absolute(outside).unwrap_or_else(|_| outside.clone()), inside.clone())
        });
        let tmp = std::path::absolute(scratch).unwrap_or_else(|_| scratch.to_owned());
        let read_only = shown.chain(own).collect();
        Enclosure { tmp, read_only, directory: places.task_root.clone() }.command(&program.words)
    }

    fn variables(
        &self,
        job: &Job,
        session: &SessionCredentials,
        places: &Places,
        group: &str,
        stream: &str,
    ) -> BTreeMap<String, String> {
        let config = &job.version.config;
        let region = &job.scope.region;
        let mut variables = BTreeMap::new();
        let mut set = |name: &str, value: &str| {
            variables.insert(name.to_owned(), value.to_owned());
        };
        // What a user may override comes first.
        set("LANG", "en_US.UTF-8");
        set("TZ", ":UTC");
        for name in ["PATH", "HOME", "NODE_PATH", "PYTHONPATH", "LD_LIBRARY_PATH"] {
            if let Ok(value) = std::env::var(name) {
                set(name, &value);
            }
        }
        if let Some(endpoint) = &self.settings.endpoint {
            set("AWS_ENDPOINT_URL", endpoint);
            // A function that has its other services elsewhere still answers its job here.
            set("AWS_ENDPOINT_URL_CODEPIPELINE", endpoint);
        }
        let own = config.environment.as_ref().and_then(|environment| environment.variables.as_ref());
        for (name, value) in own.into_iter().flatten() {
            set(name, value.expose_secret());
        }
        set("_HANDLER", config.handler.as_deref().unwrap_or_default());
        set("AWS_REGION", region);
        set("AWS_DEFAULT_REGION", region);
        let runtime = config.runtime.as_deref().unwrap_or_default();
        if !runtime.starts_with("provided") {
            set("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{runtime}"));
        }
        set("AWS_LAMBDA_FUNCTION_NAME", &job.name);
        set("AWS_LAMBDA_FUNCTION_VERSION", job.version.label());
        set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &job.version.memory_mb().to_string());
        set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
        set("AWS_LAMBDA_LOG_GROUP_NAME", group);
        set("AWS_LAMBDA_LOG_STREAM_NAME", stream);
        set("AWS_LAMBDA_LOG_FORMAT", "Text");
        set("AWS_ACCESS_KEY_ID", &session.access_key);
        set("AWS_SECRET_ACCESS_KEY", session.secret.expose());
        set("AWS_SESSION_TOKEN", session.token.expose());
        set("LAMBDA_TASK_ROOT", &places.task_root.to_string_lossy());
        set("LAMBDA_RUNTIME_DIR", &places.clients.to_string_lossy());
        variables
    }
}

fn report(environment: &Environment, id: &str, ran: &environment::Ran, memory_mb: i32) -> String {
    let millis = ran.duration.as_secs_f64() * 1000.0;
    let billed = ran.duration.as_nanos().div_ceil(1_000_000);
    let used = environment.peak_mb;
    let mut line = format!(
        "REPORT RequestId: {id}\tDuration: {millis:.2} ms\tBilled Duration: {billed} ms\tMemory Size: {memory_mb} MB\tMax \
         Memory Used: {used} MB\t"
    );
    // Writing to a text cannot fail.
    let _ = match environment.served {
        1 => write!(line, "Init Duration: {:.2} ms\t", environment.init.as_secs_f64() * 1000.0),
        _ => Ok(()),
    };
    let _ = match &ran.status {
        Some(("timeout", _)) => write!(line, "Status: timeout"),
        Some((_, kind)) => write!(line, "Status: error\tError Type: {kind}"),
        None => Ok(()),
    };
    line
}
