//! Azure Machine Learning: each server is one compute instance.
//!
//! `config` reads the settings, `body` builds what is created from them, `api` is the service as far as it is used,
//! `instance` is what it answers, `status` says what an instance's state means, `lifecycle` is one start,
//! `naming` what its instance is called, `site` is a workspace that is watched, stopped and swept, `home` their people's
//! file shares, `mounting` how these are mounted on an instance that runs, `data_mounts` the calls of one such way, `logs`
//! what Azure tells of an instance, `redirect` leads people to their instances, `options` is what they may choose from.

mod api;
mod body;
mod check;
mod config;
mod console;
mod data_mounts;
mod home;
mod instance;
mod lifecycle;
mod logs;
mod mounting;
mod naming;
mod options;
mod redirect;
mod site;
mod status;

use super::{Backend, Launch, Lines, Look, Record, Settings, Site, Surroundings};
use crate::cloud::azure::{AzureCredentials, Clouds, ResourceManager, Tokens};
use crate::error::Failure;
use crate::lock::lock;
use crate::mount::Owner;
use crate::mount::azure_files::Files;
use crate::wire::reply::{Check, LogsResult, OptionsResult, Share};
use crate::wire::{ShareAction, ShareParams, StartParams};
use api::{Place, Service};
use config::{Config, Identity};
use futures_util::future::BoxFuture;
use lifecycle::Means;
use redirect::{Redirects, Way};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// The backend's name in requests and states.
pub const NAME: &str = "azure_ml";

/// A list of workspaces has a page or two; what asks for it has a deadline of its own.
const LIST_TIMEOUT: Duration = Duration::from_mins(1);

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
        let clouds = clouds(config)?;
        let given = settings.credentials.expose();
        let whose = AzureCredentials::hubs_own(given);
        if !std::ptr::eq(whose, given) {
            // The person's part is not in the scope, so what is kept says nothing of it.
            AzureCredentials::read(settings.credentials)?;
        }
        let scope = scope(&clouds, whose);
        let mut opened = lock(&self.opened);
        if let Some(service) = opened.get(&scope) {
            return Ok(service.clone());
        }
        let (_, service) = AzureCredentials::read(settings.credentials)?.creator_and_service();
        let made = Arc::new(self.open(clouds, &service, scope.clone())?);
        // A person's own is used for one start, and not kept.
        if !matches!(service, AzureCredentials::UserAssertion { .. }) {
            opened.insert(scope, made.clone());
        }
        Ok(made)
    }

    /// The service in the name of the person who starts; none where the hub creates.
    fn creator(&self, config: &Config, settings: Settings<'_>) -> Result<Option<Service>, Failure> {
        let (creator, service) =
            AzureCredentials::read(settings.credentials)?.creator_and_service();
        let user = creator.or(match service {
            user @ AzureCredentials::UserAssertion { .. } => Some(user),
            _ => None,
        });
        match (config.identity, user) {
            (Identity::Service, None) => Ok(None),
            (Identity::User, Some(user)) => {
                let clouds = clouds(config)?;
                let scope = scope(&clouds, settings.credentials.expose());
                self.open(clouds, &user, scope).map(Some)
            }
            (Identity::User, None) => Err(Failure::invalid_config(
                "credentials.kind",
                "identity \"user\" needs user_assertion",
            )),
            (Identity::Service, Some(_)) => Err(Failure::invalid_config(
                "config.identity",
                "user_assertion needs identity \"user\"",
            )),
        }
    }

    fn open(
        &self,
        clouds: Clouds,
        credentials: &AzureCredentials,
        scope: String,
    ) -> Result<Service, Failure> {
        let Surroundings {
            context,
            door,
            limiter,
            ..
        } = self.surroundings.clone();
        Ok(Service::new(ResourceManager {
            tokens: Tokens::open(credentials, &clouds, &door)?,
            clouds,
            scope,
            door,
            limiter,
            context,
        }))
    }

    /// The way to the notebook: in serve mode the listener, which is bound by now; else none, and people go there themselves.
    async fn way(&self, config: &Config) -> Result<Option<Way>, Failure> {
        let Some(hub_gone) = &self.surroundings.serves else {
            return Ok(None);
        };
        let (address, url) = config.redirect()?;
        self.redirects.listen(address, hub_gone).await?;
        let management = config.management_endpoint.as_deref().unwrap_or_default();
        Ok(Some(Way {
            redirects: self.redirects.clone(),
            url,
            hosts: config.redirect_hosts.clone().unwrap_or_default(),
            local: management.starts_with("http://"),
        }))
    }

    /// The workspace of a record; without one, each that the settings name.
    async fn places(
        service: &Service,
        config: &Config,
        record: Option<&Record>,
    ) -> Result<Vec<Place>, Failure> {
        if let Some(record) = record {
            return Place::of(record).map(|place| vec![place]);
        }
        let mut places: Vec<Place> = config.place().into_iter().collect();
        for part in config.elsewhere() {
            let subscription_id = part.subscription_id.unwrap_or_default();
            let named = part.workspace.filter(|name| !name.is_empty());
            let place = |resource_group, workspace| Place {
                subscription_id: subscription_id.clone(),
                resource_group,
                workspace,
            };
            if let Some(workspace) = named {
                let place = place(part.resource_group.unwrap_or_default(), workspace);
                place.check()?;
                places.push(place);
                continue;
            }
            let group = part.resource_group.as_deref();
            let deadline = Instant::now() + LIST_TIMEOUT;
            let seen = options::projects(service, &subscription_id, group, deadline).await?;
            let seen = seen.into_iter();
            places.extend(seen.map(|project| place(project.resource_group, project.workspace)));
        }
        // Resource Manager tells no capitals apart.
        let mut known = HashSet::new();
        places.retain(|place| known.insert(place.path().to_lowercase()));
        Ok(places)
    }
}

fn clouds(config: &Config) -> Result<Clouds, Failure> {
    Clouds::read(
        config.management_endpoint.as_deref(),
        config.authority_host.as_deref(),
    )
}

/// Whose calls, and where to: they share quotas, tokens and watch groups.
fn scope(clouds: &Clouds, credentials: &Value) -> String {
    // Null is the developer chain, by whichever name it goes.
    let is_developer = *credentials == json!({"kind": "developer"});
    let text = if is_developer {
        Value::Null.to_string()
    } else {
        credentials.to_string()
    };
    let whose = super::names::fingerprint(&[&text]);
    format!(
        "{} {} {whose}",
        clouds.management_endpoint, clouds.authority_host
    )
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
                .map(|state| Record::read(state.clone(), NAME))
                .transpose()?;
            let service = self.service(&config, settings)?;
            let creator = self.creator(&config, settings)?.map(Arc::new);
            let means = Means {
                creator: creator.unwrap_or_else(|| service.clone()),
                service,
                way: self.way(&config).await?,
                now_ms: self.surroundings.context.now_ms(),
            };
            let launch = lifecycle::InstanceLaunch::prepare(params, config, earlier, means)?;
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
            if record.is_none() && config.place().is_none() && config.workspaces.is_none() {
                return Ok(Vec::new());
            }
            let service = self.service(&config, settings)?;
            let places = Self::places(&service, &config, record).await?;
            let way = self.way(&config).await?;
            let site = |place| -> Arc<dyn Site> {
                let service = service.clone();
                Arc::new(site::Workspace::new(
                    service,
                    place,
                    config.on_stop,
                    way.clone(),
                ))
            };
            Ok(places.into_iter().map(site).collect())
        })
    }

    fn place(&self, record: &Record) -> Vec<Option<String>> {
        let names = ["subscription_id", "resource_group", "workspace"];
        names
            .map(|name| record.text(name).map(str::to_owned))
            .to_vec()
    }

    fn check<'a>(&'a self, settings: Settings<'a>, look: Look<'a>) -> BoxFuture<'a, Vec<Check>> {
        Box::pin(check::check(self, settings, look))
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
            let storage = config.storage()?;
            let service = self.service(&config, settings)?;
            let secret = home::secret(settings.credentials)?;
            let files = Files::new(service.resource_manager(), &storage, secret.as_ref())?;
            match params.action {
                ShareAction::Ensure => files.ensure(&owner, deadline).await,
                ShareAction::Show => files.show(&owner, deadline).await,
                ShareAction::Delete => files.delete(&owner, deadline).await,
                ShareAction::Rename => {
                    let to = params.to.as_deref().unwrap_or_default();
                    files.rename(&owner, to, deadline).await
                }
            }
        })
    }

    fn logs<'a>(
        &'a self,
        settings: Settings<'a>,
        record: &'a Record,
        wanted: Lines<'a>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<LogsResult, Failure>> {
        Box::pin(async move {
            let config = Config::read(settings.config)?;
            let service = self.service(&config, settings)?;
            logs::logs(&service, record, wanted, deadline).await
        })
    }

    fn options<'a>(
        &'a self,
        settings: Settings<'a>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<OptionsResult, Failure>> {
        Box::pin(async move {
            let config = Config::read(settings.config)?;
            let service = self.service(&config, settings)?;
            options::options(&service, &config, deadline).await
        })
    }
}

/// What an answer of Resource Manager leads to, whichever call it answers; for `fuzz` alone.
#[cfg(any(test, fuzzing))]
pub(crate) fn digest(answer: &serde_json::Value) {
    let items = answer.get("value").and_then(serde_json::Value::as_array);
    for item in items.into_iter().flatten().chain([answer]) {
        if let Ok(instance) = serde_json::from_value::<instance::Instance>(item.clone()) {
            let _ = status::report(&instance, &Record::default());
            let created = instance.properties.created_on.as_deref();
            let _ = created.and_then(crate::cloud::time::milliseconds);
        }
        let _ = serde_json::from_value::<api::WorkspaceView>(item.clone());
        let _ = serde_json::from_value::<api::VmSize>(item.clone());
    }
}

/// What an admin may write as settings; for `fuzz` alone.
#[cfg(any(test, fuzzing))]
pub(crate) fn digest_config(config: &serde_json::Value) {
    if let Ok(config) = config::Config::read(config) {
        let _ = body::instance(&config, &Record::default(), "eastus", "STANDARD_DS1_V2");
    }
}
