//! A repository that Towpath keeps: bare, without hooks, every acknowledged write on the disk. What the repository holds is
//! asked of git each time; nothing of it is kept elsewhere.

use std::path::{Path, PathBuf};

use crate::command::{self, GitError, git, git_in, is_object_id, line};
use crate::commit::{self, Commit};
use crate::limits::{ANSWER_BYTES_MAX, ANSWER_TIME, REFS_MAX};

/// Settings that every kept repository has, as its configuration file says them. `core.fsync`: a ref that was acknowledged,
/// and all that it leads to, survives a loss of power.
const SETTINGS: &str = "\
[core]
\tfsync = all
\tlogAllRefUpdates = false
[receive]
\tdenyDeleteCurrent = refuse
\tdenyNonFastForwards = false
\tadvertisePushOptions = false
[transfer]
\tadvertiseSID = false
[uploadpack]
\tallowAnySHA1InWant = true
[http]
\treceivepack = true
";

const BRANCHES: &str = "refs/heads/";

#[derive(Debug, Clone)]
pub struct Bare {
    directory: PathBuf,
}

/// A file at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub blob: String,
    /// As in git: `100644`, `100755`, `120000`.
    pub mode: String,
    pub size: u64,
}

/// What a path of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Submodule,
}

impl Bare {
    /// A repository that is there.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Makes an empty one. Done again after a crash it does no harm.
    pub async fn create(directory: impl Into<PathBuf>) -> Result<Self, GitError> {
        let bare = Self::at(directory);
        let mut init = git();
        init.args(["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--"]).arg(&bare.directory);
        command::ask(init, "init").await?;
        let file = bare.directory.join("config");
        let text = tokio::fs::read_to_string(&file).await?;
        if !text.ends_with(SETTINGS) {
            tokio::fs::write(&file, text + SETTINGS).await?;
        }
        Ok(bare)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A `git` command about this repository.
    pub fn git(&self) -> tokio::process::Command {
        git_in(&self.directory)
    }

    /// Branches and the commits they point to, by name.
    pub async fn branches(&self) -> Result<Vec<(String, String)>, GitError> {
        const DOING: &str = "for-each-ref";
        let mut list = self.git();
        list.args([DOING, "--sort=refname", "--format=%(objectname) %(refname)"]);
        list.arg(format!("--count={REFS_MAX}")).arg(BRANCHES);
        let out = command::ask(list, DOING).await?;
        let text = String::from_utf8_lossy(&out);
        let read = |line: &str| {
            let (id, name) = line.split_once(' ')?;
            Some((name.strip_prefix(BRANCHES)?.to_owned(), id.to_owned()))
        };
        Ok(text.lines().filter_map(read).collect())
    }

    /// The commit that a branch points to.
    pub async fn branch(&self, name: &str) -> Result<Option<String>, GitError> {
        if !is_branch_name(name) {
            return Ok(None);
        }
        self.object(&format!("{BRANCHES}{name}")).await
    }

    /// The commit that a full ref name leads to.
    pub async fn object(&self, full_ref: &str) -> Result<Option<String>, GitError> {
        const DOING: &str = "rev-parse";
        let mut parse = self.git();
        parse.args([DOING, "--quiet", "--verify", "--end-of-options"]).arg(format!("{full_ref}^{{commit}}"));
        let said = command::run(parse, DOING, None, ANSWER_BYTES_MAX, ANSWER_TIME).await?;
        if !said.status.success() {
            return Ok(None);
        }
        Ok(Some(line(&said.out, DOING)?).filter(|id| is_object_id(id)))
    }

    /// The branch that HEAD names, and whether it has a commit yet.
    pub async fn head(&self) -> Result<(String, bool), GitError> {
        const DOING: &str = "symbolic-ref";
        let mut head = self.git();
        head.args([DOING, "HEAD"]);
        let full = line(&command::ask(head, DOING).await?, DOING)?;
        let name = full.strip_prefix(BRANCHES).ok_or(GitError::Unreadable { doing: DOING })?.to_owned();
        let born = self.branch(&name).await?.is_some();
        Ok((name, born))
    }

    /// Makes a branch the one that HEAD names.
    pub async fn set_head(&self, branch: &str) -> Result<(), GitError> {
        let mut head = self.git();
        head.args(["symbolic-ref", "HEAD"]).arg(format!("{BRANCHES}{branch}"));
        command::ask(head, "symbolic-ref").await.map(drop)
    }

    /// The first branch becomes the default one; asked after every push. Of several that came at once `main` goes before
    /// `master`, before the first by name.
    pub async fn choose_head(&self) -> Result<(), GitError> {
        let (_, born) = self.head().await?;
        if born {
            return Ok(());
        }
        let branches = self.branches().await?;
        let named = |wanted: &str| branches.iter().find(|(name, _)| name == wanted);
        match named("main").or_else(|| named("master")).or_else(|| branches.first()) {
            Some((name, _)) => self.set_head(name).await,
            None => Ok(()),
        }
    }

    pub async fn commit(&self, id: &str) -> Result<Option<Commit>, GitError> {
        commit::find(&self.directory, id).await
    }

    /// A new branch; `false` if there is one of that name.
    pub async fn create_branch(&self, name: &str, commit: &str) -> Result<bool, GitError> {
        self.update_branch(name, commit, &"0".repeat(commit.len())).await
    }

    /// Removes a branch that still points to `commit`.
    pub async fn delete_branch(&self, name: &str, commit: &str) -> Result<bool, GitError> {
        let mut update = self.git();
        update.args(["update-ref", "-d"]).arg(format!("{BRANCHES}{name}")).arg(commit);
        let said = command::run(update, "update-ref", None, ANSWER_BYTES_MAX, ANSWER_TIME).await?;
        Ok(said.status.success())
    }

    /// Moves a branch from `old` (zeros: it is not there) to `new`; `false` if it is elsewhere by now.
    pub async fn update_branch(&self, name: &str, new: &str, old: &str) -> Result<bool, GitError> {
        let full = format!("{BRANCHES}{name}");
        let mut update = self.git();
        update.args(["update-ref", &full, new, old]);
        let said = command::run(update, "update-ref", None, ANSWER_BYTES_MAX, ANSWER_TIME).await?;
        if said.status.success() {
            return Ok(true);
        }
        // Somebody was first, or git cannot write at all.
        let now = self.object(&full).await?;
        let elsewhere = now.as_deref().unwrap_or_default() != if old.bytes().all(|b| b == b'0') { "" } else { old };
        if elsewhere { Ok(false) } else { Err(GitError::Failed { doing: "update-ref", said: said.err }) }
    }

    /// The file at a path of a commit or tree; None if there is none, or a directory.
    pub async fn file(&self, tree: &str, path: &str) -> Result<Option<File>, GitError> {
        let Some([kind, mode, blob, size]) = self.entry(tree, path).await? else { return Ok(None) };
        if kind != "blob" {
            return Ok(None);
        }
        let size = size.parse().map_err(|_| GitError::Unreadable { doing: "ls-tree" })?;
        Ok(Some(File { blob, mode, size }))
    }

    /// What is at a path of a commit or tree.
    pub async fn kind(&self, tree: &str, path: &str) -> Result<Option<Kind>, GitError> {
        Ok(self.entry(tree, path).await?.and_then(|[kind, ..]| match kind.as_str() {
            "blob" => Some(Kind::File),
            "tree" => Some(Kind::Directory),
            "commit" => Some(Kind::Submodule),
            _ => None,
        }))
    }

    /// Type, mode, object and size of what is at a path.
    async fn entry(&self, tree: &str, path: &str) -> Result<Option<[String; 4]>, GitError> {
        if !is_file_path(path) {
            return Ok(None);
        }
        let mut list = self.git();
        // Paths are paths here, not patterns.
        list.args(["--literal-pathspecs", "ls-tree", "-z", "--full-tree"]);
        list.args(["--format=%(objecttype) %(objectmode) %(objectname) %(objectsize)", tree, "--", path]);
        let out = command::ask(list, "ls-tree").await?;
        let text = String::from_utf8_lossy(&out);
        let words: Vec<String> = text.trim_end_matches('\0').split(' ').map(str::to_owned).collect();
        Ok(words.try_into().ok())
    }

    /// The bytes of a blob, which the caller knows to be small enough.
    pub async fn blob(&self, id: &str) -> Result<Vec<u8>, GitError> {
        let mut cat = self.git();
        cat.args(["cat-file", "blob", id]);
        command::ask(cat, "cat-file").await
    }
}

/// Git's own rules for the name of a branch.
pub fn is_branch_name(name: &str) -> bool {
    let bad_byte = |b: u8| b <= b' ' || b == 0x7f || b"~^:?*[\\".contains(&b);
    !(name.is_empty()
        || name == "@"
        || name == "HEAD"
        || name.len() > 256
        || name.starts_with(['-', '/'])
        || name.ends_with(['/', '.'])
        || name.contains("..")
        || name.contains("//")
        || name.contains("@{")
        || name.bytes().any(bad_byte)
        || name.split('/').any(|part| part.starts_with('.') || part.strip_suffix(".lock").is_some()))
}

/// Whether a tree may hold a file of this path.
pub fn is_file_path(path: &str) -> bool {
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git");
    !path.contains('\0') && path.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branch_names_are_what_git_takes() {
        for good in ["main", "feature/x-1", "v1.0", "ü", "a@b", "release_1"] {
            assert!(is_branch_name(good), "{good}");
        }
        for bad in [
            "", "@", "HEAD", "-x", "/x", "x/", "x.", "a..b", "a//b", "a@{b", "a b", "a~1", "a^", "a:b", "a\\b", ".a",
            "a/.b", "a.lock", "a\n",
        ] {
            assert!(!is_branch_name(bad), "{bad}");
        }
    }
}
