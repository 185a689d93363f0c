//! The contract on PostgreSQL, and what only a database shared by several nodes can show.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use towpath_model::effect::Task;
use towpath_model::history::EventState;
use towpath_model::time::Timestamp;

use super::PostgresStore;
use crate::contract::fixtures::{action, entry, execution, gate, task};
use crate::documents::{Documents, DocumentsExt as _, Expect, Key, Scan, Write};
use crate::limits::{POSTGRES_KEY_HEAD_BYTES, POSTGRES_PARTITION_BYTES_MAX, POSTGRES_WRITERS};
use crate::{
    Actions as _, Commit, Commits, Executions, History, HistoryFilter, Nodes, Pipelines, Row, StoreError, Tasks,
};

async fn with_store<F: AsyncFnOnce(&PostgresStore)>(test: F) {
    let Some(url) = crate::testing::postgres_url().await else { return };
    test(&PostgresStore::connect(&url).await.unwrap()).await;
}

crate::contract::tests!(with_store);

/// Two nodes on one fresh schema.
async fn with_two<F: AsyncFnOnce(&PostgresStore, &PostgresStore, &str)>(test: F) {
    let Some(url) = crate::testing::postgres_url().await else { return };
    let (one, two) = tokio::join!(PostgresStore::connect(&url), PostgresStore::connect(&url));
    test(&one.unwrap(), &two.unwrap(), &url).await;
}

fn put(key: &str, expect: Expect) -> Write {
    Write::Put { key: Key::new("c", "p", key), body: b"1".to_vec(), expect }
}

fn started(execution: &str) -> Commit {
    Commit { history: vec![entry("p", execution, EventState::Started)], ..Commit::default() }
}

#[tokio::test]
async fn nodes_that_start_together_make_one_schema() {
    let Some(url) = crate::testing::postgres_url().await else { return };
    let connect = || PostgresStore::connect(&url);
    let stores: [_; 4] = tokio::join!(connect(), connect(), connect(), connect()).into();
    for store in stores {
        store.unwrap().commit(Commit::default()).await.unwrap();
    }
    // And one that comes later finds it made.
    assert_eq!(connect().await.unwrap().commit(Commit::default()).await.unwrap().version, 5);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let Some(url) = crate::testing::postgres_url().await else { return };
    let store = PostgresStore::connect(&url).await.unwrap();
    store.execute("INSERT INTO towpath_schema (number) VALUES (99)", &[]).await.unwrap();
    let error = PostgresStore::connect(&url).await.unwrap_err();
    assert!(matches!(error, StoreError::NewerDatabase { found: 99, supported: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("start that version, or choose another --database-url"), "{error}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let error = PostgresStore::connect("postgresql://someone:s3cret@127.0.0.1:1/nothing").await.unwrap_err();
    let message = format!("{error} {:?}", std::error::Error::source(&error));
    assert!(message.contains("the database `nothing` at 127.0.0.1:1") && !message.contains("s3cret"), "{message}");
    let Some(url) = crate::testing::postgres_url().await else { return };
    let (before, _) = url.rsplit_once("search_path").unwrap();
    let error = PostgresStore::connect(&format!("{before}search_path%3Dnowhere")).await.unwrap_err();
    assert!(error.to_string().contains("its search_path names no schema that exists"), "{error}");
}

#[tokio::test]
async fn a_body_of_a_later_format_is_refused_by_name() {
    with_store(async |store| {
        store.commit(Commit { gate: Some((gate("p", "app"), None)), ..Commit::default() }).await.unwrap();
        let body: &[u8] = br#"{"format":2,"value":{"new":1}}"#;
        store.execute("UPDATE gates SET body = $1", &[&body]).await.unwrap();
        let error = store.gate(&"p".into()).await.unwrap_err();
        assert!(error.to_string().contains("a stored gate cannot be read: it has format 2"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_commit_is_durable_whatever_the_databases_default_is() {
    let Some(url) = crate::testing::postgres_url().await else { return };
    for (asked, given) in [("off", "on"), ("remote_apply", "remote_apply")] {
        let store = PostgresStore::connect(&format!("{url}%20-csynchronous_commit%3D{asked}")).await.unwrap();
        let row = store.read_one("SHOW synchronous_commit", &[]).await.unwrap().unwrap();
        assert_eq!(row.get::<_, &str>(0), given);
    }
}

/// As after a restore from a backup of before the node was started.
#[tokio::test]
async fn a_writer_that_the_database_has_forgotten_goes_on() {
    with_store(async |store| {
        store.commit(started("e1")).await.unwrap();
        store.execute("DELETE FROM writers", &[]).await.unwrap();
        for n in 2..6 {
            assert_eq!(store.commit(started("e1")).await.unwrap().first_history_sequence, n);
        }
    })
    .await;
}

#[tokio::test]
async fn what_one_node_commits_the_other_reads_at_once() {
    with_two(async |one, two, _| {
        assert!(one.is_shared());
        let version =
            one.commit(Commit { gate: Some((gate("p", "app"), None)), ..Commit::default() }).await.unwrap().version;
        let mut found = two.gate(&"p".into()).await.unwrap().unwrap();
        for round in 1..20 {
            let (writer, reader) = if round % 2 == 0 { (one, two) } else { (two, one) };
            found.value.next_sequence += 1;
            let swap = Commit { gate: Some((found.value.clone(), Some(found.version))), ..Commit::default() };
            found.version = writer.commit(swap).await.unwrap().version;
            assert_eq!(reader.gate(&"p".into()).await.unwrap(), Some(found.clone()));
            assert_eq!(reader.load(&"p".into(), &[]).await.unwrap().gate, Some(found.clone()));
        }
        let late = Commit { gate: Some((gate("p", "app"), Some(version))), ..Commit::default() };
        assert!(two.commit(late).await.unwrap_err().is_conflict());
    })
    .await;
}

#[tokio::test]
async fn a_node_hears_of_the_others_commits() {
    with_two(async |one, two, _| {
        let mut heard = two.subscribe();
        for _ in 0..3 {
            let version = one.commit(started("e1")).await.unwrap().version;
            heard.wait_for(|latest| *latest >= version).await.unwrap();
        }
    })
    .await;
}

/// Neither finds the other's row when it looks, because it is not committed yet; one of them must still lose.
#[tokio::test]
async fn racing_nodes_have_one_winner_for_what_is_new() {
    with_two(async |one, two, _| {
        for round in 0..30 {
            let name = format!("n{round}");
            let create = |node: &'static str| Commit {
                gate: Some((gate(&format!("{node}-{round}"), &name), None)),
                executions: vec![(execution(&format!("{node}-{round}"), &format!("{node}-{round}"), 1), None)],
                ..Commit::default()
            };
            let results: [_; 2] = tokio::join!(one.commit(create("one")), two.commit(create("two"))).into();
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
            for error in results.into_iter().filter_map(Result::err) {
                assert!(matches!(error, StoreError::Conflict { row: Row::PipelineName, .. }), "{error:?}");
            }
            let document = || vec![put(&name, Expect::Absent)];
            let results: [_; 2] = tokio::join!(one.write(document()), two.write(document())).into();
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
            assert!(results.into_iter().filter_map(Result::err).all(|error| error.is_conflict()));
        }
    })
    .await;
}

#[tokio::test]
async fn racing_nodes_have_one_winner_for_each_swap() {
    with_two(async |one, two, _| {
        let commit = Commit { executions: vec![(execution("p", "e1", 1), None)], ..Commit::default() };
        let mut version = one.commit(commit).await.unwrap().version;
        for _ in 0..50 {
            let swap = |summary: &str| {
                let mut changed = execution("p", "e1", 1);
                changed.status_summary = Some(summary.to_owned());
                Commit { executions: vec![(changed, Some(version))], ..started("e1") }
            };
            let (first, second) = tokio::join!(one.commit(swap("one")), two.commit(swap("two")));
            assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
            let summary = if first.is_ok() { "one" } else { "two" };
            version = first.or(second).unwrap().version;
            let found = one.execution(&"e1".into()).await.unwrap().unwrap();
            assert_eq!((found.value.status_summary.as_deref(), found.version), (Some(summary), version));
        }
        assert_eq!(one.history_end().await.unwrap(), 50);
    })
    .await;
}

/// Reads behind two nodes that write as fast as they can, whenever it hears of a commit; a number that appeared late
/// would be a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_misses_no_entry() {
    const WRITERS: usize = 6;
    const EACH: usize = 20;
    let Some(url) = crate::testing::postgres_url().await else { return };
    let mut writers = Vec::new();
    for node in 0..2 {
        let store = Arc::new(PostgresStore::connect(&url).await.unwrap());
        for writer in 0..WRITERS {
            let store = Arc::clone(&store);
            writers.push(tokio::spawn(async move {
                for n in 0..EACH {
                    let id = format!("{node}-{writer}-{n}");
                    let history = vec![entry("p", &id, EventState::Started), entry("p", &id, EventState::Succeeded)];
                    store.commit(Commit { history, ..Commit::default() }).await.unwrap();
                }
            }));
        }
    }
    let follower = PostgresStore::connect(&url).await.unwrap();
    let mut heard = follower.subscribe();
    let mut followed = Vec::new();
    while followed.len() < 2 * WRITERS * EACH * 2 {
        let after = followed.len() as u64;
        if follower.history_end().await.unwrap() == after {
            heard.changed().await.unwrap();
        }
        for entry in follower.history(&HistoryFilter::All, after, 1_000).await.unwrap() {
            assert_eq!(entry.sequence, followed.len() as u64 + 1);
            followed.push(entry.execution);
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    // The two entries of a commit are next to each other.
    assert!(followed.chunks(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(followed.iter().collect::<BTreeSet<_>>().len(), 2 * WRITERS * EACH);
}

#[tokio::test]
async fn two_nodes_share_out_what_a_third_left() {
    with_two(async |one, two, _| {
        let now = Timestamp(10);
        for (store, node) in [(one, "one"), (two, "two")] {
            store.heartbeat(node, now, Timestamp(1_000)).await.unwrap();
        }
        let left = |n| Task { owner: Some("three".to_owned()), ..task(&format!("t{n:03}"), 10) };
        one.commit(Commit { tasks_put: (0..200).map(left).collect(), ..Commit::default() }).await.unwrap();
        let take = async |store: &PostgresStore, me: &str| {
            let mut mine = BTreeSet::new();
            loop {
                let claimed = store.claim_orphans(me, now, 7).await.unwrap();
                if claimed.is_empty() {
                    return mine;
                }
                mine.extend(claimed.into_iter().map(|task| task.id));
            }
        };
        let (of_one, of_two) = tokio::join!(take(one, "one"), take(two, "two"));
        assert!(of_one.is_disjoint(&of_two));
        assert_eq!(of_one.len() + of_two.len(), 200);
        assert_eq!(one.claim_orphans("one", now, 7).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn concurrent_commands_share_a_transaction() {
    with_store(async |store| {
        let mut blocker = store.pool.get().await.unwrap();
        let held = blocker.transaction().await.unwrap();
        held.execute("SELECT 1 FROM counters FOR UPDATE", &[]).await.unwrap();
        let mut writes: Vec<_> = (0..100).map(|n| store.write(vec![put(&format!("k{n}"), Expect::Absent)])).collect();
        // One poll queues a command.
        let mut context = Context::from_waker(Waker::noop());
        for write in &mut writes {
            assert!(write.as_mut().poll(&mut context).is_pending());
        }
        held.rollback().await.unwrap();
        for write in writes {
            write.await.unwrap();
        }
        let counters = store.write_counters();
        assert_eq!(counters.commands, 100);
        // Each writer took between one and all of the commands before it had to wait, and then the rest.
        assert!(counters.transactions <= 2 * POSTGRES_WRITERS as u64, "{counters:?}");
        assert_eq!(store.scan("c", "p", Scan::all()).await.unwrap().len(), 100);
    })
    .await;
}

#[tokio::test]
async fn long_keys_are_told_apart_and_sorted_whole() {
    with_store(async |store| {
        let long = "k".repeat(POSTGRES_KEY_HEAD_BYTES);
        // One ends in the middle of a character at the place where keys are cut.
        let cut = format!("{}é", "k".repeat(POSTGRES_KEY_HEAD_BYTES - 1));
        let noise: String = (0..7_000_u32).map(|n| char::from(b'a' + (n * n % 23) as u8)).collect();
        let mut keys = vec![
            long.clone(),
            format!("{long}a"),
            format!("{long}b"),
            format!("{long}{noise}"),
            format!("{long}{noise}z"),
            cut,
        ];
        keys.sort();
        store.write(keys.iter().map(|key| put(key, Expect::Absent)).collect()).await.unwrap();
        let found = async |scan| {
            let documents = store.scan("c", "p", scan).await.unwrap();
            documents.into_iter().map(|document| document.key).collect::<Vec<_>>()
        };
        assert_eq!(found(Scan::all()).await, keys);
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(found(Scan::all().after(key)).await, keys[n + 1..]);
            assert_eq!(found(Scan::all().reversed().after(key).limit(1)).await, keys[n.saturating_sub(1)..n]);
            assert_eq!(store.get("c", "p", key).await.unwrap().unwrap().key, *key);
            assert!(store.write(vec![put(key, Expect::Absent)]).await.unwrap_err().is_conflict());
        }
        store.delete(Key::new("c", "p", &keys[2]), Expect::Any).await.unwrap();
        assert_eq!(store.get("c", "p", &keys[2]).await.unwrap(), None);
        assert_eq!(found(Scan::all()).await.len(), keys.len() - 1);
        let partition = "p".repeat(POSTGRES_PARTITION_BYTES_MAX);
        let refused = store.put_json(Key::new("c", partition, "k"), &1, Expect::Any).await;
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    })
    .await;
}

/// Cuts every connection of a node again and again while it writes: what was acknowledged is there once, what was
/// refused is not there, and nothing is there in part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_loses_nothing_and_doubles_nothing() {
    const WRITERS: usize = 6;
    const EACH: usize = 20;
    const CUTS: usize = 15;
    let Some(url) = crate::testing::postgres_url().await else { return };
    let name = format!("cut-{}", std::process::id());
    let store = Arc::new(PostgresStore::connect(&format!("{url}&application_name={name}")).await.unwrap());
    let other = PostgresStore::connect(&url).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, done) = (Arc::clone(&store), Arc::clone(&done));
            tokio::spawn(async move {
                let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
                for n in 0.. {
                    if n >= EACH && done.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = format!("{writer}-{n}");
                    let commit = Commit {
                        executions: vec![(execution(&format!("p{writer}"), &id, n as u64), None)],
                        actions: vec![action(&id, &id, "A", 10)],
                        history: vec![entry("p", &id, EventState::Started), entry("p", &id, EventState::Succeeded)],
                        tasks_put: vec![task(&id, 10)],
                        documents: vec![put(&id, Expect::Absent)],
                        ..Commit::default()
                    };
                    match store.commit(commit).await {
                        Ok(_) => acknowledged.push(id),
                        // It was not done, so it is no conflict either.
                        Err(error) => {
                            assert!(!error.is_conflict(), "{id}: {error:?}");
                            refused.push(id);
                        }
                    }
                }
                (acknowledged, refused)
            })
        })
        .collect();
    let mut heard = other.subscribe();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1";
    let mut cuts = 0;
    for _ in 0..CUTS {
        let row = other.read_one(cut, &[&name]).await.unwrap().unwrap();
        cuts += usize::try_from(row.get::<_, i64>(0)).unwrap();
        // Until it writes again.
        let before = *heard.borrow_and_update();
        heard.wait_for(|version| *version > before).await.unwrap();
        assert!(!writers.iter().any(tokio::task::JoinHandle::is_finished));
    }
    done.store(true, Ordering::Relaxed);
    assert!(cuts >= CUTS);
    let mut expected = BTreeSet::new();
    for writer in writers {
        let (acknowledged, refused) = writer.await.unwrap();
        for id in refused {
            assert_eq!(other.execution(&id.as_str().into()).await.unwrap(), None, "{id} was refused and is there");
        }
        expected.extend(acknowledged);
    }
    let mut entries = Vec::new();
    loop {
        let page = other.history(&HistoryFilter::All, entries.len() as u64, 1_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        for entry in page {
            assert_eq!(entry.sequence, entries.len() as u64 + 1);
            entries.push(entry.execution.into_string());
        }
    }
    assert_eq!(entries.len(), 2 * expected.len());
    assert_eq!(entries.into_iter().collect::<BTreeSet<_>>(), expected);
    for id in &expected {
        assert!(other.execution(&id.as_str().into()).await.unwrap().is_some(), "{id}");
        assert!(other.action(&id.as_str().into(), &id.as_str().into()).await.unwrap().is_some(), "{id}");
        assert!(other.task(&id.as_str().into()).await.unwrap().is_some(), "{id}");
    }
    assert_eq!(other.task_count().await.unwrap(), expected.len());
    assert_eq!(other.scan("c", "p", Scan::all()).await.unwrap().len(), expected.len());
    // The listener has come back too.
    let mut heard = store.subscribe();
    let version = other.commit(Commit::default()).await.unwrap().version;
    heard.wait_for(|latest| *latest >= version).await.unwrap();
}
