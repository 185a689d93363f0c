//! What git says of a directory, and a clone of what only has an address. Runs the `git` command; a directory without git,
//! or a machine without it, is a directory all the same.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::limits;

/// The commit that a directory stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub commit: String,
    /// None on a detached head.
    pub branch: Option<String>,
    pub author: String,
    pub author_email: String,
    /// As AWS writes it: `2026-10-01T13:00:00Z`.
    pub author_date: String,
    pub committer_date: String,
    /// Seconds.
    pub committed: i64,
    pub message: String,
    /// The files are not those of the commit.
    pub changed: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    #[error("the git command is needed to clone it, and cannot be run: {0}")]
    NoGit(std::io::Error),
    #[error("git clone did not end within {} minutes", limits::CLONE_TIMEOUT.as_secs() / 60)]
    Slow,
    #[error("{0}")]
    Refused(String),
}

fn git(directory: &Path) -> Command {
    let mut git = Command::new("git");
    // Looking must not change anything, nor run what the repository's own configuration names.
    git.arg("-C").arg(directory).args(["-c", "core.fsmonitor=false"]);
    git.env("GIT_OPTIONAL_LOCKS", "0").env("TZ", "UTC").env("LC_ALL", "C");
    git.stdin(Stdio::null()).kill_on_drop(true);
    git
}

async fn told(command: &mut Command) -> Option<String> {
    let output = tokio::time::timeout(limits::GIT_TIMEOUT, command.stderr(Stdio::null()).output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The head of the working tree that `directory` is in; None where git knows none.
pub async fn head(directory: &Path, data: &Path) -> Option<Head> {
    const DATE: &str = "--date=format-local:%Y-%m-%dT%H:%M:%SZ";
    let log =
        told(git(directory).args(["log", "-1", "--format=%H%x00%an%x00%ae%x00%ad%x00%cd%x00%ct%x00%B", DATE])).await?;
    let mut fields = log.splitn(7, '\0');
    let mut next = || fields.next().map(str::to_owned);
    let (commit, author, author_email) = (next()?, next()?, next()?);
    let (author_date, committer_date, committed) = (next()?, next()?, next()?.parse().ok()?);
    let message = next()?.trim_end().chars().take(limits::COMMIT_MESSAGE_CHARS_MAX).collect();
    let branch = told(git(directory).args(["symbolic-ref", "--short", "-q", "HEAD"])).await;
    let mut status = git(directory);
    status.args(["status", "--porcelain", "--untracked-files=normal", "--", "."]);
    // Our own data is no part of the source.
    if let Some(inside) = inside(directory, data) {
        status.arg(format!(":(exclude){}", inside.display()));
    }
    let changed = told(&mut status).await.is_none_or(|status| !status.trim().is_empty());
    let branch = branch.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    Some(Head { commit, branch, author, author_email, author_date, committer_date, committed, message, changed })
}

fn inside(directory: &Path, data: &Path) -> Option<PathBuf> {
    let (directory, data) = (directory.canonicalize().ok()?, data.canonicalize().ok()?);
    data.strip_prefix(directory).ok().filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned)
}

/// Clones the newest commit of a branch (of the default branch without one) into `directory`, which must not exist.
pub async fn clone(url: &str, branch: Option<&str>, directory: &Path) -> Result<(), CloneError> {
    let mut git = Command::new("git");
    git.args(["clone", "--quiet", "--depth", "1", "--recurse-submodules", "--shallow-submodules"]);
    if let Some(branch) = branch {
        git.args(["--branch", branch]);
    }
    git.arg("--").arg(url).arg(directory);
    // Nobody is there to type a password.
    git.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(limits::CLONE_TIMEOUT, git.output()).await;
    let Output { status, stderr, .. } = output.map_err(|_| CloneError::Slow)?.map_err(CloneError::NoGit)?;
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&stderr);
    Err(CloneError::Refused(text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(directory: &Path, arguments: &[&str]) {
        let mut command = git(directory);
        command.args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"]);
        command
            .env("GIT_AUTHOR_DATE", "2026-10-01T15:00:00+02:00")
            .env("GIT_COMMITTER_DATE", "2026-10-01T16:00:00+02:00");
        command.env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = command.args(arguments).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    #[tokio::test]
    async fn a_working_tree_tells_its_commit_and_whether_it_differs() {
        let tree = tempfile::tempdir().unwrap();
        let data = tree.path().join("state");
        std::fs::create_dir_all(&data).unwrap();
        assert_eq!(head(tree.path(), &data).await, None, "no git");
        run(tree.path(), &["init", "-q", "-b", "trunk"]).await;
        assert_eq!(head(tree.path(), &data).await, None, "no commit");
        std::fs::write(tree.path().join("a"), "1").unwrap();
        run(tree.path(), &["add", "a"]).await;
        run(tree.path(), &["commit", "-q", "-m", "One\n\nand why"]).await;
        std::fs::write(data.join("db"), "ours").unwrap();
        let clean = head(tree.path(), &data).await.unwrap();
        assert_eq!(clean.commit.len(), 40);
        assert_eq!(clean.branch.as_deref(), Some("trunk"));
        assert_eq!((clean.author.as_str(), clean.author_email.as_str()), ("Ann", "ann@example.com"));
        assert_eq!(
            (clean.author_date.as_str(), clean.committer_date.as_str(), clean.committed),
            ("2026-10-01T13:00:00Z", "2026-10-01T14:00:00Z", 1_790_863_200)
        );
        assert_eq!(clean.message, "One\n\nand why");
        assert!(!clean.changed, "the data directory is no part of it");
        std::fs::write(tree.path().join("b"), "new").unwrap();
        assert!(head(tree.path(), &data).await.unwrap().changed, "a file that git does not know yet");
        std::fs::remove_file(tree.path().join("b")).unwrap();
        std::fs::write(tree.path().join("a"), "2").unwrap();
        assert!(head(tree.path(), &data).await.unwrap().changed);
        run(tree.path(), &["checkout", "-q", "--detach"]).await;
        assert_eq!(head(tree.path(), &data).await.unwrap().branch, None);
    }

    #[tokio::test]
    async fn an_address_is_cloned() {
        let origin = tempfile::tempdir().unwrap();
        run(origin.path(), &["init", "-q", "-b", "main"]).await;
        std::fs::write(origin.path().join("a"), "1").unwrap();
        run(origin.path(), &["add", "a"]).await;
        run(origin.path(), &["commit", "-q", "-m", "One"]).await;
        run(origin.path(), &["branch", "other"]).await;
        let place = tempfile::tempdir().unwrap();
        let url = format!("file://{}", origin.path().display());
        let copy = place.path().join("copy");
        clone(&url, Some("other"), &copy).await.unwrap();
        assert_eq!(std::fs::read_to_string(copy.join("a")).unwrap(), "1");
        assert_eq!(head(&copy, place.path()).await.unwrap().branch.as_deref(), Some("other"));
        let error = clone(&url, Some("gone"), &place.path().join("two")).await.unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
    }
}
