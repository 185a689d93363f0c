//! GetJobDetails, and what PollForJobs shows of a job.
//! Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_GetJobDetails.html

use towpath_model::action::ArtifactLocation as Location;
use towpath_model::arn;
use towpath_orchestrator::JobDetails as Details;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    AWSSessionCredentials, ActionConfiguration, ActionContext, Artifact, ArtifactLocation, EncryptionKey,
    GetJobDetailsInput, GetJobDetailsOutput, JobData, JobDetails, Operation as Name, PipelineContext,
    S3ArtifactLocation, StageContext,
};
use towpath_wire::types::Sensitive;

use super::{Call, Operation, Resource, convert, errors};

pub struct GetJobDetails;

impl Operation for GetJobDetails {
    type Input = GetJobDetailsInput;
    type Output = GetJobDetailsOutput;
    const NAME: Name = Name::GetJobDetails;

    fn resource(input: &Self::Input) -> Resource {
        let _: &GetJobDetailsInput = input;
        Resource::Any
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let details = call.orchestrator.job_details(call.scope(), &input.job_id).await.map_err(errors::wire)?;
        Ok(GetJobDetailsOutput {
            job_details: Some(JobDetails {
                account_id: Some(call.scope().account.clone()),
                id: Some(details.id.clone()),
                data: Some(data(details)),
            }),
        })
    }
}

/// What a worker needs: the configuration with its secrets, where the artifacts are, and credentials for them.
pub fn data(details: Details) -> JobData {
    let Details { invocation, continuation_token, credentials, .. } = details;
    let pipeline_arn = arn::pipeline(&invocation.scope, &invocation.pipeline_name);
    JobData {
        action_type_id: Some(convert::action_type(&invocation.action_type)),
        action_configuration: Some(ActionConfiguration { configuration: Some(invocation.configuration) }),
        pipeline_context: Some(PipelineContext {
            pipeline_name: Some(invocation.pipeline_name.into_string()),
            stage: Some(StageContext { name: Some(invocation.stage_name.into_string()) }),
            action: Some(ActionContext {
                name: Some(invocation.action_name.into_string()),
                action_execution_id: Some(invocation.action_execution_id.into_string()),
            }),
            pipeline_arn: Some(pipeline_arn),
            pipeline_execution_id: Some(invocation.execution_id.into_string()),
        }),
        // An output has no revision before it is made.
        input_artifacts: Some(invocation.input_artifacts.iter().map(|l| artifact(l, l.revision_id.clone())).collect()),
        output_artifacts: Some(invocation.output_artifacts.iter().map(|l| artifact(l, None)).collect()),
        artifact_credentials: Some(AWSSessionCredentials {
            access_key_id: Sensitive::new(credentials.access_key_id),
            secret_access_key: Sensitive::new(credentials.secret_access_key.expose()),
            session_token: Sensitive::new(credentials.session_token.expose()),
        }),
        continuation_token,
        encryption_key: invocation.encryption_key.map(|id| EncryptionKey { id, r#type: "KMS".to_owned() }),
    }
}

fn artifact(location: &Location, revision: Option<String>) -> Artifact {
    Artifact {
        name: Some(location.name.to_string()),
        revision,
        location: Some(ArtifactLocation {
            r#type: Some("S3".to_owned()),
            s3_location: Some(S3ArtifactLocation {
                bucket_name: location.bucket.clone(),
                object_key: location.key.clone(),
            }),
        }),
    }
}
