//! Deploy / AWS / ServiceCatalog: a template of the input artifact becomes a new version (a provisioning artifact) of a
//! Service Catalog product.
//!
//! Service Catalog reads the template from S3 with the caller's permissions, so it is put beside the input artifact, or in the
//! staging bucket of a realm that does not see the artifact store. The client token of the version is the action execution
//! id: a repeated start is the same version.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use aws_sdk_servicecatalog::Client;
use aws_sdk_servicecatalog::types::{ProvisioningArtifactProperties, ProvisioningArtifactType, Status};
use bytes::Bytes;
use serde::Deserialize;
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;

use crate::deploys::{self, failed, given, misconfigured, needed, one_input, refused};
use crate::limits::{PRODUCT_SETTINGS_BYTES_MAX, PRODUCT_TEMPLATE_BYTES_MAX};
use crate::objects::{S3, Target, address};
use crate::problem::Problem;
use crate::provider::{Call, Provider};
use crate::realms::Service;
use crate::staging::PREFIX;
use crate::{artifact_files, links};

const SERVICE: &str = "AWSServiceCatalog";
const CLOUDFORMATION: &str = "AmazonCloudFormation";
const TEMPLATE: &str = "CLOUD_FORMATION_TEMPLATE";

pub struct ServiceCatalog {
    entry: ActionTypeEntry,
}

impl Default for ServiceCatalog {
    fn default() -> Self {
        Self::new()
    }
}

impl ServiceCatalog {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "ServiceCatalog", "1"),
        description:
            "Makes a CloudFormation template of the input artifact a new version of an AWS Service Catalog product."
                .to_owned(),
        properties: vec![
            Property::required("ProductId", "Product that gets the version."),
            Property::optional("TemplateFilePath", "Path of the template in the input artifact."),
            Property::optional("ProductVersionName", "Name of the version."),
            Property::optional("ProductType", "Required beside the template's path.").one_of(&[TEMPLATE]),
            Property::optional("ProductVersionDescription", "Description of the version."),
            Property::optional(
                "ConfigurationFilePath",
                "Path of a JSON file in the input artifact that holds these settings, in place of the others.",
            ),
        ],
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Token,
        entity_url_template: Some(
            "https://console.aws.amazon.com/servicecatalog/home?#admin-products/{Config:ProductId}".to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-ServiceCatalog.html"
            .to_owned(),
    }
}

/// The file that `ConfigurationFilePath` names.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    schema_version: String,
    product_version_name: String,
    product_version_description: Option<String>,
    product_type: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    template_file_path: String,
}

/// The version to make.
struct Plan {
    name: String,
    description: Option<String>,
    template: String,
}

impl Plan {
    fn from_file(path: &str, bytes: &[u8]) -> Result<Self, String> {
        let read: Settings = serde_json::from_slice(bytes)
            .map_err(|error| format!("The configuration file {path} is not what ServiceCatalog expects: {error}."))?;
        if read.schema_version != "1.0" {
            return Err(format!(
                "The configuration file {path} has the SchemaVersion '{}'; it must be 1.0.",
                read.schema_version
            ));
        }
        check_type(&read.product_type)?;
        Ok(Self {
            name: read.product_version_name,
            description: read.product_version_description,
            template: read.properties.template_file_path,
        })
    }

    fn from_keys(action: &ActionInvocation) -> Result<Self, String> {
        check_type(needed(action, "ProductType")?)?;
        Ok(Self {
            name: needed(action, "ProductVersionName")?.to_owned(),
            description: given(action, "ProductVersionDescription").map(ToOwned::to_owned),
            template: needed(action, "TemplateFilePath")?.to_owned(),
        })
    }
}

fn check_type(kind: &str) -> Result<(), String> {
    if kind == TEMPLATE { Ok(()) } else { Err(format!("The ProductType is '{kind}'; it must be {TEMPLATE}.")) }
}

/// One action at its product.
struct Work<'a> {
    cx: &'a Call<'a>,
    action: &'a ActionInvocation,
    product: &'a str,
    artifact: &'a ArtifactLocation,
}

impl<'a> Work<'a> {
    fn of(cx: &'a Call<'a>, action: &'a ActionInvocation) -> Result<Self, String> {
        let own = ["TemplateFilePath", "ProductVersionName", "ProductType", "ProductVersionDescription"];
        let beside = own.into_iter().find(|key| given(action, key).is_some());
        if let (Some(key), Some(_)) = (beside, given(action, "ConfigurationFilePath")) {
            return Err(format!(
                "Action {} has both ConfigurationFilePath and {key}. The file holds all settings: remove one or the other.",
                action.action_name
            ));
        }
        Ok(Self { cx, action, product: needed(action, "ProductId")?, artifact: one_input(action)? })
    }

    async fn file(&self, path: &str, max: u64) -> Result<Vec<u8>, Outcome> {
        let path = path.trim_start_matches('/');
        let read = artifact_files::read(self.cx, self.action, self.artifact, path, max).await;
        read.map_err(|trouble| trouble.outcome(self.artifact))
    }

    async fn plan(&self) -> Result<Plan, Outcome> {
        match given(self.action, "ConfigurationFilePath") {
            Some(path) => {
                let bytes = self.file(path, PRODUCT_SETTINGS_BYTES_MAX).await?;
                Plan::from_file(path, &bytes).map_err(misconfigured)
            }
            None => Plan::from_keys(self.action).map_err(misconfigured),
        }
    }

    /// Puts the template where Service Catalog reads it, and checks it; its URL.
    async fn template(&self, plan: &Plan) -> Result<String, Outcome> {
        let realm = self.cx.realm;
        let region = realm.region(&self.action.region);
        let bucket = if std::ptr::eq(realm, self.cx.artifacts) {
            self.artifact.bucket.as_str()
        } else {
            realm.staging().bucket(region).ok_or_else(|| {
                let name = realm.name();
                misconfigured(format!(
                    "Action {} has to put its template where Service Catalog of the realm {name} can read it. Add \
                     `staging-bucket = \"...\"` to `[realm.{name}]` in towpath.toml, the name of a bucket there.",
                    self.action.action_name
                ))
            })?
        };
        let bytes = self.file(&plan.template, PRODUCT_TEMPLATE_BYTES_MAX).await?;
        let name = plan.template.rsplit('/').next().unwrap_or_default();
        let ids = [self.action.pipeline_name.as_str(), self.action.action_execution_id.as_str()];
        let key = format!("{PREFIX}/{}/{name}", ids.join("/"));
        let target = Target { bucket: bucket.to_owned(), key: key.clone(), ..Target::default() };
        let target = target.encrypted_with(realm.staging().key.as_deref());
        let written = S3::new(realm, self.action, &self.action.region).store(&target, Bytes::from(bytes)).await;
        written.map_err(|problem| {
            let message = format!("Unable to write the template to the bucket {bucket}. {}", problem.detail());
            problem.outcome(deploys::code_of(&problem), message)
        })?;
        let url = address(realm, region, bucket, &key);
        self.validate(&url).await?;
        Ok(url)
    }

    async fn validate(&self, url: &str) -> Result<(), Outcome> {
        const CALL: &str = "validateTemplate";
        let client = self.cx.realm.cloudformation(self.action).await;
        let client = client.map_err(|problem| refused(Progress::default(), CALL, &problem))?;
        let answer = client.validate_template().template_url(url).send().await;
        answer.map(drop).map_err(|error| {
            let problem = self.cx.realm.note(self.action, Problem::of(CLOUDFORMATION, &error));
            refused(Progress::default(), CALL, &problem)
        })
    }

    async fn client(&self, call: &str) -> Result<Client, Outcome> {
        let client = self.cx.realm.service_catalog(self.action).await;
        client.map_err(|problem| refused(Progress::default(), call, &problem))
    }

    fn problem<E>(&self, error: &aws_sdk_servicecatalog::error::SdkError<E>) -> Problem
    where
        E: aws_sdk_servicecatalog::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.cx.realm.note(self.action, Problem::of(SERVICE, error))
    }

    /// The id of the version: made, or found made by the client token.
    async fn make(&self) -> Result<String, Outcome> {
        const CALL: &str = "createProvisioningArtifact";
        let plan = Box::pin(self.plan()).await?;
        let list = self.client("listProvisioningArtifacts").await?.list_provisioning_artifacts();
        // Says of a product that is not there what making a version of it would not say before the template is read.
        let known = list.product_id(self.product).send().await;
        known.map_err(|error| refused(Progress::default(), "listProvisioningArtifacts", &self.problem(&error)))?;
        let url = Box::pin(self.template(&plan)).await?;
        let properties = ProvisioningArtifactProperties::builder()
            .name(plan.name)
            .set_description(plan.description)
            .r#type(ProvisioningArtifactType::CloudFormationTemplate)
            .set_info(Some(HashMap::from([("LoadTemplateFromURL".to_owned(), url)])))
            .disable_template_validation(false)
            .build();
        let request = self.client(CALL).await?.create_provisioning_artifact().product_id(self.product);
        let request = request.parameters(properties).idempotency_token(self.action.action_execution_id.as_str());
        let answer = request.send().await;
        let answer = answer.map_err(|error| refused(Progress::default(), CALL, &self.problem(&error)))?;
        answer.provisioning_artifact_detail.and_then(|detail| detail.id).ok_or_else(|| {
            let problem = Problem::broken(SERVICE, "CreateProvisioningArtifact answered without an id");
            refused(Progress::default(), CALL, &problem)
        })
    }

    fn progress(&self, id: &str, state: &str) -> Progress {
        Progress {
            external_id: Some(id.to_owned()),
            external_url: Some(links::service_catalog_product(self.cx.realm.region(&self.action.region), self.product)),
            summary: Some(format!("The version {id} of the product {} is {state}.", self.product)),
            ..Progress::default()
        }
    }

    async fn look(&self, id: &str) -> Result<Outcome, Outcome> {
        const CALL: &str = "describeProvisioningArtifact";
        let request = self.client(CALL).await?.describe_provisioning_artifact().product_id(self.product);
        let answer = request.provisioning_artifact_id(id).send().await;
        let found = answer.map_err(|error| refused(Progress::default(), CALL, &self.problem(&error)))?;
        let progress = self.progress(id, found.status().map_or("CREATING", Status::as_str));
        Ok(match found.status() {
            Some(Status::Available) => {
                Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() }
            }
            Some(Status::Failed) => self.discard(id, progress).await?,
            _ => Outcome::Pending { progress },
        })
    }

    /// A version that could not be made is of no use to anybody.
    async fn discard(&self, id: &str, progress: Progress) -> Result<Outcome, Outcome> {
        const CALL: &str = "deleteProvisioningArtifact";
        let mut message = format!(
            "The version {id} of the product {} is FAILED: Service Catalog could not make it of the template.",
            self.product
        );
        let request = self.client(CALL).await?.delete_provisioning_artifact().product_id(self.product);
        if let Err(error) = request.provisioning_artifact_id(id).send().await {
            let problem = self.problem(&error);
            message = format!("{message} It could not be deleted: Error calling {CALL}: {}", problem.detail());
        }
        Ok(failed(progress, error_code::JOB_FAILED, message))
    }
}

#[async_trait]
impl Provider for ServiceCatalog {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::ServiceCatalog)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let work = match Work::of(cx, action) {
            Ok(work) => work,
            Err(message) => return misconfigured(message),
        };
        match work.make().await {
            Ok(id) => Outcome::Pending { progress: work.progress(&id, "CREATING") },
            Err(outcome) => outcome,
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        let work = match Work::of(cx, action) {
            Ok(work) => work,
            Err(message) => return misconfigured(message),
        };
        let id = match &progress.external_id {
            Some(id) => id.clone(),
            // Nothing is known of the start; the token makes starting again the same version.
            None => match work.make().await {
                Ok(id) => id,
                Err(outcome) => return outcome,
            },
        };
        work.look(&id).await.unwrap_or_else(|outcome| outcome)
    }

    /// A version is made within seconds, and nothing ends that.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_file() {
        let file = r#"{"SchemaVersion": "1.0", "ProductVersionName": "v4", "ProductVersionDescription": "winter",
            "ProductType": "CLOUD_FORMATION_TEMPLATE", "Properties": {"TemplateFilePath": "/infra/product.json"}}"#;
        let plan = Plan::from_file("settings.json", file.as_bytes()).unwrap();
        assert_eq!((plan.name.as_str(), plan.template.as_str()), ("v4", "/infra/product.json"));
        assert_eq!(plan.description.as_deref(), Some("winter"));
        for (from, to, told) in [
            ("1.0", "2.0", "has the SchemaVersion '2.0'; it must be 1.0"),
            ("CLOUD_FORMATION_TEMPLATE", "EXTERNAL", "The ProductType is 'EXTERNAL'"),
            ("ProductVersionName", "Name", "missing field `ProductVersionName`"),
        ] {
            let error = Plan::from_file("settings.json", file.replacen(from, to, 1).as_bytes()).err().unwrap();
            assert!(error.contains(told), "{error}");
        }
    }
}
