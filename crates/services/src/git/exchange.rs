//! One exchange: git's `upload-pack` or `receive-pack` runs in the repository, the request streams in, the answer streams
//! out. Memory is bounded whatever the pack's size. A push that the client gives up in the middle ends like one whose pack
//! is broken: no ref moves. What follows a push is done before the client learns that the push is over.

use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;

use bytes::{Buf as _, Bytes};
use flate2::write::GzDecoder;
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use towpath_git::command::{complaint, git};

use super::limits::{
    EXCHANGE_TIME, FETCH_BYTES_MAX, INFLATE_BYTES, PIECE_BYTES, PIECES, PROTOCOL_CHARS_MAX, PUSH_BYTES_MAX,
};
use super::{Asked, Door, GitService, Response, answer};

/// What is done when a push is over, whatever became of it.
pub type After = Pin<Box<dyn Future<Output = ()> + Send>>;

type Pieces = mpsc::Sender<std::io::Result<Bytes>>;

impl Door {
    /// Answers a request of a caller who may make it, from the bare repository in `repository`.
    pub async fn serve<B>(&self, asked: &Asked, repository: &Path, parts: &Parts, body: B, after: After) -> Response
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display + Send,
    {
        let service = asked.service;
        let name = service.name();
        let text = |header: http::HeaderName| parts.headers.get(header).and_then(|v| v.to_str().ok());
        let kind = if asked.advertisement { "advertisement" } else { "result" };
        if !asked.advertisement && text(CONTENT_TYPE) != Some(format!("application/x-{name}-request").as_str()) {
            return answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This is not the content type of a git request.");
        }
        let packed = match text(CONTENT_ENCODING) {
            None | Some("identity") => false,
            Some("gzip" | "x-gzip") => true,
            Some(_) => return answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The only content encoding is gzip."),
        };
        let protocol = parts.headers.get("git-protocol").and_then(|v| v.to_str().ok()).filter(|text| is_protocol(text));
        let Ok(permit) = self.exchanges.clone().acquire_owned().await else {
            return answer(StatusCode::SERVICE_UNAVAILABLE, "The server is closing.");
        };
        let mut child = match start(asked, repository, protocol) {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(%error, repository = %repository.display(), "git cannot be started");
                return answer(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The program `git` cannot be started here. Install git where Towpath runs.",
                );
            }
        };
        let (pieces, received) = mpsc::channel(PIECES);
        let preamble = (asked.advertisement && !(service == GitService::UploadPack && speaks_v2(protocol)))
            .then(|| Bytes::from(format!("{:04x}# service={name}\n0000", name.len() + 15)));
        let advertisement = asked.advertisement;
        tokio::spawn(async move {
            let _permit = permit;
            let stdin = child.stdin.take();
            let stdout = child.stdout.take();
            let stderr = child.stderr.take();
            let limit = if service == GitService::UploadPack { FETCH_BYTES_MAX } else { PUSH_BYTES_MAX };
            let work = async {
                if let Some(preamble) = preamble
                    && pieces.send(Ok(preamble)).await.is_err()
                {
                    return Ok(());
                }
                let feed = async {
                    match stdin {
                        Some(stdin) if !advertisement => feed(body, stdin, packed, limit).await,
                        _ => Ok(()),
                    }
                };
                let complaints = async {
                    let mut kept = Vec::new();
                    if let Some(stderr) = stderr {
                        // A program that complains for longer than this is not listened to.
                        let _ = stderr.take(PIECE_BYTES as u64).read_to_end(&mut kept).await;
                    }
                    kept
                };
                let (fed, told, complaints) = tokio::join!(feed, tell(stdout, &pieces, service), complaints);
                if !complaints.is_empty() {
                    tracing::debug!(complaint = complaint(&complaints), "git says");
                }
                let ended = child.wait().await;
                tracing::debug!(service = service.name(), status = ?ended.ok(), "a git exchange is over");
                fed.and(told)
            };
            let worked = tokio::time::timeout(EXCHANGE_TIME, work).await;
            if service == GitService::ReceivePack && !advertisement {
                after.await;
            }
            let error = match worked {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error,
                Err(_) => std::io::Error::from(std::io::ErrorKind::TimedOut),
            };
            tracing::info!(%error, service = service.name(), "a git exchange broke off");
            // The answer must not look whole; nobody listening is no error.
            let _ = pieces.send(Err(error)).await;
        });
        let frames = stream::unfold(received, |mut received| async move {
            let piece = received.recv().await?;
            Some((piece.map(Frame::data), received))
        });
        let mut response = http::Response::new(StreamBody::new(frames).boxed_unsync());
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&format!("application/x-{name}-{kind}")) {
            headers.insert(CONTENT_TYPE, value);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0, must-revalidate"));
        response
    }
}

fn start(asked: &Asked, repository: &Path, protocol: Option<&str>) -> std::io::Result<Child> {
    let mut command = git();
    match asked.service {
        // Source actions and builds want commits by their ids.
        GitService::UploadPack => {
            command.args(["-c", "uploadpack.allowAnySHA1InWant=true", "upload-pack", "--strict", "--stateless-rpc"])
        }
        GitService::ReceivePack => {
            let limit = format!("receive.maxInputSize={PUSH_BYTES_MAX}");
            command.args(["-c", &limit, "receive-pack", "--stateless-rpc"])
        }
    };
    if asked.advertisement {
        command.arg("--http-backend-info-refs");
    } else {
        command.stdin(Stdio::piped());
    }
    if let Some(protocol) = protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    command.arg("--").arg(repository).spawn()
}

/// The request's body into git, which reads to the end of what it understands.
async fn feed<B>(mut body: B, mut stdin: ChildStdin, packed: bool, limit: u64) -> std::io::Result<()>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display + Send,
{
    let mut inflate = packed.then(|| GzDecoder::new(Vec::new()));
    let mut left = limit;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| std::io::Error::other(error.to_string()))?;
        let Ok(mut data) = frame.into_data() else { continue };
        while data.has_remaining() {
            let Some(inflate) = &mut inflate else {
                if !give(&mut stdin, &data, &mut left).await? {
                    return Ok(());
                }
                break;
            };
            let piece = data.split_to(data.len().min(INFLATE_BYTES));
            inflate.write_all(&piece)?;
            let plain = std::mem::take(inflate.get_mut());
            if !give(&mut stdin, &plain, &mut left).await? {
                return Ok(());
            }
        }
    }
    if let Some(inflate) = inflate {
        let rest = inflate.finish()?;
        give(&mut stdin, &rest, &mut left).await?;
    }
    Ok(())
}

/// `false`: git has ended and wants no more.
async fn give(stdin: &mut ChildStdin, bytes: &[u8], left: &mut u64) -> std::io::Result<bool> {
    *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::FileTooLarge, "the request is larger than this server takes")
    })?;
    match stdin.write_all(bytes).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Git's answer to the client. A client that leaves a fetch ends it; a push goes on to its end.
async fn tell(stdout: Option<ChildStdout>, pieces: &Pieces, service: GitService) -> std::io::Result<()> {
    let Some(mut stdout) = stdout else { return Ok(()) };
    let mut listening = true;
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        if stdout.read_buf(&mut piece).await? == 0 {
            return Ok(());
        }
        if listening && pieces.send(Ok(Bytes::from(piece))).await.is_err() {
            if service == GitService::UploadPack {
                return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
            }
            listening = false;
        }
    }
}

/// What may go into `GIT_PROTOCOL`: `version=2` and the like.
fn is_protocol(text: &str) -> bool {
    text.len() <= PROTOCOL_CHARS_MAX
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b':' | b'-' | b'_' | b'.'))
}

fn speaks_v2(protocol: Option<&str>) -> bool {
    protocol.is_some_and(|text| text.split(':').any(|part| part == "version=2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program was fed of a body, and how that ended.
    async fn fed(body: Vec<u8>, packed: bool, limit: u64) -> (Vec<u8>, std::io::Result<()>) {
        let mut command = tokio::process::Command::new("cat");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat runs");
        let (stdin, mut stdout) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
        let mut seen = Vec::new();
        let body = http_body_util::Full::new(Bytes::from(body));
        let (read, ended) = tokio::join!(stdout.read_to_end(&mut seen), feed(body, stdin, packed, limit));
        read.expect("read");
        child.wait().await.expect("ended");
        (seen, ended)
    }

    #[tokio::test]
    async fn what_comes_in_has_a_limit_whatever_its_encoding() {
        let gzip = |bytes: &[u8]| {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            packed.write_all(bytes).expect("packed");
            packed.finish().expect("packed")
        };
        let (seen, ended) = fed(b"0032want".to_vec(), false, 8).await;
        assert!(ended.is_ok() && seen == b"0032want");
        let (seen, ended) = fed(gzip(b"0032want"), true, 8).await;
        assert!(ended.is_ok() && seen == b"0032want");
        let (_, ended) = fed(b"0032want".to_vec(), false, 7).await;
        assert_eq!(ended.expect_err("too large").kind(), std::io::ErrorKind::FileTooLarge);
        let bomb = gzip(&vec![0; 4_000_000]);
        assert!(bomb.len() < 10_000, "small on the wire");
        let (seen, ended) = fed(bomb, true, 100_000).await;
        assert_eq!(ended.expect_err("too large").kind(), std::io::ErrorKind::FileTooLarge);
        assert!(seen.len() <= 100_000);
        let (_, ended) = fed(b"not gzip".to_vec(), true, 100).await;
        assert!(ended.is_err());
    }

    #[test]
    fn protocols_are_plain_words() {
        assert!(is_protocol("version=2") && is_protocol("version=1:side=x"));
        assert!(
            !is_protocol("") && !is_protocol("version=2\0") && !is_protocol("a b") && !is_protocol(&"v".repeat(257))
        );
        assert!(speaks_v2(Some("a=b:version=2")) && !speaks_v2(Some("version=1")) && !speaks_v2(None));
    }
}
