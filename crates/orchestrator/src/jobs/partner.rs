//! What a partner's worker asks for: PollForThirdPartyJobs and GetThirdPartyJobDetails. The poll tells ids alone; nonce,
//! configuration and credentials go to whoever knows the client token.

use std::sync::Arc;

use towpath_model::catalogue::ActionTypeId;
use towpath_model::ids::Scope;
use towpath_providers::problem::Kind;
use towpath_store::{DocumentsExt as _, Versioned};

use super::door::{Door, is_job_id};
use super::record::{JOBS, JobRecord, JobStatus, line};
use super::worker::{JobDetails, no_credentials, not_found};
use crate::Orchestrator;
use crate::action_types::partition;
use crate::error::CommandError;

/// A job that was given out just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerJob {
    pub client_id: String,
    pub job_id: String,
}

/// A job as its worker sees it.
pub struct PartnerJobDetails {
    /// What AcknowledgeThirdPartyJob must name; None once it was.
    pub nonce: Option<String>,
    pub details: JobDetails,
}

impl Orchestrator {
    /// PollForThirdPartyJobs: the jobs of a partner's type that have waited longest.
    pub async fn poll_for_partner_jobs(
        &self,
        scope: &Scope,
        id: &ActionTypeId,
        max: Option<usize>,
    ) -> Result<Vec<PartnerJob>, CommandError> {
        let partner = self.partner_type(scope, id).await?;
        partner.may_poll(scope)?;
        let Some(client) = self.partners.get(&id.provider) else {
            return Err(CommandError::Validation(format!(
                "No client of the provider '{0}' is registered. Add [third-party.{0}] with client-id and client-token to \
                 towpath.toml and start the server again.",
                id.provider
            )));
        };
        let mut jobs = Vec::new();
        for (place, job_id) in self.waiting(&line(scope, id, None), max).await? {
            let Some(Versioned { value, version }) = self.standing(scope, &job_id, &place).await? else { continue };
            if self.lease(scope, value, version, place).await?.is_some() {
                jobs.push(PartnerJob { client_id: client.id.clone(), job_id });
            }
        }
        Ok(jobs)
    }

    /// GetThirdPartyJobDetails, with new credentials.
    pub async fn partner_job_details(
        self: &Arc<Self>,
        scope: &Scope,
        id: &str,
        token: &str,
    ) -> Result<PartnerJobDetails, CommandError> {
        if !is_job_id(id) || self.is_custom_job(scope, id).await? {
            return Err(CommandError::InvalidJob(format!("The job with id '{id}' is not a third-party job.")));
        }
        let job = self.job(scope, id, Door::Partner { token }).await?.value;
        let Some(invocation) = job.invocation.clone() else { return Err(not_found(id)) };
        let credentials = match self.job_credentials(&invocation).await {
            Ok(credentials) => credentials,
            Err(problem) => {
                // The poll showed nothing that needs the role, so this is where its absence is met first.
                if !matches!(problem.kind, Kind::Transient | Kind::Session) {
                    self.fail_without_credentials(&job, &problem).await?;
                }
                return Err(no_credentials(&problem));
            }
        };
        let nonce = job.nonce.filter(|_| job.status == JobStatus::Dispatched);
        let details =
            JobDetails { id: id.to_owned(), invocation, continuation_token: job.continuation_token, credentials };
        Ok(PartnerJobDetails { nonce, details })
    }

    async fn is_custom_job(&self, scope: &Scope, id: &str) -> Result<bool, CommandError> {
        let found = self.store.get_json::<JobRecord>(JOBS, &partition(scope), id).await?;
        Ok(found.is_some_and(|job| job.value.partner.is_none()))
    }
}
