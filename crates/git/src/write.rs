//! Commits made without a working tree, as the CreateCommit and PutFile operations ask for.

use std::path::Path;

use tokio::process::Command;

use crate::bare::{Bare, File, Kind, is_file_path};
use crate::command::{self, GitError, line};
use crate::commit::Person;

/// A change of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub path: String,
    /// Mode and blob, or None: the path goes.
    pub to: Option<(String, String)>,
}

/// A commit to be made.
#[derive(Debug)]
pub struct NewCommit<'a> {
    pub parent: Option<&'a str>,
    pub changes: &'a [Change],
    pub author: &'a Person,
    pub message: &'a str,
}

/// What became of the wish for a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    Commit {
        commit: String,
        tree: String,
    },
    /// The tree is that of the parent.
    NoChange,
    /// A path that git keeps for itself, or does not take.
    BadPath(String),
    /// A path whose place is taken.
    Taken {
        path: String,
        by: Taken,
    },
}

/// What is where a file should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Another path of the same commit: one is a file where the other needs a directory.
    Path,
    Directory,
    /// A file, where the path needs a directory.
    File,
    Submodule,
}

impl Bare {
    /// Stores the bytes of a file.
    pub async fn store_blob(&self, bytes: &[u8]) -> Result<String, GitError> {
        let mut hash = self.git();
        hash.args(["hash-object", "-w", "--no-filters", "--stdin"]);
        line(&command::tell(hash, "hash-object", bytes).await?, "hash-object")
    }

    /// Makes a commit that no ref points to yet. `scratch` is a file name nobody else uses.
    pub async fn write_commit(&self, new: &NewCommit<'_>, scratch: &Path) -> Result<Written, GitError> {
        let written = self.commit_with(new, scratch).await;
        // Best effort: an index that stays behind is a small file that nobody reads.
        let _ = tokio::fs::remove_file(scratch).await;
        written
    }

    async fn commit_with(&self, new: &NewCommit<'_>, index: &Path) -> Result<Written, GitError> {
        if let Some(bad) = new.changes.iter().find(|change| !is_file_path(&change.path)) {
            return Ok(Written::BadPath(bad.path.clone()));
        }
        if let Some((path, by)) = self.conflict(new).await? {
            return Ok(Written::Taken { path, by });
        }
        let git = || -> Command {
            let mut command = self.git();
            command.env("GIT_INDEX_FILE", index);
            command
        };
        let mut read = git();
        match new.parent {
            Some(parent) => read.args(["read-tree", parent]),
            None => read.args(["read-tree", "--empty"]),
        };
        command::ask(read, "read-tree").await?;
        let gone = "0".repeat(40);
        let mut input = Vec::new();
        for change in new.changes {
            let (mode, blob) = change.to.as_ref().map_or(("0", gone.as_str()), |(mode, blob)| (mode, blob));
            input.extend_from_slice(format!("{mode} {blob}\t{}\0", change.path).as_bytes());
        }
        let mut update = git();
        update.args(["update-index", "--add", "-z", "--index-info"]);
        match command::tell(update, "update-index", &input).await {
            Ok(_) => {}
            Err(GitError::Failed { said, .. }) => return Ok(Written::BadPath(said)),
            Err(error) => return Err(error),
        }
        let mut write = git();
        write.arg("write-tree");
        let tree = line(&command::ask(write, "write-tree").await?, "write-tree")?;
        // What git leaves out with a mere warning was no path for it.
        for change in new.changes {
            let there: Option<File> = self.file(&tree, &change.path).await?;
            if there.is_some() != change.to.is_some() {
                return Ok(Written::BadPath(change.path.clone()));
            }
        }
        if let Some(parent) = new.parent
            && self.commit(parent).await?.is_some_and(|parent| parent.tree == tree)
        {
            return Ok(Written::NoChange);
        }
        let mut make = git();
        make.args(["-c", "commit.gpgSign=false", "commit-tree", &tree]);
        if let Some(parent) = new.parent {
            make.args(["-p", parent]);
        }
        let date = format!("{} {}", new.author.seconds, new.author.offset);
        for role in ["AUTHOR", "COMMITTER"] {
            make.env(format!("GIT_{role}_NAME"), &new.author.name)
                .env(format!("GIT_{role}_EMAIL"), &new.author.email)
                .env(format!("GIT_{role}_DATE"), &date);
        }
        let commit = line(&command::tell(make, "commit-tree", new.message.as_bytes()).await?, "commit-tree")?;
        Ok(Written::Commit { commit, tree })
    }
}

impl Bare {
    /// A path that would be a file where a directory is, or the other way round: git would replace the one by the other.
    async fn conflict(&self, new: &NewCommit<'_>) -> Result<Option<(String, Taken)>, GitError> {
        let puts = || new.changes.iter().filter(|change| change.to.is_some());
        let goes = |path: &str| new.changes.iter().any(|change| change.path == path && change.to.is_none());
        for put in puts() {
            let path = put.path.as_str();
            let above = || path.match_indices('/').map(|(at, _)| &path[..at]);
            if puts().any(|other| above().any(|directory| directory == other.path)) {
                return Ok(Some((path.to_owned(), Taken::Path)));
            }
            let Some(parent) = new.parent else { continue };
            let mut by = match self.kind(parent, path).await? {
                Some(Kind::Directory) => Some(Taken::Directory),
                Some(Kind::Submodule) => Some(Taken::Submodule),
                Some(Kind::File) | None => None,
            };
            for directory in above() {
                by = by.or(match self.kind(parent, directory).await? {
                    Some(Kind::File) if !goes(directory) => Some(Taken::File),
                    Some(Kind::Submodule) => Some(Taken::Submodule),
                    _ => None,
                });
            }
            if let Some(by) = by {
                return Ok(Some((path.to_owned(), by)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &str, blob: &str) -> Change {
        Change { path: path.to_owned(), to: Some(("100644".to_owned(), blob.to_owned())) }
    }

    fn after<'a>(parent: &'a str, changes: &'a [Change], author: &'a Person) -> NewCommit<'a> {
        NewCommit { parent: Some(parent), changes, author, message: "Next" }
    }

    #[tokio::test]
    async fn commits_grow_on_branches() {
        let directory = tempfile::tempdir().expect("a directory");
        let bare = Bare::create(directory.path().join("r.git")).await.expect("made");
        let bare = Bare::create(bare.directory()).await.expect("made again, with no harm");
        assert_eq!(bare.head().await.expect("a head"), ("main".to_owned(), false));
        let blob = bare.store_blob(b"hello\r\n").await.expect("stored");
        let author = Person {
            name: "Ann".into(),
            email: "ann@example.org".into(),
            seconds: 1_700_000_000,
            offset: "+0000".into(),
        };
        let index = directory.path().join("index");
        let first = [put("a/b.txt", &blob), put("[x]*.txt", &blob)];
        let new = NewCommit { parent: None, changes: &first, author: &author, message: "First" };
        let Written::Commit { commit, tree } = bare.write_commit(&new, &index).await.expect("written") else {
            panic!("no commit")
        };
        assert!(bare.create_branch("work", &commit).await.expect("asked"));
        assert!(!bare.create_branch("work", &commit).await.expect("asked"), "there is one");
        bare.choose_head().await.expect("chosen");
        assert_eq!(bare.head().await.expect("a head"), ("work".to_owned(), true));
        assert_eq!(bare.branches().await.expect("listed"), [("work".to_owned(), commit.clone())]);
        let found = bare.commit(&commit).await.expect("asked").expect("a commit");
        assert_eq!((found.tree, found.parents, found.message.trim_end()), (tree, vec![], "First"));
        assert_eq!((found.author, found.committer.seconds), (author.clone(), 1_700_000_000));
        let file = bare.file(&commit, "[x]*.txt").await.expect("asked").expect("a file");
        assert_eq!(
            (file.mode.as_str(), file.size, bare.blob(&file.blob).await.expect("read")),
            ("100644", 7, b"hello\r\n".to_vec())
        );
        assert_eq!(bare.file(&commit, "a").await.expect("asked"), None, "a directory");

        let same = [put("a/b.txt", &blob)];
        assert_eq!(bare.write_commit(&after(&commit, &same, &author), &index).await.expect("asked"), Written::NoChange);
        for bad in ["../x", ".git/config", "/etc/passwd"] {
            let bad = [put(bad, &blob)];
            let written = bare.write_commit(&after(&commit, &bad, &author), &index).await.expect("asked");
            assert!(matches!(written, Written::BadPath(_)), "{bad:?} {written:?}");
        }
        for (paths, by) in
            [(&["a"][..], Taken::Directory), (&["a/b.txt/c"], Taken::File), (&["new", "new/file"], Taken::Path)]
        {
            let changes: Vec<Change> = paths.iter().map(|path| put(path, &blob)).collect();
            let written = bare.write_commit(&after(&commit, &changes, &author), &index).await.expect("asked");
            assert!(matches!(&written, Written::Taken { by: found, .. } if *found == by), "{paths:?} {written:?}");
        }
        let gone = [Change { path: "a/b.txt".into(), to: None }];
        let Written::Commit { commit: second, .. } =
            bare.write_commit(&after(&commit, &gone, &author), &index).await.expect("asked")
        else {
            panic!("no commit")
        };
        let zeros = "0".repeat(40);
        assert!(!bare.update_branch("work", &second, &zeros).await.expect("asked"), "it is there");
        assert!(bare.update_branch("work", &second, &commit).await.expect("asked"));
        assert_eq!(bare.branch("work").await.expect("asked"), Some(second.clone()));
        assert!(!index.exists());
        assert!(!bare.delete_branch("work", &commit).await.expect("asked"), "it points elsewhere");
        assert!(bare.delete_branch("work", &second).await.expect("asked"));
        assert_eq!(bare.branch("work").await.expect("asked"), None);
        assert_eq!(bare.commit("--batch").await.expect("asked"), None);
    }
}
