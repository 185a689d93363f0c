//! Which realm an action runs in, and what those it cannot run in are told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use towpath_model::action::ActionInvocation;
use towpath_providers::objects::S3;
use towpath_providers::{
    Abroad, AwsEnvironment, Call, Credentials, Endpoints, KeySource, RealmError, RealmKind, RealmSettings, RealmTable,
    Realms, Service, SharedCredentialsProvider, Taken,
};

use crate::stage::{ACTION_ROLE, PIPELINE_ROLE, Stage, build, failure, rule, success};
use crate::world::{NOW, SECRET};

fn embedded(stage: &Stage) -> RealmSettings {
    RealmSettings {
        name: "embedded".to_owned(),
        kind: RealmKind::Embedded,
        endpoints: Endpoints::one("https://embedded.test"),
        credentials: Credentials::new("AKIASERVICE", SECRET, None, None, "test").into(),
        http: stage.aws.http(),
        clock: stage.clock.clone(),
        console_url: None,
    }
}

fn keys(key: &str) -> Credentials {
    Credentials::new(key, SECRET, None, None, "test")
}

fn table(name: &str) -> RealmTable {
    RealmTable { name: name.to_owned(), credentials: Some(keys("AKIATABLE").into()), ..RealmTable::default() }
}

fn environment(variables: &[(&str, &str)]) -> AwsEnvironment {
    AwsEnvironment::of(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn realms(stage: &Stage, tables: Vec<RealmTable>, variables: &[(&str, &str)]) -> Realms {
    let http = stage.aws.http();
    Realms::new(embedded(stage), tables, environment(variables), Box::new(move || http.clone())).unwrap()
}

fn alarm() -> ActionInvocation {
    rule("CloudWatchAlarm", &[("AlarmName", "ferry-5xx")])
}

/// Name of the realm that takes the action.
fn chosen(realms: &Realms, action: &ActionInvocation, service: Option<Service>) -> String {
    realms.for_invocation(action, service).unwrap().name().to_owned()
}

#[test]
fn what_is_embedded_stays_unless_a_table_takes_it() {
    let stage = Stage::new();
    let mut own = build();
    own.role_arn = Some(ACTION_ROLE.to_owned());
    let plain = realms(&stage, vec![table("aws")], &[]);
    assert_eq!(chosen(&plain, &build(), Some(Service::CodeBuild)), "embedded");
    assert_eq!(chosen(&plain, &alarm(), Some(Service::CloudWatch)), "aws");
    assert_eq!(chosen(&plain, &alarm(), None), "embedded");

    let by_provider = RealmTable { providers: vec!["CodeBuild".to_owned()], ..table("stack") };
    let by_account = RealmTable { accounts: vec!["444455556666".to_owned()], ..table("theirs") };
    let by_region = RealmTable { regions: vec!["us-west-2".to_owned()], ..table("west") };
    let several = realms(&stage, vec![by_account, by_region, by_provider, table("aws")], &[]);
    assert_eq!(chosen(&several, &own, Some(Service::CodeBuild)), "theirs", "the first that takes it");
    assert_eq!(chosen(&several, &build(), Some(Service::CodeBuild)), "stack");
    own.role_arn = None;
    own.region = "us-west-2".to_owned();
    assert_eq!(chosen(&several, &own, Some(Service::CodeBuild)), "west");
    assert_eq!(chosen(&several, &alarm(), Some(Service::CloudWatch)), "aws");

    let both = RealmTable { regions: vec!["us-west-2".to_owned()], accounts: vec!["1".to_owned()], ..table("never") };
    assert_eq!(chosen(&realms(&stage, vec![both], &[]), &own, Some(Service::CodeBuild)), "embedded", "all must hold");
}

#[test]
fn a_realm_that_is_not_there_is_told_with_the_lines_to_add() {
    let stage = Stage::new();
    let error = realms(&stage, vec![], &[]).for_invocation(&alarm(), Some(Service::CloudWatch)).unwrap_err();
    assert_eq!(error.code, "ConfigurationError");
    assert_eq!(
        error.message,
        "Rule Rule needs Amazon CloudWatch, which is not embedded in Towpath, and towpath.toml names no realm for it. For AWS \
         add the lines `[realm.aws]` and `profile = \"...\"` (or `[realm.aws]` alone, and set AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY). For another implementation add `[realm.NAME]`, `url = \"http://...\"`, `access-key-id = \
         \"...\"`, `secret-access-key = \"...\"` and `providers = [\"CloudWatchAlarm\"]`."
    );
    let only_embedded = Realms::embedded_only(embedded(&stage));
    assert_eq!(only_embedded.for_invocation(&alarm(), Some(Service::CloudWatch)).unwrap_err(), error);
    let bare = RealmTable { name: "aws".to_owned(), ..RealmTable::default() };
    let error = realms(&stage, vec![bare], &[]).for_invocation(&alarm(), Some(Service::CloudWatch)).unwrap_err();
    assert!(error.message.starts_with("Rule Rule runs in the realm aws, which has no credentials. Add `profile"));
}

#[test]
fn tables_that_contradict_themselves() {
    let stage = Stage::new();
    let refused = |table: RealmTable| {
        let http = stage.aws.http();
        let network = Box::new(move || http.clone());
        Realms::new(embedded(&stage), vec![table], AwsEnvironment::default(), network).err().unwrap()
    };
    assert_eq!(refused(table("embedded")), RealmError::EmbeddedElsewhere);
    assert_eq!(refused(table("stack")), RealmError::SelectsNothing { name: "stack".to_owned() });
    let mut odd = table("aws");
    odd.endpoints.insert("cloudfront".to_owned(), "http://x".to_owned());
    let RealmError::UnknownService { name, service, known } = refused(odd) else { panic!("another refusal") };
    assert_eq!((name.as_str(), service.as_str()), ("aws", "cloudfront"));
    assert!(known.starts_with("alexa, appconfig, ") && known.contains(", sts"), "{known}");
}

/// Runs the alarm rule in the realm that takes it; answers host, access key and Region of each call.
async fn calls(stage: &Stage, realms: &Realms) -> Vec<(String, String, String)> {
    stage.aws.world().cloudwatch.metric.insert("ferry-5xx".to_owned(), "OK".to_owned());
    let realm = realms.for_invocation(&alarm(), Some(Service::CloudWatch)).unwrap();
    let call = Call { realm, ..stage.call() };
    success(stage.provider(&alarm()).start(&call, &alarm()).await);
    let world = stage.aws.world();
    world.requests.iter().map(|r| (r.host.clone(), r.access_key.clone(), r.region.clone())).collect()
}

fn call(host: &str, key: &str, region: &str) -> (String, String, String) {
    (host.to_owned(), key.to_owned(), region.to_owned())
}

#[tokio::test]
async fn aws_is_aws_with_the_environments_keys_and_endpoints() {
    let stage = Stage::new();
    let bare = || RealmTable { name: "aws".to_owned(), ..RealmTable::default() };
    let keys = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", SECRET), ("HOME", "/root")];
    let aws = realms(&stage, vec![bare()], &keys);
    assert_eq!(aws.for_invocation(&alarm(), Some(Service::CloudWatch)).unwrap().kind(), RealmKind::Aws);
    assert_eq!(
        calls(&stage, &aws).await,
        [
            call("sts.eu-west-1.amazonaws.com", "AKIAENV", "eu-west-1"),
            call("monitoring.eu-west-1.amazonaws.com", "ASIA1", "eu-west-1")
        ]
    );

    let stage = Stage::new();
    let urls = [("AWS_ENDPOINT_URL", "http://one.test"), ("AWS_ENDPOINT_URL_CLOUDWATCH", "http://alarms.test")];
    let aws = realms(&stage, vec![bare()], &[keys.as_slice(), &urls].concat());
    let told = calls(&stage, &aws).await;
    assert_eq!(told, [call("one.test", "AKIAENV", "eu-west-1"), call("alarms.test", "ASIA1", "eu-west-1")]);

    let stage = Stage::new();
    let ignored = [("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")];
    let aws = realms(&stage, vec![bare()], &[keys.as_slice(), &urls, &ignored].concat());
    assert_eq!(calls(&stage, &aws).await[1].0, "monitoring.eu-west-1.amazonaws.com");
    assert!(!format!("{:?}", environment(&keys)).contains(SECRET));
}

#[tokio::test]
async fn a_table_says_where_who_and_which_region() {
    let stage = Stage::new();
    let mut stack = table("stack");
    stack.url = Some("http://stack.test".to_owned());
    stack.endpoints.insert("cloudwatch".to_owned(), "http://alarms.stack.test".to_owned());
    stack.providers = vec!["CloudWatchAlarm".to_owned()];
    stack.abroad = Abroad {
        region: Some("us-east-1".to_owned()),
        roles: [(crate::stage::PIPELINE_ROLE.to_owned(), "arn:aws:iam::000000000000:role/there".to_owned())].into(),
        ..Abroad::default()
    };
    // The environment is AWS's, not this realm's.
    let variables = [("AWS_ENDPOINT_URL", "http://one.test")];
    let told = calls(&stage, &realms(&stage, vec![stack.clone()], &variables)).await;
    assert_eq!(told, [call("stack.test", "AKIATABLE", "us-east-1"), call("alarms.stack.test", "ASIA1", "us-east-1")]);
    assert_eq!(stage.aws.world().sessions["ASIA1"].role, "arn:aws:iam::000000000000:role/there");

    let stage = Stage::new();
    stack.abroad = Abroad { without_roles: true, ..Abroad::default() };
    let told = calls(&stage, &realms(&stage, vec![stack], &[])).await;
    assert_eq!(told, [call("alarms.stack.test", "AKIATABLE", "eu-west-1")]);
}

#[test]
fn roles_of_what_runs_here_are_known_here() {
    let stage = Stage::new();
    let theirs = RealmTable { accounts: vec!["444455556666".to_owned()], ..table("theirs") };
    let all = realms(&stage, vec![theirs], &[]);
    let is_here = |provider: &str, role: &str, service: Option<Service>| {
        all.is_here(&Taken { provider, role, region: "eu-west-1" }, service)
    };
    assert!(is_here("CodeBuild", PIPELINE_ROLE, Some(Service::CodeBuild)));
    assert!(!is_here("CodeBuild", ACTION_ROLE, Some(Service::CodeBuild)), "a table takes it");
    assert!(!is_here("ECS", PIPELINE_ROLE, Some(Service::Ecs)), "it runs nowhere yet");
    assert!(is_here("Manual", ACTION_ROLE, None));
}

/// A role of another account is known there, not to the artifact store here.
#[tokio::test]
async fn artifacts_of_an_action_elsewhere_are_read_as_its_pipeline() {
    let stage = Stage::new();
    let all = realms(&stage, vec![table("aws")], &[]);
    let mut action = alarm();
    action.role_arn = Some(ACTION_ROLE.to_owned());
    let elsewhere = all.for_invocation(&action, Some(Service::CloudWatch)).unwrap();
    let both = [PIPELINE_ROLE, ACTION_ROLE];
    for (realm, roles) in [(elsewhere, &both[..1]), (all.artifacts(), &both[..])] {
        stage.aws.world().sessions.clear();
        let store = S3::new(all.artifacts_for(realm), &action, "eu-west-1");
        store.look("artifacts", "none", None).await.unwrap_err();
        let assumed: Vec<String> = stage.aws.world().sessions.values().map(|session| session.role.clone()).collect();
        assert_eq!(assumed, roles);
    }
}

#[test]
fn the_network_is_opened_for_the_first_realm_outside_and_once() {
    let stage = Stage::new();
    let opened = Arc::new(AtomicUsize::new(0));
    let (counted, http) = (Arc::clone(&opened), Mutex::new(stage.aws.http()));
    let network = Box::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        http.lock().unwrap().clone()
    });
    let west = RealmTable { regions: vec!["us-west-2".to_owned()], ..table("west") };
    let realms = Realms::new(embedded(&stage), vec![west, table("aws")], AwsEnvironment::default(), network).unwrap();
    chosen(&realms, &build(), Some(Service::CodeBuild));
    assert_eq!(opened.load(Ordering::SeqCst), 0);
    let there = ActionInvocation { region: "us-west-2".to_owned(), ..alarm() };
    for action in [alarm(), there, alarm()] {
        chosen(&realms, &action, Some(Service::CloudWatch));
    }
    assert_eq!(opened.load(Ordering::SeqCst), 1);
}

/// Credentials that end, as a profile's role gives them; counts how often it was asked.
#[derive(Debug, Default)]
struct Ending(Arc<AtomicUsize>);

impl aws_credential_types::provider::ProvideCredentials for Ending {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let asked = self.0.fetch_add(1, Ordering::SeqCst);
        let ends = NOW.plus_minutes(60 * (u32::try_from(asked).unwrap() + 1));
        let ends = UNIX_EPOCH + Duration::from_millis(u64::try_from(ends.millis()).unwrap());
        let given = Credentials::new(format!("AKIAENDING{asked}"), SECRET, None, Some(ends), "test");
        aws_credential_types::provider::future::ProvideCredentials::ready(Ok(given))
    }
}

#[tokio::test]
async fn credentials_that_end_are_asked_for_again() {
    for without_roles in [true, false] {
        let stage = Stage::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let mut ending = table("aws");
        ending.credentials = Some(KeySource::Asked(SharedCredentialsProvider::new(Ending(Arc::clone(&asked)))));
        ending.abroad.without_roles = without_roles;
        let realms = realms(&stage, vec![ending], &[]);
        for _ in 0..2 {
            calls(&stage, &realms).await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1, "kept with its session");
        stage.clock.advance_minutes(56);
        let told = calls(&stage, &realms).await;
        assert_eq!(asked.load(Ordering::SeqCst), 2, "less than five minutes were left");
        let used = told.iter().any(|(_, key, _)| key == "AKIAENDING1");
        assert!(used, "{told:?}");
    }
}

/// A profile that nobody is signed in to.
#[derive(Debug)]
struct SignedOut;

impl aws_credential_types::provider::ProvideCredentials for SignedOut {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let error =
            aws_credential_types::provider::error::CredentialsError::provider_error("aws sso login --profile ci");
        aws_credential_types::provider::future::ProvideCredentials::ready(Err(error))
    }
}

#[tokio::test]
async fn a_profile_that_gives_nothing_fails_the_action_and_says_why() {
    let stage = Stage::new();
    let mut out = table("aws");
    out.credentials = Some(KeySource::Asked(SharedCredentialsProvider::new(SignedOut)));
    let realms = realms(&stage, vec![out], &[]);
    let realm = realms.for_invocation(&alarm(), Some(Service::CloudWatch)).unwrap();
    let (code, message) = failure(stage.provider(&alarm()).start(&Call { realm, ..stage.call() }, &alarm()).await);
    assert_eq!(code, "PermissionError");
    assert!(message.starts_with("The realm aws has no credentials. aws sso login --profile ci"), "{message}");
}
