//! Jenkins's remote access API, as its own documentation describes it: signed in with an API token, changes protected by a
//! crumb, builds started through the queue, console output read as it grows.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use towpath_model::secret::Secret;

use crate::limits;
use crate::worker::wire::{VALUE, connector, innermost};

/// Why Jenkins did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JenkinsError {
    /// Nobody there, or it broke off; the same call may work later.
    #[error("{doing}: no answer from Jenkins: {why}")]
    Unreachable { doing: String, why: String },
    #[error("{doing}: Jenkins does not accept the user or the API token (HTTP {status})")]
    SignIn { doing: String, status: u16 },
    #[error("{doing}: Jenkins refuses it (HTTP 403): {why}")]
    Forbidden { doing: String, why: String },
    #[error("{doing}: there is no such thing at Jenkins (HTTP 404)")]
    NotFound { doing: String },
    #[error("{doing}: Jenkins answers HTTP {status}: {why}")]
    Status { doing: String, status: u16, why: String },
    #[error("{doing}: the answer is not Jenkins's: {why}")]
    Unreadable { doing: String, why: String },
}

impl JenkinsError {
    /// Whether the same question may be answered in a while.
    pub const fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::SignIn { .. } | Self::Forbidden { .. } | Self::NotFound { .. } | Self::Unreadable { .. } => false,
        }
    }
}

/// Where the server is and who signs in.
pub struct Jenkins {
    /// Without a slash at its end.
    url: String,
    user: Option<(String, Secret)>,
    connector: Connector,
    /// The crumb belongs to a session, so both are kept together.
    session: Mutex<Session>,
}

#[derive(Clone, Default)]
struct Session {
    cookies: BTreeMap<String, String>,
    crumb: Crumb,
}

#[derive(Clone, Default)]
enum Crumb {
    #[default]
    Unknown,
    /// The server asks for none.
    Off,
    Is {
        field: String,
        value: String,
    },
}

/// A parameter that a project declares.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Parameter {
    pub name: String,
    #[serde(rename = "type", default)]
    pub kind: String,
}

impl Parameter {
    pub fn is_file(&self) -> bool {
        self.kind.contains("FileParameter")
    }
}

/// A file that is sent along with a build's parameters.
pub struct FileField {
    pub name: String,
    pub file_name: String,
    pub bytes: Bytes,
}

/// Where a build is that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queued {
    /// Why it waits.
    Waiting(String),
    Cancelled,
    Started(u64),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Build {
    pub building: bool,
    pub result: Option<String>,
    pub url: String,
    pub estimated_duration: i64,
    pub timestamp: i64,
    pub artifacts: Vec<Archived>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Archived {
    pub relative_path: String,
}

/// A piece of console output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    pub text: Bytes,
    /// Where the next piece starts.
    pub next: u64,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: SdkBody,
}

impl Jenkins {
    pub fn new(url: &str, user: Option<(String, Secret)>) -> Result<Self, String> {
        let url = url.trim_end_matches('/').to_owned();
        let parsed: Uri = url.parse().map_err(|error| format!("`{url}` is no URL: {error}"))?;
        let tls = match parsed.scheme_str() {
            Some("http") if parsed.host().is_some() => false,
            Some("https") if parsed.host().is_some() => true,
            _ => return Err(format!("`{url}` must begin with http:// or https:// and name a host")),
        };
        Ok(Self { url, user, connector: connector(tls), session: Mutex::default() })
    }

    /// The path of a project; each part of its name is a folder or the project.
    pub fn project(name: &str) -> String {
        let parts: Vec<String> = name.split('/').map(|part| utf8_percent_encode(part, VALUE).to_string()).collect();
        format!("/job/{}", parts.join("/job/"))
    }

    /// The parameters that a project declares; None: it takes none.
    pub async fn parameters(&self, project: &str) -> Result<Option<Vec<Parameter>>, JenkinsError> {
        #[derive(Deserialize)]
        struct Project {
            #[serde(default)]
            property: Vec<Property>,
        }
        #[derive(Deserialize)]
        struct Property {
            #[serde(rename = "parameterDefinitions")]
            definitions: Option<Vec<Parameter>>,
        }
        let doing = format!("ask for the project {project}");
        let path = format!("{}/api/json?tree=property[parameterDefinitions[name,type]]", Self::project(project));
        let project: Project = self.json(&doing, &path).await?;
        Ok(project.property.into_iter().find_map(|property| property.definitions))
    }

    /// Starts a build; answers the number of its place in the queue.
    pub async fn start(
        &self,
        project: &str,
        parameters: Option<&BTreeMap<String, String>>,
        files: &[FileField],
    ) -> Result<u64, JenkinsError> {
        let doing = format!("start a build of {project}");
        let path = Self::project(project);
        let answer = match parameters {
            None => self.post(&doing, &format!("{path}/build"), None).await?,
            Some(parameters) if files.is_empty() => {
                let pairs: Vec<String> = parameters
                    .iter()
                    .map(|(name, value)| {
                        format!("{}={}", utf8_percent_encode(name, VALUE), utf8_percent_encode(value, VALUE))
                    })
                    .collect();
                let body = ("application/x-www-form-urlencoded".to_owned(), Bytes::from(pairs.join("&")));
                self.post(&doing, &format!("{path}/buildWithParameters"), Some(body)).await?
            }
            Some(parameters) => {
                let body = multipart(parameters, files);
                self.post(&doing, &format!("{path}/buildWithParameters"), Some(body)).await?
            }
        };
        let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let number = location.trim_end_matches('/').rsplit('/').next().and_then(|number| number.parse().ok());
        number.filter(|_| location.contains("/queue/item/")).ok_or_else(|| JenkinsError::Unreadable {
            doing,
            why: format!("no place in the queue is told, but `{location}`"),
        })
    }

    pub async fn queued(&self, item: u64) -> Result<Queued, JenkinsError> {
        #[derive(Deserialize)]
        struct Item {
            #[serde(default)]
            cancelled: bool,
            why: Option<String>,
            executable: Option<Executable>,
        }
        #[derive(Deserialize)]
        struct Executable {
            number: u64,
        }
        let item: Item =
            self.json("ask for the build's place in the queue", &format!("/queue/item/{item}/api/json")).await?;
        Ok(match item {
            Item { executable: Some(executable), .. } => Queued::Started(executable.number),
            Item { cancelled: true, .. } => Queued::Cancelled,
            Item { why, .. } => Queued::Waiting(why.unwrap_or_default()),
        })
    }

    pub async fn build(&self, project: &str, number: u64) -> Result<Build, JenkinsError> {
        let tree = "building,result,url,timestamp,estimatedDuration,artifacts[relativePath]";
        let path = format!("{}/{number}/api/json?tree={tree}", Self::project(project));
        self.json(&format!("ask for build {number} of {project}"), &path).await
    }

    /// Console output from a position on.
    pub async fn console(&self, project: &str, number: u64, from: u64) -> Result<Console, JenkinsError> {
        let doing = format!("read the console of build {number} of {project}");
        let path = format!("{}/{number}/logText/progressiveText?start={from}", Self::project(project));
        let answer = self.expect(&doing, Method::GET, &path, None).await?;
        let size = answer.headers.get("x-text-size").and_then(|value| value.to_str().ok());
        let next = size.and_then(|size| size.parse().ok());
        let text = self.read(&doing, answer.body, limits::WORKER_CONSOLE_BYTES_MAX).await?;
        Ok(Console { text, next: next.unwrap_or(from) })
    }

    /// Writes an archived file of a build into a new file.
    pub async fn fetch(
        &self,
        project: &str,
        number: u64,
        archived: &str,
        file: &std::path::Path,
    ) -> Result<(), JenkinsError> {
        let doing = format!("fetch the archived file {archived}");
        let parts: Vec<String> = archived.split('/').map(|part| utf8_percent_encode(part, VALUE).to_string()).collect();
        let path = format!("{}/{number}/artifact/{}", Self::project(project), parts.join("/"));
        let answer = self.expect(&doing, Method::GET, &path, None).await?;
        let broken = |why: String| JenkinsError::Unreachable { doing: doing.clone(), why };
        let mut out = tokio::fs::File::create(file).await.map_err(|error| broken(error.to_string()))?;
        let mut body = answer.body;
        let mut bytes = 0_u64;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| broken(error.to_string()))?.into_data() else { continue };
            bytes = bytes.saturating_add(data.len() as u64);
            if bytes > limits::WORKER_ARTIFACT_BYTES_MAX {
                return Err(JenkinsError::Unreadable {
                    doing,
                    why: "it is larger than any artifact may be".to_owned(),
                });
            }
            out.write_all(&data).await.map_err(|error| broken(error.to_string()))?;
        }
        out.flush().await.map_err(|error| broken(error.to_string()))
    }

    pub async fn abort(&self, project: &str, number: u64) -> Result<(), JenkinsError> {
        let path = format!("{}/{number}/stop", Self::project(project));
        self.post(&format!("stop build {number} of {project}"), &path, None).await.map(drop)
    }

    pub async fn cancel(&self, item: u64) -> Result<(), JenkinsError> {
        let path = format!("/queue/cancelItem?id={item}");
        match self.post("take the build out of the queue", &path, None).await {
            // Jenkins answers so when the item has left the queue already, and older ones always.
            Ok(_) | Err(JenkinsError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, doing: &str, path: &str) -> Result<T, JenkinsError> {
        let answer = self.expect(doing, Method::GET, path, None).await?;
        let body = self.read(doing, answer.body, limits::WORKER_JSON_BYTES_MAX).await?;
        serde_json::from_slice(&body)
            .map_err(|error| JenkinsError::Unreadable { doing: doing.to_owned(), why: error.to_string() })
    }

    /// A change: with the crumb, and once more with a new one where the session has ended.
    async fn post(&self, doing: &str, path: &str, body: Option<(String, Bytes)>) -> Result<Answer, JenkinsError> {
        self.know_crumb().await?;
        match self.expect(doing, Method::POST, path, body.clone()).await {
            Err(JenkinsError::Forbidden { .. }) if self.forget_crumb() => {
                self.know_crumb().await?;
                self.expect(doing, Method::POST, path, body).await
            }
            answer => answer,
        }
    }

    async fn know_crumb(&self) -> Result<(), JenkinsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Issued {
            crumb: String,
            crumb_request_field: String,
        }
        if !matches!(self.session().crumb, Crumb::Unknown) {
            return Ok(());
        }
        let crumb = match self.json::<Issued>("ask for a crumb", "/crumbIssuer/api/json").await {
            Ok(issued) => Crumb::Is { field: issued.crumb_request_field, value: issued.crumb },
            // Protection is switched off.
            Err(JenkinsError::NotFound { .. }) => Crumb::Off,
            Err(error) => return Err(error),
        };
        self.session().crumb = crumb;
        Ok(())
    }

    /// Whether there was one to forget.
    fn forget_crumb(&self) -> bool {
        let mut session = self.session();
        let had = matches!(session.crumb, Crumb::Is { .. });
        *session = Session::default();
        had
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer of success or of being sent on; everything else as an error.
    async fn expect(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        body: Option<(String, Bytes)>,
    ) -> Result<Answer, JenkinsError> {
        let answer = self.send(doing, method, path, body).await?;
        let status = answer.status;
        // Jenkins answers a change with 302 to the page that shows it.
        if status.is_success() || status.is_redirection() {
            return Ok(answer);
        }
        let doing = doing.to_owned();
        let text = self.read(&doing, answer.body, limits::WORKER_JSON_BYTES_MAX).await.unwrap_or_default();
        let why = plain(&String::from_utf8_lossy(&text));
        Err(match status.as_u16() {
            401 => JenkinsError::SignIn { doing, status: 401 },
            403 => JenkinsError::Forbidden { doing, why },
            404 => JenkinsError::NotFound { doing },
            status => JenkinsError::Status { doing, status, why },
        })
    }

    async fn send(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        body: Option<(String, Bytes)>,
    ) -> Result<Answer, JenkinsError> {
        let unreachable = |why: String| JenkinsError::Unreachable { doing: doing.to_owned(), why };
        let changes = method == Method::POST;
        // Brackets are no characters of a URL's query.
        let path = path.replace('[', "%5B").replace(']', "%5D");
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some((user, token)) = &self.user {
            let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", token.expose()));
            request = request.header(AUTHORIZATION, format!("Basic {text}"));
        }
        {
            let session = self.session();
            if !session.cookies.is_empty() {
                let cookies: Vec<String> =
                    session.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
                request = request.header(COOKIE, cookies.join("; "));
            }
            if let (true, Crumb::Is { field, value }) = (changes, &session.crumb) {
                request = request.header(field.as_str(), value.as_str());
            }
        }
        let bytes = match body {
            Some((kind, bytes)) => {
                request = request.header(CONTENT_TYPE, kind);
                bytes
            }
            None => Bytes::new(),
        };
        let request = request.body(SdkBody::from(bytes)).map_err(|error| unreachable(error.to_string()))?;
        let request = HttpRequest::try_from(request).map_err(|error| unreachable(error.to_string()))?;
        let answer = self.connector.call(request).await.map_err(|error| unreachable(innermost(&error)))?;
        let answer = answer.try_into_http1x().map_err(|error| unreachable(error.to_string()))?;
        let (parts, body) = answer.into_parts();
        let mut session = self.session();
        for cookie in parts.headers.get_all(SET_COOKIE) {
            let pair = cookie.to_str().ok().and_then(|text| text.split(';').next()?.split_once('='));
            if let Some((name, value)) = pair {
                session.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    async fn read(&self, doing: &str, body: SdkBody, most: usize) -> Result<Bytes, JenkinsError> {
        let read = Limited::new(body, most).collect().await;
        read.map(http_body_util::Collected::to_bytes)
            .map_err(|error| JenkinsError::Unreadable { doing: doing.to_owned(), why: error.to_string() })
    }
}

/// Jenkins's remote API takes a file as a part of a form.
fn multipart(parameters: &BTreeMap<String, String>, files: &[FileField]) -> (String, Bytes) {
    // Nothing that is sent may contain the boundary; zips and links do not contain this one by chance.
    const BOUNDARY: &str = "towpath-2f1c7a9e64d84b0c9a3e5d7b81f0c6a2";
    let quoted = |text: &str| text.replace(['"', '\r', '\n'], "_");
    let mut body = Vec::new();
    for (name, value) in parameters {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n", quoted(name));
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value.as_bytes());
        body.extend_from_slice(b"\r\n");
    }
    for file in files {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: \
             application/zip\r\n\r\n",
            quoted(&file.name),
            quoted(&file.file_name)
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&file.bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), Bytes::from(body))
}

/// The text of a page, short enough for a message.
fn plain(page: &str) -> String {
    let mut text = String::new();
    let mut tag = false;
    for c in page.chars() {
        match c {
            '<' => tag = true,
            '>' => {
                tag = false;
                text.push(' ');
            }
            _ if !tag => text.push(c),
            _ => {}
        }
    }
    let text = crate::display::clean_rows(&text);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_lie_in_folders() {
        assert_eq!(Jenkins::project("ferry"), "/job/ferry");
        assert_eq!(Jenkins::project("docks/a b"), "/job/docks/job/a%20b");
        assert_eq!(Jenkins::project("../x?y"), "/job/../job/x%3Fy");
    }

    #[test]
    fn urls_are_checked() {
        assert!(Jenkins::new("https://jenkins.example/ci/", None).is_ok());
        for url in ["jenkins.example", "ftp://x", "http://"] {
            assert!(Jenkins::new(url, None).is_err(), "{url}");
        }
    }

    #[test]
    fn a_form_with_a_file_is_whole() {
        let parameters = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let file = FileField { name: "src\"".into(), file_name: "src.zip".into(), bytes: Bytes::from_static(b"PK") };
        let (kind, body) = multipart(&parameters, &[file]);
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(text.matches(boundary).count(), 3);
        assert!(
            text.contains("name=\"A\"\r\n\r\n1\r\n") && text.contains("name=\"src_\"; filename=\"src.zip\""),
            "{text}"
        );
        assert!(text.ends_with("--\r\n"));
    }

    #[test]
    fn pages_are_told_without_their_tags() {
        assert_eq!(plain("<html><h1>No valid crumb</h1>\n was <b>given</b>"), "No valid crumb was given");
    }
}
