//! One workspace: its instances are watched by one list, found by their tags, stopped and deleted.

use super::api::{Place, Service};
use super::config::OnStop;
use super::instance::Instance;
use super::redirect::Way;
use super::status::{self, OnStopFound};
use crate::backend::{Found, Record, Report, Sighting, Site, tags};
use crate::cloud::CloudError;
use crate::error::Failure;
use crate::net::retry::Pace;
use crate::wire::{Code, Phase};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// In a record's own fields: this attempt created the instance, rather than started or joined it.
pub const CREATED: &str = "created";
/// So few instances are asked about one by one, or as many as the workspace's list has pages; for more, the list costs less.
const ONE_BY_ONE: usize = 3;
/// The fewest instances that a page of the list was seen to hold.
const PAGE: usize = 25;
/// Single reads that complete a list are made a few at a time; Resource Manager's quota is the limit, not this.
const CALLS_AT_ONCE: usize = 8;
/// How long one refresh may take; the next poll begins another. A list of 1,000 has some 10 to 40 pages.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(18);

/// A workspace, seen by one principal.
pub struct Workspace {
    service: Arc<Service>,
    place: Place,
    on_stop: OnStop,
    way: Option<Way>,
    id: String,
    /// How many instances the last list told of.
    listed: AtomicUsize,
}

impl Workspace {
    /// The workspace at `place`.
    pub fn new(service: Arc<Service>, place: Place, on_stop: OnStop, way: Option<Way>) -> Self {
        let Place {
            subscription_id,
            resource_group,
            workspace,
        } = &place;
        let id = format!(
            "{} {subscription_id} {resource_group} {workspace}",
            service.scope()
        );
        Self {
            service,
            place,
            on_stop,
            way,
            id,
            listed: AtomicUsize::new(0),
        }
    }

    /// One GET; only Azure's own "not found" is proof that it is missing.
    async fn look(&self, record: &Record, deadline: Instant) -> Sighting {
        let name = record.reference.as_deref().unwrap_or_default();
        match self.service.get(&self.place, name, deadline).await {
            Ok(Some(instance)) => self.sighting(&instance, record),
            Ok(None) => self.missing(name, deadline).await,
            Err(error) => Sighting::Unclear(error.into_failure()),
        }
    }

    /// Not there: perhaps not yet, perhaps never, since its creation failed after Azure had accepted it.
    async fn missing(&self, name: &str, deadline: Instant) -> Sighting {
        let asked = self.service.failed_creation(&self.place, name, deadline);
        match asked.await {
            Ok(None) => Sighting::Missing,
            Ok(Some(refusal)) => Sighting::Seen(status::never_created(name, refusal)),
            Err(error) => Sighting::Unclear(error.into_failure()),
        }
    }

    /// As far as the last one tells; so many calls for single instances cost no more.
    fn calls_of_a_list(&self) -> usize {
        ONE_BY_ONE.max(self.listed.load(Ordering::Relaxed).div_ceil(PAGE))
    }

    async fn look_at_all(&self, records: &[Arc<Record>], deadline: Instant) -> Vec<Sighting> {
        let all = match self.service.list(&self.place, deadline).await {
            Ok(all) => all,
            Err(error) => {
                let failure = error.into_failure();
                return records
                    .iter()
                    .map(|_| Sighting::Unclear(failure.clone()))
                    .collect();
            }
        };
        self.listed.store(all.len(), Ordering::Relaxed);
        let by_name: HashMap<&str, &Instance> = all.iter().map(|i| (i.name.as_str(), i)).collect();
        let each: Vec<_> = records
            .iter()
            .map(|record| {
                let listed = record
                    .reference
                    .as_deref()
                    .and_then(|name| by_name.get(name).copied());
                async move {
                    match listed {
                        // A list that tells no state, or whose Running tells no address yet, is completed by a GET.
                        Some(instance) if tells_enough(instance) => self.sighting(instance, record),
                        _ => self.look(record, deadline).await,
                    }
                }
            })
            .collect();
        stream::iter(each).buffered(CALLS_AT_ONCE).collect().await
    }

    fn found(&self, instance: &Instance) -> Found {
        let Place {
            subscription_id,
            resource_group,
            workspace,
        } = &self.place;
        let mut record = Record {
            key: instance.tag(tags::KEY).unwrap_or_default().to_owned(),
            attempt: instance.tag(tags::ATTEMPT).unwrap_or_default().to_owned(),
            reference: Some(instance.name.clone()),
            ..Record::default()
        };
        for (name, value) in [
            ("subscription_id", subscription_id),
            ("resource_group", resource_group),
            ("workspace", workspace),
        ] {
            record.own.insert(name.to_owned(), value.as_str().into());
        }
        let report = self.led(status::report(instance, &record), &record);
        record.url.clone_from(&report.url);
        let created_at_ms = instance
            .properties
            .created_on
            .as_deref()
            .and_then(crate::cloud::time::milliseconds);
        Found {
            record,
            created_at_ms,
            made_from: None,
            details: instance.details(),
            report,
        }
    }

    async fn found_where(
        &self,
        deadline: Instant,
        wanted: impl Fn(&Instance) -> bool,
    ) -> Result<Vec<Found>, Failure> {
        let all = self
            .service
            .list(&self.place, deadline)
            .await
            .map_err(CloudError::into_failure)?;
        let mut found = Vec::new();
        for instance in all.iter().filter(|i| wanted(i)) {
            let whole = if tells_enough(instance) {
                Some(instance.clone())
            } else {
                self.service
                    .get(&self.place, &instance.name, deadline)
                    .await
                    .map_err(CloudError::into_failure)?
            };
            found.extend(whole.map(|instance| self.found(&instance)));
        }
        Ok(found)
    }

    fn sighting(&self, instance: &Instance, record: &Record) -> Sighting {
        self.service.created(&self.place, &instance.name);
        let report = status::report(instance, record);
        if report.phase == Phase::Unknown {
            let message = format!(
                "compute instance {}: its state is {:?}",
                instance.name,
                status::state_of(instance)
            );
            return Sighting::Unclear(Failure::new(Code::Unavailable, message));
        }
        Sighting::Seen(self.led(report, record))
    }

    /// The report as the hub's proxy sees the server: at the listener, which leads to the instance.
    fn led(&self, mut report: Report, record: &Record) -> Report {
        let Some(way) = &self.way else {
            return report;
        };
        match report.target_url.take() {
            Some(target) if way.leads_to(&target) => {
                way.redirects.publish(&record.service_prefix, &target);
                report.url = Some(way.url.clone());
                report.target_url = Some(target);
            }
            Some(target) => {
                tracing::warn!(
                    key = record.key,
                    target,
                    "the instance's address is not in a domain that people are sent to; see redirect_hosts"
                );
                report.phase = Phase::Pending;
                report.url = None;
            }
            None => {
                if report.phase == Phase::Exited {
                    way.redirects.withdraw(&record.service_prefix);
                }
            }
        }
        report
    }

    async fn take_down(&self, record: &Record, deadline: Instant) -> Result<Phase, Failure> {
        let name = record.reference.as_deref().unwrap_or_default();
        let mut refusals = 0;
        loop {
            let found = self
                .service
                .get(&self.place, name, deadline)
                .await
                .map_err(CloudError::into_failure)?;
            let Some(instance) = found else {
                return Ok(Phase::Gone);
            };
            if instance.tag(tags::KEY) != Some(record.key.as_str()) {
                let message = format!(
                    "compute instance {name} does not bear this server's key; it is left alone"
                );
                return Err(Failure::new(Code::Conflict, message));
            }
            let state = status::state_of(&instance);
            let row = status::row_of(state);
            if state == Some("Deleting") {
                return Ok(Phase::Stopping);
            }
            let half_made = record.url.is_none() && record.own.get(CREATED) == Some(&true.into());
            let delete =
                self.on_stop == OnStop::Delete || half_made || row.on_stop == OnStopFound::Delete;
            let asked = if delete {
                self.service.delete(&self.place, name, deadline).await
            } else if row.on_stop == OnStopFound::Nothing {
                return Ok(row.phase);
            } else {
                self.service.stop(&self.place, name, deadline).await
            };
            match asked {
                Ok(()) => return Ok(Phase::Stopping),
                // It is in the middle of something else, which ends.
                Err(error) if error.code() == Code::Conflict => {
                    let pause = Pace::CAPACITY.first * 2_u32.pow(refusals.min(3));
                    if Instant::now() + pause >= deadline {
                        return Err(error.into_failure());
                    }
                    tokio::time::sleep(pause).await;
                    refusals += 1;
                }
                Err(error) => return Err(error.into_failure()),
            }
        }
    }
}

impl Site for Workspace {
    fn id(&self) -> &str {
        &self.id
    }

    /// One list tells about all, however many there are.
    fn batch(&self) -> Option<usize> {
        None
    }

    fn calls_for(&self, servers: usize) -> usize {
        servers.min(self.calls_of_a_list())
    }

    fn observe<'a>(
        &'a self,
        records: &'a [Arc<Record>],
        deadline: Instant,
    ) -> BoxFuture<'a, Vec<Sighting>> {
        Box::pin(async move {
            let deadline = deadline.min(Instant::now() + REFRESH_TIMEOUT);
            if records.len() <= self.calls_of_a_list() {
                join_all(records.iter().map(|record| self.look(record, deadline))).await
            } else {
                self.look_at_all(records, deadline).await
            }
        })
    }

    fn find<'a>(
        &'a self,
        key: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Found>, Failure>> {
        Box::pin(self.found_where(deadline, move |i| i.tag(tags::KEY) == Some(key)))
    }

    fn list<'a>(
        &'a self,
        hub: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Found>, Failure>> {
        let value = tags::value(hub);
        Box::pin(self.found_where(deadline, move |i| {
            i.tag(tags::HUB) == Some(value.as_str()) && i.tag(tags::KEY).is_some()
        }))
    }

    fn remove<'a>(
        &'a self,
        record: &'a Record,
        _reason: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Phase, Failure>> {
        Box::pin(self.take_down(record, deadline))
    }
}

fn tells_enough(instance: &Instance) -> bool {
    match status::state_of(instance) {
        None => false,
        Some("Running" | "JobRunning") => instance.lab_url().is_some(),
        Some(_) => true,
    }
}
