//! Jobs that functions carry out, on a clock that the test turns: how often a function is asked, with what, how long it is
//! waited for, and what survives a crash. The engine, the store, the effects and the provider are the real ones; STS and
//! Lambda are played, so that the test can be the function.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use towpath_model::catalogue::{ActionTypeId, Bounds, Category, Executor, Owner};
use towpath_model::ids::{ExecutionId, Scope};
use towpath_model::state::{ActionAttempt, ActionStatus, Execution, ExecutionStatus};
use towpath_model::time::Timestamp;
use towpath_orchestrator::limits::Quotas;
use towpath_orchestrator::simulation::{AnyRole, Virtual};
use towpath_orchestrator::{
    CommandError, Door, JobFailure, JobProgress, JobSuccess, NewPipeline, Orchestrator, PartnerExecutor, PartnerType,
    Parts, Runtime as _, custom_entry,
};
use towpath_providers::{
    Abroad, AwsEnvironment, Catalogue, Credentials, Endpoints, RealmKind, RealmSettings, RealmTable, Realms, Settings,
};
use towpath_store::MemoryStore;

const MINUTE: Duration = Duration::from_mins(1);

/// What the function was told, in order; and whether it can be told anything.
#[derive(Debug, Clone, Default)]
struct Lambda(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    events: Vec<(String, Value)>,
    gone: bool,
}

/// STS gives credentials to everybody; Lambda takes every event, unless the function is gone.
impl HttpConnector for Lambda {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (status, answer) = match request.uri().split_once("/functions/") {
            None => (
                200u16,
                "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
                 <Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>key</SecretAccessKey>\
                 <SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
                 </AssumeRoleResult></AssumeRoleResponse>",
            ),
            Some((_, path)) => {
                let mut told = self.0.lock().expect("nobody panics with it");
                if told.gone {
                    (404, "{\"Message\": \"Function not found\"}")
                } else {
                    let function = path.split('/').next().unwrap_or_default().replace("%3A", ":");
                    let event = request.body().bytes().map(serde_json::from_slice);
                    told.events.push((function, event.expect("a body").expect("JSON")));
                    (202, "")
                }
            }
        };
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().expect("a status"), answer.into())))
    }
}

struct Ids;

impl towpath_model::ids::IdSource for Ids {
    fn bits(&mut self) -> u128 {
        rand::random()
    }
}

fn process(store: &Arc<MemoryStore>, runtime: &Virtual, lambda: &Lambda, jobs_by_id: bool) -> Arc<Orchestrator> {
    let http = || -> SharedHttpClient {
        let lambda = lambda.clone();
        http_client_fn(move |_, _| SharedHttpConnector::new(lambda.clone()))
    };
    let keys = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let embedded = RealmSettings {
        name: "embedded".to_owned(),
        kind: RealmKind::Embedded,
        endpoints: Endpoints::one("http://127.0.0.1:1"),
        credentials: keys.clone().into(),
        http: http(),
        clock: Arc::new(runtime.clone()),
        console_url: None,
    };
    let lab = RealmTable {
        name: "lab".to_owned(),
        url: Some("http://127.0.0.1:2".to_owned()),
        credentials: Some(keys.into()),
        providers: ["Lambda", "LambdaInvoke", "Probe"].map(ToOwned::to_owned).to_vec(),
        abroad: Abroad { jobs_by_id, ..Abroad::default() },
        ..RealmTable::default()
    };
    let client = http();
    let network = Box::new(move || client.clone());
    let realms = Realms::new(embedded, vec![lab], AwsEnvironment::default(), network).expect("good tables");
    Orchestrator::new(Parts {
        store: store.clone(),
        catalogue: Arc::new(Catalogue::new(Settings { rehearsal: true })),
        realms: Arc::new(realms),
        roles: Arc::new(AnyRole),
        clock: Arc::new(runtime.clone()),
        runtime: Arc::new(runtime.clone()),
        ids: Box::new(Ids),
        quotas: Quotas::default(),
        partners: BTreeMap::new(),
        scratch: PathBuf::new(),
        node: None,
        keep_history: None,
    })
}

struct Bench {
    runtime: Virtual,
    store: Arc<MemoryStore>,
    node: Arc<Orchestrator>,
    scope: Scope,
    lambda: Lambda,
}

fn lambda_action() -> Value {
    json!({"name": "Check", "configuration": {"FunctionName": "smoke"}, "namespace": "Check",
        "actionTypeId": {"category": "Invoke", "owner": "AWS", "provider": "Lambda", "version": "1"}})
}

impl Bench {
    fn new() -> Self {
        Self::with(false)
    }

    fn with(jobs_by_id: bool) -> Self {
        let runtime = Virtual::new(0, Timestamp(1_893_456_000_000));
        let (store, lambda) = (Arc::new(MemoryStore::new()), Lambda::default());
        let node = process(&store, &runtime, &lambda, jobs_by_id);
        let bench = Self { runtime, store, node, scope: Scope::new("123456789012", "us-east-1"), lambda };
        bench.ask(|node, _| async move { node.resume().await }).expect("an empty outbox can be read");
        bench
    }

    /// The process dies; another one goes on.
    fn crash(self) -> Self {
        self.runtime.clear();
        let node = process(&self.store, &self.runtime, &self.lambda, false);
        let bench = Self { node, ..self };
        bench.ask(|node, _| async move { node.resume().await }).expect("the outbox can be read");
        bench
    }

    fn ask<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        question: impl FnOnce(Arc<Orchestrator>, Scope) -> F,
    ) -> T {
        let answer = Arc::new(Mutex::new(None));
        let (slot, question) = (Arc::clone(&answer), question(Arc::clone(&self.node), self.scope.clone()));
        self.runtime.spawn(Box::pin(async move {
            let value = question.await;
            *slot.lock().expect("nobody panics with it") = Some(value);
        }));
        self.advance(Duration::ZERO);
        answer.lock().expect("nobody panics with it").take().expect("an answer at once")
    }

    fn advance(&self, duration: Duration) {
        self.runtime.run_until(self.runtime.elapsed() + duration);
    }

    /// A pipeline with this second stage, and its first execution.
    fn run(&self, stage: &Value) -> ExecutionId {
        let source = json!({"name": "Fetch", "outputArtifacts": [{"name": "src"}],
            "actionTypeId": {"category": "Source", "owner": "Custom", "provider": "Rehearsal", "version": "1"}});
        let declaration = json!({
            "name": "p", "roleArn": "arn:aws:iam::123456789012:role/pipeline", "pipelineType": "V2",
            "artifactStore": {"type": "S3", "location": "artifact-bucket"},
            "stages": [{"name": "Source", "actions": [source]}, stage],
        });
        self.ask(|node, scope| async move {
            let declaration = serde_json::from_value(declaration).expect("a declaration");
            let new = NewPipeline { scope, declaration, tags: Vec::new(), created_by: "tester".to_owned() };
            node.create_pipeline(new).await.expect("a pipeline").execution.expect("it is started")
        })
    }

    fn check(&self) -> ExecutionId {
        self.run(&json!({"name": "Work", "actions": [lambda_action()]}))
    }

    fn events(&self) -> Vec<(String, Value)> {
        self.lambda.0.lock().expect("nobody panics with it").events.clone()
    }

    /// The job of the `n`th event.
    fn job(&self, n: usize) -> String {
        let events = self.events();
        events[n].1["CodePipeline.job"]["id"].as_str().expect("an id").to_owned()
    }

    fn succeed(&self, job: &str, success: JobSuccess) -> Result<(), CommandError> {
        let job = job.to_owned();
        self.ask(|node, scope| async move { node.put_job_success(&scope, &job, Door::Custom, success).await })
    }

    fn fail(&self, job: &str) -> Result<(), CommandError> {
        let job = job.to_owned();
        let failure = JobFailure { kind: "JobFailed".to_owned(), message: "red".to_owned(), external_id: None };
        self.ask(|node, scope| async move { node.put_job_failure(&scope, &job, Door::Custom, failure).await })
    }

    fn execution(&self, id: &ExecutionId) -> Execution {
        let id = id.clone();
        self.ask(|node, scope| async move { node.execution(&scope, "p", &id).await }).expect("it is there")
    }

    fn attempt(&self, id: &ExecutionId) -> ActionAttempt {
        self.execution(id).stages[1].actions[0].latest.clone().expect("it ran")
    }
}

fn more(token: &str) -> JobSuccess {
    JobSuccess { continuation_token: Some(token.to_owned()), ..JobSuccess::default() }
}

#[tokio::test]
async fn a_function_is_asked_once_and_its_answer_ends_the_action() {
    let bench = Bench::new();
    let id = bench.check();
    bench.advance(MINUTE * 10);
    assert_eq!(bench.events().len(), 1, "asked once");
    assert_eq!(bench.events()[0].0, "smoke");
    assert_eq!(bench.attempt(&id).status, ActionStatus::InProgress);
    assert_eq!(bench.attempt(&id).progress.external_id.as_deref(), Some("smoke"));
    let success = JobSuccess {
        variables: BTreeMap::from([("Url".to_owned(), "x".to_owned())]),
        progress: JobProgress {
            summary: Some("mine".to_owned()),
            external_id: Some("7".to_owned()),
            percent: Some(100),
        },
        ..JobSuccess::default()
    };
    assert!(bench.succeed(&bench.job(0), success.clone()).is_ok());
    let attempt = bench.attempt(&id);
    assert_eq!(attempt.status, ActionStatus::Succeeded);
    assert_eq!(attempt.variables["Url"], "x");
    let progress = attempt.progress;
    assert_eq!((progress.external_id.as_deref(), progress.summary, progress.percent), (Some("smoke"), None, Some(100)));
    assert_eq!(bench.execution(&id).status, ExecutionStatus::Succeeded);
    // The same again is known; another answer is refused.
    assert!(bench.succeed(&bench.job(0), success).is_ok());
    assert!(matches!(bench.fail(&bench.job(0)), Err(CommandError::InvalidJobState(_))));
}

#[tokio::test]
async fn a_failure_is_the_actions() {
    let bench = Bench::new();
    let id = bench.check();
    assert!(bench.fail(&bench.job(0)).is_ok());
    let error = bench.attempt(&id).error.expect("why");
    assert_eq!((error.code.as_str(), error.message.as_str()), ("JobFailed", "red"));
}

#[tokio::test]
async fn a_function_that_asks_to_be_continued_is_asked_again_with_its_token() {
    let bench = Bench::new();
    let id = bench.check();
    let told = JobSuccess {
        progress: JobProgress { summary: Some("half".to_owned()), external_id: None, percent: Some(50) },
        ..more("part-2")
    };
    assert!(bench.succeed(&bench.job(0), told).is_ok());
    let progress = bench.attempt(&id).progress;
    assert_eq!((progress.summary.as_deref(), progress.percent), (Some("half"), Some(50)));
    bench.advance(Duration::from_millis(999));
    assert_eq!(bench.events().len(), 1, "not at once");
    bench.advance(Duration::from_millis(2));
    assert_eq!(bench.events().len(), 2);
    let (first, second) =
        (bench.events()[0].1["CodePipeline.job"].clone(), bench.events()[1].1["CodePipeline.job"].clone());
    assert_ne!(first["id"], second["id"], "another job");
    assert_eq!(first["data"]["continuationToken"], Value::Null);
    assert_eq!(second["data"]["continuationToken"], "part-2");
    assert_eq!(first["data"]["outputArtifacts"], second["data"]["outputArtifacts"]);
    assert!(matches!(bench.fail(&bench.job(0)), Err(CommandError::InvalidJobState(_))), "the first one has ended");
    assert_eq!(bench.attempt(&id).progress.summary.as_deref(), Some("half"), "still shown");
    assert!(bench.succeed(&bench.job(1), JobSuccess::default()).is_ok());
    assert_eq!(bench.execution(&id).status, ExecutionStatus::Succeeded);
    bench.advance(MINUTE * 60 * 25);
    assert_eq!(bench.events().len(), 2, "and never again");
}

#[tokio::test]
async fn each_turn_of_a_function_has_twenty_minutes() {
    let bench = Bench::new();
    let id = bench.check();
    bench.advance(MINUTE * 19);
    assert!(bench.succeed(&bench.job(0), more("on")).is_ok());
    bench.advance(MINUTE * 19);
    assert_eq!(bench.attempt(&id).status, ActionStatus::InProgress, "the second turn has its own");
    bench.advance(MINUTE * 2);
    let attempt = bench.attempt(&id);
    assert_eq!(attempt.status, ActionStatus::Failed);
    let error = attempt.error.expect("why");
    assert_eq!(error.code, "JobTimedOut");
    assert!(error.message.starts_with("The AWS Lambda function smoke failed to return a result."), "{}", error.message);
    assert!(bench.succeed(&bench.job(1), JobSuccess::default()).is_ok(), "a late answer is taken");
    assert_eq!(bench.execution(&id).status, ExecutionStatus::Failed, "and changes nothing");
}

#[tokio::test]
async fn however_often_it_goes_on_it_has_a_day() {
    // So much happens in this one poll that tokio would want its turn, which it does not get: the test turns the clock itself.
    tokio::task::unconstrained(async { a_day() }).await;
}

fn a_day() {
    let bench = Bench::new();
    let id = bench.check();
    for turn in 0..89 {
        bench.advance(MINUTE * 15);
        assert!(bench.succeed(&bench.job(turn), more("on")).is_ok());
        bench.advance(MINUTE);
        assert_eq!(bench.events().len(), turn + 2, "turn {turn}: {:?}", bench.attempt(&id));
    }
    bench.advance(MINUTE * 15);
    assert_eq!(bench.attempt(&id).status, ActionStatus::InProgress, "a minute is left");
    bench.advance(MINUTE * 2);
    let error = bench.attempt(&id).error.expect("a day is over");
    assert_eq!(error.code, "JobTimedOut");
    assert!(error.message.ends_with("an action ends after 24 hours."), "{}", error.message);
}

#[tokio::test]
async fn a_crash_loses_no_turn_and_takes_none_twice() {
    let bench = Bench::new();
    let id = bench.check();
    let bench = bench.crash();
    bench.advance(MINUTE);
    assert_eq!(bench.events().len(), 1, "what was acknowledged is not asked again");
    assert!(bench.succeed(&bench.job(0), more("on")).is_ok());
    let bench = bench.crash();
    bench.advance(MINUTE);
    assert_eq!(bench.events().len(), 2, "the turn that was asked for is taken by the next process");
    let bench = bench.crash();
    assert!(bench.succeed(&bench.job(1), JobSuccess::default()).is_ok());
    assert_eq!(bench.execution(&id).status, ExecutionStatus::Succeeded);
}

#[tokio::test]
async fn an_abandoned_functions_answer_means_nothing() {
    let bench = Bench::new();
    let id = bench.check();
    let stopped = id.clone();
    bench
        .ask(|node, scope| async move { node.stop_execution(&scope, "p", &stopped, true, None, "tester".to_owned()).await })
        .expect("it stops");
    assert_eq!(bench.attempt(&id).status, ActionStatus::Abandoned);
    assert!(bench.succeed(&bench.job(0), more("on")).is_ok());
    bench.advance(MINUTE);
    assert_eq!(bench.events().len(), 1, "nobody goes on");
}

/// Without Tokio, whose budget for one task would end before the thousands of times that are asked.
#[test]
fn an_outage_ends_with_the_actions_timeout_and_nothing_else() {
    let bench = Bench::new();
    let id = bench.run(&json!({"name": "Work", "actions": [{"name": "Ship",
        "configuration": {"Outcome": "unavailable", "Message": "Rate exceeded."},
        "actionTypeId": {"category": "Deploy", "owner": "Custom", "provider": "Rehearsal", "version": "1"}}]}));
    let began = bench.attempt(&id);
    let minutes = u32::try_from((began.deadline.millis() - began.started.millis()) / 60_000).expect("some");
    assert!(minutes > 120, "longer than sixty pauses: {minutes}");
    bench.advance(MINUTE * (minutes - 1));
    assert_eq!(bench.attempt(&id).status, ActionStatus::InProgress);
    bench.advance(MINUTE * 2);
    let error = bench.attempt(&id).error.expect("it failed");
    assert_eq!(error.code, "JobTimedOut");
    let message = format!(
        "The action did not complete within {minutes} minutes. Asked last, its service was not available: Rate exceeded."
    );
    assert_eq!(error.message, message);
}

#[tokio::test]
async fn a_function_that_is_gone_fails_the_action() {
    let bench = Bench::new();
    bench.lambda.0.lock().expect("nobody panics with it").gone = true;
    let id = bench.check();
    let error = bench.attempt(&id).error.expect("why");
    assert_eq!(error.code, "ConfigurationError");
    assert_eq!(error.message, "The AWS Lambda function smoke does not exist.");
}

#[tokio::test]
async fn a_rule_asks_a_function_too() {
    let approval = json!({"name": "Ok",
        "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}});
    let rule = json!({"name": "Ask", "configuration": {"FunctionName": "gate"},
        "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": "LambdaInvoke", "version": "1"}});
    for met in [true, false] {
        let bench = Bench::new();
        let id = bench.run(&json!({"name": "Work", "actions": [approval],
            "beforeEntry": {"conditions": [{"result": "FAIL", "rules": [rule]}]}}));
        assert_eq!(bench.events()[0].0, "gate");
        let job = bench.job(0);
        assert!(if met { bench.succeed(&job, JobSuccess::default()) } else { bench.fail(&job) }.is_ok());
        let execution = bench.execution(&id);
        let expected = if met { ExecutionStatus::InProgress } else { ExecutionStatus::Failed };
        assert_eq!(execution.status, expected);
        assert_eq!(execution.stages[1].actions[0].latest.is_some(), met, "the gate opens for a met rule");
    }
}

#[tokio::test]
async fn a_partners_function_is_handed_its_jobs() {
    let bench = Bench::new();
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:probe";
    bench.ask(|node, scope| async move {
        let id = ActionTypeId::new(Category::Test, Owner::ThirdParty, "Probe", "1");
        let mut entry = custom_entry(id, Vec::new(), Bounds::new(0, 0), Bounds::new(0, 0));
        entry.executor = Executor::Lambda;
        entry.default_timeout_minutes = 2;
        let partner = PartnerType {
            entry,
            executor: PartnerExecutor::Lambda { function_arn: arn.to_owned() },
            job_timeout: Some(120),
            policy_statements_template: None,
            allowed_accounts: None,
            configuration_url: None,
        };
        node.update_action_type(&scope, partner).await.expect("a new type");
    });
    let action = json!({"name": "Probe",
        "actionTypeId": {"category": "Test", "owner": "ThirdParty", "provider": "Probe", "version": "1"}});
    let id = bench.run(&json!({"name": "Work", "actions": [action]}));
    assert_eq!(bench.events()[0].0, arn);
    bench.advance(Duration::from_secs(100));
    assert!(bench.succeed(&bench.job(0), more("on")).is_ok());
    bench.advance(Duration::from_secs(100));
    assert_eq!(bench.events().len(), 2, "its second turn has two minutes of its own");
    assert!(bench.succeed(&bench.job(1), JobSuccess::default()).is_ok());
    assert_eq!(bench.execution(&id).status, ExecutionStatus::Succeeded);
}

#[tokio::test]
async fn the_id_of_a_job_opens_it_only_where_the_realm_says_so_and_while_it_is_open() {
    let opened = |bench: &Bench, job: &str| {
        let job = job.to_owned();
        bench.ask(|node, _| async move { node.job_open_by_id(&job).await }).expect("the store can be read")
    };
    let bench = Bench::new();
    bench.check();
    assert_eq!(opened(&bench, &bench.job(0)), None, "without jobs-by-id");

    let bench = Bench::with(true);
    bench.check();
    assert_eq!(opened(&bench, &bench.job(0)), Some(bench.scope.clone()));
    assert_eq!(opened(&bench, "11111111-1111-4111-8111-111111111111"), None);
    assert_eq!(opened(&bench, "../codepipeline.jobs"), None);
    assert!(bench.succeed(&bench.job(0), more("on")).is_ok());
    bench.advance(MINUTE);
    assert_eq!(opened(&bench, &bench.job(0)), None, "it has ended");
    assert_eq!(opened(&bench, &bench.job(1)), Some(bench.scope.clone()), "the next one is open");
    assert!(bench.succeed(&bench.job(1), JobSuccess::default()).is_ok());
    assert_eq!(opened(&bench, &bench.job(1)), None);
}
