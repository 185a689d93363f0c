//! The contract of [`crate::Nodes`]: every task has one owner, and that one is alive or about to be replaced.

use towpath_model::effect::Task;
use towpath_model::time::Timestamp;

use super::fixtures::task;
use crate::documents::{DocumentsExt as _, Expect, Key};
use crate::{Commit, Row, Store, StoreError};

fn owned(id: &str, owner: &str) -> Task {
    Task { owner: Some(owner.to_owned()), ..task(id, 10) }
}

async fn put(store: &dyn Store, tasks_put: Vec<Task>) {
    store.commit(Commit { tasks_put, ..Commit::default() }).await.unwrap();
}

async fn beat(store: &dyn Store, node: &str, now: i64, lease_until: i64) {
    store.heartbeat(node, Timestamp(now), Timestamp(lease_until)).await.unwrap();
}

async fn claim(store: &dyn Store, me: &str, now: i64) -> Vec<String> {
    let mut claimed = store.claim_orphans(me, Timestamp(now), 100).await.unwrap();
    for task in &claimed {
        assert_eq!((task.owner.as_deref(), task.lease_until), (Some(me), None));
        assert_eq!(store.task(&task.id).await.unwrap().as_ref(), Some(task));
    }
    claimed.sort_by(|a, b| a.id.cmp(&b.id));
    claimed.into_iter().map(|task| task.id.into_string()).collect()
}

pub async fn tasks_without_an_owner_are_claimed_once(store: &dyn Store) {
    beat(store, "a", 0, 100).await;
    beat(store, "b", 0, 100).await;
    let leased = Task { lease_until: Some(Timestamp(7)), ..task("t2", 10) };
    put(store, vec![task("t1", 10), leased, owned("t3", "b")]).await;
    assert_eq!(claim(store, "a", 10).await, ["t1", "t2"]);
    assert_eq!(claim(store, "a", 10).await, [""; 0]);
    assert_eq!(claim(store, "b", 10).await, [""; 0]);
    // One that comes later.
    put(store, vec![task("t4", 10)]).await;
    assert_eq!(claim(store, "b", 10).await, ["t4"]);
}

pub async fn tasks_of_a_node_are_claimed_when_its_lease_is_over(store: &dyn Store) {
    beat(store, "a", 0, 100).await;
    beat(store, "b", 0, 1_000).await;
    put(store, vec![owned("t1", "a"), owned("t2", "a"), owned("t3", "b")]).await;
    assert_eq!(claim(store, "b", 99).await, [""; 0]);
    beat(store, "a", 90, 200).await;
    assert_eq!(claim(store, "b", 199).await, [""; 0]);
    assert_eq!(claim(store, "b", 200).await, ["t1", "t2"]);
    // The one that was too late has lost them.
    beat(store, "a", 210, 1_000).await;
    assert_eq!(claim(store, "a", 210).await, [""; 0]);
    assert_eq!(claim(store, "a", 1_000).await, ["t1", "t2", "t3"]);
}

pub async fn tasks_of_a_released_node_are_claimed_at_once(store: &dyn Store) {
    beat(store, "a", 0, 100).await;
    beat(store, "b", 0, 100).await;
    put(store, vec![owned("t1", "a")]).await;
    assert_eq!(claim(store, "b", 10).await, [""; 0]);
    store.release("a").await.unwrap();
    store.release("never was").await.unwrap();
    assert_eq!(claim(store, "b", 10).await, ["t1"]);
}

pub async fn tasks_of_an_unknown_node_are_claimed(store: &dyn Store) {
    beat(store, "a", 0, 100).await;
    assert_eq!(claim(store, "a", 10).await, [""; 0]);
    put(store, vec![owned("t1", "of a backup")]).await;
    assert_eq!(claim(store, "a", 10).await, ["t1"]);
}

pub async fn a_node_alone_keeps_its_tasks(store: &dyn Store) {
    beat(store, "a", 0, 100).await;
    put(store, vec![owned("t1", "a")]).await;
    // Whoever asks is alive, whatever its lease says.
    assert_eq!(claim(store, "a", 500).await, [""; 0]);
    assert_eq!(store.task(&"t1".into()).await.unwrap(), Some(owned("t1", "a")));
}

pub async fn claims_are_limited_and_never_overlap(store: &dyn Store) {
    beat(store, "a", 0, 100).await;
    beat(store, "b", 0, 100).await;
    put(store, (0..20).map(|n| task(&format!("t{n:02}"), 10)).collect()).await;
    let claim = |me: &'static str| store.claim_orphans(me, Timestamp(10), 7);
    let rounds: [_; 4] = tokio::join!(claim("a"), claim("b"), claim("a"), claim("b")).into();
    let mut claimed: Vec<Task> = rounds
        .into_iter()
        .flat_map(|tasks| {
            let tasks = tasks.unwrap();
            assert!(tasks.len() <= 7);
            tasks
        })
        .collect();
    // Claims at the same moment may leave each other's to be looked at again.
    while claimed.len() < 20 {
        let more = claim("a").await.unwrap();
        assert!(!more.is_empty());
        claimed.extend(more);
    }
    let mut ids: Vec<_> = claimed.iter().map(|task| task.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    for task in claimed {
        assert_eq!(store.task(&task.id).await.unwrap(), Some(task));
    }
    let refused = store.claim_orphans("a", Timestamp(0), crate::limits::PAGE_MAX + 1).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
}

pub async fn a_task_taken_over_is_not_moved_by_its_old_owner(store: &dyn Store) {
    beat(store, "a", 0, 100).await;
    beat(store, "b", 0, 1_000).await;
    put(store, vec![owned("t1", "a")]).await;
    let moved = |owner: Option<&str>, due| {
        let task = Task { owner: owner.map(str::to_owned), ..task("t1", due) };
        store.commit(Commit { tasks_moved: vec![task], ..Commit::default() })
    };
    moved(Some("a"), 20).await.unwrap();
    assert_eq!(claim(store, "b", 500).await, ["t1"]);
    for late in [Some("a"), None] {
        match moved(late, 30).await {
            Err(StoreError::Conflict { row: Row::Task, key }) => assert_eq!(key, "t1"),
            other => panic!("{other:?}"),
        }
    }
    let found = store.task(&"t1".into()).await.unwrap().unwrap();
    assert_eq!((found.owner.as_deref(), found.due), (Some("b"), Timestamp(20)));
    moved(Some("b"), 40).await.unwrap();
    assert_eq!(store.task(&"t1".into()).await.unwrap().unwrap().due, Timestamp(40));
}

pub async fn commits_are_heard(store: &dyn Store) {
    let mut committed = store.subscribe();
    let heard = async |committed: &mut tokio::sync::watch::Receiver<u64>, version: u64| {
        committed.wait_for(|latest| *latest >= version).await.unwrap();
    };
    let first = store.commit(Commit::default()).await.unwrap().version;
    heard(&mut committed, first).await;
    let second = store.put_json(Key::new("c", "p", "k"), &1, Expect::Any).await.unwrap();
    heard(&mut committed, second).await;
    assert!(second > first);
}
