//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::azure::options::AzureOptions;
use crate::efs::options::EfsOptions;
use crate::lifecycle::Delays;
use crate::policy::Policy;

/// A local ECS, EFS, STS and credentials endpoint, and with --azure a local Azure, for tests, demos and benches.
#[derive(Clone, Debug, Parser)]
#[command(version, name = "cloudspawner-emulator")]
pub struct Cli {
    /// Where to listen; loopback addresses alone are taken.
    #[arg(long, default_value = "127.0.0.1:0", value_parser = loopback)]
    pub listen: SocketAddr,
    #[arg(long, default_value = "eu-west-1")]
    pub region: String,
    #[arg(long, default_value = "123456789012")]
    pub account: String,
    /// A cluster's name; repeatable.
    #[arg(long = "cluster", default_value = "notebooks")]
    pub clusters: Vec<String>,
    /// FAMILY:CONTAINER, registered as revision 1; repeatable.
    #[arg(long = "task-definition", default_value = "notebook:notebook", value_parser = definition)]
    pub definitions: Vec<(String, String)>,
    /// AKID:SECRET[:POLICY.json], an IAM user's key; repeatable.
    #[arg(long = "key", default_value = "AKIAEMULATOR:emulator-secret", value_parser = key)]
    pub keys: Vec<KeySpec>,
    /// NAME:POLICY.json, what a role may do (others may do everything); repeatable.
    #[arg(long = "role", value_parser = role)]
    pub roles: Vec<RoleSpec>,
    /// The role of the credentials and metadata endpoints.
    #[arg(long, default_value = "emulator-role")]
    pub credentials_role: String,
    /// What /credentials wants to see as Authorization header.
    #[arg(long)]
    pub credentials_token: Option<String>,
    /// How long temporary keys live, in milliseconds, whatever was asked for.
    #[arg(long)]
    pub credentials_lifetime_ms: Option<u64>,
    #[arg(long, value_enum, default_value = "process")]
    pub run: Run,
    /// Give each simulated task an address of its own (10.x.y.z, where nothing answers) instead of 127.0.0.1.
    #[arg(long)]
    pub unique_addresses: bool,
    /// Give each task an IPv6 address as well.
    #[arg(long)]
    pub ipv6: bool,
    /// Where tasks have their home and log; a new directory under the system's temporary one if absent.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Milliseconds in each state: provisioning=300,pending=500,activating=0,deactivating=0,stopping=200,deprovisioning=200
    #[arg(long, default_value = "", value_parser = delays, hide_default_value = true)]
    pub delays: Delays,
    /// From SIGTERM to SIGKILL, in milliseconds.
    #[arg(long, default_value_t = 5000)]
    pub stop_timeout_ms: u64,
    /// Until then DescribeTasks and ListTasks do not know a new task.
    #[arg(long, default_value_t = 0)]
    pub visible_after_ms: u64,
    /// How long a stopped task is still described; ECS says at least one hour.
    #[arg(long, default_value_t = 3_600_000)]
    pub stopped_visible_ms: u64,
    #[arg(long, value_enum, default_value = "off")]
    pub quotas: QuotasArgument,
    /// Added to each call.
    #[arg(long, default_value_t = 0)]
    pub latency_ms: u64,
    /// One JSON line a request goes here.
    #[arg(long)]
    pub request_log: Option<PathBuf>,
    /// End, with all tasks, when standard input closes.
    #[arg(long)]
    pub until_stdin_closes: bool,
    #[command(flatten)]
    pub efs: EfsOptions,
    #[command(flatten)]
    pub azure: AzureOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Run {
    /// Each task is a process of this machine.
    Process,
    /// Tasks exist in name alone.
    Simulate,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum QuotasArgument {
    Documented,
    Off,
}

#[derive(Clone, Debug)]
pub struct KeySpec {
    pub access_key_id: String,
    pub secret: String,
    pub policy: Option<Policy>,
}

#[derive(Clone, Debug)]
pub struct RoleSpec {
    pub name: String,
    pub policy: Policy,
}

pub fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("{text} is not ADDRESS:PORT"))?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{address} is not a loopback address; the emulator runs what it is told to and listens nowhere else"
        ));
    }
    Ok(address)
}

fn definition(text: &str) -> Result<(String, String), String> {
    let (family, container) = text.split_once(':').ok_or("expected FAMILY:CONTAINER")?;
    Ok((family.to_owned(), container.to_owned()))
}

pub fn policy(path: &str) -> Result<Policy, String> {
    let document = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    Policy::parse(&document).map_err(|error| format!("{path}: {error}"))
}

fn key(text: &str) -> Result<KeySpec, String> {
    let mut parts = text.splitn(3, ':');
    let (Some(access_key_id), Some(secret)) = (parts.next(), parts.next()) else {
        return Err("expected AKID:SECRET or AKID:SECRET:POLICY.json".to_owned());
    };
    let policy = parts.next().map(policy).transpose()?;
    Ok(KeySpec {
        access_key_id: access_key_id.to_owned(),
        secret: secret.to_owned(),
        policy,
    })
}

fn role(text: &str) -> Result<RoleSpec, String> {
    let (name, path) = text.split_once(':').ok_or("expected NAME:POLICY.json")?;
    Ok(RoleSpec {
        name: name.to_owned(),
        policy: policy(path)?,
    })
}

fn delays(text: &str) -> Result<Delays, String> {
    let mut delays = Delays::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| format!("expected STATE=MILLISECONDS, got {part}"))?;
        let value: u64 = value
            .parse()
            .map_err(|_| format!("{part}: not a number of milliseconds"))?;
        let field = match name {
            "provisioning" => &mut delays.provisioning,
            "pending" => &mut delays.pending,
            "activating" => &mut delays.activating,
            "deactivating" => &mut delays.deactivating,
            "stopping" => &mut delays.stopping,
            "deprovisioning" => &mut delays.deprovisioning,
            _ => return Err(format!("{name} is not a state with a delay")),
        };
        *field = value;
    }
    Ok(delays)
}

#[cfg(test)]
mod tests {
    use super::{delays, key, loopback};

    #[test]
    fn an_address_that_others_could_reach_is_refused() {
        assert!(loopback("127.0.0.1:0").is_ok());
        assert!(loopback("[::1]:80").is_ok());
        assert!(loopback("0.0.0.0:80").is_err());
        assert!(loopback("192.168.1.1:80").is_err());
    }

    #[test]
    fn delays_not_named_keep_their_defaults() {
        let delays = delays("pending=7,stopping=0").unwrap();
        assert_eq!(
            (delays.provisioning, delays.pending, delays.stopping),
            (300, 7, 0)
        );
        assert!(super::delays("sleeping=1").is_err());
    }

    #[test]
    fn a_key_needs_a_secret() {
        assert!(key("AKIA").is_err());
        assert_eq!(key("AKIA:a/b+c").unwrap().secret, "a/b+c");
    }
}
