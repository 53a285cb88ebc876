//! Azure ML's settings, and an instance's body made from them.

use super::api::Place;
use crate::backend::{Record, config, tags};
use crate::error::Failure;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The fields of `config` (protocol, config and credentials).
const FIELDS: &[&str] = &[
    "subscription_id",
    "resource_group",
    "workspace",
    "location",
    "vm_size",
    "create_workspace",
    "idle_shutdown",
    "on_stop",
    "assigned_user",
    "identity",
    "tags",
    "properties",
    "management_endpoint",
    "authority_host",
    "redirect_listen",
    "redirect_url",
    "redirect_hosts",
];

/// Where the redirect listens by default (protocol, config): fixed, so that it is the same after a restart.
const REDIRECT_LISTEN: &str = "127.0.0.1:9001";
/// Resource Manager: a resource has at most 50 tags ("Use tags to organize your Azure resources").
const MAX_TAGS: usize = 50;

/// The backend's settings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The subscription.
    pub subscription_id: Option<String>,
    /// The resource group.
    pub resource_group: Option<String>,
    /// The workspace.
    pub workspace: Option<String>,
    /// The region; else the workspace's.
    pub location: Option<String>,
    /// The size of the machine; needed by start only.
    pub vm_size: Option<String>,
    /// Whether to create a workspace that is not there.
    pub create_workspace: Option<bool>,
    /// When an idle instance stops by itself, ISO 8601.
    pub idle_shutdown: Option<String>,
    /// What a stop does to the instance.
    pub on_stop: OnStop,
    /// The person for whom it is created.
    pub assigned_user: Option<AssignedUser>,
    /// In whose name it is created.
    pub identity: Option<String>,
    /// The admin's own tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// More of the instance's own properties, as Azure spells them.
    pub properties: Option<Map<String, Value>>,
    /// Resource Manager.
    pub management_endpoint: Option<String>,
    /// Entra ID.
    pub authority_host: Option<String>,
    /// Where the redirect listens in serve mode.
    pub redirect_listen: Option<String>,
    /// How the proxy reaches it.
    pub redirect_url: Option<String>,
    /// Domains beside the service's own to which people may be sent.
    pub redirect_hosts: Option<Vec<String>>,
}

/// What a stop does to the instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStop {
    /// It is stopped, and started again by the next start.
    #[default]
    Stop,
    /// It is deleted.
    Delete,
}

/// A person in Entra ID.
#[derive(Debug, Clone, Deserialize)]
pub struct AssignedUser {
    /// The person's object id.
    pub object_id: String,
    /// The person's tenant.
    pub tenant_id: String,
}

impl Config {
    /// Reads and checks the settings.
    pub fn read(value: &Value) -> Result<Self, Failure> {
        let config: Self = config::read(value, FIELDS)?;
        if config
            .identity
            .as_deref()
            .is_some_and(|identity| identity != "service")
        {
            return Err(Failure::invalid_config(
                "config.identity",
                "only \"service\" is built yet",
            ));
        }
        if config.create_workspace == Some(true) {
            return Err(Failure::invalid_config(
                "config.create_workspace",
                "is not built yet; create the workspace",
            ));
        }
        Ok(config)
    }

    /// Where the redirect listens, and how the proxy reaches it.
    pub fn redirect(&self) -> Result<(SocketAddr, String), Failure> {
        let given = self.redirect_listen.as_deref().unwrap_or(REDIRECT_LISTEN);
        let address: SocketAddr = given.parse().map_err(|_| {
            Failure::invalid_config(
                "config.redirect_listen",
                format!("{given:?} is no address and port, such as \"{REDIRECT_LISTEN}\""),
            )
        })?;
        let url = self
            .redirect_url
            .clone()
            .unwrap_or_else(|| format!("http://{address}"));
        Ok((address, url.trim_end_matches('/').to_owned()))
    }

    /// The workspace that the settings name, where they name one whole.
    pub fn place(&self) -> Option<Place> {
        let given = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        Some(Place {
            subscription_id: given(&self.subscription_id)?,
            resource_group: given(&self.resource_group)?,
            workspace: given(&self.workspace)?,
        })
    }

    /// The workspace and the size, which a start needs.
    pub fn needed_to_start(&self) -> Result<(Place, String), Failure> {
        let missing = |name: &str| Failure::invalid_config(&format!("config.{name}"), "is missing");
        for (name, field) in [
            ("subscription_id", &self.subscription_id),
            ("resource_group", &self.resource_group),
            ("workspace", &self.workspace),
            ("vm_size", &self.vm_size),
        ] {
            if field.as_deref().unwrap_or_default().is_empty() {
                return Err(missing(name));
            }
        }
        let place = self.place().ok_or_else(|| missing("workspace"))?;
        place.check()?;
        Ok((place, self.vm_size.clone().unwrap_or_default()))
    }

    /// The body of the PUT that creates an instance (Compute_CreateOrUpdate).
    pub fn instance(
        &self,
        record: &Record,
        location: &str,
        vm_size: &str,
    ) -> Result<Value, Failure> {
        let mut properties = Map::new();
        properties.insert("vmSize".to_owned(), Value::from(vm_size));
        properties.insert(
            "computeInstanceAuthorizationType".to_owned(),
            Value::from("personal"),
        );
        properties.insert(
            "applicationSharingPolicy".to_owned(),
            Value::from("Personal"),
        );
        if let Some(idle) = &self.idle_shutdown {
            properties.insert(
                "idleTimeBeforeShutdown".to_owned(),
                Value::from(idle.as_str()),
            );
        }
        if let Some(user) = &self.assigned_user {
            let assigned =
                json!({"assignedUser": {"objectId": user.object_id, "tenantId": user.tenant_id}});
            properties.insert("personalComputeInstanceSettings".to_owned(), assigned);
        }
        properties.extend(self.properties.clone().unwrap_or_default());
        let mut tags = self.tags.clone().unwrap_or_default();
        for (name, value) in tags::ours(record) {
            if tags.insert(name.to_owned(), value).is_some() {
                return Err(Failure::invalid_config(
                    "config.tags",
                    format!("{name} is cloudspawner's own; leave it out"),
                ));
            }
        }
        if tags.len() > MAX_TAGS {
            let message = format!(
                "{} tags are more than Azure's {MAX_TAGS}, cloudspawner's 3 included",
                tags.len()
            );
            return Err(Failure::invalid_config("config.tags", message));
        }
        Ok(json!({
            "location": location,
            "tags": tags,
            "properties": {"computeType": "ComputeInstance", "properties": properties},
        }))
    }
}
