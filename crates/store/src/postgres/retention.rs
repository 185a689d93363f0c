//! Deleting what is old enough. Nodes may do it at the same time: each skips what the other is deleting.

use async_trait::async_trait;
use towpath_model::ids::ExecutionId;
use towpath_model::time::Timestamp;

use super::pipelines::decode_gate;
use super::{PostgresStore, rows};
use crate::StoreError;
use crate::retention::{Candidate, Pruner, Retention, prune, refers};
use crate::stored::{to_i64, to_u64};

/// The executions that still have the version they were read with, and all that names them.
const DELETE: &str = "WITH chosen AS ( \
       SELECT e.id FROM unnest($1::text[], $2::bigint[]) AS t (id, version) CROSS JOIN LATERAL ( \
         SELECT e.id FROM executions e WHERE e.id = t.id AND e.version = t.version FOR UPDATE SKIP LOCKED \
       ) AS e \
     ), gone AS ( \
       DELETE FROM executions WHERE id = ANY (ARRAY(SELECT id FROM chosen)) \
       RETURNING id, pipeline, number, sequence, succeeded \
     ), actions_gone AS ( \
       DELETE FROM actions WHERE execution = ANY (ARRAY(SELECT id FROM gone)) \
     ), rules_gone AS ( \
       DELETE FROM rules WHERE execution = ANY (ARRAY(SELECT id FROM gone)) \
     ), history_gone AS ( \
       DELETE FROM history WHERE execution = ANY (ARRAY(SELECT id FROM gone)) \
     ), tokens_gone AS ( \
       DELETE FROM request_tokens WHERE execution = ANY (ARRAY(SELECT id FROM gone)) \
     ), successes_gone AS ( \
       DELETE FROM stage_successes WHERE ctid = ANY (ARRAY(SELECT s.ctid FROM gone CROSS JOIN LATERAL ( \
         SELECT s.ctid FROM stage_successes s WHERE s.pipeline = gone.pipeline \
         AND s.stage = ANY (string_to_array(gone.succeeded, E'\\n')) AND s.number = gone.number \
         AND s.sequence = gone.sequence OFFSET 0 \
       ) AS s)) \
     ) SELECT count(*) FROM gone";

/// An execution takes everything of its own with it, so what is left of its pipeline is definitions.
const CLEAR: &str = "WITH cleared AS ( \
       DELETE FROM deleted_pipelines WHERE pipeline IN ( \
         SELECT d.pipeline FROM deleted_pipelines d \
         WHERE NOT EXISTS (SELECT 1 FROM executions e WHERE e.pipeline = d.pipeline) \
         AND NOT EXISTS (SELECT 1 FROM gates g WHERE g.pipeline = d.pipeline) \
         LIMIT $1 FOR UPDATE SKIP LOCKED \
       ) RETURNING pipeline \
     ) DELETE FROM definitions WHERE pipeline = ANY (ARRAY(SELECT pipeline FROM cleared))";

#[async_trait]
impl Pruner for PostgresStore {
    type Id = String;

    async fn candidates(
        &self,
        before: Timestamp,
        after: Option<(i64, String)>,
        limit: usize,
    ) -> Result<Vec<Candidate<String>>, StoreError> {
        let (ended, id) = after.unwrap_or((i64::MIN, String::new()));
        // One statement, so that the gates are of the moment the executions are.
        let found = self
            .read(
                "SELECT e.ended, e.id, e.version, g.version, g.body FROM ( \
                   SELECT ended, id, version, pipeline FROM executions \
                   WHERE ended IS NOT NULL AND ended < $1 AND (ended, id) > ($2, $3) ORDER BY ended, id LIMIT $4 \
                 ) AS e LEFT JOIN LATERAL ( \
                   SELECT version, body FROM gates WHERE gates.pipeline = e.pipeline OFFSET 0 \
                 ) AS g ON true ORDER BY e.ended, e.id",
                &[&before.millis(), &ended, &id, &rows(limit)],
            )
            .await?;
        found
            .iter()
            .map(|row| {
                let id: String = row.get(1);
                let gate = match row.get::<_, Option<&[u8]>>(4) {
                    Some(body) => Some(decode_gate(row.get(3), body)?),
                    None => None,
                };
                let execution = ExecutionId::new(id.as_str());
                Ok(Candidate {
                    ended: row.get(0),
                    version: to_u64(row.get(2)),
                    referred: gate.is_some_and(|gate| refers(&gate.value, &execution)),
                    id,
                })
            })
            .collect()
    }

    async fn delete(&self, executions: Vec<(String, u64)>) -> Result<usize, StoreError> {
        let (ids, versions): (Vec<String>, Vec<i64>) =
            executions.into_iter().map(|(id, version)| (id, to_i64(version))).unzip();
        let answer = self.execute(DELETE, &[&ids, &versions]).await?;
        Ok(answer.first().map_or(0, |row| usize::try_from(row.get::<_, i64>(0)).unwrap_or(0)))
    }

    async fn clear_deleted_pipelines(&self, limit: usize) -> Result<(), StoreError> {
        self.execute(CLEAR, &[&rows(limit)]).await?;
        Ok(())
    }
}

#[async_trait]
impl Retention for PostgresStore {
    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        prune(self, &self.prune_resume, before, limit).await
    }
}
