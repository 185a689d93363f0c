//! PollForJobs. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PollForJobs.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{Job, Operation as Name, PollForJobsInput, PollForJobsOutput};

use super::{Call, Operation, Resource, convert, errors, get_job_details};

pub struct PollForJobs;

impl Operation for PollForJobs {
    type Input = PollForJobsInput;
    type Output = PollForJobsOutput;
    const NAME: Name = Name::PollForJobs;

    fn resource(input: &Self::Input) -> Resource {
        Resource::action_type(&input.action_type_id)
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let id = convert::action_type_id(&input.action_type_id)?;
        let max = input.max_batch_size.and_then(|n| usize::try_from(n).ok());
        let query = input.query_param.unwrap_or_default();
        let jobs = call.orchestrator.poll_for_jobs(call.scope(), &id, max, &query).await.map_err(errors::wire)?;
        let shown = jobs.into_iter().map(|job| Job {
            account_id: Some(call.scope().account.clone()),
            id: Some(job.details.id.clone()),
            nonce: Some(job.nonce),
            data: Some(get_job_details::data(job.details)),
        });
        Ok(PollForJobsOutput { jobs: Some(shown.collect()) })
    }
}
