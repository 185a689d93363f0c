//! CloudWatchAlarm against a CloudWatch that nobody here wrote: moto's server, over HTTP, through the same tables that
//! towpath.toml has. `cargo xtask test` brings moto; without it this test fails and says so.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_cloudwatch::types::{ComparisonOperator, StateValue, Statistic};
use aws_smithy_http_client::Builder;
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{ActionTypeId, Category, Owner};
use towpath_model::declaration::ConditionType;
use towpath_model::ids::Scope;
use towpath_model::time::{Clock, Timestamp};
use towpath_providers::{
    AwsEnvironment, Call, Catalogue, Credentials, Endpoints, RealmKind, RealmSettings, RealmTable, Realms, Service,
    Settings,
};

const REGION: &str = "eu-west-1";

/// The server; it ends with the test.
struct Moto {
    server: Child,
    url: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Moto {
    fn start() -> Self {
        const NEEDED: &str = "moto is needed: run `cargo xtask test`, which installs it, or set TOWPATH_TEST_PYTHON to a \
                              Python that has moto[server]";
        let python = std::env::var_os("TOWPATH_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let server = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONUNBUFFERED", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect(NEEDED);
        let mut moto = Self { server, url: String::new() };
        let mut lines = BufReader::new(moto.server.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut told = Vec::new();
        for line in lines.by_ref() {
            if let Some((_, url)) = line.split_once("Running on ") {
                url.trim().clone_into(&mut moto.url);
                // What it says later must not fill the pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return moto;
            }
            told.push(line);
        }
        panic!("{NEEDED}. It said: {}", told.join("\n"));
    }

    fn client(&self) -> aws_sdk_cloudwatch::Client {
        let config = aws_sdk_cloudwatch::Config::builder()
            .behavior_version(aws_sdk_cloudwatch::config::BehaviorVersion::latest())
            .region(aws_sdk_cloudwatch::config::Region::new(REGION))
            .credentials_provider(keys())
            .endpoint_url(&self.url)
            .http_client(Builder::new().build_http());
        aws_sdk_cloudwatch::Client::from_conf(config.build())
    }
}

fn keys() -> Credentials {
    Credentials::new("testing", "testing", None, None, "test")
}

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

fn rule(alarm: &str, gate: ConditionType, wait_minutes: u32) -> ActionInvocation {
    let configuration = [("AlarmName", alarm.to_owned()), ("WaitTime", wait_minutes.to_string())];
    ActionInvocation {
        scope: Scope::new("123456789012", REGION),
        pipeline_name: "ferry".into(),
        pipeline_version: 1,
        execution_id: "11111111-1111-4111-8111-111111111111".into(),
        stage_name: "Prod".into(),
        action_name: "Quiet".into(),
        action_execution_id: "22222222-2222-4222-8222-222222222222".into(),
        action_type: ActionTypeId::new(Category::Rule, Owner::Aws, "CloudWatchAlarm", "1"),
        condition: Some(gate),
        configuration: configuration.map(|(key, value)| (key.to_owned(), value)).into(),
        region: REGION.to_owned(),
        pipeline_role_arn: "arn:aws:iam::123456789012:role/pipeline".to_owned(),
        role_arn: None,
        input_artifacts: Vec::new(),
        copies: Vec::new(),
        output_artifacts: Vec::new(),
        encryption_key: None,
        source_overrides: Vec::new(),
        commands: Vec::new(),
        environment_variables: Vec::new(),
        output_variables: Vec::new(),
        output_files: Vec::new(),
        started: Timestamp(0),
        deadline: Timestamp(0).plus_minutes(60),
    }
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded { .. } => "met",
        Outcome::Pending { .. } => "waits",
        Outcome::Failed { .. } => "not met",
        Outcome::AwaitingCallback { .. } => "awaits",
        Outcome::Unavailable { .. } => "unavailable",
    }
}

#[tokio::test]
async fn alarms_of_motos_cloudwatch() {
    let moto = Moto::start();
    let http = Builder::new().build_http();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let embedded = RealmSettings {
        name: "embedded".to_owned(),
        kind: RealmKind::Embedded,
        endpoints: Endpoints::one("http://127.0.0.1:1"),
        credentials: keys().into(),
        http: http.clone(),
        clock: clock.clone(),
        console_url: None,
    };
    // `[realm.aws]`, empty, and the variables of the SDKs.
    let table = RealmTable { name: "aws".to_owned(), ..RealmTable::default() };
    let variables = [
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_STS", &moto.url),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", &moto.url),
    ];
    let environment = AwsEnvironment::of(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let realms = Realms::new(embedded, vec![table], environment, Box::new(move || http.clone())).unwrap();
    let catalogue = Catalogue::new(Settings::default());
    let scratch = tempfile::tempdir().unwrap();

    let cloudwatch = moto.client();
    let alarm = cloudwatch.put_metric_alarm().alarm_name("ferry-5xx").namespace("Ferry").metric_name("5xx");
    let alarm = alarm.comparison_operator(ComparisonOperator::GreaterThanThreshold).threshold(1.0).period(60);
    alarm.evaluation_periods(1).statistic(Statistic::Sum).send().await.unwrap();
    let set = async |state: StateValue| {
        let request = cloudwatch.set_alarm_state().alarm_name("ferry-5xx").state_value(state);
        request.state_reason("as the test says").send().await.unwrap();
    };
    let ask = async |rule: &ActionInvocation, polled: bool| {
        let realm = realms.for_invocation(rule, Some(Service::CloudWatch)).unwrap();
        let call =
            Call { realm, artifacts: realms.artifacts(), clock: clock.as_ref(), scratch: scratch.path(), job: None };
        let provider = catalogue.get(&rule.action_type).unwrap();
        if polled { provider.poll(&call, rule, &Progress::default()).await } else { provider.start(&call, rule).await }
    };

    // gate, WaitTime, state now, answer
    for (gate, wait, state, answer) in [
        (ConditionType::BeforeEntry, 0, StateValue::Ok, "met"),
        (ConditionType::BeforeEntry, 0, StateValue::InsufficientData, "met"),
        (ConditionType::BeforeEntry, 0, StateValue::Alarm, "not met"),
        (ConditionType::OnSuccess, 15, StateValue::Ok, "met"),
        (ConditionType::OnSuccess, 15, StateValue::Alarm, "waits"),
        (ConditionType::OnFailure, 0, StateValue::Alarm, "met"),
        (ConditionType::OnFailure, 0, StateValue::Ok, "not met"),
        (ConditionType::OnFailure, 15, StateValue::Ok, "waits"),
    ] {
        set(state.clone()).await;
        let outcome = ask(&rule("ferry-5xx", gate, wait), false).await;
        assert_eq!(name(&outcome), answer, "{gate:?} {wait} {state}: {outcome:?}");
    }

    // A watch: the alarm goes on, goes off in time, and in another watch does not.
    let watch = rule("ferry-5xx", ConditionType::OnSuccess, 15);
    set(StateValue::Alarm).await;
    assert_eq!(name(&ask(&watch, false).await), "waits");
    clock.0.store(14 * 60_000, Ordering::SeqCst);
    assert_eq!(name(&ask(&watch, true).await), "waits");
    clock.0.store(15 * 60_000, Ordering::SeqCst);
    let Outcome::Failed { error, .. } = ask(&watch, true).await else { panic!("the watch is over") };
    assert_eq!(
        error.message,
        "The alarm ferry-5xx is in state ALARM and did not leave ALARM within 15 minutes; a state other than ALARM was \
         expected. as the test says"
    );
    set(StateValue::Ok).await;
    assert_eq!(name(&ask(&watch, true).await), "met");

    let Outcome::Failed { error, .. } = ask(&rule("gone", ConditionType::BeforeEntry, 0), false).await else {
        panic!("there is no such alarm")
    };
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        (
            "ConfigurationError",
            "The alarm gone does not exist in Region eu-west-1 of realm aws. Check AlarmName and the rule's region."
        )
    );
}
