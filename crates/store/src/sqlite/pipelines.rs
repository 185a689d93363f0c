//! Gates and definitions.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use towpath_model::declaration::Definition;
use towpath_model::ids::{PipelineId, PipelineName, Scope};
use towpath_model::state::Gate;

use super::SqliteStore;
use super::readers::ReadError;
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::Pipelines;
use crate::stored::to_u64;
use crate::{StoreError, Versioned, stored};

/// A row of (version, body).
pub(super) fn version_and_body(row: &Row<'_>) -> rusqlite::Result<(u64, Vec<u8>)> {
    Ok((to_u64(row.get(0)?), row.get(1)?))
}

fn decode_gate((version, body): (u64, Vec<u8>)) -> Result<Versioned<Gate>, StoreError> {
    Ok(Versioned { value: stored::decode("gate", &body)?, version })
}

pub(super) fn gate(connection: &Connection, pipeline: &PipelineId) -> Result<Option<Versioned<Gate>>, ReadError> {
    let row = connection
        .prepare_cached("SELECT version, body FROM gates WHERE pipeline = (SELECT id FROM ids WHERE text = ?1)")?
        .query_row((pipeline.as_str(),), version_and_body)
        .optional()?;
    Ok(row.map(decode_gate).transpose()?)
}

fn definition(connection: &Connection, pipeline: &PipelineId, version: u32) -> Result<Option<Definition>, ReadError> {
    let body: Option<Vec<u8>> = connection
        .prepare_cached(
            "SELECT body FROM definitions WHERE pipeline = (SELECT id FROM ids WHERE text = ?1) AND number = ?2",
        )?
        .query_row((pipeline.as_str(), version), |row| row.get(0))
        .optional()?;
    Ok(body.map(|body| stored::decode("definition", &body)).transpose()?)
}

#[async_trait]
impl Pipelines for SqliteStore {
    async fn gate(&self, pipeline: &PipelineId) -> Result<Option<Versioned<Gate>>, StoreError> {
        let ticket = match self.writer.cache().gate(pipeline) {
            Ok(found) => return Ok(Some(Versioned::clone(&found))),
            Err(ticket) => ticket,
        };
        let pipeline = pipeline.clone();
        let found = self.readers.run(move |connection| gate(connection, &pipeline)).await?;
        Ok(found.inspect(|gate| self.writer.cache().keep_gate(ticket, gate)))
    }

    async fn gate_by_name(&self, scope: &Scope, name: &str) -> Result<Option<Versioned<Gate>>, StoreError> {
        let ticket = match self.writer.cache().gate_by_name(scope, name) {
            Ok(found) => return Ok(Some(Versioned::clone(&found))),
            Err(ticket) => ticket,
        };
        let (scope, name) = (scope.clone(), name.to_owned());
        let found = self
            .readers
            .run(move |connection| {
                let row = connection
                    .prepare_cached("SELECT version, body FROM gates WHERE account = ?1 AND region = ?2 AND name = ?3")?
                    .query_row((scope.account, scope.region, name), version_and_body)
                    .optional()?;
                Ok(row.map(decode_gate).transpose()?)
            })
            .await?;
        Ok(found.inspect(|gate| self.writer.cache().keep_gate(ticket, gate)))
    }

    async fn gates(
        &self,
        scope: &Scope,
        after: Option<&PipelineName>,
        limit: usize,
    ) -> Result<Vec<Versioned<Gate>>, StoreError> {
        bounded("pipelines in one page", limit, PAGE_MAX)?;
        // No name is empty, so every name comes after the empty one.
        let after = after.map(ToString::to_string).unwrap_or_default();
        let scope = scope.clone();
        self.readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT version, body FROM gates WHERE account = ?1 AND region = ?2 AND name > ?3 \
                     ORDER BY name LIMIT ?4",
                )?;
                let rows = statement.query_map((scope.account, scope.region, after, limit), version_and_body)?;
                rows.map(|row| Ok(decode_gate(row?)?)).collect()
            })
            .await
    }

    async fn gate_count(&self, scope: &Scope) -> Result<usize, StoreError> {
        let scope = scope.clone();
        self.readers
            .run(move |connection| {
                Ok(connection
                    .prepare_cached("SELECT count(*) FROM gates WHERE account = ?1 AND region = ?2")?
                    .query_row((scope.account, scope.region), |row| row.get(0))?)
            })
            .await
    }

    async fn definition(&self, pipeline: &PipelineId, version: u32) -> Result<Option<Definition>, StoreError> {
        if let Some(found) = self.writer.cache().definition(pipeline, version) {
            return Ok(Some(Definition::clone(&found)));
        }
        let pipeline = pipeline.clone();
        let found = self.readers.run(move |connection| definition(connection, &pipeline, version)).await?;
        Ok(found.inspect(|definition| self.writer.cache().keep_definition(definition)))
    }

    async fn definitions(&self, wanted: &[(PipelineId, u32)]) -> Result<Vec<Option<Definition>>, StoreError> {
        bounded("definitions in one read", wanted.len(), PAGE_MAX)?;
        let wanted = wanted.to_vec();
        self.readers
            .run(move |connection| {
                wanted.iter().map(|(pipeline, version)| definition(connection, pipeline, *version)).collect()
            })
            .await
    }
}
