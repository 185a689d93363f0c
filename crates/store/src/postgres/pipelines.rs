//! Gates and definitions.

use std::collections::HashMap;

use async_trait::async_trait;
use tokio_postgres::Row;
use towpath_model::declaration::Definition;
use towpath_model::ids::{PipelineId, PipelineName, Scope};
use towpath_model::state::Gate;

use super::{PostgresStore, rows};
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::Pipelines;
use crate::stored::to_u64;
use crate::{StoreError, Versioned, stored};

pub(super) fn decode_gate(version: i64, body: &[u8]) -> Result<Versioned<Gate>, StoreError> {
    Ok(Versioned { value: stored::decode("gate", body)?, version: to_u64(version) })
}

/// A row of (version, body).
fn gate(row: &Row) -> Result<Versioned<Gate>, StoreError> {
    decode_gate(row.get(0), row.get(1))
}

#[async_trait]
impl Pipelines for PostgresStore {
    async fn gate(&self, pipeline: &PipelineId) -> Result<Option<Versioned<Gate>>, StoreError> {
        let row = self.read_one("SELECT version, body FROM gates WHERE pipeline = $1", &[&pipeline.as_str()]).await?;
        row.as_ref().map(gate).transpose()
    }

    async fn gate_by_name(&self, scope: &Scope, name: &str) -> Result<Option<Versioned<Gate>>, StoreError> {
        let row = self
            .read_one(
                "SELECT version, body FROM gates WHERE account = $1 AND region = $2 AND name = $3",
                &[&scope.account, &scope.region, &name],
            )
            .await?;
        row.as_ref().map(gate).transpose()
    }

    async fn gates(
        &self,
        scope: &Scope,
        after: Option<&PipelineName>,
        limit: usize,
    ) -> Result<Vec<Versioned<Gate>>, StoreError> {
        bounded("pipelines in one page", limit, PAGE_MAX)?;
        // No name is empty, so every name comes after the empty one.
        let after = after.map(PipelineName::as_str).unwrap_or_default();
        let found = self
            .read(
                "SELECT version, body FROM gates WHERE account = $1 AND region = $2 AND name > $3 \
                 ORDER BY name LIMIT $4",
                &[&scope.account, &scope.region, &after, &rows(limit)],
            )
            .await?;
        found.iter().map(gate).collect()
    }

    async fn gate_count(&self, scope: &Scope) -> Result<usize, StoreError> {
        let row = self
            .read_one("SELECT count(*) FROM gates WHERE account = $1 AND region = $2", &[&scope.account, &scope.region])
            .await?;
        Ok(row.map_or(0, |row| usize::try_from(row.get::<_, i64>(0)).unwrap_or(0)))
    }

    async fn definition(&self, pipeline: &PipelineId, version: u32) -> Result<Option<Definition>, StoreError> {
        let row = self
            .read_one(
                "SELECT body FROM definitions WHERE pipeline = $1 AND number = $2",
                &[&pipeline.as_str(), &i64::from(version)],
            )
            .await?;
        row.map(|row| stored::decode("definition", row.get(0))).transpose()
    }

    async fn definitions(&self, wanted: &[(PipelineId, u32)]) -> Result<Vec<Option<Definition>>, StoreError> {
        bounded("definitions in one read", wanted.len(), PAGE_MAX)?;
        let pipelines: Vec<&str> = wanted.iter().map(|(pipeline, _)| pipeline.as_str()).collect();
        let numbers: Vec<i64> = wanted.iter().map(|(_, version)| i64::from(*version)).collect();
        let found = self
            .read(
                "SELECT t.n, d.body FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS t (pipeline, number, n) \
                 CROSS JOIN LATERAL (SELECT body FROM definitions \
                 WHERE definitions.pipeline = t.pipeline AND definitions.number = t.number OFFSET 0) AS d",
                &[&pipelines, &numbers],
            )
            .await?;
        let mut places: HashMap<i64, Definition> = HashMap::with_capacity(found.len());
        for row in found {
            places.insert(row.get(0), stored::decode("definition", row.get(1))?);
        }
        Ok((1..).take(wanted.len()).map(|n| places.remove(&n)).collect())
    }
}
