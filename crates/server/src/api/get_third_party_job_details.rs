//! GetThirdPartyJobDetails.
//! Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_GetThirdPartyJobDetails.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    GetThirdPartyJobDetailsInput, GetThirdPartyJobDetailsOutput, Operation as Name, PipelineContext, ThirdPartyJobData,
    ThirdPartyJobDetails,
};

use super::{Call, Operation, Resource, errors, get_job_details};

pub struct GetThirdPartyJobDetails;

impl Operation for GetThirdPartyJobDetails {
    type Input = GetThirdPartyJobDetailsInput;
    type Output = GetThirdPartyJobDetailsOutput;
    const NAME: Name = Name::GetThirdPartyJobDetails;

    fn resource(input: &Self::Input) -> Resource {
        let _: &GetThirdPartyJobDetailsInput = input;
        Resource::Any
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let found = call.orchestrator.partner_job_details(call.scope(), &input.job_id, &input.client_token).await;
        let found = found.map_err(errors::wire)?;
        let id = found.details.id.clone();
        let data = get_job_details::data(found.details);
        // Who the customer's pipeline and execution are is not for the partner.
        let context = data.pipeline_context.map(|context| PipelineContext {
            pipeline_arn: None,
            pipeline_execution_id: None,
            ..context
        });
        let data = ThirdPartyJobData {
            action_configuration: data.action_configuration,
            action_type_id: data.action_type_id,
            artifact_credentials: data.artifact_credentials,
            continuation_token: data.continuation_token,
            encryption_key: data.encryption_key,
            input_artifacts: data.input_artifacts,
            output_artifacts: data.output_artifacts,
            pipeline_context: context,
        };
        let job_details = ThirdPartyJobDetails { data: Some(data), id: Some(id), nonce: found.nonce };
        Ok(GetThirdPartyJobDetailsOutput { job_details: Some(job_details) })
    }
}
