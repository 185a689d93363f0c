//! Kills a process in the middle of its writes and reopens what it leaves: everything it was told is durable is there,
//! and no commit is there in part. The process is this test binary, run again for this one test, which then writes instead.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use towpath_model::history::EventState;

use super::SqliteStore;
use crate::contract::fixtures::{action, entry, execution, task};
use crate::documents::{Documents, Expect, Key, Scan, Write};
use crate::{Actions, Commit, Commits, Executions, History, HistoryFilter, StoreError, Tasks};

const TEST: &str = "sqlite::crash_tests::everything_acknowledged_survives_a_kill_and_nothing_is_there_in_part";
const DIRECTORY: &str = "TOWPATH_STORE_CRASH_TEST_DIRECTORY";
const ROUND: &str = "TOWPATH_STORE_CRASH_TEST_ROUND";
/// Writers at a time, so that commits are grouped.
const WRITERS: u64 = 6;
/// Large enough that the log is checkpointed while the process is killed.
const BODY_BYTES: usize = 20_000;
/// Far more than are acknowledged before the kill.
const COMMITS_PER_WRITER: u64 = 5_000;
/// After how many acknowledgements each round is killed.
const ROUNDS: [usize; 10] = [1, 2, 7, 20, 55, 120, 300, 3, 90, 400];

/// One row of each kind, tied together by the id.
fn commit(id: &str, sequence: u64) -> Commit {
    Commit {
        executions: vec![(execution("p", id, sequence), None)],
        actions: vec![action(id, id, "A", 10)],
        history: vec![entry("p", id, EventState::Started), entry("p", id, EventState::Succeeded)],
        tasks_put: vec![task(id, 10)],
        documents: vec![Write::Put {
            key: Key::new("c", "p", id),
            body: vec![b'x'; BODY_BYTES],
            expect: Expect::Absent,
        }],
        ..Commit::default()
    }
}

/// The process that is killed: writes and says what was acknowledged, without an end.
async fn write_until_killed(directory: &str, round: &str) {
    let round: u64 = round.parse().unwrap();
    let store = Arc::new(SqliteStore::open(Path::new(directory)).unwrap());
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..COMMITS_PER_WRITER {
                let id = format!("{round}-{writer}-{n}");
                let sequence = (round * WRITERS + writer) * COMMITS_PER_WRITER + n;
                store.commit(commit(&id, sequence)).await.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "\nacknowledged {id}").unwrap();
                out.flush().unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

/// Runs the child until it acknowledged so many commits, kills it, and answers what it acknowledged.
fn run_and_kill(directory: &Path, round: usize, acknowledgements: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut read = |acknowledged: &mut Vec<String>| match lines.next() {
        Some(Ok(line)) => {
            acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
            true
        }
        _ => false,
    };
    while acknowledged.len() < acknowledgements {
        assert!(read(&mut acknowledged), "the child ended by itself");
    }
    child.kill().unwrap();
    // What was in the pipe before the kill was acknowledged too. The kill may have cut the last line short.
    while read(&mut acknowledged) {}
    child.wait().unwrap();
    acknowledged.truncate(acknowledged.len() - 1);
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_survives_a_kill_and_nothing_is_there_in_part() {
    if let (Ok(directory), Ok(round)) = (std::env::var(DIRECTORY), std::env::var(ROUND)) {
        return write_until_killed(&directory, &round).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    let mut history_end = 0;
    for (round, acknowledgements) in ROUNDS.into_iter().enumerate() {
        acknowledged.extend(run_and_kill(directory.path(), round, acknowledgements + 1));
        let store = SqliteStore::open(directory.path()).unwrap();
        for id in &acknowledged {
            assert!(store.execution(&id.as_str().into()).await.unwrap().is_some(), "{id} was acknowledged and is lost");
        }
        history_end = whole(&store, history_end).await.unwrap();
    }
    assert!(acknowledged.len() >= ROUNDS.iter().sum::<usize>());
}

/// Checks that every commit that is there is there whole, and that history has neither gaps nor repetitions. Answers
/// where the history ends.
async fn whole(store: &SqliteStore, history_end_before: u64) -> Result<u64, StoreError> {
    let mut entries: BTreeMap<String, usize> = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = store.history(&HistoryFilter::All, after, 1_000).await?;
        for entry in &page {
            assert_eq!(entry.sequence, after + 1);
            after = entry.sequence;
            *entries.entry(entry.execution.to_string()).or_default() += 1;
        }
        if page.is_empty() {
            break;
        }
    }
    assert!(after > history_end_before);
    assert_eq!(store.history_end().await?, after);
    for (id, count) in &entries {
        assert_eq!(*count, 2, "{id}");
        assert!(store.execution(&id.as_str().into()).await?.is_some(), "{id}");
        assert!(store.action(&id.as_str().into(), &id.as_str().into()).await?.is_some(), "{id}");
        assert!(store.task(&id.as_str().into()).await?.is_some(), "{id}");
    }
    assert_eq!(store.task_count().await?, entries.len());
    assert_eq!(store.scan("c", "p", Scan::all()).await?.len(), entries.len());
    Ok(after)
}
