//! One [`Commit`] as rows. Bodies are encoded on the caller's thread; the writer's thread first checks every
//! expectation, writing nothing, and then writes unconditionally.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params};
use towpath_model::state::Execution;
use towpath_model::time::Timestamp;

use super::SqliteStore;
use super::actions;
use super::documents;
use super::ids::Ids;
use super::writer::{Numbers, Work};
use crate::StoreError;
use crate::commit::{Commit, Commits, Committed};
use crate::error::Row;
use crate::nodes::may_move;
use crate::prepared::{Prepared, PreparedExecution};
use crate::stored::{to_i64, to_u64};

/// What is stored of an execution, as far as writing its successor needs it.
struct Before {
    version: u64,
    status: String,
    succeeded: String,
}

/// What the check found that the writing needs.
pub(super) struct Checked {
    /// Per execution; None where it is new.
    executions: Vec<Option<Before>>,
}

/// One commit on its way into the database.
pub(super) struct Writing<'a> {
    pub(super) connection: &'a Connection,
    pub(super) ids: &'a mut Ids,
    pub(super) prepared: &'a Prepared,
}

impl Writing<'_> {
    /// Judges every expectation and writes nothing. The inner error is the conflict.
    pub(super) fn check(&mut self) -> rusqlite::Result<Result<Checked, StoreError>> {
        let commit = &self.prepared.commit;
        let conflict = |row, key: &str| Ok(Err(StoreError::conflict(row, key)));
        if let Some((row, key)) = self.check_gates()? {
            return conflict(row, key);
        }
        if let Some(definition) = &commit.definition
            && let Some(pipeline) = self.ids.find(self.connection, &definition.pipeline)?
            && self.exists(
                "SELECT 1 FROM definitions WHERE pipeline = ?1 AND number = ?2",
                (pipeline, definition.version),
            )?
        {
            return conflict(Row::Definition, &definition.pipeline);
        }
        let mut executions = Vec::with_capacity(commit.executions.len());
        for (execution, expected) in &commit.executions {
            let before = self.execution_before(execution)?;
            if before.as_ref().map(|before| before.version) != *expected {
                return conflict(Row::Execution, &execution.id);
            }
            if expected.is_none()
                && let Some(pipeline) = self.ids.find(self.connection, &execution.pipeline)?
                && self.exists(
                    "SELECT 1 FROM executions WHERE pipeline = ?1 AND sequence = ?2",
                    (pipeline, to_i64(execution.sequence)),
                )?
            {
                return conflict(Row::Execution, &execution.id);
            }
            executions.push(before);
        }
        if let Some(token) = &commit.request_token
            && let Some(pipeline) = self.ids.find(self.connection, &token.pipeline)?
            && self
                .exists("SELECT 1 FROM request_tokens WHERE pipeline = ?1 AND token = ?2", (pipeline, &token.token))?
        {
            return conflict(Row::RequestToken, &token.token);
        }
        for task in &commit.tasks_moved {
            let owner: Option<Option<String>> = self
                .connection
                .prepare_cached("SELECT owner FROM tasks WHERE task = ?1")?
                .query_row((task.id.as_str(),), |row| row.get(0))
                .optional()?;
            if !owner.is_some_and(|owner| may_move(owner.as_deref(), task.owner.as_deref())) {
                return conflict(Row::Task, &task.id);
            }
        }
        if let Some(error) = documents::check(self.connection, &commit.documents)? {
            return Ok(Err(error));
        }
        Ok(Ok(Checked { executions }))
    }

    fn check_gates(&mut self) -> rusqlite::Result<Option<(Row, &str)>> {
        let commit = &self.prepared.commit;
        if let Some((gate, expected)) = &commit.gate {
            if self.gate_version(&gate.pipeline)? != *expected {
                return Ok(Some((Row::Gate, &gate.pipeline)));
            }
            if expected.is_none() {
                let holder: Option<i64> = self
                    .connection
                    .prepare_cached("SELECT pipeline FROM gates WHERE account = ?1 AND region = ?2 AND name = ?3")?
                    .query_row((&gate.scope.account, &gate.scope.region, gate.name.as_str()), |row| row.get(0))
                    .optional()?;
                let freed = match &commit.delete_gate {
                    Some((pipeline, _)) => self.ids.find(self.connection, pipeline)?,
                    None => None,
                };
                if holder.is_some() && holder != freed {
                    return Ok(Some((Row::PipelineName, &gate.name)));
                }
            }
        }
        if let Some((pipeline, expected)) = &commit.delete_gate
            && self.gate_version(pipeline)? != Some(*expected)
        {
            return Ok(Some((Row::Gate, pipeline)));
        }
        Ok(None)
    }

    fn exists(&self, sql: &str, parameters: impl Params) -> rusqlite::Result<bool> {
        self.connection.prepare_cached(sql)?.exists(parameters)
    }

    fn execute(&self, sql: &str, parameters: impl Params) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute(parameters).map(|_| ())
    }

    fn gate_version(&mut self, pipeline: &str) -> rusqlite::Result<Option<u64>> {
        let Some(pipeline) = self.ids.find(self.connection, pipeline)? else { return Ok(None) };
        let version: Option<i64> = self
            .connection
            .prepare_cached("SELECT version FROM gates WHERE pipeline = ?1")?
            .query_row((pipeline,), |row| row.get(0))
            .optional()?;
        Ok(version.map(to_u64))
    }

    fn execution_before(&mut self, execution: &Execution) -> rusqlite::Result<Option<Before>> {
        let Some(id) = self.ids.find(self.connection, &execution.id)? else { return Ok(None) };
        self.connection
            .prepare_cached("SELECT version, status, succeeded FROM executions WHERE execution = ?1")?
            .query_row((id,), |row| {
                Ok(Before { version: to_u64(row.get(0)?), status: row.get(1)?, succeeded: row.get(2)? })
            })
            .optional()
    }

    /// Writes everything, unconditionally.
    pub(super) fn apply(&mut self, checked: &Checked, numbers: Numbers) -> rusqlite::Result<()> {
        let prepared = self.prepared;
        let commit = &prepared.commit;
        self.apply_pipeline(numbers)?;
        let executions = commit.executions.iter().zip(&prepared.executions);
        for (((execution, _), encoded), before) in executions.zip(&checked.executions) {
            self.apply_execution(execution, encoded, before.as_ref(), numbers)?;
        }
        for (record, body) in commit.actions.iter().zip(&prepared.actions) {
            actions::put(self.connection, self.ids, record, body)?;
        }
        let entries = commit.history.iter().zip(&prepared.history);
        for (sequence, (entry, body)) in (numbers.first_history_sequence..).zip(entries) {
            let pipeline = self.ids.find_or_give(self.connection, &entry.pipeline)?;
            let execution = self.ids.find_or_give(self.connection, &entry.execution)?;
            self.execute(
                "INSERT INTO history (sequence, pipeline, execution, body) VALUES (?1, ?2, ?3, ?4)",
                (to_i64(sequence), pipeline, execution, body),
            )?;
        }
        let put = commit.tasks_put.iter().zip(&prepared.tasks_put);
        let moved = commit.tasks_moved.iter().zip(&prepared.tasks_moved);
        for (task, body) in put.chain(moved) {
            self.execute(
                "INSERT INTO tasks (task, due, owner, lease_until, body) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (task) DO UPDATE SET due = excluded.due, owner = excluded.owner, \
                 lease_until = excluded.lease_until, body = excluded.body",
                (
                    task.id.as_str(),
                    task.due.millis(),
                    task.owner.as_deref(),
                    task.lease_until.map(Timestamp::millis),
                    body,
                ),
            )?;
        }
        for task in &commit.tasks_done {
            self.execute("DELETE FROM tasks WHERE task = ?1", (task.as_str(),))?;
        }
        if let Some(token) = &commit.request_token {
            let pipeline = self.ids.find_or_give(self.connection, &token.pipeline)?;
            let number = self.ids.find_or_give(self.connection, &token.execution)?;
            self.execute(
                "INSERT INTO request_tokens (pipeline, token, execution, number) VALUES (?1, ?2, ?3, ?4)",
                (pipeline, &token.token, token.execution.as_str(), number),
            )?;
        }
        documents::apply(self.connection, &commit.documents, numbers.version)
    }

    fn apply_pipeline(&mut self, numbers: Numbers) -> rusqlite::Result<()> {
        let prepared = self.prepared;
        let version = to_i64(numbers.version);
        if let Some((pipeline, _)) = &prepared.commit.delete_gate {
            let pipeline = self.ids.find_or_give(self.connection, pipeline)?;
            self.execute("DELETE FROM gates WHERE pipeline = ?1", (pipeline,))?;
            self.execute("INSERT OR IGNORE INTO deleted_pipelines (pipeline) VALUES (?1)", (pipeline,))?;
        }
        if let (Some((gate, expected)), Some(body)) = (&prepared.commit.gate, &prepared.gate) {
            let pipeline = self.ids.find_or_give(self.connection, &gate.pipeline)?;
            if expected.is_some() {
                self.execute(
                    "UPDATE gates SET version = ?2, body = ?3 WHERE pipeline = ?1",
                    (pipeline, version, body),
                )?;
            } else {
                self.execute(
                    "INSERT INTO gates (pipeline, account, region, name, version, body) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    (pipeline, &gate.scope.account, &gate.scope.region, gate.name.as_str(), version, body),
                )?;
            }
        }
        if let (Some(definition), Some(body)) = (&prepared.commit.definition, &prepared.definition) {
            let pipeline = self.ids.find_or_give(self.connection, &definition.pipeline)?;
            self.execute(
                "INSERT INTO definitions (pipeline, number, body) VALUES (?1, ?2, ?3)",
                (pipeline, definition.version, body),
            )?;
        }
        Ok(())
    }

    /// A column that is named in an update has its indexes rewritten even if it stays the same, so the status and when
    /// it ended are only named when they may change.
    fn apply_execution(
        &mut self,
        execution: &Execution,
        encoded: &PreparedExecution,
        before: Option<&Before>,
        numbers: Numbers,
    ) -> rusqlite::Result<()> {
        let id = self.ids.find_or_give(self.connection, &execution.id)?;
        let (version, status) = (to_i64(numbers.version), execution.status.as_str());
        let PreparedExecution { body, succeeded } = encoded;
        let ended = execution.status.has_ended().then(|| execution.updated.millis());
        match before {
            None => {
                let pipeline = self.ids.find_or_give(self.connection, &execution.pipeline)?;
                self.execute(
                    "INSERT INTO executions (execution, pipeline, sequence, status, version, succeeded, body, ended) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    (id, pipeline, to_i64(execution.sequence), status, version, succeeded, body, ended),
                )?;
            }
            Some(before) if before.status == status && ended.is_none() => self.execute(
                "UPDATE executions SET version = ?2, succeeded = ?3, body = ?4 WHERE execution = ?1",
                (id, version, succeeded, body),
            )?,
            Some(_) => self.execute(
                "UPDATE executions SET version = ?2, succeeded = ?3, body = ?4, status = ?5, ended = ?6 \
                 WHERE execution = ?1",
                (id, version, succeeded, body, status, ended),
            )?,
        }
        let succeeded_before = before.map(|before| before.succeeded.as_str()).unwrap_or_default();
        if succeeded_before == succeeded {
            Ok(())
        } else {
            self.apply_successes(execution, succeeded_before, succeeded)
        }
    }

    fn apply_successes(&mut self, execution: &Execution, before: &str, after: &str) -> rusqlite::Result<()> {
        let pipeline = self.ids.find_or_give(self.connection, &execution.pipeline)?;
        let key = |stage: &str| (pipeline, stage.to_owned(), execution.pipeline_version, to_i64(execution.sequence));
        for stage in before.lines().filter(|stage| after.lines().all(|other| other != *stage)) {
            self.execute(
                "DELETE FROM stage_successes WHERE pipeline = ?1 AND stage = ?2 AND number = ?3 AND sequence = ?4",
                key(stage),
            )?;
        }
        for stage in after.lines().filter(|stage| before.lines().all(|other| other != *stage)) {
            self.execute(
                "INSERT OR IGNORE INTO stage_successes (pipeline, stage, number, sequence) VALUES (?1, ?2, ?3, ?4)",
                key(stage),
            )?;
        }
        Ok(())
    }
}

#[async_trait]
impl Commits for SqliteStore {
    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let strangers = self.nodes.has_strangers(&commit);
        let prepared = Prepared::new(commit)?;
        let numbers = self.writer.submit(Work::Commit(Box::new(prepared))).await?.numbers;
        if strangers {
            self.nodes.look_again();
        }
        Ok(Committed { version: numbers.version, first_history_sequence: numbers.first_history_sequence })
    }
}
