//! Long-term access keys of users, and when a key or a role was last used. A key leads to its user; what the user may is
//! asked elsewhere.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use towpath_model::secret::Secret;
use towpath_model::time::Timestamp;
use towpath_store::{Documents, DocumentsExt as _, Expect, Key, StoreError, Versioned, Write};

use super::limits::{USE_NOTED_MILLIS, USES_MAX};

const KEYS: &str = "iam.access-key";
const USES: &str = "iam.last-used";
/// An access key id says nothing of its account, so all are kept together.
const ALL: &str = "all";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessKeyRecord {
    pub id: String,
    pub secret: Secret,
    pub account: String,
    /// The name of its user, and the id, which tells a later user of the same name apart.
    pub user: String,
    pub user_id: String,
    pub active: bool,
    pub created: Timestamp,
}

pub async fn find(documents: &dyn Documents, id: &str) -> Result<Option<Versioned<AccessKeyRecord>>, StoreError> {
    documents.get_json(KEYS, ALL, id).await
}

pub fn put(record: &AccessKeyRecord, expect: Expect) -> Result<Write, StoreError> {
    Write::put_json(Key::new(KEYS, ALL, record.id.as_str()), record, expect)
}

/// Removes a key and what is known of its use.
pub fn remove(id: &str) -> [Write; 2] {
    [Write::delete(Key::new(KEYS, ALL, id), Expect::Any), Write::delete(Key::new(USES, ALL, id), Expect::Any)]
}

/// A use of an access key or of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    pub at: Timestamp,
    pub service: String,
    pub region: String,
}

/// The last uses that were written down. Coarse on purpose: a write for every request would cost more than the request.
#[derive(Default)]
pub struct Uses(Mutex<HashMap<String, LastUse>>);

impl Uses {
    /// Notes a use of a key (or of a role, by its id) unless one like it was noted a short while ago.
    pub async fn note(&self, documents: &dyn Documents, id: &str, used: LastUse) {
        {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = known.get(id).is_some_and(|last| {
                last.service == used.service
                    && last.region == used.region
                    && used.at.millis() - last.at.millis() < USE_NOTED_MILLIS
            });
            if fresh {
                return;
            }
            if known.len() >= USES_MAX {
                known.clear();
            }
            known.insert(id.to_owned(), used.clone());
        }
        if let Err(error) = documents.put_json(Key::new(USES, ALL, id), &used, Expect::Any).await {
            tracing::warn!(%error, "the last use of a key could not be written down");
        }
    }
}

pub async fn last_use(documents: &dyn Documents, id: &str) -> Result<Option<LastUse>, StoreError> {
    Ok(documents.get_json(USES, ALL, id).await?.map(|found: Versioned<LastUse>| found.value))
}
