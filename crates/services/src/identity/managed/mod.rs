//! Managed policies: the account's own, with their versions, and those of AWS that are known here word for word. Says
//! what they are; who may change them is IAM's to ask.

mod aws;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use towpath_model::time::Timestamp;
use towpath_store::{Documents, DocumentsExt as _, Expect, Key, Scan, StoreError, Write};

use super::holder::{Holder, Kind, is_account, name_key, split_iam_arn};
use super::limits::CACHED_MAX;
use super::policy::{self, Policy};

pub use aws::AwsPolicy;

const COLLECTION: &str = "iam.policy";
/// One document for each use of a managed policy, under its ARN.
const USES: &str = "iam.attachment";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyRecord {
    pub name: String,
    pub path: String,
    pub id: String,
    pub account: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    /// Never empty; numbers are not used again.
    pub versions: Vec<PolicyVersion>,
    pub default: u32,
    pub next: u32,
    /// How many holders it is attached to, and how many it bounds. Changes with every attachment, so that a policy
    /// cannot be deleted while one is made.
    pub attached: usize,
    pub bounds: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyVersion {
    pub number: u32,
    pub document: String,
    pub created: Timestamp,
}

impl PolicyRecord {
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:policy{}{}", self.account, self.path, self.name)
    }

    pub fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|version| version.number == number)
    }
}

/// A managed policy, whoever made it.
#[derive(Debug, Clone)]
pub enum Managed {
    Aws(&'static AwsPolicy),
    Own { record: Box<PolicyRecord>, version: u64 },
}

impl Managed {
    pub fn arn(&self) -> String {
        match self {
            Self::Aws(policy) => policy.arn(),
            Self::Own { record, .. } => record.arn(),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Aws(policy) => policy.name,
            Self::Own { record, .. } => &record.name,
        }
    }

    pub fn path(&self) -> &str {
        match self {
            Self::Aws(_) => "/",
            Self::Own { record, .. } => &record.path,
        }
    }
}

/// How a holder uses a managed policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Usage {
    Attached,
    Boundary,
}

/// Who uses a managed policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Use {
    pub usage: Usage,
    pub kind: Kind,
    pub name: String,
    pub path: String,
    pub id: String,
}

impl Use {
    pub fn of<R: Holder>(usage: Usage, holder: &R) -> Self {
        Self {
            usage,
            kind: R::KIND,
            name: holder.name().to_owned(),
            path: holder.path().to_owned(),
            id: holder.id().to_owned(),
        }
    }

    /// Ids never come back, so a use needs no other name.
    fn key(&self, account: &str, arn: &str) -> Key {
        let usage = match self.usage {
            Usage::Attached => "attached",
            Usage::Boundary => "boundary",
        };
        Key::new(USES, format!("{account}/{arn}"), format!("{}/{}/{usage}", self.kind.word(), self.id))
    }

    pub fn put(&self, account: &str, arn: &str) -> Result<Write, StoreError> {
        Write::put_json(self.key(account, arn), self, Expect::Any)
    }

    pub fn remove(&self, account: &str, arn: &str) -> Write {
        Write::delete(self.key(account, arn), Expect::Any)
    }
}

type Cache = HashMap<(String, String), (u64, Arc<Policy>)>;

/// Policies of all accounts.
pub struct Policies {
    documents: Arc<dyn Documents>,
    /// By account and key: the version that was parsed, and its default version.
    cache: RwLock<Cache>,
}

impl Policies {
    pub fn new(documents: Arc<dyn Documents>) -> Self {
        Self { documents, cache: RwLock::default() }
    }

    /// A policy by ARN, as a caller of `account` may use it.
    pub async fn find(&self, account: &str, arn: &str) -> Result<Option<Managed>, StoreError> {
        if let Some(policy) = AwsPolicy::by_arn(arn) {
            return Ok(Some(Managed::Aws(policy)));
        }
        let Some(key) = own_key(account, arn) else { return Ok(None) };
        let found = self.documents.get_json::<PolicyRecord>(COLLECTION, account, &key).await?;
        Ok(found
            .filter(|found| found.value.arn() == arn)
            .map(|found| Managed::Own { record: Box::new(found.value), version: found.version }))
    }

    /// What a policy allows and denies now: its default version.
    pub async fn effective(&self, account: &str, arn: &str) -> Result<Option<Arc<Policy>>, StoreError> {
        if let Some(policy) = AwsPolicy::by_arn(arn) {
            return Ok(Some(policy.parsed()));
        }
        let Some(key) = own_key(account, arn) else { return Ok(None) };
        let Some(document) = self.documents.get(COLLECTION, account, &key).await? else { return Ok(None) };
        let slot = (account.to_owned(), key);
        if let Some((version, policy)) = self.cache.read().unwrap_or_else(PoisonError::into_inner).get(&slot)
            && *version == document.version
        {
            return Ok(Some(Arc::clone(policy)));
        }
        let record: PolicyRecord = document.json()?;
        if record.arn() != arn {
            return Ok(None);
        }
        let corrupt = |reason: String| StoreError::Corrupt { what: format!("managed policy {}", record.name), reason };
        let text = record.version(record.default).ok_or_else(|| corrupt("it has no default version".to_owned()))?;
        let policy = Policy::parse(&text.document, policy::Kind::Identity).map_err(|error| corrupt(error.0))?;
        let policy = Arc::new(policy);
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(slot, (document.version, Arc::clone(&policy)));
        Ok(Some(policy))
    }

    /// Every policy of an account's own, in the order of names.
    pub async fn all(&self, account: &str) -> Result<Vec<PolicyRecord>, StoreError> {
        let found = self.documents.scan_json::<PolicyRecord>(COLLECTION, account, Scan::all()).await?;
        Ok(found.into_iter().map(|(_, record)| record.value).collect())
    }

    /// Who of an account uses a policy.
    pub async fn uses(&self, account: &str, arn: &str) -> Result<Vec<Use>, StoreError> {
        let found = self.documents.scan_json::<Use>(USES, &format!("{account}/{arn}"), Scan::all()).await?;
        Ok(found.into_iter().map(|(_, used)| used.value).collect())
    }
}

/// The key of an account's own policy; `None` where the ARN is no policy of that account.
fn own_key(account: &str, arn: &str) -> Option<String> {
    let (owner, resource) = split_iam_arn(arn)?;
    let name = resource.strip_prefix("policy/")?.rsplit('/').next()?;
    (is_account(owner) && owner == account && !name.is_empty()).then(|| name_key(name))
}

pub fn put(record: &PolicyRecord, expect: Expect) -> Result<Write, StoreError> {
    Write::put_json(Key::new(COLLECTION, &record.account, name_key(&record.name)), record, expect)
}

pub fn remove(record: &PolicyRecord, version: u64) -> Write {
    Write::delete(Key::new(COLLECTION, &record.account, name_key(&record.name)), Expect::Version(version))
}
