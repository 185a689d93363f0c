//! IAM roles as they are kept: one document per role, its inline policies inside. Knows the documents, not the wire.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use towpath_model::time::Timestamp;
use towpath_store::{Documents, DocumentsExt as _, Expect, Key, Scan, StoreError, Versioned};

use super::policy::{Kind, Policy};

const COLLECTION: &str = "iam.role";
/// Parsed roles kept in memory; past it the cache starts anew.
const CACHED_ROLES_MAX: usize = 1_024;
/// Repetitions of a change that lost a race.
const ATTEMPTS_MAX: usize = 16;

/// A role's name as a key: unique without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleName(String);

impl RoleName {
    pub fn new(name: &str) -> Self {
        Self(name.to_ascii_lowercase())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoleRecord {
    pub name: String,
    pub path: String,
    pub id: String,
    pub account: String,
    pub created: Timestamp,
    pub trust: String,
    #[serde(default)]
    pub description: Option<String>,
    pub max_session_seconds: i32,
    /// Inline policies by name, byte for byte as they were put.
    #[serde(default)]
    pub policies: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl RoleRecord {
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:role{}{}", self.account, self.path, self.name)
    }
}

/// A role with its documents parsed.
#[derive(Debug)]
pub(super) struct LoadedRole {
    pub record: RoleRecord,
    pub trust: Policy,
    pub policies: Vec<Policy>,
}

/// What a change of a role ended in.
pub(super) enum Changed<E> {
    Missing,
    Refused(E),
    Failed(StoreError),
}

/// Roles of all accounts.
pub(super) struct Roles {
    documents: Arc<dyn Documents>,
    cache: RwLock<Cache>,
}

/// By account and key: the version that was parsed, and what came of it.
type Cache = HashMap<(String, String), (u64, Arc<LoadedRole>)>;

impl Roles {
    pub fn new(documents: Arc<dyn Documents>) -> Self {
        Self { documents, cache: RwLock::default() }
    }

    /// A role by name, parsed. Always reads the document, so that a change on any node counts at once; only parsing is
    /// saved.
    pub async fn load(&self, account: &str, name: &str) -> Result<Option<Arc<LoadedRole>>, StoreError> {
        let key = RoleName::new(name).0;
        let Some(document) = self.documents.get(COLLECTION, account, &key).await? else { return Ok(None) };
        let slot = (account.to_owned(), key);
        if let Some((version, role)) = self.cache.read().unwrap_or_else(PoisonError::into_inner).get(&slot)
            && *version == document.version
        {
            return Ok(Some(Arc::clone(role)));
        }
        let record: RoleRecord = document.json()?;
        let corrupt =
            |what: String| move |error: super::policy::MalformedPolicy| StoreError::Corrupt { what, reason: error.0 };
        let trust = Policy::parse(&record.trust, Kind::Trust)
            .map_err(corrupt(format!("the trust policy of role {}", record.name)))?;
        let policies = record
            .policies
            .iter()
            .map(|(name, text)| {
                Policy::parse(text, Kind::Identity).map_err(corrupt(format!("policy {name} of role {}", record.name)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let role = Arc::new(LoadedRole { record, trust, policies });
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_ROLES_MAX {
            cache.clear();
        }
        cache.insert(slot, (document.version, Arc::clone(&role)));
        Ok(Some(role))
    }

    /// A role by ARN, whose path must be the role's.
    pub async fn load_arn(&self, arn: &str) -> Result<Option<Arc<LoadedRole>>, StoreError> {
        let Some((account, name)) = split_role_arn(arn) else { return Ok(None) };
        let role = self.load(account, name).await?;
        Ok(role.filter(|role| role.record.arn() == arn))
    }

    /// Roles in name order, with the names as keys.
    pub async fn page(
        &self,
        account: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, RoleRecord)>, StoreError> {
        let scan = after.map_or_else(Scan::all, |after| Scan::all().after(after)).limit(limit);
        let found = self.documents.scan_json::<RoleRecord>(COLLECTION, account, scan).await?;
        Ok(found.into_iter().map(|(key, role)| (key, role.value)).collect())
    }

    /// Adds a role; `false` when the name is taken.
    pub async fn create(&self, role: &RoleRecord) -> Result<bool, StoreError> {
        let key = Key::new(COLLECTION, &role.account, RoleName::new(&role.name).0);
        match self.documents.put_json(key, role, Expect::Absent).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Changes a role in place, repeating when another change came between.
    pub async fn change<T, E>(
        &self,
        account: &str,
        name: &str,
        mut change: impl FnMut(&mut RoleRecord) -> Result<T, E>,
    ) -> Result<T, Changed<E>> {
        let key = Key::new(COLLECTION, account, RoleName::new(name).0);
        let mut attempts = 0;
        loop {
            let found = self.documents.get_json::<RoleRecord>(COLLECTION, account, &key.key).await;
            let Versioned { mut value, version } = found.map_err(Changed::Failed)?.ok_or(Changed::Missing)?;
            let answer = change(&mut value).map_err(Changed::Refused)?;
            attempts += 1;
            match self.documents.put_json(key.clone(), &value, Expect::Version(version)).await {
                Ok(_) => return Ok(answer),
                Err(error) if error.is_conflict() && attempts < ATTEMPTS_MAX => {}
                Err(error) => return Err(Changed::Failed(error)),
            }
        }
    }

    /// Removes a role that `check` lets go.
    pub async fn remove<E>(
        &self,
        account: &str,
        name: &str,
        check: impl Fn(&RoleRecord) -> Result<(), E>,
    ) -> Result<(), Changed<E>> {
        let key = Key::new(COLLECTION, account, RoleName::new(name).0);
        let mut attempts = 0;
        loop {
            let found = self.documents.get_json::<RoleRecord>(COLLECTION, account, &key.key).await;
            let found = found.map_err(Changed::Failed)?.ok_or(Changed::Missing)?;
            check(&found.value).map_err(Changed::Refused)?;
            attempts += 1;
            match self.documents.delete(key.clone(), Expect::Version(found.version)).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_conflict() && attempts < ATTEMPTS_MAX => {}
                Err(error) => return Err(Changed::Failed(error)),
            }
        }
    }
}

/// Account and name of `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
pub(super) fn split_role_arn(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (Some("arn"), Some(_), Some("iam"), Some("")) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let account = parts.next()?;
    let name = parts.next()?.strip_prefix("role/")?.rsplit('/').next()?;
    let account_ok = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (account_ok && !name.is_empty()).then_some((account, name))
}
