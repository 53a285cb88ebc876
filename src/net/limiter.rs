//! The accounts' quotas: one bucket each, first come, first served, for all that this process does.
//!
//! A bucket backs off when the cloud throttles and comes back slowly, so that hubs that share an account share its quota
//! (`bucket`). Callers wait in the order of their tickets; one that was throttled comes back with the ticket that it had,
//! so it stands before all who came later, and nobody rushes.
//!
//! Crates that were looked at: governor and leaky-bucket keep to one rate for ever; the SDKs' own adaptive mode
//! (aws-smithy-runtime's `ClientRateLimiter`) learns, but is private to them and lets all its waiters go at once;
//! request-rate-limiter learns, has no order and no places in it.

mod bucket;

pub use bucket::Quota;

use crate::lock::lock;
use bucket::Bucket;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// All buckets of this process, by scope (account, region and credentials) and quota.
#[derive(Default)]
pub struct Limiter {
    queues: Mutex<HashMap<(String, &'static str), Arc<Queue>>>,
    tickets: AtomicU64,
}

/// A bucket, and who waits for it.
struct Queue {
    line: Mutex<Line>,
}

struct Line {
    bucket: Bucket,
    /// By ticket; whoever comes to stand first is woken.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

/// A caller's place in all queues; kept while the same call is tried again.
pub struct Ticket {
    number: u64,
    waits_in: Mutex<Option<Arc<Queue>>>,
}

impl Ticket {
    /// How many stand before it, while it waits.
    #[must_use]
    pub fn ahead(&self) -> Option<usize> {
        let queue = lock(&self.waits_in).clone()?;
        Some(queue.ahead_of(self.number))
    }
}

/// The time was up before there was a token; none was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLate {
    /// How many calls were still before this one.
    pub ahead: usize,
}

impl Limiter {
    /// A place behind all who have one.
    pub fn ticket(&self) -> Ticket {
        Ticket {
            number: self.tickets.fetch_add(1, Ordering::Relaxed),
            waits_in: Mutex::default(),
        }
    }

    /// Waits for one token of each quota, in the order of tickets. Dropping the wait leaves the queue.
    ///
    /// # Errors
    /// `TooLate` at the deadline.
    pub async fn take(
        &self,
        ticket: &Ticket,
        scope: &str,
        quotas: &[Quota],
        deadline: Instant,
    ) -> Result<(), TooLate> {
        for quota in quotas {
            let queue = self.queue(scope, quota);
            Place::enter(&queue, ticket).token(deadline).await?;
        }
        Ok(())
    }

    /// The cloud throttled a call that left at `sent`; `asked_for` is the pause that it wants.
    ///
    /// Only the first of the call's quotas is blamed: it is the tightest, and the others serve calls that were not
    /// throttled.
    pub fn throttled(
        &self,
        scope: &str,
        quotas: &[Quota],
        sent: Instant,
        asked_for: Option<Duration>,
    ) {
        let Some(quota) = quotas.first() else {
            return;
        };
        let queue = self.queue(scope, quota);
        queue
            .lock()
            .bucket
            .throttled(sent, Instant::now(), asked_for);
        tracing::info!(quota = quota.name, "throttled: fewer calls for a while");
    }

    /// How many calls wait for a token, by quota; over all accounts of this process.
    #[must_use]
    pub fn waiting(&self) -> BTreeMap<&'static str, usize> {
        let mut waiting = BTreeMap::new();
        for ((_, quota), queue) in lock(&self.queues).iter() {
            *waiting.entry(*quota).or_default() += queue.lock().waiting.len();
        }
        waiting
    }

    fn queue(&self, scope: &str, quota: &Quota) -> Arc<Queue> {
        lock(&self.queues)
            .entry((scope.to_owned(), quota.name))
            .or_insert_with(|| {
                Arc::new(Queue {
                    line: Mutex::new(Line {
                        bucket: Bucket::new(*quota, Instant::now()),
                        waiting: BTreeMap::new(),
                    }),
                })
            })
            .clone()
    }
}

impl Queue {
    fn ahead_of(&self, number: u64) -> usize {
        self.lock().waiting.range(..number).count()
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        lock(&self.line)
    }
}

/// Standing in a queue, until dropped.
struct Place<'a> {
    queue: &'a Arc<Queue>,
    ticket: &'a Ticket,
    woken: Arc<Notify>,
}

impl<'a> Place<'a> {
    fn enter(queue: &'a Arc<Queue>, ticket: &'a Ticket) -> Self {
        let woken = Arc::new(Notify::new());
        queue.lock().waiting.insert(ticket.number, woken.clone());
        *lock(&ticket.waits_in) = Some(queue.clone());
        Self {
            queue,
            ticket,
            woken,
        }
    }

    async fn token(&self, deadline: Instant) -> Result<(), TooLate> {
        loop {
            let due = {
                let mut line = self.queue.lock();
                let now = Instant::now();
                let first = line.waiting.first_key_value().map(|(number, _)| *number);
                if first == Some(self.ticket.number) {
                    match line.bucket.take(now) {
                        None => return Ok(()),
                        Some(wait) => Some(now + wait),
                    }
                } else {
                    None
                }
            };
            if Instant::now() >= deadline {
                return Err(TooLate {
                    ahead: self.queue.ahead_of(self.ticket.number),
                });
            }
            let until = due.map_or(deadline, |due| due.min(deadline));
            tokio::select! {
                () = self.woken.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *lock(&self.ticket.waits_in) = None;
        let mut line = self.queue.lock();
        line.waiting.remove(&self.ticket.number);
        if let Some((_, next)) = line.waiting.first_key_value() {
            next.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    const READ: Quota = Quota {
        name: "read",
        burst: 10.0,
        per_second: 2.0,
    };
    /// What of the burst is used.
    const AT_ONCE: usize = 9;

    async fn take(limiter: &Limiter, scope: &str, deadline: Instant) -> Result<(), TooLate> {
        let ticket = limiter.ticket();
        limiter.take(&ticket, scope, &[READ], deadline).await
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_hours(1)
    }

    async fn emptied() -> Limiter {
        let limiter = Limiter::default();
        for _ in 0..AT_ONCE {
            take(&limiter, "a", far()).await.unwrap();
        }
        limiter
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let limiter = emptied().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            take(&limiter, "a", far()).await.unwrap();
        }
        assert!((start.elapsed().as_secs_f64() - 5.0).abs() < 0.1);
    }

    #[tokio::test(start_paused = true)]
    async fn scopes_do_not_share_a_bucket() {
        let start = Instant::now();
        let limiter = emptied().await;
        take(&limiter, "b", far()).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_too_late_takes_no_token_and_is_told_how_many_were_ahead() {
        let limiter = emptied().await;
        let soon = Instant::now() + Duration::from_millis(100);
        let (first, second) = tokio::join!(take(&limiter, "a", far()), take(&limiter, "a", soon));
        assert_eq!((first, second), (Ok(()), Err(TooLate { ahead: 1 })));
        let next = Instant::now() + Duration::from_millis(501);
        take(&limiter, "a", next).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn callers_are_served_in_the_order_of_their_tickets() {
        let limiter = emptied().await;
        let served = Mutex::new(Vec::new());
        let tickets: Vec<_> = (0..5).map(|_| limiter.ticket()).collect();
        // The last one queues first: an older ticket, as of a call that was throttled, still goes before it.
        join_all(tickets.iter().rev().map(|ticket| async {
            limiter.take(ticket, "a", &[READ], far()).await.unwrap();
            lock(&served).push(ticket.number);
        }))
        .await;
        let mut sorted = lock(&served).clone();
        sorted.sort_unstable();
        assert_eq!(*lock(&served), sorted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_in_the_queue_can_be_asked_for_and_is_free_again_when_its_owner_leaves() {
        let limiter = emptied().await;
        let tickets: Vec<_> = (0..3).map(|_| limiter.ticket()).collect();
        let waits: Vec<_> = tickets
            .iter()
            .map(|ticket| limiter.take(ticket, "a", &[READ], far()))
            .collect();
        let mut waits: Vec<_> = waits.into_iter().map(Box::pin).collect();
        for wait in &mut waits {
            assert!(wait.as_mut().now_or_never().is_none());
        }
        let ahead = || tickets.iter().map(Ticket::ahead).collect::<Vec<_>>();
        assert_eq!(ahead(), [Some(0), Some(1), Some(2)]);
        drop(waits.remove(0));
        assert_eq!(ahead(), [None, Some(0), Some(1)]);
        join_all(waits).await;
        assert_eq!(ahead(), [None, None, None]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_throttle_those_who_wait_go_one_by_one() {
        let limiter = Limiter::default();
        let start = Instant::now();
        limiter.throttled("a", &[READ], start, None);
        let went = Mutex::new(Vec::new());
        join_all((0..5).map(|_| async {
            take(&limiter, "a", far()).await.unwrap();
            lock(&went).push(start.elapsed());
        }))
        .await;
        let went = lock(&went);
        let pause = Duration::from_millis(500);
        let one_by_one = went.windows(2).all(|pair| pair[1] >= pair[0] + pause);
        assert!(one_by_one, "{went:?}");
    }
}
