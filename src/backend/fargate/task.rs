//! A task as ECS describes it, as far as it is read; leniently, so that a field that AWS adds or leaves out breaks nothing.

use super::config::Address;
use crate::backend::{Details, tags};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::net::{IpAddr, Ipv4Addr};

/// A task, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(
    missing_docs,
    clippy::struct_field_names,
    reason = "the fields are ECS's own"
)]
pub struct Task {
    pub task_arn: String,
    pub task_definition_arn: Option<String>,
    pub last_status: Option<String>,
    pub desired_status: Option<String>,
    pub started_by: Option<String>,
    /// Seconds since 1970, with a fraction.
    pub created_at: Option<f64>,
    /// The same: when its network interface was connected.
    pub connectivity_at: Option<f64>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    pub containers: Vec<Container>,
    pub attachments: Vec<Attachment>,
    /// The largest part of a task, and rarely read: see [`Task::overrides`].
    overrides: Option<Box<RawValue>>,
    pub tags: Vec<Tag>,
    pub cpu: Option<String>,
    pub memory: Option<String>,
    /// What EC2 tells of its network interface, once it was asked.
    #[serde(skip)]
    pub public_address: Option<Ipv4Addr>,
}

/// A container of a task.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct Container {
    pub name: Option<String>,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub network_interfaces: Vec<NetworkInterface>,
}

/// A container's network interface.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct NetworkInterface {
    pub private_ipv4_address: Option<String>,
    pub ipv6_address: Option<String>,
}

/// An attachment of a task; its network interface is one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct Attachment {
    pub r#type: Option<String>,
    pub details: Vec<Detail>,
}

/// A name and a value.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct Detail {
    pub name: Option<String>,
    pub value: Option<String>,
}

/// A tag.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct Tag {
    pub key: Option<String>,
    pub value: Option<String>,
}

/// What RunTask was given to override.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct Overrides {
    pub container_overrides: Vec<ContainerOverride>,
}

/// One container's override, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct ContainerOverride {
    pub environment: Vec<Detail>,
}

/// Milliseconds since 1970, of ECS's seconds with a fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float's cast saturates, and the value is a date"
)]
pub fn epoch_ms(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

impl Task {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags
            .iter()
            .find(|tag| tag.key.as_deref() == Some(key))?
            .value
            .as_deref()
    }

    /// What RunTask was given to override; nothing where it cannot be read.
    pub fn overrides(&self) -> Overrides {
        let text = self.overrides.as_deref().map(RawValue::get);
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// A variable of the first container override that has it.
    pub fn environment(&self, name: &str) -> Option<String> {
        let containers = self.overrides().container_overrides.into_iter();
        containers
            .flat_map(|container| container.environment)
            .find(|variable| variable.name.as_deref() == Some(name))?
            .value
    }

    /// What a list shows of it. Task, "cpu" and "memory": CPU units, of which 1024 are a vCPU, and MiB.
    pub fn details(&self) -> Details {
        let tags = self.tags.iter();
        let tags = tags.filter_map(|tag| Some((tag.key.as_deref()?, tag.value.as_deref()?)));
        let units = self
            .cpu
            .as_deref()
            .and_then(|units| units.parse::<f64>().ok());
        let size = units.zip(self.memory.as_deref());
        Details {
            user: self.environment("JUPYTERHUB_USER"),
            size: size.map(|(units, memory)| format!("{} vCPU, {memory} MiB", units / 1024.0)),
            tags: tags::others(tags),
        }
    }

    /// When it was created, in milliseconds since 1970.
    pub fn created_at_ms(&self) -> Option<u64> {
        self.created_at.map(epoch_ms)
    }

    /// When its network interface was connected, in milliseconds since 1970; where that is not told, when it was created.
    pub fn connected_at_ms(&self) -> Option<u64> {
        self.connectivity_at.or(self.created_at).map(epoch_ms)
    }

    /// The id of its network interface, once it has one.
    pub fn interface(&self) -> Option<&str> {
        self.detail("networkInterfaceId").next()
    }

    fn detail<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a str> {
        self.attachments
            .iter()
            .flat_map(|attachment| &attachment.details)
            .filter(move |detail| detail.name.as_deref() == Some(wanted))
            .filter_map(|detail| detail.value.as_deref())
    }

    /// The address of that kind, once the network interface has it; what is no address does not count.
    pub fn address(&self, kind: Address) -> Option<IpAddr> {
        let wanted = match kind {
            Address::PrivateIpv4 => "privateIPv4Address",
            Address::Ipv6 => "privateIPv6Address",
            Address::PublicIpv4 => return self.public_address.map(IpAddr::V4),
        };
        let of_containers = self
            .containers
            .iter()
            .flat_map(|container| &container.network_interfaces)
            .filter_map(|interface| match kind {
                Address::PrivateIpv4 => interface.private_ipv4_address.as_deref(),
                _ => interface.ipv6_address.as_deref(),
            });
        self.detail(wanted)
            .chain(of_containers)
            .filter_map(|text| text.parse::<IpAddr>().ok())
            .find(|address| address.is_ipv6() == (kind == Address::Ipv6))
    }
}
