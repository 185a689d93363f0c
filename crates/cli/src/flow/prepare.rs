//! Makes what a pipeline needs before it can run on this machine: roles, buckets, CodeBuild projects, source objects
//! and the pipeline itself. Everything is made through AWS's API, only where it is missing or has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use towpath_model::arn::partition;
use towpath_model::declaration::{ActionDeclaration, PipelineDeclaration};

use super::source::{self, Packed};
use super::{git, trees};
use crate::commands::import;
use crate::commands::validate::{Checked, actions, is_codebuild, is_s3_source, projects};
use crate::config::Project;
use crate::errors::ExpectedError;
use crate::host::{ApiError, Host};

pub const BUILD_ROLE: &str = "towpath-run-codebuild";
const BUILD_IMAGE: &str = "aws/codebuild/standard:7.0";
const BUILD_COMPUTE: &str = "BUILD_GENERAL1_SMALL";
const BUILD_MINUTES: u32 = 60;
/// Marks what `run` made and may therefore change.
const DESCRIPTION: &str = "made by towpath run";
const POLICY_NAME: &str = "towpath-run";

pub struct Preparation<'a> {
    pub host: &'a dyn Host,
    pub checked: &'a Checked,
    pub data: &'a Path,
    /// `--source`.
    pub sources: &'a BTreeMap<String, PathBuf>,
    /// `--var`.
    pub variables: &'a BTreeMap<String, String>,
}

/// The execution that `run` follows, and what was done on the way for the user to read.
#[derive(Debug)]
pub struct Prepared {
    pub execution: String,
    pub sources: Vec<SourceNote>,
}

/// Where the source of an action came from and what it became.
#[derive(Debug)]
pub struct SourceNote {
    action: String,
    from: PathBuf,
    /// Number of files and size of the zip; none where the source was a file already.
    packed: Option<(usize, u64)>,
    to: String,
    version: String,
}

impl SourceNote {
    /// `source Fetch: app (3 files, 1.2 kB) -> s3://demo-source/app.zip, version 3sL4kqtJ`.
    pub fn text(&self, redacted: bool) -> String {
        let from = self.from.display();
        if redacted {
            return format!("source {}: {from} -> {}\n", self.action, self.to);
        }
        let packed = self.packed.map_or_else(String::new, |(files, bytes)| {
            format!(" ({}, {})", crate::diagnostics::plural(files, "file"), source::human_bytes(bytes))
        });
        let version = if self.to.starts_with("s3:") { "version" } else { "revision" };
        format!("source {}: {from}{packed} -> {}, {version} {}\n", self.action, self.to, self.version)
    }
}

/// What can be said against the arguments before anything is opened.
pub fn check_arguments(
    declaration: &PipelineDeclaration,
    sources: &BTreeMap<String, PathBuf>,
    variables: &BTreeMap<String, String>,
) -> Result<(), ExpectedError> {
    let known: Vec<String> = actions(declaration).filter(|a| trees::is_source(a)).map(|a| a.name.to_string()).collect();
    if let Some(action) = sources.keys().find(|s| !known.contains(s)) {
        return Err(ExpectedError::UnknownSource { action: action.clone(), known });
    }
    let declared = declaration.declared_variables();
    if let Some(name) = variables.keys().find(|v| !declared.iter().any(|d| d.name == **v)) {
        let known = declared.iter().map(|d| d.name.clone()).collect();
        return Err(ExpectedError::UnknownVariable { name: name.clone(), known });
    }
    match declared.iter().find(|d| d.default_value.is_none() && !variables.contains_key(&d.name)) {
        Some(missing) => Err(ExpectedError::VariableMissing { name: missing.name.clone() }),
        None => Ok(()),
    }
}

impl Preparation<'_> {
    pub async fn run(&self) -> Result<Prepared, ExpectedError> {
        if let Some(plan) = &self.checked.template {
            import::provide(self.host, plan, &self.checked.region).await?;
        }
        self.roles().await?;
        self.buckets().await?;
        self.projects().await?;
        let sources = self.put_sources().await?;
        let execution = self.start().await?;
        Ok(Prepared { execution, sources })
    }

    fn declaration(&self) -> &PipelineDeclaration {
        &self.checked.file.declaration
    }

    async fn call(&self, service: &str, operation: &str, input: Json) -> Result<Json, ApiError> {
        self.host.call(service, operation, input).await
    }

    // --- roles ---

    async fn roles(&self) -> Result<(), ExpectedError> {
        let pipeline_role = self.declaration().role_arn.as_str();
        self.role(pipeline_role, &json!({"Service": "codepipeline.amazonaws.com"})).await?;
        let own: BTreeSet<&str> = actions(self.declaration()).filter_map(|a| a.role_arn.as_deref()).collect();
        for role in own.into_iter().filter(|r| *r != pipeline_role) {
            // A role of another account is that account's to make; the action says so if it is missing.
            if role.split(':').nth(4) == Some(self.checked.account.as_str()) {
                self.role(role, &json!({"AWS": pipeline_role})).await?;
            }
        }
        if actions(self.declaration()).any(is_codebuild) {
            self.role(&self.build_role(), &json!({"Service": "codebuild.amazonaws.com"})).await?;
        }
        Ok(())
    }

    fn build_role(&self) -> String {
        format!("arn:{}:iam::{}:role/{BUILD_ROLE}", partition(&self.checked.region), self.checked.account)
    }

    async fn role(&self, arn: &str, principal: &Json) -> Result<(), ExpectedError> {
        let Some((_, path)) = arn.split_once(":role/") else { return Ok(()) };
        let (path, name) = path.rsplit_once('/').map_or(("/".to_owned(), path), |(p, n)| (format!("/{p}/"), n));
        match self.call("iam", "GetRole", json!({"RoleName": name})).await {
            Ok(_) => return Ok(()),
            Err(error) if error.code.starts_with("NoSuchEntity") => {}
            Err(error) => return Err(ExpectedError::api(format!("look for the role `{name}`"))(error)),
        }
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
        });
        // As wide as an account of one's own: whoever runs a pipeline here could do all of it by hand.
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Action": [
                    "s3:*", "codebuild:*", "codecommit:*", "codeconnections:*", "codepipeline:*", "codestar-connections:*",
                    "lambda:*", "logs:*", "kms:*", "sts:AssumeRole", "iam:PassRole",
                ],
                "Resource": "*",
            }],
        });
        let create = json!({
            "RoleName": name,
            "Path": path,
            "Description": DESCRIPTION,
            "AssumeRolePolicyDocument": trust.to_string(),
        });
        let doing = || format!("create the role `{name}`");
        self.call("iam", "CreateRole", create).await.map_err(ExpectedError::api(doing()))?;
        let put = json!({"RoleName": name, "PolicyName": POLICY_NAME, "PolicyDocument": policy.to_string()});
        self.call("iam", "PutRolePolicy", put).await.map_err(ExpectedError::api(doing()))?;
        Ok(())
    }

    // --- buckets ---

    async fn buckets(&self) -> Result<(), ExpectedError> {
        let declaration = self.declaration();
        let mut wanted: BTreeMap<&str, bool> = BTreeMap::new();
        let stores =
            declaration.artifact_store.iter().chain(declaration.artifact_stores.iter().flat_map(BTreeMap::values));
        wanted.extend(stores.map(|s| (s.location.as_str(), false)));
        for action in actions(declaration).filter(|a| a.action_type_id.provider == "S3") {
            let source = is_s3_source(action);
            let key = if source { "S3Bucket" } else { "BucketName" };
            // A bucket whose name is a variable must be there when the time comes.
            if let Some(bucket) = action.config(key).filter(|b| !b.contains("#{")) {
                *wanted.entry(bucket).or_default() |= source;
            }
        }
        for (bucket, versioned) in wanted {
            let made = self.host.ensure_bucket(bucket, versioned).await;
            made.map_err(ExpectedError::api(format!("make the bucket `{bucket}`")))?;
        }
        Ok(())
    }

    // --- CodeBuild projects ---

    async fn projects(&self) -> Result<(), ExpectedError> {
        let names = projects(self.declaration());
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = names.into_iter().collect();
        let mut found = Vec::new();
        // BatchGetProjects takes a hundred names.
        for page in names.chunks(100) {
            let answer = self.call("codebuild", "BatchGetProjects", json!({"names": page})).await;
            let answer = answer.map_err(ExpectedError::api("look for the CodeBuild projects"))?;
            found.extend(answer["projects"].as_array().cloned().unwrap_or_default());
        }
        for name in names {
            let configured = self.checked.config.config.projects.get(name);
            let wanted = project(name, configured, &self.build_role());
            let existing = found.iter().find(|p| p["name"] == *name);
            let operation = match existing {
                None => "CreateProject",
                // A project that somebody else made is changed only where towpath.toml speaks of it.
                Some(p) if p["description"] != DESCRIPTION && configured.is_none() => continue,
                Some(p) if covers(p, &wanted) => continue,
                Some(_) => "UpdateProject",
            };
            let made = self.call("codebuild", operation, wanted).await;
            made.map_err(ExpectedError::api(format!("make the CodeBuild project `{name}`")))?;
        }
        Ok(())
    }

    // --- sources ---

    async fn put_sources(&self) -> Result<Vec<SourceNote>, ExpectedError> {
        let stands_in = trees::standing_in(self.declaration(), self.sources, &self.checked.config.config);
        let mut notes = Vec::new();
        for action in actions(self.declaration()) {
            if is_s3_source(action) {
                notes.push(self.put_source(action).await?);
            } else if stands_in.contains(action.name.as_str()) {
                notes.push(self.put_tree(action).await?);
            }
        }
        Ok(notes)
    }

    async fn put_file(&self, action: &str, bucket: &str, key: &str, file: &Path) -> Result<String, ExpectedError> {
        let put = self.host.put_file(bucket, key, file).await;
        put.map_err(ExpectedError::api(format!("store the source of action `{action}` as s3://{bucket}/{key}")))
    }

    async fn pack(&self, action: &str, directory: &Path) -> Result<Packed, ExpectedError> {
        let (directory, data) = (directory.to_owned(), self.data.to_owned());
        let packed = tokio::task::spawn_blocking(move || source::pack(&directory, &data)).await;
        packed
            .map_err(|e| e.to_string())
            .and_then(|p| p.map_err(|e| e.to_string()))
            .map_err(|reason| ExpectedError::SourcePack { action: action.to_owned(), reason })
    }

    async fn put_source(&self, action: &ActionDeclaration) -> Result<SourceNote, ExpectedError> {
        let name = action.name.to_string();
        let bucket = action.config("S3Bucket").unwrap_or_default();
        let key = action.config("S3ObjectKey").unwrap_or_default();
        let path = trees::directory(self.checked, self.data, &name, self.sources.get(&name)).await?;
        let to = format!("s3://{bucket}/{key}");
        // A file is the object itself: a zip made elsewhere.
        if path.is_file() {
            let version = self.put_file(&name, bucket, key, &path).await?;
            return Ok(SourceNote { action: name, from: path, packed: None, to, version });
        }
        let packed = self.pack(&name, &path).await?;
        let version = self.put_file(&name, bucket, key, packed.file.path()).await?;
        let packed = Some((packed.files, packed.bytes));
        Ok(SourceNote { action: name, from: path, packed, to, version })
    }

    /// Lays a directory where the provider that stands in for the action's own finds it.
    async fn put_tree(&self, action: &ActionDeclaration) -> Result<SourceNote, ExpectedError> {
        let name = action.name.to_string();
        let path = trees::directory(self.checked, self.data, &name, self.sources.get(&name)).await?;
        let unread = |reason: String| ExpectedError::SourcePack { action: name.clone(), reason };
        let (file, packed, head) = if path.is_file() {
            (None, None, None)
        } else {
            let head = git::head(&path, self.data).await;
            let packed = self.pack(&name, &path).await?;
            let counts = (packed.files, packed.bytes);
            (Some(packed.file), Some(counts), head)
        };
        let zip = file.as_ref().map_or(path.as_path(), |file| file.path());
        let digest = trees::digest(zip).map_err(|error| unread(error.to_string()))?;
        let tree = trees::describe(action, &self.checked.account, head.as_ref(), &path, &digest);
        let region = action.region.as_deref().unwrap_or(&self.checked.region);
        let declaration = self.declaration();
        let stores = declaration.artifact_stores.as_ref().and_then(|stores| stores.get(region));
        let Some(store) = stores.or(declaration.artifact_store.as_ref()) else {
            return Err(unread(format!("the pipeline has no artifact store in {region}")));
        };
        let revision = tree.revision.clone();
        let put = self.host.stand_in(&store.location, declaration.name.as_str(), &name, zip, tree).await;
        put.map_err(ExpectedError::api(format!("store the source of action `{name}`")))?;
        let to = format!("in place of {}", action.action_type_id.provider);
        Ok(SourceNote { action: name, from: path, packed, to, version: revision })
    }

    // --- the pipeline ---

    /// Creates, updates or leaves the pipeline, and answers the one execution that runs now.
    async fn start(&self) -> Result<String, ExpectedError> {
        let declaration = self.declaration();
        let name = declaration.name.as_str();
        match self.call("codepipeline", "GetPipeline", json!({"name": name})).await {
            Ok(answer) => {
                let stored = serde_json::from_value::<PipelineDeclaration>(answer["pipeline"].clone()).ok();
                if !stored.is_some_and(|s| same(&s, declaration, &self.checked.region)) {
                    let updated = self.call("codepipeline", "UpdatePipeline", json!({"pipeline": wire(declaration)}));
                    updated.await.map_err(ExpectedError::api(format!("update the pipeline `{name}`")))?;
                }
                let variables: Vec<Json> = self.variables.iter().map(|(n, v)| json!({"name": n, "value": v})).collect();
                let mut input = json!({"name": name});
                if !variables.is_empty() {
                    input["variables"] = Json::Array(variables);
                }
                let started = self.call("codepipeline", "StartPipelineExecution", input).await;
                let started = started.map_err(ExpectedError::api(format!("start the pipeline `{name}`")))?;
                id(&started["pipelineExecutionId"], name)
            }
            Err(error) if error.code == "PipelineNotFoundException" => {
                // Creating starts the first execution, and that takes no variables: the values given for it become the
                // defaults of this first version. The next `run` puts the file's own back.
                let mut first = declaration.clone();
                for variable in first.variables.iter_mut().flatten() {
                    if let Some(value) = self.variables.get(&variable.name) {
                        variable.default_value = Some(value.clone());
                    }
                }
                let tags: Vec<Json> =
                    self.checked.file.tags.iter().map(|(k, v)| json!({"key": k, "value": v})).collect();
                let mut input = json!({"pipeline": wire(&first)});
                if !tags.is_empty() {
                    input["tags"] = Json::Array(tags);
                }
                let created = self.call("codepipeline", "CreatePipeline", input).await;
                created.map_err(ExpectedError::api(format!("create the pipeline `{name}`")))?;
                let query = json!({"pipelineName": name, "maxResults": 1});
                let listed = self.call("codepipeline", "ListPipelineExecutions", query).await;
                let listed = listed.map_err(ExpectedError::api("find the execution that creating has started"))?;
                id(&listed["pipelineExecutionSummaries"][0]["pipelineExecutionId"], name)
            }
            Err(error) => Err(ExpectedError::api(format!("look for the pipeline `{name}`"))(error)),
        }
    }
}

fn id(value: &Json, pipeline: &str) -> Result<String, ExpectedError> {
    let missing = || ExpectedError::Api {
        doing: format!("find the execution of the pipeline `{pipeline}`"),
        source: ApiError::new("InternalFailure", "the answer names no execution"),
    };
    value.as_str().map(str::to_owned).ok_or_else(missing)
}

/// The declaration as the API takes it: the version is the service's to give.
fn wire(declaration: &PipelineDeclaration) -> Json {
    let declaration = PipelineDeclaration { version: None, ..declaration.clone() };
    serde_json::to_value(declaration).unwrap_or_default()
}

/// Whether a stored declaration says the same as the file, where the service fills in what the file leaves out.
pub fn same(stored: &PipelineDeclaration, file: &PipelineDeclaration, region: &str) -> bool {
    let plain = |declaration: &PipelineDeclaration| {
        let mut d = PipelineDeclaration { version: None, ..declaration.clone() };
        d.execution_mode = Some(d.mode());
        if file.pipeline_type.is_none() {
            d.pipeline_type = None;
        }
        d.variables = d.variables.filter(|v| !v.is_empty());
        d.triggers = d.triggers.filter(|t| !t.is_empty());
        for action in d.stages.iter_mut().flat_map(|s| &mut s.actions) {
            action.configuration = action.configuration.take().filter(|c| !c.is_empty());
            action.region = action.region.take().filter(|r| r != region);
        }
        d
    };
    plain(stored) == plain(file)
}

fn project(name: &str, configured: Option<&Project>, role: &str) -> Json {
    let defaults = Project::default();
    let configured = configured.unwrap_or(&defaults);
    let variables: Vec<Json> = configured
        .environment
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value, "type": "PLAINTEXT"}))
        .collect();
    let mut source = json!({"type": "CODEPIPELINE"});
    if let Some(buildspec) = &configured.buildspec {
        source["buildspec"] = json!(buildspec);
    }
    json!({
        "name": name,
        "description": DESCRIPTION,
        "source": source,
        "artifacts": {"type": "CODEPIPELINE"},
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": configured.image.as_deref().unwrap_or(BUILD_IMAGE),
            "computeType": configured.compute_type.as_deref().unwrap_or(BUILD_COMPUTE),
            "environmentVariables": variables,
        },
        "serviceRole": role,
        "timeoutInMinutes": configured.timeout_minutes.unwrap_or(BUILD_MINUTES),
    })
}

/// Whether an existing value says everything that is wanted; it may say more. A buildspec that is not wanted any more
/// is the one member whose absence matters.
pub fn covers(existing: &Json, wanted: &Json) -> bool {
    fn inside(existing: &Json, wanted: &Json) -> bool {
        match (existing, wanted) {
            (Json::Object(e), Json::Object(w)) => w.iter().all(|(k, v)| e.get(k).is_some_and(|e| inside(e, v))),
            (Json::Array(e), Json::Array(w)) => e.len() == w.len() && e.iter().zip(w).all(|(e, w)| inside(e, w)),
            _ => existing == wanted,
        }
    }
    let buildspec = |p: &Json| p["source"]["buildspec"].as_str().unwrap_or_default().to_owned();
    inside(existing, wanted) && buildspec(existing) == buildspec(wanted)
}
