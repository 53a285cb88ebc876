//! The pipes between a hub and its `serve`, read and written by the runtime itself.
//!
//! tokio's own stdin and stdout hand each piece to another thread and wait to be woken, since they may be files. That is
//! most of what a small request costs, so it is left to those that are no pipes.

use std::io;
use std::os::fd::AsFd;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::pipe;

/// Standard input. A pipe becomes non-blocking for all who hold this end of it.
///
/// # Panics
/// Outside of a runtime.
pub fn input() -> Box<dyn AsyncRead + Unpin> {
    let own = io::stdin().as_fd().try_clone_to_owned();
    match own.and_then(pipe::Receiver::from_owned_fd) {
        Ok(pipe) => Box::new(pipe),
        Err(_) => Box::new(tokio::io::stdin()),
    }
}

/// Standard output, likewise.
///
/// # Panics
/// Outside of a runtime.
pub fn output() -> Box<dyn AsyncWrite + Unpin + Send> {
    let own = io::stdout().as_fd().try_clone_to_owned();
    match own.and_then(pipe::Sender::from_owned_fd) {
        Ok(pipe) => Box::new(pipe),
        Err(_) => Box::new(tokio::io::stdout()),
    }
}
