//! Tasks as processes of this machine, each on a loopback address of its own. A simulated task needs nothing from here:
//! the clock moves it.

pub mod address;
pub mod command;
pub mod leash;
pub mod process;
pub mod volumes;
