//! Listings: one walk over the documents of a bucket in key order, with a prefix, a delimiter that folds keys into common
//! prefixes, a place to start and a limit. Keys, versions and uploads are all listed by it. It must not change anything.

use std::ops::Bound;

use s3s::S3Result;
use towpath_store::{Document, Documents, Scan};

use super::errors;
use super::records::{decode, encode, split_version_key};

/// Items in one page, whatever the client asks for.
pub(super) const PAGE_MAX: usize = 1000;
/// Documents read at once.
const BATCH: usize = 1000;

/// What to list.
pub(super) struct Walk<'a> {
    pub collection: &'a str,
    pub bucket: &'a str,
    pub prefix: &'a str,
    pub delimiter: &'a str,
    pub start: Start,
    pub limit: usize,
    /// Documents are keyed by key and id, not by key alone.
    pub by_id: bool,
}

/// Where a listing starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    Beginning,
    /// Past this document.
    Document(String),
    /// Past every document of this key.
    Key(String),
    /// Past every key with this prefix: it was told already.
    Prefix(String),
}

/// The last thing a page told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Last {
    Item { key: String, id: String },
    Prefix(String),
}

#[derive(Debug)]
pub(super) struct Page<T> {
    pub items: Vec<(String, T)>,
    pub prefixes: Vec<String>,
    pub truncated: bool,
    pub last: Option<Last>,
}

/// The first place past every document whose key starts with this encoded text.
fn past(encoded: &str) -> Bound<String> {
    match Scan::prefix(encoded).to {
        Bound::Excluded(end) => Bound::Included(end),
        // A prefix of the last code point alone has nothing after it: this is past every key.
        other => match other {
            Bound::Unbounded => Bound::Excluded("\u{10FFFF}".repeat(300)),
            bound => bound,
        },
    }
}

fn place(start: &Start, by_id: bool) -> Bound<String> {
    match start {
        Start::Beginning => Bound::Unbounded,
        Start::Document(at) => Bound::Excluded(at.clone()),
        Start::Key(key) if by_id => past(&super::records::version_prefix(key)),
        Start::Key(key) => Bound::Excluded(encode(key)),
        Start::Prefix(prefix) => past(&encode(prefix)),
    }
}

fn later(a: Bound<String>, b: Bound<String>) -> Bound<String> {
    let value = |bound: &Bound<String>| match bound {
        Bound::Unbounded => None,
        Bound::Included(at) => Some((at.clone(), false)),
        Bound::Excluded(at) => Some((at.clone(), true)),
    };
    if value(&a) >= value(&b) { a } else { b }
}

/// Walks. `parse` reads a document: `None` leaves it out.
pub(super) async fn walk<T>(
    docs: &dyn Documents,
    walk: &Walk<'_>,
    mut parse: impl FnMut(&str, &Document) -> S3Result<Option<T>> + Send,
) -> S3Result<Page<T>> {
    let mut page = Page { items: Vec::new(), prefixes: Vec::new(), truncated: false, last: None };
    if walk.limit == 0 {
        return Ok(page);
    }
    let range = Scan::prefix(&encode(walk.prefix));
    let mut from = later(range.from.clone(), place(&walk.start, walk.by_id));
    loop {
        let scan = Scan { from: from.clone(), to: range.to.clone(), limit: BATCH, reverse: false };
        let batch = docs.scan(walk.collection, walk.bucket, scan).await.map_err(errors::store)?;
        let Some(end) = batch.last() else { return Ok(page) };
        from = Bound::Excluded(end.key.clone());
        let whole = batch.len() == BATCH;
        let mut folded: Option<String> = None;
        for document in &batch {
            let (key, id) = if walk.by_id {
                let Some((key, id)) = split_version_key(&document.key) else { continue };
                (key, id.to_owned())
            } else {
                (decode(&document.key), String::new())
            };
            if folded.as_ref().is_some_and(|prefix| key.starts_with(prefix.as_str())) {
                continue;
            }
            let Some(item) = parse(&key, document)? else { continue };
            let common = fold(&key, walk.prefix, walk.delimiter);
            if let (Some(common), Start::Key(told)) = (&common, &walk.start)
                && common == told
            {
                // The marker of the page before was this very prefix.
                folded = Some(common.clone());
                continue;
            }
            if page.items.len() + page.prefixes.len() == walk.limit {
                page.truncated = true;
                return Ok(page);
            }
            if let Some(prefix) = common {
                page.last = Some(Last::Prefix(prefix.clone()));
                page.prefixes.push(prefix.clone());
                folded = Some(prefix);
            } else {
                page.last = Some(Last::Item { key: key.clone(), id });
                page.items.push((key, item));
            }
        }
        if let Some(prefix) = folded {
            // Whatever else is under the last prefix need not be read.
            from = later(from, past(&encode(&prefix)));
        } else if !whole {
            return Ok(page);
        }
    }
}

/// The common prefix a key folds into.
fn fold(key: &str, prefix: &str, delimiter: &str) -> Option<String> {
    if delimiter.is_empty() {
        return None;
    }
    let rest = key.get(prefix.len()..)?;
    let at = rest.find(delimiter)?;
    Some(key[..prefix.len() + at + delimiter.len()].to_owned())
}

/// A page size as asked for.
pub(super) fn limit(asked: Option<i32>, name: &str) -> S3Result<usize> {
    match asked {
        None => Ok(PAGE_MAX),
        Some(asked) => match usize::try_from(asked) {
            Ok(asked) => Ok(asked.min(PAGE_MAX)),
            Err(_) => {
                Err(errors::invalid_argument(format!("Argument {name} must be an integer between 0 and 2147483647")))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use towpath_store::{Expect, Key, MemoryStore, Write};

    use super::*;

    async fn store(keys: &[&str]) -> Arc<dyn Documents> {
        let docs = MemoryStore::default();
        for key in keys {
            let key = Key::new("c", "b", encode(key));
            docs.write(vec![Write::Put { key, body: Vec::new(), expect: Expect::Any }]).await.unwrap();
        }
        Arc::new(docs)
    }

    async fn list(docs: &dyn Documents, prefix: &str, delimiter: &str, start: Start, limit: usize) -> (String, bool) {
        let request = Walk { collection: "c", bucket: "b", prefix, delimiter, start, limit, by_id: false };
        let page = walk(docs, &request, |_, _| Ok(Some(()))).await.unwrap();
        let items = page.items.into_iter().map(|(key, ())| key);
        let prefixes = page.prefixes.into_iter().map(|prefix| format!("[{prefix}]"));
        (items.chain(prefixes).collect::<Vec<_>>().join(" "), page.truncated)
    }

    #[tokio::test]
    async fn delimiters_fold_and_pages_go_on_where_they_ended() {
        let docs = store(&["a", "b/1", "b/2", "b/c/3", "c", "d/1", "é"]).await;
        let docs = &*docs;
        let all = |text: &str| (text.to_owned(), false);
        assert_eq!(list(docs, "", "/", Start::Beginning, 9).await, all("a c é [b/] [d/]"));
        assert_eq!(list(docs, "b/", "/", Start::Beginning, 9).await, all("b/1 b/2 [b/c/]"));
        assert_eq!(list(docs, "", "", Start::Key("b/2".into()), 9).await, all("b/c/3 c d/1 é"));
        assert_eq!(list(docs, "", "/", Start::Beginning, 2).await, ("a [b/]".to_owned(), true));
        assert_eq!(list(docs, "", "/", Start::Prefix("b/".into()), 2).await, ("c [d/]".to_owned(), true));
        assert_eq!(list(docs, "", "/", Start::Key("b/".into()), 9).await, all("c é [d/]"));
        assert_eq!(list(docs, "", "/", Start::Key("b/1".into()), 9).await, all("c é [b/] [d/]"));
        assert_eq!(list(docs, "x", "", Start::Beginning, 9).await, all(""));
        assert_eq!(list(docs, "", "", Start::Beginning, 0).await, all(""));
        assert_eq!(list(docs, "", "", Start::Beginning, 7).await, all("a b/1 b/2 b/c/3 c d/1 é"));
    }

    #[tokio::test]
    async fn a_prefix_with_many_keys_is_one_step() {
        let keys: Vec<String> = (0..2500).map(|n| format!("m/{n:05}")).chain(["z".to_owned()]).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let docs = store(&keys).await;
        assert_eq!(list(&*docs, "", "/", Start::Beginning, 9).await, ("z [m/]".to_owned(), false));
    }
}
