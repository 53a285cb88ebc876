//! Lines in, frames out.

use crate::ops::OutputEnd;
use crate::wire::reply::Outcome;
use crate::wire::{Frame, MAX_LINE_BYTES};
use bytes::BytesMut;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::{Decoder, LinesCodec, LinesCodecError};

/// How much is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// One line, or why it is none.
pub type Line = Result<String, &'static str>;

/// Reads lines of at most 4 MiB; a longer one is skipped, and the next is read.
pub struct Lines<R> {
    from: R,
    codec: LinesCodec,
    buffer: BytesMut,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines from `from`.
    pub fn new(from: R) -> Self {
        Self {
            from,
            codec: LinesCodec::new_with_max_length(MAX_LINE_BYTES),
            buffer: BytesMut::new(),
            ended: false,
        }
    }

    /// The next line; none at the end. May be dropped and called again: no byte is lost.
    pub async fn next(&mut self) -> Option<Line> {
        loop {
            let decoded = if self.ended {
                self.codec.decode_eof(&mut self.buffer)
            } else {
                self.codec.decode(&mut self.buffer)
            };
            match decoded {
                Ok(Some(line)) => return Some(Ok(line)),
                Ok(None) if self.ended => return None,
                Ok(None) => {}
                Err(LinesCodecError::MaxLineLengthExceeded) => {
                    return Some(Err("is longer than 4 MiB"));
                }
                Err(LinesCodecError::Io(_)) => return Some(Err("is not UTF-8")),
            }
            self.buffer.reserve(CHUNK_BYTES);
            // A pipe that breaks has ended.
            if self.from.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                self.ended = true;
            }
        }
    }
}

/// Writes every frame as a line and flushes it; ends when the last sender is gone.
pub async fn write_frames(mut frames: OutputEnd, mut to: impl AsyncWrite + Unpin) {
    while let Some((frame, done)) = frames.recv().await {
        let written = write_line(&frame, &mut to).await;
        if let Err(error) = &written {
            tracing::debug!(%error, "a frame could not be written");
        }
        if let Some(done) = done {
            let _ = done.send(written.is_ok());
        }
    }
}

async fn write_line(frame: &Frame<Outcome>, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn a_last_line_needs_no_newline() {
        assert_eq!(
            lines(b"a\r\nb").await,
            [Ok("a".to_owned()), Ok("b".to_owned())]
        );
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_or_no_utf8_does_not_spoil_the_next() {
        let mut text = vec![b'x'; MAX_LINE_BYTES + 10];
        text.extend(b"\nok\n\xff\xfe\nfine\n");
        let all = lines(&text).await;
        let good: Vec<_> = all.iter().flatten().collect();
        assert_eq!(good, ["ok", "fine"]);
        assert_eq!(all.len(), 4, "{all:?}");
    }
}
