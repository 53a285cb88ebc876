//! A writer that hands each whole line to a closure: what the protocol writes is shown, or kept, by whoever listens.

use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Calls `each` with every line, without its end.
pub struct EachLine<F> {
    line: Vec<u8>,
    each: F,
}

impl<F: FnMut(&str)> EachLine<F> {
    /// A writer for `each`.
    pub fn new(each: F) -> Self {
        let line = Vec::new();
        Self { line, each }
    }
}

impl<F: FnMut(&str) + Unpin> AsyncWrite for EachLine<F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                (self.each)(&String::from_utf8_lossy(&line));
            } else {
                self.line.push(*byte);
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}
