//! One list of a workspace answers all that asked before it began.
//!
//! Each start looks whether an instance of its server is there under another name, and only the list tells. A list takes a call for
//! each page: with two hundred instances, two hundred starts at once would make 1,600 of them.

use super::instance::Instance;
use crate::cloud::CloudError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// Every instance of a workspace.
pub type Instances = Arc<Vec<Instance>>;

/// The lists of one workspace.
#[derive(Default)]
pub struct Listing {
    asking: AtomicUsize,
    /// Held by the one who lists: when the last list began, and what it told.
    last: Mutex<Option<(Instant, Option<Instances>)>>,
}

impl Listing {
    /// The instances as they are at or after this call; `list` asks for them.
    ///
    /// # Errors
    /// Those of `list`; another's are not handed on.
    pub async fn get(
        &self,
        deadline: Instant,
        list: impl Future<Output = Result<Vec<Instance>, CloudError>>,
    ) -> Result<Instances, CloudError> {
        let arrived = Instant::now();
        let _asking = Asking::begin(self);
        let Ok(mut last) = timeout_at(deadline, self.last.lock()).await else {
            return list.await.map(Arc::new);
        };
        match &*last {
            Some((began, Some(instances))) if *began >= arrived => return Ok(instances.clone()),
            // It failed; all that waited for it ask at once rather than one after the other.
            Some((began, None)) if *began >= arrived => {
                drop(last);
                return list.await.map(Arc::new);
            }
            _ => {}
        }
        let began = Instant::now();
        *last = Some((began, None));
        let instances = Arc::new(list.await?);
        *last = Some((began, Some(instances.clone())));
        Ok(instances)
    }
}

/// One that asks; the last one takes the list with it, which can be large.
struct Asking<'a>(&'a Listing);

impl<'a> Asking<'a> {
    fn begin(listing: &'a Listing) -> Self {
        listing.asking.fetch_add(1, Ordering::Relaxed);
        Self(listing)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.0.asking.fetch_sub(1, Ordering::Relaxed) == 1
            && let Ok(mut last) = self.0.last.try_lock()
        {
            *last = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Code;
    use futures_util::future::join_all;
    use std::time::Duration;

    const TAKES: Duration = Duration::from_secs(1);

    async fn asked(
        listing: &Listing,
        lists: &AtomicUsize,
        fails: bool,
        after: u64,
    ) -> Option<Code> {
        tokio::time::sleep(Duration::from_millis(after)).await;
        let list = async {
            lists.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(TAKES).await;
            if fails {
                let (operation, why) = ("list".to_owned(), "it fails".to_owned());
                return Err(CloudError::Unreadable { operation, why });
            }
            Ok(Vec::new())
        };
        let told = listing.get(Instant::now() + TAKES * 10, list).await;
        told.err().map(|error| error.code())
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_come_while_a_list_is_made_share_the_next_one() {
        let (listing, lists) = (Listing::default(), AtomicUsize::new(0));
        let asking = (0..200).map(|number| asked(&listing, &lists, false, number));
        assert_eq!(join_all(asking).await, [None; 200]);
        assert_eq!(lists.load(Ordering::Relaxed), 2);
        assert!(listing.last.try_lock().unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_list_fails_those_who_waited_ask_at_once() {
        let (listing, lists) = (Listing::default(), AtomicUsize::new(0));
        let began = Instant::now();
        let asking = (0..5).map(|number| asked(&listing, &lists, true, number));
        assert!(join_all(asking).await.iter().all(Option::is_some));
        assert_eq!(lists.load(Ordering::Relaxed), 5);
        assert!(began.elapsed() < TAKES * 4);
    }
}
