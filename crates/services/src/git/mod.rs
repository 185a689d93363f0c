//! Git over smart HTTP, for whichever service has a repository to show: what a client asks for ([`Asked`]), who it is
//! ([`Door::caller`]: Basic authentication with the password that AWS derives from an access key), and the exchange itself
//! ([`Door::serve`], which runs git's own `upload-pack` and `receive-pack` and streams both ways).
//!
//! Must not know whose repository it is nor what anybody may do: the service that owns the path finds the repository and
//! asks for permission between the second step and the third.

mod asked;
mod caller;
mod exchange;
pub mod limits;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::Semaphore;

use crate::ambient::Ambient;
use crate::identity::Identity;

pub use asked::{Asked, GitService};
pub use caller::Caller;
pub use exchange::After;

/// An answer that is written while it is made.
pub type Response = http::Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// The front door of git, one for all services that serve it.
pub struct Door {
    identity: Arc<Identity>,
    ambient: Ambient,
    exchanges: Arc<Semaphore>,
}

impl Door {
    pub fn new(identity: Arc<Identity>, ambient: Ambient) -> Self {
        Self { identity, ambient, exchanges: Arc::new(Semaphore::new(limits::EXCHANGES_MAX)) }
    }
}

/// An answer without git: a status and a line for whoever reads it. Git shows the status alone.
pub fn answer(status: StatusCode, text: &str) -> Response {
    let body = Full::new(Bytes::from(format!("{text}\n"))).map_err(|never| match never {});
    let mut response = http::Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Towpath git\""));
    }
    response
}
