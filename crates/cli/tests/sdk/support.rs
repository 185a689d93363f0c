//! A server of the shipped binary, the SDK's clients for it, and a short way to declare what a test needs. Asserts nothing
//! about the product beyond "this call must succeed".

use std::fs;
use std::io::{BufRead as _, BufReader, Cursor, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_codebuild::types as cb;
use aws_sdk_codepipeline::types::{
    ActionCategory, ActionDeclaration, ActionExecutionDetail, ActionExecutionFilter, ActionOwner, ActionState,
    ActionTypeId, ArtifactStore, ArtifactStoreType, InputArtifact, OutputArtifact, PipelineDeclaration,
    PipelineExecution, PipelineExecutionStatus, PipelineType, StageDeclaration, StageState,
};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::record::Record;

pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "us-east-1";
/// Where the artifacts of every test's pipelines lie.
pub const STORE: &str = "artifact-store";
pub const PIPELINE_ROLE: &str = "pipeline-role";
pub const BUILD_ROLE: &str = "build-role";

/// Long enough for a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(50);
const GLANCE: Duration = Duration::from_millis(15);

/// Builds run as plain processes, so that a test can hold one up with a file; the scriptable provider is on.
const CONFIG: &str = "[sandbox]\nkind = \"host\"\n[rehearsal]\nenabled = true\n";

pub fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// A started server with the clients of its root user.
pub struct World {
    pub pipelines: aws_sdk_codepipeline::Client,
    pub builds: aws_sdk_codebuild::Client,
    pub s3: aws_sdk_s3::Client,
    pub sts: aws_sdk_sts::Client,
    pub iam: aws_sdk_iam::Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
    url: String,
    root: Credentials,
    dir: TempDir,
    server: Child,
}

impl Drop for World {
    fn drop(&mut self) {
        // The clients hold no state of the server's; it may go without a word.
        let _ = self.server.kill();
        let _ = self.server.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            #[expect(clippy::print_stderr, reason = "a failed test shows what its server said")]
            {
                eprintln!("--- the server's log ---\n{}", tail.join("\n"));
            }
        }
    }
}

macro_rules! client {
    ($service:ident, $url:expr, $credentials:expr $(, $more:ident($value:expr))*) => {
        client!($service, $url, $credentials, in REGION $(, $more($value))*)
    };
    ($service:ident, $url:expr, $credentials:expr, in $region:expr $(, $more:ident($value:expr))*) => {
        $service::Client::from_conf(
            $service::Config::builder()
                .behavior_version($service::config::BehaviorVersion::v2026_01_12())
                .region($service::config::Region::new($region))
                .credentials_provider($credentials)
                .endpoint_url($url)
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .retry_config($service::config::retry::RetryConfig::disabled())
                $(.$more($value))*
                .build(),
        )
    };
}

impl World {
    /// A server with the configuration most tests use, an artifact store and the two roles.
    pub async fn new() -> Self {
        Self::with(CONFIG).await
    }

    pub async fn with(config: &str) -> Self {
        let world = Self::start(config);
        world.bucket(STORE, false).await;
        world.role(PIPELINE_ROLE, "codepipeline.amazonaws.com", &["s3:*", "codebuild:*"]).await;
        world.role(BUILD_ROLE, "codebuild.amazonaws.com", &["s3:*", "codebuild:*", "logs:*"]).await;
        world
    }

    fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config_file = dir.path().join("towpath.toml");
        fs::write(&config_file, config).unwrap();
        let log = fs::File::create(dir.path().join("server.log")).unwrap();
        let mut server = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join("data"))
            .arg("--config")
            .arg(&config_file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = line.trim_end().strip_prefix("towpath: ready at ").map(str::to_owned);
        let url = said.unwrap_or_else(|| {
            let log = fs::read_to_string(dir.path().join("server.log")).unwrap_or_default();
            panic!("the server said {line:?}; its log: {log}")
        });
        let (key, secret) = root_key(&fs::read_to_string(dir.path().join("data/credentials")).unwrap());
        let root = Credentials::new(key, secret, None, None, "test");
        let credentials = || root.clone();
        Self {
            pipelines: client!(aws_sdk_codepipeline, &url, credentials(), interceptor(Record)),
            builds: client!(aws_sdk_codebuild, &url, credentials()),
            s3: client!(aws_sdk_s3, &url, credentials(), force_path_style(true)),
            sts: client!(aws_sdk_sts, &url, credentials()),
            iam: client!(aws_sdk_iam, &url, credentials()),
            logs: client!(aws_sdk_cloudwatchlogs, &url, credentials()),
            root: root.clone(),
            url,
            dir,
            server,
        }
    }

    /// The root user's CodePipeline of another region.
    pub fn pipelines_in(&self, region: &'static str) -> aws_sdk_codepipeline::Client {
        client!(aws_sdk_codepipeline, &self.url, self.root.clone(), in region, interceptor(Record))
    }

    /// CodePipeline and STS as somebody else sees them.
    pub fn as_somebody(
        &self,
        key: &str,
        secret: &str,
        token: &str,
    ) -> (aws_sdk_codepipeline::Client, aws_sdk_sts::Client) {
        let credentials = || Credentials::new(key, secret, Some(token.to_owned()), None, "test");
        (
            client!(aws_sdk_codepipeline, &self.url, credentials(), interceptor(Record)),
            client!(aws_sdk_sts, &self.url, credentials()),
        )
    }

    /// A path that a build of this test may make, or wait for.
    pub fn mark(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A shell command that waits until the mark is there, for a bounded time.
    pub fn wait_for(&self, name: &str) -> String {
        let mark = self.mark(name);
        format!("n=0; until [ -e {} ]; do n=$((n+1)); [ $n -lt 1500 ] || exit 99; sleep 0.02; done", mark.display())
    }

    pub fn make_mark(&self, name: &str) {
        fs::write(self.mark(name), "").unwrap();
    }

    /// Waits until a build has made the mark.
    pub async fn marked(&self, name: &str) {
        let mark = self.mark(name);
        eventually(&format!("the mark {name}"), async || mark.exists().then_some(())).await;
    }

    // --- what pipelines stand on ---

    pub async fn role(&self, name: &str, service: &str, actions: &[&str]) {
        let trust = serde_json::json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]});
        self.iam.create_role().role_name(name).assume_role_policy_document(trust.to_string()).send().await.unwrap();
        self.allow(name, actions).await;
    }

    /// Replaces what the role may do.
    pub async fn allow(&self, role: &str, actions: &[&str]) {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": "*"}]});
        let put = self.iam.put_role_policy().role_name(role).policy_name("all").policy_document(policy.to_string());
        put.send().await.unwrap();
    }

    pub async fn bucket(&self, name: &str, versioned: bool) {
        self.s3.create_bucket().bucket(name).send().await.unwrap();
        if versioned {
            let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            self.s3.put_bucket_versioning().bucket(name).versioning_configuration(on).send().await.unwrap();
        }
    }

    /// Puts an object and answers its version id, empty where there is none.
    pub async fn put(&self, bucket: &str, key: &str, bytes: Vec<u8>) -> String {
        let put = self.s3.put_object().bucket(bucket).key(key).body(ByteStream::from(bytes)).send().await.unwrap();
        put.version_id().unwrap_or_default().to_owned()
    }

    pub async fn read(&self, bucket: &str, key: &str) -> Vec<u8> {
        let object = self.s3.get_object().bucket(bucket).key(key).send().await;
        let object = object.unwrap_or_else(|e| panic!("s3://{bucket}/{key}: {e:?}"));
        object.body.collect().await.unwrap().to_vec()
    }

    pub async fn text(&self, bucket: &str, key: &str) -> String {
        String::from_utf8(self.read(bucket, key).await).unwrap()
    }

    pub async fn keys(&self, bucket: &str) -> Vec<String> {
        let listed = self.s3.list_objects_v2().bucket(bucket).send().await.unwrap();
        listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    /// A project that pipelines run.
    pub async fn project(&self, name: &str, buildspec: &str) {
        self.project_with(name, buildspec, &[]).await;
    }

    pub async fn project_with(&self, name: &str, buildspec: &str, variables: &[(&str, &str)]) {
        let variable = |(name, value): &(&str, &str)| {
            cb::EnvironmentVariable::builder().name(*name).value(*value).build().unwrap()
        };
        let environment = cb::ProjectEnvironment::builder()
            .r#type(cb::EnvironmentType::LinuxContainer)
            .image("aws/codebuild/standard:7.0")
            .compute_type(cb::ComputeType::BuildGeneral1Small)
            .set_environment_variables(Some(variables.iter().map(variable).collect()))
            .build()
            .unwrap();
        let source = cb::ProjectSource::builder().r#type(cb::SourceType::Codepipeline).buildspec(buildspec);
        let artifacts = cb::ProjectArtifacts::builder().r#type(cb::ArtifactsType::Codepipeline);
        let create = self.builds.create_project().name(name).service_role(role_arn(BUILD_ROLE));
        let create = create.source(source.build().unwrap()).artifacts(artifacts.build().unwrap());
        create.environment(environment).send().await.unwrap();
    }

    // --- pipelines ---

    /// Creates the pipeline and answers the execution that its creation started.
    pub async fn create(&self, pipeline: PipelineDeclaration) -> String {
        let name = pipeline.name().to_owned();
        self.pipelines.create_pipeline().pipeline(pipeline).send().await.unwrap();
        let listed = self.pipelines.list_pipeline_executions().pipeline_name(name).send().await.unwrap();
        let [only] = listed.pipeline_execution_summaries() else { panic!("one execution, not {listed:?}") };
        only.pipeline_execution_id().unwrap().to_owned()
    }

    pub async fn start_execution(&self, pipeline: &str) -> String {
        let started = self.pipelines.start_pipeline_execution().name(pipeline).send().await.unwrap();
        started.pipeline_execution_id().unwrap().to_owned()
    }

    pub async fn execution(&self, pipeline: &str, id: &str) -> PipelineExecution {
        let got = self.pipelines.get_pipeline_execution().pipeline_name(pipeline).pipeline_execution_id(id);
        got.send().await.unwrap().pipeline_execution.unwrap()
    }

    /// Waits until the execution has ended and answers how.
    pub async fn ended(&self, pipeline: &str, id: &str) -> PipelineExecutionStatus {
        use PipelineExecutionStatus::{InProgress, Stopping};
        eventually(&format!("the end of {pipeline}"), async || {
            let status = self.execution(pipeline, id).await.status.unwrap();
            (!matches!(status, InProgress | Stopping)).then_some(status)
        })
        .await
    }

    /// Waits for success; a failure tells what the actions said.
    pub async fn succeeds(&self, pipeline: &str, id: &str) {
        let status = self.ended(pipeline, id).await;
        if status != PipelineExecutionStatus::Succeeded {
            let errors: Vec<String> = self.rows(pipeline, id).await.iter().filter_map(error_of).collect();
            panic!("{pipeline} ended {status:?}: {errors:#?}");
        }
    }

    /// Waits for failure and answers code and message of the named action.
    pub async fn fails(&self, pipeline: &str, id: &str, action: &str) -> (String, String) {
        assert_eq!(self.ended(pipeline, id).await, PipelineExecutionStatus::Failed);
        let row = self.row(pipeline, id, action).await;
        let result = row.output().unwrap().execution_result().unwrap();
        let error = result.error_details().unwrap_or_else(|| panic!("no error details in {row:?}"));
        (error.code().unwrap().to_owned(), error.message().unwrap().to_owned())
    }

    pub async fn stage(&self, pipeline: &str, stage: &str) -> StageState {
        let state = self.pipelines.get_pipeline_state().name(pipeline).send().await.unwrap();
        let found = state.stage_states.unwrap_or_default().into_iter().find(|s| s.stage_name() == Some(stage));
        found.unwrap_or_else(|| panic!("no stage {stage}"))
    }

    pub async fn action(&self, pipeline: &str, stage: &str, action: &str) -> ActionState {
        let stage = self.stage(pipeline, stage).await;
        let found = stage.action_states.unwrap_or_default().into_iter().find(|a| a.action_name() == Some(action));
        found.unwrap_or_else(|| panic!("no action {action}"))
    }

    /// Waits until the approval is open and answers its token.
    pub async fn token(&self, pipeline: &str, stage: &str, action: &str) -> String {
        eventually(&format!("the approval {action}"), async || {
            self.action(pipeline, stage, action).await.latest_execution?.token
        })
        .await
    }

    /// Waits until the action has an external id: a build has been started.
    pub async fn external_id(&self, pipeline: &str, stage: &str, action: &str) -> String {
        eventually(&format!("the work of {action}"), async || {
            self.action(pipeline, stage, action).await.latest_execution?.external_execution_id
        })
        .await
    }

    /// Rows of the execution's action history, newest first.
    pub async fn rows(&self, pipeline: &str, id: &str) -> Vec<ActionExecutionDetail> {
        let filter = ActionExecutionFilter::builder().pipeline_execution_id(id).build();
        let listed = self.pipelines.list_action_executions().pipeline_name(pipeline).filter(filter).send().await;
        listed.unwrap().action_execution_details.unwrap_or_default()
    }

    /// The newest row of an action.
    pub async fn row(&self, pipeline: &str, id: &str, action: &str) -> ActionExecutionDetail {
        let found = self.rows(pipeline, id).await.into_iter().find(|row| row.action_name() == Some(action));
        found.unwrap_or_else(|| panic!("{action} has not run"))
    }

    // --- builds ---

    pub async fn build(&self, id: &str) -> cb::Build {
        let got = self.builds.batch_get_builds().ids(id).send().await.unwrap();
        let [build] = got.builds() else { panic!("one build, not {got:?}") };
        build.clone()
    }

    /// Waits until the build shows this phase: its commands and its log are a moment ahead of what the service shows.
    pub async fn in_phase(&self, id: &str, phase: &str) -> cb::Build {
        eventually(&format!("the phase {phase}"), async || {
            let build = self.build(id).await;
            (build.current_phase() == Some(phase)).then_some(build)
        })
        .await
    }

    /// The build behind an action of an execution.
    pub async fn build_of(&self, pipeline: &str, id: &str, action: &str) -> cb::Build {
        let row = self.row(pipeline, id, action).await;
        let build = row.output().unwrap().execution_result().unwrap().external_execution_id().unwrap().to_owned();
        self.build(&build).await
    }

    /// The messages of a build's log so far.
    pub async fn log(&self, build: &cb::Build) -> Vec<String> {
        let logs = build.logs().unwrap();
        let (Some(group), Some(stream)) = (logs.group_name(), logs.stream_name()) else { return Vec::new() };
        let get = self.logs.get_log_events().log_group_name(group).log_stream_name(stream).start_from_head(true);
        let got = get.send().await.unwrap();
        got.events().iter().map(|e| e.message().unwrap().trim_end().to_owned()).collect()
    }
}

fn error_of(row: &ActionExecutionDetail) -> Option<String> {
    let error = row.output()?.execution_result()?.error_details()?;
    Some(format!("{}: {} {}", row.action_name()?, error.code()?, error.message()?))
}

fn root_key(credentials: &str) -> (String, String) {
    let value = |name: &str| {
        let line = credentials.lines().find_map(|line| line.split_once('=').filter(|(k, _)| k.trim() == name));
        line.unwrap_or_else(|| panic!("no {name} in the credentials file")).1.trim().to_owned()
    };
    (value("aws_access_key_id"), value("aws_secret_access_key"))
}

/// Looks again and again until there is an answer.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
        sleep(GLANCE).await;
    }
}

/// A zip with these files.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

// --- declarations ---

/// An action under construction.
pub struct Action {
    name: &'static str,
    kind: ActionTypeId,
    configuration: Vec<(String, String)>,
    inputs: Vec<&'static str>,
    outputs: Vec<&'static str>,
    namespace: Option<&'static str>,
    order: i32,
    role: Option<String>,
}

fn action(name: &'static str, category: ActionCategory, owner: ActionOwner, provider: &str) -> Action {
    let kind = ActionTypeId::builder().category(category).owner(owner).provider(provider).version("1").build().unwrap();
    Action {
        name,
        kind,
        configuration: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        namespace: None,
        order: 1,
        role: None,
    }
}

pub fn s3_source(name: &'static str, bucket: &str, key: &str) -> Action {
    let source = action(name, ActionCategory::Source, ActionOwner::Aws, "S3");
    source.set("S3Bucket", bucket).set("S3ObjectKey", key).set("PollForSourceChanges", "false")
}

pub fn codebuild(name: &'static str, project: &str) -> Action {
    action(name, ActionCategory::Build, ActionOwner::Aws, "CodeBuild").set("ProjectName", project)
}

pub fn codebuild_test(name: &'static str, project: &str) -> Action {
    action(name, ActionCategory::Test, ActionOwner::Aws, "CodeBuild").set("ProjectName", project)
}

pub fn approval(name: &'static str) -> Action {
    action(name, ActionCategory::Approval, ActionOwner::Aws, "Manual")
}

pub fn s3_deploy(name: &'static str, bucket: &str) -> Action {
    action(name, ActionCategory::Deploy, ActionOwner::Aws, "S3").set("BucketName", bucket)
}

pub fn rehearsal(name: &'static str, category: ActionCategory) -> Action {
    action(name, category, ActionOwner::Custom, "Rehearsal")
}

impl Action {
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.configuration.retain(|(known, _)| known != key);
        self.configuration.push((key.to_owned(), value.into()));
        self
    }

    pub fn input(mut self, name: &'static str) -> Self {
        self.inputs.push(name);
        self
    }

    pub fn output(mut self, name: &'static str) -> Self {
        self.outputs.push(name);
        self
    }

    pub fn namespace(mut self, name: &'static str) -> Self {
        self.namespace = Some(name);
        self
    }

    pub fn order(mut self, order: i32) -> Self {
        self.order = order;
        self
    }

    pub fn role(mut self, name: &str) -> Self {
        self.role = Some(role_arn(name));
        self
    }

    fn build(self) -> ActionDeclaration {
        let input = |name: &&str| InputArtifact::builder().name(*name).build().unwrap();
        let output = |name: &&str| OutputArtifact::builder().name(*name).build().unwrap();
        let configuration = (!self.configuration.is_empty()).then(|| self.configuration.into_iter().collect());
        ActionDeclaration::builder()
            .name(self.name)
            .action_type_id(self.kind)
            .run_order(self.order)
            .set_configuration(configuration)
            .set_input_artifacts(Some(self.inputs.iter().map(input).collect()))
            .set_output_artifacts(Some(self.outputs.iter().map(output).collect()))
            .set_namespace(self.namespace.map(str::to_owned))
            .set_role_arn(self.role)
            .build()
            .unwrap()
    }
}

pub fn stage(name: &str, actions: Vec<Action>) -> StageDeclaration {
    let actions = actions.into_iter().map(Action::build).collect();
    StageDeclaration::builder().name(name).set_actions(Some(actions)).build().unwrap()
}

pub fn pipeline(name: &str, stages: Vec<StageDeclaration>) -> PipelineDeclaration {
    let store = ArtifactStore::builder().r#type(ArtifactStoreType::S3).location(STORE).build().unwrap();
    PipelineDeclaration::builder()
        .name(name)
        .role_arn(role_arn(PIPELINE_ROLE))
        .artifact_store(store)
        .pipeline_type(PipelineType::V2)
        .set_stages(Some(stages))
        .build()
        .unwrap()
}
