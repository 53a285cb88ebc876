//! Resource Manager's token buckets, one of each kind a principal ("Understand how Azure Resource Manager throttles
//! requests"). Time is passed in.

use std::collections::HashMap;

use axum::http::Method;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    Reads,
    Writes,
    Deletes,
}

impl Bucket {
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Reads,
            Method::DELETE => Self::Deletes,
            _ => Self::Writes,
        }
    }

    /// Capacity and refill a second, for one principal in one subscription and region.
    fn limits(self) -> (f64, f64) {
        match self {
            Self::Reads => (250.0, 25.0),
            Self::Writes | Self::Deletes => (200.0, 10.0),
        }
    }

    pub fn header(self) -> &'static str {
        match self {
            Self::Reads => "x-ms-ratelimit-remaining-subscription-reads",
            Self::Writes => "x-ms-ratelimit-remaining-subscription-writes",
            Self::Deletes => "x-ms-ratelimit-remaining-subscription-deletes",
        }
    }
}

#[derive(Debug, Default)]
pub struct Throttle {
    levels: HashMap<(String, Bucket), (f64, u64)>,
}

impl Throttle {
    /// Takes one token: what is left, or the seconds until there is one.
    pub fn take(&mut self, principal: &str, bucket: Bucket, now_ms: u64) -> Result<u64, u64> {
        let (capacity, refill) = bucket.limits();
        let (tokens, at_ms) = self
            .levels
            .entry((principal.to_owned(), bucket))
            .or_insert((capacity, now_ms));
        let passed_s = crate::clock::epoch_seconds(now_ms.saturating_sub(*at_ms));
        *tokens = (*tokens + passed_s * refill).min(capacity);
        *at_ms = now_ms;
        if *tokens < 1.0 {
            // Never less than a second: the header has whole ones.
            return Err(1);
        }
        *tokens -= 1.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 250"
        )]
        Ok(*tokens as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Throttle};

    #[test]
    fn each_principal_has_buckets_of_its_own() {
        let mut throttle = Throttle::default();
        let mut taken = |who: &str, bucket, now_ms| {
            (0..300)
                .filter(|_| throttle.take(who, bucket, now_ms).is_ok())
                .count()
        };
        assert_eq!(taken("a", Bucket::Reads, 0), 250);
        assert_eq!(taken("a", Bucket::Writes, 0), 200);
        assert_eq!(taken("b", Bucket::Reads, 0), 250);
        assert_eq!(taken("a", Bucket::Reads, 2000), 50);
    }
}
