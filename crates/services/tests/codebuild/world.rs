//! A whole set of services on a data directory of its own, and clients for it.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_sdk_codebuild::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_codebuild::types::{
    ArtifactsType, Build, ComputeType, EnvironmentType, ProjectArtifacts, ProjectEnvironment, ProjectSource, SourceType,
};
use tempfile::TempDir;
use towpath_model::time::Clock as _;
use towpath_services::codebuild::{CodeBuild, EmbeddedObjects, Parts, SandboxPolicy, Settings};
use towpath_services::identity::{CODEPIPELINE_PRINCIPAL, Identity};
use towpath_services::logs::Logs;
use towpath_services::s3::{NewBucket, PutOptions, S3Options, S3Service};
use towpath_store::{Documents, MemoryStore};

use crate::loopback::{self, ACCOUNT, REGION, TestClock};

pub const ROLE: &str = "arn:aws:iam::123456789012:role/build";
pub const IMAGE: &str = "aws/codebuild/standard:7.0";
/// Builds end in moments; what takes longer than this hangs.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

pub struct World {
    pub directory: Arc<TempDir>,
    pub documents: Arc<dyn Documents>,
    pub clock: Arc<TestClock>,
    pub identity: Arc<Identity>,
    pub s3: S3Service,
    pub codebuild: Arc<CodeBuild>,
    pub endpoint: String,
}

pub fn runner_command() -> Vec<String> {
    vec![std::env::current_exe().expect("this program").to_string_lossy().into_owned(), "build-runner".to_owned()]
}

fn detected() -> towpath_builds::Detected {
    let absent = || towpath_builds::Availability { available: false, detail: "nothing was looked for".to_owned() };
    towpath_builds::Detected { bubblewrap: absent(), engine: absent() }
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = Arc::new(tempfile::tempdir().expect("a directory"));
        let world = Self::open(directory, Arc::new(MemoryStore::new()), change).await;
        world.s3.ensure_bucket(ACCOUNT, REGION, "bkt", NewBucket::default()).await.expect("a bucket");
        world
            .role(
                "build",
                r#"{"Service":"codebuild.amazonaws.com"}"#,
                r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#,
            )
            .await;
        world
    }

    /// CodeBuild and its logs on documents of their own kind; everything else on `documents`.
    pub async fn open_with(directory: Arc<TempDir>, documents: Arc<dyn Documents>, builds: Arc<dyn Documents>) -> Self {
        Self::assemble(directory, None, documents, Some(builds), |_| {}).await
    }

    /// The services as a process would open them.
    pub async fn open(
        directory: Arc<TempDir>,
        documents: Arc<dyn Documents>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::open_at(directory, None, documents, change).await
    }

    pub async fn open_at(
        directory: Arc<TempDir>,
        data: Option<PathBuf>,
        documents: Arc<dyn Documents>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::assemble(directory, data, documents, None, change).await
    }

    async fn assemble(
        directory: Arc<TempDir>,
        data: Option<PathBuf>,
        documents: Arc<dyn Documents>,
        builds: Option<Arc<dyn Documents>>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let builds_documents = builds.unwrap_or_else(|| Arc::clone(&documents));
        let data = data.unwrap_or_else(|| directory.path().to_owned());
        let clock = Arc::new(TestClock::default());
        let ambient = loopback::ambient(&clock);
        let identity = Identity::open(Arc::clone(&documents), ambient.clone(), ACCOUNT, &data).await.expect("identity");
        let identity = Arc::new(identity);
        let time = Arc::clone(&clock);
        let s3 = S3Service::open(S3Options {
            data_dir: data.clone(),
            shared: false,
            documents: Arc::clone(&documents),
            clock: Arc::new(move || {
                let millis = u64::try_from(time.now().millis()).expect("after 1970");
                std::time::UNIX_EPOCH + std::time::Duration::from_millis(millis)
            }),
            random: Arc::new(rand::random),
            credentials: Arc::clone(&identity) as _,
            authorize: Arc::clone(&identity) as _,
            region: REGION.to_owned(),
            domains: Vec::new(),
        })
        .await
        .expect("S3");
        let logs = Arc::new(Logs::new(Arc::clone(&builds_documents), ambient.clone(), Arc::clone(&identity), &data));
        let mut settings = Settings::new(data, runner_command(), SandboxPolicy::host(&detected()));
        settings.concurrent_builds = 4;
        change(&mut settings);
        let codebuild = CodeBuild::new(Parts {
            documents: builds_documents,
            ambient: ambient.clone(),
            identity: Arc::clone(&identity),
            logs: Arc::clone(&logs),
            objects: Arc::new(EmbeddedObjects::new(s3.clone(), Arc::clone(&identity))),
            settings,
        });
        let (builds, served) = (Arc::clone(&codebuild), Arc::clone(&identity));
        let handler: loopback::Handler = Arc::new(move |service, call| {
            let (builds, logs, identity) = (Arc::clone(&builds), Arc::clone(&logs), Arc::clone(&served));
            Box::pin(async move {
                match service {
                    "codebuild" => builds.handle(&call).await,
                    "logs" => logs.handle(&call).await,
                    "iam" => identity.handle_iam(&call).await,
                    _ => identity.handle_sts(&call).await,
                }
            })
        });
        let endpoint = loopback::serve(Arc::clone(&identity), ambient, handler).await;
        Self { directory, documents, clock, identity, s3, codebuild, endpoint }
    }

    pub fn root(&self) -> Credentials {
        loopback::credentials(self.identity.root_key(), None)
    }

    pub fn client(&self) -> aws_sdk_codebuild::Client {
        self.client_as(self.root())
    }

    pub fn client_as(&self, credentials: Credentials) -> aws_sdk_codebuild::Client {
        let config = aws_sdk_codebuild::Config::builder()
            .behavior_version(aws_sdk_codebuild::config::BehaviorVersion::latest())
            .region(aws_sdk_codebuild::config::Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint)
            .http_client(loopback::http_client())
            .build();
        aws_sdk_codebuild::Client::from_conf(config)
    }

    pub fn logs_client(&self) -> aws_sdk_cloudwatchlogs::Client {
        let config = aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(aws_sdk_cloudwatchlogs::config::BehaviorVersion::latest())
            .region(aws_sdk_cloudwatchlogs::config::Region::new(REGION))
            .credentials_provider(self.root())
            .endpoint_url(&self.endpoint)
            .http_client(loopback::http_client())
            .build();
        aws_sdk_cloudwatchlogs::Client::from_conf(config)
    }

    fn iam(&self) -> aws_sdk_iam::Client {
        let config = aws_sdk_iam::Config::builder()
            .behavior_version(aws_sdk_iam::config::BehaviorVersion::latest())
            .region(aws_sdk_iam::config::Region::new(REGION))
            .credentials_provider(self.root())
            .endpoint_url(&self.endpoint)
            .http_client(loopback::http_client())
            .build();
        aws_sdk_iam::Client::from_conf(config)
    }

    pub async fn role(&self, name: &str, principal: &str, statements: &str) {
        let trust = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}]}}"#
        );
        let iam = self.iam();
        iam.create_role().role_name(name).assume_role_policy_document(trust).send().await.expect("a role");
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        iam.put_role_policy().role_name(name).policy_name("p").policy_document(policy).send().await.expect("a policy");
    }

    /// A client in the session of a pipeline's role, as providers open it.
    pub async fn pipeline_client(&self, role: &str, session: &str) -> aws_sdk_codebuild::Client {
        let key = self.identity.service_key(CODEPIPELINE_PRINCIPAL).expect("a service key");
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .region(aws_sdk_sts::config::Region::new(REGION))
            .credentials_provider(loopback::credentials(key, None))
            .endpoint_url(&self.endpoint)
            .http_client(loopback::http_client())
            .build();
        let sts = aws_sdk_sts::Client::from_conf(config);
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        let output = sts.assume_role().role_arn(arn).role_session_name(session).send().await.expect("a session");
        let credentials = output.credentials.expect("credentials");
        let token = Some(credentials.session_token);
        self.client_as(Credentials::new(credentials.access_key_id, credentials.secret_access_key, token, None, "test"))
    }

    /// Puts a zip of these files into the bucket `bkt`.
    pub async fn put_zip(&self, key: &str, files: &[(&str, &str)], metadata: &[(&str, &str)]) {
        let file = self.directory.path().join("upload.tmp");
        std::fs::write(&file, zip_of(files)).expect("written");
        let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let options = PutOptions { metadata, ..PutOptions::default() };
        self.s3.put_from_file(ACCOUNT, "bkt", key, &file, options).await.expect("put");
    }

    pub async fn put_text(&self, key: &str, text: &str) {
        let file = self.directory.path().join("upload.tmp");
        std::fs::write(&file, text).expect("written");
        self.s3.put_from_file(ACCOUNT, "bkt", key, &file, PutOptions::default()).await.expect("put");
    }

    /// An object of the bucket `bkt`, with its metadata.
    pub async fn object(&self, key: &str) -> Option<(Vec<u8>, BTreeMap<String, String>)> {
        let file = self.directory.path().join("download.tmp");
        let info = self.s3.read_to_file(ACCOUNT, "bkt", key, None, &file).await.ok()?;
        Some((std::fs::read(&file).expect("read"), info.metadata.into_iter().collect()))
    }

    pub async fn start(&self, project: &str) -> Build {
        let request = self.client().start_build().project_name(project);
        request.send().await.expect("started").build_value.expect("a build")
    }

    pub async fn get(&self, id: &str) -> Build {
        let output = self.client().batch_get_builds().ids(id).send().await.expect("answered");
        output.builds.and_then(|builds| builds.into_iter().next()).expect("the build")
    }

    pub async fn finished(&self, build: &Build) -> Build {
        self.until(build.id().expect("an id"), Build::build_complete).await
    }

    /// The build, once it is as wanted.
    pub async fn until(&self, id: &str, wanted: impl Fn(&Build) -> bool) -> Build {
        let mut changes = self.codebuild.on_change();
        let waiting = async {
            loop {
                let build = self.get(id).await;
                if wanted(&build) {
                    return build;
                }
                // A listener that lags has missed something, so it looks again.
                let _ = changes.recv().await;
            }
        };
        if let Ok(build) = tokio::time::timeout(PATIENCE, waiting).await {
            return build;
        }
        panic!("{id} hangs: {:#?}\n{}", self.get(id).await, self.log(id).await)
    }

    pub async fn log(&self, id: &str) -> String {
        let scope = towpath_model::ids::Scope::new(ACCOUNT, REGION);
        let tail = self.codebuild.tail(&scope, id, 0, usize::MAX).await.expect("a log");
        tail.lines.into_iter().map(|(_, message)| message).collect()
    }

    /// Makes a project on the bucket's `src.zip` without artifacts.
    pub async fn project(&self, name: &str, buildspec: &str) {
        self.put_zip("src.zip", &[("buildspec.yml", buildspec), ("dir/input.txt", "hello\n")], &[]).await;
        self.create(name, s3_source("bkt/src.zip"), no_artifacts()).await;
    }

    pub async fn create(&self, name: &str, source: ProjectSource, artifacts: ProjectArtifacts) {
        let request = self.client().create_project().name(name).source(source).artifacts(artifacts);
        request.environment(environment()).service_role(ROLE).send().await.expect("a project");
    }
}

pub fn environment() -> ProjectEnvironment {
    ProjectEnvironment::builder()
        .r#type(EnvironmentType::LinuxContainer)
        .image(IMAGE)
        .compute_type(ComputeType::BuildGeneral1Small)
        .build()
        .expect("an environment")
}

pub fn s3_source(location: &str) -> ProjectSource {
    ProjectSource::builder().r#type(SourceType::S3).location(location).build().expect("a source")
}

pub fn inline_source(buildspec: &str) -> ProjectSource {
    ProjectSource::builder().r#type(SourceType::NoSource).buildspec(buildspec).build().expect("a source")
}

pub fn no_artifacts() -> ProjectArtifacts {
    ProjectArtifacts::builder().r#type(ArtifactsType::NoArtifacts).build().expect("artifacts")
}

pub fn zip_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("an entry");
        zip.write_all(text.as_bytes()).expect("written");
    }
    zip.finish().expect("a zip").into_inner()
}

pub fn unzip(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).expect("a zip");
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).expect("an entry");
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        files.insert(entry.name().to_owned(), text);
    }
    files
}

/// Phase, status and codes of contexts, one text a phase.
pub fn phases(build: &Build) -> Vec<String> {
    build
        .phases()
        .iter()
        .map(|phase| {
            let kind = phase.phase_type().map_or("-", aws_sdk_codebuild::types::BuildPhaseType::as_str);
            let status = phase.phase_status().map_or("-", aws_sdk_codebuild::types::StatusType::as_str);
            let codes: Vec<_> = phase.contexts().iter().map(|context| context.status_code().unwrap_or("?")).collect();
            format!("{kind} {status} {codes:?}")
        })
        .collect()
}

/// Code and message of the first context that has any.
pub fn problem(build: &Build) -> (String, String, String) {
    for phase in build.phases() {
        for context in phase.contexts() {
            if context.status_code().is_some_and(|code| !code.is_empty()) {
                let kind = phase.phase_type().map_or("-", aws_sdk_codebuild::types::BuildPhaseType::as_str);
                let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
                return (kind.to_owned(), text(context.status_code()), text(context.message()));
            }
        }
    }
    panic!("no phase has a problem: {:?}", phases(build));
}

pub fn status(build: &Build) -> &str {
    build.build_status().map_or("-", aws_sdk_codebuild::types::StatusType::as_str)
}

/// Code and message of a refused call.
pub fn refused<T: std::fmt::Debug, E, R>(result: Result<T, SdkError<E, R>>) -> (String, String)
where
    E: ProvideErrorMetadata + std::fmt::Debug,
    R: std::fmt::Debug,
{
    let error = result.expect_err("the call must be refused");
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

pub fn pair(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

/// A file that builds wait for; dropping it without `open` leaves them waiting.
pub struct Gate(PathBuf);

impl Gate {
    pub fn new(directory: &Path, name: &str) -> Self {
        Self(directory.join(format!("gate-{name}")))
    }

    /// Shell text that waits for the gate.
    pub fn wait(&self) -> String {
        format!("while [ ! -e {} ]; do sleep 0.02; done", self.0.display())
    }

    pub fn open(&self) {
        std::fs::write(&self.0, "").expect("opened");
    }
}
