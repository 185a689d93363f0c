//! Deploy / AWS / CodeDeploy: the input artifact, which has an `appspec.yml` at its root, is deployed to a deployment group
//! of servers. `deployments.rs` says how it is watched.
//!
//! The servers' agents fetch the artifact by themselves, so it lies in the S3 of the realm that CodeDeploy is in
//! (`staging.rs`).

use async_trait::async_trait;
use aws_sdk_codedeploy::types::{BundleType, RevisionLocation, RevisionLocationType, S3Location};
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};

use crate::deployments::{self, Place};
use crate::deploys::{misconfigured, one_input};
use crate::inputs;
use crate::limits::TIMEOUT_CODE_DEPLOY_MINUTES;
use crate::logs::LogPage;
use crate::objects::S3;
use crate::problem::Problem;
use crate::provider::{Artifacts, Call, Provider};
use crate::realms::Service;

pub struct CodeDeploy {
    entry: ActionTypeEntry,
}

impl CodeDeploy {
    #[expect(clippy::new_without_default, reason = "a provider is made by the catalogue alone")]
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "CodeDeploy", "1"),
        description:
            "Deploys the input artifact, a bundle with an `appspec.yml` at its root, to a deployment group of AWS \
                      CodeDeploy, and waits for the deployment."
                .to_owned(),
        properties: vec![
            Property::required("ApplicationName", "Application of CodeDeploy."),
            Property::required("DeploymentGroupName", "Deployment group of the application."),
        ],
        inputs: Bounds::new(1, 1),
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
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodeDeploy.html"
            .to_owned(),
    }
}

/// The artifact as CodeDeploy names it: exactly the object that is there now.
async fn revision(cx: &Call<'_>, action: &ActionInvocation) -> Result<RevisionLocation, Outcome> {
    let artifact = one_input(action).map_err(misconfigured)?;
    let from = S3::new(cx.artifacts, action, &artifact.region);
    let found = from.look(&artifact.bucket, &artifact.key, None).await;
    let found = found.map_err(|problem| inputs::outcome(artifact, &problem))?;
    let location = S3Location::builder()
        .bucket(&artifact.bucket)
        .key(&artifact.key)
        .bundle_type(BundleType::Zip)
        .set_version(found.version_id.filter(|version| version != "null"))
        .set_e_tag(found.etag)
        .build();
    Ok(RevisionLocation::builder().revision_type(RevisionLocationType::S3).s3_location(location).build())
}

#[async_trait]
impl Provider for CodeDeploy {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::CodeDeploy)
    }

    /// The agents of the servers fetch the artifact.
    fn artifacts(&self) -> Artifacts {
        Artifacts::ByService
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let place = match Place::read(action) {
            Ok(place) => place,
            Err(message) => return misconfigured(message),
        };
        match deployments::begun(cx, action, place).await {
            Ok(Some(info)) => return deployments::outcome_of(cx, action, &info).await,
            Ok(None) => {}
            Err(outcome) => return outcome,
        }
        match revision(cx, action).await {
            Ok(revision) => deployments::create(cx, action, place, revision).await,
            Err(outcome) => outcome,
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        match progress.external_id.as_deref() {
            Some(id) => deployments::poll(cx, action, id, progress).await,
            // Nothing is known of the start, or it had to wait; starting again finds what was made.
            None => self.start(cx, action).await,
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
