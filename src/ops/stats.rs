//! `stats`: what this process has done and is doing, for metrics. No cloud is asked.

use super::Ops;
use crate::wire::reply::{ActionStats, QueueStats, StatsResult};

impl Ops {
    /// The counts since this process began, and what is watched and waited for now.
    #[must_use]
    pub fn stats(&self) -> StatsResult {
        let counts = self.context.counts().all().into_iter();
        StatsResult {
            actions: counts
                .map(|(action, count)| ActionStats {
                    action,
                    calls: count.calls,
                    throttled: count.throttled,
                    retries: count.retries,
                })
                .collect(),
            watch_groups: self.watch.stats(),
            queues: self
                .limiter
                .waiting()
                .into_iter()
                .map(|(quota, waiting)| QueueStats {
                    quota: quota.to_owned(),
                    waiting,
                })
                .collect(),
        }
    }
}
