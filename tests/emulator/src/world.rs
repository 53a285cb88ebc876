//! Everything the emulator holds, behind one lock that is never held across an await.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::calls::Calls;
use crate::cli::{Cli, QuotasArgument, Run};
use crate::clock::Clock;
use crate::ec2::Networks;
use crate::ecs::definitions::Definitions;
use crate::efs::state::Efs;
use crate::faults::Faults;
use crate::identity::Keys;
use crate::lifecycle::Delays;
use crate::logs::Logs;
use crate::quota::{Buckets, Quotas};
use crate::secrets::Secrets;
use crate::tasks::{Tasks, Visibility};

/// What `/_emulator/settings` may change.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub delays: Delays,
    pub visible_after_ms: u64,
    pub latency_ms: u64,
    pub quotas: Quotas,
    pub stop_timeout_ms: u64,
    pub stopped_visible_ms: u64,
    pub credentials_lifetime_ms: Option<u64>,
    /// No page of a log has more events, whatever its limit.
    pub log_page_events: usize,
}

impl Settings {
    fn from_cli(cli: &Cli) -> Self {
        Self {
            delays: cli.delays,
            visible_after_ms: cli.visible_after_ms,
            latency_ms: cli.latency_ms,
            quotas: match cli.quotas {
                QuotasArgument::Documented => Quotas::Documented,
                QuotasArgument::Off => Quotas::Off,
            },
            stop_timeout_ms: cli.stop_timeout_ms,
            stopped_visible_ms: cli.stopped_visible_ms,
            credentials_lifetime_ms: cli.credentials_lifetime_ms,
            log_page_events: 10_000,
        }
    }

    /// These settings with the members of `change` in place of their own.
    pub fn changed(&self, change: &Value) -> Result<Self, serde_json::Error> {
        let mut all = serde_json::to_value(self)?;
        merge(&mut all, change);
        serde_json::from_value(all)
    }

    pub fn visibility(&self, now_ms: u64) -> Visibility {
        Visibility {
            visible_after_ms: self.visible_after_ms,
            stopped_visible_ms: self.stopped_visible_ms,
            now_ms,
        }
    }
}

/// The members of `change` in place of those of `into`.
pub fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, value) in change {
                merge(into.entry(name.as_str()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

#[derive(Debug)]
pub struct World {
    pub settings: Settings,
    pub definitions: Definitions,
    pub tasks: Tasks,
    pub keys: Keys,
    pub faults: Faults,
    pub calls: Calls,
    pub buckets: Buckets,
    pub efs: Efs,
    pub logs: Logs,
    pub secrets: Secrets,
    pub networks: Networks,
}

/// What never changes, and the world that does.
#[derive(Debug)]
pub struct Emulator {
    pub region: String,
    pub account: String,
    pub clusters: Vec<String>,
    pub run: Run,
    pub unique_addresses: bool,
    pub ipv6: bool,
    pub data: PathBuf,
    pub credentials_role: String,
    pub credentials_token: Option<String>,
    pub clock: Clock,
    world: Mutex<World>,
}

impl Emulator {
    /// # Errors
    /// If the request log cannot be opened.
    pub fn new(cli: Cli) -> std::io::Result<Self> {
        let clock = Clock::start();
        let settings = Settings::from_cli(&cli);
        let mut definitions = Definitions::new(&cli.region, &cli.account);
        for (family, container) in &cli.definitions {
            definitions.add_plain(family, container, clock.now_ms());
        }
        let roles: HashMap<_, _> = cli
            .roles
            .into_iter()
            .map(|role| (role.name, role.policy))
            .collect();
        let mut keys = Keys::new(&cli.account, roles);
        for key in cli.keys {
            keys.add_user(&key.access_key_id, &key.secret, key.policy);
        }
        let own_directory =
            || std::env::temp_dir().join(format!("cloudspawner-emulator-{}", std::process::id()));
        let data_is_own = cli.data.is_none();
        let data = cli.data.unwrap_or_else(own_directory);
        // Made when the first task needs it: a simulated world leaves nothing behind.
        let data = std::path::absolute(data)?;
        let calls = Calls::open(cli.request_log.as_deref())?;
        let efs = Efs::new(cli.efs, &data, data_is_own, clock.now_ms())?;
        let (tasks, faults, buckets) = (Tasks::default(), Faults::default(), Buckets::default());
        Ok(Self {
            region: cli.region,
            account: cli.account,
            clusters: cli.clusters,
            run: cli.run,
            unique_addresses: cli.unique_addresses,
            ipv6: cli.ipv6,
            data,
            credentials_role: cli.credentials_role,
            credentials_token: cli.credentials_token,
            clock,
            world: Mutex::new(World {
                settings,
                definitions,
                tasks,
                keys,
                faults,
                calls,
                buckets,
                efs,
                logs: Logs::default(),
                secrets: Secrets::default(),
                networks: Networks::default(),
            }),
        })
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        // A panic elsewhere must not turn every later call into another one.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `arn:aws:ecs:<region>:<account>:<rest>`
    pub fn arn(&self, rest: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{rest}", self.region, self.account)
    }

    pub fn cluster_arn(&self, cluster: &str) -> String {
        self.arn(&format!("cluster/{cluster}"))
    }
}
