//! AWS Fargate: each server is one ECS task.
//!
//! `config` reads the settings and builds RunTask's arguments, `api` is ECS as far as it is used, `status` says what a
//! task's state means, `lifecycle` is one start, `lookups` finds tasks by their key, `site` is a cluster that is watched, stopped and swept.

mod api;
mod check;
mod config;
mod lifecycle;
mod lookups;
mod record;
mod site;
mod status;
mod task;

use super::{Backend, Launch, Record, Settings, Site, Surroundings};
use crate::cloud::aws::{Account, AccountSettings, Credentials, JsonService};
use crate::error::Failure;
use crate::wire::StartParams;
use crate::wire::reply::Check;
use api::Ecs;
use config::Config;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The backend's name in requests and states.
pub const NAME: &str = "fargate";

/// The SDKs' own spelling of the service, for its endpoint settings.
const SERVICE_ID: &str = "ECS";

/// The Fargate backend; connections and credentials are shared by all requests.
pub struct Fargate {
    surroundings: Surroundings,
    opened: Mutex<HashMap<String, Arc<Ecs>>>,
}

impl Fargate {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(surroundings: Surroundings) -> Self {
        Self {
            surroundings,
            opened: Mutex::default(),
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
        let Surroundings {
            context,
            door,
            limiter,
            ..
        } = self.surroundings.clone();
        let account = Account::open(&account, SERVICE_ID, door.clone()).await?;
        let scope = format!("{} {} {whose}", account.endpoint, account.region);
        let ecs = Arc::new(Ecs::new(JsonService {
            name: api::SERVICE,
            account,
            scope,
            door,
            limiter,
            context,
        }));
        Ok(self.lock().entry(key).or_insert(ecs).clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Ecs>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
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
            let launch = lifecycle::TaskLaunch::prepare(params, config, earlier, ecs, now_ms)?;
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

    fn check<'a>(&'a self, settings: Settings<'a>, offline: bool) -> BoxFuture<'a, Vec<Check>> {
        Box::pin(check::check(self, settings, offline))
    }
}
