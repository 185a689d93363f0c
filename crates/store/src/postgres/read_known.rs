//! First round trip of a group: begins the transaction, and reads and locks the rows its commands name.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use towpath_model::state::Gate;

use super::errors::Failure;
use super::judge::{Known, KnownExecution, Version};
use super::keys::{KeyColumns, joined, text};
use super::session::{Session, Step};
use super::writer::Work;
use crate::StoreError;
use crate::documents::{Expect, Key, Write};
use crate::stored::to_u64;

/// What the commands of a group name, as columns of parameters. Everything once, and in one order,
/// in which the rows are locked.
#[derive(Default)]
struct Wanted<'a> {
    gates: BTreeSet<&'a str>,
    names: BTreeSet<(&'a str, &'a str, &'a str)>,
    definitions: BTreeSet<(&'a str, i64)>,
    executions: BTreeSet<&'a str>,
    sequences: BTreeSet<(&'a str, i64)>,
    tokens: BTreeSet<(&'a str, &'a str)>,
    tasks: BTreeSet<&'a str>,
    documents: BTreeSet<&'a Key>,
}

impl<'a> Wanted<'a> {
    fn of(group: impl Iterator<Item = &'a Work>) -> Self {
        let mut wanted = Self::default();
        for work in group {
            match work {
                Work::Documents(writes) => wanted.documents(writes),
                Work::Commit(prepared) => {
                    let commit = &prepared.commit;
                    if let Some((gate, expected)) = &commit.gate {
                        wanted.gate(gate, expected.is_none());
                    }
                    wanted.gates.extend(commit.delete_gate.as_ref().map(|(pipeline, _)| pipeline.as_str()));
                    wanted
                        .definitions
                        .extend(commit.definition.as_ref().map(|d| (d.pipeline.as_str(), i64::from(d.version))));
                    for (execution, expected) in &commit.executions {
                        wanted.executions.insert(&execution.id);
                        if expected.is_none() {
                            let sequence = i64::try_from(execution.sequence).unwrap_or(i64::MAX);
                            wanted.sequences.insert((&execution.pipeline, sequence));
                        }
                    }
                    let token = commit.request_token.as_ref();
                    wanted.tokens.extend(token.map(|token| (token.pipeline.as_str(), token.token.as_str())));
                    wanted.tasks.extend(commit.tasks_moved.iter().map(|task| task.id.as_str()));
                    wanted.documents(&commit.documents);
                }
            }
        }
        wanted
    }

    fn gate(&mut self, gate: &'a Gate, is_new: bool) {
        self.gates.insert(&gate.pipeline);
        if is_new {
            self.names.insert((&gate.scope.account, &gate.scope.region, &gate.name));
        }
    }

    fn documents(&mut self, writes: &'a [Write]) {
        let expecting = writes.iter().filter(|write| write.expect() != Expect::Any);
        self.documents.extend(expecting.map(Write::key));
    }
}

fn column<T, U>(rows: &BTreeSet<T>, part: impl Fn(&T) -> U) -> Vec<U> {
    rows.iter().map(part).collect()
}

/// Begins the transaction and reads. None: the database has forgotten this writer.
pub(super) async fn read_known<'a>(
    session: &Session,
    writer: i64,
    group: impl Iterator<Item = &'a Work>,
) -> Result<Option<Known>, Failure> {
    let wanted = Wanted::of(group);
    let gates = column(&wanted.gates, |gate| *gate);
    let names = (
        column(&wanted.names, |name| name.0),
        column(&wanted.names, |name| name.1),
        column(&wanted.names, |name| name.2),
    );
    let definitions = (column(&wanted.definitions, |key| key.0), column(&wanted.definitions, |key| key.1));
    let executions = column(&wanted.executions, |id| *id);
    let sequences = (column(&wanted.sequences, |key| key.0), column(&wanted.sequences, |key| key.1));
    let tokens = (column(&wanted.tokens, |key| key.0), column(&wanted.tokens, |key| key.1));
    let tasks = column(&wanted.tasks, |id| *id);
    let mut documents = KeyColumns::default();
    for key in &wanted.documents {
        documents.push(key);
    }

    let statements = &session.statements;
    let mut steps = vec![
        Step { statement: &statements.begin, parameters: Vec::new() },
        Step { statement: &statements.lock_writer, parameters: vec![&writer] },
    ];
    let reads: [(Read, _, _, Vec<&(dyn ToSql + Sync)>); 8] = [
        (Read::Gates, gates.is_empty(), &statements.read_gates, vec![&gates]),
        (Read::Names, names.0.is_empty(), &statements.read_names, vec![&names.0, &names.1, &names.2]),
        (
            Read::Definitions,
            definitions.0.is_empty(),
            &statements.read_definitions,
            vec![&definitions.0, &definitions.1],
        ),
        (Read::Executions, executions.is_empty(), &statements.read_executions, vec![&executions]),
        (Read::Sequences, sequences.0.is_empty(), &statements.read_sequences, vec![&sequences.0, &sequences.1]),
        (Read::Tokens, tokens.0.is_empty(), &statements.read_tokens, vec![&tokens.0, &tokens.1]),
        (Read::Tasks, tasks.is_empty(), &statements.read_tasks, vec![&tasks]),
        (
            Read::Documents,
            documents.is_empty(),
            &statements.read_documents,
            vec![&documents.collections, &documents.partitions, &documents.heads, &documents.tail_hashes],
        ),
    ];
    let mut asked = Vec::with_capacity(reads.len());
    for (read, empty, statement, parameters) in reads {
        if !empty {
            asked.push(read);
            steps.push(Step { statement, parameters });
        }
    }
    let mut answers = session.run(&steps).await?.into_iter().skip(1);
    if answers.next().is_none_or(|writer| writer.is_empty()) {
        return Ok(None);
    }
    let mut known = Known::default();
    known.documents.extend(wanted.documents.iter().map(|key| ((*key).clone(), None)));
    for (read, rows) in asked.into_iter().zip(answers) {
        for row in rows {
            read.take(&row, &mut known)?;
        }
    }
    Ok(Some(known))
}

/// What a statement reads.
#[derive(Clone, Copy)]
enum Read {
    Gates,
    Names,
    Definitions,
    Executions,
    Sequences,
    Tokens,
    Tasks,
    Documents,
}

impl Read {
    /// Puts one row into what is known.
    fn take(self, row: &Row, known: &mut Known) -> Result<(), StoreError> {
        let version = |column: usize| Version::Stored(to_u64(row.get(column)));
        match self {
            Self::Gates => {
                known.gates.insert(row.get(0), (version(1), (row.get(2), row.get(3), row.get(4))));
            }
            Self::Names => {
                known.names.insert((row.get(0), row.get(1), row.get(2)), row.get(3));
            }
            Self::Definitions => {
                let number: i64 = row.get(1);
                known.definitions.insert((row.get(0), u32::try_from(number).unwrap_or(u32::MAX)));
            }
            Self::Executions => {
                let execution = KnownExecution { version: version(1), succeeded: row.get(2) };
                known.executions.insert(row.get(0), execution);
            }
            Self::Sequences => {
                known.sequences.insert((row.get(0), to_u64(row.get(1))));
            }
            Self::Tokens => {
                known.tokens.insert((row.get(0), row.get(1)));
            }
            Self::Tasks => {
                known.tasks.insert(row.get(0), row.get(1));
            }
            Self::Documents => {
                let (collection, partition) = (text(row.get(0))?, text(row.get(1))?);
                let key = Key { collection, partition, key: joined(row.get(2), row.get(3))? };
                known.documents.insert(key, Some(version(4)));
            }
        }
        Ok(())
    }
}
