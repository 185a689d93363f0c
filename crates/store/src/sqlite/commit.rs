//! One [`Commit`] as rows. Bodies are encoded on the caller's thread; the writer's thread first checks every
//! expectation, writing nothing, and then writes unconditionally.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use towpath_model::state::{Execution, StageStatus};

use super::SqliteStore;
use super::documents;
use super::errors::{to_i64, to_u64};
use super::writer::{Numbers, Work};
use crate::commit::{Commit, Commits, Committed};
use crate::error::Row;
use crate::{StoreError, stored};

/// A commit with its bodies encoded.
#[derive(Debug)]
pub(super) struct Prepared {
    commit: Commit,
    gate: Option<Vec<u8>>,
    definition: Option<Vec<u8>>,
    executions: Vec<PreparedExecution>,
    actions: Vec<Vec<u8>>,
    history: Vec<Vec<u8>>,
    tasks_put: Vec<Vec<u8>>,
    tasks_moved: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct PreparedExecution {
    body: Vec<u8>,
    succeeded: String,
}

impl Prepared {
    fn new(commit: Commit) -> Result<Self, StoreError> {
        fn all<T: serde::Serialize>(what: &'static str, values: &[T]) -> Result<Vec<Vec<u8>>, StoreError> {
            values.iter().map(|value| stored::encode(what, value)).collect()
        }
        commit.check_limits()?;
        Ok(Self {
            gate: commit.gate.as_ref().map(|(gate, _)| stored::encode("gate", gate)).transpose()?,
            definition: commit.definition.as_ref().map(|value| stored::encode("definition", value)).transpose()?,
            executions: commit
                .executions
                .iter()
                .map(|(execution, _)| {
                    let body = stored::encode("execution", execution)?;
                    Ok(PreparedExecution { body, succeeded: succeeded(execution) })
                })
                .collect::<Result<_, StoreError>>()?,
            actions: all("action execution", &commit.actions)?,
            history: all("history entry", &commit.history)?,
            tasks_put: all("task", &commit.tasks_put)?,
            tasks_moved: all("task", &commit.tasks_moved)?,
            commit,
        })
    }

    /// Once written, its rows can be taken out of it.
    pub(super) fn commit_mut(&mut self) -> &mut Commit {
        &mut self.commit
    }

    pub(super) fn history_len(&self) -> u64 {
        self.history.len() as u64
    }
}

/// The stages whose run stands at Succeeded, each on a line. Names have no line breaks.
fn succeeded(execution: &Execution) -> String {
    let mut lines = String::new();
    for run in execution.stages.iter().filter(|run| run.status == StageStatus::Succeeded) {
        lines.push_str(&run.name);
        lines.push('\n');
    }
    lines
}

/// What the check found that the writing needs.
pub(super) struct Checked {
    /// Per execution, the stored `succeeded` where the row exists.
    succeeded_before: Vec<Option<String>>,
}

/// Judges every expectation and writes nothing. The inner error is the conflict.
pub(super) fn check(connection: &Connection, prepared: &Prepared) -> rusqlite::Result<Result<Checked, StoreError>> {
    let commit = &prepared.commit;
    let conflict = |row, key: &str| Ok(Err(StoreError::conflict(row, key)));

    let gate_version = |pipeline: &str| -> rusqlite::Result<Option<u64>> {
        let version: Option<i64> = connection
            .prepare_cached("SELECT version FROM gates WHERE pipeline = ?1")?
            .query_row((pipeline,), |row| row.get(0))
            .optional()?;
        Ok(version.map(to_u64))
    };
    if let Some((gate, expected)) = &commit.gate {
        if gate_version(&gate.pipeline)? != *expected {
            return conflict(Row::Gate, &gate.pipeline);
        }
        if expected.is_none() {
            let holder: Option<String> = connection
                .prepare_cached("SELECT pipeline FROM gates WHERE account = ?1 AND region = ?2 AND name = ?3")?
                .query_row((&gate.scope.account, &gate.scope.region, gate.name.as_str()), |row| row.get(0))
                .optional()?;
            let freed = commit.delete_gate.as_ref().map(|(pipeline, _)| pipeline.as_str());
            if holder.is_some() && holder.as_deref() != freed {
                return conflict(Row::PipelineName, &gate.name);
            }
        }
    }
    if let Some((pipeline, expected)) = &commit.delete_gate
        && gate_version(pipeline)? != Some(*expected)
    {
        return conflict(Row::Gate, pipeline);
    }
    if let Some(definition) = &commit.definition {
        let taken = connection
            .prepare_cached("SELECT 1 FROM definitions WHERE pipeline = ?1 AND number = ?2")?
            .exists((definition.pipeline.as_str(), definition.version))?;
        if taken {
            return conflict(Row::Definition, &definition.pipeline);
        }
    }
    let mut succeeded_before = Vec::with_capacity(commit.executions.len());
    for (execution, expected) in &commit.executions {
        let found: Option<(i64, String)> = connection
            .prepare_cached("SELECT version, succeeded FROM executions WHERE execution = ?1")?
            .query_row((execution.id.as_str(),), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (version, before) = found.map(|(version, before)| (to_u64(version), before)).unzip();
        if version != *expected {
            return conflict(Row::Execution, &execution.id);
        }
        if expected.is_none() {
            let taken = connection
                .prepare_cached("SELECT 1 FROM executions WHERE pipeline = ?1 AND sequence = ?2")?
                .exists((execution.pipeline.as_str(), to_i64(execution.sequence)))?;
            if taken {
                return conflict(Row::Execution, &execution.id);
            }
        }
        succeeded_before.push(before);
    }
    if let Some(token) = &commit.request_token {
        let taken = connection
            .prepare_cached("SELECT 1 FROM request_tokens WHERE pipeline = ?1 AND token = ?2")?
            .exists((token.pipeline.as_str(), &token.token))?;
        if taken {
            return conflict(Row::RequestToken, &token.token);
        }
    }
    for task in &commit.tasks_moved {
        if !connection.prepare_cached("SELECT 1 FROM tasks WHERE task = ?1")?.exists((task.id.as_str(),))? {
            return conflict(Row::Task, &task.id);
        }
    }
    if let Some(error) = documents::check(connection, &commit.documents)? {
        return Ok(Err(error));
    }
    Ok(Ok(Checked { succeeded_before }))
}

/// Writes everything, unconditionally.
pub(super) fn apply(
    connection: &Connection,
    prepared: &Prepared,
    checked: &Checked,
    numbers: Numbers,
) -> rusqlite::Result<()> {
    let commit = &prepared.commit;
    if let Some((pipeline, _)) = &commit.delete_gate {
        connection.prepare_cached("DELETE FROM gates WHERE pipeline = ?1")?.execute((pipeline.as_str(),))?;
    }
    apply_gate_and_definition(connection, prepared, numbers)?;
    for (((execution, expected), encoded), before) in
        commit.executions.iter().zip(&prepared.executions).zip(&checked.succeeded_before)
    {
        apply_execution(connection, execution, *expected, encoded, numbers)?;
        let before = before.as_deref().unwrap_or_default();
        if before != encoded.succeeded {
            apply_successes(connection, execution, before, &encoded.succeeded)?;
        }
    }
    for (record, body) in commit.actions.iter().zip(&prepared.actions) {
        connection
            .prepare_cached(
                "INSERT INTO actions (action, pipeline, execution, stage, name, started, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT (action) DO UPDATE SET started = excluded.started, body = excluded.body",
            )?
            .execute((
                record.attempt.id.as_str(),
                record.pipeline.as_str(),
                record.execution.as_str(),
                record.stage.as_str(),
                record.action.as_str(),
                record.attempt.started.millis(),
                body,
            ))?;
    }
    let entries = commit.history.iter().zip(&prepared.history);
    for (sequence, (entry, body)) in (numbers.first_history_sequence..).zip(entries) {
        connection
            .prepare_cached("INSERT INTO history (sequence, pipeline, execution, body) VALUES (?1, ?2, ?3, ?4)")?
            .execute((to_i64(sequence), entry.pipeline.as_str(), entry.execution.as_str(), body))?;
    }
    let put = commit.tasks_put.iter().zip(&prepared.tasks_put);
    let moved = commit.tasks_moved.iter().zip(&prepared.tasks_moved);
    for (task, body) in put.chain(moved) {
        connection
            .prepare_cached(
                "INSERT INTO tasks (task, due, owner, lease_until, body) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (task) DO UPDATE SET due = excluded.due, owner = excluded.owner, \
                 lease_until = excluded.lease_until, body = excluded.body",
            )?
            .execute((
                task.id.as_str(),
                task.due.millis(),
                task.owner.as_deref(),
                task.lease_until.map(towpath_model::time::Timestamp::millis),
                body,
            ))?;
    }
    for task in &commit.tasks_done {
        connection.prepare_cached("DELETE FROM tasks WHERE task = ?1")?.execute((task.as_str(),))?;
    }
    if let Some(token) = &commit.request_token {
        connection
            .prepare_cached("INSERT INTO request_tokens (pipeline, token, execution) VALUES (?1, ?2, ?3)")?
            .execute((token.pipeline.as_str(), &token.token, token.execution.as_str()))?;
    }
    documents::apply(connection, &commit.documents, numbers.version)
}

fn apply_gate_and_definition(connection: &Connection, prepared: &Prepared, numbers: Numbers) -> rusqlite::Result<()> {
    let version = to_i64(numbers.version);
    if let (Some((gate, expected)), Some(body)) = (&prepared.commit.gate, &prepared.gate) {
        if expected.is_none() {
            connection
                .prepare_cached(
                    "INSERT INTO gates (pipeline, account, region, name, version, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute((
                    gate.pipeline.as_str(),
                    &gate.scope.account,
                    &gate.scope.region,
                    gate.name.as_str(),
                    version,
                    body,
                ))?;
        } else {
            connection.prepare_cached("UPDATE gates SET version = ?2, body = ?3 WHERE pipeline = ?1")?.execute((
                gate.pipeline.as_str(),
                version,
                body,
            ))?;
        }
    }
    if let (Some(definition), Some(body)) = (&prepared.commit.definition, &prepared.definition) {
        connection
            .prepare_cached("INSERT INTO definitions (pipeline, number, body) VALUES (?1, ?2, ?3)")?
            .execute((definition.pipeline.as_str(), definition.version, body))?;
    }
    Ok(())
}

fn apply_execution(
    connection: &Connection,
    execution: &Execution,
    expected: Option<u64>,
    encoded: &PreparedExecution,
    numbers: Numbers,
) -> rusqlite::Result<()> {
    let version = to_i64(numbers.version);
    let status = execution.status.as_str();
    if expected.is_none() {
        connection
            .prepare_cached(
                "INSERT INTO executions (execution, pipeline, sequence, status, version, succeeded, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                execution.id.as_str(),
                execution.pipeline.as_str(),
                to_i64(execution.sequence),
                status,
                version,
                &encoded.succeeded,
                &encoded.body,
            ))?;
    } else {
        connection
            .prepare_cached(
                "UPDATE executions SET status = ?2, version = ?3, succeeded = ?4, body = ?5 WHERE execution = ?1",
            )?
            .execute((execution.id.as_str(), status, version, &encoded.succeeded, &encoded.body))?;
    }
    Ok(())
}

fn apply_successes(connection: &Connection, execution: &Execution, before: &str, after: &str) -> rusqlite::Result<()> {
    let change = |sql: &str, stage: &str| {
        connection.prepare_cached(sql)?.execute((
            execution.pipeline.as_str(),
            stage,
            execution.pipeline_version,
            to_i64(execution.sequence),
        ))
    };
    let lost = before.lines().filter(|stage| after.lines().all(|other| other != *stage));
    for stage in lost {
        change(
            "DELETE FROM stage_successes WHERE pipeline = ?1 AND stage = ?2 AND number = ?3 AND sequence = ?4",
            stage,
        )?;
    }
    let won = after.lines().filter(|stage| before.lines().all(|other| other != *stage));
    for stage in won {
        change(
            "INSERT OR IGNORE INTO stage_successes (pipeline, stage, number, sequence) VALUES (?1, ?2, ?3, ?4)",
            stage,
        )?;
    }
    Ok(())
}

#[async_trait]
impl Commits for SqliteStore {
    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let prepared = Prepared::new(commit)?;
        let numbers = self.writer.submit(Work::Commit(Box::new(prepared))).await?;
        Ok(Committed { version: numbers.version, first_history_sequence: numbers.first_history_sequence })
    }
}
