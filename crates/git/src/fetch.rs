//! Fetching from somebody's git server: one commit for a source action, everything for a build that clones. Bounded in
//! time and size. A credential reaches git through the environment of the one command that needs it, and git hands it to
//! the one server that it is for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;
use towpath_model::secret::Secret;

use crate::command::{self, GitError, Said, git, git_in, is_object_id};
use crate::commit::{self, Commit};
use crate::limits;

/// Answers git's question for a user and a password from the environment. Git asks for no other server: see `scoped`.
const HELPER: &str = r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$TOWPATH_GIT_USER" "$TOWPATH_GIT_PASSWORD"; }; f"#;
const FETCHING: &str = "fetch";

/// A repository elsewhere.
#[derive(Debug, Clone)]
pub struct Remote {
    url: String,
    access: Access,
}

/// How the server is told who asks.
#[derive(Debug, Clone)]
pub enum Access {
    Anonymous,
    Basic {
        user: String,
        password: Secret,
    },
    /// Over SSH; the command is what `GIT_SSH_COMMAND` takes, with the key's file and the known hosts.
    Ssh {
        command: String,
    },
}

/// What a fetch may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub time: Duration,
    /// Packed.
    pub bytes: u64,
    /// Unpacked.
    pub tree_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { time: limits::FETCH_TIME, bytes: limits::FETCH_BYTES_MAX, tree_bytes: limits::TREE_BYTES_MAX }
    }
}

/// Why nothing was fetched, as far as git's words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The server wants credentials, or others.
    Unauthorized,
    /// The server knows who asks and says no.
    Forbidden,
    /// Over SSH: the server is not the one that is known.
    HostKey,
    NoRepository,
    /// The repository lacks the branch or the commit.
    NoRevision,
    /// Not now: the network, or the server's trouble.
    Unreachable,
    TooLarge,
    Other,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{said}")]
    Refused { reason: Reason, said: String },
    #[error(transparent)]
    Git(#[from] GitError),
}

impl FetchError {
    fn refused(reason: Reason, said: impl Into<String>) -> Self {
        Self::Refused { reason, said: said.into() }
    }

    pub fn reason(&self) -> Reason {
        match self {
            Self::Refused { reason, .. } => *reason,
            Self::Git(GitError::TooSlow { .. }) => Reason::Unreachable,
            Self::Git(GitError::TooLarge { .. }) => Reason::TooLarge,
            Self::Git(_) => Reason::Other,
        }
    }
}

impl Remote {
    /// `https://`, `http://`, and with SSH access `ssh://` or `USER@HOST:PATH`. Nothing that names a local file or a
    /// program, and no credentials inside the URL.
    pub fn new(url: impl Into<String>, access: Access) -> Result<Self, FetchError> {
        let url = url.into();
        let no = |why: &str| Err(FetchError::refused(Reason::Other, format!("The repository's URL {why}.")));
        if url.starts_with('-') || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return no("is not one");
        }
        let web = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        match (&access, web) {
            (Access::Ssh { .. }, None) if url.starts_with("ssh://") || is_scp(&url) => {}
            (Access::Ssh { .. }, _) => return no("does not begin with ssh://"),
            (_, None) => return no("begins neither with https:// nor with http://"),
            (_, Some(rest)) if rest.split('/').next().unwrap_or_default().contains('@') => {
                return no("carries credentials, which belong elsewhere");
            }
            (_, Some(_)) => {}
        }
        if let Access::Basic { user, password } = &access
            && [user.as_str(), password.expose()].iter().any(|text| text.chars().any(char::is_control))
        {
            return Err(FetchError::refused(Reason::Other, "The user name or password has control characters."));
        }
        Ok(Self { url, access })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Prepares a command to speak with the server, and with no other.
    fn reach(&self, command: &mut Command) {
        let mut config = vec![
            ("http.lowSpeedLimit".to_owned(), limits::SLOW_BYTES.to_owned()),
            ("http.lowSpeedTime".to_owned(), limits::SLOW_SECONDS.to_owned()),
            ("fetch.recurseSubmodules".to_owned(), "false".to_owned()),
            ("transfer.bundleURI".to_owned(), "false".to_owned()),
            ("gc.auto".to_owned(), "0".to_owned()),
            // Packs are indexed in bounded memory, and are where it is looked how much came.
            ("fetch.unpackLimit".to_owned(), "1".to_owned()),
        ];
        match &self.access {
            Access::Anonymous => {
                command.env("GIT_ALLOW_PROTOCOL", "https:http");
            }
            Access::Basic { user, password } => {
                command.env("GIT_ALLOW_PROTOCOL", "https:http");
                command.env("TOWPATH_GIT_USER", user).env("TOWPATH_GIT_PASSWORD", password.expose());
                config.push((format!("credential.{}.helper", scoped(&self.url)), HELPER.to_owned()));
            }
            Access::Ssh { command: ssh } => {
                command.env("GIT_ALLOW_PROTOCOL", "ssh").env("GIT_SSH_COMMAND", ssh).env("GIT_SSH_VARIANT", "ssh");
            }
        }
        command.env("GIT_CONFIG_COUNT", config.len().to_string());
        for (index, (key, value)) in config.into_iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
    }

    /// The answer, or why there is none. Should the server repeat what it was told, the password stays out of its words.
    fn answered(&self, said: Said) -> Result<Vec<u8>, FetchError> {
        if said.status.success() {
            return Ok(said.out);
        }
        let reason = reason(&said.err);
        let mut words = said.err;
        if let Access::Basic { user, password } = &self.access {
            let sent = STANDARD.encode(format!("{user}:{}", password.expose()));
            for secret in [password.expose(), &sent] {
                if !secret.is_empty() {
                    words = words.replace(secret, "****");
                }
            }
        }
        Err(FetchError::Refused { reason, said: words })
    }

    /// The object that a full ref name (`refs/heads/main`) leads to; of an annotated tag the commit.
    pub async fn resolve(&self, full_ref: &str) -> Result<Option<String>, FetchError> {
        let mut command = git();
        self.reach(&mut command);
        let peeled = format!("{full_ref}^{{}}");
        command.args(["ls-remote", "--quiet", "--", &self.url, full_ref, &peeled]);
        let said = command::run(command, "ls-remote", None, limits::ANSWER_BYTES_MAX, limits::ANSWER_TIME).await?;
        let out = self.answered(said)?;
        let text = String::from_utf8_lossy(&out);
        let mut found = None;
        for (id, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            if name == peeled || (name == full_ref && found.is_none()) {
                found = Some(id.to_owned());
            }
        }
        Ok(found.filter(|id| is_object_id(id)))
    }

    /// The branch that HEAD names there, none in an empty repository, and how long its ids are.
    async fn head(&self) -> Result<(Option<String>, usize), FetchError> {
        let mut command = git();
        self.reach(&mut command);
        command.args(["ls-remote", "--quiet", "--symref", "--", &self.url, "HEAD"]);
        let said = command::run(command, "ls-remote", None, limits::ANSWER_BYTES_MAX, limits::ANSWER_TIME).await?;
        let out = self.answered(said)?;
        let text = String::from_utf8_lossy(&out);
        let mut lines = text.lines();
        let branch = lines.find_map(|line| line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD"));
        let id = text.lines().filter_map(|line| line.strip_suffix("\tHEAD")).find(|id| is_object_id(id));
        Ok((branch.map(ToOwned::to_owned), id.map_or(limits::OBJECT_ID_CHARS[0], str::len)))
    }

    /// Makes a bare repository what the other one is now: every branch and every tag, and nothing else. The first time
    /// it is made; the server is asked before that, so that what does not exist there leaves nothing here.
    pub async fn mirror(&self, repository: &Path, bounds: &Bounds) -> Result<(), FetchError> {
        if !repository.join("HEAD").exists() {
            let (branch, id_chars) = self.head().await?;
            init(repository, true, id_chars, branch.as_deref()).await?;
        }
        let refs = ["+refs/heads/*:refs/heads/*".to_owned(), "+refs/tags/*:refs/tags/*".to_owned()];
        self.fetch(repository, &["--prune", "--force", "--no-write-fetch-head"], &refs, bounds).await?;
        // In the foreground: nothing may outlive the command.
        let mut tidy = git_in(repository);
        tidy.args(["-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false", "gc", "--auto", "--quiet"]);
        let tidied = command::run(tidy, "gc", None, limits::ANSWER_BYTES_MAX, bounds.time).await;
        if let Err(error) = tidied.and_then(|said| said.success("gc")) {
            // The repository is whole; the next fetch tries again.
            tracing::debug!(%error, repository = %repository.display(), "a mirror stays untidy");
        }
        Ok(())
    }

    /// Fetches exactly one commit into a new bare repository. `branch` is where to look for it should the server not
    /// hand out commits by their id.
    pub async fn fetch_commit(
        &self,
        repository: &Path,
        id: &str,
        branch: Option<&str>,
        bounds: &Bounds,
    ) -> Result<Commit, FetchError> {
        if !is_object_id(id) {
            return Err(FetchError::refused(Reason::NoRevision, format!("{id} is not the whole id of a commit")));
        }
        init(repository, true, id.len(), None).await?;
        match self.fetch(repository, &["--depth", "1", "--no-tags"], &[id.to_owned()], bounds).await {
            Ok(()) => {}
            Err(error) if error.reason() == Reason::NoRevision => {
                let branches = branch.map_or_else(
                    || "+refs/heads/*:refs/heads/*".to_owned(),
                    |branch| format!("+refs/heads/{branch}:refs/heads/{branch}"),
                );
                self.fetch(repository, &["--no-tags"], &[branches], bounds).await?;
            }
            Err(error) => return Err(error),
        }
        match commit::find(repository, id).await? {
            Some(commit) => Ok(commit),
            None => Err(FetchError::refused(Reason::NoRevision, format!("The repository has no commit {id}."))),
        }
    }

    /// Clones everything into the new directory `work_tree`, whose `origin` is called `shown_url`, and checks the commit
    /// out with a detached HEAD.
    pub async fn clone_at(
        &self,
        work_tree: &Path,
        shown_url: &str,
        id: &str,
        bounds: &Bounds,
    ) -> Result<Commit, FetchError> {
        if !is_object_id(id) {
            return Err(FetchError::refused(Reason::NoRevision, format!("{id} is not the whole id of a commit")));
        }
        let repository = work_tree.join(".git");
        init(work_tree, false, id.len(), None).await?;
        let mut remote = git_in(&repository);
        remote.args(["remote", "add", "origin", "--", shown_url]);
        command::ask(remote, "remote").await?;
        let refs = ["+refs/heads/*:refs/remotes/origin/*".to_owned(), "+refs/tags/*:refs/tags/*".to_owned()];
        self.fetch(&repository, &["--no-write-fetch-head"], &refs, bounds).await?;
        // A commit on no branch, such as a pull request's.
        if commit::find(&repository, id).await?.is_none() {
            self.fetch(&repository, &["--no-write-fetch-head"], &[id.to_owned()], bounds).await?;
        }
        let Some(commit) = commit::find(&repository, id).await? else {
            return Err(FetchError::refused(Reason::NoRevision, format!("The repository has no commit {id}.")));
        };
        check_tree(&repository, id, bounds).await?;
        let mut checkout = git_in(&repository);
        checkout.arg("--work-tree").arg(work_tree).args(["checkout", "--quiet", "--force", "--detach", id]);
        let said = command::run(checkout, "checkout", None, limits::ANSWER_BYTES_MAX, bounds.time).await?;
        said.success("checkout")?;
        Ok(commit)
    }

    async fn fetch(
        &self,
        repository: &Path,
        options: &[&str],
        refs: &[String],
        bounds: &Bounds,
    ) -> Result<(), FetchError> {
        let mut command = git_in(repository);
        self.reach(&mut command);
        command.args(["fetch", "--quiet", "--no-recurse-submodules", "--no-auto-maintenance"]).args(options);
        command.arg("--").arg(&self.url).args(refs);
        let fetching = command::run(command, FETCHING, None, limits::ANSWER_BYTES_MAX, bounds.time);
        let packs = repository.join("objects/pack");
        let too_large = || {
            let text = format!("The repository is larger than {} bytes.", bounds.bytes);
            Err(FetchError::refused(Reason::TooLarge, text))
        };
        tokio::select! {
            said = fetching => self.answered(said?)?,
            () = outgrown(&packs, bounds.bytes) => return too_large(),
        };
        // What came between two looks.
        if size(&packs).await > bounds.bytes { too_large() } else { Ok(()) }
    }
}

/// Writes the files of a commit into a directory: exactly what git stores, with no conversion of any kind. A symbolic link
/// becomes a file that holds its target, a submodule an empty directory.
pub async fn export(repository: &Path, id: &str, into: &Path, bounds: &Bounds) -> Result<(), FetchError> {
    check_tree(repository, id, bounds).await?;
    tokio::fs::create_dir_all(into).await.map_err(GitError::Files)?;
    let info = repository.join("info");
    tokio::fs::create_dir_all(&info).await.map_err(GitError::Files)?;
    // These go before what .gitattributes files say.
    let attributes = "* -text -ident -filter -working-tree-encoding\n";
    tokio::fs::write(info.join("attributes"), attributes).await.map_err(GitError::Files)?;
    let mut read = git_in(repository);
    read.args(["read-tree", "--", id]);
    command::ask(read, "read-tree").await?;
    let mut checkout = git_in(repository);
    checkout.args(["-c", "core.symlinks=false", "-c", "core.autocrlf=false", "-c", "core.bare=false", "--work-tree"]);
    checkout.arg(into).args(["checkout-index", "--all", "--force", "--quiet"]);
    let said = command::run(checkout, "checkout-index", None, limits::ANSWER_BYTES_MAX, bounds.time).await?;
    said.success("checkout-index")?;
    Ok(())
}

/// Refuses trees that would fill the disk.
async fn check_tree(repository: &Path, id: &str, bounds: &Bounds) -> Result<(), FetchError> {
    let mut list = git_in(repository);
    list.args(["ls-tree", "-r", "--full-tree", "--format=%(objectsize)", id]);
    let out = command::run(list, "ls-tree", None, limits::ANSWER_BYTES_MAX, limits::ANSWER_TIME).await?;
    let out = out.success("ls-tree")?;
    let sizes =
        out.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok()?.trim().parse::<u64>().ok());
    let total = sizes.fold(0_u64, u64::saturating_add);
    if total > bounds.tree_bytes {
        let text = format!("The files of commit {id} have {total} bytes; {} are allowed.", bounds.tree_bytes);
        return Err(FetchError::refused(Reason::TooLarge, text));
    }
    Ok(())
}

async fn init(directory: &Path, bare: bool, id_chars: usize, branch: Option<&str>) -> Result<(), GitError> {
    let mut init = git();
    init.args(["init", "--quiet", "--template="]).arg(format!("--initial-branch={}", branch.unwrap_or("main")));
    if bare {
        init.arg("--bare");
    }
    if id_chars == limits::OBJECT_ID_CHARS[1] {
        init.arg("--object-format=sha256");
    }
    init.arg("--").arg(directory);
    command::ask(init, "init").await.map(drop)
}

/// Ends when a directory's files have more than so many bytes.
async fn outgrown(directory: &Path, bytes_max: u64) {
    loop {
        tokio::time::sleep(limits::LOOK).await;
        if size(directory).await > bytes_max {
            return;
        }
    }
}

/// The bytes of a directory's files. What cannot be read now is not large.
async fn size(directory: &Path) -> u64 {
    let directory: PathBuf = directory.to_owned();
    let sum = tokio::task::spawn_blocking(move || {
        let entries = std::fs::read_dir(directory).ok()?;
        Some(entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|found| found.len()).sum::<u64>())
    });
    sum.await.ok().flatten().unwrap_or(0)
}

/// `https://host:port`: git asks the helper for no other place, whereto it may be redirected.
fn scoped(url: &str) -> &str {
    let after = url.find("://").map_or(0, |at| at + 3);
    url[after..].find('/').map_or(url, |slash| &url[..after + slash])
}

fn is_scp(url: &str) -> bool {
    url.split_once(':').is_some_and(|(host, path)| {
        !host.is_empty()
            && !host.contains('/')
            && !host.starts_with('-')
            && !path.starts_with("//")
            && !path.starts_with('-')
    })
}

/// What git's complaint means. Its words are stable in the C locale; what is not recognised is not guessed.
fn reason(said: &str) -> Reason {
    const WORDS: &[(Reason, &[&str])] = &[
        (Reason::HostKey, &["Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"]),
        (Reason::Forbidden, &["returned error: 403"]),
        (
            Reason::Unauthorized,
            &[
                "Authentication failed",
                "could not read Username",
                "could not read Password",
                "returned error: 401",
                "Permission denied (",
                "Invalid username or token",
            ],
        ),
        (
            Reason::NoRevision,
            &[
                "couldn't find remote ref",
                "not our ref",
                "unadvertised object",
                "no such remote ref",
                "Could not find remote branch",
            ],
        ),
        (
            Reason::NoRepository,
            &[
                "returned error: 404",
                "' not found",
                "epository not found",
                "Project not found",
                "could not be found",
                "does not appear to be a git repository",
            ],
        ),
        (
            Reason::Unreachable,
            &[
                "Could not resolve host",
                "Could not resolve hostname",
                "Failed to connect",
                "Couldn't connect to server",
                "Connection refused",
                "Connection reset",
                "Connection timed out",
                "Connection closed",
                "Operation timed out",
                "Timeout was reached",
                "No route to host",
                "Network is unreachable",
                "Temporary failure in name resolution",
                "Operation too slow",
                "early EOF",
                "unexpected disconnect",
                "Empty reply from server",
                "returned error: 429",
                "returned error: 5",
                "transfer closed",
                "Recv failure",
            ],
        ),
    ];
    let found = WORDS.iter().find(|(_, words)| words.iter().any(|word| said.contains(word)));
    found.map_or(Reason::Other, |(reason, _)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_servers_and_carry_no_secrets() {
        let basic = || Access::Basic { user: "u".into(), password: Secret::new("p") };
        let ssh = || Access::Ssh { command: "ssh".into() };
        for (url, access) in [
            ("https://example.org/a.git", Access::Anonymous),
            ("http://127.0.0.1:7400/v1/repos/x", basic()),
            ("ssh://git@example.org/a.git", ssh()),
            ("git@example.org:a/b.git", ssh()),
        ] {
            assert!(Remote::new(url, access).is_ok(), "{url}");
        }
        for (url, access) in [
            ("--upload-pack=touch /tmp/x", Access::Anonymous),
            ("ext::sh -c x", Access::Anonymous),
            ("file:///etc", Access::Anonymous),
            ("/etc", Access::Anonymous),
            ("https://user:hunter2@example.org/a", Access::Anonymous),
            ("https://example.org/a\nb", Access::Anonymous),
            ("ssh://example.org/a", basic()),
            ("https://example.org/a", ssh()),
            ("-oProxyCommand=x:a", ssh()),
            ("https://example.org/a", Access::Basic { user: "u\nhost=evil".into(), password: Secret::new("p") }),
        ] {
            let error = Remote::new(url, access).expect_err(url).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert_eq!(scoped("https://example.org:8443/a/b"), "https://example.org:8443");
        assert_eq!(scoped("https://example.org"), "https://example.org");
    }

    #[test]
    fn complaints_are_classified() {
        for (said, wanted) in [
            ("fatal: unable to access 'http://h/': The requested URL returned error: 403", Reason::Forbidden),
            ("fatal: could not read Username for 'http://h': terminal prompts disabled", Reason::Unauthorized),
            ("fatal: Authentication failed for 'http://h/'", Reason::Unauthorized),
            ("fatal: repository 'http://h/' not found", Reason::NoRepository),
            ("remote: Repository not found.; fatal: repository 'https://h/o/r.git/' not found", Reason::NoRepository),
            ("fatal: '/srv/x.git' does not appear to be a git repository", Reason::NoRepository),
            ("git@h: Permission denied (publickey).; fatal: Could not read", Reason::Unauthorized),
            ("Host key verification failed.; fatal: Could not read from remote repository.", Reason::HostKey),
            ("ssh: connect to host h port 22: Connection refused; fatal: Could not read", Reason::Unreachable),
            ("fatal: unable to access 'x': Could not resolve host: h", Reason::Unreachable),
            ("fatal: couldn't find remote ref refs/heads/x", Reason::NoRevision),
            ("fatal: remote error: upload-pack: not our ref 0123", Reason::NoRevision),
            ("fatal: unable to access 'http://h/': Failed to connect to h port 1", Reason::Unreachable),
            ("fatal: unable to access 'http://h/': The requested URL returned error: 503", Reason::Unreachable),
            ("fatal: something new", Reason::Other),
        ] {
            assert_eq!(reason(said), wanted, "{said}");
        }
    }
}
