//! The program: reads the command line, runs it, exits.

use clap::Parser;
use cloudspawner::cli::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One TLS stack for everything; a second call in one process would be the only way to fail, and there is none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli::run(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            tracing::error!(%error, "cloudspawner cannot run");
            ExitCode::from(2)
        }
    }
}
