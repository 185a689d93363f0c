//! Builds as they are asked about: BatchGetBuilds, ListBuilds, ListBuildsForProject, StopBuild, BatchDeleteBuilds.

use std::sync::Arc;

use towpath_model::ids::Scope;
use towpath_store::{DocumentsExt as _, Expect, Scan, Versioned, Write};
use towpath_wire::WireError;
use towpath_wire::codebuild::{
    BatchDeleteBuildsInput, BatchDeleteBuildsOutput, BatchGetBuildsInput, BatchGetBuildsOutput, Build, BuildNotDeleted,
    ListBuildsForProjectInput, ListBuildsForProjectOutput, ListBuildsInput, ListBuildsOutput, StopBuildInput,
    StopBuildOutput, sort_order_type,
};

use super::CodeBuild;
use super::errors::{invalid, not_found, store};
use super::names::{
    BUILDS, BUILDS_BY_NUMBER, BUILDS_BY_TIME, build_arn, build_key, by_number_key, by_time_key, partition, project_arn,
    split_build_id, strip_arn,
};
use super::page::{self, PAGE_ITEMS};
use super::phases::{complete, end};
use super::records::{BuildRecord, Stage};
use crate::call::Call;
use crate::identity::policy::Context;

const ATTEMPTS_MAX: usize = 32;

impl CodeBuild {
    pub(super) async fn build(&self, scope: &Scope, id: &str) -> Result<Option<Versioned<BuildRecord>>, WireError> {
        self.documents.get_json(BUILDS, &partition(scope), id).await.map_err(store)
    }

    pub(super) async fn batch_get_builds(
        &self,
        call: &Call,
        input: BatchGetBuildsInput,
    ) -> Result<BatchGetBuildsOutput, WireError> {
        let scope = &call.scope;
        let (mut builds, mut missing): (Vec<Build>, Vec<String>) = (Vec::new(), Vec::new());
        for asked in input.ids {
            let id = build_id(scope, &asked)?;
            let project = split_build_id(id).map_or("", |(project, _)| project);
            self.may(call, "BatchGetBuilds", &project_arn(scope, project), Context::new()).await?;
            match self.build(scope, id).await? {
                Some(found) if builds.iter().any(|known| known.id == found.value.build.id) => {}
                Some(found) => builds.push(found.value.build),
                None => missing.push(asked),
            }
        }
        Ok(BatchGetBuildsOutput { builds: Some(builds), builds_not_found: Some(missing) })
    }

    pub(super) async fn list_builds(&self, call: &Call, input: ListBuildsInput) -> Result<ListBuildsOutput, WireError> {
        self.may(call, "ListBuilds", "*", Context::new()).await?;
        let descending = input.sort_order.as_deref() != Some(sort_order_type::ASCENDING);
        let (ids, next_token) =
            self.listed(&call.scope, BUILDS_BY_TIME, Scan::all(), descending, input.next_token.as_deref()).await?;
        Ok(ListBuildsOutput { ids: Some(ids), next_token })
    }

    pub(super) async fn list_builds_for_project(
        &self,
        call: &Call,
        input: ListBuildsForProjectInput,
    ) -> Result<ListBuildsForProjectOutput, WireError> {
        let scope = &call.scope;
        let name = strip_arn(scope, &input.project_name, "project/").unwrap_or(&input.project_name);
        self.may(call, "ListBuildsForProject", &project_arn(scope, name), Context::new()).await?;
        if self.find_project(scope, name).await?.is_none() {
            let text = format!("The provided project {} does not exist", project_arn(scope, name));
            return Err(not_found(text));
        }
        let descending = input.sort_order.as_deref() != Some(sort_order_type::ASCENDING);
        let range = Scan::prefix(&format!("{name}/"));
        let (ids, next_token) =
            self.listed(scope, BUILDS_BY_NUMBER, range, descending, input.next_token.as_deref()).await?;
        Ok(ListBuildsForProjectOutput { ids: Some(ids), next_token })
    }

    /// A page of one of the lists of builds, which hold ids in the order of their keys.
    async fn listed(
        &self,
        scope: &Scope,
        list: &str,
        range: Scan,
        descending: bool,
        token: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), WireError> {
        let mut scan = if descending { range.reversed() } else { range };
        if let Some(after) = page::decode(token)? {
            scan = scan.after(after);
        }
        let found = self.documents.scan_json::<String>(list, &partition(scope), scan.limit(PAGE_ITEMS + 1)).await;
        let mut found = found.map_err(store)?;
        let more = found.len() > PAGE_ITEMS;
        found.truncate(PAGE_ITEMS);
        let next = found.last().filter(|_| more).map(|(key, _)| page::encode(key));
        Ok((found.into_iter().map(|(_, id)| id.value).collect(), next))
    }

    /// The answer shows the build stopped at once; its worker ends what still runs.
    pub(super) async fn stop_build(
        self: &Arc<Self>,
        call: &Call,
        input: StopBuildInput,
    ) -> Result<StopBuildOutput, WireError> {
        let scope = &call.scope;
        let id = build_id(scope, &input.id)?;
        let project = split_build_id(id).map_or("", |(project, _)| project);
        self.may(call, "StopBuild", &project_arn(scope, project), Context::new()).await?;
        for _ in 0..ATTEMPTS_MAX {
            let missing = || not_found(format!("Build {} does not exist", input.id));
            let Versioned { value: mut record, version } = self.build(scope, id).await?.ok_or_else(missing)?;
            if record.is_complete() {
                return Ok(StopBuildOutput { build: Some(record.build) });
            }
            let now = self.ambient.now();
            end(&mut record.build, "STOPPED", None, now);
            complete(&mut record.build, "STOPPED", now);
            record.stage = Stage::Cleaning;
            let stopped = Write::put_json(build_key(scope, id), &record, Expect::Version(version)).map_err(store)?;
            let told = self.tell_owner(scope, id).await.map_err(store)?;
            match self.documents.write(std::iter::once(stopped).chain(told).collect()).await {
                Ok(_) => {
                    self.changed(scope, id, true);
                    self.wake(scope, id);
                    return Ok(StopBuildOutput { build: Some(record.build) });
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(store(error)),
            }
        }
        Err(invalid(format!("Build {id} is changing too fast to be stopped. Try again.")))
    }

    pub(super) async fn batch_delete_builds(
        &self,
        call: &Call,
        input: BatchDeleteBuildsInput,
    ) -> Result<BatchDeleteBuildsOutput, WireError> {
        let scope = &call.scope;
        let (mut deleted, mut kept) = (Vec::new(), Vec::new());
        for asked in input.ids {
            let id = build_id(scope, &asked)?;
            let project = split_build_id(id).map_or("", |(project, _)| project);
            self.may(call, "BatchDeleteBuilds", &project_arn(scope, project), Context::new()).await?;
            let refused =
                |code: &str| BuildNotDeleted { id: Some(build_arn(scope, id)), status_code: Some(code.to_owned()) };
            let Some(found) = self.build(scope, id).await? else {
                kept.push(refused("BUILD_NOT_FOUND"));
                continue;
            };
            let record = found.value;
            if record.stage != Stage::Done {
                kept.push(refused("BUILD_IN_PROGRESS"));
                continue;
            }
            let started = record.build.start_time.unwrap_or_default().as_millis();
            let number = record.build.build_number.unwrap_or_default();
            let writes = vec![
                Write::delete(build_key(scope, id), Expect::Version(found.version)),
                Write::delete(by_time_key(scope, started, id), Expect::Any),
                Write::delete(by_number_key(scope, project, number, id), Expect::Any),
            ];
            match self.documents.write(writes).await {
                Ok(_) => deleted.push(build_arn(scope, id)),
                Err(error) if error.is_conflict() => kept.push(refused("BUILD_IN_PROGRESS")),
                Err(error) => return Err(store(error)),
            }
        }
        Ok(BatchDeleteBuildsOutput { builds_deleted: Some(deleted), builds_not_deleted: Some(kept) })
    }
}

/// The id behind an id or an ARN.
pub(super) fn build_id<'a>(scope: &Scope, text: &'a str) -> Result<&'a str, WireError> {
    let id = strip_arn(scope, text, "build/").filter(|id| split_build_id(id).is_some());
    id.ok_or_else(|| invalid("Invalid build ID provided"))
}
