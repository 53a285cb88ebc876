//! The one clock: milliseconds since 1970 that never run backwards. Everything else is told the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// Wall time at the start, carried on by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    epoch_ms: u64,
}

impl Clock {
    pub fn start() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            epoch_ms: millis(since_epoch),
        }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.epoch_ms + millis(self.started.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The number AWS JSON uses for a timestamp: seconds since 1970 with a fraction.
pub fn epoch_seconds(at_ms: u64) -> f64 {
    Duration::from_millis(at_ms).as_secs_f64()
}

/// `2015-08-30T12:36:00Z`, whole seconds, as STS and the metadata services write it.
pub fn rfc3339(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1000).unwrap_or(i64::MAX);
    DateTime::from_secs(seconds)
        .fmt(Format::DateTime)
        .unwrap_or_default()
}

/// `Sun, 30 Aug 2015 12:36:00 GMT`, as HTTP's own headers have it.
pub fn http_date(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1000).unwrap_or(i64::MAX);
    DateTime::from_secs(seconds)
        .fmt(Format::HttpDate)
        .unwrap_or_default()
}

/// Reads the basic format of SigV4's `x-amz-date`, `20150830T123600Z`, into milliseconds since 1970.
pub fn parse_basic(date: &str) -> Option<u64> {
    if date.len() != 16 || !date.is_ascii() {
        return None;
    }
    let extended = format!(
        "{}-{}-{}T{}:{}:{}",
        &date[0..4],
        &date[4..6],
        &date[6..8],
        &date[9..11],
        &date[11..13],
        &date[13..16]
    );
    let parsed = DateTime::from_str(&extended, Format::DateTime).ok()?;
    u64::try_from(parsed.secs())
        .ok()
        .map(|seconds| seconds * 1000)
}

#[cfg(test)]
mod tests {
    use super::{epoch_seconds, parse_basic, rfc3339};

    #[test]
    fn both_forms_of_a_date_mean_the_same_second() {
        let at_ms = parse_basic("20150830T123600Z").unwrap();
        assert_eq!(rfc3339(at_ms), "2015-08-30T12:36:00Z");
        assert!((epoch_seconds(at_ms) - 1_440_938_160.0).abs() < 0.001);
        assert_eq!(parse_basic("2015-08-30T12:36"), None);
    }
}
