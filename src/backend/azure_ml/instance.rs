//! A compute instance as Azure describes it, as far as it is read; read leniently.

use crate::backend::{Details, tags};
use serde::Deserialize;
use std::collections::BTreeMap;

/// An instance, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct Instance {
    pub name: String,
    pub location: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    pub properties: Outer,
}

/// What every kind of compute has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct Outer {
    pub compute_type: Option<String>,
    pub provisioning_state: Option<String>,
    pub provisioning_errors: Option<Vec<Problem>>,
    pub created_on: Option<String>,
    pub properties: Option<Inner>,
}

/// What a compute instance has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct Inner {
    pub state: Option<String>,
    pub vm_size: Option<String>,
    pub applications: Option<Vec<Application>>,
    pub last_operation: Option<LastOperation>,
    pub errors: Option<Vec<Problem>>,
    pub ssh_settings: Option<SshSettings>,
    #[serde(rename = "connectivityEndpoints")]
    pub addresses: Option<Addresses>,
    pub data_mounts: Option<Vec<DataMount>>,
}

/// Its SSH port.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct SshSettings {
    #[serde(rename = "sshPublicAccess")]
    pub access: Option<String>,
    pub admin_user_name: Option<String>,
    #[serde(rename = "sshPort")]
    pub port: Option<i64>,
}

/// Where it is in the network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct Addresses {
    #[serde(rename = "publicIpAddress")]
    pub public: Option<String>,
    #[serde(rename = "privateIpAddress")]
    pub private: Option<String>,
}

/// What Azure ML mounts on it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct DataMount {
    pub mount_name: Option<String>,
    pub mount_state: Option<String>,
    pub error: Option<String>,
}

/// A page of the instance.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct Application {
    pub display_name: Option<String>,
    pub endpoint_uri: Option<String>,
}

/// Who last did something to it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct LastOperation {
    #[serde(rename = "operationName")]
    pub name: Option<String>,
    #[serde(rename = "operationStatus")]
    pub status: Option<String>,
    #[serde(rename = "operationTrigger")]
    pub trigger: Option<String>,
    #[serde(rename = "operationTime")]
    pub time: Option<String>,
}

/// One of Azure's errors; it stands in an envelope or by itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct Problem {
    pub error: Option<Box<Problem>>,
    pub code: Option<String>,
    pub message: Option<String>,
}

impl Instance {
    /// Its state, where this answer tells it.
    pub fn state(&self) -> Option<&str> {
        self.properties.properties.as_ref()?.state.as_deref()
    }

    /// The value of a tag.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.as_ref()?.get(name).map(String::as_str)
    }

    /// What a list shows of it; it bears no person's name but those that the admin's tags hold.
    pub fn details(&self) -> Details {
        let tags = self.tags.iter().flatten();
        Details {
            user: None,
            size: self
                .properties
                .properties
                .as_ref()
                .and_then(|p| p.vm_size.clone()),
            tags: tags::others(tags.map(|(name, value)| (name.as_str(), value.as_str()))),
        }
    }

    /// JupyterLab's address. Its entry is called "Jupyter Lab" or "Jupyter", by the age of the instance.
    pub fn lab_url(&self) -> Option<String> {
        let applications = self.properties.properties.as_ref()?.applications.as_ref()?;
        let named = |word: &str| {
            applications.iter().find(|a| {
                let name = a
                    .display_name
                    .as_deref()
                    .unwrap_or_default()
                    .to_ascii_lowercase();
                name.contains("jupyter") && name.contains(word)
            })
        };
        let url = named("lab").or_else(|| named(""))?.endpoint_uri.clone()?;
        let uri = url.parse::<http::Uri>().ok()?;
        let loopback = uri
            .host()?
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
        (uri.scheme_str() == Some("https") || loopback).then_some(url)
    }

    /// What Azure says went wrong, with the code of the first.
    pub fn problems(&self) -> (Option<String>, Vec<String>) {
        let inner = self
            .properties
            .properties
            .as_ref()
            .and_then(|p| p.errors.as_ref());
        let all = self
            .properties
            .provisioning_errors
            .iter()
            .chain(inner)
            .flatten();
        let flat: Vec<&Problem> = all.map(|p| p.error.as_deref().unwrap_or(p)).collect();
        let code = flat.iter().find_map(|p| p.code.clone());
        let mut words: Vec<String> = flat
            .iter()
            .map(|p| {
                [p.code.as_deref(), p.message.as_deref()]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(": ")
            })
            .collect();
        // The same error stands in both places.
        let mut told = std::collections::HashSet::new();
        words.retain(|word| told.insert(word.clone()));
        (code, words)
    }
}
