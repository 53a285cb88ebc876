//! One quota's token bucket, and what throttling teaches it. Time is passed in.

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

/// The cloud counts a call when it arrives, this program when it leaves. A tenth of the burst is left unused, so that calls
/// that bunch up on the way do not find the cloud's bucket empty.
const USED_BURST: f64 = 0.9;
/// What is left of the rate after a throttle: the AWS SDKs' adaptive mode has the same (aws-smithy-runtime,
/// `client_rate_limiter.rs`, BETA).
const KEPT: f64 = 0.7;
/// A rate is judged once in this time: calls that were under way together are throttled together, and the calls of a
/// second make up what the quota counts.
const JUDGED_EVERY: Duration = Duration::from_secs(1);
/// Never slower than this, so that it is noticed when the cloud answers again (the same file, MIN_FILL_RATE).
const LEAST_PER_SECOND: f64 = 0.5;
/// From nothing back to the whole quota. A steady rise and a fall by a share make programs that share one quota end up with
/// equal parts of it (Chiu and Jain, "Analysis of the increase and decrease algorithms for congestion avoidance", 1989).
const COMES_BACK_IN: Duration = Duration::from_mins(1);

/// Tokens that come back at the quota's rate, or at the share of it that the cloud was found to grant.
#[derive(Debug)]
pub struct Bucket {
    quota: Quota,
    /// How much of the quota is ours, 0 to 1.
    share: f64,
    tokens: f64,
    /// Until when it was filled; in the future while the cloud has asked for silence.
    at: Instant,
    /// When the share was last made smaller.
    cut_at: Option<Instant>,
}

impl Bucket {
    /// A full one.
    pub fn new(quota: Quota, now: Instant) -> Self {
        Self {
            quota,
            share: 1.0,
            tokens: (quota.burst * USED_BURST).max(1.0),
            at: now,
            cut_at: None,
        }
    }

    /// Takes a token, or tells how long until there is one.
    pub fn take(&mut self, now: Instant) -> Option<Duration> {
        self.fill(now);
        let silence = self.at.saturating_duration_since(now);
        if silence.is_zero() && self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return None;
        }
        let rate = self.quota.per_second * self.share;
        let missing = Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / rate);
        // A wait that a float rounds to nothing would be asked for again at once.
        Some((silence + missing).max(Duration::from_millis(1)))
    }

    /// The cloud throttled a call that left at `sent`, and may have asked for a pause.
    pub fn throttled(&mut self, sent: Instant, now: Instant, asked_for: Option<Duration>) {
        self.fill(now);
        self.tokens = self.tokens.min(0.0);
        self.at = self.at.max(now + asked_for.unwrap_or_default());
        let judged = |cut_at: Instant| sent <= cut_at || now < cut_at + JUDGED_EVERY;
        if !self.cut_at.is_some_and(judged) {
            self.cut_at = Some(now);
            self.share = (self.share * KEPT).max(LEAST_PER_SECOND / self.quota.per_second);
        }
    }

    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        if since <= 0.0 {
            return;
        }
        let before = self.share;
        self.share = (before + since / COMES_BACK_IN.as_secs_f64()).min(1.0);
        let rate = self.quota.per_second * f64::midpoint(before, self.share);
        // Others that share the quota have taken as much of its burst as of its rate.
        let most = (self.quota.burst * USED_BURST * self.share).max(1.0);
        self.tokens = (self.tokens + since * rate).min(most);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota {
        name: "launch",
        burst: 100.0,
        per_second: 20.0,
    };

    /// What a cloud with this quota grants, whoever asks.
    struct Cloud {
        tokens: f64,
        at: Instant,
    }

    impl Cloud {
        fn grants(&mut self, now: Instant) -> bool {
            let since = (now - self.at).as_secs_f64();
            self.tokens = (self.tokens + since * QUOTA.per_second).min(QUOTA.burst);
            self.at = now;
            let granted = self.tokens >= 1.0;
            if granted {
                self.tokens -= 1.0;
            }
            granted
        }
    }

    /// Some hubs that always want more, for `seconds`: how many calls of each were granted, and how many throttled.
    fn compete(mut hubs: Vec<Bucket>, seconds: u64) -> (Vec<u32>, u32) {
        let start = Instant::now();
        let mut cloud = Cloud {
            tokens: QUOTA.burst,
            at: start,
        };
        let (mut granted, mut throttled) = (vec![0; hubs.len()], 0);
        for millisecond in 0..seconds * 1000 {
            let now = start + Duration::from_millis(millisecond);
            for (hub, granted) in hubs.iter_mut().zip(&mut granted) {
                while hub.take(now).is_none() {
                    if cloud.grants(now) {
                        *granted += 1;
                    } else {
                        throttled += 1;
                        hub.throttled(now, now, None);
                    }
                }
            }
        }
        (granted, throttled)
    }

    #[test]
    fn one_hub_uses_the_whole_quota_and_is_never_throttled() {
        let start = Instant::now();
        let (granted, throttled) = compete(vec![Bucket::new(QUOTA, start)], 60);
        assert!(granted[0] >= 60 * 20 + 85, "{granted:?}");
        assert_eq!(throttled, 0);
    }

    #[test]
    fn three_hubs_share_the_quota_fairly_whoever_was_first() {
        let start = Instant::now();
        let mut late = Bucket::new(QUOTA, start);
        late.share = 0.05;
        let hubs = vec![Bucket::new(QUOTA, start), Bucket::new(QUOTA, start), late];
        let (granted, throttled) = compete(hubs, 600);
        let all: u32 = granted.iter().sum();
        assert!(all > 600 * 20 * 9 / 10, "{granted:?} of {}", 600 * 20);
        for one in &granted {
            assert!(one * 3 > all * 8 / 10, "{granted:?}");
        }
        assert!(throttled < all / 10, "{throttled} of {all}");
    }

    #[test]
    fn a_volley_that_is_throttled_together_counts_once() {
        let start = Instant::now();
        let mut bucket = Bucket::new(QUOTA, start);
        for _ in 0..50 {
            bucket.throttled(start, start + Duration::from_millis(20), None);
        }
        assert!((bucket.share - KEPT).abs() < 1e-3);
    }

    #[test]
    fn a_storm_slows_it_down_to_the_least_rate_and_a_minute_brings_it_back() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(QUOTA, now);
        let mut calls = 0;
        let end = now + Duration::from_mins(2);
        while now < end {
            if let Some(wait) = bucket.take(now) {
                now += wait;
            } else {
                calls += 1;
                now += Duration::from_millis(1);
                bucket.throttled(now - Duration::from_millis(1), now, None);
            }
        }
        assert!(calls < 250, "{calls} calls in two minutes of throttling");
        bucket.take(now + Duration::from_secs(61));
        assert!((bucket.share - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_pause_that_the_cloud_asked_for_is_kept() {
        let now = Instant::now();
        let mut bucket = Bucket::new(QUOTA, now);
        bucket.throttled(now, now, Some(Duration::from_secs(7)));
        assert!(bucket.take(now + Duration::from_secs(6)).is_some());
        assert!(bucket.take(now + Duration::from_secs(8)).is_none());
    }
}
