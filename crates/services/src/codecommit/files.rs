//! Files through the API: GetFile, PutFile, CreateCommit. Each of the latter is one commit on the tip of a branch, and
//! only there: whoever names an older parent is told so.

use std::collections::BTreeSet;

use towpath_git::bare::is_file_path;
use towpath_git::write::{Change, NewCommit, Taken, Written};
use towpath_git::{Bare, Person};
use towpath_wire::WireError;
use towpath_wire::codecommit::{
    CreateCommitInput, CreateCommitOutput, FileMetadata, GetFileInput, GetFileOutput, PutFileInput, PutFileOutput,
    file_mode_type_enum as mode,
};
use towpath_wire::types::Blob;

use super::CodeCommit;
use super::branches::{check_branch, check_commit_id};
use super::errors::{bad_path, git, no_branch, of};
use super::limits::{AUTHOR_CHARS_MAX, COMMIT_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, MESSAGE_BYTES_MAX};
use super::records::Found;
use crate::call::Call;

/// Who commits, and with which words.
struct Words {
    name: Option<String>,
    email: Option<String>,
    message: Option<String>,
}

impl Words {
    fn check(&self) -> Result<(), WireError> {
        let is_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.chars().count() > AUTHOR_CHARS_MAX);
        if is_long(&self.name) {
            let text = format!("The user name has more than {AUTHOR_CHARS_MAX} characters.");
            return Err(of("NameLengthExceededException", text));
        }
        let is_bad = |email: &String| email.chars().any(|c| c.is_control() || matches!(c, '<' | '>'));
        if is_long(&self.email) || self.email.as_ref().is_some_and(is_bad) {
            let text =
                format!("The email address must have at most {AUTHOR_CHARS_MAX} characters, and neither < nor >.");
            return Err(of("InvalidEmailException", text));
        }
        if self.message.as_ref().is_some_and(|message| message.len() > MESSAGE_BYTES_MAX) {
            let text = format!("The commit message has more than {MESSAGE_BYTES_MAX} bytes.");
            return Err(of("CommitMessageLengthExceededException", text));
        }
        Ok(())
    }
}

impl CodeCommit {
    pub(super) async fn get_file(&self, call: &Call, input: GetFileInput) -> Result<GetFileOutput, WireError> {
        self.may(call, &input.repository_name).await?;
        let path = input.file_path.as_str();
        check_path(path)?;
        let found = self.find(&call.scope, &input.repository_name).await?;
        let commit = commit_of(&found.bare, input.commit_specifier.as_deref()).await?;
        let missing = || of("FileDoesNotExistException", format!("File {path} does not exist"));
        let file = found.bare.file(&commit, path).await.map_err(git)?.ok_or_else(missing)?;
        if file.size > FILE_BYTES_MAX as u64 {
            let text = format!("File {path} is larger than 6 MB. Clone the repository to read it.");
            return Err(of("FileTooLargeException", text));
        }
        let content = found.bare.blob(&file.blob).await.map_err(git)?;
        Ok(GetFileOutput {
            blob_id: file.blob,
            commit_id: commit,
            file_content: Blob(content),
            file_mode: mode_name(&file.mode).to_owned(),
            file_path: path.to_owned(),
            file_size: i64::try_from(file.size).unwrap_or(i64::MAX),
        })
    }

    pub(super) async fn put_file(&self, call: &Call, input: PutFileInput) -> Result<PutFileOutput, WireError> {
        self.may(call, &input.repository_name).await?;
        check_branch(&input.branch_name)?;
        check_path(&input.file_path)?;
        check_size(&input.file_content)?;
        let words = Words { name: input.name, email: input.email, message: input.commit_message };
        words.check()?;
        let found = self.find(&call.scope, &input.repository_name).await?;
        let parent = parent(&found, &input.branch_name, input.parent_commit_id.as_deref()).await?;
        let blob = found.bare.store_blob(&input.file_content.0).await.map_err(git)?;
        let before = match &parent {
            Some(parent) => found.bare.file(parent, &input.file_path).await.map_err(git)?,
            None => None,
        };
        let kept = before.as_ref().map(|file| mode_name(&file.mode));
        let wanted = git_mode(input.file_mode.as_deref().or(kept))?;
        if before.is_some_and(|file| file.blob == blob && file.mode == wanted) {
            let text = format!("File {} already has this content.", input.file_path);
            return Err(of("SameFileContentException", text));
        }
        let change = Change { path: input.file_path, to: Some((wanted.to_owned(), blob.clone())) };
        let (commit, tree) = self.commit(call, &found, &input.branch_name, parent, &[change], words).await?;
        Ok(PutFileOutput { blob_id: blob, commit_id: commit, tree_id: tree })
    }

    pub(super) async fn create_commit(
        &self,
        call: &Call,
        input: CreateCommitInput,
    ) -> Result<CreateCommitOutput, WireError> {
        self.may(call, &input.repository_name).await?;
        check_branch(&input.branch_name)?;
        let puts = input.put_files.unwrap_or_default();
        let deletes = input.delete_files.unwrap_or_default();
        let modes = input.set_file_modes.unwrap_or_default();
        match puts.len() + deletes.len() + modes.len() {
            0 => return Err(of("FileEntryRequiredException", "At least one file is required.")),
            count if count > FILES_MAX => {
                let text = format!("A commit takes at most {FILES_MAX} files.");
                return Err(of("MaximumFileEntriesExceededException", text));
            }
            _ => {}
        }
        if input.keep_empty_folders == Some(true) {
            let text = "keepEmptyFolders is not supported in this version of Towpath. Leave it out.";
            return Err(of("InvalidDeletionParameterException", text));
        }
        let paths = puts.iter().map(|p| &p.file_path).chain(deletes.iter().map(|d| &d.file_path));
        let mut seen = BTreeSet::new();
        for path in paths.chain(modes.iter().map(|m| &m.file_path)) {
            check_path(path)?;
            if !seen.insert(path.clone()) {
                return Err(of("SamePathRequestException", format!("The path {path} is named twice.")));
            }
        }
        let words = Words { name: input.author_name, email: input.email, message: input.commit_message };
        words.check()?;
        let found = self.find(&call.scope, &input.repository_name).await?;
        let parent = parent(&found, &input.branch_name, input.parent_commit_id.as_deref()).await?;
        let before = async |path: &str| match &parent {
            Some(parent) => found.bare.file(parent, path).await.map_err(git),
            None => Ok(None),
        };
        let missing = |path: &str| of("FileDoesNotExistException", format!("File {path} does not exist"));
        let (mut changes, mut added, mut updated, mut deleted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let total: usize = puts.iter().filter_map(|put| Some(put.file_content.as_ref()?.0.len())).sum();
        if total > COMMIT_BYTES_MAX {
            let text = "The files of the commit have more than 20 MB together.";
            return Err(of("FolderContentSizeLimitExceededException", text));
        }
        for put in puts {
            let old = before(&put.file_path).await?;
            let (blob, own_mode) = match (put.file_content, put.source_file) {
                (Some(content), None) => {
                    check_size(&content)?;
                    (found.bare.store_blob(&content.0).await.map_err(git)?, old.as_ref().map(|file| file.mode.clone()))
                }
                (None, Some(source)) => {
                    let file = before(&source.file_path).await?.ok_or_else(|| missing(&source.file_path))?;
                    if source.is_move == Some(true) {
                        deleted.push(metadata(&source.file_path, None));
                        changes.push(Change { path: source.file_path, to: None });
                    }
                    (file.blob, Some(file.mode))
                }
                (Some(_), Some(_)) => {
                    let text = format!("File {} has both a content and a source file.", put.file_path);
                    return Err(of("FileContentAndSourceFileSpecifiedException", text));
                }
                (None, None) => {
                    let text = format!("File {} has neither a content nor a source file.", put.file_path);
                    return Err(of("SourceFileOrContentRequiredException", text));
                }
            };
            let to = (git_mode(put.file_mode.as_deref().or(own_mode.as_deref().map(mode_name)))?.to_owned(), blob);
            let told = metadata(&put.file_path, Some(&to));
            if old.is_some() {
                updated.push(told);
            } else {
                added.push(told);
            }
            changes.push(Change { path: put.file_path, to: Some(to) });
        }
        for delete in deletes {
            let old = before(&delete.file_path).await?.ok_or_else(|| missing(&delete.file_path))?;
            deleted.push(metadata(&delete.file_path, Some(&(old.mode, old.blob))));
            changes.push(Change { path: delete.file_path, to: None });
        }
        for set in modes {
            let old = before(&set.file_path).await?.ok_or_else(|| missing(&set.file_path))?;
            let to = (git_mode(Some(&set.file_mode))?.to_owned(), old.blob);
            updated.push(metadata(&set.file_path, Some(&to)));
            changes.push(Change { path: set.file_path, to: Some(to) });
        }
        let (commit, tree) = self.commit(call, &found, &input.branch_name, parent, &changes, words).await?;
        Ok(CreateCommitOutput {
            commit_id: Some(commit),
            tree_id: Some(tree),
            files_added: Some(added),
            files_updated: Some(updated),
            files_deleted: Some(deleted),
        })
    }

    /// Writes the commit and moves the branch to it.
    async fn commit(
        &self,
        call: &Call,
        found: &Found,
        branch: &str,
        parent: Option<String>,
        changes: &[Change],
        words: Words,
    ) -> Result<(String, String), WireError> {
        // Git keeps no author without a name, and takes no line breaks in one.
        let clean = |text: Option<String>| -> String {
            let text = text.unwrap_or_default();
            text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect()
        };
        let name = Some(clean(words.name)).filter(|name| !name.trim().is_empty());
        let author = Person {
            name: name.unwrap_or_else(|| call.principal.arn.rsplit(['/', ':']).next().unwrap_or("unknown").to_owned()),
            email: clean(words.email),
            seconds: self.ambient.now().millis() / 1000,
            offset: "+0000".to_owned(),
        };
        let message = words.message.unwrap_or_default();
        let new = NewCommit { parent: parent.as_deref(), changes, author: &author, message: &message };
        let (commit, tree) = match found.bare.write_commit(&new, &self.scratch()).await.map_err(git)? {
            Written::Commit { commit, tree } => (commit, tree),
            Written::NoChange => return Err(of("NoChangeException", "The commit would change nothing.")),
            Written::BadPath(path) => return Err(bad_path(&path)),
            Written::Taken { path, by } => return Err(taken(&path, by)),
        };
        let zeros = "0".repeat(commit.len());
        let moved = found.bare.update_branch(branch, &commit, parent.as_deref().unwrap_or(&zeros)).await;
        if !moved.map_err(git)? {
            return Err(outdated());
        }
        found.bare.choose_head().await.map_err(git)?;
        self.touch(&call.scope, &found.name).await;
        Ok((commit, tree))
    }
}

fn taken(path: &str, by: Taken) -> WireError {
    let (code, what) = match by {
        Taken::Path => {
            ("PutFileEntryConflictException", "is a file in one entry of the commit and a folder in another")
        }
        Taken::Directory => ("FileNameConflictsWithDirectoryNameException", "is a folder of the repository"),
        Taken::File => ("DirectoryNameConflictsWithFileNameException", "leads through a file of the repository"),
        Taken::Submodule => ("FilePathConflictsWithSubmodulePathException", "leads into a submodule"),
    };
    of(code, format!("The path {path} {what}."))
}

fn outdated() -> WireError {
    of("ParentCommitIdOutdatedException", "The parent commit ID is not the tip of the branch. Read the branch again.")
}

/// The tip that a new commit goes on top of; None in an empty repository.
async fn parent(found: &Found, branch: &str, named: Option<&str>) -> Result<Option<String>, WireError> {
    let tip = found.bare.branch(branch).await.map_err(git)?;
    match (tip, named) {
        (Some(tip), Some(named)) if tip == named => Ok(Some(tip)),
        (Some(_), None) => {
            Err(of("ParentCommitIdRequiredException", "A parent commit ID is required: the branch has commits."))
        }
        (Some(_), Some(named)) => {
            check_commit_id(named).map_err(|error| of("InvalidParentCommitIdException", error.message))?;
            if found.bare.commit(named).await.map_err(git)?.is_none() {
                return Err(of("ParentCommitDoesNotExistException", format!("Commit {named} does not exist")));
            }
            Err(outdated())
        }
        (None, named) => {
            if found.bare.object(&format!("refs/tags/{branch}")).await.map_err(git)?.is_some() {
                return Err(of(
                    "BranchNameIsTagNameException",
                    format!("{branch} is the name of a tag, not of a branch."),
                ));
            }
            let is_empty = found.bare.branches().await.map_err(git)?.is_empty();
            match named {
                None if is_empty => Ok(None),
                Some(_) if is_empty => {
                    Err(of("ParentCommitDoesNotExistException", "The repository is empty: there is no parent commit."))
                }
                _ => Err(no_branch(branch)),
            }
        }
    }
}

/// The commit that a specifier means: an ID, a full ref name, a branch, a tag; without one the default branch's.
async fn commit_of(bare: &Bare, specifier: Option<&str>) -> Result<String, WireError> {
    let missing = |text: &str| of("CommitDoesNotExistException", format!("Commit {text} does not exist"));
    let Some(text) = specifier else {
        return bare.object("HEAD").await.map_err(git)?.ok_or_else(|| missing("HEAD"));
    };
    if check_commit_id(text).is_ok() {
        return Ok(bare.commit(text).await.map_err(git)?.ok_or_else(|| missing(text))?.id);
    }
    let full = text.strip_prefix("refs/");
    if !towpath_git::bare::is_branch_name(full.unwrap_or(text)) && text != "HEAD" {
        return Err(of("InvalidCommitException", format!("{text} is not the name of a commit.")));
    }
    let names = match full {
        Some(_) => vec![text.to_owned()],
        None if text == "HEAD" => vec![text.to_owned()],
        None => vec![format!("refs/heads/{text}"), format!("refs/tags/{text}")],
    };
    for name in names {
        if let Some(commit) = bare.object(&name).await.map_err(git)? {
            return Ok(commit);
        }
    }
    Err(missing(text))
}

fn check_path(path: &str) -> Result<(), WireError> {
    if is_file_path(path) { Ok(()) } else { Err(bad_path(path)) }
}

fn check_size(content: &Blob) -> Result<(), WireError> {
    if content.0.len() > FILE_BYTES_MAX {
        return Err(of("FileContentSizeLimitExceededException", "The file has more than 6 MB. Push it with git."));
    }
    Ok(())
}

fn mode_name(git_mode: &str) -> &'static str {
    match git_mode {
        "100755" => mode::EXECUTABLE,
        "120000" => mode::SYMLINK,
        _ => mode::NORMAL,
    }
}

fn git_mode(name: Option<&str>) -> Result<&'static str, WireError> {
    match name {
        None | Some(mode::NORMAL) => Ok("100644"),
        Some(mode::EXECUTABLE) => Ok("100755"),
        Some(mode::SYMLINK) => Ok("120000"),
        Some(other) => Err(of("InvalidFileModeException", format!("{other} is not a file mode."))),
    }
}

fn metadata(path: &str, to: Option<&(String, String)>) -> FileMetadata {
    FileMetadata {
        absolute_path: Some(path.to_owned()),
        blob_id: to.map(|(_, blob)| blob.clone()),
        file_mode: to.map(|(mode, _)| mode_name(mode).to_owned()),
    }
}
