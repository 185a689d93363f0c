//! Running `git`: with none of the machine's configuration, no prompt, no hooks, within bounds of time and output.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::limits::{ANSWER_BYTES_MAX, ANSWER_TIME, COMPLAINT_BYTES_MAX};

/// What a command keeps of this process's environment: where programs are, and how the network is reached.
const KEPT: [&str; 16] = [
    "PATH",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "GIT_EXEC_PATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "SSH_AUTH_SOCK",
];

/// Why git could not do it.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("the program `git` cannot be started: {0}. Install git (2.36 or newer) where Towpath runs")]
    NotStarted(#[source] std::io::Error),
    #[error("git {doing} failed: {said}")]
    Failed { doing: &'static str, said: String },
    #[error("git {doing} answers more than {limit} bytes")]
    TooLarge { doing: &'static str, limit: u64 },
    #[error("git {doing} took longer than {} seconds", .limit.as_secs())]
    TooSlow { doing: &'static str, limit: Duration },
    #[error("what git {doing} answers cannot be understood")]
    Unreadable { doing: &'static str },
    #[error("files of a git repository cannot be used: {0}")]
    Files(#[from] std::io::Error),
}

/// A `git` command that knows nothing of this machine's and its users' settings.
pub fn git() -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("LC_ALL", "C")
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_OPTIONAL_LOCKS", "0")
        // The owner of a shared directory may be another user.
        .args(["-c", "safe.directory=*", "-c", "core.hooksPath=/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The same, about one repository.
pub fn git_in(directory: &Path) -> Command {
    let mut command = git();
    command.arg("--git-dir").arg(directory);
    command
}

/// What a command said, whether or not it succeeded.
pub struct Said {
    pub status: ExitStatus,
    pub out: Vec<u8>,
    pub err: String,
}

impl Said {
    /// The output, if the command succeeded.
    pub fn success(self, doing: &'static str) -> Result<Vec<u8>, GitError> {
        if self.status.success() { Ok(self.out) } else { Err(GitError::Failed { doing, said: self.err }) }
    }
}

/// Asks a question; the command must succeed.
pub async fn ask(command: Command, doing: &'static str) -> Result<Vec<u8>, GitError> {
    run(command, doing, None, ANSWER_BYTES_MAX, ANSWER_TIME).await?.success(doing)
}

/// The same with something to read for the command.
pub async fn tell(command: Command, doing: &'static str, input: &[u8]) -> Result<Vec<u8>, GitError> {
    run(command, doing, Some(input), ANSWER_BYTES_MAX, ANSWER_TIME).await?.success(doing)
}

/// Runs a command to its end.
pub async fn run(
    mut command: Command,
    doing: &'static str,
    input: Option<&[u8]>,
    bytes_max: usize,
    patience: Duration,
) -> Result<Said, GitError> {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(GitError::NotStarted)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A command that ends early says why itself.
            let _ = stdin.write_all(input).await;
        }
    };
    let work = async {
        let ((), out, err) = tokio::join!(feed, read(stdout, bytes_max), read(stderr, COMPLAINT_BYTES_MAX));
        let (out, whole) = out?;
        let (err, _) = err?;
        if !whole {
            return Err(GitError::TooLarge { doing, limit: bytes_max as u64 });
        }
        let status = child.wait().await?;
        Ok(Said { status, out, err: complaint(&err) })
    };
    match tokio::time::timeout(patience, work).await {
        Ok(said) => said,
        Err(_) => Err(GitError::TooSlow { doing, limit: patience }),
    }
}

/// Everything up to a bound, and whether that was all. What lies past the bound is read and dropped only for complaints:
/// a command whose answer is too large is killed when its handle goes.
async fn read(from: Option<impl AsyncRead + Unpin>, bytes_max: usize) -> std::io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let Some(mut from) = from else { return Ok((bytes, true)) };
    (&mut from).take(bytes_max as u64).read_to_end(&mut bytes).await?;
    let mut rest = [0; 4096];
    let whole = from.read(&mut rest).await? == 0;
    if !whole && bytes_max == COMPLAINT_BYTES_MAX {
        while from.read(&mut rest).await? > 0 {}
    }
    Ok((bytes, whole))
}

/// A command's complaint in one line, without its progress.
pub fn complaint(err: &[u8]) -> String {
    let text = String::from_utf8_lossy(err);
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    let told: Vec<&str> = lines.collect();
    let starts = ["fatal:", "error:", "remote:", "ERROR:", "ssh:", "kex_exchange_identification:", "Connection closed"];
    // ssh says these in its own way.
    let holds = ["Permission denied (", "Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"];
    let is_grave = |line: &str| starts.iter().any(|s| line.starts_with(s)) || holds.iter().any(|h| line.contains(h));
    let grave: Vec<&str> = told.iter().filter(|line| is_grave(line)).copied().collect();
    let kept = if grave.is_empty() { told } else { grave };
    kept.join("; ").chars().filter(|c| !c.is_control()).take(1000).collect()
}

/// Whether this is a whole object id, so that nothing else is ever taken for one.
pub fn is_object_id(text: &str) -> bool {
    crate::limits::OBJECT_ID_CHARS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// One line of text.
pub(crate) fn line(bytes: &[u8], doing: &'static str) -> Result<String, GitError> {
    let text = std::str::from_utf8(bytes).map_err(|_| GitError::Unreadable { doing })?;
    Ok(text.trim_end_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_one_line_of_what_matters() {
        let err = b"Cloning into 'x'...\rremote: no such thing\nfatal: repository 'u' not found\n";
        assert_eq!(complaint(err), "remote: no such thing; fatal: repository 'u' not found");
        assert_eq!(complaint(b"odd\n"), "odd");
        let err =
            b"Warning: added\ngit@h: Permission denied (publickey).\r\nfatal: Could not read from remote repository.\n";
        let told = "git@h: Permission denied (publickey).; fatal: Could not read from remote repository.";
        assert_eq!(complaint(err), told);
    }

    #[test]
    fn only_whole_ids_are_object_ids() {
        assert!(is_object_id(&"a".repeat(40)) && is_object_id(&"0".repeat(64)));
        for bad in ["", "main", "--all", &"g".repeat(40), &"a".repeat(39)] {
            assert!(!is_object_id(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn output_and_time_have_bounds() {
        let mut command = git();
        command.arg("--version");
        let said = run(command, "version", None, 1000, ANSWER_TIME).await.expect("runs");
        assert!(said.success("version").expect("succeeds").starts_with(b"git version"));
        let mut command = git();
        command.arg("--version");
        let refused = run(command, "version", None, 3, ANSWER_TIME).await;
        assert!(matches!(refused, Err(GitError::TooLarge { limit: 3, .. })));
        let mut command = git();
        // It outlasts any machine's haste.
        command.args(["-c", "alias.wait=!exec sleep 5", "wait"]);
        let refused = run(command, "wait", None, 1000, Duration::from_millis(10)).await;
        assert!(matches!(refused, Err(GitError::TooSlow { .. })), "even if nothing is said");
    }
}
