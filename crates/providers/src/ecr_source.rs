//! Source / AWS / ECR: which image a tag of a private repository means, as `imageDetail.json`. The image itself stays where
//! it is: the artifact names it by its digest, which is the revision.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_ecr::types::{ImageDetail, ImageIdentifier};
use jiff::Timestamp;
use serde_json::json;
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, Revision, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;

use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider, configured};
use crate::realms::Service;
use crate::{artifact_files, links};

pub const SERVICE: &str = "AmazonECR";
/// The one file of the artifact.
const FILE: &str = "imageDetail.json";
const LATEST: &str = "latest";

pub struct EcrSource {
    entry: ActionTypeEntry,
}

impl Default for EcrSource {
    fn default() -> Self {
        Self::new()
    }
}

impl EcrSource {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Source, Owner::Aws, "ECR", "1"),
        description: "Takes an image of a private Amazon ECR repository: its digest and URI, as `imageDetail.json`."
            .to_owned(),
        properties: vec![
            Property::required("RepositoryName", "Repository to watch."),
            Property::optional("ImageTag", "Tag to watch; `latest` when absent."),
        ],
        inputs: Bounds::new(0, 0),
        outputs: Bounds::new(1, 1),
        output_variables: ["ImageDigest", "ImageTag", "ImageURI", "RegistryId", "RepositoryName"]
            .map(ToOwned::to_owned)
            .to_vec(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::SameWrite,
        entity_url_template: Some("https://console.aws.amazon.com/ecr/repositories/{Config:RepositoryName}".to_owned()),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-ECR.html".to_owned(),
    }
}

/// Which image the action takes.
struct Wanted<'a> {
    repository: &'a str,
    /// None where a start request pins the digest.
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let given = |name: &str| action.config(name).filter(|value| !value.is_empty());
        let repository = configured(action, "RepositoryName")?;
        let pinned = action.source_overrides.iter().find(|o| o.action_name == action.action_name);
        match pinned {
            Some(pin) if pin.revision_type != "IMAGE_DIGEST" => Err(format!(
                "The source revision override of action {} has the type {}, and an Amazon ECR source knows IMAGE_DIGEST only.",
                action.action_name, pin.revision_type
            )),
            Some(pin) => Ok(Self { repository, tag: None, digest: Some(&pin.revision_value) }),
            None => Ok(Self { repository, tag: Some(given("ImageTag").unwrap_or(LATEST)), digest: None }),
        }
    }

    fn id(&self) -> ImageIdentifier {
        let id = ImageIdentifier::builder();
        id.set_image_tag(self.tag.map(str::to_owned)).set_image_digest(self.digest.map(str::to_owned)).build()
    }

    /// As a message names it.
    fn shown(&self) -> String {
        match (self.tag, self.digest) {
            (_, Some(digest)) => format!("digest '{digest}'"),
            (tag, None) => format!("tag '{}'", tag.unwrap_or(LATEST)),
        }
    }

    fn outcome(&self, region: &str, problem: &Problem) -> Outcome {
        let (name, error) = (self.repository, format!("Error: {}", problem.detail()));
        match problem.kind {
            Kind::AccessDenied => problem.outcome(
                error_code::PERMISSION_ERROR,
                format!(
                    "The service role or action role doesn’t have the permissions required to access the Amazon ECR \
                     repository named {name}. Update the IAM role permissions, and then try again. {error}"
                ),
            ),
            Kind::NotFound if problem.code.contains("RepositoryNotFound") => problem.outcome(
                error_code::CONFIGURATION_ERROR,
                format!("The Amazon ECR repository named {name} does not exist in Region {region}. {error}"),
            ),
            Kind::NotFound => problem.outcome(
                error_code::CONFIGURATION_ERROR,
                format!(
                    "The image with {} does not exist in the Amazon ECR repository named {name}. Push it, and then try \
                     again. {error}",
                    self.shown()
                ),
            ),
            Kind::Rejected | Kind::Transient | Kind::Session => problem.outcome(
                error_code::CONFIGURATION_ERROR,
                format!("The Amazon ECR repository named {name} cannot be used in Region {region}. {error}"),
            ),
        }
    }
}

/// What is told of the image, to the artifact and to later actions.
struct Image {
    digest: String,
    registry: String,
    uri: String,
    tags: Vec<String>,
    bytes: i64,
    pushed: Option<Timestamp>,
}

impl Image {
    fn of(detail: ImageDetail, region: &str, repository: &str) -> Result<Self, Problem> {
        let (Some(digest), Some(registry)) = (detail.image_digest, detail.registry_id) else {
            return Err(Problem::broken(SERVICE, "DescribeImages answered an image without digest or registry"));
        };
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        Ok(Self {
            uri: format!("{registry}.dkr.ecr.{region}.{domain}/{repository}@{digest}"),
            digest,
            registry,
            tags: detail.image_tags.unwrap_or_default(),
            bytes: detail.image_size_in_bytes.unwrap_or(0),
            pushed: detail.image_pushed_at.and_then(|at| Timestamp::from_second(at.secs()).ok()),
        })
    }

    /// The members of AWS's file, in its order; every number is a text.
    fn file(&self, repository: &str) -> Vec<u8> {
        let pushed = self.pushed.map(|at| at.strftime("%a %b %d %H:%M:%S UTC %Y").to_string());
        let document = json!({
            "ImageSizeInBytes": self.bytes.to_string(),
            "ImageDigest": self.digest,
            "Version": "1.0",
            "ImagePushedAt": pushed.unwrap_or_default(),
            "RegistryId": self.registry,
            "RepositoryName": repository,
            "ImageURI": self.uri,
            "ImageTags": self.tags,
        });
        document.to_string().into_bytes()
    }
}

async fn describe(cx: &Call<'_>, action: &ActionInvocation, wanted: &Wanted<'_>) -> Result<Image, Problem> {
    let client = cx.realm.ecr(action).await?;
    let request = client.describe_images().repository_name(wanted.repository).image_ids(wanted.id());
    let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
    let detail = answer.image_details.into_iter().flatten().next();
    let detail = detail.ok_or_else(|| Problem::broken(SERVICE, "DescribeImages answered without an image"))?;
    Image::of(detail, cx.realm.region(&action.region), wanted.repository)
}

#[async_trait]
impl Provider for EcrSource {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::Ecr)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let wanted = match Wanted::read(action) {
            Ok(wanted) => wanted,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        let [output] = action.output_artifacts.as_slice() else {
            let message = format!("Action {} must have exactly one output artifact.", action.action_name);
            return Outcome::failed(error_code::CONFIGURATION_ERROR, message);
        };
        let image = match describe(cx, action, &wanted).await {
            Ok(image) => image,
            Err(problem) => return wanted.outcome(&action.region, &problem),
        };
        let artifact = ArtifactLocation { revision_id: Some(image.digest.clone()), ..output.clone() };
        let file = image.file(wanted.repository);
        if let Err(trouble) = artifact_files::write_one(cx, action, &artifact, FILE, file).await {
            return trouble.outcome(output);
        }
        let url = links::ecr_repository(cx.realm.region(&action.region), &image.registry, wanted.repository);
        let revision = Revision {
            artifact: output.name.clone(),
            action: action.action_name.clone(),
            id: image.digest.clone(),
            change_id: None,
            summary: Some(image.uri.clone()),
            url: Some(url.clone()),
            created: image.pushed.map(|at| towpath_model::time::Timestamp::from_millis(at.as_millisecond())),
        };
        let progress = Progress {
            external_id: Some(image.digest.clone()),
            external_url: Some(url),
            summary: revision.summary.clone(),
            ..Progress::default()
        };
        let mut variables = BTreeMap::from([
            ("ImageDigest".to_owned(), image.digest),
            ("ImageURI".to_owned(), image.uri),
            ("RegistryId".to_owned(), image.registry),
            ("RepositoryName".to_owned(), wanted.repository.to_owned()),
        ]);
        // A pinned digest need not be what the tag means.
        variables.extend(wanted.tag.map(|tag| ("ImageTag".to_owned(), tag.to_owned())));
        Outcome::Succeeded { progress, variables, revisions: vec![revision] }
    }

    /// Never `Pending`; asked all the same, it does the work again.
    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        self.start(cx, action).await
    }

    /// One question and one write; there is nothing to end.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}
