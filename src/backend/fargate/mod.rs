//! AWS Fargate: each server is one ECS task.
//!
//! `config` reads the settings and builds RunTask's arguments, `api` is ECS as far as it is used, `status` says what a
//! task's state means, `lifecycle` is one start, `storage` and `definition` are what it mounts, `copies` what gc does with old definitions, `interfaces` finds public addresses, `token` and `vault` keep tokens out of what ECS shows and `services` opens what is not ECS, `lookups` finds tasks by their key, `logs` reads what they wrote, `check`, `made_from` and `network` tell whether all of it can work, `site` is a cluster that is watched, stopped and swept.

mod api;
mod check;
mod config;
mod console;
mod copies;
mod definition;
mod ec2;
mod interfaces;
mod lifecycle;
mod logs;
mod lookups;
mod made_from;
mod network;
mod record;
mod services;
mod site;
mod status;
mod storage;
mod task;
mod token;
mod vault;

use super::{Backend, Launch, Lines, Look, Record, Settings, Site, Surroundings, Tidying};
use crate::cloud::aws::{AccountSettings, Credentials, JsonService, ServiceId, ServiceName};
use crate::error::Failure;
use crate::lock::lock;
use crate::mount::Owner;
use crate::mount::efs::{self, Efs};
use crate::wire::reply::{Check, LogsResult, Share};
use crate::wire::{ShareAction, ShareParams, StartParams};
use api::Ecs;
use config::Config;
use futures_util::future::BoxFuture;
use services::Opener;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use storage::Storage;
use tokio::time::Instant;

/// The backend's name in requests and states.
pub const NAME: &str = "fargate";

const ECS: ServiceId = ServiceId {
    sdk: "ECS",
    host: "ecs",
    endpoint_setting: "config.endpoint_url",
};

/// The Fargate backend; connections and credentials are shared by all requests.
pub struct Fargate {
    surroundings: Surroundings,
    opened: Mutex<HashMap<String, Arc<Ecs>>>,
    opened_efs: Mutex<HashMap<String, Arc<Efs>>>,
}

impl Fargate {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(surroundings: Surroundings) -> Self {
        Self {
            surroundings,
            opened: Mutex::default(),
            opened_efs: Mutex::default(),
        }
    }

    /// ECS for these settings; where a record tells region and endpoint, they win.
    async fn ecs(
        &self,
        config: &Config,
        settings: Settings<'_>,
        record: Option<&Record>,
    ) -> Result<Arc<Ecs>, Failure> {
        let from_record = |name| record.and_then(|r| r.text(name)).map(str::to_owned);
        let account = AccountSettings {
            credentials: Credentials::read(settings.credentials)?,
            region: from_record(record::REGION).or_else(|| config.region.clone()),
            endpoint_url: from_record(record::ENDPOINT).or_else(|| config.endpoint_url.clone()),
        };
        let whose = super::names::fingerprint(&[&settings.credentials.expose().to_string()]);
        let key = format!("{:?} {:?} {whose}", account.region, account.endpoint_url);
        if let Some(ecs) = self.lock().get(&key) {
            return Ok(ecs.clone());
        }
        let opener = self.opener(&account, &whose);
        let service = opener.open(&account, ECS, api::SERVICE).await?;
        let ecs = Arc::new(Ecs::new(service, &opener));
        Ok(self.lock().entry(key).or_insert(ecs).clone())
    }

    /// EFS for these settings.
    async fn efs(&self, config: &Config, settings: Settings<'_>) -> Result<Arc<Efs>, Failure> {
        let storage = config.storage.as_ref();
        let account = AccountSettings {
            credentials: Credentials::read(settings.credentials)?,
            region: config.region.clone(),
            endpoint_url: storage.and_then(|storage| storage.endpoint_url.clone()),
        };
        let whose = super::names::fingerprint(&[&settings.credentials.expose().to_string()]);
        let key = format!("{:?} {:?} {whose}", account.region, account.endpoint_url);
        let opened = || lock(&self.opened_efs);
        if let Some(efs) = opened().get(&key) {
            return Ok(efs.clone());
        }
        let service = self
            .service(&account, efs::api::SERVICE_ID, efs::api::SERVICE, &whose)
            .await?;
        let efs = Arc::new(Efs::new(efs::api::Api::new(service)));
        Ok(opened().entry(key).or_insert(efs).clone())
    }

    async fn service(
        &self,
        account: &AccountSettings,
        id: ServiceId,
        name: ServiceName,
        whose: &str,
    ) -> Result<JsonService, Failure> {
        self.opener(account, whose).open(account, id, name).await
    }

    fn opener(&self, account: &AccountSettings, whose: &str) -> Opener {
        Opener {
            surroundings: self.surroundings.clone(),
            account: account.clone(),
            whose: whose.to_owned(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Ecs>>> {
        lock(&self.opened)
    }

    async fn find_sites(
        &self,
        settings: Settings<'_>,
        record: Option<&Record>,
    ) -> Result<Vec<Arc<dyn Site>>, Failure> {
        let config = Config::read(settings.config)?;
        let clusters = match record.and_then(|r| r.text(record::CLUSTER)) {
            Some(cluster) => vec![cluster.to_owned()],
            None => config.known_clusters(),
        };
        if clusters.is_empty() {
            return Ok(Vec::new());
        }
        let ecs = self.ecs(&config, settings, record).await?;
        Ok(clusters
            .into_iter()
            .map(|cluster| -> Arc<dyn Site> {
                Arc::new(site::Cluster::new(ecs.clone(), cluster, config.clone()))
            })
            .collect())
    }
}

impl Backend for Fargate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn launch<'a>(
        &'a self,
        params: &'a StartParams,
    ) -> BoxFuture<'a, Result<Box<dyn Launch>, Failure>> {
        Box::pin(async move {
            let settings = Settings {
                config: &params.config,
                credentials: &params.credentials,
            };
            let config = Config::read(&params.config)?;
            let earlier = record::earlier(params)?;
            let same = earlier.as_ref().filter(|r| r.attempt == params.attempt);
            let ecs = self.ecs(&config, settings, same).await?;
            let now_ms = self.surroundings.context.now_ms();
            let wanted = storage::read(&config, params)?;
            let storage = if wanted.is_empty() {
                None
            } else {
                let efs = self.efs(&config, settings).await?;
                Some(Storage::new(efs, config.storage.clone(), wanted))
            };
            let launch =
                lifecycle::TaskLaunch::prepare(params, config, earlier, ecs, storage, now_ms)?;
            Ok(Box::new(launch) as Box<dyn Launch>)
        })
    }

    fn sites<'a>(
        &'a self,
        settings: Settings<'a>,
        record: Option<&'a Record>,
    ) -> BoxFuture<'a, Result<Vec<Arc<dyn Site>>, Failure>> {
        Box::pin(self.find_sites(settings, record))
    }

    fn share<'a>(
        &'a self,
        settings: Settings<'a>,
        owner: Owner,
        params: &'a ShareParams,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Share, Failure>> {
        Box::pin(async move {
            let config = Config::read(settings.config)?;
            let Some(storage) = &config.storage else {
                return Err(Failure::invalid_config(
                    "config.storage",
                    "is missing; name the file_system_id of people's storage",
                ));
            };
            let efs = self.efs(&config, settings).await?;
            match params.action {
                ShareAction::Ensure => efs.ensure(storage, &owner, deadline).await,
                ShareAction::Show => efs.show(storage, &owner, deadline).await,
                ShareAction::Rename => {
                    let to = params.to.as_deref().unwrap_or_default();
                    efs.rename(storage, &owner, to, deadline).await
                }
                ShareAction::Delete => efs.delete(storage, &owner, deadline).await,
            }
        })
    }

    fn tidy<'a>(
        &'a self,
        settings: Settings<'a>,
        tidying: Tidying<'a>,
        deadline: Instant,
    ) -> BoxFuture<'a, Vec<Failure>> {
        Box::pin(async move {
            let now_ms = self.surroundings.context.now_ms();
            let opened = async {
                let config = Config::read(settings.config)?;
                if config.storage.is_none() && !config.keeps_tokens() {
                    return Ok(None);
                }
                let ecs = self.ecs(&config, settings, None).await?;
                Ok(Some((ecs, config.keeps_tokens())))
            };
            let (ecs, keeps_tokens) = match opened.await {
                Ok(Some(opened)) => opened,
                Ok(None) => return Vec::new(),
                Err(failure) => return vec![failure],
            };
            let mut errors = Vec::new();
            if keeps_tokens {
                errors = ecs.vault.sweep(&tidying, now_ms, deadline).await;
            }
            errors.extend(copies::deregister_old(&ecs, &tidying, now_ms, deadline).await);
            errors
        })
    }

    fn logs<'a>(
        &'a self,
        settings: Settings<'a>,
        record: &'a Record,
        wanted: Lines<'a>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<LogsResult, Failure>> {
        Box::pin(logs::logs(self, settings, record, wanted, deadline))
    }

    fn place(&self, record: &Record) -> Vec<Option<String>> {
        let names = [record::REGION, record::ENDPOINT, record::CLUSTER];
        names
            .map(|name| record.text(name).map(str::to_owned))
            .to_vec()
    }

    fn check<'a>(&'a self, settings: Settings<'a>, look: Look<'a>) -> BoxFuture<'a, Vec<Check>> {
        Box::pin(check::check(self, settings, look))
    }
}

/// What an answer of ECS leads to, whichever call it answers; for `fuzz` alone.
#[cfg(any(test, fuzzing))]
pub(crate) fn digest(answer: &serde_json::Value) {
    let of = |value: &serde_json::Value| serde_json::from_value::<task::Task>(value.clone()).ok();
    let tasks = answer.get("tasks").and_then(serde_json::Value::as_array);
    let lone = [answer, &answer["task"]].map(of);
    for task in tasks.into_iter().flatten().map(of).chain(lone).flatten() {
        let record = record::from_task(&task, "cs-prod-key", &[]);
        let _ = (status::report(&task, &record), task.created_at_ms());
    }
    if let Ok(answer) = serde_json::from_value::<api::RunTaskAnswer>(answer.clone()) {
        let _ = status::not_run(&answer.failures, None);
    }
}
