//! How a git host is reached: its address and a token, a user name with a password, or an SSH key. The one place where
//! such a secret is checked; it is kept with the documents and never answered by any operation.

use http::Uri;
use serde::{Deserialize, Serialize};
use towpath_model::secret::Secret;

use super::limits;

/// All that is needed to talk to a git host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Where repositories are, when that is not what the provider type or the host says: a base URL, or one with
    /// `{repo}` in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub credential: Credential,
    /// Lines of a known_hosts file; without them the key that a host shows first is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
    /// The API of the git host for commit statuses, when it is not where the provider type says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credential {
    /// A token, or the password of `username`.
    Token {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        token: Secret,
    },
    SshKey(Secret),
}

/// The provider types, as the API spells them, and what follows from each.
struct Provider {
    name: &'static str,
    /// Where repositories are; None: at the address of its host.
    home: Option<&'static str>,
    /// The user name that goes with a bare token.
    token_user: &'static str,
}

const PROVIDERS: &[Provider] = &[
    Provider { name: "AzureDevOps", home: Some("https://dev.azure.com"), token_user: "token" },
    Provider { name: "Bitbucket", home: Some("https://bitbucket.org"), token_user: "x-token-auth" },
    Provider { name: "GitHub", home: Some("https://github.com"), token_user: "x-access-token" },
    Provider { name: "GitHubEnterpriseServer", home: None, token_user: "x-access-token" },
    Provider { name: "GitLab", home: Some("https://gitlab.com"), token_user: "oauth2" },
    Provider { name: "GitLabSelfManaged", home: None, token_user: "oauth2" },
];

fn provider(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.name == name)
}

/// Whether the API knows a provider type.
pub fn is_provider(name: &str) -> bool {
    provider(name).is_some()
}

/// Whether connections of a type need a host, because it has no address of its own.
pub fn needs_host(name: &str) -> bool {
    provider(name).is_some_and(|provider| provider.home.is_none())
}

/// The user name that a host of that type takes with a bare token.
pub fn token_user(provider_type: &str) -> &'static str {
    provider(provider_type).map_or("token", |provider| provider.token_user)
}

impl Access {
    pub fn token(username: Option<String>, token: Secret) -> Self {
        Self { url: None, credential: Credential::Token { username, token }, known_hosts: None, api_url: None }
    }

    pub fn ssh_key(key: Secret) -> Self {
        Self { url: None, credential: Credential::SshKey(key), known_hosts: None, api_url: None }
    }

    /// Says what is wrong with it, never the secret itself.
    pub fn check(&self) -> Result<(), String> {
        if let Some(url) = &self.url {
            check_url(url, "the url")?;
        }
        if let Some(url) = &self.api_url {
            check_url(url, "the api-url")?;
        }
        if self.known_hosts.as_ref().is_some_and(|lines| lines.len() > limits::KNOWN_HOSTS_BYTES_MAX) {
            return Err(format!("known hosts may have at most {} bytes", limits::KNOWN_HOSTS_BYTES_MAX));
        }
        let ssh = self.url.as_deref().map(|url| url.starts_with("ssh://"));
        match &self.credential {
            Credential::Token { username, token } => {
                let (token, most) = (token.expose(), limits::TOKEN_BYTES_MAX);
                if token.is_empty() || token.len() > most || token.bytes().any(|b| !(b' '..=b'~').contains(&b)) {
                    return Err(format!("a token must have 1 to {most} printable ASCII characters"));
                }
                if username.as_ref().is_some_and(|name| {
                    name.is_empty()
                        || name.len() > limits::USERNAME_BYTES_MAX
                        || name.chars().any(|c| c.is_control() || c == ':')
                }) {
                    let most = limits::USERNAME_BYTES_MAX;
                    return Err(format!("a user name must have 1 to {most} characters and no colon"));
                }
                if ssh == Some(true) {
                    return Err("an ssh:// url needs an SSH key, not a token".to_owned());
                }
            }
            Credential::SshKey(key) => {
                let (key, most) = (key.expose(), limits::KEY_BYTES_MAX);
                if key.len() > most || !key.trim_start().starts_with("-----BEGIN ") {
                    return Err(format!(
                        "an SSH key must be a private key in PEM or OpenSSH form (`-----BEGIN ...`), at most {most} bytes"
                    ));
                }
                if key.contains("ENCRYPTED-----") {
                    return Err("the SSH key has a passphrase; nobody is there to type it".to_owned());
                }
                if ssh == Some(false) {
                    return Err("an SSH key needs an ssh:// url".to_owned());
                }
            }
        }
        Ok(())
    }

    /// The address that git is given for a repository; `home` is the base that the connection's host names.
    pub fn clone_url(&self, provider_type: &str, home: Option<&str>, repository: &str) -> Option<String> {
        let home = home.or_else(|| provider(provider_type).and_then(|provider| provider.home));
        let base = match (&self.url, &self.credential) {
            (Some(url), _) => url.clone(),
            (None, Credential::Token { .. }) => home?.to_owned(),
            (None, Credential::SshKey(_)) => format!("ssh://git@{}", home?.parse::<Uri>().ok()?.host()?),
        };
        // A space is the only character of a repository's id that a URL cannot hold.
        let path = repository.replace(' ', "%20");
        if base.contains("{repo}") {
            return Some(base.replace("{repo}", &path));
        }
        let base = base.trim_end_matches('/');
        match (provider_type, path.rsplit_once('/')) {
            ("AzureDevOps", Some((project, name))) => Some(format!("{base}/{project}/_git/{name}")),
            _ => Some(format!("{base}/{path}.git")),
        }
    }
}

/// A URL that git may be given: of a transport that reaches another machine, and without a password in it.
pub fn check_url(url: &str, what: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{what} {why}"));
    if url.len() > limits::URL_BYTES_MAX || url.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return wrong(&format!("may have at most {} characters and no spaces", limits::URL_BYTES_MAX));
    }
    let Some((scheme @ ("http" | "https" | "ssh"), _)) = url.split_once("://") else {
        return wrong("must begin with https://, http:// or ssh://");
    };
    let parsed = url.replace("{repo}", "repo").parse::<Uri>().ok();
    let authority = parsed.as_ref().and_then(Uri::authority);
    let user = authority.and_then(|authority| authority.as_str().rsplit_once('@')).map(|(user, _)| user);
    if authority.is_none_or(|authority| authority.host().is_empty() || authority.host().starts_with('-')) {
        return wrong("names no host; write https://HOST, http://HOST or ssh://git@HOST");
    }
    match (scheme, user) {
        ("ssh", Some(user)) if user.contains(':') || user.starts_with('-') => wrong("must not carry a password"),
        ("ssh", _) | (_, None) => Ok(()),
        (_, Some(_)) => wrong("must not carry a user name or password; give them apart"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";

    fn token() -> Access {
        Access::token(None, Secret::new("hunter2"))
    }

    #[test]
    fn a_repository_has_the_address_of_its_host() {
        let at = |access: Access, kind: &str, home: Option<&str>, repo: &str| access.clone_url(kind, home, repo);
        let with = |url: &str, access: Access| Access { url: Some(url.to_owned()), ..access };
        assert_eq!(at(token(), "GitHub", None, "o/r").as_deref(), Some("https://github.com/o/r.git"));
        assert_eq!(at(token(), "GitLab", None, "g/s/r").as_deref(), Some("https://gitlab.com/g/s/r.git"));
        assert_eq!(at(token(), "GitHubEnterpriseServer", None, "o/r"), None);
        let ghe = Some("https://ghe.example.com/");
        assert_eq!(
            at(token(), "GitHubEnterpriseServer", ghe, "o/r").as_deref(),
            Some("https://ghe.example.com/o/r.git")
        );
        assert_eq!(at(token(), "AzureDevOps", None, "o/p/r").as_deref(), Some("https://dev.azure.com/o/p/_git/r"));
        let ssh = Access::ssh_key(Secret::new(KEY));
        assert_eq!(at(ssh.clone(), "GitHub", None, "o/r").as_deref(), Some("ssh://git@github.com/o/r.git"));
        let own = with("ssh://git@host:2222/srv/", ssh);
        assert_eq!(at(own, "GitHub", None, "o/r").as_deref(), Some("ssh://git@host:2222/srv/o/r.git"));
        let placed = with("http://host/git/{repo}/x", token());
        assert_eq!(at(placed, "GitHub", None, "o/r").as_deref(), Some("http://host/git/o/r/x"));
    }

    #[test]
    fn what_cannot_work_is_said_without_the_secret() {
        for (access, why) in [
            (Access::token(None, Secret::new("")), "a token must have"),
            (Access::token(None, Secret::new("hunter2\n")), "a token must have"),
            (Access::token(Some("a:b".to_owned()), Secret::new("hunter2")), "no colon"),
            (Access { url: Some("ssh://git@h".to_owned()), ..token() }, "needs an SSH key"),
            (Access { url: Some("https://u:hunter2@h".to_owned()), ..token() }, "must not carry"),
            (Access { url: Some("file:///etc".to_owned()), ..token() }, "must begin with"),
            (Access { url: Some("ext::sh -c x".to_owned()), ..token() }, "no spaces"),
            (Access { url: Some("ext::sh".to_owned()), ..token() }, "must begin with"),
            (Access { url: Some("ext://sh".to_owned()), ..token() }, "must begin with"),
            (Access { url: Some("--upload-pack=x://h".to_owned()), ..token() }, "must begin with"),
            (Access { url: Some("https:///o/r".to_owned()), ..token() }, "names no host"),
            (Access { url: Some("ssh://-oProxyCommand=x/r".to_owned()), ..Access::ssh_key(Secret::new(KEY)) }, "no"),
            (
                Access { url: Some("ssh://git@-oProxyCommand/r".to_owned()), ..Access::ssh_key(Secret::new(KEY)) },
                "names no host",
            ),
            (Access { url: Some("https://-oProxy".to_owned()), ..token() }, "names no host"),
            (Access::ssh_key(Secret::new("hunter2")), "-----BEGIN"),
            (Access { url: Some("https://h".to_owned()), ..Access::ssh_key(Secret::new(KEY)) }, "ssh:// url"),
        ] {
            let error = access.check().expect_err(why);
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
            assert!(!format!("{access:?}").contains("hunter2") || access.url.is_some());
        }
        assert_eq!(token().check(), Ok(()));
        assert_eq!(Access::ssh_key(Secret::new(KEY)).check(), Ok(()));
    }
}
