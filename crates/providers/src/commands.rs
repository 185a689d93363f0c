//! Compute / AWS / Commands and the rule Commands: shell commands in a build that CodePipeline itself runs, in a project
//! of its own.
//!
//! The project is named `codepipeline-commands-<pipeline>-<8 hexadecimal digits>`, the digits from the pipeline, its role
//! and the VPC settings; it is created when a start finds none, and everything else of a run is an override of StartBuild:
//! source, outputs, a buildspec made of the commands, image, role, log group `/aws/codepipeline/<pipeline>`. The calls to
//! CodeBuild are made as CodePipeline, since a pipeline's role needs permissions for its logs and artifacts alone; the
//! commands act as the action's or the pipeline's role (`session.rs` says how the embedded CodeBuild comes by it).
//!
//! CodeBuild exports no variable whose name begins with `AWS_`; such an output variable is copied to one that it does
//! export, after the last command.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_codebuild::Client;
use aws_sdk_codebuild::operation::start_build::builders::StartBuildFluentBuilder;
use aws_sdk_codebuild::types::{
    Build, CloudWatchLogsConfig, ComputeType, EnvironmentType, EnvironmentVariable, EnvironmentVariableType,
    ImagePullCredentialsType, LogsConfig, LogsConfigStatusType, ProjectArtifacts, ProjectEnvironment, ProjectSource,
    SourceType, Tag, VpcConfig,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};

use crate::limits::{COMMANDS_MINUTES, COMMANDS_MINUTES_MIN, COMMANDS_PROJECT_PIPELINE_CHARS};
use crate::problem::{Kind, Problem};
use crate::provider::{Artifacts, Call, Provider};
use crate::realm::RealmKind;
use crate::realms::Service;
use crate::session::PIPELINE_TAG;
use crate::{builds, rules};

const LINUX_IMAGE: &str = "aws/codebuild/amazonlinux2-x86_64-standard:5.0";
const WINDOWS_IMAGE: &str = "aws/codebuild/windows-base:2022-1.0";
const LINUX: &str = "LINUX_CONTAINER";
const WINDOWS: &str = "WINDOWS_SERVER_2022_CONTAINER";
const SMALL: &str = "BUILD_GENERAL1_SMALL";
const COMPUTE: [&str; 3] = [SMALL, "BUILD_GENERAL1_MEDIUM", "BUILD_GENERAL1_LARGE"];
/// Stands before the name of an output variable that CodeBuild would not export.
const COPY_PREFIX: &str = "CODEPIPELINE_OUTPUT_";
/// Output variables that would hand out the build's credentials.
const CREDENTIALS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

pub struct Commands {
    entry: ActionTypeEntry,
}

impl Commands {
    pub const CATEGORIES: [Category; 2] = [Category::Compute, Category::Rule];

    pub fn new(category: Category) -> Self {
        Self { entry: if category == Category::Rule { rule() } else { action() } }
    }
}

fn rule() -> ActionTypeEntry {
    let description = "Runs the shell commands of the rule's `commands`; met when every one of them exits with 0.";
    ActionTypeEntry {
        inputs: Bounds::new(1, 10),
        default_timeout_minutes: COMMANDS_MINUTES,
        repeat: Repeat::Token,
        ..rules::entry("Commands", description, Vec::new())
    }
}

fn action() -> ActionTypeEntry {
    let vpc = "Together with the other two: where the commands run. Of no effect in the embedded CodeBuild.";
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Compute, Owner::Aws, "Commands", "1"),
        description: "Runs the shell commands of the action's `commands`, one after the other in one shell, in the first \
                      input artifact; the first that fails ends the action. `outputVariables`, `environmentVariables` and \
                      `files` of the output artifact stand beside `commands`. The other inputs are in \
                      `CODEBUILD_SRC_DIR_<artifact>`. The log is in `/aws/codepipeline/<pipeline>`."
            .to_owned(),
        properties: vec![
            Property::optional("EnvironmentType", "`LINUX_CONTAINER` when absent. Towpath's own builds run on Linux.")
                .one_of(&[LINUX, WINDOWS]),
            Property::optional("ComputeType", "`BUILD_GENERAL1_SMALL` when absent, which Windows does not have.")
                .one_of(&COMPUTE),
            Property::optional("VpcId", vpc),
            Property::optional("Subnets", "Ids of subnets, separated by commas."),
            Property::optional("SecurityGroupIds", "Ids of security groups, separated by commas."),
        ],
        inputs: Bounds::new(1, 10),
        outputs: Bounds::new(0, 1),
        output_variables: Vec::new(),
        default_timeout_minutes: COMMANDS_MINUTES,
        timeout_configurable: false,
        v2_only: true,
        repeat: Repeat::Token,
        entity_url_template: None,
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-Commands.html"
            .to_owned(),
    }
}

/// One run, as it is told to CodeBuild.
struct Run {
    project: String,
    vpc: Option<VpcConfig>,
    source: String,
    secondary_sources: Vec<ProjectSource>,
    artifacts: ProjectArtifacts,
    buildspec: String,
    variables: Vec<EnvironmentVariable>,
    environment: EnvironmentType,
    image: &'static str,
    compute: ComputeType,
    minutes: i32,
    log_group: String,
}

impl Run {
    fn of(action: &ActionInvocation, kind: RealmKind) -> Result<Self, String> {
        let name = &action.action_name;
        if action.commands.is_empty() {
            return Err(format!("{name} has no commands."));
        }
        let [primary, others @ ..] = action.input_artifacts.as_slice() else {
            return Err(format!("{name} has no input artifact. The commands run in the first one."));
        };
        let (environment, image, compute) = environment(action, kind)?;
        let vpc = vpc(action)?;
        let artifacts = match action.output_artifacts.as_slice() {
            [] => builds::no_artifacts()?,
            [output] if action.output_files.is_empty() => {
                return Err(format!(
                    "The output artifact {} of {name} has no files. List the paths that belong to it in files.",
                    output.name
                ));
            }
            [output] => builds::s3_artifact(output, None)?,
            [..] => return Err(format!("{name} has more than one output artifact.")),
        };
        Ok(Self {
            project: project_name(action, vpc.as_ref()),
            vpc,
            source: format!("{}/{}", primary.bucket, primary.key),
            secondary_sources: others.iter().map(builds::s3_source).collect::<Result<_, _>>()?,
            artifacts,
            buildspec: buildspec(action)?,
            variables: variables(action, kind)?,
            environment,
            image,
            compute,
            minutes: minutes(action),
            log_group: log_group(&action.pipeline_name),
        })
    }

    fn overrides(&self, action: &ActionInvocation, request: StartBuildFluentBuilder) -> StartBuildFluentBuilder {
        request
            .project_name(&self.project)
            .idempotency_token(builds::token(action))
            .source_type_override(SourceType::S3)
            .source_location_override(&self.source)
            .set_secondary_sources_override(Some(self.secondary_sources.clone()))
            .artifacts_override(self.artifacts.clone())
            .set_secondary_artifacts_override(Some(Vec::new()))
            .buildspec_override(&self.buildspec)
            .set_environment_variables_override(Some(self.variables.clone()).filter(|v| !v.is_empty()))
            .environment_type_override(self.environment.clone())
            .image_override(self.image)
            .compute_type_override(self.compute.clone())
            .image_pull_credentials_type_override(ImagePullCredentialsType::Codebuild)
            .privileged_mode_override(false)
            .logs_config_override(self.logs())
            .service_role_override(action.acting_role())
            .timeout_in_minutes_override(self.minutes)
            .set_encryption_key_override(action.encryption_key.clone())
    }

    fn logs(&self) -> LogsConfig {
        let group = CloudWatchLogsConfig::builder().status(LogsConfigStatusType::Enabled).group_name(&self.log_group);
        // Its one required member is set.
        LogsConfig::builder().set_cloud_watch_logs(group.build().ok()).build()
    }

    /// Starts the build; makes the project first where there is none.
    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation, client: &Client) -> Result<Build, Problem> {
        match self.try_start(cx, action, client).await {
            Err(problem) if problem.kind == Kind::NotFound => {
                self.create_project(cx, action, client).await?;
                self.try_start(cx, action, client).await
            }
            answered => answered,
        }
    }

    async fn try_start(&self, cx: &Call<'_>, action: &ActionInvocation, client: &Client) -> Result<Build, Problem> {
        let answer = self.overrides(action, client.start_build()).send().await;
        let answer = answer.map_err(|error| cx.realm.note(action, Problem::of(builds::SERVICE, &error)))?;
        answer.build_value.ok_or_else(|| Problem::broken(builds::SERVICE, "StartBuild answered without a build"))
    }

    async fn create_project(&self, cx: &Call<'_>, action: &ActionInvocation, client: &Client) -> Result<(), Problem> {
        let incomplete =
            |error: aws_sdk_codebuild::error::BuildError| Problem::broken(builds::SERVICE, error.to_string());
        let environment = ProjectEnvironment::builder()
            .r#type(EnvironmentType::LinuxContainer)
            .image(LINUX_IMAGE)
            .compute_type(ComputeType::BuildGeneral1Small);
        let source = ProjectSource::builder()
            .r#type(SourceType::NoSource)
            .buildspec(json!({"version": "0.2", "phases": {"build": {"commands": ["true"]}}}).to_string());
        let request = client
            .create_project()
            .name(&self.project)
            .description(format!("Runs the Commands actions of the pipeline {}.", action.pipeline_name))
            .source(source.build().map_err(incomplete)?)
            .artifacts(builds::no_artifacts().map_err(|error| Problem::broken(builds::SERVICE, error))?)
            .environment(environment.build().map_err(incomplete)?)
            .service_role(&action.pipeline_role_arn)
            .timeout_in_minutes(minutes_number(COMMANDS_MINUTES))
            .set_vpc_config(self.vpc.clone())
            .tags(Tag::builder().key(PIPELINE_TAG).value(action.pipeline_name.as_str()).build());
        match request.send().await.map_err(|error| cx.realm.note(action, Problem::of(builds::SERVICE, &error))) {
            Ok(_) => Ok(()),
            // Another start of the same pipeline was first.
            Err(problem) if problem.code.ends_with("ResourceAlreadyExistsException") => Ok(()),
            Err(problem) => Err(problem),
        }
    }
}

fn environment(
    action: &ActionInvocation,
    kind: RealmKind,
) -> Result<(EnvironmentType, &'static str, ComputeType), String> {
    let given = |key: &str| action.config(key).filter(|value| !value.is_empty());
    let compute = given("ComputeType").unwrap_or(SMALL);
    if !COMPUTE.contains(&compute) {
        return Err(format!("The value of ComputeType is '{compute}'; it must be one of {}.", COMPUTE.join(", ")));
    }
    match given("EnvironmentType").unwrap_or(LINUX) {
        LINUX => Ok((EnvironmentType::LinuxContainer, LINUX_IMAGE, ComputeType::from(compute))),
        WINDOWS if kind == RealmKind::Embedded => {
            Err(format!("EnvironmentType {WINDOWS} is not supported: Towpath's own builds run on Linux. Use {LINUX}."))
        }
        WINDOWS if compute == SMALL => Err(format!(
            "EnvironmentType {WINDOWS} does not have {SMALL}. Set ComputeType to {} or {}.",
            COMPUTE[1], COMPUTE[2]
        )),
        WINDOWS => Ok((EnvironmentType::WindowsServer2022Container, WINDOWS_IMAGE, ComputeType::from(compute))),
        other => Err(format!("The value of EnvironmentType is '{other}'; it must be {LINUX} or {WINDOWS}.")),
    }
}

/// All three settings, or none.
fn vpc(action: &ActionInvocation) -> Result<Option<VpcConfig>, String> {
    let list = |key: &str, prefix: &str| -> Result<Vec<String>, String> {
        let text = action.config(key).unwrap_or_default();
        let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
        match items.iter().find(|item| !item.starts_with(prefix)) {
            Some(item) => Err(format!("The value of {key} is not valid: '{item}' does not begin with {prefix}.")),
            None => Ok(items.into_iter().map(str::to_owned).collect()),
        }
    };
    let (vpc, subnets, groups) =
        (list("VpcId", "vpc-")?, list("Subnets", "subnet-")?, list("SecurityGroupIds", "sg-")?);
    if vpc.is_empty() && subnets.is_empty() && groups.is_empty() {
        return Ok(None);
    }
    let [id] = vpc.as_slice() else {
        return Err("VpcId must be one id when Subnets or SecurityGroupIds are given.".to_owned());
    };
    if subnets.is_empty() || groups.is_empty() {
        return Err("VpcId needs both Subnets and SecurityGroupIds.".to_owned());
    }
    let config = VpcConfig::builder().vpc_id(id).set_subnets(Some(subnets)).set_security_group_ids(Some(groups));
    Ok(Some(config.build()))
}

/// Never shows a value: it may be a secret that a variable resolved to.
fn variables(action: &ActionInvocation, kind: RealmKind) -> Result<Vec<EnvironmentVariable>, String> {
    let read = |variable: &towpath_model::declaration::EnvironmentVariable| {
        let name = &variable.name;
        let kind = match variable.kind.as_deref() {
            None | Some("PLAINTEXT") => EnvironmentVariableType::Plaintext,
            Some("SECRETS_MANAGER") if kind == RealmKind::Embedded => {
                return Err(format!(
                    "The environment variable {name} has the type SECRETS_MANAGER, which is not supported yet: Towpath has \
                     no AWS Secrets Manager. Give it as PLAINTEXT, or read the secret in a command."
                ));
            }
            Some("SECRETS_MANAGER") => EnvironmentVariableType::SecretsManager,
            Some(other) => {
                return Err(format!(
                    "The environment variable {name} has the type '{other}'; it must be PLAINTEXT or SECRETS_MANAGER."
                ));
            }
        };
        let variable = EnvironmentVariable::builder().name(name).value(&variable.value).r#type(kind);
        variable.build().map_err(|error| error.to_string())
    };
    action.environment_variables.iter().map(read).collect()
}

/// The name under which CodeBuild exports an output variable.
fn exported_name(name: &str) -> String {
    if name.starts_with("AWS_") { format!("{COPY_PREFIX}{name}") } else { name.to_owned() }
}

/// The commands as a buildspec. JSON is YAML, and needs no quoting of ours.
fn buildspec(action: &ActionInvocation) -> Result<String, String> {
    let mut commands: Vec<String> = action.commands.clone();
    for name in &action.output_variables {
        let legal = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(legal) {
            return Err(format!(
                "The output variable '{name}' is no name of an environment variable: letters, digits and _, and no digit \
                 first."
            ));
        }
        if CREDENTIALS.contains(&name.as_str()) {
            return Err(format!("The output variable {name} is a credential of the build and is not handed out."));
        }
        let exported = exported_name(name);
        if exported != *name {
            commands.push(format!("[ -z \"${{{name}+x}}\" ] || export {exported}=\"${name}\""));
        }
    }
    let mut spec = json!({"version": "0.2", "phases": {"build": {"commands": commands}}});
    if !action.output_variables.is_empty() {
        let exported: Vec<String> = action.output_variables.iter().map(|name| exported_name(name)).collect();
        spec["env"] = json!({"exported-variables": exported});
    }
    if !action.output_artifacts.is_empty() {
        spec["artifacts"] = json!({"files": action.output_files});
    }
    Ok(spec.to_string())
}

/// As long as the action has, in CodeBuild's bounds; worked out from what is stored, so that a repeated start says the same.
fn minutes(action: &ActionInvocation) -> i32 {
    let left = (action.deadline.millis() - action.started.millis()).div_euclid(60_000);
    let left = u32::try_from(left).unwrap_or(COMMANDS_MINUTES);
    minutes_number(left.clamp(COMMANDS_MINUTES_MIN, COMMANDS_MINUTES))
}

fn minutes_number(minutes: u32) -> i32 {
    i32::try_from(minutes).unwrap_or(i32::MAX)
}

/// The same call where Towpath's own builds are: those that CodePipeline runs for actions whose service is elsewhere.
pub const fn at_home<'a>(cx: &Call<'a>) -> Call<'a> {
    Call { realm: cx.artifacts, artifacts: cx.artifacts, clock: cx.clock, scratch: cx.scratch, job: None }
}

/// What CloudWatch Logs does not allow in a name becomes `-`.
fn log_group(pipeline: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '#');
    let name: String = pipeline.chars().map(|c| if legal(c) { c } else { '-' }).collect();
    format!("/aws/codepipeline/{name}")
}

fn project_name(action: &ActionInvocation, vpc: Option<&VpcConfig>) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let pipeline = action.pipeline_name.chars().take(COMMANDS_PROJECT_PIPELINE_CHARS);
    let pipeline: String = pipeline.map(|c| if legal(c) { c } else { '-' }).collect();
    let mut hash = Sha256::new();
    let vpc = vpc.map(|vpc| {
        [vec![vpc.vpc_id.clone().unwrap_or_default()], vpc.subnets().to_vec(), vpc.security_group_ids().to_vec()]
            .concat()
    });
    let parts = [action.pipeline_name.as_str(), &action.pipeline_role_arn];
    for part in parts.into_iter().chain(vpc.iter().flatten().map(String::as_str)) {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digits = hex::encode(&hash.finalize()[..4]);
    format!("codepipeline-commands-{pipeline}-{digits}")
}

/// The output variables that were asked for, under their own names; a rule has none.
fn told(action: &ActionInvocation, outcome: Outcome) -> Outcome {
    let Outcome::Succeeded { progress, variables, revisions } = outcome else { return outcome };
    let of = |name: &String| Some((name.clone(), variables.get(&exported_name(name))?.clone()));
    let wanted = action.output_variables.iter().filter(|_| action.action_type.category != Category::Rule);
    let variables: BTreeMap<String, String> = wanted.filter_map(of).collect();
    Outcome::Succeeded { progress, variables, revisions }
}

#[async_trait]
impl Provider for Commands {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let run = match Run::of(action, cx.realm.kind()) {
            Ok(run) => run,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        let started = match cx.realm.codebuild_of_service(action).await {
            Ok(client) => run.start(cx, action, &client).await,
            Err(problem) => Err(problem),
        };
        match started {
            Ok(build) => told(action, builds::outcome_of(cx, action, &build)),
            Err(problem) => builds::not_started(&problem),
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        let Some(id) = progress.external_id.as_deref() else {
            // Nothing is known of the start; the token makes starting again the same build.
            return self.start(cx, action).await;
        };
        let client = cx.realm.codebuild_of_service(action).await;
        told(action, builds::poll(cx, action, client, id, progress).await)
    }

    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        let Some(id) = progress.external_id.as_deref() else { return Ok(()) };
        builds::stop(cx, action, cx.realm.codebuild_of_service(action).await, id).await
    }

    fn artifacts(&self) -> Artifacts {
        Artifacts::ByService
    }

    fn service(&self) -> Option<Service> {
        Some(Service::CodeBuild)
    }
}
