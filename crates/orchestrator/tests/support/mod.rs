//! An orchestrator over the memory store and the Rehearsal provider: everything real but AWS.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http::{SharedHttpClient, http_client_fn};
use serde_json::{Value, json};
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::ids::{ExecutionId, IdSource, Scope};
use towpath_model::state::{Execution, Trigger};
use towpath_model::time::{Clock, Timestamp};
use towpath_orchestrator::{NewPipeline, Orchestrator, Parts, Roles, StartRequest, TokioRuntime};
use towpath_providers::{Catalogue, Credentials, Endpoints, RealmKind, RealmSettings, Realms, Settings};
use towpath_store::Store;

pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the tests run in real time")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        Timestamp::from_millis(i64::try_from(since.as_millis()).expect("fits"))
    }
}

pub struct RandomIds;

impl IdSource for RandomIds {
    fn bits(&mut self) -> u128 {
        rand::random()
    }
}

struct AnyRole;

#[async_trait]
impl Roles for AnyRole {
    async fn test_assume(&self, _: &Scope, _: &str, role: &str, _: &[String]) -> Result<(), String> {
        if role.ends_with("/forbidden") {
            return Err(format!("CodePipeline is not authorized to perform AssumeRole on role {role}"));
        }
        Ok(())
    }
}

fn no_network() -> SharedHttpClient {
    http_client_fn(|_, _| panic!("the rehearsal provider calls nobody"))
}

pub fn scope() -> Scope {
    Scope::new("123456789012", "us-east-1")
}

pub async fn orchestrator(store: Arc<dyn Store>) -> Arc<Orchestrator> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let realms = Realms::embedded_only(RealmSettings {
        name: "embedded".to_owned(),
        kind: RealmKind::Embedded,
        endpoints: Endpoints::one("http://127.0.0.1:1"),
        credentials: Credentials::new("AKIDEXAMPLE", "secret", None, None, "test").into(),
        http: no_network(),
        clock: Arc::clone(&clock),
        console_url: None,
    });
    let orchestrator = Orchestrator::new(Parts {
        store,
        catalogue: Arc::new(Catalogue::new(Settings { rehearsal: true })),
        realms: Arc::new(realms),
        roles: Arc::new(AnyRole),
        clock,
        runtime: Arc::new(TokioRuntime),
        ids: Box::new(RandomIds),
        quotas: towpath_orchestrator::limits::Quotas::default(),
        partners: towpath_orchestrator::PartnerClients::new(),
        scratch: std::env::temp_dir(),
        node: None,
        keep_history: None,
    });
    orchestrator.resume().await.expect("an empty outbox can be read");
    orchestrator
}

/// A rehearsal action; `configuration` scripts its outcome.
pub fn action(name: &str, category: &str, run_order: u32, configuration: &Value) -> Value {
    let mut action = json!({
        "name": name, "runOrder": run_order,
        "actionTypeId": {"category": category, "owner": "Custom", "provider": "Rehearsal", "version": "1"},
        "configuration": configuration,
    });
    if category == "Source" {
        action["outputArtifacts"] = json!([{"name": format!("{name}Out")}]);
    }
    action
}

pub fn approval(name: &str, run_order: u32) -> Value {
    json!({"name": name, "runOrder": run_order,
        "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}})
}

pub fn pipeline(name: &str, stages: &[(&str, Vec<Value>)]) -> PipelineDeclaration {
    let stages: Vec<Value> = stages.iter().map(|(stage, actions)| json!({"name": stage, "actions": actions})).collect();
    serde_json::from_value(json!({
        "name": name,
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "artifactStore": {"type": "S3", "location": "artifact-bucket"},
        "stages": stages,
    }))
    .expect("a declaration")
}

/// Source, two actions one after the other, and another stage.
pub fn three_stages(name: &str) -> PipelineDeclaration {
    pipeline(
        name,
        &[
            ("Source", vec![action("Fetch", "Source", 1, &json!({}))]),
            ("Build", vec![action("Compile", "Build", 1, &json!({}))]),
            ("Deploy", vec![action("Ship", "Deploy", 1, &json!({}))]),
        ],
    )
}

pub async fn create(orchestrator: &Arc<Orchestrator>, declaration: PipelineDeclaration) -> ExecutionId {
    orchestrator
        .create_pipeline(NewPipeline { scope: scope(), declaration, tags: Vec::new(), created_by: "tester".to_owned() })
        .await
        .expect("the pipeline is created")
        .execution
        .expect("creating a pipeline starts it")
}

pub async fn start(orchestrator: &Arc<Orchestrator>, name: &str, token: Option<&str>) -> ExecutionId {
    let request = StartRequest {
        trigger: Trigger { kind: "StartPipelineExecution".to_owned(), detail: "tester".to_owned() },
        variables: Vec::new(),
        source_overrides: Vec::new(),
        client_request_token: token.map(str::to_owned),
    };
    orchestrator.start_execution(&scope(), name, request).await.expect("the execution starts")
}

/// Follows the history until the execution is as asked for.
pub async fn until(
    orchestrator: &Arc<Orchestrator>,
    name: &str,
    id: &ExecutionId,
    wanted: impl Fn(&Execution) -> bool,
) -> Execution {
    let mut changes = orchestrator.subscribe();
    let found = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let execution = orchestrator.execution(&scope(), name, id).await.expect("the execution is there");
            if wanted(&execution) {
                return execution;
            }
            changes.changed().await.expect("the orchestrator lives");
        }
    });
    found.await.expect("the execution gets there")
}

pub async fn ended(orchestrator: &Arc<Orchestrator>, name: &str, id: &ExecutionId) -> Execution {
    until(orchestrator, name, id, |execution| execution.status.has_ended()).await
}
