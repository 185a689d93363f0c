//! The contract on SQLite, and what only a file can show: reopening, locking, refusing, filling up, grouping.

use std::error::Error as _;
use std::path::Path;
use std::task::{Context, Waker};

use towpath_model::effect::Task;
use towpath_model::history::EventState;
use towpath_model::state::{Execution, ExecutionStatus};
use towpath_model::time::Timestamp;

use super::{FILE, SqliteOptions, SqliteStore};
use crate::contract::fixtures::{definition, entry, execution, gate, task};
use crate::documents::{Documents, DocumentsExt, Expect, Key, Scan, Write};
use crate::{Commit, Commits, Executions, Nodes, Pipelines, Retention, StoreError, Tasks, Versioned, stored};

async fn with_store<F: AsyncFnOnce(&SqliteStore)>(test: F) {
    let directory = tempfile::tempdir().unwrap();
    test(&SqliteStore::open(directory.path()).unwrap()).await;
}

crate::contract::tests!(with_store);

/// The contract again with every read from the database.
mod uncached {
    use super::{SqliteOptions, SqliteStore};

    async fn with_store<F: AsyncFnOnce(&SqliteStore)>(test: F) {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteOptions { uncached: true, ..SqliteOptions::default() };
        test(&SqliteStore::open_with(directory.path(), &options).unwrap()).await;
    }

    crate::contract::tests!(with_store);
}

fn put(key: &str, bytes: usize) -> Write {
    Write::Put { key: Key::new("c", "p", key), body: vec![b'x'; bytes], expect: Expect::Any }
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening_and_versions_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let first = store.put_json(Key::new("c", "p", "a"), &1, Expect::Absent).await.unwrap();
    drop(store);
    let store = SqliteStore::open(directory.path()).unwrap();
    let found = store.get_json::<u32>("c", "p", "a").await.unwrap().unwrap();
    assert_eq!((found.value, found.version), (1, first));
    let second = store.put_json(Key::new("c", "p", "a"), &2, Expect::Version(first)).await.unwrap();
    assert!(second > first);
}

#[tokio::test]
async fn versions_do_not_come_back_after_deleting_everything_and_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let first = store.put_json(Key::new("c", "p", "a"), &1, Expect::Absent).await.unwrap();
    store.delete(Key::new("c", "p", "a"), Expect::Version(first)).await.unwrap();
    drop(store);
    let store = SqliteStore::open(directory.path()).unwrap();
    assert!(store.put_json(Key::new("c", "p", "a"), &1, Expect::Absent).await.unwrap() > first);
}

#[tokio::test]
async fn pipeline_state_is_there_after_reopening_and_history_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let started = || vec![entry("p", "e1", EventState::Started)];
    let commit = Commit {
        gate: Some((gate("p", "app"), None)),
        executions: vec![(execution("p", "e1", 1), None)],
        history: started(),
        tasks_put: vec![task("a1", 10)],
        ..Commit::default()
    };
    let first = store.commit(commit).await.unwrap();
    drop(store);
    let store = SqliteStore::open(directory.path()).unwrap();
    let loaded = store.load(&"p".into(), &["e1".into()]).await.unwrap();
    assert_eq!(loaded.gate, Some(Versioned { value: gate("p", "app"), version: first.version }));
    assert_eq!(loaded.executions, [Some(Versioned { value: execution("p", "e1", 1), version: first.version })]);
    assert_eq!(store.tasks(None, 10).await.unwrap(), [task("a1", 10)]);
    let second = store.commit(Commit { history: started(), ..Commit::default() }).await.unwrap();
    assert_eq!((first.first_history_sequence, second.first_history_sequence), (1, 2));
}

#[tokio::test]
async fn closing_leaves_one_file_without_a_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    store.write(vec![put("a", 10)]).await.unwrap();
    store.scan("c", "p", Scan::all()).await.unwrap();
    drop(store);
    let mut files: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["lock", FILE]);
}

#[tokio::test]
async fn a_body_of_a_later_format_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    store.commit(Commit { gate: Some((gate("p", "app"), None)), ..Commit::default() }).await.unwrap();
    drop(store);
    tamper(directory.path(), r#"UPDATE gates SET body = CAST('{"format":2,"value":{"new":1}}' AS BLOB)"#);
    let store = SqliteStore::open(directory.path()).unwrap();
    let error = store.gate(&"p".into()).await.unwrap_err();
    assert!(error.to_string().contains("a stored gate cannot be read: it has format 2"), "{error}");
}

#[tokio::test]
async fn a_database_of_the_first_schema_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    tamper(
        directory.path(),
        &format!(
            "{} INSERT INTO documents (collection, partition, key, version, body) VALUES ('c', 'p', 'old', 5, x'31'); \
             UPDATE counters SET version = 5; PRAGMA application_id = 0x54575054; PRAGMA user_version = 1;",
            include_str!("schema/0001_documents.sql")
        ),
    );
    let store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(store.get_json::<u32>("c", "p", "old").await.unwrap(), Some(Versioned { value: 1, version: 5 }));
    let commit = Commit { gate: Some((gate("p", "app"), None)), ..Commit::default() };
    assert_eq!(store.commit(commit).await.unwrap().version, 6);
}

/// What the second schema did not know is found out from what it had.
#[tokio::test]
async fn a_database_of_the_second_schema_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let body = |value: &str| format!("CAST('{}' AS BLOB)", value.replace('\'', "''"));
    let execution_body = |id: &str, status: ExecutionStatus, updated: i64| {
        let value = Execution { status, updated: Timestamp(updated), ..execution("gone", id, 1) };
        body(&String::from_utf8(stored::encode("execution", &value).unwrap()).unwrap())
    };
    let definition = body(&String::from_utf8(stored::encode("definition", &definition("gone", 1)).unwrap()).unwrap());
    tamper(
        directory.path(),
        &format!(
            "{} {} INSERT INTO ids (id, text) VALUES (1, 'gone'), (2, 'old'), (3, 'runs'); \
             INSERT INTO definitions (pipeline, number, body) VALUES (1, 1, {definition}); \
             INSERT INTO executions (execution, pipeline, sequence, status, version, succeeded, body) VALUES \
             (2, 1, 1, 'Failed', 1, '', {}), (3, 1, 2, 'InProgress', 1, '', {}); \
             INSERT INTO request_tokens (pipeline, token, execution) VALUES (1, 't', 'old'); \
             PRAGMA application_id = 0x54575054; PRAGMA user_version = 2;",
            include_str!("schema/0001_documents.sql"),
            include_str!("schema/0002_pipelines.sql"),
            execution_body("old", ExecutionStatus::Failed, 70),
            execution_body("runs", ExecutionStatus::InProgress, 5),
        ),
    );
    let store = SqliteStore::open(directory.path()).unwrap();
    let (pipeline, old, runs) = ("gone".into(), "old".into(), "runs".into());
    assert_eq!(store.prune(Timestamp(70), 10).await.unwrap(), 0);
    assert_eq!(store.prune(Timestamp(71), 10).await.unwrap(), 1);
    assert_eq!(store.execution(&old).await.unwrap(), None);
    assert_eq!(store.execution_of_token(&pipeline, "t").await.unwrap(), None);
    let found = store.execution(&runs).await.unwrap().unwrap();
    assert!(store.definition(&pipeline, 1).await.unwrap().is_some());
    let mut ended = found.value;
    ended.status = ExecutionStatus::Cancelled;
    let commit = Commit { executions: vec![(ended, Some(found.version))], ..Commit::default() };
    store.commit(commit).await.unwrap();
    assert_eq!(store.prune(Timestamp(71), 10).await.unwrap(), 1);
    assert_eq!(store.definition(&pipeline, 1).await.unwrap(), None);
}

#[tokio::test]
async fn the_tasks_of_the_process_before_are_orphans() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let now = Timestamp(10);
    store.heartbeat("before", now, Timestamp(1_000)).await.unwrap();
    assert_eq!(store.claim_orphans("before", now, 10).await.unwrap(), []);
    let owned = Task { owner: Some("before".to_owned()), ..task("a1", 10) };
    store.commit(Commit { tasks_put: vec![owned], ..Commit::default() }).await.unwrap();
    drop(store);
    let store = SqliteStore::open(directory.path()).unwrap();
    store.heartbeat("after", now, Timestamp(1_000)).await.unwrap();
    let claimed = store.claim_orphans("after", now, 10).await.unwrap();
    assert_eq!(claimed, [Task { owner: Some("after".to_owned()), ..task("a1", 10) }]);
}

#[test]
fn a_second_process_is_told_who_holds_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let held = SqliteStore::open(directory.path()).unwrap();
    let error = SqliteStore::open(directory.path()).unwrap_err();
    let StoreError::DirectoryInUse { path, holder } = &error else { panic!("{error:?}") };
    assert_eq!(path, directory.path());
    assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
    assert!(error.to_string().contains("stop it, or choose another --data-dir"), "{error}");
    drop(held);
    SqliteStore::open(directory.path()).unwrap();
}

fn tamper(directory: &Path, sql: &str) {
    rusqlite::Connection::open(directory.join(FILE)).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(directory.path()).unwrap());
    tamper(directory.path(), "PRAGMA user_version = 999");
    let error = SqliteStore::open(directory.path()).unwrap_err();
    assert!(matches!(&error, StoreError::NewerSchema { found: 999, supported, .. } if *supported < 999), "{error:?}");
    assert!(error.to_string().contains("data directory of a newer version"), "{error}");
    // Refusing must not have touched it: the newer version can still open it.
    let connection = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 999);
}

#[test]
fn a_strangers_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    tamper(directory.path(), "CREATE TABLE theirs (a)");
    let error = SqliteStore::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("it is not a Towpath database"), "{error}");
    std::fs::write(directory.path().join(FILE), "this is not SQLite at all, and long enough to be looked at").unwrap();
    let error = SqliteStore::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = SqliteStore::open(&file.join("data")).unwrap_err();
    assert!(error.to_string().starts_with("could not make the data directory"), "{error}");
    assert!(error.source().is_some());
}

#[tokio::test]
async fn a_full_disk_is_named_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { pages_max: Some(64), ..SqliteOptions::default() };
    let store = SqliteStore::open_with(directory.path(), &options).unwrap();
    store.write(vec![put("small", 100)]).await.unwrap();
    let error = store.write(vec![put("also", 1), put("large", 1_000_000)]).await.unwrap_err();
    assert!(matches!(&error, StoreError::DiskFull { path } if *path == directory.path().join(FILE)), "{error:?}");
    assert!(error.to_string().contains("nothing is lost; free some space"), "{error}");
    // The store goes on, with what fits, and nothing of the refused command is there.
    store.write(vec![put("next", 100)]).await.unwrap();
    drop(store);
    let store = SqliteStore::open(directory.path()).unwrap();
    let keys: Vec<_> = store.scan("c", "p", Scan::all()).await.unwrap().into_iter().map(|d| d.key).collect();
    assert_eq!(keys, ["next", "small"]);
    store.write(vec![put("large", 1_000_000)]).await.unwrap();
}

/// While the writer is held up, everything that arrives waits, and is then committed together. Counted, not timed: the
/// writer took between one and all of the commands before it had to wait, and the rest at once.
#[tokio::test]
async fn concurrent_commands_share_a_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let mut writes: Vec<_> = (0..100).map(|n| store.write(vec![put(&format!("k{n}"), 10)])).collect();
    let held = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    // One poll queues a command.
    let mut context = Context::from_waker(Waker::noop());
    for write in &mut writes {
        assert!(write.as_mut().poll(&mut context).is_pending());
    }
    held.execute_batch("ROLLBACK").unwrap();
    for write in writes {
        write.await.unwrap();
    }
    let counters = store.write_counters();
    assert_eq!(counters.commands, 100);
    assert!(counters.transactions <= 2, "{counters:?}");
    assert_eq!(store.scan("c", "p", Scan::all()).await.unwrap().len(), 100);
}

#[tokio::test]
async fn a_cancelled_caller_takes_nobody_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let mut cancelled = store.write(vec![put("a", 1)]);
    let _ = cancelled.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(cancelled);
    store.write(vec![put("b", 1)]).await.unwrap();
    // Queued is as good as written: the queue keeps its order.
    assert_eq!(store.scan("c", "p", Scan::all()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_command_too_large_for_the_disk_spares_its_neighbours() {
    let directory = tempfile::tempdir().unwrap();
    let store =
        SqliteStore::open_with(directory.path(), &SqliteOptions { pages_max: Some(64), ..SqliteOptions::default() })
            .unwrap();
    let (before, large, after) = tokio::join!(
        store.write(vec![put("a", 1)]),
        store.write(vec![put("b", 1_000_000)]),
        store.write(vec![put("c", 1)])
    );
    before.unwrap();
    assert!(matches!(large, Err(StoreError::DiskFull { .. })));
    after.unwrap();
    assert_eq!(store.scan("c", "p", Scan::all()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_log_is_moved_into_the_database_as_it_grows() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    for n in 0..800 {
        store.write(vec![put(&format!("k{n}"), 150_000)]).await.unwrap();
    }
    let wal = std::fs::metadata(directory.path().join("state.db-wal")).unwrap().len();
    // 120 MB were written; the log starts over past 8,000 pages of 8 KiB (with one command's overshoot).
    assert!(wal < 80_000_000, "{wal}");
    assert_eq!(store.scan("c", "p", Scan::all().limit(1_000)).await.unwrap().len(), 800);
}
