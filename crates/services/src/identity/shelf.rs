//! Users, groups and roles as documents, with their policies parsed once per version. Knows the documents, not the wire.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use towpath_store::{Document, Documents, DocumentsExt as _, Expect, Key, Scan, StoreError, Write};

use super::holder::{Holder, name_key, split_arn};
use super::limits::{CACHED_MAX, SCAN_PAGE};
use super::policy::{Kind, MalformedPolicy, Policy};

/// A holder with its documents parsed.
#[derive(Debug)]
pub struct Loaded<R> {
    pub record: R,
    pub version: u64,
    /// The trust policy of a role.
    pub trust: Option<Policy>,
    /// Inline policies.
    pub policies: Vec<Arc<Policy>>,
}

/// The holders of one kind, of all accounts.
pub struct Shelf<R> {
    documents: Arc<dyn Documents>,
    cache: RwLock<Cache<R>>,
}

/// By account and key: what came of parsing the version it carries.
type Cache<R> = HashMap<(String, String), Arc<Loaded<R>>>;

impl<R: Holder> Shelf<R> {
    pub fn new(documents: Arc<dyn Documents>) -> Self {
        Self { documents, cache: RwLock::default() }
    }

    /// A holder by name, in any case.
    pub async fn find(&self, account: &str, name: &str) -> Result<Option<Arc<Loaded<R>>>, StoreError> {
        match R::NAMES {
            None => self.load(account, &name_key(name)).await,
            Some(names) => match self.documents.get_json::<String>(names, account, &name_key(name)).await? {
                Some(key) => self.load(account, &key.value).await,
                None => Ok(None),
            },
        }
    }

    /// A holder by key, parsed. Always reads the document, so that a change on any node counts at once; only parsing is
    /// saved.
    pub async fn load(&self, account: &str, key: &str) -> Result<Option<Arc<Loaded<R>>>, StoreError> {
        let Some(document) = self.documents.get(R::COLLECTION, account, key).await? else { return Ok(None) };
        let slot = (account.to_owned(), key.to_owned());
        if let Some(loaded) = self.cache.read().unwrap_or_else(PoisonError::into_inner).get(&slot)
            && loaded.version == document.version
        {
            return Ok(Some(Arc::clone(loaded)));
        }
        let loaded = Arc::new(parse(&document)?);
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(slot, Arc::clone(&loaded));
        Ok(Some(loaded))
    }

    /// A holder by ARN, whose path must be its own.
    pub async fn load_arn(&self, arn: &str) -> Result<Option<Arc<Loaded<R>>>, StoreError> {
        let Some((account, name)) = split_arn(arn, R::KIND) else { return Ok(None) };
        let found = self.find(account, name).await?;
        Ok(found.filter(|found| found.record.arn() == arn))
    }

    /// Up to `limit` holders under a path after `marker` in the order of their keys, and where the next page begins.
    pub async fn page(
        &self,
        account: &str,
        prefix: &str,
        marker: Option<String>,
        limit: usize,
    ) -> Result<(Vec<R>, Option<String>), StoreError> {
        let (mut found, mut after) = (Vec::new(), marker);
        loop {
            let scan = after.as_ref().map_or_else(Scan::all, |after| Scan::all().after(after)).limit(SCAN_PAGE);
            let page = self.documents.scan_json::<R>(R::COLLECTION, account, scan).await?;
            let last = page.len() < SCAN_PAGE;
            for (key, record) in page {
                if record.value.path().starts_with(prefix) {
                    // One more than fits says that there is another page.
                    if found.len() == limit {
                        return Ok((found, after));
                    }
                    found.push(record.value);
                }
                after = Some(key);
            }
            if last {
                return Ok((found, None));
            }
        }
    }

    pub async fn count(&self, account: &str) -> Result<usize, StoreError> {
        Ok(self.documents.scan(R::COLLECTION, account, Scan::all()).await?.len())
    }
}

/// A write of a holder in its place.
pub fn put<R: Holder>(record: &R, expect: Expect) -> Result<Write, StoreError> {
    Write::put_json(Key::new(R::COLLECTION, record.account(), record.key()), record, expect)
}

/// The removal of a holder, if it still has this version.
pub fn remove<R: Holder>(loaded: &Loaded<R>) -> Write {
    let record = &loaded.record;
    Write::delete(Key::new(R::COLLECTION, record.account(), record.key()), Expect::Version(loaded.version))
}

fn parse<R: Holder>(document: &Document) -> Result<Loaded<R>, StoreError> {
    let record: R = document.json()?;
    let (word, name) = (R::KIND.word(), record.name().to_owned());
    let corrupt = |what: String| move |error: MalformedPolicy| StoreError::Corrupt { what, reason: error.0 };
    let trust = record.trust().map(|text| Policy::parse(text, Kind::Trust)).transpose();
    let trust = trust.map_err(corrupt(format!("the trust policy of role {name}")))?;
    let policies = record.grants().policies.iter().map(|(policy, text)| {
        let parsed = Policy::parse(text, Kind::Identity);
        parsed.map(Arc::new).map_err(corrupt(format!("policy {policy} of {word} {name}")))
    });
    let policies = policies.collect::<Result<Vec<_>, _>>()?;
    Ok(Loaded { record, version: document.version, trust, policies })
}
