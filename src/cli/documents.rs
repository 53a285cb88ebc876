//! What the program tells of itself: the wire's schema, completions, the manual page. Each is made from what it describes.

use super::arguments::{Cli, Command};
use clap::CommandFactory as _;

/// The document that the command asks for, if it asks for one.
///
/// # Errors
/// None in practice: it is written into memory.
pub fn of(command: &Command) -> std::io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    match command {
        Command::Schema => {
            serde_json::to_writer_pretty(&mut text, &crate::wire::schema::document())?;
            text.push(b'\n');
        }
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "cloudspawner", &mut text);
        }
        Command::Man => {
            let mut program = Cli::command();
            program.build();
            // One page: a reader searches in it, and packagers install one file.
            clap_mangen::Man::new(program.clone()).render(&mut text)?;
            for command in program.get_subcommands().filter(|c| c.get_name() != "help") {
                clap_mangen::Man::new(command.clone()).render(&mut text)?;
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(text))
}
