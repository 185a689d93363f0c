//! Action types of partners (owner `ThirdParty`), recorded whole as UpdateActionType gives them. On AWS a partner asks for
//! its type and the service makes it; here whoever runs the server is the one to ask, so the first update makes the type.
//! Types that AWS lists are there from the start, as the catalogue has them, until an update says otherwise. Nothing here
//! runs an action: that is for the partner's job worker (`jobs::partner`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Owner};
use towpath_model::ids::Scope;
use towpath_store::{DocumentsExt as _, Expect, Key, Scan, Write};

use crate::Orchestrator;
use crate::action_types::{check, not_available, partition};
use crate::error::CommandError;
use crate::limits::{PARTNER_TYPES_MAX, TYPE_PAGE};

const PARTNERS: &str = "codepipeline.partner-types";
/// In `allowedAccounts`: any account.
const ANY: &str = "*";

/// Who carries the actions of a type out, with what UpdateActionType says of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartnerExecutor {
    JobWorker {
        /// Accounts that may poll; None: any.
        accounts: Option<Vec<String>>,
        principals: Option<Vec<String>>,
    },
    Lambda {
        function_arn: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerType {
    pub entry: ActionTypeEntry,
    pub executor: PartnerExecutor,
    /// Seconds that one job may take.
    pub job_timeout: Option<u32>,
    pub policy_statements_template: Option<String>,
    /// Accounts whose pipelines may use the type; None: any.
    pub allowed_accounts: Option<Vec<String>>,
    pub configuration_url: Option<String>,
}

impl PartnerType {
    /// A type that AWS lists, before its partner has said more of it: anybody's job worker may poll.
    fn listed(entry: &ActionTypeEntry) -> Self {
        Self {
            entry: entry.clone(),
            executor: PartnerExecutor::JobWorker { accounts: None, principals: None },
            job_timeout: None,
            policy_statements_template: None,
            allowed_accounts: None,
            configuration_url: None,
        }
    }

    pub(crate) fn may_be_used(&self, scope: &Scope) -> bool {
        let allows = |accounts: &Vec<String>| accounts.iter().any(|one| one == ANY || *one == scope.account);
        self.allowed_accounts.as_ref().is_none_or(allows)
    }

    pub(crate) fn may_poll(&self, scope: &Scope) -> Result<(), CommandError> {
        match &self.executor {
            PartnerExecutor::JobWorker { accounts: Some(accounts), .. } if !accounts.contains(&scope.account) => {
                Err(CommandError::Validation(format!(
                    "The account '{}' is not one of the pollingAccounts of the action type '{}'.",
                    scope.account, self.entry.id.provider
                )))
            }
            PartnerExecutor::JobWorker { .. } => Ok(()),
            PartnerExecutor::Lambda { .. } => Err(CommandError::Validation(format!(
                "The action type '{}' has an executor of type Lambda: it has no jobs to poll for.",
                self.entry.id.provider
            ))),
        }
    }
}

/// The answer to GetActionType.
pub enum DescribedType {
    /// Of Towpath's own catalogue.
    Own(Box<ActionTypeEntry>),
    Partner(Box<PartnerType>),
}

impl Orchestrator {
    /// UpdateActionType: a full replacement.
    pub async fn update_action_type(&self, scope: &Scope, partner: PartnerType) -> Result<(), CommandError> {
        let id = &partner.entry.id;
        if self.catalogue.get(id).is_some() {
            return Err(CommandError::Validation(format!(
                "The action type with category '{}', owner '{}' and provider '{}' is part of Towpath and cannot be updated.",
                id.category.as_str(),
                id.owner.as_str(),
                id.provider
            )));
        }
        if id.owner != Owner::ThirdParty {
            return Err(not_available(id));
        }
        check(&partner.entry, "configurationUrl", partner.configuration_url.as_deref())
            .map_err(CommandError::Validation)?;
        let known = self.updated_type(scope, id).await?.is_some();
        if !known && self.updated_types(scope).await?.len() >= PARTNER_TYPES_MAX {
            return Err(CommandError::RequestFailed(format!(
                "There are {PARTNER_TYPES_MAX} action types of owner ThirdParty in the Region '{}' already.",
                scope.region
            )));
        }
        self.store.write(vec![Write::put_json(key(scope, id), &partner, Expect::Any)?]).await?;
        Ok(())
    }

    /// GetActionType, of a type of Towpath's own or of a partner.
    pub async fn action_type(&self, scope: &Scope, id: &ActionTypeId) -> Result<DescribedType, CommandError> {
        if id.owner == Owner::Aws {
            let own = self.catalogue.get(id).map(|provider| Box::new(provider.entry().clone()));
            return own.map(DescribedType::Own).ok_or_else(|| not_available(id));
        }
        self.partner_type(scope, id).await.map(|partner| DescribedType::Partner(Box::new(partner)))
    }

    pub(crate) async fn partner_type(&self, scope: &Scope, id: &ActionTypeId) -> Result<PartnerType, CommandError> {
        self.find_partner_type(scope, id).await?.ok_or_else(|| not_available(id))
    }

    pub(crate) async fn find_partner_type(
        &self,
        scope: &Scope,
        id: &ActionTypeId,
    ) -> Result<Option<PartnerType>, CommandError> {
        if id.owner != Owner::ThirdParty {
            return Ok(None);
        }
        let updated = self.updated_type(scope, id).await?;
        Ok(updated.or_else(|| self.catalogue.partner(id).map(PartnerType::listed)))
    }

    /// All of them, those that AWS lists too.
    pub(crate) async fn partner_types(&self, scope: &Scope) -> Result<Vec<PartnerType>, CommandError> {
        let mut all = self.updated_types(scope).await?;
        let updated: BTreeSet<ActionTypeId> = all.iter().map(|partner| partner.entry.id.clone()).collect();
        let listed = self.catalogue.partners().filter(|entry| !updated.contains(&entry.id));
        all.extend(listed.map(PartnerType::listed));
        Ok(all)
    }

    async fn updated_type(&self, scope: &Scope, id: &ActionTypeId) -> Result<Option<PartnerType>, CommandError> {
        let found = self.store.get_json::<PartnerType>(PARTNERS, &partition(scope), &name(id)).await?;
        Ok(found.map(|found| found.value))
    }

    async fn updated_types(&self, scope: &Scope) -> Result<Vec<PartnerType>, CommandError> {
        let mut all = Vec::new();
        let mut scan = Scan::all().limit(TYPE_PAGE);
        loop {
            let page = self.store.scan_json::<PartnerType>(PARTNERS, &partition(scope), scan).await?;
            let last = page.last().map(|(key, _)| key.clone()).filter(|_| page.len() == TYPE_PAGE);
            all.extend(page.into_iter().map(|(_, partner)| partner.value));
            let Some(last) = last else { return Ok(all) };
            scan = Scan::all().limit(TYPE_PAGE).after(last);
        }
    }
}

fn name(id: &ActionTypeId) -> String {
    format!("{}/{}/{}", id.category.as_str(), id.provider, id.version)
}

fn key(scope: &Scope, id: &ActionTypeId) -> Key {
    Key::new(PARTNERS, partition(scope), name(id))
}
