//! What a git host is told of a commit: the request for a commit status in each host's own API. Builds requests; sending
//! them, and deciding what to say, is somebody else's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::credential::{Access, Credential};

/// GitHub's and GitLab's bounds on a description.
const DESCRIPTION_CHARS_MAX: usize = 140;
/// Bitbucket's bound on the key of a status.
const KEY_CHARS_MAX: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Pending,
    Success,
    Failure,
}

/// One status of one commit.
#[derive(Debug, Clone)]
pub struct Status<'a> {
    pub provider_type: &'a str,
    /// The address of the connection's host, where it has one.
    pub home: Option<&'a str>,
    pub repository: &'a str,
    pub commit: &'a str,
    pub state: State,
    /// What the status is called there: one per pipeline.
    pub context: &'a str,
    pub description: &'a str,
    pub target_url: &'a str,
}

/// The request that sets the status; None where the host has no such thing or the credential is of no use for it.
pub fn request(access: &Access, status: &Status<'_>) -> Option<Request<Bytes>> {
    let Credential::Token { username, token } = &access.credential else { return None };
    let description: String = status.description.chars().take(DESCRIPTION_CHARS_MAX).collect();
    let Status { repository, commit, context, target_url, state, .. } = status;
    let base = base(access, status)?;
    let mut authorization = format!("Bearer {}", token.expose());
    let (url, body): (String, Value) = match status.provider_type {
        "GitHub" | "GitHubEnterpriseServer" => (
            format!("{base}/repos/{repository}/statuses/{commit}"),
            json!({
                "state": state.of("pending", "success", "failure"),
                "context": context,
                "target_url": target_url,
                "description": description,
            }),
        ),
        "GitLab" | "GitLabSelfManaged" => (
            format!("{base}/projects/{}/statuses/{commit}", utf8_percent_encode(repository, NON_ALPHANUMERIC)),
            json!({
                "state": state.of("pending", "success", "failed"),
                "name": context,
                "target_url": target_url,
                "description": description,
            }),
        ),
        "Bitbucket" => {
            if let Some(user) = username {
                authorization = format!("Basic {}", STANDARD.encode(format!("{user}:{}", token.expose())));
            }
            (
                format!("{base}/repositories/{repository}/commit/{commit}/statuses/build"),
                json!({
                    "key": key(context),
                    "name": context,
                    "state": state.of("INPROGRESS", "SUCCESSFUL", "FAILED"),
                    "url": target_url,
                    "description": description,
                }),
            )
        }
        _ => return None,
    };
    let mut authorization = HeaderValue::from_str(&authorization).ok()?;
    authorization.set_sensitive(true);
    Request::post(url)
        .header(AUTHORIZATION, authorization)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "towpath")
        .body(Bytes::from(body.to_string()))
        .ok()
}

impl State {
    const fn of<'a>(self, pending: &'a str, success: &'a str, failure: &'a str) -> &'a str {
        match self {
            Self::Pending => pending,
            Self::Success => success,
            Self::Failure => failure,
        }
    }
}

/// Where the host's API is: as it was said, else where the host of that kind has it.
fn base(access: &Access, status: &Status<'_>) -> Option<String> {
    if let Some(url) = &access.api_url {
        return Some(url.trim_end_matches('/').to_owned());
    }
    let own = match (&access.url, status.home) {
        (Some(url), _) => Some(origin(&url.replace("{repo}", "repo"))?),
        (None, home) => home.map(|home| home.trim_end_matches('/').to_owned()),
    };
    Some(match (status.provider_type, own) {
        ("GitHub", None) => "https://api.github.com".to_owned(),
        ("GitHub" | "GitHubEnterpriseServer", Some(own)) if own == "https://github.com" => {
            "https://api.github.com".to_owned()
        }
        ("GitHub" | "GitHubEnterpriseServer", Some(own)) => format!("{own}/api/v3"),
        ("GitLab", None) => "https://gitlab.com/api/v4".to_owned(),
        ("GitLab" | "GitLabSelfManaged", Some(own)) => format!("{own}/api/v4"),
        ("Bitbucket", None) => "https://api.bitbucket.org/2.0".to_owned(),
        _ => return None,
    })
}

fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

/// A key that is never too long and differs where contexts differ.
fn key(context: &str) -> String {
    if context.chars().count() <= KEY_CHARS_MAX {
        return context.to_owned();
    }
    let digest = hex::encode(Sha256::digest(context.as_bytes()));
    let start: String = context.chars().take(KEY_CHARS_MAX - 9).collect();
    format!("{start}-{}", &digest[..8])
}

#[cfg(test)]
mod tests {
    use towpath_model::secret::Secret;

    use super::*;

    fn status<'a>(provider_type: &'a str, home: Option<&'a str>) -> Status<'a> {
        Status {
            provider_type,
            home,
            repository: "g/s/r",
            commit: "c0ffee",
            state: State::Failure,
            context: "towpath/ferry",
            description: "Failed",
            target_url: "http://t/1",
        }
    }

    #[test]
    fn each_host_is_asked_in_its_own_way() {
        let token = Access::token(None, Secret::new("hunter2"));
        let sent = |access: &Access, status: &Status<'_>| {
            let request = request(access, status).expect("a request");
            let body: Value = serde_json::from_slice(request.body()).expect("JSON");
            (request.uri().to_string(), body, request)
        };
        let (url, body, request_) = sent(&token, &status("GitHub", None));
        assert_eq!(url, "https://api.github.com/repos/g/s/r/statuses/c0ffee");
        assert_eq!(body["state"], "failure");
        assert!(!format!("{request_:?}").contains("hunter2"), "the header is marked sensitive");
        let (url, ..) = sent(&token, &status("GitHubEnterpriseServer", Some("https://ghe/")));
        assert_eq!(url, "https://ghe/api/v3/repos/g/s/r/statuses/c0ffee");
        let (url, body, _) = sent(&token, &status("GitLab", None));
        assert_eq!(url, "https://gitlab.com/api/v4/projects/g%2Fs%2Fr/statuses/c0ffee");
        assert_eq!((&body["state"], &body["name"]), (&json!("failed"), &json!("towpath/ferry")));
        let basic = Access::token(Some("u".to_owned()), Secret::new("p"));
        let (url, body, request_) = sent(&basic, &status("Bitbucket", None));
        assert_eq!(url, "https://api.bitbucket.org/2.0/repositories/g/s/r/commit/c0ffee/statuses/build");
        assert_eq!((&body["state"], &body["url"]), (&json!("FAILED"), &json!("http://t/1")));
        assert_eq!(request_.headers()[AUTHORIZATION], "Basic dTpw");
        assert!(request(&Access::ssh_key(Secret::new("k")), &status("GitHub", None)).is_none());
        assert!(request(&token, &status("AzureDevOps", None)).is_none());
        let own = Access { url: Some("http://127.0.0.1:1/git".to_owned()), ..token };
        assert_eq!(
            sent(&own, &status("GitLab", None)).0,
            "http://127.0.0.1:1/api/v4/projects/g%2Fs%2Fr/statuses/c0ffee"
        );
    }

    #[test]
    fn keys_fit() {
        assert_eq!(key("towpath/x"), "towpath/x");
        let long = "towpath/".to_owned() + &"x".repeat(100);
        assert_eq!(key(&long).chars().count(), KEY_CHARS_MAX);
        assert_ne!(key(&long), key(&(long.clone() + "y")));
    }
}
