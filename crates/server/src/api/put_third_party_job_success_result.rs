//! PutThirdPartyJobSuccessResult.
//! Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutThirdPartyJobSuccessResult.html

use std::collections::BTreeMap;

use towpath_orchestrator::Door;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, PutJobSuccessResultInput, PutThirdPartyJobSuccessResultInput};

use super::{Call, Operation, Resource, errors, put_job_success_result};

pub struct PutThirdPartyJobSuccessResult;

impl Operation for PutThirdPartyJobSuccessResult {
    type Input = PutThirdPartyJobSuccessResultInput;
    type Output = ();
    const NAME: Name = Name::PutThirdPartyJobSuccessResult;
    const EMPTY: bool = true;

    fn resource(input: &Self::Input) -> Resource {
        let _: &PutThirdPartyJobSuccessResultInput = input;
        Resource::Any
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let success = put_job_success_result::success(PutJobSuccessResultInput {
            continuation_token: input.continuation_token,
            current_revision: input.current_revision,
            execution_details: input.execution_details,
            job_id: input.job_id.clone(),
            output_variables: None::<BTreeMap<String, String>>,
        });
        let door = Door::Partner { token: &input.client_token };
        call.orchestrator.put_job_success(call.scope(), &input.job_id, door, success).await.map_err(errors::wire)
    }
}
