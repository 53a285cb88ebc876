//! One ECS cluster: its tasks are watched, found by their marks, and stopped.

use super::api::{Ecs, MOST_TASKS_A_CALL};
use super::config::{Address, Config};
use super::lookups;
use super::record::{ADDRESS, CLUSTER, CONTAINER, ENDPOINT, REGION, from_task, has_secret};
use super::status;
use super::task::Task;
use crate::backend::{Found, Record, Sighting, Site, names, tags};
use crate::cloud::CloudError;
use crate::error::Failure;
use crate::wire::{Code, Phase};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// StopTask, "reason": at most 1024 characters (API Reference, Container "reason" and Task "stoppedReason" carry it).
const MOST_REASON_CHARS: usize = 255;
/// Each call under way holds a connection and its answer, a megabyte for a full batch; more of them would not be quicker
/// than the quota allows.
const CALLS_AT_ONCE: usize = 4;
/// How long one refresh may take; the next poll begins another.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(15);

/// A cluster, seen with one set of credentials.
pub struct Cluster {
    ecs: Arc<Ecs>,
    name: String,
    config: Config,
    id: String,
}

impl Cluster {
    /// `name` is a cluster's name or ARN.
    pub fn new(ecs: Arc<Ecs>, name: String, config: Config) -> Self {
        let id = format!("{} {name}", ecs.scope());
        Self {
            ecs,
            name,
            config,
            id,
        }
    }

    /// Describes one batch; where ECS refuses the batch as a whole it is split until the bad one stands alone.
    fn describe<'a>(
        &'a self,
        records: &'a [Arc<Record>],
        deadline: Instant,
    ) -> BoxFuture<'a, Vec<Sighting>> {
        Box::pin(async move {
            let arns: Vec<&str> = records
                .iter()
                .filter_map(|r| r.reference.as_deref())
                .collect();
            match self
                .ecs
                .describe_tasks(&self.name, &arns, false, deadline)
                .await
            {
                Ok((mut tasks, missing)) => {
                    let unclear = self.find_public(records, &mut tasks, deadline).await;
                    let tasks: HashMap<&str, &Task> = tasks
                        .iter()
                        .map(|task| (task.task_arn.as_str(), task))
                        .collect();
                    let reasons: HashMap<&str, &str> = missing
                        .iter()
                        .filter_map(|f| {
                            Some((
                                f.arn.as_deref()?,
                                f.reason.as_deref().unwrap_or("no reason"),
                            ))
                        })
                        .collect();
                    records
                        .iter()
                        .map(|record| {
                            let arn = record.reference.as_deref().unwrap_or_default();
                            match unclear.get(arn) {
                                Some(failure) => Sighting::Unclear(failure.clone()),
                                None => sighting(record, &tasks, &reasons),
                            }
                        })
                        .collect()
                }
                Err(error) if records.len() > 1 && blames_one(&error) => {
                    let (left, right) = records.split_at(records.len() / 2);
                    let mut sightings = self.describe(left, deadline).await;
                    sightings.extend(self.describe(right, deadline).await);
                    sightings
                }
                Err(error) => {
                    let failure = error.into_failure();
                    records
                        .iter()
                        .map(|_| Sighting::Unclear(failure.clone()))
                        .collect()
                }
            }
        })
    }

    /// Fills in the public addresses of tasks that run, where a record needs one and has none; by task, why there is none.
    async fn find_public(
        &self,
        records: &[Arc<Record>],
        tasks: &mut [Task],
        deadline: Instant,
    ) -> HashMap<String, Failure> {
        let lacks = |record: &&Arc<Record>| {
            record.url.is_none()
                && Address::from_record(record.text(ADDRESS)) == Address::PublicIpv4
        };
        let lack = records.iter().filter(lacks);
        let lack: HashSet<&str> = lack.filter_map(|r| r.reference.as_deref()).collect();
        let needs = |task: &&mut Task| runs(task) && lack.contains(task.task_arn.as_str());
        let mut tasks: Vec<&mut Task> = tasks.iter_mut().filter(needs).collect();
        let interfaces = &self.ecs.interfaces;
        let asked = interfaces.fill_in(&mut tasks, deadline).await;
        let mut unclear = HashMap::new();
        for task in tasks.iter().filter(|task| task.public_address.is_none()) {
            let why = match &asked {
                Ok(()) => interfaces.may_still_appear(task).await.err(),
                Err(failure) => Some(failure.clone()),
            };
            unclear.extend(why.map(|failure| (task.task_arn.clone(), failure)));
        }
        unclear
    }

    /// The same for tasks that were found by their marks; what is not to be had they are without.
    async fn with_public(&self, mut tasks: Vec<Task>, deadline: Instant) -> Vec<Task> {
        if self.config.address == Some(Address::PublicIpv4) {
            let mut up: Vec<&mut Task> = tasks.iter_mut().filter(|task| runs(task)).collect();
            if let Err(failure) = self.ecs.interfaces.fill_in(&mut up, deadline).await {
                tracing::warn!(%failure, "tasks are found without their public addresses");
            }
        }
        tasks
    }

    fn found(&self, task: &Task, key: &str) -> Found {
        let address = self.config.address.unwrap_or_default().name();
        let mut place = vec![
            (REGION, self.ecs.region()),
            (ENDPOINT, self.ecs.endpoint()),
            (CLUSTER, self.name.as_str()),
            (ADDRESS, address),
        ];
        if let Some(container) = &self.config.container_name {
            place.push((CONTAINER, container));
        }
        let mut record = from_task(task, key, &place);
        let report = status::report(task, &record);
        record.url.clone_from(&report.url);
        Found {
            created_at_ms: task.created_at_ms(),
            made_from: task.task_definition_arn.clone(),
            details: task.details(),
            record,
            report,
        }
    }
}

impl Site for Cluster {
    fn id(&self) -> &str {
        &self.id
    }

    fn batch(&self) -> Option<usize> {
        Some(MOST_TASKS_A_CALL)
    }

    fn observe<'a>(
        &'a self,
        records: &'a [Arc<Record>],
        deadline: Instant,
    ) -> BoxFuture<'a, Vec<Sighting>> {
        Box::pin(async move {
            let deadline = deadline.min(Instant::now() + REFRESH_TIMEOUT);
            let batches: Vec<_> = records
                .chunks(MOST_TASKS_A_CALL)
                .map(|batch| self.describe(batch, deadline))
                .collect();
            stream::iter(batches).buffered(CALLS_AT_ONCE).concat().await
        })
    }

    fn find<'a>(
        &'a self,
        key: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Found>, Failure>> {
        Box::pin(async move {
            let tasks = lookups::find(&self.ecs, &self.name, key, deadline)
                .await
                .map_err(CloudError::into_failure)?;
            let tasks = self.with_public(tasks, deadline).await;
            Ok(tasks.iter().map(|task| self.found(task, key)).collect())
        })
    }

    fn list<'a>(
        &'a self,
        hub: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Found>, Failure>> {
        Box::pin(async move {
            let tasks = self
                .ecs
                .list_and_describe(&self.name, None, deadline)
                .await
                .map_err(CloudError::into_failure)?;
            let tasks = self.with_public(tasks, deadline).await;
            let mark = format!("{}-", names::hub_mark(hub));
            let tag = tags::value(hub);
            Ok(tasks
                .iter()
                .filter_map(|task| {
                    let key = task.tag(tags::KEY).or(task.started_by.as_deref())?;
                    let marked =
                        key.starts_with(&mark) || task.tag(tags::HUB) == Some(tag.as_str());
                    marked.then(|| self.found(task, key))
                })
                .collect())
        })
    }

    fn remove<'a>(
        &'a self,
        record: &'a Record,
        reason: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Phase, Failure>> {
        Box::pin(async move {
            let Some(arn) = record.reference.as_deref() else {
                return Ok(Phase::Gone);
            };
            let reason: String = reason
                .chars()
                .filter(|c| !c.is_control())
                .take(MOST_REASON_CHARS)
                .collect();
            match self.ecs.stop_task(&self.name, arn, &reason, deadline).await {
                Ok(task) if task.last_status.as_deref() == Some("STOPPED") => Ok(Phase::Exited),
                Ok(_) => Ok(Phase::Stopping),
                Err(error) if blames_one(&error) => self.gone_or(error, record, deadline).await,
                Err(error) => Err(error.into_failure()),
            }
        })
    }

    fn sweep<'a>(
        &'a self,
        record: &'a Record,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            if !has_secret(record) && !self.config.keeps_tokens() {
                return Ok(());
            }
            match self.ecs.vault.remove(&record.key, deadline).await {
                // The server is down and its token ended: to try again for ever would help nobody.
                Err(failure) if failure.code() == Code::PermissionDenied => {
                    tracing::warn!(key = record.key, %failure, "the secret with the server's token stays; the hub's policy for it is in deployments/fargate/token-policy.json");
                    Ok(())
                }
                removed => removed,
            }
        })
    }
}

impl Cluster {
    /// StopTask refuses a task that it does not find with the same code as any bad parameter, so DescribeTasks is asked.
    async fn gone_or(
        &self,
        error: CloudError,
        record: &Record,
        deadline: Instant,
    ) -> Result<Phase, Failure> {
        let arn = record.reference.as_deref().unwrap_or_default();
        let (tasks, missing) = self
            .ecs
            .describe_tasks(&self.name, &[arn], false, deadline)
            .await
            .map_err(CloudError::into_failure)?;
        let stopped = |task: &Task| task.last_status.as_deref() == Some("STOPPED");
        if tasks.iter().any(stopped) {
            return Ok(Phase::Exited);
        }
        if tasks.is_empty()
            && missing
                .iter()
                .any(|f| f.reason.as_deref() == Some("MISSING"))
        {
            return Ok(Phase::Gone);
        }
        Err(error.into_failure())
    }
}

fn runs(task: &Task) -> bool {
    task.last_status.as_deref() == Some("RUNNING")
}

fn sighting(
    record: &Record,
    tasks: &HashMap<&str, &Task>,
    reasons: &HashMap<&str, &str>,
) -> Sighting {
    let arn = record.reference.as_deref().unwrap_or_default();
    if let Some(task) = tasks.get(arn) {
        return Sighting::Seen(status::report(task, record));
    }
    // Only ECS's own word is proof; to be passed over in silence is not.
    let reason = reasons.get(arn).copied().unwrap_or("nothing is told of it");
    if reason == "MISSING" {
        return Sighting::Missing;
    }
    let message = format!("ecs:DescribeTasks: {arn}: {reason}");
    Sighting::Unclear(Failure::new(Code::Unavailable, message))
}

/// Whether ECS refused because of what was asked about, rather than of who asked or how often.
fn blames_one(error: &CloudError) -> bool {
    error.code() == Code::InvalidConfig
        && matches!(
            error.cloud_code(),
            Some("InvalidParameterException" | "ClientException")
        )
}
