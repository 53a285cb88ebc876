//! Token buckets: no more calls than a cloud's documented quota allows, first come, first served.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A documented quota.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    /// What it counts; calls that share a quota share the name.
    pub name: &'static str,
    /// Calls that may be made at once.
    pub burst: f64,
    /// Calls that may be made each second in the long run.
    pub per_second: f64,
}

/// All buckets of this process, by scope (account and region) and quota.
#[derive(Default)]
pub struct Limiter {
    buckets: Mutex<HashMap<(String, &'static str), Bucket>>,
}

/// A bucket that may be in debt: each taker gets the moment at which its own token is there, in order of asking.
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limiter {
    /// Takes one token of each quota and waits until they are there.
    ///
    /// # Errors
    /// The wait that would have been needed, where it ends after `deadline`; then no token was taken.
    pub async fn take(
        &self,
        scope: &str,
        quotas: &[Quota],
        deadline: Instant,
    ) -> Result<(), Duration> {
        let now = Instant::now();
        let wait = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            let mut wait = Duration::ZERO;
            for quota in quotas {
                let bucket = buckets
                    .entry((scope.to_owned(), quota.name))
                    .or_insert(Bucket {
                        tokens: quota.burst,
                        at: now,
                    });
                wait = wait.max(bucket.wait(quota, now));
            }
            if now + wait > deadline {
                return Err(wait);
            }
            for quota in quotas {
                if let Some(bucket) = buckets.get_mut(&(scope.to_owned(), quota.name)) {
                    bucket.tokens -= 1.0;
                }
            }
            wait
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }
}

impl Bucket {
    /// Fills up to `now`, then tells how long until one more token is there.
    fn wait(&mut self, quota: &Quota, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + since * quota.per_second).min(quota.burst);
        self.at = now;
        Duration::from_secs_f64(((1.0 - self.tokens) / quota.per_second).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Quota = Quota {
        name: "read",
        burst: 5.0,
        per_second: 2.0,
    };

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        let far = start + Duration::from_hours(1);
        for _ in 0..5 {
            limiter.take("a", &[READ], far).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            limiter.take("a", &[READ], far).await.unwrap();
        }
        assert!((start.elapsed().as_secs_f64() - 5.0).abs() < 0.1);
    }

    #[tokio::test(start_paused = true)]
    async fn scopes_do_not_share_a_bucket() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        for scope in ["a", "b"] {
            for _ in 0..5 {
                limiter.take(scope, &[READ], start).await.unwrap();
            }
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_past_the_deadline_takes_no_token() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        for _ in 0..5 {
            limiter.take("a", &[READ], start).await.unwrap();
        }
        assert!(limiter.take("a", &[READ], start).await.is_err());
        let soon = start + Duration::from_millis(501);
        limiter.take("a", &[READ], soon).await.unwrap();
    }
}
