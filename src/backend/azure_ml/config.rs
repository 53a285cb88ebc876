//! Azure ML's settings.

use super::api::Place;
use crate::backend::config;
use crate::error::Failure;
use crate::mount::azure_files::Storage;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The fields of `config` (protocol, config and credentials).
const FIELDS: &[&str] = &[
    "subscription_id",
    "resource_group",
    "workspace",
    "workspaces",
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
    "workspace_properties",
    "name_suffix",
    "schedules",
    "subnet",
    "ssh_public_key",
    "managed_identities",
    "creation_script",
    "startup_script",
    "storage",
];

/// Where the redirect listens by default (protocol, config): fixed, so that it is the same after a restart.
const REDIRECT_LISTEN: &str = "127.0.0.1:9001";

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
    /// Where else servers may be, for gc, list and lookups by key.
    pub workspaces: Option<Vec<Elsewhere>>,
    /// The region; else the workspace's.
    pub location: Option<String>,
    /// The size of the machine; needed by start only.
    pub vm_size: Option<String>,
    /// Whether to create a workspace that is not there.
    pub create_workspace: Option<bool>,
    /// A new workspace's own properties, as Azure spells them.
    pub workspace_properties: Option<Map<String, Value>>,
    /// When an idle instance stops by itself.
    pub idle_shutdown: Option<IdleTime>,
    /// What a stop does to the instance.
    pub on_stop: OnStop,
    /// The person for whom it is created.
    pub assigned_user: Option<AssignedUser>,
    /// In whose name it is created.
    pub identity: Identity,
    /// Letters and digits in the readable part of the instance's name.
    pub name_suffix: Option<String>,
    /// When it starts and stops by the clock.
    pub schedules: Option<Vec<Schedule>>,
    /// The resource id of the subnet that it is put into.
    pub subnet: Option<String>,
    /// The key that opens its SSH port; closed without one.
    pub ssh_public_key: Option<String>,
    /// "system", or resource ids of user-assigned identities.
    pub managed_identities: Option<Vec<String>>,
    /// A shell script that runs once, when it is created, as root.
    pub creation_script: Option<String>,
    /// A shell script that runs at each start, as root.
    pub startup_script: Option<String>,
    /// The admin's own tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// More of the instance's own properties, as Azure spells them.
    pub properties: Option<Map<String, Value>>,
    /// Where people's file shares are.
    pub storage: Option<Storage>,
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

/// One more workspace, or some.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Elsewhere {
    /// One of the config's resource group, by its name.
    Named(String),
    /// What is left out is the config's, but the workspace: without one it is each that the identity can see there.
    Some(Where),
}

/// A workspace, a resource group or a subscription.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Where {
    /// The subscription.
    pub subscription_id: Option<String>,
    /// The resource group.
    pub resource_group: Option<String>,
    /// The workspace.
    pub workspace: Option<String>,
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

/// Refuses names that Azure does not allow: they become part of a path.
///
/// # Errors
/// `invalid_config` with the field's name.
pub fn check_name(field: &str, text: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.()".contains(c);
    if text.is_empty() || !text.chars().all(plain) || text.chars().all(|c| c == '.') {
        let message = format!("{text:?} is no name of Azure's");
        return Err(Failure::invalid_config(&format!("config.{field}"), message));
    }
    Ok(())
}

/// In whose name an instance is created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The hub's.
    #[default]
    Service,
    /// The person's who starts the server.
    User,
}

/// A time of idleness.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum IdleTime {
    /// In minutes.
    Minutes(u64),
    /// ISO 8601.
    Duration(String),
}

impl IdleTime {
    /// As Azure spells it.
    ///
    /// # Errors
    /// `invalid_config` for what is no duration, or one that Azure does not take.
    pub fn iso8601(&self) -> Result<String, Failure> {
        // The JSON schema's `idleTimeBeforeShutdown`: "Minimum is 15 min, maximum is 3 days."
        const ALLOWED: std::ops::RangeInclusive<u64> = 15..=3 * 24 * 60;
        let (minutes, text) = match self {
            Self::Minutes(minutes) => (Some(*minutes), format!("PT{minutes}M")),
            Self::Duration(text) => (minutes(text), text.clone()),
        };
        if minutes.is_some_and(|minutes| ALLOWED.contains(&minutes)) {
            return Ok(text);
        }
        Err(Failure::invalid_config(
            "config.idle_shutdown",
            format!(
                "{text:?} is not between 15 minutes and 3 days; write minutes, or ISO 8601 such as \"PT60M\""
            ),
        ))
    }
}

/// Whole minutes of an ISO 8601 duration of days, hours and minutes.
fn minutes(text: &str) -> Option<u64> {
    let (days, time) = text
        .strip_prefix('P')?
        .split_once('T')
        .unwrap_or((&text[1..], ""));
    let mut total = 0_u64;
    for (part, units) in [
        (days, &[('D', 24 * 60)][..]),
        (time, &[('H', 60), ('M', 1)]),
    ] {
        let mut rest = part;
        for (unit, minutes) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                total = number
                    .parse::<u64>()
                    .ok()?
                    .checked_mul(*minutes)?
                    .checked_add(total)?;
                rest = after;
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Some(total)
}

/// One rule by the clock.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// What it does.
    pub action: Action,
    /// When, in cron's five fields.
    pub cron: String,
    /// By whose clock, in Windows' names; UTC where left out.
    pub time_zone: Option<String>,
}

/// What a schedule does.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Starts the instance.
    Start,
    /// Stops it.
    Stop,
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
        if let Some(idle) = &config.idle_shutdown {
            idle.iso8601()?;
        }
        Ok(config)
    }

    /// Where people's file shares are; what it leaves out is the backend's own.
    pub fn storage(&self) -> Result<Storage, Failure> {
        let Some(mut storage) = self.storage.clone() else {
            let message = "is needed for spec.mounts; give at least {\"account\": …}";
            return Err(Failure::invalid_config("config.storage", message));
        };
        storage.subscription_id = storage.subscription_id.or(self.subscription_id.clone());
        storage.resource_group = storage.resource_group.or(self.resource_group.clone());
        storage.location = storage.location.or(self.location.clone());
        storage.check()?;
        for (name, text) in [
            ("subscription_id", &storage.subscription_id),
            ("resource_group", &storage.resource_group),
        ] {
            check_name(
                &format!("storage.{name}"),
                text.as_deref().unwrap_or_default(),
            )?;
        }
        Ok(storage)
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

    /// Where else servers may be, with what the settings say in place of what is left out.
    pub fn elsewhere(&self) -> Vec<Where> {
        let given = self.workspaces.iter().flatten();
        let whole = given.map(|elsewhere| {
            let part = match elsewhere {
                Elsewhere::Named(name) => Where {
                    workspace: Some(name.clone()),
                    ..Where::default()
                },
                Elsewhere::Some(part) => part.clone(),
            };
            Where {
                subscription_id: part.subscription_id.or(self.subscription_id.clone()),
                resource_group: part.resource_group.or(self.resource_group.clone()),
                workspace: part.workspace,
            }
        });
        whole.collect()
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_minutes_or_iso_8601_between_a_quarter_of_an_hour_and_three_days() {
        let iso = |text: &str| IdleTime::Duration(text.to_owned()).iso8601().ok();
        assert_eq!(
            IdleTime::Minutes(30).iso8601().ok().as_deref(),
            Some("PT30M")
        );
        for good in ["PT15M", "PT1H30M", "P3D", "P1DT2H"] {
            assert_eq!(iso(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "P",
            "PT",
            "60",
            "PT14M",
            "P4D",
            "PT1M1H",
            "PT1.5H",
            "P1W",
            "PTM",
            "PT99999999999999999999H",
        ] {
            assert_eq!(iso(bad), None, "{bad}");
        }
        assert!(IdleTime::Minutes(1).iso8601().is_err());
    }
}
