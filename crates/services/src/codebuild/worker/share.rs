//! Open builds among several processes on the same documents and data directory: each says that it lives, and takes over
//! the builds of those that do not any more. Whose a build is stands in its place in the list of open builds and changes
//! by compare-and-swap, so no two ever have it by what the list says. A node that was taken for dead and is not learns of
//! it with its next sign of life; until then the versions of the records and the runner's lock keep the two apart.
//!
//! Must not run builds itself, and does nothing at all where the process is alone.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use towpath_model::ids::Scope;
use towpath_store::{DocumentsExt as _, Expect, Key, Scan, StoreError, Versioned, Write};

use super::super::CodeBuild;
use super::super::names::{NODES, OPEN_BUILDS, OPEN_PARTITION, node_key, open_key};
use super::super::records::{NodeRecord, OpenMark};
use super::Live;

/// How often a node says that it lives and looks for builds that nobody living has.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After so long without a sign of life a node's builds are taken over.
const LEASE_MILLIS: i64 = 8_000;
const PAGE: usize = 500;

impl CodeBuild {
    /// What the list of open builds says of a build that this process starts.
    pub(in super::super) fn open_mark(&self, id: &str) -> OpenMark {
        match &self.settings.node {
            Some(node) => OpenMark::Owned { node: node.clone(), look: false },
            None => OpenMark::Alone(id.to_owned()),
        }
    }

    /// The write that has another node look at its build's record, where it is another's.
    pub(in super::super) async fn tell_owner(&self, scope: &Scope, id: &str) -> Result<Option<Write>, StoreError> {
        let Some(me) = &self.settings.node else { return Ok(None) };
        let key = open_key(scope, id);
        let found = self.documents.get_json::<OpenMark>(&key.collection, &key.partition, &key.key).await?;
        match found {
            Some(Versioned { value: OpenMark::Owned { node, .. }, version }) if node != *me => {
                let mark = OpenMark::Owned { node, look: true };
                Write::put_json(key, &mark, Expect::Version(version)).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Takes part in the work on the open builds until the process closes.
    pub(super) async fn join(self: &Arc<Self>) -> Result<usize, StoreError> {
        let taken = self.take_part().await?;
        let this = Arc::clone(self);
        self.workers.spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = this.closing.cancelled() => return,
                    () = tokio::time::sleep(HEARTBEAT) => {}
                }
                if let Err(error) = this.take_part().await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "this node cannot say that it lives; another may take its builds over"
                    );
                }
            }
        });
        Ok(taken)
    }

    /// One sign of life, and a look at whose the open builds are. Answers how many this node has taken up. Done every
    /// two seconds after [`CodeBuild::resume`]; does nothing where the process is alone.
    pub async fn take_part(self: &Arc<Self>) -> Result<usize, StoreError> {
        let Some(me) = self.settings.node.as_deref() else { return Ok(0) };
        let now = self.ambient.now().millis();
        self.documents.put_json(node_key(me), &NodeRecord { until_ms: now + LEASE_MILLIS }, Expect::Any).await?;
        let open = self.open_builds().await?;
        let living = self.living(now).await?;
        let mut mine = Vec::new();
        for (key, Versioned { value: mark, version }) in open {
            let worker = self.live.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
            match (mark, worker) {
                (OpenMark::Owned { node, look }, Some(Live { wake, .. })) if node == me => {
                    if look {
                        wake.notify_one();
                    }
                }
                (OpenMark::Owned { node, .. }, None) if node == me => mine.push(key),
                (OpenMark::Owned { node, .. }, worker) if living.contains(&node) => {
                    if let Some(Live { leave, .. }) = worker {
                        tracing::warn!(build = key, node, "another node has taken a build of this one over");
                        leave.cancel();
                    }
                }
                (mark, _) => {
                    let own = OpenMark::Owned { node: me.to_owned(), look: false };
                    let at = Key::new(OPEN_BUILDS, OPEN_PARTITION, key.as_str());
                    match self.documents.put_json(at, &own, Expect::Version(version)).await {
                        Ok(_) => {
                            tracing::info!(build = key, of = mark.owner(), "took over a build that no living node has");
                            mine.push(key);
                        }
                        // Another was quicker, or the build is over.
                        Err(error) if error.is_conflict() => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        self.take_up(mine).await
    }

    /// Lets the others take over at once what this node leaves.
    pub(in super::super) async fn leave(&self) {
        if let Some(me) = &self.settings.node
            && let Err(error) = self.documents.delete(node_key(me), Expect::Any).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the other nodes take this one's builds over when its lease has run out"
            );
        }
    }

    /// The nodes that live; what the others left of themselves is removed.
    async fn living(&self, now: i64) -> Result<HashSet<String>, StoreError> {
        let mut living = HashSet::new();
        for (node, found) in self.documents.scan_json::<NodeRecord>(NODES, OPEN_PARTITION, Scan::all()).await? {
            if found.value.until_ms > now {
                living.insert(node);
                continue;
            }
            match self.documents.delete(node_key(&node), Expect::Version(found.version)).await {
                Err(error) if !error.is_conflict() => return Err(error),
                _ => {}
            }
        }
        Ok(living)
    }

    /// Every open build's key in the list, with what stands there.
    pub(super) async fn open_builds(&self) -> Result<Vec<(String, Versioned<OpenMark>)>, StoreError> {
        let mut open: Vec<(String, Versioned<OpenMark>)> = Vec::new();
        loop {
            let scan = open.last().map_or_else(Scan::all, |(last, _)| Scan::all().after(last.as_str())).limit(PAGE);
            let found = self.documents.scan_json(OPEN_BUILDS, OPEN_PARTITION, scan).await?;
            let last = found.len() < PAGE;
            open.extend(found);
            if last {
                return Ok(open);
            }
        }
    }
}
