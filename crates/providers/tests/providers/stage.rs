//! What a test stands on: a world with buckets and a project, a realm over it, and invocations.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress};
use towpath_model::catalogue::{ActionTypeId, Category, Owner};
use towpath_model::declaration::{ConditionType, EnvironmentVariable};
use towpath_model::ids::Scope;
use towpath_model::time::{Clock, Timestamp};
use towpath_providers::{
    Call, Catalogue, Credentials, Endpoints, GitHosts, HandedJob, Provider, Realm, RealmKind, RealmSettings, Settings,
};

use crate::git_host;
use crate::world::{Aws, NOW, SECRET};

pub const PIPELINE_ROLE: &str = "arn:aws:iam::111122223333:role/pipeline";
pub const ACTION_ROLE: &str = "arn:aws:iam::444455556666:role/deployer";
pub const REGION: &str = "eu-west-1";

pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn advance_minutes(&self, minutes: i64) {
        self.0.fetch_add(minutes * 60_000, Ordering::SeqCst);
    }

    pub fn set(&self, to: Timestamp) {
        self.0.store(to.millis(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// One process: its catalogue and its realm with everything they remember. A second one over the same world is what a
/// crash leaves.
pub struct Stage {
    pub aws: Aws,
    pub clock: Arc<TestClock>,
    pub realm: Realm,
    pub catalogue: Catalogue,
    pub scratch: TempDir,
    /// What a function is handed.
    pub job: HandedJob,
}

impl Stage {
    pub fn new() -> Self {
        let aws = Aws::default();
        {
            let mut world = aws.world();
            world.s3.bucket("sources", true);
            world.s3.bucket("artifacts", true);
            world.s3.bucket("site", false);
            world.codebuild.projects.push("ferry-build".to_owned());
        }
        Self::over(&aws, RealmKind::Embedded)
    }

    pub fn over(aws: &Aws, kind: RealmKind) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(NOW.millis())));
        let realm = realm(aws, kind, &clock);
        let job = HandedJob {
            id: "33333333-3333-4333-8333-333333333333".to_owned(),
            function: "ferry-check".to_owned(),
            continuation_token: None,
        };
        let hosts = GitHosts {
            github: BTreeMap::from([("Act".to_owned(), git_host::url())]),
            types: Arc::new(git_host::Types),
            ..GitHosts::default()
        };
        let catalogue = Catalogue::with_git_hosts(Settings { rehearsal: true }, hosts)
            .with_kubernetes_tools(crate::eks_peer::tools());
        Self { aws: aws.clone(), clock, realm, catalogue, scratch: TempDir::new().unwrap(), job }
    }

    pub fn call(&self) -> Call<'_> {
        Call {
            realm: &self.realm,
            artifacts: &self.realm,
            clock: self.clock.as_ref(),
            scratch: self.scratch.path(),
            job: Some(&self.job),
        }
    }

    pub fn provider(&self, action: &ActionInvocation) -> &dyn Provider {
        self.catalogue.get(&action.action_type).unwrap()
    }

    pub async fn start(&self, action: &ActionInvocation) -> Outcome {
        self.provider(action).start(&self.call(), action).await
    }

    pub async fn poll(&self, action: &ActionInvocation, progress: &Progress) -> Outcome {
        self.provider(action).poll(&self.call(), action, progress).await
    }

    pub async fn stop(&self, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        self.provider(action).stop(&self.call(), action, progress).await
    }
}

pub fn realm(aws: &Aws, kind: RealmKind, clock: &Arc<TestClock>) -> Realm {
    Realm::new(RealmSettings {
        name: "test".to_owned(),
        kind,
        endpoints: Endpoints {
            services: BTreeMap::from([
                ("git".to_owned(), git_host::url()),
                ("s3".to_owned(), "https://s3.fake.test".to_owned()),
            ]),
            ..Endpoints::one("https://fake.test")
        },
        credentials: Credentials::new("AKIASERVICE", SECRET, None, None, "test").into(),
        http: aws.http(),
        clock: clock.clone(),
        console_url: None,
    })
}

pub fn artifact(name: &str, key: &str) -> ArtifactLocation {
    ArtifactLocation {
        name: name.into(),
        bucket: "artifacts".to_owned(),
        key: key.to_owned(),
        region: REGION.to_owned(),
        revision_id: None,
    }
}

pub fn invocation(
    category: Category,
    owner: Owner,
    provider: &str,
    configuration: &[(&str, &str)],
) -> ActionInvocation {
    ActionInvocation {
        scope: Scope::new("111122223333", REGION),
        pipeline_name: "ferry".into(),
        pipeline_version: 1,
        execution_id: "11111111-1111-4111-8111-111111111111".into(),
        stage_name: "Stage".into(),
        action_name: "Act".into(),
        action_execution_id: "22222222-2222-4222-8222-222222222222".into(),
        action_type: ActionTypeId::new(category, owner, provider, "1"),
        condition: None,
        configuration: configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        region: REGION.to_owned(),
        pipeline_role_arn: PIPELINE_ROLE.to_owned(),
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
        started: NOW,
        deadline: NOW.plus_minutes(60),
    }
}

pub fn rule(provider: &str, configuration: &[(&str, &str)]) -> ActionInvocation {
    ActionInvocation {
        condition: Some(ConditionType::BeforeEntry),
        action_name: "Rule".into(),
        ..invocation(Category::Rule, Owner::Aws, provider, configuration)
    }
}

pub fn s3_source() -> ActionInvocation {
    let configuration = [("S3Bucket", "sources"), ("S3ObjectKey", "web/app.zip")];
    ActionInvocation {
        output_artifacts: vec![artifact("app-src", "ferry/app-src/Qm4TzX1.zip")],
        ..invocation(Category::Source, Owner::Aws, "S3", &configuration)
    }
}

pub fn build() -> ActionInvocation {
    ActionInvocation {
        input_artifacts: vec![artifact("app_src", "ferry/app_src/Qm4TzX1.zip")],
        output_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")],
        ..invocation(Category::Build, Owner::Aws, "CodeBuild", &[("ProjectName", "ferry-build")])
    }
}

pub fn commands(category: Category) -> ActionInvocation {
    let variable = EnvironmentVariable {
        name: "TOKEN".to_owned(),
        value: crate::conformance::CONFIGURED_SECRET.to_owned(),
        kind: None,
    };
    ActionInvocation {
        input_artifacts: vec![artifact("app_src", "ferry/app_src/Qm4TzX1.zip")],
        commands: vec!["make dist".to_owned(), "export VERSION_ID=$(cat VERSION)".to_owned()],
        environment_variables: vec![variable],
        ..invocation(category, Owner::Aws, "Commands", &[])
    }
}

pub const MACHINE: &str = "arn:aws:states:eu-west-1:111122223333:stateMachine:ferry";

/// Invokes the function `ferry-check`, with an input and an output.
pub fn lambda(category: Category) -> ActionInvocation {
    let provider = if category == Category::Rule { "LambdaInvoke" } else { "Lambda" };
    let parameters = crate::conformance::CONFIGURED_SECRET;
    let configuration = [("FunctionName", "ferry-check"), ("UserParameters", parameters)];
    let bundle =
        ArtifactLocation { revision_id: Some("rev-7".to_owned()), ..artifact("bundle", "ferry/bundle/a1B2c3D") };
    ActionInvocation {
        input_artifacts: vec![bundle],
        output_artifacts: vec![artifact("report", "ferry/report/HiJkLmN")],
        ..invocation(category, Owner::Aws, provider, &configuration)
    }
}

/// Runs the state machine `ferry` with a file of the input artifact.
pub fn step_functions() -> ActionInvocation {
    let configuration = [
        ("StateMachineArn", MACHINE),
        ("ExecutionNamePrefix", "rel"),
        ("InputType", "FilePath"),
        ("Input", "flows/start.json"),
    ];
    ActionInvocation {
        input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")],
        output_artifacts: vec![artifact("flow", "ferry/flow/Zk81aLw")],
        ..invocation(Category::Invoke, Owner::Aws, "StepFunctions", &configuration)
    }
}

pub fn pipeline_invoke(configuration: &[(&str, &str)]) -> ActionInvocation {
    let mut action = invocation(Category::Invoke, Owner::Aws, "CodePipeline", &[("PipelineName", "ferry-prod")]);
    action.configuration.extend(configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    action
}

pub fn s3_deploy(configuration: &[(&str, &str)]) -> ActionInvocation {
    let mut action = invocation(Category::Deploy, Owner::Aws, "S3", &[("BucketName", "site")]);
    action.configuration.extend(configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    ActionInvocation { input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")], ..action }
}

/// A zip of these files.
pub fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    for (name, bytes) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().write_all(bytes).unwrap();
    }
    let zip = dir.path().join("a.zip");
    towpath_artifacts::pack_directory(&root, |_, _| true, &zip).unwrap();
    std::fs::read(zip).unwrap()
}

/// The files of a zip.
pub fn unzipped(zip: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.zip");
    std::fs::write(&path, zip).unwrap();
    let root = dir.path().join("root");
    towpath_artifacts::unpack(&path, &root, &towpath_artifacts::Limits::DEFAULT).unwrap();
    let items = towpath_artifacts::walk(&root, |_, _| true).unwrap();
    items.into_iter().map(|item| (item.name, std::fs::read(item.path).unwrap())).collect()
}

/// Code and message of a failure; panics on anything else.
pub fn failure(outcome: Outcome) -> (String, String) {
    match outcome {
        Outcome::Failed { error, progress } => {
            assert!(progress.summary.is_none_or(|summary| summary == error.message), "summary and message agree");
            (error.code, error.message)
        }
        other => panic!("expected a failure, got {other:?}"),
    }
}

pub fn success(outcome: Outcome) -> (Progress, BTreeMap<String, String>, Vec<towpath_model::action::Revision>) {
    match outcome {
        Outcome::Succeeded { progress, variables, revisions } => (progress, variables, revisions),
        other => panic!("expected a success, got {other:?}"),
    }
}

pub fn pending(outcome: Outcome) -> Progress {
    match outcome {
        Outcome::Pending { progress } => progress,
        other => panic!("expected work going on, got {other:?}"),
    }
}
