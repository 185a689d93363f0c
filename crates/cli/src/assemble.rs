//! The one place that wires a running system together: store, services, providers, orchestrator and front door, over one
//! data directory. Everything else in this crate speaks to the result through `host`.

mod ambient;
mod archives;
mod connections;
mod functions;
mod host;
mod partners;
mod realms;
mod roles;
mod scratch;
mod serve;
mod simulate;
mod statuses;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use towpath_builds::request::HostSpec;
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::ids::{IdSource as _, Scope};
use towpath_model::time::Clock;
use towpath_orchestrator::{Orchestrator, Parts, TokioRuntime, limits::Quotas};
use towpath_providers::git::{CommitFollower, Unfollowed};
use towpath_providers::realm::GIT;
use towpath_providers::{Catalogue, Credentials, Endpoints, GitHosts, RealmKind, RealmSettings, Settings};
use towpath_server::{Front, Services, listen};
use towpath_services::ambient::Ambient;
use towpath_services::codebuild::{
    CodeBuild, DefaultSandbox, EmbeddedObjects, Parts as BuildParts, SandboxPolicy, Sandboxes,
    Settings as BuildSettings,
};
use towpath_services::codecommit::{CodeCommit, Parts as CodeCommitParts};
use towpath_services::connections::{ConfiguredError, Connections};
use towpath_services::git::Door;
use towpath_services::identity::{CODEPIPELINE_PRINCIPAL, Identity};
use towpath_services::lambda::{self, Lambda};
use towpath_services::logs::Logs;
use towpath_services::s3::{S3Options, S3Service};
use towpath_store::{PostgresStore, SqliteStore, Store, StoreError};

use self::ambient::{SystemClock, SystemIds};
use self::connections::HostTypes;
use self::scratch::Scratch;
use self::statuses::{Beginning, Statuses};
use self::transport::InProcess;
use crate::config::{Config, SandboxKind};
use crate::errors::ExpectedError;
use crate::flow::{OpenOptions, Opener};
use crate::host::{Host, Segment, Violation};

pub use archives::worker_surroundings;
pub use serve::serve;
pub use simulate::simulate;

/// AWS keeps an execution's history for twelve months.
const HISTORY_DAYS: u32 = 365;
/// How long a system that closes waits for calls under way, and again for stopped builds to end.
const SETTLE: Duration = Duration::from_secs(2);

/// Who a system is for; it decides where builds run when nobody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// `towpath run`: the user's own machine, the user's own builds.
    Person,
    /// `towpath serve`: other people's builds.
    Server,
}

/// What a system is made over.
struct Site<'a> {
    data_dir: &'a Path,
    /// A database that several servers may share; None: SQLite in the data directory.
    database_url: Option<&'a str>,
    account: &'a str,
    region: &'a str,
    config: &'a Config,
    /// What relative paths of the configuration start at.
    config_dir: &'a Path,
    listener: TcpListener,
    public_url: Option<String>,
    purpose: Purpose,
    /// Source actions that directories stand in for.
    trees: BTreeSet<String>,
}

/// A running system.
pub struct System {
    scope: Scope,
    front: Arc<Front>,
    clock: Arc<dyn Clock>,
    commits: tokio::sync::Mutex<watch::Receiver<u64>>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: Mutex<Option<JoinHandle<()>>>,
    /// Removed with the system where other nodes would not do so.
    _scratch: Scratch,
}

impl System {
    async fn open(site: Site<'_>) -> Result<Self, ExpectedError> {
        let Site { data_dir, database_url, account, region, config, config_dir, listener, public_url, purpose, trees } =
            site;
        let address = listener.local_addr().map_err(|e| broken("find out the listening address", &e))?;
        let url = public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let surroundings = Ambient::new(Arc::clone(&clock), SystemIds::default());
        let (store, documents) = open_store(data_dir, database_url).await?;
        let node = store.is_shared().then(|| surroundings.uuid());
        let identity = Identity::open(Arc::clone(&documents), surroundings.clone(), account, data_dir)
            .await
            .map_err(|e| broken("open the identity service", &e))?;
        let identity = Arc::new(identity);
        let s3 = Arc::new(
            S3Service::open(S3Options {
                data_dir: data_dir.to_owned(),
                shared: node.is_some(),
                documents: Arc::clone(&documents),
                clock: {
                    let clock = Arc::clone(&clock);
                    Arc::new(move || {
                        UNIX_EPOCH + Duration::from_millis(u64::try_from(clock.now().millis()).unwrap_or(0))
                    })
                },
                random: {
                    let ids = Mutex::new(SystemIds::default());
                    Arc::new(move || ids.lock().unwrap_or_else(PoisonError::into_inner).bits())
                },
                credentials: identity.clone(),
                authorize: identity.clone(),
                region: region.to_owned(),
                domains: vec!["localhost".to_owned()],
            })
            .await
            .map_err(|e| broken("open the object store", &e))?,
        );
        let logs = Arc::new(Logs::new(Arc::clone(&documents), surroundings.clone(), Arc::clone(&identity), data_dir));
        let sandbox = {
            let config = config.clone();
            Sandboxes::found_by(move || sandboxes(&config, purpose))
        };
        let mut settings = BuildSettings::new(data_dir.to_owned(), own_command("build-runner")?, sandbox.clone());
        settings.endpoint = Some(url.clone());
        let near = near(address);
        settings.git_url = Some(near.clone());
        settings.node.clone_from(&node);
        settings.console_url = Some(format!("{url}/console"));
        let objects = Arc::new(EmbeddedObjects::new(S3Service::clone(&s3), Arc::clone(&identity)));
        let codebuild = CodeBuild::new(BuildParts {
            documents: Arc::clone(&documents),
            ambient: surroundings.clone(),
            identity: Arc::clone(&identity),
            logs: Arc::clone(&logs),
            objects: objects.clone(),
            settings,
        });
        let mut settings = lambda::Settings::new(data_dir.to_owned(), own_command("function-runner")?, sandbox);
        settings.endpoint = Some(url.clone());
        settings.shared = node.is_some();
        let lambda = Lambda::new(lambda::Parts {
            documents: Arc::clone(&documents),
            ambient: surroundings.clone(),
            identity: Arc::clone(&identity),
            logs: Arc::clone(&logs),
            objects,
            settings,
        });

        let tables = connections::connections(config, config_dir)?;
        let home = Scope::new(account, region);
        let opened = Connections::open(
            Arc::clone(&documents),
            surroundings.clone(),
            Arc::clone(&identity),
            data_dir,
            &home,
            tables,
        )
        .await
        .map_err(|error| unconnected(&error))?;
        let connections = Arc::new(opened);

        let door = Arc::new(Door::new(Arc::clone(&identity), surroundings.clone()));
        let codecommit = CodeCommit::new(CodeCommitParts {
            documents: Arc::clone(&documents),
            ambient: surroundings.clone(),
            identity: Arc::clone(&identity),
            door: Arc::clone(&door),
            data_dir: data_dir.to_owned(),
            public_url: url.clone(),
            region: region.to_owned(),
        });

        let network = InProcess::default();
        let service_key = identity.service_key(CODEPIPELINE_PRINCIPAL).ok_or_else(|| ExpectedError::System {
            message: "the identity service has no key for CodePipeline".to_owned(),
            hint: None,
            usage: false,
        })?;
        let embedded = RealmSettings {
            name: "embedded".to_owned(),
            kind: RealmKind::Embedded,
            // Git is a program of its own: it comes in at the door, from this machine.
            endpoints: Endpoints { default: Some(url.clone()), services: BTreeMap::from([(GIT.to_owned(), near)]) },
            credentials: Credentials::new(
                &service_key.id,
                service_key.secret.expose(),
                None,
                None,
                CODEPIPELINE_PRINCIPAL,
            )
            .into(),
            http: network.client(),
            clock: Arc::clone(&clock),
            console_url: Some(format!("{url}/console")),
        };
        let realms = realms::realms(embedded, config)?;
        let scratch =
            Scratch::open(data_dir, node.as_deref()).map_err(|e| broken("prepare the scratch directory", &e))?;
        let quotas = quotas(config);
        // A person's own run tells no git host.
        let follower: Arc<dyn CommitFollower> = match purpose {
            Purpose::Server => Arc::new(Beginning::new(Arc::clone(&store))),
            Purpose::Person => Arc::new(Unfollowed),
        };
        let hosts =
            GitHosts { github: github_hosts(config), types: Arc::new(HostTypes(Arc::clone(&connections))), follower };
        let orchestrator = Orchestrator::new(Parts {
            store: Arc::clone(&store),
            catalogue: Arc::new(Catalogue::with_git_hosts(catalogue_settings(config), hosts).standing_in(&trees)),
            realms: Arc::new(realms),
            roles: Arc::new(roles::EmbeddedRoles { identity: Arc::clone(&identity) }),
            clock: Arc::clone(&clock),
            runtime: Arc::new(TokioRuntime),
            ids: Box::new(SystemIds::default()),
            quotas,
            partners: partners::partners(config)?,
            scratch: scratch.path.clone(),
            node,
            keep_history: Some(Duration::from_hours(
                24 * u64::from(config.retention.history_days.unwrap_or(HISTORY_DAYS)),
            )),
        });
        let commits = tokio::sync::Mutex::new(orchestrator.subscribe());
        let request_ids = surroundings.clone();
        let services = Services {
            git: door,
            identity,
            s3,
            codebuild: Arc::clone(&codebuild),
            codecommit,
            connections: Arc::clone(&connections),
            lambda: Arc::clone(&lambda),
            logs,
        };
        let front = Arc::new(Front::new(
            Arc::clone(&orchestrator),
            services,
            Arc::clone(&clock),
            &url,
            Box::new(move || request_ids.uuid()),
        ));
        network.connect(&front);

        // What the last process left unfinished goes on before anybody new is heard.
        let mut builds = codebuild.on_change();
        let woken = Arc::clone(&orchestrator);
        tokio::spawn(async move {
            loop {
                match builds.recv().await {
                    Ok(change) if change.complete => woken.wake_external(&change.id),
                    // Some may have been missed; polling finds them a little later.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                }
            }
        });
        codebuild.resume().await.map_err(|e| broken("take up the unfinished builds", &e))?;
        lambda.resume().map_err(|e| broken("take up the functions", &e))?;
        orchestrator.resume().await.map_err(|e| broken("take up the unfinished executions", &e))?;

        let stop = watch::Sender::new(false);
        if purpose == Purpose::Server {
            let statuses = Statuses {
                store,
                connections,
                ambient: surroundings,
                console_url: format!("{url}/console"),
                github_hosts: github_hosts(config),
            };
            tokio::spawn(statuses.follow(orchestrator.subscribe(), stop.subscribe()));
        }
        let accepting = tokio::spawn(listen::serve(listener, Arc::clone(&front), stop.subscribe()));
        let system = Self {
            scope: Scope::new(account, region),
            front,
            clock,
            commits,
            address,
            stop,
            accepting: Mutex::new(Some(accepting)),
            _scratch: scratch,
        };
        system.declare_functions(config).await?;
        Ok(system)
    }

    /// Stops claiming work and lets open requests end. What runs outside goes on.
    async fn close(&self) {
        // What was told to stop is really told before this process ends.
        self.front.orchestrator.quiesce(SETTLE).await;
        self.front.services.codebuild.settle(SETTLE).await;
        self.front.orchestrator.shutdown();
        self.front.orchestrator.leave().await;
        self.stop.send_replace(true);
        self.front.services.codebuild.shutdown().await;
        self.front.services.lambda.shutdown();
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(accepting) = accepting {
            let _ = accepting.await;
        }
        tracing::debug!("stopped");
    }
}

/// Where this process itself reaches the address that it listens on.
fn near(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

type Opened = (Arc<dyn Store>, Arc<dyn towpath_store::Documents>);

async fn open_store(data_dir: &Path, database_url: Option<&str>) -> Result<Opened, ExpectedError> {
    let Some(url) = database_url else {
        let store = Arc::new(SqliteStore::open(data_dir).map_err(|e| unopened(data_dir, &e))?);
        return Ok((store.clone(), store));
    };
    std::fs::create_dir_all(data_dir).map_err(|e| broken("make the data directory", &e))?;
    let store = PostgresStore::connect(url).await.map_err(|error| {
        let ExpectedError::System { message, usage, .. } = broken("open the database of --database-url", &error) else {
            return broken("open the database of --database-url", &error);
        };
        let hint = match error {
            StoreError::NewerSchema { .. } => "use the newer towpath that wrote it, or another database",
            _ => "check that PostgreSQL runs there, and that the user may create tables in the database",
        };
        ExpectedError::System { message, hint: Some(hint.to_owned()), usage }
    })?;
    let store = Arc::new(store);
    Ok((store.clone(), store))
}

/// Where builds run: as the configuration says; else on the host for a person's own run, behind bubblewrap for a server.
fn sandboxes(config: &Config, purpose: Purpose) -> SandboxPolicy {
    let detected = towpath_builds::detect();
    let mut policy = match (config.sandbox.kind, purpose) {
        (Some(SandboxKind::Host), _) | (None, Purpose::Person) => SandboxPolicy::host(&detected),
        (Some(SandboxKind::Bubblewrap | SandboxKind::Container) | None, _) => SandboxPolicy::server(&detected, false),
    };
    if config.sandbox.kind == Some(SandboxKind::Container) {
        policy.default = DefaultSandbox::Nothing(
            "[sandbox] says `container`, so every image needs a container image: map it under [images] in towpath.toml"
                .to_owned(),
        );
    }
    policy.host = HostSpec { inherit_environment: purpose == Purpose::Person };
    policy.images.clone_from(&config.images);
    policy
}

fn quotas(config: &Config) -> Quotas {
    let (set, usual) = (&config.quotas, Quotas::default());
    let of = |set: Option<u32>, usual: usize| set.map_or(usual, |quota| quota as usize);
    Quotas {
        pipelines_per_region: of(set.pipelines_per_region, usual.pipelines_per_region),
        custom_action_types_per_region: of(set.custom_action_types_per_region, usual.custom_action_types_per_region),
        webhooks_per_region: of(set.webhooks_per_region, usual.webhooks_per_region),
    }
}

/// GitHub hosts of `[source.ACTION] github-url`, by the action's name.
fn github_hosts(config: &Config) -> BTreeMap<String, String> {
    let sources = config.sources.iter();
    sources.filter_map(|(action, source)| Some((action.clone(), source.github_url.clone()?))).collect()
}

fn catalogue_settings(config: &Config) -> Settings {
    Settings { rehearsal: config.rehearsal.enabled }
}

/// What declarations are held to.
fn catalogue(config: &Config) -> Catalogue {
    Catalogue::new(catalogue_settings(config))
}

/// Builds and functions run under this same program.
fn own_command(command: &str) -> Result<Vec<String>, ExpectedError> {
    let program = std::env::current_exe().map_err(|e| broken("find the towpath program itself", &e))?;
    Ok(vec![program.to_string_lossy().into_owned(), command.to_owned()])
}

fn broken(doing: &str, error: &dyn std::error::Error) -> ExpectedError {
    let mut message = format!("cannot {doing}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    ExpectedError::System { message, hint: None, usage: false }
}

fn unconnected(error: &ConfiguredError) -> ExpectedError {
    match error {
        ConfiguredError::Wrong { .. } => ExpectedError::System {
            message: error.to_string(),
            hint: Some("docs/connections.md describes connections".to_owned()),
            usage: true,
        },
        ConfiguredError::Store(_) => broken("open the connections", error),
    }
}

fn unopened(data_dir: &Path, error: &StoreError) -> ExpectedError {
    let ExpectedError::System { message, .. } =
        broken(&format!("open the data directory `{}`", data_dir.display()), error)
    else {
        return broken("open the data directory", error);
    };
    let hint = match error {
        StoreError::NewerSchema { .. } => Some("use the newer towpath that wrote it, or another --data-dir".to_owned()),
        StoreError::DirectoryInUse { .. } => Some("stop the other towpath, or use another --data-dir".to_owned()),
        StoreError::DiskFull { .. } => Some("free some space and start again; nothing was lost".to_owned()),
        _ => None,
    };
    ExpectedError::System { message, hint, usage: false }
}

/// Every rule a declaration breaks, as `validate` shows them.
pub fn validate(declaration: &PipelineDeclaration, region: &str, config: &Config) -> Vec<Violation> {
    let found = towpath_engine::validation::validate(declaration, region, &catalogue(config), None);
    found
        .into_iter()
        .map(|violation| Violation {
            path: violation
                .path
                .into_iter()
                .map(|segment| match segment {
                    towpath_engine::PathSegment::Key(key) => Segment::Key(key),
                    towpath_engine::PathSegment::Index(index) => Segment::Index(index),
                })
                .collect(),
            code: towpath_server::api::violation_code(violation.code).to_owned(),
            message: violation.message,
            hint: violation.hint,
        })
        .collect()
}

/// The clock of commands that speak to a server.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// Opens the system that `run` and `approve` work with.
pub struct Local;

#[async_trait]
impl Opener for Local {
    async fn open(&self, options: &OpenOptions) -> Result<Arc<dyn Host>, ExpectedError> {
        // Builds may call the embedded services too, so even a run has a port; the system chooses it.
        let listener = listen::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .map_err(|e| broken("listen on this machine's loopback address", &e))?;
        let data_dir: PathBuf =
            std::path::absolute(&options.data_dir).map_err(|e| broken("resolve the data directory", &e))?;
        let system = System::open(Site {
            data_dir: &data_dir,
            database_url: None,
            account: &options.account,
            region: &options.region,
            config: &options.config,
            config_dir: &options.config_dir,
            listener,
            public_url: None,
            purpose: Purpose::Person,
            trees: options.trees.clone(),
        })
        .await?;
        Ok(Arc::new(system))
    }
}

/// The process between this program and that of a function.
pub fn function_runner(command: &[String]) -> ExitCode {
    lambda::monitor_main(command)
}

/// One build, in a process of its own.
pub fn build_runner(directory: &Path) -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "the runner is a process of its own; this is its clock")]
    towpath_builds::runner_main(directory, std::time::SystemTime::now)
}
