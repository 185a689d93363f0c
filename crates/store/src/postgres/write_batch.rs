//! Second round trip of a group: writes what was decided, a statement per kind of row however many there are, draws the
//! numbers, and commits.
//!
//! **Why a follower of the history misses nothing.** A reader that asks for `sequence > N` must never be shown N + 2 and
//! later have N + 1 appear behind its back. A sequence object would do exactly that: it numbers rows when they are
//! written, and they become visible when they are committed, in any order. Here the numbers come from the one row of
//! `counters`, which is updated after everything that needs no number, and stays locked until the transaction has ended:
//! whoever draws the next numbers does so after this commit is visible, so entries appear in the order of their numbers
//! and without gaps (what is rolled back gives its numbers back). The same holds for versions. What it costs is that one
//! group at a time is in its last steps, flush included; groups are what makes up for it, and nobody waits for a client
//! inside: the statements from the drawing to the commit are sent together.

use tokio_postgres::Error;
use tokio_postgres::types::ToSql;
use towpath_model::time::Timestamp;

use super::judge::Batch;
use super::keys::KeyColumns;
use super::session::{Session, Step};
use crate::reads::RecordKind;
use crate::stored::{to_i64, to_u64};

/// The last numbers before those the group drew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    pub(super) version: u64,
    pub(super) history: u64,
}

impl Drawn {
    /// From what the counters stand at after the group.
    pub(super) fn before(version: i64, history: i64, accepted: i64, entries: i64) -> Self {
        Self { version: to_u64(version - accepted), history: to_u64(history - entries) }
    }
}

#[derive(Default)]
struct GateColumns<'a> {
    pipelines: Vec<&'a str>,
    accounts: Vec<&'a str>,
    regions: Vec<&'a str>,
    names: Vec<&'a str>,
    versions: Vec<i64>,
    bodies: Vec<&'a [u8]>,
}

impl GateColumns<'_> {
    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.pipelines, &self.accounts, &self.regions, &self.names, &self.versions, &self.bodies]
    }
}

#[derive(Default)]
struct ExecutionColumns<'a> {
    ids: Vec<&'a str>,
    pipelines: Vec<&'a str>,
    sequences: Vec<i64>,
    numbers: Vec<i64>,
    statuses: Vec<&'a str>,
    versions: Vec<i64>,
    succeeded: Vec<&'a str>,
    ended: Vec<Option<i64>>,
    bodies: Vec<&'a [u8]>,
}

#[derive(Default)]
struct RecordColumns<'a> {
    pipelines: Vec<&'a str>,
    executions: Vec<&'a str>,
    actions: Vec<&'a str>,
    started: Vec<i64>,
    gates: Vec<&'a str>,
    stages: Vec<&'a str>,
    names: Vec<&'a str>,
    bodies: Vec<&'a [u8]>,
}

impl RecordColumns<'_> {
    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.pipelines,
            &self.executions,
            &self.actions,
            &self.started,
            &self.gates,
            &self.stages,
            &self.names,
            &self.bodies,
        ]
    }
}

#[derive(Default)]
struct SuccessColumns<'a> {
    pipelines: Vec<&'a str>,
    stages: Vec<&'a str>,
    numbers: Vec<i64>,
    sequences: Vec<i64>,
}

impl SuccessColumns<'_> {
    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.pipelines, &self.stages, &self.numbers, &self.sequences]
    }
}

#[derive(Default)]
struct TaskColumns<'a> {
    tasks: Vec<&'a str>,
    due: Vec<i64>,
    owners: Vec<Option<&'a str>>,
    leases: Vec<Option<i64>>,
    bodies: Vec<&'a [u8]>,
}

#[derive(Default)]
struct DocumentColumns<'a> {
    keys: KeyColumns<'a>,
    versions: Vec<i64>,
    bodies: Vec<&'a [u8]>,
}

impl DocumentColumns<'_> {
    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.keys.collections,
            &self.keys.partitions,
            &self.keys.heads,
            &self.keys.tails,
            &self.keys.tail_hashes,
            &self.versions,
            &self.bodies,
        ]
    }
}

/// A batch as columns of parameters.
#[derive(Default)]
struct Columns<'a> {
    gates_deleted: Vec<&'a str>,
    gates_new: GateColumns<'a>,
    gates_changed: GateColumns<'a>,
    definitions: (Vec<&'a str>, Vec<i64>, Vec<&'a [u8]>),
    executions_new: ExecutionColumns<'a>,
    executions_changed: ExecutionColumns<'a>,
    successes_new: SuccessColumns<'a>,
    successes_gone: SuccessColumns<'a>,
    tokens: (Vec<&'a str>, Vec<&'a str>, Vec<&'a str>),
    actions: RecordColumns<'a>,
    rules: RecordColumns<'a>,
    history: (Vec<&'a str>, Vec<&'a str>, Vec<&'a [u8]>),
    tasks: TaskColumns<'a>,
    tasks_done: Vec<&'a str>,
    documents_new: DocumentColumns<'a>,
    documents_put: DocumentColumns<'a>,
    documents_gone: KeyColumns<'a>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a Batch<'a>) -> Self {
        let mut columns = Self::default();
        columns.take_pipelines(batch);
        columns.take_executions(batch);
        for (record, body) in &batch.records {
            let rows = match RecordKind::of(record) {
                RecordKind::Action => &mut columns.actions,
                RecordKind::Rule => &mut columns.rules,
            };
            rows.pipelines.push(&record.pipeline);
            rows.executions.push(&record.execution);
            rows.actions.push(&record.attempt.id);
            rows.started.push(record.attempt.started.millis());
            rows.gates.push(record.condition.map_or("", |gate| gate.as_str()));
            rows.stages.push(&record.stage);
            rows.names.push(&record.action);
            rows.bodies.push(body);
        }
        for (pipeline, execution, body) in &batch.history {
            columns.history.0.push(pipeline);
            columns.history.1.push(execution);
            columns.history.2.push(body);
        }
        for (id, task) in &batch.tasks {
            let Some((task, body)) = task else {
                columns.tasks_done.push(id);
                continue;
            };
            columns.tasks.tasks.push(id);
            columns.tasks.due.push(task.due.millis());
            columns.tasks.owners.push(task.owner.as_deref());
            columns.tasks.leases.push(task.lease_until.map(Timestamp::millis));
            columns.tasks.bodies.push(body);
        }
        columns.take_documents(batch);
        columns
    }

    fn take_pipelines(&mut self, batch: &'a Batch<'a>) {
        for (pipeline, last) in &batch.gates {
            let Some((gate, body, version)) = last.value else {
                if last.stored {
                    self.gates_deleted.push(pipeline);
                }
                continue;
            };
            let rows = if last.stored { &mut self.gates_changed } else { &mut self.gates_new };
            rows.pipelines.push(pipeline);
            rows.accounts.push(&gate.scope.account);
            rows.regions.push(&gate.scope.region);
            rows.names.push(&gate.name);
            rows.versions.push(version);
            rows.bodies.push(body);
        }
        for (pipeline, number, body) in &batch.definitions {
            self.definitions.0.push(pipeline);
            self.definitions.1.push(i64::from(*number));
            self.definitions.2.push(body);
        }
        for (pipeline, token, execution) in &batch.tokens {
            self.tokens.0.push(pipeline);
            self.tokens.1.push(token);
            self.tokens.2.push(execution);
        }
    }

    fn take_executions(&mut self, batch: &'a Batch<'a>) {
        for (id, last) in &batch.executions {
            let (execution, encoded, version) = last.value;
            let rows = if last.stored { &mut self.executions_changed } else { &mut self.executions_new };
            rows.ids.push(id);
            rows.pipelines.push(&execution.pipeline);
            rows.sequences.push(to_i64(execution.sequence));
            rows.numbers.push(i64::from(execution.pipeline_version));
            rows.statuses.push(execution.status.as_str());
            rows.versions.push(version);
            rows.succeeded.push(&encoded.succeeded);
            rows.ended.push(execution.status.has_ended().then(|| execution.updated.millis()));
            rows.bodies.push(&encoded.body);
        }
        for ((pipeline, stage, number, sequence), there) in &batch.successes {
            let rows = if *there { &mut self.successes_new } else { &mut self.successes_gone };
            rows.pipelines.push(pipeline);
            rows.stages.push(stage);
            rows.numbers.push(i64::from(*number));
            rows.sequences.push(to_i64(*sequence));
        }
    }

    fn take_documents(&mut self, batch: &'a Batch<'a>) {
        for (key, write) in &batch.documents {
            match (write.value, write.stored) {
                (None, Some(false)) => {}
                (None, _) => self.documents_gone.push(key),
                (Some((body, version)), stored) => {
                    // One that was found absent is inserted, so that whoever put it there meanwhile is noticed.
                    let rows = if stored == Some(false) { &mut self.documents_new } else { &mut self.documents_put };
                    rows.keys.push(key);
                    rows.versions.push(version);
                    rows.bodies.push(body);
                }
            }
        }
    }
}

/// Leaves out the statements that have nothing to do.
#[derive(Default)]
struct Steps<'a>(Vec<Step<'a>>);

impl<'a> Steps<'a> {
    fn add(
        &mut self,
        empty: bool,
        statement: &'a tokio_postgres::Statement,
        parameters: impl IntoIterator<Item = &'a (dyn ToSql + Sync)>,
    ) {
        if !empty {
            self.0.push(Step { statement, parameters: parameters.into_iter().collect() });
        }
    }
}

/// Which writer commits, and which of its commits it is.
pub(super) struct Turn<'a> {
    pub(super) writer: i64,
    pub(super) number: i64,
    /// Whom to notify.
    pub(super) channel: &'a str,
}

fn with<'a>(first: &'a (dyn ToSql + Sync), rest: Vec<&'a (dyn ToSql + Sync)>) -> Vec<&'a (dyn ToSql + Sync)> {
    std::iter::once(first).chain(rest).collect()
}

/// Writes and commits. An error means that nothing was done, unless the connection is lost.
pub(super) async fn write_batch(session: &Session, batch: &Batch<'_>, turn: &Turn<'_>) -> Result<Drawn, Error> {
    let columns = Columns::of(batch);
    let statements = &session.statements;
    let accepted: &(dyn ToSql + Sync) = &batch.accepted;
    let mut steps = Steps::default();
    let deleted = &batch.deleted_pipelines;
    steps.add(columns.gates_deleted.is_empty(), &statements.delete_gates, [&columns.gates_deleted as _]);
    steps.add(deleted.is_empty(), &statements.note_deleted, [deleted as _]);
    let (pipelines, numbers, bodies) = &columns.definitions;
    steps.add(
        pipelines.is_empty(),
        &statements.insert_definitions,
        [pipelines as &(dyn ToSql + Sync), numbers as _, bodies as _],
    );
    let (pipelines, tokens, executions) = &columns.tokens;
    steps.add(
        pipelines.is_empty(),
        &statements.insert_tokens,
        [pipelines as &(dyn ToSql + Sync), tokens as _, executions as _],
    );
    let (new, gone) = (&columns.successes_new, &columns.successes_gone);
    steps.add(gone.pipelines.is_empty(), &statements.delete_successes, gone.parameters());
    steps.add(new.pipelines.is_empty(), &statements.insert_successes, new.parameters());
    let (actions, rules) = (&columns.actions, &columns.rules);
    steps.add(actions.actions.is_empty(), &statements.put_actions, actions.parameters());
    steps.add(rules.actions.is_empty(), &statements.put_rules, rules.parameters());
    let tasks = &columns.tasks;
    steps.add(
        tasks.tasks.is_empty(),
        &statements.put_tasks,
        [
            &tasks.tasks as &(dyn ToSql + Sync),
            &tasks.due as _,
            &tasks.owners as _,
            &tasks.leases as _,
            &tasks.bodies as _,
        ],
    );
    steps.add(columns.tasks_done.is_empty(), &statements.delete_tasks, [&columns.tasks_done as _]);

    let drawn = steps.0.len();
    steps.add(false, &statements.draw_numbers, [accepted, &batch.entries as _]);
    let (new, changed) = (&columns.gates_new, &columns.gates_changed);
    steps.add(changed.pipelines.is_empty(), &statements.update_gates, with(accepted, changed.parameters()));
    steps.add(new.pipelines.is_empty(), &statements.insert_gates, with(accepted, new.parameters()));
    let changed = &columns.executions_changed;
    steps.add(
        changed.ids.is_empty(),
        &statements.update_executions,
        with(
            accepted,
            vec![
                &changed.ids,
                &changed.statuses,
                &changed.versions,
                &changed.succeeded,
                &changed.ended,
                &changed.bodies,
            ],
        ),
    );
    let new = &columns.executions_new;
    steps.add(
        new.ids.is_empty(),
        &statements.insert_executions,
        with(
            accepted,
            vec![
                &new.ids,
                &new.pipelines,
                &new.sequences,
                &new.numbers,
                &new.statuses,
                &new.versions,
                &new.succeeded,
                &new.ended,
                &new.bodies,
            ],
        ),
    );
    let (pipelines, executions, bodies) = &columns.history;
    steps.add(
        pipelines.is_empty(),
        &statements.insert_history,
        [&batch.entries as &(dyn ToSql + Sync), pipelines as _, executions as _, bodies as _],
    );
    let (new, put) = (&columns.documents_new, &columns.documents_put);
    steps.add(new.keys.is_empty(), &statements.insert_documents, with(accepted, new.parameters()));
    steps.add(put.keys.is_empty(), &statements.put_documents, with(accepted, put.parameters()));
    let gone = &columns.documents_gone;
    steps.add(
        gone.is_empty(),
        &statements.delete_documents,
        [&gone.collections as &(dyn ToSql + Sync), &gone.partitions as _, &gone.heads as _, &gone.tail_hashes as _],
    );
    steps.add(
        false,
        &statements.note_turn,
        [&turn.writer as &(dyn ToSql + Sync), &turn.number as _, &turn.channel as _],
    );
    // Sent with the rest: after an error it rolls back instead, and the error is what is answered.
    steps.add(false, &statements.commit, []);
    let answers = session.run(&steps.0).await?;
    let (version, history) =
        answers.get(drawn).and_then(|rows| rows.first()).map_or((0, 0), |row| (row.get(0), row.get(1)));
    Ok(Drawn::before(version, history, batch.accepted, batch.entries))
}
