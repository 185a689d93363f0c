//! PublishVersion and ListVersionsByFunction.

use towpath_model::ids::Scope;
use towpath_wire::WireError;
use towpath_wire::lambda::{
    FunctionConfiguration, ListVersionsByFunctionRequest, ListVersionsByFunctionResponse, PublishVersionRequest,
};

use super::Lambda;
use super::errors::invalid;
use super::names::{Reference, function_arn, parse};
use super::read::{encode, listed, marker, page_size};
use super::records::Version;
use super::update::check_revision;
use crate::call::Call;

impl Lambda {
    pub(super) async fn publish_version(
        &self,
        call: &Call,
        input: PublishVersionRequest,
    ) -> Result<FunctionConfiguration, WireError> {
        let reference = parse(call, &input.function_name, None)?;
        self.may(call, &reference.arn(&call.scope)).await?;
        let published = self
            .publish(
                &call.scope,
                &reference,
                input.code_sha256.as_deref(),
                input.description.as_deref(),
                input.revision_id.as_deref(),
            )
            .await?;
        Ok(published.config)
    }

    /// Makes a version of `$LATEST`, or answers the newest one where nothing has changed since.
    pub(super) async fn publish(
        &self,
        scope: &Scope,
        reference: &Reference,
        code_sha256: Option<&str>,
        description: Option<&str>,
        revision: Option<&str>,
    ) -> Result<Version, WireError> {
        let (new_revision, launch) = (self.ambient.uuid(), self.ambient.uuid());
        let function = self.function(scope, reference).await?;
        let newest = self.version(scope, &reference.name, function.last_version).await?;
        self.change_with(scope, reference, |function| {
            let latest = &function.latest;
            check_revision(&latest.config, revision)?;
            if let Some(given) = code_sha256.filter(|given| latest.config.code_sha256.as_deref() != Some(given)) {
                let current = latest.config.code_sha256.clone().unwrap_or_default();
                return Err(invalid(format!(
                    "CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({current}). Please try again \
                     with the CodeSHA256 in $LATEST."
                )));
            }
            if let Some(newest) = newest.as_ref().filter(|newest| same(newest, latest)) {
                return Ok((newest.clone(), Vec::new()));
            }
            function.last_version += 1;
            let number = function.last_version;
            let mut config = function.latest.config.clone();
            config.version = Some(number.to_string());
            config.function_arn = Some(format!("{}:{number}", function_arn(scope, &reference.name)));
            config.revision_id = Some(new_revision.clone());
            if let Some(description) = description {
                config.description = Some(description.to_owned());
            }
            let version = Version { config, code: function.latest.code.clone(), launch: launch.clone() };
            let write = Self::published(scope, &reference.name, number, &version)?;
            Ok((version, vec![write]))
        })
        .await
    }

    pub(super) async fn list_versions_by_function(
        &self,
        call: &Call,
        input: ListVersionsByFunctionRequest,
    ) -> Result<ListVersionsByFunctionResponse, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, None)?;
        self.may(call, &reference.arn(scope)).await?;
        let function = self.function(scope, &reference).await?;
        let size = page_size(input.max_items);
        let after = marker(input.marker.as_deref())?;
        let mut versions = Vec::new();
        if after.is_none() {
            let mut latest = listed(function.latest);
            latest.function_arn = Some(format!("{}:$LATEST", reference.arn(scope)));
            versions.push(latest);
        }
        let number = match after {
            Some(after) => after.parse().map_err(|_| invalid("Invalid Marker"))?,
            None => 0,
        };
        let room = size - versions.len();
        let found = self.versions(scope, &reference.name, number, room + 1).await?;
        let more = found.len() > room;
        let last = found.iter().take(room).next_back().map_or(number, |(number, _)| *number);
        versions.extend(found.into_iter().take(room).map(|(_, version)| listed(version)));
        Ok(ListVersionsByFunctionResponse {
            next_marker: more.then(|| encode(&last.to_string())),
            versions: Some(versions),
        })
    }
}

/// Whether a published version is what `$LATEST` is now; a description alone makes no new one.
fn same(version: &Version, latest: &Version) -> bool {
    let bare = |version: &Version| FunctionConfiguration {
        version: None,
        function_arn: None,
        revision_id: None,
        last_modified: None,
        description: None,
        ..version.config.clone()
    };
    version.code == latest.code && bare(version) == bare(latest)
}
