//! The documented request quotas of ECS, as token buckets for the one account and region. Time is passed in.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quotas {
    Documented,
    #[default]
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Bucket {
    ClusterResourceRead,
    ClusterResourceModify,
    FargateLaunch,
    DefinitionModify,
    DefinitionRead,
    TagModify,
}

impl Bucket {
    /// Capacity and refill a second.
    fn limits(self) -> (f64, f64) {
        match self {
            // Developer guide, "Request throttling for the Amazon ECS API"; the launches from "AWS Fargate throttling
            // quotas" there, as of on-demand tasks.
            Self::ClusterResourceRead | Self::FargateLaunch => (100.0, 20.0),
            Self::ClusterResourceModify => (100.0, 40.0),
            Self::DefinitionModify => (20.0, 1.0),
            Self::DefinitionRead => (50.0, 20.0),
            Self::TagModify => (20.0, 10.0),
        }
    }

    fn of(action: &str) -> &'static [Bucket] {
        match action {
            "DescribeTasks" | "ListTasks" | "DescribeClusters" => &[Self::ClusterResourceRead],
            "RunTask" => &[Self::ClusterResourceModify, Self::FargateLaunch],
            "StopTask" => &[Self::ClusterResourceModify],
            "RegisterTaskDefinition" | "DeregisterTaskDefinition" => &[Self::DefinitionModify],
            "DescribeTaskDefinition" | "ListTaskDefinitions" => &[Self::DefinitionRead],
            "TagResource" => &[Self::TagModify],
            _ => &[],
        }
    }
}

#[derive(Debug, Default)]
pub struct Buckets {
    levels: HashMap<Bucket, Level>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    tokens: f64,
    at_ms: u64,
}

impl Buckets {
    /// Takes one token from each bucket of the action (`launches` from the launch bucket), or none and answers false.
    pub fn take(&mut self, action: &str, launches: u32, now_ms: u64) -> bool {
        let wanted: Vec<_> = Bucket::of(action)
            .iter()
            .map(|bucket| {
                (
                    *bucket,
                    if *bucket == Bucket::FargateLaunch {
                        f64::from(launches.max(1))
                    } else {
                        1.0
                    },
                )
            })
            .collect();
        for (bucket, _) in &wanted {
            let (capacity, refill) = bucket.limits();
            let level = self.levels.entry(*bucket).or_insert(Level {
                tokens: capacity,
                at_ms: now_ms,
            });
            let passed_s = crate::clock::epoch_seconds(now_ms.saturating_sub(level.at_ms));
            *level = Level {
                tokens: (level.tokens + passed_s * refill).min(capacity),
                at_ms: now_ms,
            };
        }
        let enough = wanted.iter().all(|(bucket, cost)| {
            self.levels
                .get(bucket)
                .is_some_and(|level| level.tokens >= *cost)
        });
        if enough {
            for (bucket, cost) in &wanted {
                if let Some(level) = self.levels.get_mut(bucket) {
                    level.tokens -= cost;
                }
            }
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::Buckets;

    #[test]
    fn describe_and_list_share_a_hundred_and_get_twenty_a_second() {
        let mut buckets = Buckets::default();
        let mut taken = (0..150).filter(|n| {
            buckets.take(
                if n % 2 == 0 {
                    "DescribeTasks"
                } else {
                    "ListTasks"
                },
                0,
                0,
            )
        });
        assert_eq!(taken.by_ref().count(), 100);
        assert_eq!(
            (0..50)
                .filter(|_| buckets.take("DescribeTasks", 0, 1000))
                .count(),
            20
        );
        assert!(buckets.take("StopTask", 0, 1000), "another bucket");
    }

    #[test]
    fn a_launch_counts_every_task() {
        let mut buckets = Buckets::default();
        assert_eq!(
            (0..20).filter(|_| buckets.take("RunTask", 10, 0)).count(),
            10
        );
    }
}
