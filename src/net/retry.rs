//! When to try again: exponential pauses with full jitter, never past the deadline.
//!
//! "Exponential Backoff And Jitter", AWS Architecture Blog: each pause is a random share of a ceiling that doubles.

use crate::context::Context;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// How long the pauses may become.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The ceiling of the first pause.
    pub first: Duration,
    /// The ceiling of every later one.
    pub most: Duration,
}

impl Pace {
    /// For single calls: the AWS SDKs' own standard mode begins at 1 s and ends at 20 s; calls of a watch are cheap to
    /// repeat, so this begins lower.
    pub const CALL: Self = Self {
        first: Duration::from_millis(500),
        most: Duration::from_secs(20),
    };
    /// For capacity, which comes back in tens of seconds rather than in fractions of one.
    pub const CAPACITY: Self = Self {
        first: Duration::from_secs(2),
        most: Duration::from_secs(30),
    };

    /// The pause after failure number `failures` (from 0): full jitter, or what the cloud asked for if that is longer.
    #[must_use]
    pub fn pause(&self, failures: u32, asked_for: Option<Duration>, context: &Context) -> Duration {
        let ceiling = self
            .first
            .saturating_mul(2_u32.saturating_pow(failures))
            .min(self.most);
        let pause = context.share_of(ceiling);
        asked_for.map_or(pause, |least| least + pause)
    }
}

/// What a failed attempt says about another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// No: the answer is final, or repeating might do harm.
    No,
    /// Yes, after the pause, and not before what the cloud asked for.
    After(Option<Duration>),
}

/// Calls `attempt` of `action` until it succeeds, `again` says no, or no pause fits before `deadline`; the last error is returned.
///
/// # Errors
/// The error of the last attempt.
pub async fn until<T, E, F, Fut>(
    context: &Context,
    action: &str,
    pace: Pace,
    deadline: Instant,
    mut attempt: F,
    again: impl Fn(&E) -> Again,
) -> Result<T, E>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut failures = 0;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Again::After(asked_for) = again(&error) else {
            return Err(error);
        };
        let pause = pace.pause(failures, asked_for, context);
        if Instant::now() + pause >= deadline {
            return Err(error);
        }
        failures += 1;
        tokio::time::sleep(pause).await;
        context.counts().repeated(action);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::SystemTime;

    fn context() -> Context {
        Context::fixed(&[], SystemTime::UNIX_EPOCH)
    }

    #[tokio::test(start_paused = true)]
    async fn tries_again_until_it_succeeds() {
        let calls = Cell::new(0);
        let deadline = Instant::now() + Duration::from_mins(1);
        let result = until(
            &context(),
            "ecs:RunTask",
            Pace::CALL,
            deadline,
            || async {
                calls.set(calls.get() + 1);
                if calls.get() < 4 { Err("busy") } else { Ok(7) }
            },
            |_| Again::After(None),
        )
        .await;
        assert_eq!((result, calls.get()), (Ok(7), 4));
    }

    #[tokio::test(start_paused = true)]
    async fn never_tries_again_what_may_not_be_repeated() {
        let calls = Cell::new(0);
        let result: Result<(), _> = until(
            &context(),
            "ecs:RunTask",
            Pace::CALL,
            Instant::now() + Duration::from_mins(1),
            || async {
                calls.set(calls.get() + 1);
                Err("denied")
            },
            |_| Again::No,
        )
        .await;
        assert_eq!((result, calls.get()), (Err("denied"), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn ends_with_the_last_error_before_the_deadline() {
        let start = Instant::now();
        let result: Result<(), _> = until(
            &context(),
            "ecs:RunTask",
            Pace::CALL,
            start + Duration::from_secs(10),
            || async { Err("busy") },
            |_| Again::After(None),
        )
        .await;
        assert_eq!(result, Err("busy"));
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_pause_is_never_shorter_than_what_the_cloud_asked_for() {
        let asked = Duration::from_secs(42);
        assert!(Pace::CALL.pause(0, Some(asked), &context()) >= asked);
    }

    #[test]
    fn pauses_double_up_to_the_ceiling() {
        let pauses: Vec<_> = (0..8)
            .map(|n| Pace::CALL.pause(n, None, &context()))
            .collect();
        assert_eq!(pauses[1], pauses[0] * 2);
        assert_eq!(pauses[7], Pace::CALL.most);
    }
}
