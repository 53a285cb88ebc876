//! What a person sees on a terminal: one line that tells how a start is getting on, then the result; and a question.
//!
//! The standard library is enough for one line that is written over.

use super::show;
use crate::wire::Frame;
use std::io::Write as _;
use tokio_util::sync::CancellationToken;

/// "Erase in line" after a return to its beginning (ECMA-48, EL).
pub const ERASE: &str = "\r\u{1b}[K";
/// More would wrap, and what wraps cannot be written over.
const WIDTH: usize = 79;

/// The line that is written over.
#[derive(Debug, Default)]
pub struct Progress {
    shown: bool,
}

impl Progress {
    fn tell(&mut self, percent: u8, message: &str) {
        let line: String = format!("{percent:>3}%  {message}")
            .chars()
            .take(WIDTH)
            .collect();
        put(&format!("{ERASE}{}", show::printable(&line)));
        self.shown = true;
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.shown) {
            put(ERASE);
        }
    }
}

/// Shows a frame of the answer to `verb`.
pub fn show(verb: &str, frame: &Frame, progress: &mut Progress) {
    match frame {
        Frame::Event { event, .. } => progress.tell(event.percent, &event.message),
        Frame::Result { result, .. } => {
            progress.erase();
            write(&show::result(verb, result));
        }
        Frame::Error { error, .. } => {
            progress.erase();
            write(&show::error(error));
        }
        // What a hub keeps is nothing to read.
        Frame::Hello { .. } | Frame::State { .. } => {}
    }
}

/// Writes lines, in which nothing moves the cursor.
pub fn write(text: &str) {
    put(&format!("{}\n", show::printable(text)));
}

/// Whether the person says yes; anything else is no.
pub async fn confirmed(question: String, interrupted: &CancellationToken) -> bool {
    put(&question);
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        line
    });
    tokio::select! {
        answer = answer => {
            let answer = answer.unwrap_or_default();
            matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
        }
        () = interrupted.cancelled() => {
            put("\n");
            false
        }
    }
}

/// A reader that is gone is its own choice.
fn put(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
