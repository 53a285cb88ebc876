//! Lookups by key, many at once: a list of the whole cluster answers all that wait for it.
//!
//! Each start looks whether an older task of its server runs. A thousand starts at once would use up the quota of reads
//! for a minute with a ListTasks each, where a cluster's list takes a call for each hundred tasks and as many to describe
//! them.

use super::api::Ecs;
use super::task::Task;
use crate::cloud::CloudError;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// So many look by themselves, each with its own list and at the same time; it is as cheap as to wait for each other.
const ALONE: usize = 4;

/// The lookups in one cluster.
#[derive(Default)]
pub struct Lookups {
    asking: AtomicUsize,
    /// Held by the one who lists.
    last: Mutex<Option<Census>>,
}

/// What one list of the whole cluster told.
struct Census {
    began: Instant,
    /// By startedBy; none where the list was not to be had, or costs more than it saves.
    tasks: Option<HashMap<String, Vec<Task>>>,
}

impl Lookups {
    /// Everything in the cluster that runs or is on its way up and was started by `key`, as it is at or after this call.
    ///
    /// # Errors
    /// Those of ListTasks and DescribeTasks.
    pub async fn find(
        self: &Arc<Self>,
        ecs: &Ecs,
        cluster: &str,
        key: &str,
        deadline: Instant,
    ) -> Result<Vec<Task>, CloudError> {
        let asking = Asking::begin(self);
        if asking.before >= ALONE
            && let Some(tasks) = self.together(ecs, cluster, key, deadline).await
        {
            return Ok(tasks);
        }
        ecs.list_and_describe(cluster, Some(key), deadline).await
    }

    async fn together(
        &self,
        ecs: &Ecs,
        cluster: &str,
        key: &str,
        deadline: Instant,
    ) -> Option<Vec<Task>> {
        let arrived = Instant::now();
        let mut last = self.last.lock().await;
        if last.as_ref().is_none_or(|census| census.began < arrived) {
            // Each page costs two calls, one to list and one to describe; each who asks would cost one.
            let most_pages = self.asking.load(Ordering::Relaxed) / 2;
            let began = Instant::now();
            let listed = everything(ecs, cluster, most_pages, deadline);
            let listed = listed.await.unwrap_or_else(|error| {
                tracing::debug!(%error, "each looks for itself");
                None
            });
            let tasks = listed.map(by_starter);
            *last = Some(Census { began, tasks });
        }
        let tasks = last.as_ref()?.tasks.as_ref()?;
        Some(tasks.get(key).cloned().unwrap_or_default())
    }
}

async fn everything(
    ecs: &Ecs,
    cluster: &str,
    most_pages: usize,
    deadline: Instant,
) -> Result<Option<Vec<Task>>, CloudError> {
    match ecs.list_pages(cluster, None, most_pages, deadline).await? {
        Some(arns) => Ok(Some(ecs.describe_all(cluster, &arns, deadline).await?)),
        None => Ok(None),
    }
}

fn by_starter(tasks: Vec<Task>) -> HashMap<String, Vec<Task>> {
    let mut by_starter: HashMap<String, Vec<Task>> = HashMap::new();
    for task in tasks {
        if let Some(starter) = &task.started_by {
            by_starter.entry(starter.clone()).or_default().push(task);
        }
    }
    by_starter
}

/// One lookup under way; the last one takes the census with it, which can be large.
struct Asking {
    lookups: Arc<Lookups>,
    before: usize,
}

impl Asking {
    fn begin(lookups: &Arc<Lookups>) -> Self {
        Self {
            before: lookups.asking.fetch_add(1, Ordering::Relaxed),
            lookups: lookups.clone(),
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.lookups.asking.fetch_sub(1, Ordering::Relaxed) == 1
            && let Ok(mut last) = self.lookups.last.try_lock()
        {
            *last = None;
        }
    }
}
