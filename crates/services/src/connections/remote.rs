//! One git command against a git host, with the connection's secret. The secret goes through the environment of the
//! command (a token) or a file of mode 0600 that lives as long as the command (an SSH key): never an argument, never a
//! configuration file, never a log. The token is offered to the connection's own host alone, whoever it redirects to.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use http::Uri;
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::credential::{Access, Credential, token_user};
use super::limits;

/// Why a git host gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteError {
    /// The host does not take the token or the key.
    Refused,
    /// There is no such repository, or none that the credential may see.
    NoRepository,
    /// The host's SSH key is not the one that is known.
    HostKey,
    /// Nobody answers, or not in time: git's own last words.
    Unavailable(String),
    /// This machine cannot do it.
    Here(String),
}

/// Answers git's question for a user name and a password, from the environment.
const HELPER: &str = "!f() { test \"$1\" = get || exit 0; printf 'username=%s\\npassword=%s\\n' \"$TOWPATH_GIT_USERNAME\" \
                      \"$TOWPATH_GIT_PASSWORD\"; }; f";

/// A connection's way to its host.
pub struct Remote<'a> {
    pub access: &'a Access,
    pub provider_type: &'a str,
    pub url: &'a str,
    /// Where the host's keys are kept that were seen, and keys for the time of a command.
    pub directory: &'a Path,
    pub connection: &'a str,
}

impl Remote<'_> {
    /// The branch that HEAD names there; None for an empty repository.
    pub async fn head(&self) -> Result<Option<String>, RemoteError> {
        let out = self.run(None, &["ls-remote", "--symref", "--", self.url, "HEAD"]).await?;
        let text = String::from_utf8_lossy(&out);
        let named = text.lines().find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
        Ok(named.map(str::to_owned))
    }

    /// Brings a bare repository up to date: every branch and tag, as they are there.
    pub async fn fetch(&self, repository: &Path) -> Result<(), RemoteError> {
        let arguments = [
            "fetch",
            "--quiet",
            "--prune",
            "--force",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--",
            self.url,
            "+refs/heads/*:refs/heads/*",
            "+refs/tags/*:refs/tags/*",
        ];
        self.run(Some(repository), &arguments).await.map(drop)
    }

    async fn run(&self, repository: Option<&Path>, arguments: &[&str]) -> Result<Vec<u8>, RemoteError> {
        let mut command = git(repository);
        let mut settings = vec![
            ("credential.helper".to_owned(), String::new()),
            ("protocol.allow".to_owned(), "never".to_owned()),
            ("protocol.https.allow".to_owned(), "always".to_owned()),
            ("protocol.http.allow".to_owned(), "always".to_owned()),
            ("protocol.ssh.allow".to_owned(), "always".to_owned()),
            // A host that stalls is given up after a minute.
            ("http.lowSpeedLimit".to_owned(), "1".to_owned()),
            ("http.lowSpeedTime".to_owned(), "60".to_owned()),
        ];
        let mut key = None;
        match &self.access.credential {
            Credential::Token { username, token } => {
                let user = username.as_deref().unwrap_or_else(|| token_user(self.provider_type));
                command.env("TOWPATH_GIT_USERNAME", user).env("TOWPATH_GIT_PASSWORD", token.expose());
                settings.push((format!("credential.{}.helper", origin(self.url)), HELPER.to_owned()));
            }
            Credential::SshKey(secret) => {
                let (file, ssh) = self.ssh(secret.expose()).map_err(here)?;
                command.env("GIT_SSH_COMMAND", ssh).env("GIT_SSH_VARIANT", "ssh");
                key = Some(file);
            }
        }
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (index, (name, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), name).env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        let done = tokio::time::timeout(limits::FETCH_TIME_MAX, finished(command.args(arguments))).await;
        drop(key);
        let Ok(done) = done else {
            return Err(RemoteError::Unavailable(format!("no end after {} s", limits::FETCH_TIME_MAX.as_secs())));
        };
        let (status, out, words) = done.map_err(here)?;
        if status { Ok(out) } else { Err(meaning(&words)) }
    }

    /// The key in a file of its own, and the command line that uses it.
    fn ssh(&self, key: &str) -> std::io::Result<(NamedTempFile, String)> {
        let keys = self.directory.join("keys");
        std::fs::create_dir_all(&keys)?;
        // A named temporary file is made with mode 0600, which ssh asks for.
        let mut file = NamedTempFile::new_in(&keys)?;
        file.write_all(key.trim().as_bytes())?;
        file.write_all(b"\n")?;
        file.flush()?;
        let known = self.directory.join("known-hosts");
        std::fs::create_dir_all(&known)?;
        let (known, check) = match &self.access.known_hosts {
            Some(lines) => {
                let path = known.join(format!("{}.given", self.connection));
                std::fs::write(&path, lines)?;
                (path, "yes")
            }
            None => (known.join(self.connection), "accept-new"),
        };
        let options = [
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "BatchMode=yes".to_owned(),
            "ConnectTimeout=20".to_owned(),
            "ServerAliveInterval=20".to_owned(),
            format!("StrictHostKeyChecking={check}"),
            format!("UserKnownHostsFile=\"{}\"", known.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
        ];
        let options: Vec<String> = options.iter().map(|option| format!("-o {}", quoted(option))).collect();
        let command =
            format!("ssh -F /dev/null -i {} {}", quoted(&file.path().display().to_string()), options.join(" "));
        Ok((file, command))
    }
}

/// A git that asks nobody and reads no configuration but what it is given.
pub fn git(repository: Option<&Path>) -> Command {
    let mut command = Command::new("git");
    for inherited in
        ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_TRACE"]
    {
        command.env_remove(inherited);
    }
    command
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        // Set and empty: not even a graphical prompt.
        .env("GIT_ASKPASS", "")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(repository) = repository {
        command.arg("--git-dir").arg(repository);
    }
    command
}

/// Runs a local git command on a repository.
pub async fn local(repository: PathBuf, arguments: &[&str]) -> Result<(), RemoteError> {
    let (status, _, words) = finished(git(Some(&repository)).args(arguments)).await.map_err(here)?;
    if status { Ok(()) } else { Err(RemoteError::Here(words)) }
}

/// Whether it went well, what it answered, and the end of what it complained.
async fn finished(command: &mut Command) -> std::io::Result<(bool, Vec<u8>, String)> {
    let mut child = command.spawn()?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let most = u64::try_from(limits::STDERR_BYTES_MAX).unwrap_or(u64::MAX) * 64;
    let read_out = async {
        if let Some(stdout) = stdout {
            stdout.take(most).read_to_end(&mut out).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let read_err = async {
        if let Some(mut stderr) = stderr {
            let mut chunk = [0_u8; 4096];
            loop {
                let count = stderr.read(&mut chunk).await?;
                if count == 0 {
                    break;
                }
                err.extend_from_slice(&chunk[..count]);
                let over = err.len().saturating_sub(limits::STDERR_BYTES_MAX);
                err.drain(..over);
            }
        }
        Ok::<_, std::io::Error>(())
    };
    tokio::try_join!(read_out, read_err)?;
    let status = child.wait().await?;
    Ok((status.success(), out, String::from_utf8_lossy(&err).trim().to_owned()))
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn here(error: std::io::Error) -> RemoteError {
    match error.kind() {
        std::io::ErrorKind::NotFound => RemoteError::Here(format!("git cannot be started: {error}")),
        _ => RemoteError::Here(error.to_string()),
    }
}

/// What git's words mean. git itself has no other way of saying it.
fn meaning(words: &str) -> RemoteError {
    let says = |texts: &[&str]| texts.iter().any(|text| words.contains(text));
    if says(&["Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
        RemoteError::HostKey
    } else if says(&[
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "returned error: 401",
        "returned error: 403",
        "Permission denied (",
        "Invalid username or token",
    ]) {
        RemoteError::Refused
    } else if says(&[
        "returned error: 404",
        "does not appear to be a git repository",
        "Repository not found",
        "repository not found",
        "could not be found",
        "Project not found",
    ]) || (words.contains("repository '") && words.contains("not found"))
    {
        RemoteError::NoRepository
    } else {
        RemoteError::Unavailable(words.lines().last().unwrap_or("git gave no reason").to_owned())
    }
}

/// Scheme, host and port.
fn origin(url: &str) -> String {
    let parsed: Option<Uri> = url.parse().ok();
    let parts = parsed.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?.as_str())));
    parts.map_or_else(|| url.to_owned(), |(scheme, authority)| format!("{scheme}://{authority}"))
}

/// For the shell that git hands its ssh command to.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_words_have_one_meaning() {
        for (words, meant) in [
            ("fatal: Authentication failed for 'https://h/o/r.git/'", RemoteError::Refused),
            ("fatal: unable to access 'x': The requested URL returned error: 403", RemoteError::Refused),
            ("git@h: Permission denied (publickey).\nfatal: Could not read from remote", RemoteError::Refused),
            (
                "remote: Repository not found.\nfatal: repository 'https://h/o/r.git/' not found",
                RemoteError::NoRepository,
            ),
            ("fatal: repository 'http://h/x.git/' not found", RemoteError::NoRepository),
            ("fatal: '/srv/x.git' does not appear to be a git repository", RemoteError::NoRepository),
            ("Host key verification failed.\nfatal: Could not read from remote", RemoteError::HostKey),
            (
                "fatal: unable to access 'x': Could not resolve host: h",
                RemoteError::Unavailable("fatal: unable to access 'x': Could not resolve host: h".to_owned()),
            ),
        ] {
            assert_eq!(meaning(words), meant, "{words}");
        }
    }

    #[test]
    fn a_token_belongs_to_one_origin() {
        assert_eq!(origin("https://h:8443/o/r.git"), "https://h:8443");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
