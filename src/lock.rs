//! A lock that a panic elsewhere does not poison: what it guards is whole after each statement. It uses no room.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for it and takes it; not across an await.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
