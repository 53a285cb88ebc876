//! One list answers all that asked before it began.
//!
//! Each start looks whether something of its server, or of its person, is there already, and often only a list of everything tells.
//! A list takes a call for each page: with two hundred instances, two hundred starts at once would make 1,600 of them.

use crate::lock::lock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// The lists of an account, by what they are of: a cluster, a workspace, a file system.
pub struct SharedLists<T>(std::sync::Mutex<HashMap<String, Arc<Shared<T>>>>);

struct Shared<T> {
    asking: AtomicUsize,
    /// Held by the one who lists: when the last list began, and what it told; nothing where it failed.
    last: Mutex<Option<(Instant, Option<Arc<T>>)>>,
}

/// One who asks, from now on. The last one takes the list with it, which can be large.
pub struct Asking<T> {
    shared: Arc<Shared<T>>,
    arrived: Instant,
    /// So many asked already.
    pub before: usize,
}

impl<T> Default for SharedLists<T> {
    fn default() -> Self {
        Self(std::sync::Mutex::default())
    }
}

impl<T> SharedLists<T> {
    /// Begins to ask for the list of `of`.
    pub fn ask(&self, of: &str) -> Asking<T> {
        let shared = lock(&self.0)
            .entry(of.to_owned())
            .or_insert_with(|| {
                Arc::new(Shared {
                    asking: AtomicUsize::new(0),
                    last: Mutex::new(None),
                })
            })
            .clone();
        Asking {
            before: shared.asking.fetch_add(1, Ordering::Relaxed),
            arrived: Instant::now(),
            shared,
        }
    }

    /// The list of `of` as it is at or after this call; `list` makes it, and may be called twice.
    ///
    /// # Errors
    /// Those of `list`; another's are not handed on.
    pub async fn get<E, F: Future<Output = Result<T, E>>>(
        &self,
        of: &str,
        deadline: Instant,
        list: impl Fn() -> F,
    ) -> Result<Arc<T>, E> {
        let asking = self.ask(of);
        match asking.told(deadline, list()).await? {
            Some(told) => Ok(told),
            None => list().await.map(Arc::new),
        }
    }
}

impl<T> Asking<T> {
    /// How many ask now, this one among them.
    #[must_use]
    pub fn at_once(&self) -> usize {
        self.shared.asking.load(Ordering::Relaxed)
    }

    /// What a list tells that began when this one asked, or later: another's, or `list`. None where another's failed, or was not
    /// there at the deadline; then all that waited may ask at once rather than one after the other.
    ///
    /// # Errors
    /// Those of `list`.
    pub async fn told<E>(
        &self,
        deadline: Instant,
        list: impl Future<Output = Result<T, E>>,
    ) -> Result<Option<Arc<T>>, E> {
        let Ok(mut last) = timeout_at(deadline, self.shared.last.lock()).await else {
            return Ok(None);
        };
        if let Some((began, told)) = &*last
            && *began >= self.arrived
        {
            return Ok(told.clone());
        }
        let began = Instant::now();
        *last = Some((began, None));
        let told = Arc::new(list.await?);
        *last = Some((began, Some(told.clone())));
        Ok(Some(told))
    }
}

impl<T> Drop for Asking<T> {
    fn drop(&mut self) {
        if self.shared.asking.fetch_sub(1, Ordering::Relaxed) == 1
            && let Ok(mut last) = self.shared.last.try_lock()
        {
            *last = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::time::Duration;

    const TAKES: Duration = Duration::from_secs(1);

    async fn asked(
        shared: &SharedLists<u8>,
        lists: &AtomicUsize,
        fails: bool,
        after: u64,
    ) -> Result<Arc<u8>, &'static str> {
        tokio::time::sleep(Duration::from_millis(after)).await;
        let list = || async {
            lists.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(TAKES).await;
            if fails { Err("it fails") } else { Ok(7) }
        };
        shared.get("w", Instant::now() + TAKES * 10, list).await
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_come_while_a_list_is_made_share_the_next_one() {
        let (shared, lists) = (SharedLists::default(), AtomicUsize::new(0));
        let asking = (0..200).map(|number| asked(&shared, &lists, false, number));
        assert!(
            join_all(asking)
                .await
                .iter()
                .all(|told| told == &Ok(Arc::new(7)))
        );
        assert_eq!(lists.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_who_asks_takes_the_list_along() {
        let (shared, lists) = (SharedLists::default(), AtomicUsize::new(0));
        asked(&shared, &lists, false, 0).await.unwrap();
        let left = lock(&shared.0).get("w").unwrap().clone();
        assert!(left.last.try_lock().unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_list_fails_those_who_waited_ask_at_once() {
        let (shared, lists) = (SharedLists::default(), AtomicUsize::new(0));
        let began = Instant::now();
        let asking = (0..5).map(|number| asked(&shared, &lists, true, number));
        assert!(join_all(asking).await.iter().all(Result::is_err));
        assert_eq!(lists.load(Ordering::Relaxed), 5);
        assert!(began.elapsed() < TAKES * 4);
    }
}
