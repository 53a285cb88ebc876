//! Azure Machine Learning: each server is one compute instance.
//!
//! `config` reads the settings and builds an instance's body, `api` is the service as far as it is used, `status` says what
//! an instance's state means, `lifecycle` is one start, `site` is a workspace that is watched, stopped and swept.

mod api;
mod check;
mod config;
mod lifecycle;
mod redirect;
mod site;
mod status;

use super::{Backend, Launch, Record, Settings, Site, Surroundings};
use crate::cloud::azure::{AzureCredentials, Clouds, ResourceManager, Tokens};
use crate::error::Failure;
use crate::wire::StartParams;
use crate::wire::reply::Check;
use api::{Place, Service};
use config::Config;
use futures_util::future::BoxFuture;
use redirect::{Redirects, Way};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The backend's name in requests and states.
pub const NAME: &str = "azure_ml";

/// The Azure Machine Learning backend; connections and tokens are shared by all requests.
pub struct AzureMl {
    surroundings: Surroundings,
    opened: Mutex<HashMap<String, Arc<Service>>>,
    redirects: Redirects,
}

impl AzureMl {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(surroundings: Surroundings) -> Self {
        Self {
            surroundings,
            opened: Mutex::default(),
            redirects: Redirects::default(),
        }
    }

    fn service(&self, config: &Config, settings: Settings<'_>) -> Result<Arc<Service>, Failure> {
        let clouds = Clouds::read(
            config.management_endpoint.as_deref(),
            config.authority_host.as_deref(),
        )?;
        let whose = super::names::fingerprint(&[&settings.credentials.expose().to_string()]);
        let scope = format!(
            "{} {} {whose}",
            clouds.management_endpoint, clouds.authority_host
        );
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = opened.get(&scope) {
            return Ok(service.clone());
        }
        let credentials = AzureCredentials::read(settings.credentials)?;
        let Surroundings {
            context,
            door,
            limiter,
            ..
        } = self.surroundings.clone();
        let service = Arc::new(Service::new(ResourceManager {
            tokens: Tokens::open(&credentials, &clouds, &door)?,
            clouds,
            api_version: api::VERSION,
            scope: scope.clone(),
            door,
            limiter,
            context,
        }));
        opened.insert(scope, service.clone());
        Ok(service)
    }

    /// The way to the notebook: in serve mode the listener, which is bound by now; else none, and people go there themselves.
    async fn way(&self, config: &Config) -> Result<Option<Way>, Failure> {
        if !self.surroundings.serves {
            return Ok(None);
        }
        let (address, url) = config.redirect()?;
        self.redirects.listen(address).await?;
        let management = config.management_endpoint.as_deref().unwrap_or_default();
        Ok(Some(Way {
            redirects: self.redirects.clone(),
            url,
            hosts: config.redirect_hosts.clone().unwrap_or_default(),
            local: management.starts_with("http://"),
        }))
    }

    fn place_of(config: &Config, record: Option<&Record>) -> Result<Option<Place>, Failure> {
        match record {
            Some(record) => Place::of(record).map(Some),
            None => Ok(config.place()),
        }
    }
}

impl Backend for AzureMl {
    fn name(&self) -> &'static str {
        NAME
    }

    fn stop_timeout(&self) -> Duration {
        // Protocol, stop: "Azure ML: 15 min".
        Duration::from_mins(15)
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
            let earlier = params
                .state
                .as_ref()
                .map(|state| Record::read(state, NAME))
                .transpose()?;
            let service = self.service(&config, settings)?;
            let now_ms = self.surroundings.context.now_ms();
            let way = self.way(&config).await?;
            let launch =
                lifecycle::InstanceLaunch::prepare(params, config, earlier, service, way, now_ms)?;
            Ok(Box::new(launch) as Box<dyn Launch>)
        })
    }

    fn sites<'a>(
        &'a self,
        settings: Settings<'a>,
        record: Option<&'a Record>,
    ) -> BoxFuture<'a, Result<Vec<Arc<dyn Site>>, Failure>> {
        Box::pin(async move {
            let config = Config::read(settings.config)?;
            let Some(place) = Self::place_of(&config, record)? else {
                return Ok(Vec::new());
            };
            let service = self.service(&config, settings)?;
            let workspace: Arc<dyn Site> = Arc::new(site::Workspace::new(
                service,
                place,
                config.on_stop,
                self.way(&config).await?,
            ));
            Ok(vec![workspace])
        })
    }

    fn check<'a>(&'a self, settings: Settings<'a>, offline: bool) -> BoxFuture<'a, Vec<Check>> {
        Box::pin(check::check(self, settings, offline))
    }
}
