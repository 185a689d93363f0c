//! Build / AWS / ECRBuildAndPublish: an image is built of the input artifact and pushed to a repository of Amazon ECR.
//!
//! Docker runs in a build that CodePipeline itself runs, as the commands of a Commands action are ([`Commands`]): it outlives
//! the server, has a log, and a repeated start is the same build. It runs in Towpath's own CodeBuild, wherever the registry
//! is, and needs a Docker client with an engine there.
//!
//! The registry's password is no setting of the build, which everybody who may see builds would see and which would make a
//! repeated start another one: it lies beside the input artifact until the build has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use towpath_model::action::{ActionInvocation, ArtifactLocation, ErrorDetails, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};

use crate::artifact_files;
use crate::commands::{Commands, at_home};
use crate::deploys::{code_of, given, misconfigured, needed, one_input};
use crate::ecr_registry::{self, is_of_an_image};
use crate::limits::{COMMANDS_MINUTES, IMAGE_TAG_CHARS_MAX, IMAGE_TAGS_MAX};
use crate::problem::Problem;
use crate::provider::{Call, Provider, interval};
use crate::realms::Service;
use crate::staging::PREFIX;

const PRIVATE: &str = "private";
const PUBLIC: &str = "public";
const LATEST: &str = "latest";
/// The artifact that tells the build where the registry is, and its one file.
const REGISTRY: &str = "Registry";
const FILE: &str = "registry.env";
const DIGEST: &str = "ECRImageDigestId";
/// Exit statuses by which the build says what it lacks.
const NO_ENGINE: u8 = 86;
const NO_DOCKERFILE: u8 = 87;

pub struct EcrBuild {
    entry: ActionTypeEntry,
    builds: Commands,
}

impl Default for EcrBuild {
    fn default() -> Self {
        Self::new()
    }
}

impl EcrBuild {
    pub fn new() -> Self {
        Self { entry: entry(), builds: Commands::new(Category::Compute) }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Build, Owner::Aws, "ECRBuildAndPublish", "1"),
        description:
            "Builds a container image of the input artifact with Docker and pushes it to an Amazon ECR repository."
                .to_owned(),
        properties: vec![
            Property::required("ECRRepositoryName", "Repository that the image is pushed to."),
            Property::optional(
                "DockerFilePath",
                "Directory of the Dockerfile in the input artifact, or the file itself; the artifact's root when absent. The \
                 root is what the image is built of.",
            ),
            Property::optional("ImageTags", "Tags of the image, separated by commas; `latest` when absent."),
            Property::optional("RegistryType", "`private` when absent.").one_of(&[PRIVATE, PUBLIC]),
        ],
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(0, 0),
        output_variables: [DIGEST, "ECRRepositoryName"].map(ToOwned::to_owned).to_vec(),
        default_timeout_minutes: COMMANDS_MINUTES,
        timeout_configurable: false,
        v2_only: true,
        repeat: Repeat::Token,
        entity_url_template: Some(
            "https://console.aws.amazon.com/ecr/repositories/{Config:ECRRepositoryName}".to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation:
            "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-ECRBuildAndPublish.html"
                .to_owned(),
    }
}

fn tags(text: &str) -> Result<Vec<&str>, String> {
    let tags: Vec<&str> = text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect();
    let legal = |tag: &str| {
        tag.len() <= IMAGE_TAG_CHARS_MAX
            && !tag.starts_with(['.', '-'])
            && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    if let Some(tag) = tags.iter().find(|tag| !legal(tag)) {
        return Err(format!(
            "'{tag}' in ImageTags is no tag: letters, digits, periods, hyphens and underscores, at most \
             {IMAGE_TAG_CHARS_MAX}, and no period or hyphen first."
        ));
    }
    match tags.len() {
        0 => Err("ImageTags has no tag. Remove it, and the tag is latest.".to_owned()),
        1..=IMAGE_TAGS_MAX => Ok(tags),
        more => Err(format!("ImageTags has {more} tags; {IMAGE_TAGS_MAX} are allowed.")),
    }
}

/// The configuration, read.
struct Plan<'a> {
    repository: &'a str,
    dockerfile: &'a str,
    tags: Vec<&'a str>,
    public: bool,
    input: &'a ArtifactLocation,
}

impl<'a> Plan<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let repository = needed(action, "ECRRepositoryName")?;
        if !is_of_an_image(repository) {
            return Err(format!("The ECRRepositoryName '{repository}' has characters that no repository has."));
        }
        let dockerfile = given(action, "DockerFilePath").unwrap_or(".");
        if dockerfile.starts_with('/') || dockerfile.split('/').any(|part| part == "..") {
            return Err(format!("The DockerFilePath '{dockerfile}' leads out of the input artifact."));
        }
        let public = match given(action, "RegistryType").unwrap_or(PRIVATE) {
            PRIVATE => false,
            PUBLIC => true,
            other => return Err(format!("The value of RegistryType is '{other}'; it must be {PRIVATE} or {PUBLIC}.")),
        };
        let tags = tags(given(action, "ImageTags").unwrap_or(LATEST))?;
        Ok(Self { repository, dockerfile, tags, public, input: one_input(action)? })
    }

    /// Where the registry's password lies.
    fn registry(&self, action: &ActionInvocation) -> ArtifactLocation {
        let ids = [action.pipeline_name.as_str(), action.action_execution_id.as_str()];
        ArtifactLocation {
            name: REGISTRY.into(),
            key: format!("{PREFIX}/{}/registry.zip", ids.join("/")),
            revision_id: None,
            ..self.input.clone()
        }
    }

    /// The Commands action whose build makes and pushes the image. The same for every start.
    fn build(&self, action: &ActionInvocation) -> ActionInvocation {
        let place = format!("$CODEBUILD_SRC_DIR_{REGISTRY}");
        let path = self.dockerfile.replace('\'', r"'\''");
        let tag = |tag: &&str| format!(" --tag \"$REPOSITORY_URI:{tag}\"");
        let first = self.tags.first().copied().unwrap_or(LATEST);
        let mut commands = vec![
            format!("sh -c 'docker version > /dev/null 2>&1 || exit {NO_ENGINE}'"),
            format!("export DOCKERFILE='{path}'"),
            "if [ -d \"$DOCKERFILE\" ]; then DOCKERFILE=\"$DOCKERFILE/Dockerfile\"; fi".to_owned(),
            format!("sh -c '[ -f \"$DOCKERFILE\" ] || exit {NO_DOCKERFILE}'"),
            format!(". \"{place}/{FILE}\" && rm \"{place}/{FILE}\""),
            // The engine that is used without a directory of our own for what Docker keeps of registries.
            "export DOCKER_HOST=\"${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}')}\"".to_owned(),
            format!("export DOCKER_CONFIG=\"{place}/docker\""),
            "printf %s \"$REGISTRY_PASSWORD\" | docker login --username \"$REGISTRY_USER\" --password-stdin \"$REGISTRY_HOST\""
                .to_owned(),
            "unset REGISTRY_PASSWORD".to_owned(),
            format!("docker build --file \"$DOCKERFILE\"{} .", self.tags.iter().map(tag).collect::<String>()),
        ];
        commands.extend(self.tags.iter().map(|tag| format!("docker push \"$REPOSITORY_URI:{tag}\"")));
        commands.push(format!(
            "export {DIGEST}=$(docker image inspect --format '{{{{range .RepoDigests}}}}{{{{println .}}}}{{{{end}}}}' \
             \"$REPOSITORY_URI:{first}\" | grep \"^$REPOSITORY_URI@\" | head -n 1 | cut -d @ -f 2)"
        ));
        ActionInvocation {
            configuration: BTreeMap::new(),
            input_artifacts: vec![self.input.clone(), self.registry(action)],
            output_artifacts: Vec::new(),
            commands,
            environment_variables: Vec::new(),
            output_variables: vec![DIGEST.to_owned()],
            output_files: Vec::new(),
            ..action.clone()
        }
    }

    /// Puts down where the registry is and how to come in. A repeated start puts a newer password, which is as good.
    async fn provide(&self, cx: &Call<'_>, action: &ActionInvocation) -> Result<(), Outcome> {
        let place = self.registry(action);
        let asked = async {
            if self.public {
                let uri = ecr_registry::public_repository(cx, action, self.repository).await?;
                Ok((uri, ecr_registry::public(cx, action).await?))
            } else {
                let uri = ecr_registry::private_repository(cx, action, self.repository).await?;
                Ok((uri, ecr_registry::private(cx, action).await?))
            }
        };
        let (uri, registry) = asked.await.map_err(|problem: Problem| {
            let message =
                format!("Unable to push to the Amazon ECR repository named {}. {}", self.repository, problem.detail());
            problem.outcome(code_of(&problem), message)
        })?;
        let facts = [
            ("REPOSITORY_URI", &uri),
            ("REGISTRY_HOST", &registry.host),
            ("REGISTRY_USER", &registry.user),
            ("REGISTRY_PASSWORD", &registry.password),
        ];
        let lines = facts.map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', r"'\''"))).concat();
        let written = artifact_files::write_one(cx, action, &place, FILE, lines.into_bytes()).await;
        written.map_err(|trouble| trouble.outcome(&place))
    }

    /// The password is of no use to anybody any more; where it cannot be written over, it ends by itself.
    async fn forget(&self, cx: &Call<'_>, action: &ActionInvocation) {
        let place = self.registry(action);
        if artifact_files::write_one(cx, action, &place, FILE, b"\n".to_vec()).await.is_err() {
            tracing::warn!(action = %action.action_execution_id, "a registry's password was not written over");
        }
    }

    /// What the build's outcome is for the action.
    async fn built(&self, cx: &Call<'_>, action: &ActionInvocation, built: Outcome) -> Outcome {
        match built {
            Outcome::Succeeded { progress, mut variables, .. } => {
                self.forget(cx, action).await;
                let digest = variables.get(DIGEST).map_or_else(String::new, |digest| format!(" ({digest})"));
                let pushed: Vec<String> = self.tags.iter().map(|tag| format!("{}:{tag}", self.repository)).collect();
                let progress = Progress { summary: Some(format!("Pushed {}{digest}.", pushed.join(", "))), ..progress };
                variables.insert("ECRRepositoryName".to_owned(), self.repository.to_owned());
                Outcome::Succeeded { progress, variables, revisions: Vec::new() }
            }
            Outcome::Failed { progress, error } => {
                self.forget(cx, action).await;
                self.explained(progress, error)
            }
            other => other,
        }
    }

    /// A build without an engine, or without a Dockerfile, is the user's to mend.
    fn explained(&self, progress: Progress, error: ErrorDetails) -> Outcome {
        let ended = |status: u8| error.message.contains(&format!("exit status {status}"));
        let message = if ended(NO_ENGINE) {
            "There is no Docker with a running engine where builds run. Install Docker on this machine and set `kind = \
             \"host\"` under `[sandbox]` in towpath.toml, or name an image with a Docker engine in `[images]` for \
             aws/codebuild/amazonlinux2-x86_64-standard:5.0."
                .to_owned()
        } else if ended(NO_DOCKERFILE) {
            format!(
                "The artifact {} has no Dockerfile at '{}'. Set DockerFilePath to its directory.",
                self.input.name, self.dockerfile
            )
        } else {
            return Outcome::Failed { progress, error };
        };
        let progress = Progress { summary: Some(message.clone()), ..progress };
        Outcome::Failed { progress, error: ErrorDetails::new(error_code::CONFIGURATION_ERROR, message) }
    }
}

#[async_trait]
impl Provider for EcrBuild {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn check_value(&self, key: &str, value: &str) -> Result<(), String> {
        if key == "ImageTags" { tags(value).map(drop) } else { Ok(()) }
    }

    fn service(&self) -> Option<Service> {
        Some(Service::Ecr)
    }

    fn service_of(&self, action: &ActionInvocation) -> Option<Service> {
        Some(if given(action, "RegistryType") == Some(PUBLIC) { Service::EcrPublic } else { Service::Ecr })
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let plan = match Plan::read(action) {
            Ok(plan) => plan,
            Err(message) => return misconfigured(message),
        };
        if let Err(outcome) = Box::pin(plan.provide(cx, action)).await {
            return outcome;
        }
        let built = self.builds.start(&at_home(cx), &plan.build(action)).await;
        plan.built(cx, action, built).await
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        if progress.external_id.is_none() {
            // Nothing is known of the start; the token makes starting again the same build.
            return self.start(cx, action).await;
        }
        let plan = match Plan::read(action) {
            Ok(plan) => plan,
            Err(message) => return misconfigured(message),
        };
        let built = self.builds.poll(&at_home(cx), &plan.build(action), progress).await;
        plan.built(cx, action, built).await
    }

    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        self.builds.stop(&at_home(cx), action, progress).await?;
        if let Some(plan) = Plan::read(action).ok().filter(|_| progress.external_id.is_some()) {
            plan.forget(cx, action).await;
        }
        Ok(())
    }

    fn poll_interval(&self, cx: &Call<'_>, _: &ActionInvocation, _: &Progress, polls: u32) -> Duration {
        interval(&at_home(cx), polls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_an_image() {
        assert_eq!(tags("latest, 1.4.2 ,"), Ok(vec!["latest", "1.4.2"]));
        let (long, many) = ("x".repeat(129), vec!["a"; IMAGE_TAGS_MAX + 1].join(","));
        for (text, why) in [
            (",", "ImageTags has no tag"),
            ("a b", "'a b' in ImageTags is no tag"),
            (".a", "'.a' in ImageTags is no tag"),
            (long.as_str(), "is no tag"),
            (many.as_str(), "tags; 50 are allowed"),
        ] {
            let told = tags(text).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
