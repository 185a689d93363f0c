//! A git host: git's own http-backend behind Basic authentication, one repository in it, at the place where GitHub has it
//! and at the ones where a connection and CodeCommit have it. And what is known of that connection.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use towpath_model::action::ActionInvocation;
use towpath_model::catalogue::{Category, Owner};
use towpath_providers::connection_source::ConnectionTypes;

use crate::conformance::CONFIGURED_SECRET;
use crate::stage::{artifact, invocation};

pub const CONNECTION: &str = "arn:aws:codeconnections:eu-west-1:111122223333:connection/c-1";

/// What CodeCommit calls the repository, and one that it has and that git refuses to show.
pub const REPOSITORY: &str = "ferry";
pub const REFUSED: &str = "harbour";

/// Paths and Basic credentials of requests, in order.
static SEEN: Mutex<Vec<(String, String, String)>> = Mutex::new(Vec::new());

struct Host {
    url: String,
    commit: String,
    _root: TempDir,
}

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let root = TempDir::new().unwrap();
        let commit = repository(&root.path().join("git-http/111122223333/eu-west-1/c-1/towline-co/ferry.git"));
        assert_eq!(commit, repository(&root.path().join("towline-co/ferry.git")), "the same commit twice");
        repository(&root.path().join("v1/repos").join(REPOSITORY));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let directory = root.path().to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let directory = directory.clone();
                std::thread::spawn(move || served(&directory, &stream));
            }
        });
        Host { url, commit, _root: root }
    })
}

pub fn url() -> String {
    host().url.clone()
}

pub fn commit() -> &'static str {
    &host().commit
}

/// Users and passwords that were sent for what is at a path.
pub fn seen(path: &str) -> Vec<(String, String)> {
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let of_path = seen.iter().filter(|(asked, ..)| asked.starts_with(path));
    of_path.map(|(_, user, password)| (user.clone(), password.clone())).collect()
}

fn git(arguments: &[&str]) -> String {
    let done = Command::new("git")
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
            [
                (format!("GIT_{who}_NAME"), "Ada"),
                (format!("GIT_{who}_EMAIL"), "ada@example.com"),
                (format!("GIT_{who}_DATE"), "1484167798 +0100"),
            ]
        }))
        .output()
        .unwrap();
    assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// A bare repository with one commit on `main`.
fn repository(bare: &Path) -> String {
    let work = TempDir::new().unwrap();
    let at = work.path().to_str().unwrap();
    git(&["init", "--quiet", "--initial-branch=main", at]);
    std::fs::write(work.path().join("index.html"), "<p>").unwrap();
    git(&["-C", at, "add", "--all"]);
    git(&["-C", at, "commit", "--quiet", "-m", "Sail"]);
    std::fs::create_dir_all(bare.parent().unwrap()).unwrap();
    git(&["clone", "--quiet", "--bare", at, bare.to_str().unwrap()]);
    git(&["-C", at, "rev-parse", "HEAD"])
}

/// One request: git's http-backend is a CGI program.
fn served(root: &Path, stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let [method, target, _] = line.split_whitespace().collect::<Vec<_>>()[..] else { return };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let of = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut body = Vec::new();
    if of("transfer-encoding") == "chunked" {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).unwrap();
            let size = u64::from_str_radix(size.trim(), 16).unwrap();
            (&mut reader).take(size).read_to_end(&mut body).unwrap();
            reader.read_line(&mut String::new()).unwrap();
            if size == 0 {
                break;
            }
        }
    } else {
        (&mut reader).take(of("content-length").parse().unwrap_or(0)).read_to_end(&mut body).unwrap();
    }
    let authorization = of("authorization");
    if let Some(encoded) = authorization.strip_prefix("Basic ") {
        let text = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
        let (user, password) = text.split_once(':').unwrap();
        let told = (path.to_owned(), user.to_owned(), password.to_owned());
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }
    let (status, kept, answer) = if !authorization.starts_with("Basic ") {
        ("401 Unauthorized".to_owned(), vec!["WWW-Authenticate: Basic realm=\"host\"".to_owned()], Vec::new())
    } else if path.starts_with(&format!("/v1/repos/{REFUSED}/")) {
        ("403 Forbidden".to_owned(), Vec::new(), Vec::new())
    } else {
        backend(root, (method, path, query), &headers, &body)
    };
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", answer.len());
    for header in kept {
        head.push_str(&header);
        head.push_str("\r\n");
    }
    let mut stream = stream;
    // A client that left is no concern.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(b"\r\n"))
        .and_then(|()| stream.write_all(&answer));
}

fn backend(
    root: &Path,
    (method, path, query): (&str, &str, &str),
    headers: &BTreeMap<String, String>,
    body: &[u8],
) -> (String, Vec<String>, Vec<u8>) {
    let of = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", PathBuf::from(root))
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", of("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", of("content-encoding"))
        .env("GIT_PROTOCOL", of("git-protocol"))
        .env("REMOTE_USER", "somebody")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Requests are smaller than a pipe.
    child.stdin.take().unwrap().write_all(body).unwrap();
    let out = child.wait_with_output().unwrap().stdout;
    let end = out.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(out.len());
    let head = String::from_utf8_lossy(&out[..end]).into_owned();
    let mut status = "200 OK".to_owned();
    let mut kept = Vec::new();
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        match line.strip_prefix("Status: ") {
            Some(told) => told.clone_into(&mut status),
            None => kept.push(line.to_owned()),
        }
    }
    (status, kept, out.get(end + 4..).unwrap_or_default().to_vec())
}

/// What is known of the connection.
pub struct Types;

#[async_trait::async_trait]
impl ConnectionTypes for Types {
    async fn provider_type(&self, arn: &str) -> Option<String> {
        (arn == CONNECTION).then(|| "GitHub".to_owned())
    }
}

/// A source action that takes from the connection.
pub fn connection_source(more: &[(&str, &str)]) -> ActionInvocation {
    let keys = [("ConnectionArn", CONNECTION), ("FullRepositoryId", "towline-co/ferry"), ("BranchName", "main")];
    let keys: Vec<(&str, &str)> = keys.into_iter().chain(more.iter().copied()).collect();
    ActionInvocation {
        output_artifacts: vec![artifact("app-src", "ferry/app-src/Qm4TzX1.zip")],
        ..invocation(Category::Source, Owner::Aws, "CodeStarSourceConnection", &keys)
    }
}

pub fn github_source() -> ActionInvocation {
    let keys = [("Owner", "towline-co"), ("Repo", "ferry"), ("Branch", "main"), ("OAuthToken", CONFIGURED_SECRET)];
    ActionInvocation {
        output_artifacts: vec![artifact("app-src", "ferry/app-src/Qm4TzX1.zip")],
        ..invocation(Category::Source, Owner::ThirdParty, "GitHub", &keys)
    }
}
