//! One start of an instance: look first, then create, start or join.

use super::api::{Place, Service};
use super::config::Config;
use super::home::Home;
use super::instance::Instance;
use super::mounting::At;
use super::naming;
use super::redirect::Way;
use super::site::{CREATED, Workspace};
use super::status::{self, OnStart};
use super::{body, console};
use crate::backend::{Created, Finish, Launch, Prepared, Record, Settled, Site, Then, names, tags};
use crate::cloud::CloudError;
use crate::error::Failure;
use crate::net::retry::Again;
use crate::wire::{Code, StartParams};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// With what a start is made.
pub struct Means {
    /// The hub's own, for everything but a creation.
    pub service: Arc<Service>,
    /// In whose name the instance is created.
    pub creator: Arc<Service>,
    /// The way to the notebook.
    pub way: Option<Way>,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A start that is on its way.
pub struct InstanceLaunch {
    service: Arc<Service>,
    creator: Arc<Service>,
    workspace: Arc<Workspace>,
    place: Place,
    config: Config,
    vm_size: String,
    name: String,
    record: Record,
    older: Option<Record>,
    location: Option<String>,
    home: Option<Home>,
    warnings: Vec<String>,
    /// A PUT or POST whose answer nobody has read yet; it goes on when the one who waits is dropped.
    under_way: Option<JoinHandle<Result<(), CloudError>>>,
    /// Whether such a call may have had an effect that is not known.
    in_doubt: bool,
}

impl InstanceLaunch {
    /// Checks everything and makes the record; `earlier` is the state that the request brought.
    pub fn prepare(
        params: &StartParams,
        config: Config,
        earlier: Option<Record>,
        means: Means,
    ) -> Result<Self, Failure> {
        let Means {
            service,
            creator,
            way,
            now_ms,
        } = means;
        let (place, vm_size) = config.needed_to_start()?;
        let (same, older) = match earlier {
            Some(record) if record.attempt == params.attempt => (Some(record), None),
            other => (None, other),
        };
        let key = same
            .as_ref()
            .or(older.as_ref())
            .map_or_else(|| names::key(&params.server), |r| r.key.clone());
        let suffix = config.name_suffix.as_deref().unwrap_or_default();
        let readable = naming::readable(&params.server.user, suffix);
        let name = naming::instance_name(&place, &readable, &key, &vm_size);
        let in_doubt = same
            .as_ref()
            .is_some_and(|record| record.reference.is_none());
        let record = same.unwrap_or_else(|| new_record(params, &place, &vm_size, key, now_ms));
        // What is wrong with the body is told before anything is asked.
        body::instance(&config, &record, "location", &vm_size)?;
        if config.create_workspace == Some(true) {
            body::workspace(&config, &record)?;
        }
        let home = Home::read(&config, params)?;
        let warnings = home.as_ref().map(|home| home.warnings(&config));
        let workspace = Arc::new(Workspace::new(
            service.clone(),
            place.clone(),
            config.on_stop,
            way,
        ));
        Ok(Self {
            service,
            creator,
            workspace,
            place,
            location: None,
            home,
            warnings: warnings.unwrap_or_default(),
            config,
            vm_size,
            name,
            record,
            older,
            under_way: None,
            in_doubt,
        })
    }

    async fn attempt(&mut self, deadline: Instant) -> Result<Created, CloudError> {
        if let Some(under_way) = self.under_way.as_mut() {
            let answer = under_way.await;
            self.under_way = None;
            if let Ok(Err(error)) = answer {
                return Err(self.doubt(error));
            }
        }
        let Some(instance) = self.service.get(&self.place, &self.name, deadline).await? else {
            return self.put(deadline).await;
        };
        if let Some(failure) = self.not_ours(&instance) {
            return Ok(give_up(failure));
        }
        self.in_doubt = false;
        if instance.tag(tags::ATTEMPT) == Some(self.record.attempt.as_str()) {
            self.record
                .own
                .insert(CREATED.to_owned(), Value::from(true));
        }
        let state = status::state_of(&instance).unwrap_or("Unknown").to_owned();
        match status::row_of(Some(&state)).on_start {
            OnStart::Join => Ok(self.exists()),
            OnStart::Start => {
                self.call(|service, place, name| async move {
                    service.start(&place, &name, deadline).await
                })
                .await?;
                Ok(self.exists())
            }
            OnStart::Wait => Ok(again(format!("compute instance {} is {state}", self.name))),
            OnStart::Delete => {
                self.service
                    .delete(&self.place, &self.name, deadline)
                    .await?;
                Ok(again(format!(
                    "compute instance {} was {state} and is being deleted",
                    self.name
                )))
            }
        }
    }

    async fn put(&mut self, deadline: Instant) -> Result<Created, CloudError> {
        let location = match &self.location {
            Some(location) => location.clone(),
            None => match self.locate(deadline).await? {
                Ok(location) => self.location.insert(location).clone(),
                Err(not_yet) => return Ok(not_yet),
            },
        };
        let body = match body::instance(&self.config, &self.record, &location, &self.vm_size) {
            Ok(body) => body,
            Err(failure) => return Ok(give_up(failure)),
        };
        let creator = self.creator.clone();
        self.call(
            |_, place, name| async move { creator.put(&place, &name, &body, deadline).await },
        )
        .await?;
        self.record
            .own
            .insert(CREATED.to_owned(), Value::from(true));
        Ok(self.exists())
    }

    /// The region of the new instance: the config's, else the workspace's. A workspace that is not there is created where the
    /// admin allows it.
    async fn locate(&mut self, deadline: Instant) -> Result<Result<String, Created>, CloudError> {
        let may_create = self.config.create_workspace == Some(true);
        if let (Some(location), false) = (&self.config.location, may_create) {
            return Ok(Ok(location.clone()));
        }
        let name = &self.place.workspace;
        let Some(workspace) = self.service.workspace(&self.place, deadline).await? else {
            if !may_create {
                return Ok(Err(give_up(no_workspace(&self.place))));
            }
            let body = match body::workspace(&self.config, &self.record) {
                Ok(body) => body,
                Err(failure) => return Ok(Err(give_up(failure))),
            };
            tracing::info!(
                workspace = name,
                "the workspace is not there and is created"
            );
            let asked = self
                .service
                .put_workspace(&self.place, &body, deadline)
                .await;
            return match asked {
                // Another start has just asked for it, or the answer was lost: the next look tells.
                Err(error) if error.had_no_effect() && error.code() != Code::Conflict => Err(error),
                _ => Ok(Err(again(format!("workspace {name} is being created")))),
            };
        };
        match workspace.properties.provisioning_state.as_deref() {
            Some("Creating" | "Updating" | "Unknown") => {
                Ok(Err(again(format!("workspace {name} is being created"))))
            }
            Some(state @ ("Failed" | "Canceled" | "Deleting" | "SoftDeleted")) => {
                let message = format!("workspace {name} is {state}; mend it, or name another");
                Ok(Err(give_up(Failure::new(Code::StartFailed, message))))
            }
            _ => {
                let given = self.config.location.clone();
                Ok(Ok(given.or(workspace.location).unwrap_or_default()))
            }
        }
    }

    /// Makes a call that changes something, in a task of its own.
    async fn call<F, Fut>(&mut self, make: F) -> Result<(), CloudError>
    where
        F: FnOnce(Arc<Service>, Place, String) -> Fut,
        Fut: Future<Output = Result<(), CloudError>> + Send + 'static,
    {
        let future = make(self.service.clone(), self.place.clone(), self.name.clone());
        let under_way = self.under_way.insert(tokio::spawn(future));
        let answer = under_way.await;
        self.under_way = None;
        let answer = answer.unwrap_or_else(|error| {
            Err(CloudError::Unreadable {
                operation: "arm:PUT compute".to_owned(),
                why: error.to_string(),
            })
        });
        answer.map_err(|error| self.doubt(error))
    }

    /// Notes that a change may have had an effect; a look that fails leaves no doubt.
    fn doubt(&mut self, error: CloudError) -> CloudError {
        self.in_doubt |= !error.had_no_effect();
        error
    }

    fn exists(&mut self) -> Created {
        self.in_doubt = false;
        self.record.reference = Some(self.name.clone());
        Created::Yes
    }

    fn not_ours(&self, instance: &Instance) -> Option<Failure> {
        if instance.tag(tags::KEY) == Some(self.record.key.as_str()) {
            return None;
        }
        let whose = instance
            .tag(tags::HUB)
            .map_or("bears no tag of this hub".to_owned(), |hub| {
                format!("belongs to hub {hub:?}")
            });
        Some(Failure::new(
            Code::Conflict,
            format!(
                "compute instance {} is there already and {whose}; it is left alone: delete it, or change hub_id",
                self.name
            ),
        ))
    }

    async fn find_out(&mut self, deadline: Instant) -> Result<Settled, Failure> {
        const PAUSE: Duration = Duration::from_secs(2);
        loop {
            if self.record.reference.is_some() {
                return Ok(Settled::Created);
            }
            if let Some(under_way) = self.under_way.as_mut() {
                let answer = tokio::time::timeout_at(deadline, under_way).await;
                let answer =
                    answer.map_err(|_| Failure::new(Code::Deadline, "no answer in time"))?;
                self.under_way = None;
                match answer {
                    Ok(Ok(())) => {
                        self.record
                            .own
                            .insert(CREATED.to_owned(), Value::from(true));
                        self.exists();
                        return Ok(Settled::Created);
                    }
                    Ok(Err(error)) if error.had_no_effect() => return Ok(Settled::Nothing),
                    _ => self.in_doubt = true,
                }
            }
            if !self.in_doubt {
                return Ok(Settled::Nothing);
            }
            let found = self
                .service
                .get(&self.place, &self.name, deadline)
                .await
                .map_err(CloudError::into_failure)?;
            if let Some(instance) = found.filter(|i| self.not_ours(i).is_none()) {
                let ours = instance.tag(tags::ATTEMPT) == Some(self.record.attempt.as_str());
                self.record
                    .own
                    .insert(CREATED.to_owned(), Value::from(ours));
                self.exists();
                return Ok(Settled::Created);
            }
            // A PUT whose answer was lost may still arrive: that nothing is there yet is no proof.
            if Instant::now() + PAUSE >= deadline {
                return Err(Failure::new(
                    Code::Unavailable,
                    "it could not be found out whether the instance was created",
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Launch for InstanceLaunch {
    fn record(&self) -> &Record {
        &self.record
    }

    fn site(&self) -> Arc<dyn Site> {
        self.workspace.clone()
    }

    fn older(&self) -> Option<&Record> {
        self.older.as_ref()
    }

    /// The same instance is started again; one of another size makes way.
    fn displaces(&self, other: &Record) -> bool {
        other.reference.as_deref() != Some(self.name.as_str())
    }

    fn may_exist(&self) -> bool {
        self.record.reference.is_some() || self.under_way.is_some() || self.in_doubt
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn console(&self) -> Option<String> {
        let name = self.record.reference.as_deref()?;
        console::page(
            self.config.management_endpoint.as_deref(),
            &self.place,
            name,
        )
    }

    fn prepare(&mut self, deadline: Instant) -> BoxFuture<'_, Result<Prepared, Failure>> {
        Box::pin(async move {
            let Some(home) = &mut self.home else {
                return Ok(Prepared::default());
            };
            let arm = self.service.resource_manager();
            let left_out = home.make_ready(arm, &mut self.config, deadline).await?;
            Ok(Prepared {
                news: false,
                left_out,
            })
        })
    }

    fn finish(&mut self, deadline: Instant) -> Option<Finish<'_>> {
        let home = self.home.as_mut().filter(|home| home.is_mounted_later())?;
        let at = At {
            place: &self.place,
            name: &self.name,
        };
        Some(Finish {
            message: "Your files are being mounted",
            work: Box::pin(home.mount(&self.service, at, deadline)),
        })
    }

    fn create(&mut self, deadline: Instant) -> BoxFuture<'_, Created> {
        Box::pin(async move {
            if self.record.reference.is_some() {
                return Created::Yes;
            }
            match self.attempt(deadline).await {
                Ok(created) => created,
                Err(error) if self.in_doubt && !error.had_no_effect() => {
                    Created::Unanswered(error.into_failure())
                }
                Err(error) => {
                    let then = match (error.again(), error.code()) {
                        // A conflict is another operation that is under way on it; it ends.
                        (Again::After(_), _) | (_, Code::CapacityUnavailable | Code::Conflict) => {
                            Then::Again
                        }
                        _ => Then::GiveUp,
                    };
                    Created::No {
                        failure: error.into_failure(),
                        then,
                    }
                }
            }
        })
    }

    fn renew(&mut self) {
        self.record.reference = None;
        self.record.url = None;
        self.in_doubt = false;
    }

    fn settle(&mut self, deadline: Instant) -> BoxFuture<'_, Result<Settled, Failure>> {
        Box::pin(self.find_out(deadline))
    }
}

fn give_up(failure: Failure) -> Created {
    Created::No {
        failure,
        then: Then::GiveUp,
    }
}

fn no_workspace(place: &Place) -> Failure {
    Failure::new(
        Code::NotFound,
        format!(
            "workspace {} is not in resource group {}: create it, name another, or set create_workspace",
            place.workspace, place.resource_group
        ),
    )
}

fn again(message: String) -> Created {
    Created::No {
        failure: Failure::new(Code::Unavailable, message),
        then: Then::Again,
    }
}

fn new_record(
    params: &StartParams,
    place: &Place,
    vm_size: &str,
    key: String,
    now_ms: u64,
) -> Record {
    let mut record = Record {
        key,
        hub: params.server.hub.clone(),
        attempt: params.attempt.clone(),
        attempted_at_ms: now_ms,
        service_prefix: params.spec.service_prefix.clone(),
        ..Record::default()
    };
    for (name, value) in [
        ("subscription_id", place.subscription_id.as_str()),
        ("resource_group", &place.resource_group),
        ("workspace", &place.workspace),
        ("vm_size", vm_size),
    ] {
        record.own.insert(name.to_owned(), Value::from(value));
    }
    record
}
