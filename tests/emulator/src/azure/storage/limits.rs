//! How often the storage resource provider may be written to: "Scalability and performance targets for standard storage
//! accounts", "Storage resource provider limits": 10 a second and 1,200 an hour, for a subscription in a region.

/// Capacity and refill a second of each.
const LIMITS: [(f64, f64); 2] = [(10.0, 10.0), (1200.0, 1200.0 / 3600.0)];

#[derive(Debug)]
pub struct Writes {
    levels: [f64; 2],
    at_ms: u64,
}

impl Default for Writes {
    fn default() -> Self {
        Self {
            levels: LIMITS.map(|(capacity, _)| capacity),
            at_ms: 0,
        }
    }
}

impl Writes {
    /// Takes one, or gives the seconds until there is one.
    pub fn take(&mut self, now_ms: u64) -> Result<(), u64> {
        let passed_s = crate::clock::epoch_seconds(now_ms.saturating_sub(self.at_ms));
        self.at_ms = now_ms;
        for (level, (capacity, refill)) in self.levels.iter_mut().zip(LIMITS) {
            *level = (*level + passed_s * refill).min(capacity);
        }
        if self.levels[0] < 1.0 {
            return Err(1);
        }
        if self.levels[1] < 1.0 {
            // One comes back every three seconds.
            return Err(3);
        }
        for level in &mut self.levels {
            *level -= 1.0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Writes;

    #[test]
    fn ten_a_second_and_twelve_hundred_an_hour_may_be_written() {
        let mut writes = Writes::default();
        let mut taken = |at_ms: u64| (0..50).filter(|_| writes.take(at_ms).is_ok()).count();
        assert_eq!(taken(1), 10);
        assert_eq!(taken(1001), 10);
        let later: usize = (2..200).map(|second| taken(second * 1000 + 1)).sum();
        // The hour's 1,200, and what came back of them in 200 seconds.
        assert!((1200..=1267).contains(&(20 + later)), "{later}");
    }
}
