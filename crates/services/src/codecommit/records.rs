//! What CodeCommit keeps beside git: a document per repository, under its name. The repository's directory is called after
//! its id, so that no name ever becomes a path. Branches, the default one among them, are git's alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use towpath_git::Bare;
use towpath_model::ids::Scope;
use towpath_model::time::Timestamp;
use towpath_store::{DocumentsExt as _, Expect, Key, Versioned};
use towpath_wire::WireError;
use towpath_wire::codecommit::RepositoryMetadata;
use towpath_wire::types::Timestamp as WireTime;

use super::CodeCommit;
use super::errors::{bad_name, git, no_repository, store};
use super::limits::{ATTEMPTS_MAX, NAME_CHARS_MAX};

pub(super) const REPOSITORIES: &str = "codecommit.repository";
/// The format this version writes.
pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub format: u32,
    pub id: String,
    pub description: Option<String>,
    pub kms_key: Option<String>,
    pub created: Timestamp,
    pub modified: Timestamp,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A repository that was found.
pub(super) struct Found {
    pub name: String,
    pub record: Record,
    pub version: u64,
    pub bare: Bare,
}

pub(super) fn partition(scope: &Scope) -> String {
    format!("{}/{}", scope.account, scope.region)
}

pub(super) fn key(scope: &Scope, name: &str) -> Key {
    Key::new(REPOSITORIES, partition(scope), name)
}

pub(super) fn arn(scope: &Scope, name: &str) -> String {
    format!("arn:aws:codecommit:{}:{}:{name}", scope.region, scope.account)
}

/// CodeCommit's rule for names.
pub(super) fn check_name(name: &str) -> Result<(), WireError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let chars = name.chars().count();
    let fits = (1..=NAME_CHARS_MAX).contains(&chars) && name.chars().all(good);
    // `.` and `..` are paths to every client of git, and `.git` is what clients add by themselves.
    if !fits || matches!(name, "." | "..") || name.strip_suffix(".git").is_some() { Err(bad_name()) } else { Ok(()) }
}

impl CodeCommit {
    pub(super) async fn look(&self, scope: &Scope, name: &str) -> Result<Option<Found>, WireError> {
        let found = self.documents.get_json::<Record>(REPOSITORIES, &partition(scope), name).await.map_err(store)?;
        Ok(found.map(|Versioned { value, version }| Found {
            name: name.to_owned(),
            bare: self.bare(&value.id),
            record: value,
            version,
        }))
    }

    /// The repository of this name, or CodeCommit's words for that there is none.
    pub(super) async fn find(&self, scope: &Scope, name: &str) -> Result<Found, WireError> {
        check_name(name)?;
        self.look(scope, name).await?.ok_or_else(|| no_repository(name))
    }

    pub(super) fn bare(&self, id: &str) -> Bare {
        Bare::at(self.directory.join(format!("{id}.git")))
    }

    /// Changes a record that others may be changing too.
    pub(super) async fn change(
        &self,
        scope: &Scope,
        name: &str,
        change: impl Fn(&mut Record) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let mut last = None;
        for _ in 0..ATTEMPTS_MAX {
            let Found { mut record, version, .. } = self.find(scope, name).await?;
            change(&mut record)?;
            record.modified = self.ambient.now();
            match self.documents.put_json(key(scope, name), &record, Expect::Version(version)).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_conflict() => last = Some(error),
                Err(error) => return Err(store(error)),
            }
        }
        Err(last.map_or_else(|| no_repository(name), store))
    }

    /// Notes that the contents changed. They have, whether or not that can be noted.
    pub(super) async fn touch(&self, scope: &Scope, name: &str) {
        if let Err(error) = self.change(scope, name, |_| Ok(())).await {
            tracing::warn!(%error, repository = name, "the time of a repository's last change cannot be noted");
        }
    }

    pub(super) async fn metadata(&self, scope: &Scope, found: &Found) -> Result<RepositoryMetadata, WireError> {
        let (head, born) = found.bare.head().await.map_err(git)?;
        let (name, record) = (&found.name, &found.record);
        let time = |time: Timestamp| WireTime::from_millis(time.millis());
        Ok(RepositoryMetadata {
            arn: Some(arn(scope, name)),
            account_id: Some(scope.account.clone()),
            clone_url_http: Some(format!("{}/v1/repos/{name}", self.public_url)),
            clone_url_ssh: None,
            creation_date: Some(time(record.created)),
            default_branch: born.then_some(head),
            kms_key_id: record.kms_key.clone(),
            last_modified_date: Some(time(record.modified)),
            repository_description: record.description.clone(),
            repository_id: Some(record.id.clone()),
            repository_name: Some(name.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_never_paths() {
        for good in ["demo", "a.b_c-1", "...", "-x", "Git", &"n".repeat(100)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "a b", "x.git", "ü", "a\0", &"n".repeat(101)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
