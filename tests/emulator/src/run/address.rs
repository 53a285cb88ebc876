//! Loopback addresses for tasks, so that each can have the port that the spawner names.

use std::net::{IpAddr, Ipv4Addr};

use crate::lifecycle::Status;
use crate::tasks::Tasks;

/// One that no living task has. Drawn from all of 127.2.0.0 to 127.254.255.254, so that emulators that run side by side
/// hardly ever meet either; 127.0.0.1 is never given.
pub fn unused(tasks: &Tasks, now_ms: u64) -> Ipv4Addr {
    loop {
        let address = Ipv4Addr::new(
            127,
            fastrand::u8(2..=254),
            fastrand::u8(..),
            fastrand::u8(1..=254),
        );
        let taken = |task: &crate::tasks::Task| {
            task.address == IpAddr::V4(address) && task.status(now_ms) != Status::Stopped
        };
        if !tasks.iter().any(taken) {
            return address;
        }
    }
}
