//! Deploy / AWS / CodeDeployToECS: a blue/green deployment of an ECS service. A task definition is made of a template and
//! the images of `imageDetail.json` files, registered, put into an appspec, and CodeDeploy deploys that.
//! `deployments.rs` says how it is watched.
//!
//! A start that is repeated after a crash finds the deployment; where there was none yet, one more revision of the task
//! definition is registered, which nobody uses.

use async_trait::async_trait;
use aws_sdk_codedeploy::types::{AppSpecContent, RevisionLocation, RevisionLocationType};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};

use crate::artifact_files::{self, Trouble};
use crate::deployments::{self, Place};
use crate::deploys::{given, misconfigured, needed, unable};
use crate::inputs;
use crate::limits::{BLUE_GREEN_ARTIFACT_BYTES_MAX, BLUE_GREEN_IMAGES_MAX, TIMEOUT_CODE_DEPLOY_MINUTES};
use crate::logs::LogPage;
use crate::objects::S3;
use crate::problem::Problem;
use crate::provider::{Call, Provider};
use crate::realms::Service;
use crate::task_definitions;

const TASK_DEFINITION_PLACEHOLDER: &str = "<TASK_DEFINITION>";
const IMAGE_FILE: &str = "imageDetail.json";

pub struct CodeDeployToEcs {
    entry: ActionTypeEntry,
}

impl CodeDeployToEcs {
    #[expect(clippy::new_without_default, reason = "a provider is made by the catalogue alone")]
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    let mut properties = vec![
        Property::required("ApplicationName", "Application of CodeDeploy, of the compute platform Amazon ECS."),
        Property::required("DeploymentGroupName", "Deployment group of the application."),
        Property::required("TaskDefinitionTemplateArtifact", "Input artifact that holds the task definition."),
        Property::required("AppSpecTemplateArtifact", "Input artifact that holds the appspec."),
        Property::optional("TaskDefinitionTemplatePath", "Its path there; `taskdef.json` when absent."),
        Property::optional("AppSpecTemplatePath", "Its path there; `appspec.yaml` when absent."),
    ];
    for number in 1..=BLUE_GREEN_IMAGES_MAX {
        properties.push(Property::optional(
            &format!("Image{number}ArtifactName"),
            "Input artifact with an `imageDetail.json`, whose `ImageURI` is put into the task definition.",
        ));
        properties.push(Property::optional(
            &format!("Image{number}ContainerName"),
            "Word that stands for that image in the task definition, there in angle brackets.",
        ));
    }
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "CodeDeployToECS", "1"),
        description: "Deploys images to an Amazon ECS service in a blue/green deployment of AWS CodeDeploy. In the task \
                      definition `<Image1ContainerName>` becomes the image's URI, in the appspec `<TASK_DEFINITION>` the \
                      registered revision."
            .to_owned(),
        properties,
        inputs: Bounds::new(1, 5),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_CODE_DEPLOY_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Lookup,
        entity_url_template: Some(
            "https://console.aws.amazon.com/codedeploy/home?#/applications/{Config:ApplicationName}/deployment-groups/\
             {Config:DeploymentGroupName}"
                .to_owned(),
        ),
        execution_url_template: Some(
            "https://console.aws.amazon.com/codedeploy/home?#/deployments/{ExternalExecutionId}".to_owned(),
        ),
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-ECSbluegreen.html"
            .to_owned(),
    }
}

/// A file in one of the input artifacts.
#[derive(Debug, Clone, Copy)]
struct Template<'a> {
    /// What AWS calls it in its messages.
    what: &'static str,
    artifact: &'a ArtifactLocation,
    path: &'a str,
}

impl<'a> Template<'a> {
    fn of(
        action: &'a ActionInvocation,
        what: &'static str,
        key: &str,
        name: &str,
        path: &'a str,
    ) -> Result<Self, String> {
        let artifact = action.input_artifacts.iter().find(|artifact| artifact.name == *name).ok_or_else(|| {
            format!("{key} of {} is '{name}', which is not one of its input artifacts.", action.action_name)
        })?;
        Ok(Self { what, artifact, path })
    }

    fn unreadable(&self, why: &str) -> Outcome {
        misconfigured(format!(
            "Exception while trying to read the {} artifact file from: {}. {why}",
            self.what, self.artifact.name
        ))
    }

    async fn read(&self, cx: &Call<'_>, action: &ActionInvocation) -> Result<String, Outcome> {
        let artifact = self.artifact;
        let from = S3::new(cx.artifacts, action, &artifact.region);
        let found = from.look(&artifact.bucket, &artifact.key, None).await;
        let found = found.map_err(|problem| inputs::outcome(artifact, &problem))?;
        if found.bytes > BLUE_GREEN_ARTIFACT_BYTES_MAX {
            let most = BLUE_GREEN_ARTIFACT_BYTES_MAX / (1024 * 1024);
            return Err(self.unreadable(&format!(
                "The artifact has {} bytes; {most} MB are the most. Put the file into an artifact of its own.",
                found.bytes
            )));
        }
        let read = artifact_files::read(cx, action, artifact, self.path, BLUE_GREEN_ARTIFACT_BYTES_MAX).await;
        let bytes = read.map_err(|trouble| match trouble {
            Trouble::Missing { path } => self.unreadable(&format!("The artifact has no file {path}.")),
            trouble => trouble.outcome(artifact),
        })?;
        String::from_utf8(bytes).map_err(|_| self.unreadable(&format!("The file {} is no UTF-8 text.", self.path)))
    }
}

/// An image and the word that stands for it.
struct Image<'a> {
    template: Template<'a>,
    word: &'a str,
}

struct Wanted<'a> {
    place: Place<'a>,
    task_definition: Template<'a>,
    app_spec: Template<'a>,
    images: Vec<Image<'a>>,
}

impl<'a> Wanted<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let template = |what, artifact_key: &str, path_key: &str, path: &'a str| {
            let name = needed(action, artifact_key)?;
            Template::of(action, what, artifact_key, name, given(action, path_key).unwrap_or(path))
        };
        let mut images = Vec::new();
        for number in 1..=BLUE_GREEN_IMAGES_MAX {
            let (artifact_key, word_key) =
                (format!("Image{number}ArtifactName"), format!("Image{number}ContainerName"));
            match (given(action, &artifact_key), given(action, &word_key)) {
                (None, None) => {}
                (Some(name), Some(word)) => {
                    let template = Template::of(action, "image", &artifact_key, name, IMAGE_FILE)?;
                    images.push(Image { template, word });
                }
                _ => {
                    return Err(format!(
                        "{} needs both {artifact_key} and {word_key}, or neither.",
                        action.action_name
                    ));
                }
            }
        }
        Ok(Self {
            place: Place::read(action)?,
            task_definition: template(
                "task definition",
                "TaskDefinitionTemplateArtifact",
                "TaskDefinitionTemplatePath",
                "taskdef.json",
            )?,
            app_spec: template("appspec", "AppSpecTemplateArtifact", "AppSpecTemplatePath", "appspec.yaml")?,
            images,
        })
    }
}

/// `ImageURI` of an `imageDetail.json`.
fn image_uri(text: &str) -> Result<String, String> {
    let detail: Value =
        serde_json::from_str(text).map_err(|error| format!("The file {IMAGE_FILE} is no JSON: {error}."))?;
    let uri = detail["ImageURI"].as_str().filter(|uri| !uri.is_empty());
    uri.map(ToOwned::to_owned).ok_or_else(|| format!("The file {IMAGE_FILE} has no ImageURI."))
}

/// The task definition to register: the template with its images.
fn filled(text: &str, images: &[(&str, String)]) -> Result<Value, String> {
    let mut text = text.to_owned();
    for (word, uri) in images {
        text = text.replace(&format!("<{word}>"), uri);
    }
    let document: Value = serde_json::from_str(&text).map_err(|error| format!("The file is no JSON: {error}."))?;
    if !document.is_object() {
        return Err("The file is no JSON object.".to_owned());
    }
    for container in document["containerDefinitions"].as_array().into_iter().flatten() {
        let image = container["image"].as_str().unwrap_or_default();
        if image.contains('<') && image.contains('>') {
            let name = container["name"].as_str().unwrap_or_default();
            return Err(format!(
                "The image of the container {name} is still {image}. Set ImageNArtifactName, and ImageNContainerName to the \
                 word in the brackets."
            ));
        }
    }
    Ok(task_definitions::without_told(document))
}

/// What CodeDeploy is given, with the hash that it checks.
fn revision(app_spec: &str) -> RevisionLocation {
    let content = AppSpecContent::builder().content(app_spec).sha256(hex::encode(Sha256::digest(app_spec)));
    RevisionLocation::builder()
        .revision_type(RevisionLocationType::AppSpecContent)
        .app_spec_content(content.build())
        .build()
}

/// `registered` is the revision that a start before this one has registered and could not deploy yet.
async fn deploy(
    cx: &Call<'_>,
    action: &ActionInvocation,
    wanted: &Wanted<'_>,
    registered: Option<&str>,
) -> Result<Outcome, Outcome> {
    let task_definition = wanted.task_definition.read(cx, action).await?;
    let app_spec = wanted.app_spec.read(cx, action).await?;
    let mut images = Vec::new();
    for image in &wanted.images {
        let text = image.template.read(cx, action).await?;
        let uri = image_uri(&text).map_err(|why| image.template.unreadable(&why))?;
        images.push((image.word, uri));
    }
    let document = filled(&task_definition, &images).map_err(|why| wanted.task_definition.unreadable(&why))?;
    if !app_spec.contains(TASK_DEFINITION_PLACEHOLDER) {
        return Err(wanted.app_spec.unreadable(&format!(
            "The file {} has no {TASK_DEFINITION_PLACEHOLDER}, so the new task definition would not be deployed.",
            wanted.app_spec.path
        )));
    }
    let arn = if let Some(arn) = registered {
        arn.to_owned()
    } else {
        let arn = task_definitions::register(cx, action, &document).await;
        arn.map_err(|problem| unable("registerTaskDefinition", &problem, Progress::default()))?
    };
    let app_spec = app_spec.replace(TASK_DEFINITION_PLACEHOLDER, &arn);
    Ok(match deployments::create(cx, action, wanted.place, revision(&app_spec)).await {
        Outcome::Pending { progress } if progress.external_id.is_none() => {
            Outcome::Pending { progress: Progress { continuation: Some(arn), ..progress } }
        }
        other => other,
    })
}

async fn begin(cx: &Call<'_>, action: &ActionInvocation, registered: Option<&str>) -> Outcome {
    let wanted = match Wanted::read(action) {
        Ok(wanted) => wanted,
        Err(message) => return misconfigured(message),
    };
    match deployments::begun(cx, action, wanted.place).await {
        Ok(Some(info)) => return deployments::outcome_of(cx, action, &info).await,
        Ok(None) => {}
        Err(outcome) => return outcome,
    }
    deploy(cx, action, &wanted, registered).await.unwrap_or_else(|outcome| outcome)
}

#[async_trait]
impl Provider for CodeDeployToEcs {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::CodeDeploy)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        begin(cx, action, None).await
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        match progress.external_id.as_deref() {
            Some(id) => deployments::poll(cx, action, id, progress).await,
            // Nothing is known of the start, or it had to wait; starting again finds what was made.
            None => begin(cx, action, progress.continuation.as_deref()).await,
        }
    }

    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        deployments::stop(cx, action, progress).await
    }

    async fn logs(
        &self,
        cx: &Call<'_>,
        action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        deployments::logs(cx, action, progress, token).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_and_what_stays_open_is_refused() {
        let text = r#"{"family": "ferry", "revision": 3, "containerDefinitions": [{"name": "web", "image": "<IMAGE1_NAME>"}]}"#;
        let filled_in = filled(text, &[("IMAGE1_NAME", "repo/web@sha256:1".to_owned())]).unwrap();
        let told = serde_json::json!({"family": "ferry", "containerDefinitions": [{"name": "web", "image": "repo/web@sha256:1"}]});
        assert_eq!(filled_in, told, "and what only an answer has is gone");
        let open = filled(text, &[("IMAGE2_NAME", "x".to_owned())]).unwrap_err();
        assert!(open.starts_with("The image of the container web is still <IMAGE1_NAME>."), "{open}");
        assert!(filled("[]", &[]).unwrap_err().contains("no JSON object"));
        assert!(filled("{", &[]).unwrap_err().starts_with("The file is no JSON: "));
    }

    #[test]
    fn the_hash_of_an_appspec_is_of_its_bytes() {
        let location = revision("version: 0.0\n");
        let content = location.app_spec_content().unwrap();
        assert_eq!(content.sha256(), Some(hex::encode(Sha256::digest(b"version: 0.0\n")).as_str()));
        assert_eq!(location.revision_type(), Some(&RevisionLocationType::AppSpecContent));
    }

    #[test]
    fn an_image_detail_needs_its_uri_alone() {
        assert_eq!(image_uri(r#"{"ImageURI": "repo/web:1"}"#), Ok("repo/web:1".to_owned()));
        assert_eq!(image_uri("{}"), Err("The file imageDetail.json has no ImageURI.".to_owned()));
    }
}
