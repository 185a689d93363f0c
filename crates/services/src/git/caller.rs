//! Who a git client is: Basic authentication with an access key, a session token where the key is temporary, and the
//! password derived from its secret. The Region is none that the client states: it is the one the password was made for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use towpath_git::password::{Signing, Verdict, split_user};

use super::limits::{REGIONS_MAX, USER_BYTES_MAX};
use super::{Door, Response, answer};
use crate::identity::{LookupError, Principal};

/// A client whose password was verified.
#[derive(Debug, Clone)]
pub struct Caller {
    pub principal: Principal,
    /// Which of the Regions asked for the password is good in.
    pub region: String,
}

impl Door {
    /// The caller, or the answer that says what is wrong: 401 without credentials, 403 with wrong ones, as AWS does.
    /// `service` is the signing name, `regions` are those in which there is anything to be asked for.
    pub async fn caller(
        &self,
        parts: &Parts,
        repository_path: &str,
        service: &str,
        regions: &[String],
    ) -> Result<Caller, Response> {
        let Some(header) = parts.headers.get(AUTHORIZATION) else {
            return Err(answer(
                StatusCode::UNAUTHORIZED,
                "Credentials are needed: an access key and the password that `aws codecommit credential-helper` derives.",
            ));
        };
        let wrong = || answer(StatusCode::FORBIDDEN, "The user name or the password is not valid.");
        let (user, password) = header.to_str().ok().and_then(basic).ok_or_else(wrong)?;
        let (access_key, token) = split_user(&user);
        let signer = self.identity.lookup(access_key, token).await.map_err(|error| match error {
            LookupError::Expired => answer(StatusCode::FORBIDDEN, "The security token in the user name is expired."),
            LookupError::Unavailable => answer(StatusCode::SERVICE_UNAVAILABLE, "Keys cannot be looked up now."),
            LookupError::UnknownKey | LookupError::InvalidToken => wrong(),
        })?;
        let host = host(parts).ok_or_else(|| answer(StatusCode::BAD_REQUEST, "The request has no Host header."))?;
        // Some clients sign the port along, AWS's own helper does not.
        let bare = without_port(host);
        let hosts: &[&str] = if bare == host { &[host] } else { &[bare, host] };
        let now = self.ambient.now();
        let mut expired = false;
        for region in regions.iter().take(REGIONS_MAX) {
            for host in hosts {
                let signing = Signing { secret: &signer.secret, region, service, host, path: repository_path };
                match signing.verify(&password, now) {
                    Verdict::Good => {
                        self.identity.used(&signer.principal, service, region).await;
                        return Ok(Caller { principal: signer.principal, region: region.clone() });
                    }
                    Verdict::Expired => expired = true,
                    Verdict::Wrong => {}
                }
            }
        }
        Err(if expired {
            answer(StatusCode::FORBIDDEN, "The password is expired: it is good for 15 minutes. Derive a new one.")
        } else {
            wrong()
        })
    }
}

fn host(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str)).filter(|host| !host.is_empty())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// User name and password.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > USER_BYTES_MAX {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_taken_apart() {
        let encoded = STANDARD.encode("ASIA%tok+en/==:2030Zab:c");
        assert_eq!(basic(&format!("Basic {encoded}")), Some(("ASIA%tok+en/==".to_owned(), "2030Zab:c".to_owned())));
        for bad in ["", "Basic", "Basic !!", "Bearer abc", &format!("Basic {}", STANDARD.encode("nocolon"))] {
            assert_eq!(basic(bad), None, "{bad}");
        }
        assert!(basic(&format!("Basic {}", "A".repeat(USER_BYTES_MAX + 4))).is_none());
    }

    #[test]
    fn ports_are_told_from_hosts() {
        for (host, bare) in [("h:1", "h"), ("h", "h"), ("[::1]:7400", "[::1]"), ("127.0.0.1:80", "127.0.0.1")] {
            assert_eq!(without_port(host), bare);
        }
    }
}
