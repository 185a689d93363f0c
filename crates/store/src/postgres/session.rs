//! A writer's connection, with its statements prepared. Statements are sent without waiting for the answers of those
//! before them, so that a commit takes two round trips however much it writes.

use deadpool_postgres::{Object, Pool};
use futures::future::join_all;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use super::errors::Failure;
use crate::limits::POSTGRES_WRITERS_KEPT;

pub(super) struct Session {
    client: Object,
    pub(super) statements: Statements,
}

/// One statement with its parameters.
pub(super) struct Step<'a> {
    pub(super) statement: &'a Statement,
    pub(super) parameters: Vec<&'a (dyn ToSql + Sync)>,
}

impl Session {
    pub(super) async fn open(pool: &Pool) -> Result<Self, Failure> {
        let client = pool.get().await?;
        let statements = Statements::prepare(&client).await?;
        Ok(Self { client, statements })
    }

    /// Sends all, then waits for all. The first error is the cause of those after it: in a transaction nothing works any
    /// more once something failed.
    pub(super) async fn run(&self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let sent = steps.iter().map(|step| self.client.query(step.statement, &step.parameters));
        join_all(sent).await.into_iter().collect()
    }

    /// A new row for what a writer committed last; forgets the oldest.
    pub(super) async fn register(&self) -> Result<i64, Error> {
        let row = self
            .client
            .query_one("INSERT INTO writers (turn, version, history) VALUES (0, 0, 0) RETURNING id", &[])
            .await?;
        let id: i64 = row.get(0);
        self.client.execute("DELETE FROM writers WHERE id < $1", &[&(id - POSTGRES_WRITERS_KEPT)]).await?;
        Ok(id)
    }

    /// Closes the connection instead of giving it back.
    pub(super) fn discard(self) {
        drop(Object::take(self.client));
    }
}

macro_rules! statements {
    ($($name:ident: $sql:expr,)*) => {
        pub(super) struct Statements {
            $(pub(super) $name: Statement,)*
        }

        impl Statements {
            async fn prepare(client: &Object) -> Result<Self, Error> {
                let ($($name,)*) = Box::pin(async { futures::try_join!($(client.prepare($sql),)*) }).await?;
                Ok(Self { $($name,)* })
            }
        }

        /// For looking at their plans.
        #[cfg(test)]
        pub(super) const WRITER_SQL: &[&str] = &[$($sql,)*];
    };
}

// The version that the counters had before the group's own numbers were drawn, plus an offset.
macro_rules! version {
    ($accepted:literal) => {
        concat!("(SELECT version FROM counters WHERE id = 0) - ", $accepted, "::bigint + t.version")
    };
}

macro_rules! put_records {
    ($table:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (pipeline, execution, action, started, gate, stage, name, body) \
             SELECT pipeline, execution, action, started, gate, stage, name, body \
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], \
             $8::bytea[]) WITH ORDINALITY \
             AS t (pipeline, execution, action, started, gate, stage, name, body, n) ORDER BY n \
             ON CONFLICT (execution, action) DO UPDATE SET started = excluded.started, body = excluded.body"
        )
    };
}
macro_rules! put_documents {
    ($otherwise:literal) => {
        concat!(
            "INSERT INTO documents (collection, partition, head, tail, tail_hash, version, body) \
             SELECT t.collection, t.partition, t.head, t.tail, t.tail_hash, ", version!("$1"), ", t.body \
             FROM unnest($2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[], $8::bytea[]) \
             AS t (collection, partition, head, tail, tail_hash, version, body)", $otherwise
        )
    };
}

statements! {
    begin: "BEGIN",
    rollback: "ROLLBACK",
    commit: "COMMIT",
    // Whoever wants to know what this writer committed last waits until its transaction has ended.
    lock_writer: "SELECT turn, version, history FROM writers WHERE id = $1 FOR UPDATE",

    // What is read, and held until the transaction ends, in one order everywhere. Each row is looked up by its key,
    // which is what `LATERAL` with `OFFSET 0` is for: a plain join of a table that is small when the statement is
    // planned would be planned as a walk through it, and still be one when it has grown.
    read_gates: "SELECT pipeline, version, account, region, name FROM gates WHERE pipeline = ANY ($1::text[]) \
        ORDER BY pipeline FOR UPDATE",
    read_names: "SELECT g.* FROM unnest($1::text[], $2::text[], $3::text[]) AS t (account, region, name) \
        CROSS JOIN LATERAL (SELECT g.account, g.region, g.name, g.pipeline FROM gates g \
        WHERE g.account = t.account AND g.region = t.region AND g.name = t.name OFFSET 0) AS g",
    read_definitions: "SELECT d.* FROM unnest($1::text[], $2::bigint[]) AS t (pipeline, number) \
        CROSS JOIN LATERAL (SELECT d.pipeline, d.number FROM definitions d \
        WHERE d.pipeline = t.pipeline AND d.number = t.number OFFSET 0) AS d",
    read_executions: "SELECT id, version, succeeded FROM executions WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE",
    read_sequences: "SELECT e.* FROM unnest($1::text[], $2::bigint[]) AS t (pipeline, sequence) \
        CROSS JOIN LATERAL (SELECT e.pipeline, e.sequence FROM executions e \
        WHERE e.pipeline = t.pipeline AND e.sequence = t.sequence OFFSET 0) AS e",
    read_tokens: "SELECT r.* FROM unnest($1::text[], $2::text[]) AS t (pipeline, token) \
        CROSS JOIN LATERAL (SELECT r.pipeline, r.token FROM request_tokens r \
        WHERE r.pipeline = t.pipeline AND r.token = t.token OFFSET 0) AS r",
    read_tasks: "SELECT task, owner FROM tasks WHERE task = ANY ($1::text[]) ORDER BY task FOR UPDATE",
    read_documents: "SELECT d.* \
        FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[]) AS t (collection, partition, head, tail_hash) \
        CROSS JOIN LATERAL (SELECT d.collection, d.partition, d.head, d.tail, d.version FROM documents d \
        WHERE d.collection = t.collection AND d.partition = t.partition AND d.head = t.head \
        AND d.tail_hash = t.tail_hash FOR UPDATE) AS d",

    // What is written without a number.
    delete_gates: "DELETE FROM gates WHERE pipeline = ANY ($1::text[])",
    note_deleted: "INSERT INTO deleted_pipelines (pipeline) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING",
    insert_definitions: "INSERT INTO definitions (pipeline, number, body) \
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[])",
    insert_tokens: "INSERT INTO request_tokens (pipeline, token, execution) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[])",
    insert_successes: "INSERT INTO stage_successes (pipeline, stage, number, sequence) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) ON CONFLICT DO NOTHING",
    delete_successes: "DELETE FROM stage_successes WHERE ctid = ANY (ARRAY(SELECT s.ctid \
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS t (pipeline, stage, number, sequence) \
        CROSS JOIN LATERAL (SELECT s.ctid FROM stage_successes s WHERE s.pipeline = t.pipeline \
        AND s.stage = t.stage AND s.number = t.number AND s.sequence = t.sequence OFFSET 0) AS s))",
    put_actions: put_records!("actions"),
    put_rules: put_records!("rules"),
    put_tasks: "INSERT INTO tasks (task, due, owner, lease_until, body) \
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bytea[]) \
        ON CONFLICT (task) DO UPDATE SET due = excluded.due, owner = excluded.owner, \
        lease_until = excluded.lease_until, body = excluded.body",
    delete_tasks: "DELETE FROM tasks WHERE task = ANY ($1::text[])",

    // From here on nobody else commits.
    draw_numbers: "UPDATE counters SET version = version + $1, history = history + $2 WHERE id = 0 \
        RETURNING version, history",
    insert_gates: concat!(
        "INSERT INTO gates (pipeline, account, region, name, version, body) \
         SELECT t.pipeline, t.account, t.region, t.name, ", version!("$1"), ", t.body \
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bytea[]) \
         AS t (pipeline, account, region, name, version, body)"
    ),
    update_gates: concat!(
        "UPDATE gates SET account = t.account, region = t.region, name = t.name, version = ", version!("$1"),
        ", body = t.body FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bytea[]) \
         AS t (pipeline, account, region, name, version, body) WHERE gates.pipeline = t.pipeline AND gates.pipeline = ANY ($2)"
    ),
    insert_executions: concat!(
        "INSERT INTO executions (id, pipeline, sequence, number, status, version, succeeded, ended, body) \
         SELECT t.id, t.pipeline, t.sequence, t.number, t.status, ", version!("$1"), ", t.succeeded, t.ended, t.body \
         FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::text[], \
         $9::bigint[], $10::bytea[]) \
         AS t (id, pipeline, sequence, number, status, version, succeeded, ended, body)"
    ),
    update_executions: concat!(
        "UPDATE executions AS e SET status = t.status, version = ", version!("$1"),
        ", succeeded = t.succeeded, ended = t.ended, body = t.body \
         FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bytea[]) \
         AS t (id, status, version, succeeded, ended, body) WHERE e.id = t.id AND e.id = ANY ($2)"
    ),
    insert_history: "INSERT INTO history (sequence, pipeline, execution, body) \
        SELECT (SELECT history FROM counters WHERE id = 0) - $1::bigint + t.n, t.pipeline, t.execution, t.body \
        FROM unnest($2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS t (pipeline, execution, body, n)",
    insert_documents: put_documents!(""),
    put_documents: put_documents!(
        " ON CONFLICT (collection, partition, head, tail_hash) \
         DO UPDATE SET version = excluded.version, body = excluded.body"
    ),
    delete_documents: "DELETE FROM documents WHERE ctid = ANY (ARRAY(SELECT d.ctid \
        FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[]) AS t (collection, partition, head, tail_hash) \
        CROSS JOIN LATERAL (SELECT d.ctid FROM documents d \
        WHERE d.collection = t.collection AND d.partition = t.partition AND d.head = t.head \
        AND d.tail_hash = t.tail_hash OFFSET 0) AS d))",
    // Remembers the numbers, and tells every node of them when they are committed.
    note_turn: "UPDATE writers SET turn = $2, version = c.version, history = c.history FROM counters c \
        WHERE c.id = 0 AND writers.id = $1 RETURNING pg_notify($3, c.version::text)::text",
}
