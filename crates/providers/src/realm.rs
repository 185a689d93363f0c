//! A realm: where a set of AWS services is, and who calls them. Builds and remembers SDK clients that act as a pipeline's
//! role, or as an action's own role assumed by it.
//!
//! The only place that knows credentials, endpoints, retries and timeouts. It never looks for credentials in the
//! environment and never opens a connection of its own: the HTTP client is handed in, so the embedded realm can be a
//! function call into the same process.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use towpath_model::action::ActionInvocation;
use towpath_model::time::{Clock, Timestamp};

use crate::clients::config;
use crate::limits;
use crate::problem::{Kind, Problem};
use crate::session::session_name;

/// Among endpoints: where git is spoken, not AWS's APIs.
pub const GIT: &str = "git";

/// Among endpoints: where developers of Alexa skills sign in.
pub const LOGIN_WITH_AMAZON: &str = "login_with_amazon";

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

    pub(crate) fn of(&self, service: &str) -> Option<&str> {
        self.services.get(service).or(self.default.as_ref()).map(String::as_str)
    }
}

/// Where a realm's own credentials come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    Fixed(Credentials),
    /// Asked for every new session; it keeps what it has until shortly before that ends.
    Asked(SharedCredentialsProvider),
}

impl From<Credentials> for KeySource {
    fn from(credentials: Credentials) -> Self {
        Self::Fixed(credentials)
    }
}

/// What an assembler knows of a realm.
#[derive(Clone)]
pub struct RealmSettings {
    pub name: String,
    pub kind: RealmKind,
    pub endpoints: Endpoints,
    /// Who assumes the pipeline's role: in the embedded realm the service `codepipeline.amazonaws.com` itself.
    pub credentials: KeySource,
    pub http: SharedHttpClient,
    pub clock: Arc<dyn Clock>,
    /// `PUBLIC/console` where links to what this realm holds point; AWS's console when absent.
    pub console_url: Option<String>,
}

/// What holds in a realm that is not ours: it need not know our Regions and roles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Abroad {
    /// The Region that is asked, whatever the action's is.
    pub region: Option<String>,
    /// Roles by the ARN a pipeline names, to the ARN that is assumed there.
    pub roles: BTreeMap<String, String>,
    /// No role is assumed: calls are made with the realm's own credentials.
    pub without_roles: bool,
    pub staging: Staging,
    /// A function there may answer its job by the job's id alone, because Towpath knows nobody's keys there.
    pub jobs_by_id: bool,
}

/// Where artifacts are put for the services of a realm that does not see the artifact store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Staging {
    /// In every Region that has none of its own.
    pub bucket: Option<String>,
    /// By Region of the realm.
    pub buckets: BTreeMap<String, String>,
    /// The KMS key there that staged artifacts are encrypted with; else the bucket's own way.
    pub key: Option<String>,
}

impl Staging {
    pub(crate) fn bucket(&self, region: &str) -> Option<&str> {
        self.buckets.get(region).or(self.bucket.as_ref()).map(String::as_str)
    }
}

/// Whose permissions a call uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Acting {
    /// The realm's own credentials: CodePipeline itself.
    Itself,
    Role(Roles),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Roles {
    pipeline: String,
    action: Option<String>,
    session: String,
}

impl Roles {
    /// Who assumes the action's role.
    fn pipeline_alone(&self) -> Self {
        Self { action: None, ..self.clone() }
    }
}

#[derive(Clone)]
pub(crate) struct Session {
    credentials: Credentials,
    expires: Timestamp,
}

/// Clients of one acting role in one Region; they live as long as its credentials.
struct Clients {
    session: Session,
    /// By the client's type: one of each service at most.
    made: HashMap<TypeId, Box<dyn Any + Send>>,
}

impl Clients {
    fn new(session: Session) -> Self {
        Self { session, made: HashMap::new() }
    }
}

pub struct Realm {
    pub(crate) settings: RealmSettings,
    abroad: Abroad,
    /// Actions act as their pipeline here, whatever role of their own they have.
    pipeline_alone: bool,
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

impl Realm {
    pub fn new(settings: RealmSettings) -> Self {
        Self { settings, abroad: Abroad::default(), pipeline_alone: false, clients: Mutex::default() }
    }

    #[must_use]
    pub fn abroad(self, abroad: Abroad) -> Self {
        Self { abroad, ..self }
    }

    /// For the artifacts of actions whose own roles are known elsewhere alone.
    #[must_use]
    pub(crate) fn acting_as_pipelines(self) -> Self {
        Self { pipeline_alone: true, ..self }
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

    /// Where git repositories are served: beside the services, unless something else was said.
    pub fn git_url(&self) -> &str {
        self.settings.endpoints.of(GIT).unwrap_or_default()
    }

    /// The Region that is asked for things of `region`.
    pub fn region<'a>(&'a self, region: &'a str) -> &'a str {
        self.abroad.region.as_deref().unwrap_or(region)
    }

    /// The same for one service: callers of these know the Region, that of a bucket or the only one there is.
    pub(crate) fn region_at<'a>(&'a self, service: &str, region: &'a str) -> &'a str {
        if matches!(service, "device_farm" | "ecr_public" | "s3") { region } else { self.region(region) }
    }

    pub(crate) fn staging(&self) -> &Staging {
        &self.abroad.staging
    }

    /// Whether the id of an open job stands for the function that has it.
    pub fn jobs_by_id(&self) -> bool {
        self.abroad.jobs_by_id
    }

    /// Where this process reaches the realm's git repositories, if that is not where their clone URLs point: git is a
    /// program of its own, and a public URL may not be open to the server itself.
    pub fn git_endpoint(&self) -> Option<&str> {
        (self.settings.kind == RealmKind::Embedded).then(|| self.git_url())
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.settings.clock)
    }

    pub(crate) fn acting(&self, action: &ActionInvocation) -> Acting {
        if self.abroad.without_roles {
            return Acting::Itself;
        }
        let mapped = |role: &String| self.abroad.roles.get(role).unwrap_or(role).clone();
        let pipeline = mapped(&action.pipeline_role_arn);
        let own = action.role_arn.as_ref().filter(|_| !self.pipeline_alone).map(mapped);
        let own = own.filter(|role| *role != pipeline);
        Acting::Role(Roles { pipeline, action: own, session: session_name(&action.pipeline_name) })
    }

    /// Credentials of the acting role that are good for `policy` alone, to be given away, and when they end.
    pub async fn narrowed_credentials(
        &self,
        action: &ActionInvocation,
        policy: &str,
        seconds: i32,
    ) -> Result<(Credentials, Timestamp), Problem> {
        let Acting::Role(roles) = self.acting(action) else {
            // The realm's own credentials may do everything; they are not given away.
            return Err(Problem::refused(format!(
                "the realm {} assumes no roles, so a job has no credentials",
                self.name()
            )));
        };
        let region = action.region.as_str();
        let narrow = Some((policy, seconds));
        let given = if let Some(role) = &roles.action {
            let pipeline = self.session(&(Acting::Role(roles.pipeline_alone()), action.region.clone())).await?;
            self.assume_with(&pipeline.credentials, &roles.pipeline, role, &roles.session, region, narrow).await
        } else {
            let base = &self.base().await?;
            self.assume_with(base, "CodePipeline", &roles.pipeline, &roles.session, region, narrow).await
        };
        given.map(|session| (session.credentials, session.expires)).map_err(|problem| self.note(action, problem))
    }

    /// Forgets the role sessions of `action` after a service refused them, so that the next call opens new ones.
    pub fn forget(&self, action: &ActionInvocation) {
        let acting = self.acting(action);
        let chained_from = match &acting {
            Acting::Itself => Acting::Itself,
            Acting::Role(roles) => Acting::Role(roles.pipeline_alone()),
        };
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

    pub(crate) fn retries(&self) -> RetryConfig {
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

    /// The client of `acting` in `region`, made by `build` when it is asked for the first time.
    pub(crate) async fn client<C: Clone + Send + 'static>(
        &self,
        acting: Acting,
        region: &str,
        build: impl FnOnce(&Self, &Credentials) -> C,
    ) -> Result<C, Problem> {
        let key = (acting, region.to_owned());
        let session = self.session(&key).await?;
        let mut map = self.lock();
        // Another call may have renewed or forgotten the session meanwhile; either one will do.
        let clients = map.entry(key).or_insert_with(|| Clients::new(session));
        let made = clients.made.get(&TypeId::of::<C>()).and_then(|client| client.downcast_ref::<C>());
        if let Some(client) = made {
            return Ok(client.clone());
        }
        let client = build(self, &clients.session.credentials);
        clients.made.insert(TypeId::of::<C>(), Box::new(client.clone()));
        Ok(client)
    }

    /// Credentials of the acting role for what no SDK sends: git, signatures of our own.
    pub async fn credentials(&self, action: &ActionInvocation) -> Result<Credentials, Problem> {
        let session = self.session(&(self.acting(action), action.region.clone())).await;
        session.map(|session| session.credentials).map_err(|problem| self.note(action, problem))
    }

    /// The realm's own credentials, good for now.
    async fn base(&self) -> Result<Credentials, Problem> {
        match &self.settings.credentials {
            KeySource::Fixed(credentials) => Ok(credentials.clone()),
            KeySource::Asked(provider) => provider.provide_credentials().await.map_err(|error| {
                let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                Problem::without_credentials(self.name(), why)
            }),
        }
    }

    fn remembered(&self, key: &(Acting, String)) -> Option<Session> {
        let now = self.settings.clock.now();
        self.lock().get(key).map(|clients| clients.session.clone()).filter(|session| session.fresh(now))
    }

    /// The remembered session, or a new one: the pipeline's role assumed by the realm's own credentials, then the
    /// action's role assumed by the pipeline's.
    pub(crate) async fn session(&self, key: &(Acting, String)) -> Result<Session, Problem> {
        if let Some(session) = self.remembered(key) {
            return Ok(session);
        }
        let (acting, region) = key;
        let Acting::Role(roles) = acting else {
            let credentials = self.base().await?;
            let ends = credentials.expiry().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let ends = ends.map_or(i64::MAX, |at| i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
            let session = Session { credentials, expires: Timestamp::from_millis(ends) };
            self.remember(key.clone(), session.clone());
            return Ok(session);
        };
        let pipeline_key = (Acting::Role(roles.pipeline_alone()), region.clone());
        let pipeline = if let Some(session) = self.remembered(&pipeline_key) {
            session
        } else {
            let base = &self.base().await?;
            let session = self.assume(base, "CodePipeline", &roles.pipeline, &roles.session, region).await?;
            self.remember(pipeline_key, session.clone());
            session
        };
        let Some(role) = &roles.action else { return Ok(pipeline) };
        let session = self.assume(&pipeline.credentials, &roles.pipeline, role, &roles.session, region).await?;
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
        self.assume_with(credentials, who, role, session, region, None).await
    }

    /// `narrow` is a session policy and the seconds for which it is to hold.
    async fn assume_with(
        &self,
        credentials: &Credentials,
        who: &str,
        role: &str,
        session: &str,
        region: &str,
        narrow: Option<(&str, i32)>,
    ) -> Result<Session, Problem> {
        const SERVICE: &str = "AWSSecurityTokenService";
        let builder = config!(aws_sdk_sts, self, region, credentials, "sts", limits::READ_TIMEOUT);
        let client = aws_sdk_sts::Client::from_conf(builder.build());
        let mut request = client.assume_role().role_arn(role).role_session_name(session);
        if let Some((policy, seconds)) = narrow {
            request = request.policy(policy).duration_seconds(seconds);
        }
        let answer = request.send().await;
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
        self.expires.millis().saturating_sub(now.millis()) > limits::SESSION_MARGIN_MS
    }
}
