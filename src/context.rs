//! What a run of the program takes from the world: environment, clock and chance.
//!
//! Everything that needs one of these gets the context passed in, so that tests can set them. Sockets are behind
//! `net::Door`. The official AWS credential chain reads the environment by itself (`cloud::aws::credentials`).

mod counts;

pub use counts::{Count, Counts};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

type Now = dyn Fn() -> SystemTime + Send + Sync;
type Chance = dyn Fn() -> f64 + Send + Sync;

/// The surroundings of one run; cheap to clone.
#[derive(Clone)]
pub struct Context {
    env: Arc<BTreeMap<String, String>>,
    now: Arc<Now>,
    chance: Arc<Chance>,
    counts: Counts,
}

impl Context {
    /// The process's own environment, the system's clock and a seeded generator.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            env: Arc::new(
                std::env::vars_os()
                    .filter_map(|(name, value)| {
                        Some((name.into_string().ok()?, value.into_string().ok()?))
                    })
                    .collect(),
            ),
            now: Arc::new(SystemTime::now),
            chance: Arc::new(fastrand::f64),
            counts: Counts::default(),
        }
    }

    /// A context for tests: this environment, this clock, and always the longest pause.
    #[must_use]
    pub fn fixed(env: &[(&str, &str)], now: SystemTime) -> Self {
        Self {
            env: Arc::new(
                env.iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
            ),
            now: Arc::new(move || now),
            chance: Arc::new(|| 1.0),
            counts: Counts::default(),
        }
    }

    /// An environment variable; an empty one counts as unset.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&str> {
        self.env
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        (self.now)()
    }

    /// Where calls are counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// A random share of `most`, evenly spread.
    #[must_use]
    pub fn share_of(&self, most: Duration) -> Duration {
        most.mul_f64((self.chance)().clamp(0.0, 1.0))
    }
}
