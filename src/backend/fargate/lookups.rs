//! Lookups by key, many at once: a list of the whole cluster answers all that wait for it.
//!
//! Each start looks whether an older task of its server runs. A thousand starts at once would use up the quota of reads
//! for a minute with a ListTasks each, where a cluster's list takes a call for each hundred tasks and as many to describe
//! them.

use super::api::Ecs;
use super::task::Task;
use crate::cloud::CloudError;
use std::collections::HashMap;
use tokio::time::Instant;

/// So many look by themselves, each with its own list and at the same time; it is as cheap as to wait for each other.
const ALONE: usize = 4;

/// What runs in a cluster or is on its way up, by startedBy; none where a list of it all costs more than it saves.
pub type Everything = Option<HashMap<String, Vec<Task>>>;

/// Everything in the cluster that runs or is on its way up and was started by `key`, as it is at or after this call.
///
/// # Errors
/// Those of ListTasks and DescribeTasks.
pub async fn find(
    ecs: &Ecs,
    cluster: &str,
    key: &str,
    deadline: Instant,
) -> Result<Vec<Task>, CloudError> {
    let asking = ecs.everything.ask(cluster);
    if asking.before >= ALONE {
        // Each page costs two calls, one to list and one to describe; each who asks would cost one.
        let everything = async {
            let most_pages = asking.at_once() / 2;
            everything(ecs, cluster, most_pages, deadline).await
        };
        match asking.told(deadline, everything).await {
            Ok(told) => {
                if let Some(tasks) = told.as_deref().and_then(Option::as_ref) {
                    return Ok(tasks.get(key).cloned().unwrap_or_default());
                }
            }
            Err(error) => tracing::debug!(%error, "each looks for itself"),
        }
    }
    ecs.list_and_describe(cluster, Some(key), deadline).await
}

async fn everything(
    ecs: &Ecs,
    cluster: &str,
    most_pages: usize,
    deadline: Instant,
) -> Result<Everything, CloudError> {
    let Some(arns) = ecs.list_pages(cluster, None, most_pages, deadline).await? else {
        return Ok(None);
    };
    let mut by_starter: HashMap<String, Vec<Task>> = HashMap::new();
    for task in ecs.describe_all(cluster, &arns, deadline).await? {
        if let Some(starter) = &task.started_by {
            by_starter.entry(starter.clone()).or_default().push(task);
        }
    }
    Ok(Some(by_starter))
}
