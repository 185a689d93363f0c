//! Jobs on a clock that the test turns: what becomes of one that nobody acknowledges, of one whose action times out, and
//! how long an ended one is remembered. The engine, the store and the effects are the real ones; STS alone is played.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use serde_json::json;
use towpath_model::catalogue::{ActionTypeId, Bounds, Category, Owner, Property};
use towpath_model::ids::{ExecutionId, Scope};
use towpath_model::secret::Secret;
use towpath_model::state::{ActionStatus, Execution, ExecutionStatus};
use towpath_model::time::Timestamp;
use towpath_orchestrator::limits::{JOB_LEASE, JOBS_KEPT, Quotas};
use towpath_orchestrator::simulation::{AnyRole, Virtual};
use towpath_orchestrator::{
    CommandError, CustomActionType, Door, Job, JobStatus, JobSuccess, NewActionType, NewPipeline, Orchestrator,
    PartnerClient, PartnerExecutor, PartnerType, Parts, Runtime as _, StartRequest, custom_entry,
};
use towpath_providers::{Catalogue, Credentials, Endpoints, RealmKind, RealmSettings, Realms, Settings};
use towpath_store::{Documents as _, MemoryStore, Scan};

const DAY: Duration = Duration::from_hours(24);
const SECRET: &str = "hush-hush";

/// Gives credentials to everybody.
#[derive(Debug)]
struct Sts;

impl HttpConnector for Sts {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let answer = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
             <AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>key</SecretAccessKey><SessionToken>token</SessionToken>\
             <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let status = 200u16.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, answer.into())))
    }
}

struct Ids;

impl towpath_model::ids::IdSource for Ids {
    fn bits(&mut self) -> u128 {
        rand::random()
    }
}

/// A process over the store, on the clock of the test.
fn process(store: &Arc<MemoryStore>, runtime: &Virtual) -> Arc<Orchestrator> {
    let realms = Realms::embedded_only(RealmSettings {
        name: "embedded".to_owned(),
        kind: RealmKind::Embedded,
        endpoints: Endpoints::one("http://127.0.0.1:1"),
        credentials: Credentials::new("AKIDEXAMPLE", "secret", None, None, "test").into(),
        http: http_client_fn(|_, _| SharedHttpConnector::new(Sts)),
        clock: Arc::new(runtime.clone()),
        console_url: None,
    });
    Orchestrator::new(Parts {
        store: store.clone(),
        catalogue: Arc::new(Catalogue::new(Settings { rehearsal: true })),
        realms: Arc::new(realms),
        roles: Arc::new(AnyRole),
        clock: Arc::new(runtime.clone()),
        runtime: Arc::new(runtime.clone()),
        ids: Box::new(Ids),
        quotas: Quotas::default(),
        partners: BTreeMap::from([(
            "Probe".to_owned(),
            PartnerClient { id: "1b4e28ba-2fa1-41d2-883f-0016d3cca427".to_owned(), token: Secret::new("token") },
        )]),
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
    farm: ActionTypeId,
}

impl Bench {
    /// A process in which the type Farm is known and a pipeline `p` of two Farm actions side by side has been started.
    fn new() -> (Self, ExecutionId) {
        let runtime = Virtual::new(0, Timestamp(1_893_456_000_000));
        let store = Arc::new(MemoryStore::new());
        let node = process(&store, &runtime);
        let farm = ActionTypeId::new(Category::Build, Owner::Custom, "Farm", "1");
        let bench = Self { runtime, store, node, scope: Scope::new("123456789012", "us-east-1"), farm };
        bench.ask(|node, _| async move { node.resume().await }).expect("an empty outbox can be read");
        bench.ask(|node, scope| async move {
            let token = Property { secret: true, ..Property::required("Token", "") };
            let id = ActionTypeId::new(Category::Build, Owner::Custom, "Farm", "1");
            let entry = custom_entry(id, vec![token], Bounds::new(0, 0), Bounds::new(0, 0));
            let custom = CustomActionType { entry, configuration_url: None, property_types: BTreeMap::new() };
            node.create_action_type(NewActionType { scope, custom, tags: Vec::new() }).await.expect("a new type");
        });
        let first = bench.ask(|node, scope| async move {
            let source = json!({"name": "Fetch", "outputArtifacts": [{"name": "src"}],
                "actionTypeId": {"category": "Source", "owner": "Custom", "provider": "Rehearsal", "version": "1"}});
            let work = |name: &str| {
                json!({"name": name, "configuration": {"Token": SECRET},
                    "actionTypeId": {"category": "Build", "owner": "Custom", "provider": "Farm", "version": "1"}})
            };
            let declaration = json!({
                "name": "p", "roleArn": "arn:aws:iam::123456789012:role/pipeline",
                "artifactStore": {"type": "S3", "location": "artifact-bucket"},
                "stages": [{"name": "Source", "actions": [source]}, {"name": "Work", "actions": [work("A"), work("B")]}],
            });
            let declaration = serde_json::from_value(declaration).expect("a declaration");
            let new = NewPipeline { scope, declaration, tags: Vec::new(), created_by: "tester".to_owned() };
            node.create_pipeline(new).await.expect("a pipeline").execution.expect("it is started")
        });
        (bench, first)
    }

    /// Asks the process something, and lets happen what happens meanwhile without time passing.
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

    fn poll(&self) -> Vec<Job> {
        let farm = self.farm.clone();
        let jobs =
            self.ask(|node, scope| async move { node.poll_for_jobs(&scope, &farm, None, &BTreeMap::new()).await });
        jobs.expect("the type is there")
    }

    fn acknowledge(&self, job: &Job) -> Result<JobStatus, CommandError> {
        let (id, nonce) = (job.details.id.clone(), job.nonce.clone());
        self.ask(|node, scope| async move { node.acknowledge_job(&scope, &id, Door::Custom, &nonce).await })
    }

    fn succeed(&self, job: &Job) -> Result<(), CommandError> {
        let id = job.details.id.clone();
        self.ask(
            |node, scope| async move { node.put_job_success(&scope, &id, Door::Custom, JobSuccess::default()).await },
        )
    }

    fn take(&self) -> Vec<Job> {
        let jobs = self.poll();
        for job in &jobs {
            assert_eq!(self.acknowledge(job).ok(), Some(JobStatus::InProgress));
        }
        jobs
    }

    fn execution(&self, id: &ExecutionId) -> Execution {
        self.execution_of("p", id)
    }

    fn execution_of(&self, pipeline: &'static str, id: &ExecutionId) -> Execution {
        let id = id.clone();
        self.ask(|node, scope| async move { node.execution(&scope, pipeline, &id).await }).expect("it is there")
    }

    fn start(&self) -> ExecutionId {
        self.ask(|node, scope| async move {
            let trigger = towpath_model::state::Trigger {
                kind: "StartPipelineExecution".to_owned(),
                detail: "tester".to_owned(),
            };
            let request = StartRequest {
                trigger,
                variables: Vec::new(),
                source_overrides: Vec::new(),
                client_request_token: None,
            };
            node.start_execution(&scope, "p", request).await
        })
        .expect("it starts")
    }

    /// Everything that is kept in a collection, as text.
    fn kept(&self, collection: &str) -> Vec<String> {
        let (store, collection) = (self.store.clone(), collection.to_owned());
        self.ask(|_, _| async move {
            let mut kept = Vec::new();
            for partition in store.partitions(&collection).await.expect("readable") {
                let rows = store.scan(&collection, &partition, Scan::all()).await.expect("readable");
                kept.extend(rows.iter().map(|row| String::from_utf8_lossy(&row.body).into_owned()));
            }
            kept
        })
    }
}

fn id(job: &Job) -> &str {
    &job.details.id
}

#[tokio::test]
async fn a_job_that_nobody_acknowledges_is_given_out_again() {
    let (bench, _) = Bench::new();
    let first = bench.poll();
    assert_eq!(first.len(), 2, "both actions have a job");
    assert!(bench.poll().is_empty(), "they are given out");
    assert_eq!(bench.acknowledge(&first[0]).ok(), Some(JobStatus::InProgress));
    bench.advance(JOB_LEASE.saturating_sub(Duration::from_millis(1)));
    assert!(bench.poll().is_empty(), "their time is not over");
    bench.advance(Duration::from_millis(1));
    let again = bench.poll();
    assert_eq!(again.iter().map(id).collect::<Vec<_>>(), [id(&first[1])], "the one that was not acknowledged");
    assert!(matches!(bench.acknowledge(&first[1]), Err(CommandError::InvalidNonce(_))), "with a new nonce");
    assert!(matches!(bench.acknowledge(&again[0]), Ok(JobStatus::InProgress)));
    bench.advance(Duration::from_hours(1));
    assert!(bench.poll().is_empty(), "an acknowledged job is its worker's");
}

#[tokio::test]
async fn an_old_nonce_is_good_until_the_job_is_given_out_again() {
    let (bench, _) = Bench::new();
    let job = &bench.poll()[0];
    bench.advance(JOB_LEASE * 3);
    assert!(matches!(bench.acknowledge(job), Ok(JobStatus::InProgress)), "nobody else asked meanwhile");
    assert_eq!(bench.poll().len(), 1, "the other one alone");
}

#[tokio::test]
async fn an_action_that_times_out_takes_its_job_along() {
    let (bench, first) = Bench::new();
    let jobs = bench.poll();
    assert!(matches!(bench.acknowledge(&jobs[0]), Ok(JobStatus::InProgress)));
    bench.advance(DAY.saturating_sub(Duration::from_secs(1)));
    assert_eq!(bench.execution(&first).status, ExecutionStatus::InProgress);
    bench.advance(Duration::from_secs(2));
    let execution = bench.execution(&first);
    assert_eq!(execution.status, ExecutionStatus::Failed);
    for action in &execution.stages[1].actions {
        let attempt = action.latest.as_ref().expect("it ran");
        assert_eq!(attempt.status, ActionStatus::Failed);
        assert_eq!(attempt.error.as_ref().map(|error| error.code.as_str()), Some("JobTimedOut"));
    }
    assert!(bench.poll().is_empty(), "the other job is offered to nobody");
    assert!(matches!(bench.acknowledge(&jobs[1]), Ok(JobStatus::TimedOut)));
    assert!(bench.succeed(&jobs[0]).is_ok(), "a late result is taken");
    assert_eq!(bench.execution(&first), execution, "and changes nothing");
    assert!(bench.kept("codepipeline.job-queue").is_empty() && bench.kept("codepipeline.job-of-action").is_empty());
}

#[tokio::test]
async fn an_ended_job_keeps_no_secret_and_is_forgotten_in_time() {
    let (bench, first) = Bench::new();
    let jobs = bench.take();
    let secrets = |bench: &Bench| bench.kept("codepipeline.jobs").iter().filter(|job| job.contains(SECRET)).count();
    assert_eq!(secrets(&bench), 2, "a worker may still ask for them");
    for job in &jobs {
        assert!(bench.succeed(job).is_ok());
    }
    assert_eq!(bench.execution(&first).status, ExecutionStatus::Succeeded);
    assert_eq!((secrets(&bench), bench.kept("codepipeline.jobs").len()), (0, 2));

    bench.advance(JOBS_KEPT.saturating_sub(DAY));
    assert!(bench.succeed(&jobs[0]).is_ok(), "a repeat is known");
    bench.advance(DAY * 2);
    bench.start();
    for job in bench.take() {
        assert!(bench.succeed(&job).is_ok());
    }
    assert!(matches!(bench.succeed(&jobs[0]), Err(CommandError::JobNotFound(_))), "long ended");
    assert_eq!(bench.kept("codepipeline.jobs").len(), 2, "the two that ended just now");
    assert_eq!(bench.kept("codepipeline.jobs-ended").len(), 2);
}

#[tokio::test]
async fn a_process_that_dies_leaves_its_jobs_to_the_next() {
    let (bench, first) = Bench::new();
    let jobs = bench.take();
    assert!(bench.succeed(&jobs[0]).is_ok());
    bench.runtime.clear();
    let next = process(&bench.store, &bench.runtime);
    let bench = Bench { node: next, ..bench };
    bench.ask(|node, _| async move { node.resume().await }).expect("the outbox can be read");
    assert!(bench.succeed(&jobs[0]).is_ok(), "the result is known");
    assert_eq!(bench.execution(&first).status, ExecutionStatus::InProgress);
    assert!(bench.succeed(&jobs[1]).is_ok());
    assert_eq!(bench.execution(&first).status, ExecutionStatus::Succeeded);
}

#[tokio::test]
async fn a_partners_job_has_a_time_of_its_own_and_its_continuation_a_new_one() {
    let (bench, _) = Bench::new();
    let probe = ActionTypeId::new(Category::Test, Owner::ThirdParty, "Probe", "1");
    let (id, poll) = (probe.clone(), probe);
    let execution = bench.ask(|node, scope| async move {
        let mut entry = custom_entry(id, Vec::new(), Bounds::new(0, 0), Bounds::new(0, 0));
        entry.default_timeout_minutes = 2;
        let partner = PartnerType {
            entry,
            executor: PartnerExecutor::JobWorker { accounts: None, principals: None },
            job_timeout: Some(120),
            policy_statements_template: None,
            allowed_accounts: None,
            configuration_url: None,
        };
        node.update_action_type(&scope, partner).await.expect("a new type");
        let source = json!({"name": "Fetch", "outputArtifacts": [{"name": "src"}],
            "actionTypeId": {"category": "Source", "owner": "Custom", "provider": "Rehearsal", "version": "1"}});
        let work = json!({"name": "Probe",
            "actionTypeId": {"category": "Test", "owner": "ThirdParty", "provider": "Probe", "version": "1"}});
        let declaration = json!({
            "name": "q", "roleArn": "arn:aws:iam::123456789012:role/pipeline",
            "artifactStore": {"type": "S3", "location": "artifact-bucket"},
            "stages": [{"name": "Source", "actions": [source]}, {"name": "Work", "actions": [work]}],
        });
        let declaration = serde_json::from_value(declaration).expect("a declaration");
        let new = NewPipeline { scope, declaration, tags: Vec::new(), created_by: "tester".to_owned() };
        node.create_pipeline(new).await.expect("a pipeline").execution.expect("it is started")
    });
    let take = || {
        let poll = poll.clone();
        bench.ask(|node, scope| async move {
            let job =
                node.poll_for_partner_jobs(&scope, &poll, None).await.expect("the type is there").remove(0).job_id;
            let details = node.partner_job_details(&scope, &job, "token").await.expect("its details");
            let (door, nonce) = (Door::Partner { token: "token" }, details.nonce.expect("a nonce"));
            node.acknowledge_job(&scope, &job, door, &nonce).await.expect("it is taken");
            job
        })
    };
    let job = take();
    bench.advance(Duration::from_secs(100));
    bench.ask(|node, scope| async move {
        let more = JobSuccess { continuation_token: Some("more".to_owned()), ..JobSuccess::default() };
        node.put_job_success(&scope, &job, Door::Partner { token: "token" }, more).await.expect("it goes on");
    });
    take();
    bench.advance(Duration::from_secs(119));
    assert_eq!(
        bench.execution_of("q", &execution).status,
        ExecutionStatus::InProgress,
        "the second job has its own two minutes"
    );
    bench.advance(Duration::from_secs(2));
    let ended = bench.execution_of("q", &execution);
    assert_eq!(ended.status, ExecutionStatus::Failed);
    let attempt = ended.stages[1].actions[0].latest.as_ref().expect("it ran");
    assert_eq!(attempt.error.as_ref().map(|error| error.code.as_str()), Some("JobTimedOut"));
}
