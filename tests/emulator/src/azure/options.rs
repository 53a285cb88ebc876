//! The Azure part of the command line.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::role::{self, Role};
use super::settings::Delays;
use crate::cli::{QuotasArgument, loopback};

#[derive(Clone, Debug, Args)]
pub struct AzureOptions {
    /// Also be Entra ID, Resource Manager and Azure Machine Learning, on a second address.
    #[arg(long)]
    pub azure: bool,
    /// Where; loopback addresses alone are taken.
    #[arg(long, default_value = "127.0.0.1:0", value_parser = loopback)]
    pub azure_listen: SocketAddr,
    #[arg(long, default_value = "22222222-2222-2222-2222-222222222222")]
    pub azure_tenant: String,
    #[arg(long, default_value = "33333333-3333-3333-3333-333333333333")]
    pub azure_subscription: String,
    #[arg(long, default_value = "notebooks")]
    pub azure_resource_group: String,
    /// NAME[@LOCATION]; repeatable, the first is the one of the ready line.
    #[arg(long = "azure-workspace", default_value = "notebooks")]
    pub azure_workspaces: Vec<String>,
    /// The region, unless a workspace names its own.
    #[arg(long, default_value = "eastus")]
    pub azure_location: String,
    /// A storage account that is there from the start; repeatable.
    #[arg(long = "azure-storage-account", default_value = "notebooksstorage")]
    pub azure_storage_accounts: Vec<String>,
    /// A key vault; repeatable.
    #[arg(long = "azure-key-vault", default_value = "notebooks-kv")]
    pub azure_key_vaults: Vec<String>,
    /// CLIENT_ID:SECRET, an app registration; repeatable.
    #[arg(long = "azure-app", default_value = "11111111-1111-1111-1111-111111111111:azure-secret", value_parser = app)]
    pub azure_apps: Vec<App>,
    /// PRINCIPAL:ACTION[@SCOPE], with * in all three; a principal is a user name, an object id or a client id. Repeatable.
    #[arg(long = "azure-deny", value_parser = deny)]
    pub azure_denials: Vec<String>,
    /// A custom role as JSON, of what applications may do; repeatable. All, without any.
    #[arg(long = "azure-role", value_name = "FILE", value_parser = role::read)]
    pub azure_roles: Vec<Role>,
    /// A user who has not consented to the app (AADSTS65001); repeatable.
    #[arg(long = "consent-needed")]
    pub consent_needed: Vec<String>,
    /// A user who must sign in again, for a second factor (AADSTS50076); repeatable.
    #[arg(long = "interaction-needed")]
    pub interaction_needed: Vec<String>,
    /// Milliseconds in each state, creating=1000,setting_up=0,…; "real" first in the list for minutes, as in the cloud.
    #[arg(long, default_value = "", value_parser = delays, hide_default_value = true)]
    pub azure_delays: Delays,
    #[arg(long, value_enum, default_value = "off")]
    pub azure_quotas: QuotasArgument,
    /// Items a page of any list.
    #[arg(long, default_value_t = 25)]
    pub azure_page_size: usize,
    /// Lists of instances tell no state.
    #[arg(long)]
    pub azure_list_without_state: bool,
    /// Which headers tell of a long operation.
    #[arg(long, value_enum, default_value = "official")]
    pub azure_operations: OperationStyle,
    /// What the applications' addresses look like: `local` by default with processes, else `official`.
    #[arg(long, value_enum)]
    pub azure_endpoint_style: Option<EndpointStyle>,
    /// How an instance's JupyterLab is named among its applications.
    #[arg(long, default_value = "Jupyter Lab")]
    pub azure_lab_name: String,
    /// A VM size that the region has; repeatable, a small table of real ones by default.
    #[arg(long = "azure-vm-size")]
    pub azure_vm_sizes: Vec<String>,
    /// Instances a region may have.
    // Default limit of computes a region: "Manage and increase quotas for resources with Azure Machine Learning".
    #[arg(long, default_value_t = 500)]
    pub azure_instance_limit: usize,
    /// Cores that each family of VM sizes may have.
    #[arg(long, default_value_t = 4000)]
    pub azure_family_cores: u32,
    /// What an instance runs; {address}, {port}, {home} and {name} are replaced, and words are split at spaces.
    #[arg(long, default_value = DEFAULT_COMMAND)]
    pub azure_command: String,
    /// The port of that program, on the instance's own address.
    #[arg(long, default_value_t = 8888)]
    pub azure_port: u16,
}

const DEFAULT_COMMAND: &str = "jupyter lab --allow-root --no-browser --ip={address} --port={port} \
     --ServerApp.port_retries=0 --IdentityProvider.token= --ServerApp.root_dir={home}";

#[derive(Clone, Debug)]
pub struct App {
    pub client_id: String,
    pub secret: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum OperationStyle {
    /// As in the newest examples: a PUT gives Azure-AsyncOperation, a POST Location, a DELETE both.
    Official,
    /// Always both.
    Both,
    /// Azure-AsyncOperation alone.
    AsyncOperation,
    /// Location alone.
    Location,
    /// Neither: who asked must look at the instance.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum EndpointStyle {
    /// `http://127.x.y.z:PORT/lab`
    Local,
    /// `https://NAME.REGION.instances.azureml.ms/lab`
    Official,
    /// A running instance shows no applications, as one does whose addresses come late.
    None,
}

fn app(text: &str) -> Result<App, String> {
    let (client_id, secret) = text.split_once(':').ok_or("expected CLIENT_ID:SECRET")?;
    Ok(App {
        client_id: client_id.to_owned(),
        secret: secret.to_owned(),
    })
}

fn deny(text: &str) -> Result<String, String> {
    text.split_once(':')
        .map(|_| text.to_owned())
        .ok_or_else(|| "expected PRINCIPAL:ACTION".to_owned())
}

fn delays(text: &str) -> Result<Delays, String> {
    let mut delays = Delays::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        if part == "real" {
            delays = Delays::REAL;
            continue;
        }
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| format!("expected STATE=MILLISECONDS, got {part}"))?;
        let value: u64 = value
            .parse()
            .map_err(|_| format!("{part}: not a number of milliseconds"))?;
        *delays
            .field(name)
            .ok_or_else(|| format!("{name} is not a state with a delay"))? = value;
    }
    Ok(delays)
}

#[cfg(test)]
mod tests {
    use super::{Delays, delays};

    #[test]
    fn delays_start_from_the_fast_ones_or_from_the_real_ones() {
        assert_eq!(delays("").unwrap(), Delays::default());
        let mixed = delays("real,starting=5").unwrap();
        assert_eq!((mixed.starting, mixed.creating), (5, Delays::REAL.creating));
        assert!(delays("sleeping=1").is_err());
    }
}
