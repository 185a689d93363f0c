//! CodeCommit's errors, in its words where they are known. What the model's constraints refuse is put into them as well:
//! CodeCommit has an exception of its own for each member.

use towpath_git::GitError;
use towpath_store::StoreError;
use towpath_wire::codecommit::SERVICE;
use towpath_wire::{Dialect, WireError};

pub(super) const NAME_RULE: &str = "The repository name is not valid. Repository names can be any valid combination of \
    letters, numbers, periods, underscores, and dashes between 1 and 100 characters in length. Names are case sensitive. \
    For more information, see Limits in the AWS CodeCommit User Guide. ";

pub(super) fn of(code: &'static str, message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, code, message)
}

pub(super) fn bad_name() -> WireError {
    of("InvalidRepositoryNameException", NAME_RULE)
}

pub(super) fn no_repository(name: &str) -> WireError {
    of("RepositoryDoesNotExistException", format!("{name} does not exist"))
}

pub(super) fn repository_exists(name: &str) -> WireError {
    of("RepositoryNameExistsException", format!("Repository named {name} already exists"))
}

pub(super) fn bad_branch(name: &str) -> WireError {
    of("InvalidBranchNameException", format!("The branch name {name} is not valid: it is not a name that git takes."))
}

pub(super) fn no_branch(name: &str) -> WireError {
    of("BranchDoesNotExistException", format!("Branch {name} does not exist"))
}

pub(super) fn bad_path(path: &str) -> WireError {
    of("InvalidPathException", format!("The path {path} is not valid: it must lead to a file inside the repository."))
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub(super) fn store(error: StoreError) -> WireError {
    tracing::error!(%error, source = ?std::error::Error::source(&error), "CodeCommit's documents cannot be used");
    match error {
        StoreError::DiskFull { .. } => WireError::disk_full(Dialect::Json),
        _ => WireError::internal(Dialect::Json),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub(super) fn git(error: GitError) -> WireError {
    tracing::error!(%error, "a repository of CodeCommit cannot be used");
    match error {
        GitError::NotStarted(_) => WireError::unavailable(Dialect::Json),
        _ => WireError::internal(Dialect::Json),
    }
}

/// Member, what is said if it is missing, what if it is wrong.
const MEMBERS: &[(&str, &str, &str)] = &[
    ("repositoryNames", "RepositoryNamesRequiredException", "InvalidRepositoryNameException"),
    ("repositoryName", "RepositoryNameRequiredException", "InvalidRepositoryNameException"),
    ("oldName", "RepositoryNameRequiredException", "InvalidRepositoryNameException"),
    ("newName", "RepositoryNameRequiredException", "InvalidRepositoryNameException"),
    ("repositoryDescription", "InvalidRepositoryDescriptionException", "InvalidRepositoryDescriptionException"),
    ("defaultBranchName", "BranchNameRequiredException", "InvalidBranchNameException"),
    ("branchName", "BranchNameRequiredException", "InvalidBranchNameException"),
    ("commitId", "CommitIdRequiredException", "InvalidCommitIdException"),
    ("filePath", "PathRequiredException", "InvalidPathException"),
    ("fileContent", "FileContentRequiredException", "FileContentSizeLimitExceededException"),
    ("fileMode", "FileModeRequiredException", "InvalidFileModeException"),
    ("sortBy", "InvalidSortByException", "InvalidSortByException"),
    ("order", "InvalidOrderException", "InvalidOrderException"),
    ("resourceArn", "ResourceArnRequiredException", "InvalidResourceArnException"),
    ("tagKeys", "TagKeysListRequiredException", "InvalidTagKeysListException"),
    ("tags", "TagsMapRequiredException", "InvalidTagsMapException"),
];

/// A broken constraint of the model as the exception of the first member it names.
pub(super) fn of_constraint(error: WireError) -> WireError {
    if error.code != SERVICE.validation_code {
        return error;
    }
    let named = |member: &str| {
        let at = [format!("'{member}'"), format!("'{member}."), format!(".{member}'")];
        at.iter().any(|at| error.message.contains(at.as_str()))
    };
    let Some((_, missing, wrong)) = MEMBERS.iter().find(|(member, _, _)| named(member)) else { return error };
    let code = if error.message.contains("must not be null") { *missing } else { *wrong };
    let message = if code == "InvalidRepositoryNameException" { NAME_RULE.to_owned() } else { error.message };
    of(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_told_as_codecommit_tells_them() {
        let told = |message: &str| of_constraint(WireError::validation(&SERVICE, message));
        let null = "1 validation error detected: Value at 'repositoryName' failed to satisfy constraint: Member must not be null";
        assert_eq!(told(null).code, "RepositoryNameRequiredException");
        let long = "1 validation error detected: Value at 'repositoryName' failed to satisfy constraint: Member must have length";
        assert_eq!(told(long), bad_name());
        let nested = "1 validation error detected: Value at 'putFiles.1.member.filePath' failed to satisfy constraint: Member must not be null";
        assert_eq!(told(nested).code, "PathRequiredException");
        assert_eq!(told("something else").code, "ValidationException");
    }
}
