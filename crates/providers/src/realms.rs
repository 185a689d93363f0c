//! Which realm an action runs in. `embedded` is Towpath's own services; every `[realm.NAME]` table of towpath.toml is one
//! more. The first table whose selectors all hold takes the action; without one it runs in `embedded` where Towpath has the
//! service, else in `aws`. Credentials and endpoints come in as values: nothing here reads files or the environment.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use towpath_model::action::{ActionInvocation, ErrorDetails, error_code};

use crate::realm::{Abroad, Endpoints, KeySource, LOGIN_WITH_AMAZON, Realm, RealmKind, RealmSettings};

macro_rules! services {
    ($($variant:ident, $id:literal, $name:literal, $embedded:literal;)*) => {
        /// An AWS service that providers call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Service {
            $($variant,)*
        }

        impl Service {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As in `AWS_ENDPOINT_URL_<NAME>`, in small letters.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// As AWS writes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether Towpath has the service itself.
            pub const fn is_embedded(self) -> bool {
                match self {
                    $(Self::$variant => $embedded,)*
                }
            }
        }
    };
}

// Variant, id, AWS's name, whether Towpath has the service itself.
services! {
    AlexaSkillsKit, "alexa", "the Alexa Skills Kit", false;
    AppConfig, "appconfig", "AWS AppConfig", false;
    CloudFormation, "cloudformation", "AWS CloudFormation", false;
    CloudWatch, "cloudwatch", "Amazon CloudWatch", false;
    CodeBuild, "codebuild", "AWS CodeBuild", true;
    CodeCommit, "codecommit", "AWS CodeCommit", true;
    CodeConnections, "codeconnections", "AWS CodeConnections", true;
    CodeDeploy, "codedeploy", "AWS CodeDeploy", false;
    CodePipeline, "codepipeline", "AWS CodePipeline", true;
    DeviceFarm, "device_farm", "AWS Device Farm", false;
    Ec2, "ec2", "Amazon EC2", false;
    Ecr, "ecr", "Amazon ECR", false;
    EcrPublic, "ecr_public", "Amazon ECR Public", false;
    Ecs, "ecs", "Amazon ECS", false;
    Eks, "eks", "Amazon EKS", false;
    ElasticBeanstalk, "elastic_beanstalk", "AWS Elastic Beanstalk", false;
    InspectorScan, "inspector_scan", "Amazon Inspector Scan", false;
    Lambda, "lambda", "AWS Lambda", true;
    LoadBalancing, "elastic_load_balancing_v2", "Elastic Load Balancing", false;
    OpsWorks, "opsworks", "AWS OpsWorks Stacks", false;
    S3, "s3", "Amazon S3", true;
    ServiceCatalog, "service_catalog", "AWS Service Catalog", false;
    Sns, "sns", "Amazon SNS", false;
    Ssm, "ssm", "AWS Systems Manager", false;
    StepFunctions, "sfn", "AWS Step Functions", false;
}

impl Service {
    /// Reached over the Internet as anybody is, with credentials of the action's own: no AWS account is needed.
    pub const fn is_beyond_aws(self) -> bool {
        matches!(self, Self::AlexaSkillsKit)
    }

    /// What to say where AWS has switched the service off for everybody: only another implementation can have it.
    pub const fn retired(self) -> Option<&'static str> {
        match self {
            Self::OpsWorks => Some(
                "AWS OpsWorks Stacks was retired on 2024-05-26. Use a CodeDeploy, EC2 or Commands action in place of this one. \
                 If another implementation of its API answers you, name it in towpath.toml: `[realm.NAME]`, `url = \
                 \"http://...\"`, `access-key-id = \"...\"`, `secret-access-key = \"...\"` and `providers = [\"OpsWorks\"]`.",
            ),
            _ => None,
        }
    }
}

/// One `[realm.NAME]` table, read.
#[derive(Debug, Clone, Default)]
pub struct RealmTable {
    pub name: String,
    /// One endpoint for all services.
    pub url: Option<String>,
    /// Endpoints by service (`s3`, `sts`, `cloudwatch`); they go before `url`.
    pub endpoints: BTreeMap<String, String>,
    /// Its own credentials; those of the environment when absent.
    pub credentials: Option<KeySource>,
    pub abroad: Abroad,
    /// Action and rule providers (`CloudWatchAlarm`) that run here; empty: any.
    pub providers: Vec<String>,
    /// Accounts of the roles that act here; empty: any.
    pub accounts: Vec<String>,
    /// Regions of actions that run here; empty: any.
    pub regions: Vec<String>,
}

impl RealmTable {
    /// Without selectors a table takes nothing by itself: `aws` is what remains, others are of no use.
    fn selects(&self) -> bool {
        !(self.providers.is_empty() && self.accounts.is_empty() && self.regions.is_empty())
    }

    fn takes(&self, what: &Taken<'_>) -> bool {
        let account = what.role.split(':').nth(4).unwrap_or_default();
        let any = |list: &[String], wanted: &str| list.is_empty() || list.iter().any(|item| item == wanted);
        self.selects()
            && any(&self.providers, what.provider)
            && any(&self.accounts, account)
            && any(&self.regions, what.region)
    }
}

/// What of an action chooses its realm.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    pub provider: &'a str,
    /// Whose permissions it has: its own, or the pipeline's.
    pub role: &'a str,
    pub region: &'a str,
}

/// What the SDKs read from the environment, as values: `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_<SERVICE>`,
/// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
#[derive(Clone, Default)]
pub struct AwsEnvironment(BTreeMap<String, String>);

impl AwsEnvironment {
    /// Keeps what matters of all variables.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let wanted = |name: &str| {
            name.starts_with("AWS_ENDPOINT_URL")
                || [
                    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                    "AWS_ACCESS_KEY_ID",
                    "AWS_SECRET_ACCESS_KEY",
                    "AWS_SESSION_TOKEN",
                ]
                .contains(&name)
        };
        Self(variables.into_iter().filter(|(name, value)| wanted(name) && !value.is_empty()).collect())
    }

    fn endpoints(&self) -> Endpoints {
        if self.0.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Endpoints::default();
        }
        let by_service = self.0.iter().filter_map(|(name, url)| {
            Some((name.strip_prefix("AWS_ENDPOINT_URL_")?.to_ascii_lowercase(), url.clone()))
        });
        Endpoints { default: self.0.get("AWS_ENDPOINT_URL").cloned(), services: by_service.collect() }
    }

    fn credentials(&self) -> Option<Credentials> {
        let of = |name: &str| self.0.get(name).cloned();
        let (key, secret) = (of("AWS_ACCESS_KEY_ID")?, of("AWS_SECRET_ACCESS_KEY")?);
        Some(Credentials::new(key, secret, of("AWS_SESSION_TOKEN"), None, "environment"))
    }
}

impl std::fmt::Debug for AwsEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// A table that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    #[error(
        "[realm.embedded] has a url, endpoints, credentials or jobs-by-id; Towpath's own services need none. Remove them, or name the realm otherwise"
    )]
    EmbeddedElsewhere,
    #[error("[realm.{name}] selects nothing; add providers, accounts or regions, so that it is known what runs there")]
    SelectsNothing { name: String },
    #[error("[realm.{name}] has an endpoint for \"{service}\", which no provider calls; there are {known}")]
    UnknownService { name: String, service: String, known: String },
}

/// Makes the HTTP client of realms outside: with TLS, hence only when it is needed.
pub type Network = Box<dyn Fn() -> SharedHttpClient + Send + Sync>;

/// All realms of a running system.
pub struct Realms {
    embedded: Arc<Realm>,
    /// The same for actions that run elsewhere: their own roles, of another account maybe, need not be known here.
    for_others: Arc<Realm>,
    tables: Vec<Named>,
    environment: AwsEnvironment,
    network: Option<Network>,
    client: OnceLock<SharedHttpClient>,
    /// Where services are that are not AWS's.
    internet: OnceLock<Option<Arc<Realm>>>,
}

struct Named {
    table: RealmTable,
    /// Made when the first action needs it; None: there are no credentials.
    realm: OnceLock<Option<Arc<Realm>>>,
}

impl Realms {
    /// Tables are tried in the given order.
    pub fn new(
        embedded: RealmSettings,
        tables: Vec<RealmTable>,
        environment: AwsEnvironment,
        network: Network,
    ) -> Result<Self, RealmError> {
        for table in &tables {
            check(table)?;
        }
        let named = |table| Named { table, realm: OnceLock::new() };
        Ok(Self {
            for_others: Arc::new(Realm::new(embedded.clone()).acting_as_pipelines()),
            embedded: Arc::new(Realm::new(embedded)),
            tables: tables.into_iter().map(named).collect(),
            environment,
            network: Some(network),
            client: OnceLock::new(),
            internet: OnceLock::new(),
        })
    }

    /// Towpath's own services and nothing else.
    pub fn embedded_only(embedded: RealmSettings) -> Self {
        Self {
            for_others: Arc::new(Realm::new(embedded.clone()).acting_as_pipelines()),
            embedded: Arc::new(Realm::new(embedded)),
            tables: Vec::new(),
            environment: AwsEnvironment::default(),
            network: None,
            client: OnceLock::new(),
            internet: OnceLock::new(),
        }
    }

    /// Where artifact stores are.
    pub fn artifacts(&self) -> &Arc<Realm> {
        &self.embedded
    }

    /// The same as an action that runs in `realm` sees it.
    pub fn artifacts_for(&self, realm: &Realm) -> &Arc<Realm> {
        if std::ptr::eq(realm, Arc::as_ptr(&self.embedded)) { &self.embedded } else { &self.for_others }
    }

    /// Where an action runs whose provider calls `service`, or why it cannot run at all.
    pub fn for_invocation(
        &self,
        action: &ActionInvocation,
        service: Option<Service>,
    ) -> Result<&Arc<Realm>, ErrorDetails> {
        let Some(service) = service else { return Ok(&self.embedded) };
        let what = Taken { provider: &action.action_type.provider, role: action.acting_role(), region: &action.region };
        match self.chosen(&what, service) {
            Some(named) if named.table.name == EMBEDDED => self.embedded_for(action, service),
            Some(named) => self.realm(named).ok_or_else(|| without_credentials(action, &named.table.name)),
            None if service.is_beyond_aws() => self.internet().ok_or_else(|| without_realm(action, service)),
            None => self.embedded_for(action, service),
        }
    }

    fn chosen(&self, what: &Taken<'_>, service: Service) -> Option<&Named> {
        self.tables.iter().find(|named| named.table.takes(what)).or_else(|| {
            let aws = || self.tables.iter().find(|named| named.table.name == AWS && !named.table.selects());
            if service.is_embedded() || service.is_beyond_aws() { None } else { aws() }
        })
    }

    /// Whether such an action runs in Towpath itself, so that its roles are known here.
    pub fn is_here(&self, what: &Taken<'_>, service: Option<Service>) -> bool {
        service.is_none_or(|service| match self.chosen(what, service) {
            Some(named) => named.table.name == EMBEDDED,
            None => service.is_embedded(),
        })
    }

    fn embedded_for(&self, action: &ActionInvocation, service: Service) -> Result<&Arc<Realm>, ErrorDetails> {
        if service.is_embedded() { Ok(&self.embedded) } else { Err(without_realm(action, service)) }
    }

    fn internet(&self) -> Option<&Arc<Realm>> {
        let open = || {
            let settings = RealmSettings {
                name: INTERNET.to_owned(),
                kind: RealmKind::Aws,
                endpoints: Endpoints::default(),
                // Nothing is signed there.
                credentials: Credentials::new(INTERNET, INTERNET, None, None, INTERNET).into(),
                http: self.client.get_or_init(self.network.as_ref()?).clone(),
                clock: self.embedded.clock(),
                console_url: None,
            };
            Some(Arc::new(Realm::new(settings)))
        };
        self.internet.get_or_init(open).as_ref()
    }

    fn realm<'a>(&'a self, named: &'a Named) -> Option<&'a Arc<Realm>> {
        named.realm.get_or_init(|| self.open(&named.table).map(Arc::new)).as_ref()
    }

    fn open(&self, table: &RealmTable) -> Option<Realm> {
        let credentials = table.credentials.clone().or_else(|| self.environment.credentials().map(KeySource::Fixed))?;
        let network = self.network.as_ref()?;
        let own = Endpoints { default: table.url.clone(), services: table.endpoints.clone() };
        let elsewhere = own.default.is_some() || !own.services.is_empty();
        let endpoints = if elsewhere || table.name != AWS { own } else { self.environment.endpoints() };
        let settings = RealmSettings {
            name: table.name.clone(),
            kind: if elsewhere { RealmKind::Other } else { RealmKind::Aws },
            endpoints,
            credentials,
            http: self.client.get_or_init(network).clone(),
            clock: self.embedded.clock(),
            console_url: None,
        };
        Some(Realm::new(settings).abroad(table.abroad.clone()))
    }
}

/// What is called beside the services of providers: roles are assumed, logs read.
const BESIDE_PROVIDERS: [&str; 3] = ["cloudwatch_logs", LOGIN_WITH_AMAZON, "sts"];
/// The realm of everything that Towpath does not embed.
const AWS: &str = "aws";
const EMBEDDED: &str = "embedded";
/// What is neither ours nor AWS's.
const INTERNET: &str = "internet";

fn check(table: &RealmTable) -> Result<(), RealmError> {
    let somewhere = table.url.is_some() || !table.endpoints.is_empty();
    if table.name == EMBEDDED && (somewhere || table.credentials.is_some() || table.abroad.jobs_by_id) {
        return Err(RealmError::EmbeddedElsewhere);
    }
    if table.name != AWS && !table.selects() {
        return Err(RealmError::SelectsNothing { name: table.name.clone() });
    }
    let mut known: Vec<&str> = Service::ALL.iter().map(|service| service.id()).chain(BESIDE_PROVIDERS).collect();
    known.sort_unstable();
    match table.endpoints.keys().find(|service| !known.contains(&service.as_str())) {
        Some(service) => Err(RealmError::UnknownService {
            name: table.name.clone(),
            service: service.clone(),
            known: known.join(", "),
        }),
        None => Ok(()),
    }
}

fn without_realm(action: &ActionInvocation, service: Service) -> ErrorDetails {
    if let Some(gone) = service.retired() {
        return ErrorDetails::new(error_code::JOB_FAILED, gone);
    }
    let what = if action.condition.is_some() { "Rule" } else { "Action" };
    ErrorDetails::new(
        error_code::CONFIGURATION_ERROR,
        format!(
            "{what} {} needs {}, which is not embedded in Towpath, and towpath.toml names no realm for it. For AWS add \
             the lines `[realm.aws]` and `profile = \"...\"` (or `[realm.aws]` alone, and set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY). For another implementation add `[realm.NAME]`, `url = \
             \"http://...\"`, `access-key-id = \"...\"`, `secret-access-key = \"...\"` and `providers = [\"{}\"]`.",
            action.action_name,
            service.name(),
            action.action_type.provider
        ),
    )
}

fn without_credentials(action: &ActionInvocation, name: &str) -> ErrorDetails {
    let what = if action.condition.is_some() { "Rule" } else { "Action" };
    ErrorDetails::new(
        error_code::CONFIGURATION_ERROR,
        format!(
            "{what} {} runs in the realm {name}, which has no credentials. Add `profile = \"...\"`, or \
             `access-key-id = \"...\"` and `secret-access-key = \"...\"`, to `[realm.{name}]` in towpath.toml, or set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY.",
            action.action_name
        ),
    )
}
