//! The way to a git host with a connection's secret. A token goes through the environment of the git command, an SSH key
//! through a file of mode 0600 that lives as long as the way does: never an argument, never a configuration file, never a
//! log. The token is offered to the connection's own host alone, whoever it redirects to (`towpath_git::Remote`).

use std::io::Write as _;
use std::path::Path;

use tempfile::NamedTempFile;
use towpath_git::{FetchError, GitError, Remote};

use super::credential::{Access, Credential, token_user};

/// A repository on a git host, with what opens it.
pub struct Way {
    pub remote: Remote,
    /// Gone with the way.
    _key: Option<NamedTempFile>,
}

impl Way {
    /// `directory` is where the host's keys are kept that were seen, and keys for the time of a command.
    pub fn new(
        access: &Access,
        provider_type: &str,
        url: String,
        directory: &Path,
        connection: &str,
    ) -> Result<Self, FetchError> {
        match &access.credential {
            Credential::Token { username, token } => {
                let user = username.as_deref().unwrap_or_else(|| token_user(provider_type)).to_owned();
                let remote = Remote::new(url, towpath_git::Access::Basic { user, password: token.clone() })?;
                Ok(Self { remote, _key: None })
            }
            Credential::SshKey(key) => {
                let known = access.known_hosts.as_deref();
                let (file, command) = ssh(key.expose(), known, directory, connection).map_err(GitError::Files)?;
                Ok(Self { remote: Remote::new(url, towpath_git::Access::Ssh { command })?, _key: Some(file) })
            }
        }
    }
}

/// The key in a file of its own, and the command line that uses it.
fn ssh(
    key: &str,
    known_hosts: Option<&str>,
    directory: &Path,
    connection: &str,
) -> std::io::Result<(NamedTempFile, String)> {
    let keys = directory.join("keys");
    std::fs::create_dir_all(&keys)?;
    // A named temporary file is made with mode 0600, which ssh asks for.
    let mut file = NamedTempFile::new_in(&keys)?;
    file.write_all(key.trim().as_bytes())?;
    file.write_all(b"\n")?;
    file.flush()?;
    let known = directory.join("known-hosts");
    std::fs::create_dir_all(&known)?;
    let (known, check) = match known_hosts {
        Some(lines) => {
            let path = known.join(format!("{connection}.given"));
            std::fs::write(&path, lines)?;
            (path, "yes")
        }
        None => (known.join(connection), "accept-new"),
    };
    let options = [
        "IdentitiesOnly=yes".to_owned(),
        "IdentityAgent=none".to_owned(),
        "BatchMode=yes".to_owned(),
        "ConnectTimeout=20".to_owned(),
        "ServerAliveInterval=20".to_owned(),
        "ClearAllForwardings=yes".to_owned(),
        format!("StrictHostKeyChecking={check}"),
        format!("UserKnownHostsFile=\"{}\"", known.display()),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
    ];
    let options: Vec<String> = options.iter().map(|option| format!("-o {}", quoted(option))).collect();
    let command = format!("ssh -F /dev/null -i {} {}", quoted(&file.path().display().to_string()), options.join(" "));
    Ok((file, command))
}

/// For the shell that git hands its ssh command to.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;
    use towpath_model::secret::Secret;

    use super::*;

    #[test]
    fn a_key_is_a_private_file_for_the_time_of_its_use() {
        let directory = TempDir::new().unwrap();
        let text = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
        let access = Access::ssh_key(Secret::new(text));
        let url = "ssh://git@h/o/r.git".to_owned();
        let way = Way::new(&access, "GitHub", url, directory.path(), "c-1").unwrap();
        let keys: Vec<_> = std::fs::read_dir(directory.path().join("keys")).unwrap().flatten().collect();
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{:?}", way.remote).contains("AAAA"));
        drop(way);
        assert_eq!(std::fs::read_dir(directory.path().join("keys")).unwrap().count(), 0);
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_key_goes_nowhere_but_to_ssh() {
        let directory = TempDir::new().unwrap();
        let key = || Access::ssh_key(Secret::new("-----BEGIN X"));
        for url in ["https://h/o/r.git", "ext::sh -c x", "--upload-pack=x"] {
            assert!(Way::new(&key(), "GitHub", url.to_owned(), directory.path(), "c").is_err(), "{url}");
        }
    }
}
