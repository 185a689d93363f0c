//! PollForThirdPartyJobs.
//! Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PollForThirdPartyJobs.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    Operation as Name, PollForThirdPartyJobsInput, PollForThirdPartyJobsOutput, ThirdPartyJob,
};

use super::{Call, Operation, Resource, convert, errors};

pub struct PollForThirdPartyJobs;

impl Operation for PollForThirdPartyJobs {
    type Input = PollForThirdPartyJobsInput;
    type Output = PollForThirdPartyJobsOutput;
    const NAME: Name = Name::PollForThirdPartyJobs;

    fn resource(input: &Self::Input) -> Resource {
        let _: &PollForThirdPartyJobsInput = input;
        Resource::Any
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let id = convert::action_type_id(&input.action_type_id)?;
        let max = input.max_batch_size.and_then(|n| usize::try_from(n).ok());
        let jobs = call.orchestrator.poll_for_partner_jobs(call.scope(), &id, max).await.map_err(errors::wire)?;
        let shown = |job: towpath_orchestrator::PartnerJob| ThirdPartyJob {
            client_id: Some(job.client_id),
            job_id: Some(job.job_id),
        };
        Ok(PollForThirdPartyJobsOutput { jobs: Some(jobs.into_iter().map(shown).collect()) })
    }
}
