//! Decides over a group of commands which of them hold, against the rows that were read and locked for them, and what
//! the group writes in the end. No I/O. Each command is judged as if those before it were done, as they will be: in one
//! transaction.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use towpath_model::effect::Task;
use towpath_model::history::ActionRecord;
use towpath_model::state::{Execution, Gate};

use super::writer::Work;
use crate::StoreError;
use crate::commit::Commit;
use crate::documents::{Expect, Key, Write};
use crate::error::Row;
use crate::nodes::may_move;
use crate::prepared::{Prepared, PreparedExecution};

/// The version of a row: in the database, or given by an earlier command of this group, which nobody can expect yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Stored(u64),
    Ours,
}

impl Version {
    fn stored(self) -> Option<u64> {
        match self {
            Self::Stored(version) => Some(version),
            Self::Ours => None,
        }
    }
}

fn as_expected(found: Option<Version>, expected: Option<u64>) -> bool {
    match (found, expected) {
        (None, None) => true,
        (Some(found), Some(expected)) => found.stored() == Some(expected),
        _ => false,
    }
}

/// (account, region, name).
pub(super) type Name = (String, String, String);

/// What the database holds of the rows that the group names; and, while it is judged, what it will hold.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) gates: HashMap<String, (Version, Name)>,
    pub(super) names: HashMap<Name, String>,
    pub(super) definitions: HashSet<(String, u32)>,
    pub(super) executions: HashMap<String, KnownExecution>,
    pub(super) sequences: HashSet<(String, u64)>,
    pub(super) tokens: HashSet<(String, String)>,
    /// The owners of those that are there.
    pub(super) tasks: HashMap<String, Option<String>>,
    /// Only those that a command has an expectation of.
    pub(super) documents: HashMap<Key, Option<Version>>,
}

#[derive(Debug)]
pub(super) struct KnownExecution {
    pub(super) version: Version,
    pub(super) succeeded: String,
}

/// What is written of one key, by the last command that writes it.
#[derive(Debug)]
pub(super) struct Last<T> {
    /// Whether the database holds the row now.
    pub(super) stored: bool,
    pub(super) value: T,
}

#[derive(Debug)]
pub(super) struct DocumentWrite<'a> {
    /// None where nobody asked.
    pub(super) stored: Option<bool>,
    /// The body with its version's offset, or None to delete it.
    pub(super) value: Option<(&'a [u8], i64)>,
}

/// A gate with its body and its version's offset.
pub(super) type GateRow<'a> = (&'a Gate, &'a [u8], i64);

/// What the group writes, each row once. Offsets count the accepted commands, from 1.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    pub(super) accepted: i64,
    pub(super) entries: i64,
    pub(super) gates: BTreeMap<&'a str, Last<Option<GateRow<'a>>>>,
    pub(super) deleted_pipelines: Vec<&'a str>,
    pub(super) definitions: Vec<(&'a str, u32, &'a [u8])>,
    pub(super) executions: BTreeMap<&'a str, Last<(&'a Execution, &'a PreparedExecution, i64)>>,
    /// (pipeline, stage, number, sequence), true for those that are to be there.
    pub(super) successes: BTreeMap<(&'a str, String, u32, u64), bool>,
    pub(super) tokens: Vec<(&'a str, &'a str, &'a str)>,
    /// In the order in which they were first recorded.
    pub(super) records: Vec<(&'a ActionRecord, &'a [u8])>,
    record_places: HashMap<(&'a str, &'a str), usize>,
    pub(super) history: Vec<(&'a str, &'a str, &'a [u8])>,
    pub(super) tasks: BTreeMap<&'a str, Option<(&'a Task, &'a [u8])>>,
    pub(super) documents: BTreeMap<&'a Key, DocumentWrite<'a>>,
}

/// What an accepted command will be told, once the group's numbers are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offsets {
    pub(super) version: i64,
    /// Entries of the group before its own.
    pub(super) entries: i64,
}

/// One verdict per command, and all that the accepted ones write.
pub(super) fn judge<'a>(
    group: impl Iterator<Item = &'a Work>,
    mut known: Known,
) -> (Vec<Result<Offsets, StoreError>>, Batch<'a>) {
    let mut batch = Batch::default();
    let verdicts = group.map(|work| one(work, &mut known, &mut batch)).collect();
    (verdicts, batch)
}

fn one<'a>(work: &'a Work, known: &mut Known, batch: &mut Batch<'a>) -> Result<Offsets, StoreError> {
    match work {
        Work::Documents(writes) => known.check_documents(writes)?,
        Work::Commit(prepared) => known.check(&prepared.commit)?,
    }
    batch.accepted += 1;
    let offsets = Offsets { version: batch.accepted, entries: batch.entries };
    match work {
        Work::Documents(writes) => batch.put_documents(writes, known),
        Work::Commit(prepared) => batch.put(prepared, known),
    }
    Ok(offsets)
}

impl Known {
    fn check_documents(&self, writes: &[Write]) -> Result<(), StoreError> {
        for write in writes {
            let holds = match (write.expect(), self.documents.get(write.key()).copied().flatten()) {
                (Expect::Any, _) => true,
                (Expect::Absent, found) => found.is_none(),
                (Expect::Version(version), found) => as_expected(found, Some(version)),
            };
            if !holds {
                return Err(StoreError::conflict(Row::Document, &write.key().key));
            }
        }
        Ok(())
    }

    fn check(&self, commit: &Commit) -> Result<(), StoreError> {
        self.check_gates(commit)?;
        if let Some(definition) = &commit.definition
            && self.definitions.contains(&(definition.pipeline.to_string(), definition.version))
        {
            return Err(StoreError::conflict(Row::Definition, &definition.pipeline));
        }
        for (execution, expected) in &commit.executions {
            let found = self.executions.get(execution.id.as_str()).map(|found| found.version);
            let sequence_taken =
                expected.is_none() && self.sequences.contains(&(execution.pipeline.to_string(), execution.sequence));
            if !as_expected(found, *expected) || sequence_taken {
                return Err(StoreError::conflict(Row::Execution, &execution.id));
            }
        }
        if let Some(token) = &commit.request_token
            && self.tokens.contains(&(token.pipeline.to_string(), token.token.clone()))
        {
            return Err(StoreError::conflict(Row::RequestToken, &token.token));
        }
        for task in &commit.tasks_moved {
            let stored = self.tasks.get(task.id.as_str());
            if !stored.is_some_and(|owner| may_move(owner.as_deref(), task.owner.as_deref())) {
                return Err(StoreError::conflict(Row::Task, &task.id));
            }
        }
        self.check_documents(&commit.documents)
    }

    fn check_gates(&self, commit: &Commit) -> Result<(), StoreError> {
        let version = |pipeline: &str| self.gates.get(pipeline).map(|(version, _)| *version);
        if let Some((gate, expected)) = &commit.gate {
            if !as_expected(version(&gate.pipeline), *expected) {
                return Err(StoreError::conflict(Row::Gate, &gate.pipeline));
            }
            if expected.is_none() {
                let holder = self.names.get(&name(gate)).map(String::as_str);
                let freed = commit.delete_gate.as_ref().map(|(pipeline, _)| pipeline.as_str());
                if holder.is_some() && holder != freed {
                    return Err(StoreError::conflict(Row::PipelineName, &gate.name));
                }
            }
        }
        match &commit.delete_gate {
            Some((pipeline, expected)) if !as_expected(version(pipeline), Some(*expected)) => {
                Err(StoreError::conflict(Row::Gate, pipeline))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn name(gate: &Gate) -> Name {
    (gate.scope.account.clone(), gate.scope.region.clone(), gate.name.to_string())
}

impl<'a> Batch<'a> {
    fn put_documents(&mut self, writes: &'a [Write], known: &mut Known) {
        for write in writes {
            let value = match write {
                Write::Put { body, .. } => Some((body.as_slice(), self.accepted)),
                Write::Delete { .. } => None,
            };
            let found = known.documents.get_mut(write.key());
            match self.documents.entry(write.key()) {
                Entry::Occupied(mut entry) => entry.get_mut().value = value,
                Entry::Vacant(entry) => {
                    entry.insert(DocumentWrite { stored: found.as_deref().map(Option::is_some), value });
                }
            }
            if let Some(found) = found {
                *found = value.map(|_| Version::Ours);
            }
        }
    }

    fn put(&mut self, prepared: &'a Prepared, known: &mut Known) {
        let commit = &prepared.commit;
        self.put_gates(prepared, known);
        if let (Some(definition), Some(body)) = (&commit.definition, &prepared.definition) {
            known.definitions.insert((definition.pipeline.to_string(), definition.version));
            self.definitions.push((&definition.pipeline, definition.version, body));
        }
        for ((execution, _), encoded) in commit.executions.iter().zip(&prepared.executions) {
            self.put_execution(execution, encoded, known);
        }
        for (record, body) in commit.actions.iter().zip(&prepared.actions) {
            let place =
                *self.record_places.entry((&record.execution, &record.attempt.id)).or_insert(self.records.len());
            match self.records.get_mut(place) {
                Some(row) => *row = (record, body),
                None => self.records.push((record, body)),
            }
        }
        for (entry, body) in commit.history.iter().zip(&prepared.history) {
            self.history.push((&entry.pipeline, &entry.execution, body));
            self.entries += 1;
        }
        let put = commit.tasks_put.iter().zip(&prepared.tasks_put);
        let moved = commit.tasks_moved.iter().zip(&prepared.tasks_moved);
        for (task, body) in put.chain(moved) {
            known.tasks.insert(task.id.to_string(), task.owner.clone());
            self.tasks.insert(&task.id, Some((task, body)));
        }
        for task in &commit.tasks_done {
            known.tasks.remove(task.as_str());
            self.tasks.insert(task, None);
        }
        if let Some(token) = &commit.request_token {
            known.tokens.insert((token.pipeline.to_string(), token.token.clone()));
            self.tokens.push((&token.pipeline, &token.token, &token.execution));
        }
        self.put_documents(&commit.documents, known);
    }

    fn put_gates(&mut self, prepared: &'a Prepared, known: &mut Known) {
        if let Some((pipeline, _)) = &prepared.commit.delete_gate {
            let before = known.gates.remove(pipeline.as_str());
            let stored = before.as_ref().is_some_and(|(version, _)| version.stored().is_some());
            self.gates.entry(pipeline).or_insert(Last { stored, value: None }).value = None;
            if let Some((_, name)) = before {
                known.names.remove(&name);
            }
            self.deleted_pipelines.push(pipeline);
        }
        if let (Some((gate, _)), Some(body)) = (&prepared.commit.gate, &prepared.gate) {
            let before = known.gates.insert(gate.pipeline.to_string(), (Version::Ours, name(gate)));
            let stored = before.is_some_and(|(version, _)| version.stored().is_some());
            let value = Some((gate, body.as_slice(), self.accepted));
            self.gates.entry(&gate.pipeline).or_insert(Last { stored, value: None }).value = value;
            known.names.insert(name(gate), gate.pipeline.to_string());
        }
    }

    fn put_execution(&mut self, execution: &'a Execution, encoded: &'a PreparedExecution, known: &mut Known) {
        let now = KnownExecution { version: Version::Ours, succeeded: encoded.succeeded.clone() };
        let before = known.executions.insert(execution.id.to_string(), now);
        known.sequences.insert((execution.pipeline.to_string(), execution.sequence));
        let stored = before.as_ref().is_some_and(|before| before.version.stored().is_some());
        let value = (execution, encoded, self.accepted);
        match self.executions.entry(&execution.id) {
            Entry::Occupied(mut entry) => entry.get_mut().value = value,
            Entry::Vacant(entry) => {
                entry.insert(Last { stored, value });
            }
        }
        let before = before.map(|before| before.succeeded).unwrap_or_default();
        let changes = [(&before, &encoded.succeeded, false), (&encoded.succeeded, &before, true)];
        for (in_one, not_in_other, there) in changes {
            for stage in in_one.lines().filter(|stage| not_in_other.lines().all(|other| other != *stage)) {
                let key =
                    (execution.pipeline.as_str(), stage.to_owned(), execution.pipeline_version, execution.sequence);
                self.successes.insert(key, there);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use towpath_model::history::EventState;

    use super::*;
    use crate::commit::{Commits, RequestToken};
    use crate::contract::fixtures::{definition, entry, execution, gate, task};
    use crate::documents::Documents;
    use crate::{Committed, MemoryStore};

    fn token() -> RequestToken {
        RequestToken { pipeline: "p".into(), token: "once".to_owned(), execution: "e1".into() }
    }

    fn owned(owner: &str) -> Task {
        Task { owner: Some(owner.to_owned()), ..task("t1", 10) }
    }

    fn put(key: &str, expect: Expect) -> Write {
        Write::Put { key: Key::new("c", "p", key), body: b"1".to_vec(), expect }
    }

    /// Each depends on some before it, which is not in the database yet when it is judged.
    fn commands() -> Vec<Commit> {
        let empty = Commit::default;
        let created = |pipeline: &str| Commit { gate: Some((gate(pipeline, "app"), None)), ..empty() };
        let documents = |documents: Vec<Write>| Commit { documents, ..empty() };
        let history = |n: usize| vec![entry("p", "e1", EventState::Started); n];
        vec![
            Commit {
                definition: Some(definition("p", 1)),
                executions: vec![(execution("p", "e1", 1), None)],
                history: history(2),
                tasks_put: vec![owned("a")],
                request_token: Some(token()),
                documents: vec![put("k", Expect::Absent)],
                ..created("p")
            },
            created("p"),
            created("q"),
            Commit { definition: Some(definition("p", 1)), ..empty() },
            Commit { executions: vec![(execution("p", "e1", 2), None)], ..empty() },
            Commit { executions: vec![(execution("p", "e2", 1), None)], ..empty() },
            Commit { executions: vec![(execution("p", "e2", 2), None)], history: history(1), ..empty() },
            Commit { executions: vec![(execution("p", "e2", 2), Some(999))], ..empty() },
            Commit { request_token: Some(token()), ..empty() },
            Commit { tasks_moved: vec![owned("b")], history: history(3), ..empty() },
            Commit { tasks_moved: vec![owned("a")], history: history(1), ..empty() },
            Commit { tasks_done: vec!["t1".into()], ..empty() },
            Commit { tasks_moved: vec![owned("a")], ..empty() },
            documents(vec![put("k", Expect::Absent)]),
            documents(vec![put("k", Expect::Version(999))]),
            documents(vec![put("k", Expect::Any), put("other", Expect::Absent)]),
            documents(vec![Write::delete(Key::new("c", "p", "k"), Expect::Any)]),
            documents(vec![put("k", Expect::Absent)]),
            Commit { delete_gate: Some(("p".into(), 999)), ..empty() },
            Commit { history: history(1), ..empty() },
        ]
    }

    #[tokio::test]
    async fn a_group_is_judged_like_its_commands_one_after_another() {
        let memory = MemoryStore::new();
        let works: Vec<_> =
            commands().into_iter().map(|commit| Work::Commit(Box::new(Prepared::new(commit).unwrap()))).collect();
        let mut known = Known::default();
        for key in ["k", "other"] {
            known.documents.insert(Key::new("c", "p", key), None);
        }
        let (verdicts, batch) = judge(works.iter(), known);
        let mut refused = 0;
        for (n, (commit, verdict)) in commands().into_iter().zip(verdicts).enumerate() {
            match (memory.commit(commit).await, verdict) {
                (Ok(Committed { version, first_history_sequence }), Ok(offsets)) => {
                    let numbers = (offsets.version.unsigned_abs(), offsets.entries.unsigned_abs() + 1);
                    assert_eq!((version, first_history_sequence), numbers, "command {n}");
                }
                (Err(expected), Err(found)) => {
                    assert_eq!(expected.to_string(), found.to_string(), "command {n}");
                    refused += 1;
                }
                (expected, found) => panic!("command {n}: {expected:?}, {found:?}"),
            }
        }
        assert_eq!(refused, 12);
        // What is written in the end is what is there in the end.
        assert_eq!(batch.tasks.get("t1").map(Option::is_some), Some(false));
        for key in ["k", "other"] {
            let there = memory.get("c", "p", key).await.unwrap().map(|document| document.version);
            let written = batch.documents[&Key::new("c", "p", key)].value.map(|(_, version)| version.unsigned_abs());
            assert_eq!(there, written, "{key}");
        }
    }
}
