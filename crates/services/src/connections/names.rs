//! ARNs of connections and hosts, and the two names that the service has: what was made through one keeps its prefix.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use towpath_model::ids::Scope;

/// Which of its two names the service was called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prefix {
    #[serde(rename = "codeconnections")]
    CodeConnections,
    #[serde(rename = "codestar-connections")]
    CodeStar,
}

impl Prefix {
    pub const ALL: [Self; 2] = [Self::CodeConnections, Self::CodeStar];

    /// As in ARNs, IAM actions and credential scopes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CodeConnections => "codeconnections",
            Self::CodeStar => "codestar-connections",
        }
    }

    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|prefix| prefix.as_str() == text)
    }

    pub fn connection_arn(self, scope: &Scope, id: &str) -> String {
        format!("arn:aws:{}:{}:{}:connection/{id}", self.as_str(), scope.region, scope.account)
    }

    pub fn host_arn(self, scope: &Scope, id: &str) -> String {
        format!("arn:aws:{}:{}:{}:host/{id}", self.as_str(), scope.region, scope.account)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Connection,
    Host,
}

/// An ARN, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub prefix: Prefix,
    pub scope: Scope,
    pub kind: Kind,
    pub id: String,
}

impl Named {
    pub fn parse(arn: &str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let (Some("arn"), Some(_partition)) = (parts.next(), parts.next()) else { return None };
        let prefix = Prefix::of(parts.next()?)?;
        let (region, account) = (parts.next()?, parts.next()?);
        let (kind, id) = match parts.next()?.split_once('/')? {
            ("connection", id) => (Kind::Connection, id),
            ("host", id) => (Kind::Host, id),
            _ => return None,
        };
        let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        plain.then(|| Self { prefix, scope: Scope::new(account, region), kind, id: id.to_owned() })
    }

    pub fn connection(arn: &str) -> Option<Self> {
        Self::parse(arn).filter(|named| named.kind == Kind::Connection)
    }

    pub fn host(arn: &str) -> Option<Self> {
        Self::parse(arn).filter(|named| named.kind == Kind::Host)
    }
}

/// The id of a connection that towpath.toml names: the same name has the same ARN on every machine.
pub fn configured_id(scope: &Scope, name: &str) -> String {
    let digest = Sha256::digest(format!("towpath connection\n{}\n{}\n{name}", scope.account, scope.region));
    let hex = hex::encode(&digest[..16]);
    // Version 8 is for ids of one's own making.
    format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

/// Whether a text can be a repository's full id: `owner/repo`, `group/subgroup/repo`.
pub fn is_repository(id: &str) -> bool {
    let segment = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['-', '.'])
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~ ".contains(&b))
    };
    id.len() <= super::limits::REPOSITORY_BYTES_MAX && id.split('/').all(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_what_it_names() {
        let scope = Scope::new("111122223333", "eu-west-1");
        for prefix in Prefix::ALL {
            let arn = prefix.connection_arn(&scope, "0f0e-1");
            let named = Named::connection(&arn).expect("a connection");
            assert_eq!((named.prefix, &named.scope, named.id.as_str()), (prefix, &scope, "0f0e-1"));
            assert!(Named::host(&arn).is_none());
            assert!(Named::host(&prefix.host_arn(&scope, "ghe-12345678")).is_some());
        }
        for wrong in [
            "",
            "arn:aws:s3:eu-west-1:111122223333:connection/x",
            "arn:aws:codeconnections:eu-west-1:111122223333:connection/",
            "arn:aws:codeconnections:eu-west-1:111122223333:connection/../x",
            "arn:aws:codeconnections:eu-west-1:111122223333:repository-link/x",
        ] {
            assert!(Named::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_configured_name_has_one_id_per_account_and_region() {
        let here = Scope::new("111122223333", "eu-west-1");
        let id = configured_id(&here, "github");
        assert_eq!(id, configured_id(&here, "github"));
        assert_eq!((id.len(), id.matches('-').count()), (36, 4));
        assert_ne!(id, configured_id(&here, "gitlab"));
        assert_ne!(id, configured_id(&Scope::new("111122223333", "eu-west-2"), "github"));
    }

    #[test]
    fn a_repository_is_a_path_without_tricks() {
        for good in ["towline-co/ferry", "group/sub/group/repo", "repo", "o/r.js", "o/repo_2~x"] {
            assert!(is_repository(good), "{good}");
        }
        for bad in ["", "/", "o/", "/r", "o//r", "../r", "o/..", "o/-x", "o/.git", "o/r?x", "o/r%2e", "o/r\n", "o:r"] {
            assert!(!is_repository(bad), "{bad}");
        }
        assert!(!is_repository(&"a/".repeat(400)));
    }
}
