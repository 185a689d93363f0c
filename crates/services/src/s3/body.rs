//! Bodies between the server and s3s: a request body that can still be emptied after s3s lost interest in it, and the
//! body type of answers. It must not look at what the bytes mean.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use s3s::StdError;

/// Any error a body may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer; `axum::body::Body::new` takes it as it is.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Bytes of a refused request that are read and thrown away, so that a client that sends first and listens later gets
/// to hear the refusal.
const DRAIN_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    UnsyncBoxBody::new(body.map_err(Into::into))
}

pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    boxed(Full::new(bytes.into()))
}

/// A stream as a body for s3s.
pub(super) fn streamed<S>(stream: S) -> s3s::Body
where
    S: Stream<Item = Result<Bytes, StdError>> + Send + 'static,
{
    s3s::Body::http_body_unsync(StreamBody::new(stream.map(|piece| piece.map(Frame::data))))
}

struct Source {
    body: Body,
    empty: bool,
    touched: bool,
    ended: bool,
}

/// A request body with two holders.
#[derive(Clone)]
pub(super) struct Tap(Arc<Mutex<Source>>);

impl Tap {
    pub(super) fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let empty = body.is_end_stream();
        Self(Arc::new(Mutex::new(Source { body: boxed(body), empty, touched: false, ended: false })))
    }

    /// Whether the sender, if it waits for a go-ahead, was given one: the first look at a body sends it, and there is none
    /// for a body of no bytes.
    pub(super) fn had_go_ahead(&self) -> bool {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        source.touched && !source.empty
    }

    /// Empties what is left, within limits. A client that waits for a go-ahead and was never given it sends nothing.
    pub(super) async fn drain(mut self, waits: bool) {
        {
            let source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if source.ended || source.body.is_end_stream() || (waits && !source.touched) {
                return;
            }
        }
        let mut seen = 0;
        while let Some(Ok(piece)) = self.next().await {
            seen += piece.len();
            if seen > DRAIN_BYTES_MAX {
                return;
            }
        }
    }
}

impl http_body::Body for Tap {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let mut source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        source.touched = true;
        if source.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut source.body).poll_frame(cx));
        source.ended = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        source.ended || source.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.size_hint()
    }
}

impl Stream for Tap {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }
}
