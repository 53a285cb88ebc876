//! Times as the clouds write them: RFC 3339, with up to seven digits of a second, and milliseconds since 1970.

use std::time::SystemTime;

use azure_core::time::{OffsetDateTime, parse_rfc3339, to_rfc3339};

/// Milliseconds since 1970; none where it is no time.
#[must_use]
pub fn milliseconds(text: &str) -> Option<u64> {
    let at = parse_rfc3339(text).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// The same moment in RFC 3339, in whole seconds of UTC, which every reader understands; none where it is no time.
#[must_use]
pub fn in_seconds(text: &str) -> Option<String> {
    let at = parse_rfc3339(text).ok()?;
    let whole = OffsetDateTime::from_unix_timestamp(at.unix_timestamp()).ok()?;
    // An offset can lead out of the years that RFC 3339 has, and to_rfc3339 panics on those.
    (0..=9999)
        .contains(&whole.year())
        .then(|| to_rfc3339(&whole))
}

/// A moment in RFC 3339, in whole seconds of UTC.
#[must_use]
pub fn rfc3339(at: SystemTime) -> Option<String> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let at = OffsetDateTime::from_unix_timestamp(i64::try_from(since.as_secs()).ok()?).ok()?;
    Some(to_rfc3339(&at))
}

/// Milliseconds since 1970 in RFC 3339, in UTC; none after the year 9999.
#[must_use]
pub fn of_milliseconds(ms: u64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    (at.year() <= 9999).then(|| to_rfc3339(&at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn azures_seven_digits_and_offset_are_read() {
        assert_eq!(
            milliseconds("1970-01-01T00:00:01.5000000+00:00"),
            Some(1500)
        );
        assert_eq!(milliseconds("yesterday"), None);
        assert_eq!(
            in_seconds("1970-01-01T01:00:01.5000000+01:00").as_deref(),
            Some("1970-01-01T00:00:01Z")
        );
    }

    #[test]
    fn milliseconds_become_a_time_again() {
        assert_eq!(
            of_milliseconds(1500).as_deref(),
            Some("1970-01-01T00:00:01.5Z")
        );
        assert_eq!(of_milliseconds(u64::MAX), None);
    }

    #[test]
    fn a_moment_outside_the_years_0_to_9999_is_no_time() {
        assert_eq!(in_seconds("9999-12-31T23:59:59-23:59"), None);
        assert_eq!(in_seconds("0000-01-01T00:00:00+23:59"), None);
    }
}
