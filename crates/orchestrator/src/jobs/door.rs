//! Who may reach a job: a custom job through its operations, a partner's job through the third-party ones by whoever knows
//! the partner's client token. Neither kind is found through the other's door.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use towpath_model::ids::Scope;
use towpath_model::secret::Secret;
use towpath_store::{DocumentsExt as _, Versioned};

use super::record::{JOBS, JobRecord};
use super::worker::not_found;
use crate::Orchestrator;
use crate::action_types::partition;
use crate::error::CommandError;

/// The operations through which a job is reached.
#[derive(Debug, Clone, Copy)]
pub enum Door<'a> {
    /// `AcknowledgeJob` and its companions.
    Custom,
    /// `AcknowledgeThirdPartyJob` and its companions, with the client token they brought.
    Partner { token: &'a str },
}

/// The pair by which a partner's worker knows on whose behalf a job is: what AWS registers when a customer connects an
/// action to a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerClient {
    /// A UUID, told with each job.
    pub id: String,
    /// Told by the worker with each call.
    pub token: Secret,
}

/// Pairs by the name of the provider.
pub type PartnerClients = BTreeMap<String, PartnerClient>;

impl Orchestrator {
    /// The job, if it is one of those behind this door.
    pub(super) async fn job(
        &self,
        scope: &Scope,
        id: &str,
        door: Door<'_>,
    ) -> Result<Versioned<JobRecord>, CommandError> {
        if !is_job_id(id) {
            return Err(not_found(id));
        }
        let found = self.store.get_json::<JobRecord>(JOBS, &partition(scope), id).await?;
        let job = found.ok_or_else(|| not_found(id))?;
        match (door, &job.value.partner) {
            (Door::Custom, None) => Ok(job),
            (Door::Partner { token }, Some(partner)) => {
                let client = self.partners.get(partner);
                if client.is_some_and(|client| same(client.token.expose(), token)) {
                    Ok(job)
                } else {
                    Err(CommandError::InvalidClientToken(format!(
                        "The client token is not the one of the client that the job with id {id} belongs to."
                    )))
                }
            }
            (Door::Custom, Some(_)) | (Door::Partner { .. }, None) => Err(not_found(id)),
        }
    }
}

/// The third-party operations take ids of any form; those of jobs are UUIDs.
pub(super) fn is_job_id(id: &str) -> bool {
    id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// Whether two tokens are equal, told without a hint at where they differ: what is compared are digests, which nobody
/// outside can steer.
fn same(known: &str, given: &str) -> bool {
    Sha256::digest(known) == Sha256::digest(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_jobs_are_uuids() {
        assert!(is_job_id("7d0e2c1a-9f4b-4a0f-8b68-0d2b6b6f1c11"));
        for other in ["", "7d0e2c1a", "7d0e2c1a-9f4b-4a0f-8b68-0d2b6b6f1c1\0", "../../../../../../../../../../../etc"] {
            assert!(!is_job_id(other), "{other:?}");
        }
    }

    #[test]
    fn a_token_is_itself_alone() {
        assert!(same("t", "t"));
        assert!(!same("t", "T") && !same("t", "") && !same("t", "tt"));
    }
}
