//! Cuts aws-chunked bodies to a size that fits in memory. s3s holds a whole chunk before it passes it on: it must, to
//! verify a signed one, but a client may send a 5 GB body as one unsigned chunk. Unsigned chunks are therefore framed anew
//! in small ones here, and signed chunks past a limit are refused. Nothing else about the body is looked at.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures::Stream;
use s3s::StdError;

/// The largest signed chunk. Clients send 64 KiB to 1 MiB.
const SIGNED_CHUNK_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The largest unsigned chunk handed on.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// Bytes in a chunk's size line.
const LINE_BYTES_MAX: usize = 1024;

/// How every refusal of this module begins.
pub(super) const REFUSED: &str = "The aws-chunked body";

#[derive(Debug, thiserror::Error)]
enum ChunkError {
    #[error("{REFUSED} has a chunk size that is not hexadecimal.")]
    Size,
    #[error("{REFUSED} has a signed chunk of {0} bytes; the most accepted is {SIGNED_CHUNK_BYTES_MAX}.")]
    TooLarge(u64),
    #[error("{REFUSED} has a chunk that is not followed by CRLF.")]
    End,
}

enum State {
    /// In a size line, of which this much was read.
    Line(Vec<u8>),
    /// In a chunk, with this much of it to come.
    Data(u64),
    /// After a chunk, with this much of CRLF to come.
    End(u8),
    /// In the trailers.
    Rest,
}

pub(super) struct Rechunked<S> {
    inner: S,
    signed: bool,
    state: State,
    out: VecDeque<Bytes>,
}

impl<S> Rechunked<S> {
    pub(super) fn new(inner: S, signed: bool) -> Self {
        Self { inner, signed, state: State::Line(Vec::new()), out: VecDeque::new() }
    }

    fn take(&mut self, mut piece: Bytes) -> Result<(), ChunkError> {
        if self.signed {
            self.out.push_back(piece.clone());
        }
        while !piece.is_empty() {
            match &mut self.state {
                State::Line(line) => {
                    let end = piece.iter().position(|byte| *byte == b'\n');
                    let taken = end.map_or(piece.len(), |at| at + 1);
                    if line.len() + taken > LINE_BYTES_MAX {
                        return Err(ChunkError::Size);
                    }
                    line.extend_from_slice(&piece[..taken]);
                    piece.advance(taken);
                    if end.is_some() {
                        let size = size(line)?;
                        if self.signed && size > SIGNED_CHUNK_BYTES_MAX {
                            return Err(ChunkError::TooLarge(size));
                        }
                        self.state = if size == 0 { State::Rest } else { State::Data(size) };
                        if size == 0 && !self.signed {
                            self.out.push_back(Bytes::from_static(b"0\r\n"));
                        }
                    }
                }
                State::Data(left) => {
                    let most = if self.signed { piece.len() } else { PIECE_BYTES_MAX };
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len()).min(most);
                    let data = piece.split_to(taken);
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::End(2);
                    }
                    if !self.signed {
                        self.out.push_back(Bytes::from(format!("{taken:x}\r\n")));
                        self.out.push_back(data);
                        self.out.push_back(Bytes::from_static(b"\r\n"));
                    }
                }
                State::End(left) => {
                    let wanted = if *left == 2 { b'\r' } else { b'\n' };
                    if piece.get_u8() != wanted {
                        return Err(ChunkError::End);
                    }
                    *left -= 1;
                    if *left == 0 {
                        self.state = State::Line(Vec::new());
                    }
                }
                State::Rest => {
                    let rest = std::mem::take(&mut piece);
                    if !self.signed {
                        self.out.push_back(rest);
                    }
                }
            }
        }
        Ok(())
    }
}

fn size(line: &[u8]) -> Result<u64, ChunkError> {
    let text = std::str::from_utf8(line).map_err(|_| ChunkError::Size)?.trim_end();
    let digits = text.split(';').next().unwrap_or_default().trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ChunkError::Size);
    }
    u64::from_str_radix(digits, 16).map_err(|_| ChunkError::Size)
}

impl<S> Stream for Rechunked<S>
where
    S: Stream<Item = Result<Bytes, StdError>> + Unpin,
{
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(piece) = self.out.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(piece)) => {
                    if let Err(error) = self.take(piece) {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};

    use super::*;

    fn run(input: &[u8], cut: usize, signed: bool) -> Result<Vec<Bytes>, String> {
        let pieces: Vec<Result<Bytes, StdError>> =
            input.chunks(cut).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let out = futures::executor::block_on(Rechunked::new(stream::iter(pieces), signed).collect::<Vec<_>>());
        out.into_iter().map(|piece| piece.map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn an_unsigned_chunk_comes_out_in_small_ones() {
        let mut input = format!("{:x}\r\n", 200_000).into_bytes();
        input.extend_from_slice(&vec![b'x'; 200_000]);
        input.extend_from_slice(b"\r\n3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        for cut in [1, 7, 4096, 1 << 20] {
            let out = run(&input, cut, false).unwrap();
            assert!(out.iter().all(|piece| piece.len() <= PIECE_BYTES_MAX));
            let joined = out.concat();
            let data: usize =
                out.iter().filter(|piece| piece.starts_with(b"x") && piece.len() < 70_000).map(Bytes::len).sum();
            assert!(data >= 200_000, "every byte of the chunk is there");
            assert!(joined.ends_with(b"\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"));
        }
    }

    #[test]
    fn signed_chunks_pass_untouched_up_to_a_limit() {
        let input = b"3;chunk-signature=00\r\nabc\r\n0;chunk-signature=00\r\n\r\n";
        assert_eq!(run(input, 5, true).unwrap().concat(), input);
        let error = run(b"2000000;chunk-signature=00\r\n", 64, true).unwrap_err();
        assert_eq!(error, "The aws-chunked body has a signed chunk of 33554432 bytes; the most accepted is 16777216.");
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(run(b"zz\r\n", 9, false).unwrap_err().contains("not hexadecimal"));
        assert!(run(b"+5\r\nabcde\r\n", 9, false).unwrap_err().contains("not hexadecimal"));
        assert!(run(b"3\r\nabcd\r\n", 9, false).unwrap_err().contains("CRLF"));
        assert!(run(&[b'1'; 2000], 100, false).unwrap_err().contains("not hexadecimal"));
    }
}
