//! Azure on one loopback address: Entra ID, Resource Manager, the compute instances of Azure Machine Learning, storage and
//! secrets.

mod admin;
mod arm;
mod authorize;
mod call;
mod client;
mod computes;
mod create;
mod entra;
mod error;
mod faults;
mod grants;
mod instance;
mod managed_identity;
mod operations;
pub mod options;
mod path;
mod process;
mod reply;
mod request;
mod role;
mod settings;
mod sizes;
mod state;
mod storage;
mod throttle;
mod tokens;
mod view;
mod workspaces;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};

use self::entra::Directory;
use self::faults::Faults;
use self::instance::Instances;
use self::operations::Operations;
use self::options::App;
use self::settings::Settings;
use self::sizes::Size;
use self::storage::Storage;
use self::throttle::Throttle;
use self::tokens::Signer;
use self::workspaces::Workspaces;
use crate::calls::Calls;
use crate::cli::{Cli, Run};
use crate::clock::Clock;

/// What changes, behind one lock that is never held across an await.
#[derive(Debug)]
pub struct AzureWorld {
    pub settings: Settings,
    pub directory: Directory,
    pub workspaces: Workspaces,
    pub instances: Instances,
    pub operations: Operations,
    pub faults: Faults,
    pub calls: Calls,
    pub throttle: Throttle,
    pub storage: Storage,
}

/// What never changes, and the world that does.
#[derive(Debug)]
pub struct Azure {
    /// `http://127.0.0.1:PORT`
    pub base: String,
    pub tenant: String,
    pub subscription: String,
    pub group: String,
    pub location: String,
    pub apps: Vec<App>,
    pub sizes: Vec<Size>,
    pub run: Run,
    pub data: PathBuf,
    pub command: String,
    pub port: u16,
    pub signer: Signer,
    pub clock: Clock,
    first_workspaces: Vec<String>,
    first_accounts: Vec<String>,
    vaults: Vec<String>,
    world: Mutex<AzureWorld>,
}

impl Azure {
    /// # Errors
    /// If the request log cannot be opened.
    pub fn new(cli: &Cli, base: String, data: PathBuf, clock: Clock) -> std::io::Result<Self> {
        let options = cli.azure.clone();
        let workspaces = Workspaces::new(
            &options.azure_workspaces,
            &options.azure_location,
            clock.now_ms(),
        );
        let world = AzureWorld {
            settings: Settings::new(&options, cli.run, cli.stop_timeout_ms),
            directory: Directory::default(),
            workspaces,
            instances: Instances::default(),
            operations: Operations::default(),
            faults: Faults::default(),
            calls: Calls::open(cli.request_log.as_deref())?,
            throttle: Throttle::default(),
            storage: Storage::new(
                &options.azure_storage_accounts,
                &options.azure_key_vaults,
                &options.azure_location,
                clock.now_ms(),
            ),
        };
        Ok(Self {
            base,
            tenant: options.azure_tenant,
            subscription: options.azure_subscription,
            group: options.azure_resource_group,
            location: options.azure_location,
            apps: options.azure_apps,
            sizes: sizes::table(&options.azure_vm_sizes),
            run: cli.run,
            data,
            command: options.azure_command,
            port: options.azure_port,
            signer: Signer::new()?,
            clock,
            first_workspaces: options.azure_workspaces,
            first_accounts: options.azure_storage_accounts,
            vaults: options.azure_key_vaults,
            world: Mutex::new(world),
        })
    }

    pub fn world(&self) -> MutexGuard<'_, AzureWorld> {
        // A panic elsewhere must not turn every later call into another one.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ready line's `azure`.
    pub fn ready(&self) -> Value {
        let first = self.first_workspaces.first().map_or("", String::as_str);
        json!({
            "management": self.base,
            "authority": self.base,
            "tenant": self.tenant,
            "subscription": self.subscription,
            "resource_group": self.group,
            "workspace": workspaces::name_and_location(first, &self.location).0,
            "location": self.location,
            "storage_account": self.first_accounts.first(),
            "key_vault": self.vaults.first(),
        })
    }

    /// Ends and forgets everything but the settings.
    pub async fn reset(&self, patience: Duration) {
        let now_ms = self.clock.now_ms();
        let instances = {
            let mut world = self.world();
            world.faults.clear();
            world.calls.reset();
            world.throttle = Throttle::default();
            world.operations.clear();
            world.directory = Directory::default();
            world.workspaces = Workspaces::new(&self.first_workspaces, &self.location, now_ms);
            world.storage =
                Storage::new(&self.first_accounts, &self.vaults, &self.location, now_ms);
            world.instances.clear()
        };
        process::end_all(instances, patience).await;
    }
}

/// What the second listener answers.
pub fn routes(azure: Arc<Azure>) -> Router {
    Router::new()
        .merge(admin::routes())
        .merge(storage::routes())
        .fallback(call::call)
        .with_state(azure)
}
