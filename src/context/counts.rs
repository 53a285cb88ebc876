//! How often each action of a cloud was called, throttled and tried again since this process began; for metrics.
//!
//! Cheap: a lock that nobody holds for longer than an addition. Nothing here decides anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The counts of this process; clones are the same counts.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<String, Count>>>);

/// What happened to one action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests that were sent.
    pub calls: u64,
    /// Those that the cloud throttled.
    pub throttled: u64,
    /// Those that were made again after a failure.
    pub retries: u64,
}

impl Counts {
    /// A request of `action` was sent.
    pub fn called(&self, action: &str) {
        self.add(action, |count| count.calls += 1);
    }

    /// The cloud throttled one.
    pub fn throttled(&self, action: &str) {
        self.add(action, |count| count.throttled += 1);
    }

    /// One is made again.
    pub fn repeated(&self, action: &str) {
        self.add(action, |count| count.retries += 1);
    }

    /// All of them, by action.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Count> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn add(&self, action: &str, change: impl FnOnce(&mut Count)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(action) {
            change(count);
        } else {
            change(counts.entry(action.to_owned()).or_default());
        }
    }
}
