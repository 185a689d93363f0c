//! Repositories: make, find, list, rename, describe, delete.

use towpath_git::Bare;
use towpath_store::{DocumentsExt as _, Expect, Scan, Write};
use towpath_wire::WireError;
use towpath_wire::codecommit::{
    BatchGetRepositoriesInput, BatchGetRepositoriesOutput, CreateRepositoryInput, CreateRepositoryOutput,
    DeleteRepositoryInput, DeleteRepositoryOutput, GetRepositoryInput, GetRepositoryOutput, ListRepositoriesInput,
    ListRepositoriesOutput, RepositoryNameIdPair, UpdateDefaultBranchInput, UpdateRepositoryDescriptionInput,
    UpdateRepositoryNameInput,
};

use super::CodeCommit;
use super::errors::{git, no_branch, of, repository_exists, store};
use super::limits::{BATCH_MAX, DESCRIPTION_CHARS_MAX, PAGE, REPOSITORIES_MAX};
use super::records::{FORMAT, REPOSITORIES, Record, check_name, key, partition};
use super::tags::{check_tags, request_tags};
use crate::call::Call;
use crate::identity::policy::Context;

impl CodeCommit {
    pub(super) async fn create_repository(
        &self,
        call: &Call,
        input: CreateRepositoryInput,
    ) -> Result<CreateRepositoryOutput, WireError> {
        let (scope, name) = (&call.scope, input.repository_name.as_str());
        let tags = input.tags.unwrap_or_default();
        self.may_with(call, &super::records::arn(scope, name), request_tags(&tags)).await?;
        check_name(name)?;
        check_description(input.repository_description.as_deref())?;
        check_tags(&tags)?;
        if self.look(scope, name).await?.is_some() {
            return Err(repository_exists(name));
        }
        let all = self.documents.scan(REPOSITORIES, &partition(scope), Scan::all().limit(REPOSITORIES_MAX)).await;
        if all.map_err(store)?.len() >= REPOSITORIES_MAX {
            let text = format!("The account has {REPOSITORIES_MAX} repositories in the Region, which is the limit.");
            return Err(of("RepositoryLimitExceededException", text));
        }
        let now = self.ambient.now();
        let record = Record {
            format: FORMAT,
            id: self.ambient.uuid(),
            description: input.repository_description.filter(|text| !text.is_empty()),
            kms_key: input.kms_key_id,
            created: now,
            modified: now,
            tags,
        };
        // The directory first: a name that is there always has one.
        tokio::fs::create_dir_all(&self.directory).await.map_err(|error| git(error.into()))?;
        let bare = Bare::create(self.bare(&record.id).directory()).await.map_err(git)?;
        match self.documents.put_json(key(scope, name), &record, Expect::Absent).await {
            Ok(_) => {}
            Err(error) => {
                self.remove(&bare).await;
                return Err(if error.is_conflict() { repository_exists(name) } else { store(error) });
            }
        }
        let found = self.find(scope, name).await?;
        Ok(CreateRepositoryOutput { repository_metadata: Some(self.metadata(scope, &found).await?) })
    }

    pub(super) async fn get_repository(
        &self,
        call: &Call,
        input: GetRepositoryInput,
    ) -> Result<GetRepositoryOutput, WireError> {
        self.may(call, &input.repository_name).await?;
        let found = self.find(&call.scope, &input.repository_name).await?;
        Ok(GetRepositoryOutput { repository_metadata: Some(self.metadata(&call.scope, &found).await?) })
    }

    pub(super) async fn batch_get_repositories(
        &self,
        call: &Call,
        input: BatchGetRepositoriesInput,
    ) -> Result<BatchGetRepositoriesOutput, WireError> {
        if input.repository_names.len() > BATCH_MAX {
            let text = format!("The maximum number of repository names is {BATCH_MAX}.");
            return Err(of("MaximumRepositoryNamesExceededException", text));
        }
        let (mut repositories, mut absent) = (Vec::new(), Vec::new());
        for name in input.repository_names {
            self.may(call, &name).await?;
            check_name(&name)?;
            match self.look(&call.scope, &name).await? {
                Some(found) => repositories.push(self.metadata(&call.scope, &found).await?),
                None => absent.push(name),
            }
        }
        Ok(BatchGetRepositoriesOutput {
            repositories: Some(repositories),
            repositories_not_found: Some(absent),
            errors: Some(Vec::new()),
        })
    }

    pub(super) async fn list_repositories(
        &self,
        call: &Call,
        input: ListRepositoriesInput,
    ) -> Result<ListRepositoriesOutput, WireError> {
        self.may_with(call, "*", Context::new()).await?;
        let scan = Scan::all().limit(REPOSITORIES_MAX);
        let found = self.documents.scan_json::<Record>(REPOSITORIES, &partition(&call.scope), scan).await;
        let mut found = found.map_err(store)?;
        if input.sort_by.as_deref() == Some("lastModifiedDate") {
            found.sort_by_key(|(_, record)| record.value.modified);
        }
        if input.order.as_deref() == Some("descending") {
            found.reverse();
        }
        let from = position(input.next_token.as_deref())?;
        let next = (found.len() > from + PAGE).then(|| (from + PAGE).to_string());
        let pairs = found.into_iter().skip(from).take(PAGE).map(|(name, record)| RepositoryNameIdPair {
            repository_name: Some(name),
            repository_id: Some(record.value.id),
        });
        Ok(ListRepositoriesOutput { repositories: Some(pairs.collect()), next_token: next })
    }

    pub(super) async fn delete_repository(
        &self,
        call: &Call,
        input: DeleteRepositoryInput,
    ) -> Result<DeleteRepositoryOutput, WireError> {
        let name = input.repository_name.as_str();
        self.may(call, name).await?;
        check_name(name)?;
        let Some(found) = self.look(&call.scope, name).await? else { return Ok(DeleteRepositoryOutput::default()) };
        self.documents.delete(key(&call.scope, name), Expect::Any).await.map_err(store)?;
        self.remove(&found.bare).await;
        Ok(DeleteRepositoryOutput { repository_id: Some(found.record.id) })
    }

    pub(super) async fn update_repository_name(
        &self,
        call: &Call,
        input: UpdateRepositoryNameInput,
    ) -> Result<(), WireError> {
        let (scope, old, new) = (&call.scope, input.old_name.as_str(), input.new_name.as_str());
        self.may(call, old).await?;
        self.may(call, new).await?;
        check_name(new)?;
        let mut found = self.find(scope, old).await?;
        if old == new {
            return Err(repository_exists(new));
        }
        found.record.modified = self.ambient.now();
        let writes = vec![
            Write::delete(key(scope, old), Expect::Version(found.version)),
            Write::put_json(key(scope, new), &found.record, Expect::Absent).map_err(store)?,
        ];
        match self.documents.write(writes).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Err(repository_exists(new)),
            Err(error) => Err(store(error)),
        }
    }

    pub(super) async fn update_repository_description(
        &self,
        call: &Call,
        input: UpdateRepositoryDescriptionInput,
    ) -> Result<(), WireError> {
        self.may(call, &input.repository_name).await?;
        check_description(input.repository_description.as_deref())?;
        let description = input.repository_description.filter(|text| !text.is_empty());
        self.change(&call.scope, &input.repository_name, |record| {
            record.description.clone_from(&description);
            Ok(())
        })
        .await
    }

    pub(super) async fn update_default_branch(
        &self,
        call: &Call,
        input: UpdateDefaultBranchInput,
    ) -> Result<(), WireError> {
        self.may(call, &input.repository_name).await?;
        let found = self.find(&call.scope, &input.repository_name).await?;
        let branch = input.default_branch_name.as_str();
        super::branches::check_branch(branch)?;
        if found.bare.branch(branch).await.map_err(git)?.is_none() {
            return Err(no_branch(branch));
        }
        found.bare.set_head(branch).await.map_err(git)?;
        self.touch(&call.scope, &found.name).await;
        Ok(())
    }

    /// Removes a directory that no document names any more.
    async fn remove(&self, bare: &Bare) {
        let directory = bare.directory();
        // A push under way may still write: it loses its repository at once, whole.
        let gone = directory.with_extension("deleted");
        let removed = match tokio::fs::rename(directory, &gone).await {
            Ok(()) => tokio::fs::remove_dir_all(&gone).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(%error, directory = %directory.display(), "a deleted repository's files stay behind");
        }
    }
}

fn check_description(text: Option<&str>) -> Result<(), WireError> {
    if text.is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX) {
        let text = format!("The repository description must have at most {DESCRIPTION_CHARS_MAX} characters.");
        return Err(of("InvalidRepositoryDescriptionException", text));
    }
    Ok(())
}

/// Where a page begins.
pub(super) fn position(token: Option<&str>) -> Result<usize, WireError> {
    let bad = |_| of("InvalidContinuationTokenException", "The specified continuation token is not valid.");
    token.map_or(Ok(0), |token| token.parse().map_err(bad))
}
