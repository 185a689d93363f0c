//! Which realm an action runs in, and what those it cannot run in are told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use towpath_model::action::ActionInvocation;
use towpath_providers::{
    Abroad, AwsEnvironment, Call, Credentials, Endpoints, RealmError, RealmKind, RealmSettings, RealmTable, Realms,
    Service,
};

use crate::stage::{ACTION_ROLE, Stage, build, rule, success};
use crate::world::SECRET;

fn embedded(stage: &Stage) -> RealmSettings {
    RealmSettings {
        name: "embedded".to_owned(),
        kind: RealmKind::Embedded,
        endpoints: Endpoints::one("https://embedded.test"),
        credentials: Credentials::new("AKIASERVICE", SECRET, None, None, "test"),
        http: stage.aws.http(),
        clock: stage.clock.clone(),
        console_url: None,
    }
}

fn keys(key: &str) -> Credentials {
    Credentials::new(key, SECRET, None, None, "test")
}

fn table(name: &str) -> RealmTable {
    RealmTable { name: name.to_owned(), credentials: Some(keys("AKIATABLE")), ..RealmTable::default() }
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
         add the lines `[realm.aws]`, `access-key-id = \"...\"` and `secret-access-key = \"...\"` (or `[realm.aws]` alone, and \
         set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY). For another implementation add `[realm.NAME]`, `url = \
         \"http://...\"`, the two keys and `providers = [\"CloudWatchAlarm\"]`."
    );
    let only_embedded = Realms::embedded_only(embedded(&stage));
    assert_eq!(only_embedded.for_invocation(&alarm(), Some(Service::CloudWatch)).unwrap_err(), error);
    let bare = RealmTable { name: "aws".to_owned(), ..RealmTable::default() };
    let error = realms(&stage, vec![bare], &[]).for_invocation(&alarm(), Some(Service::CloudWatch)).unwrap_err();
    assert!(error.message.starts_with("Rule Rule runs in the realm aws, which has no credentials. Add `access-key-id"));
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
    assert!(known.starts_with("cloudwatch, ") && known.contains(", sts"), "{known}");
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
