//! A realm: where a set of AWS services is, and who calls them. Builds and remembers SDK clients that act as a pipeline's
//! role, or as an action's own role assumed by it.
//!
//! The only place that knows credentials, endpoints, retries and timeouts. It never looks for credentials in the
//! environment and never opens a connection of its own: the HTTP client is handed in, so the embedded realm can be a
//! function call into the same process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use towpath_model::action::ActionInvocation;
use towpath_model::time::{Clock, Timestamp};

use crate::limits;
use crate::problem::{Kind, Problem};
use crate::session::session_name;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RealmKind {
    /// Towpath's own services, in this process or behind its own port.
    Embedded,
    /// AWS.
    Aws,
    /// Any other implementation of AWS's APIs, behind a URL.
    Other,
}

/// Where services are reached. Nothing set means AWS's own endpoints.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    pub default: Option<String>,
    /// By service: `s3`, `sts`, `codebuild`.
    pub services: BTreeMap<String, String>,
}

impl Endpoints {
    pub fn one(url: impl Into<String>) -> Self {
        Self { default: Some(url.into()), services: BTreeMap::new() }
    }

    fn of(&self, service: &str) -> Option<&str> {
        self.services.get(service).or(self.default.as_ref()).map(String::as_str)
    }
}

/// What an assembler knows of a realm.
#[derive(Clone)]
pub struct RealmSettings {
    pub name: String,
    pub kind: RealmKind,
    pub endpoints: Endpoints,
    /// Who assumes the pipeline's role: in the embedded realm the service `codepipeline.amazonaws.com` itself.
    pub credentials: Credentials,
    pub http: SharedHttpClient,
    pub clock: Arc<dyn Clock>,
    /// `PUBLIC/console` where links to what this realm holds point; AWS's console when absent.
    pub console_url: Option<String>,
}

/// Whose permissions a call uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Acting {
    pipeline_role: String,
    action_role: Option<String>,
    session: String,
}

impl Acting {
    fn of(action: &ActionInvocation) -> Self {
        Self {
            pipeline_role: action.pipeline_role_arn.clone(),
            action_role: action.role_arn.clone().filter(|role| *role != action.pipeline_role_arn),
            session: session_name(&action.pipeline_name),
        }
    }

    /// Who assumes the action's role.
    fn pipeline_alone(&self) -> Self {
        Self { action_role: None, ..self.clone() }
    }
}

#[derive(Clone)]
struct Session {
    credentials: Credentials,
    expires: Timestamp,
}

/// Clients of one acting role in one Region; they live as long as its credentials.
struct Clients {
    session: Session,
    s3: Option<aws_sdk_s3::Client>,
    codebuild: Option<aws_sdk_codebuild::Client>,
}

impl Clients {
    fn new(session: Session) -> Self {
        Self { session, s3: None, codebuild: None }
    }
}

pub struct Realm {
    settings: RealmSettings,
    clients: Mutex<HashMap<(Acting, String), Clients>>,
}

impl std::fmt::Debug for Realm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Realm")
            .field("name", &self.settings.name)
            .field("kind", &self.settings.kind)
            .finish_non_exhaustive()
    }
}

/// The settings every service's config builder takes alike.
macro_rules! config {
    ($sdk:ident, $realm:expr, $region:expr, $credentials:expr, $service:literal, $read_timeout:expr) => {{
        let settings = &$realm.settings;
        let mut builder = $sdk::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(settings.http.clone())
            .region($sdk::config::Region::new($region.to_owned()))
            .credentials_provider($credentials.clone())
            .identity_cache($sdk::config::IdentityCache::no_cache())
            .retry_config($realm.retries())
            .timeout_config(
                TimeoutConfig::builder().connect_timeout(limits::CONNECT_TIMEOUT).read_timeout($read_timeout).build(),
            );
        if let Some(url) = settings.endpoints.of($service) {
            builder = builder.endpoint_url(url);
        }
        builder
    }};
}

impl Realm {
    pub fn new(settings: RealmSettings) -> Self {
        Self { settings, clients: Mutex::default() }
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    pub fn kind(&self) -> RealmKind {
        self.settings.kind
    }

    /// Base of links into Towpath's own console; None where things are on AWS.
    pub fn console_url(&self) -> Option<&str> {
        self.settings.console_url.as_deref()
    }

    /// An S3 client for what `action` may do, in `region`. Ask again for every call: it is cheap, and the credentials
    /// of the last one may have ended.
    pub async fn s3(&self, action: &ActionInvocation, region: &str) -> Result<aws_sdk_s3::Client, Problem> {
        let key = (Acting::of(action), region.to_owned());
        let session = self.session(&key).await?;
        Ok(self.client(
            key,
            session,
            |clients| &mut clients.s3,
            |credentials| {
                let mut builder = config!(aws_sdk_s3, self, region, credentials, "s3", limits::S3_READ_TIMEOUT);
                if self.settings.kind != RealmKind::Aws {
                    // What is no AWS seldom has wildcard names, and need not know the newest checksum trailers.
                    builder = builder
                        .force_path_style(true)
                        .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired)
                        .response_checksum_validation(aws_sdk_s3::config::ResponseChecksumValidation::WhenRequired);
                }
                aws_sdk_s3::Client::from_conf(builder.build())
            },
        ))
    }

    /// A CodeBuild client for what `action` may do, in the action's Region.
    pub async fn codebuild(&self, action: &ActionInvocation) -> Result<aws_sdk_codebuild::Client, Problem> {
        let key = (Acting::of(action), action.region.clone());
        let session = self.session(&key).await?;
        let region = action.region.as_str();
        Ok(self.client(
            key,
            session,
            |clients| &mut clients.codebuild,
            |credentials| {
                let builder = config!(aws_sdk_codebuild, self, region, credentials, "codebuild", limits::READ_TIMEOUT);
                aws_sdk_codebuild::Client::from_conf(builder.build())
            },
        ))
    }

    /// Forgets the role sessions of `action` after a service refused them, so that the next call opens new ones.
    pub fn forget(&self, action: &ActionInvocation) {
        let acting = Acting::of(action);
        let chained_from = acting.pipeline_alone();
        self.lock().retain(|(held, _), _| *held != acting && *held != chained_from);
    }

    /// Reports `problem`, and drops the role session if that is what was wrong.
    pub fn note(&self, action: &ActionInvocation, problem: Problem) -> Problem {
        if problem.kind == Kind::Session {
            self.forget(action);
        }
        problem
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Acting, String), Clients>> {
        // The map is whole after every statement that holds the lock.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retries(&self) -> RetryConfig {
        let first = match self.settings.kind {
            RealmKind::Embedded => limits::BACKOFF_FIRST / 10,
            RealmKind::Aws | RealmKind::Other => limits::BACKOFF_FIRST,
        };
        RetryConfig::standard()
            .with_max_attempts(limits::ATTEMPTS_MAX)
            .with_initial_backoff(first)
            .with_max_backoff(limits::BACKOFF_MAX)
    }

    /// Remembers a session, with no client of it built yet.
    fn remember(&self, key: (Acting, String), session: Session) {
        let mut map = self.lock();
        if map.len() >= limits::SESSIONS_MAX && !map.contains_key(&key) {
            let now = self.settings.clock.now();
            map.retain(|_, clients| clients.session.fresh(now));
            if map.len() >= limits::SESSIONS_MAX {
                map.clear();
            }
        }
        map.insert(key, Clients::new(session));
    }

    fn client<C: Clone>(
        &self,
        key: (Acting, String),
        session: Session,
        slot: impl Fn(&mut Clients) -> &mut Option<C>,
        build: impl FnOnce(&Credentials) -> C,
    ) -> C {
        let mut map = self.lock();
        // Another call may have renewed or forgotten the session meanwhile; either one will do.
        let clients = map.entry(key).or_insert_with(|| Clients::new(session));
        let credentials = clients.session.credentials.clone();
        slot(clients).get_or_insert_with(|| build(&credentials)).clone()
    }

    fn remembered(&self, key: &(Acting, String)) -> Option<Session> {
        let now = self.settings.clock.now();
        self.lock().get(key).map(|clients| clients.session.clone()).filter(|session| session.fresh(now))
    }

    /// The remembered session, or a new one: the pipeline's role assumed by the realm's own credentials, then the
    /// action's role assumed by the pipeline's.
    async fn session(&self, key: &(Acting, String)) -> Result<Session, Problem> {
        if let Some(session) = self.remembered(key) {
            return Ok(session);
        }
        let (acting, region) = key;
        let pipeline_key = (acting.pipeline_alone(), region.clone());
        let pipeline = if let Some(session) = self.remembered(&pipeline_key) {
            session
        } else {
            let base = &self.settings.credentials;
            let session = self.assume(base, "CodePipeline", &acting.pipeline_role, &acting.session, region).await?;
            self.remember(pipeline_key, session.clone());
            session
        };
        let Some(role) = &acting.action_role else { return Ok(pipeline) };
        let session = self.assume(&pipeline.credentials, &acting.pipeline_role, role, &acting.session, region).await?;
        self.remember(key.clone(), session.clone());
        Ok(session)
    }

    async fn assume(
        &self,
        credentials: &Credentials,
        who: &str,
        role: &str,
        session: &str,
        region: &str,
    ) -> Result<Session, Problem> {
        const SERVICE: &str = "AWSSecurityTokenService";
        let builder = config!(aws_sdk_sts, self, region, credentials, "sts", limits::READ_TIMEOUT);
        let client = aws_sdk_sts::Client::from_conf(builder.build());
        let answer = client.assume_role().role_arn(role).role_session_name(session).send().await;
        let given = answer.map_err(|error| Problem::of(SERVICE, &error).assuming(who, role))?.credentials;
        let Some(given) = given else {
            let problem = Problem::broken(SERVICE, format!("AssumeRole on {role} answered without credentials"));
            return Err(problem);
        };
        let expires = Timestamp::from_millis(given.expiration().secs().saturating_mul(1000));
        let credentials = Credentials::new(
            given.access_key_id(),
            given.secret_access_key(),
            Some(given.session_token().to_owned()),
            None,
            "towpath-assumed-role",
        );
        Ok(Session { credentials, expires })
    }
}

impl Session {
    fn fresh(&self, now: Timestamp) -> bool {
        self.expires.millis() - now.millis() > limits::SESSION_MARGIN_MS
    }
}
