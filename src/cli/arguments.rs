//! What may stand on the command line.
//!
//! Every flag by which a person writes a request needs `--config`: without it the request is read from stdin.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const BY_HAND: &str = "By hand, instead of a request on stdin";

/// Starts, polls and stops JupyterHub's single-user servers in the cloud.
///
/// A command is given with --backend and --config and further flags, or reads one JSON request from stdin. On a terminal it
/// shows what a person can read; elsewhere, and with --json, it writes JSON lines, the last of which is the result or the
/// error. Logs go to stderr; CLOUDSPAWNER_LOG sets how much (error, warn, info, debug).
#[derive(Debug, Parser)]
#[command(name = "cloudspawner", version)]
pub struct Cli {
    /// Write every exchange with the cloud into this folder, without secrets [env: CLOUDSPAWNER_RECORD]
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "replay")]
    pub record: Option<PathBuf>,
    /// Answer from the recordings in this folder instead of the cloud [env: CLOUDSPAWNER_REPLAY]
    #[arg(long, global = true, value_name = "DIR")]
    pub replay: Option<PathBuf>,
    /// Write JSON lines on a terminal, too
    #[arg(long, global = true)]
    pub json: bool,
    /// What is to be done
    #[command(subcommand)]
    pub command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a server and wait until it runs
    Start(Start),
    /// Tell how servers are
    Poll(Poll),
    /// Stop a server
    Stop(Stop),
    /// Tell everything that a hub has in the cloud
    List(List),
    /// Tell what a server wrote last
    Logs(Logs),
    /// Tell (and, when asked to, remove) what no server of the hub needs
    Gc(Gc),
    /// Tell whether the settings can work
    Check(Check),
    /// Find, make, rename or remove a person's own storage
    Share(Share),
    /// Tell what a person may choose from: projects and sizes
    Options(Place),
    /// Read a secret from a vault
    Secret {
        /// What to do with it
        #[command(subcommand)]
        action: SecretAction,
    },
    /// Answer many requests at once until stdin ends; this is what the Python shim uses
    Serve,
    /// Print the JSON Schema of every frame
    Schema,
    /// Print what completes commands and flags in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

impl Command {
    /// Its name, which is that of the verb in the request.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Poll(_) => "poll",
            Self::Stop(_) => "stop",
            Self::List(_) => "list",
            Self::Logs(_) => "logs",
            Self::Gc(_) => "gc",
            Self::Check(_) => "check",
            Self::Share(_) => "share",
            Self::Options(_) => "options",
            Self::Secret { .. } => "secret",
            Self::Serve => "serve",
            Self::Schema => "schema",
            Self::Completions { .. } => "completions",
            Self::Man => "man",
        }
    }

    /// The dry run that was asked for.
    pub fn dry_run(&self) -> Option<&DryRun> {
        match self {
            Self::Start(Start { dry_run, .. })
            | Self::Stop(Stop { dry_run, .. })
            | Self::Share(Share { dry_run, .. }) => Some(dry_run).filter(|asked| asked.dry_run),
            _ => None,
        }
    }
}

/// Which cloud, with which settings.
#[derive(Debug, Args)]
#[command(next_help_heading = BY_HAND)]
pub struct Place {
    /// The cloud: fargate or azure_ml
    #[arg(long, value_name = "NAME", requires = "config")]
    pub backend: Option<String>,
    /// A file with the backend's settings: the JSON object that is a request's "config"
    #[arg(long, value_name = "FILE", requires = "backend")]
    pub config: Option<PathBuf>,
    /// A file with explicit credentials, a request's "credentials"; by default the cloud's own chain
    #[arg(long, value_name = "FILE", requires = "config")]
    pub credentials: Option<PathBuf>,
    /// How long it may take
    #[arg(long, value_name = "SECONDS", requires = "config")]
    pub timeout: Option<u64>,
}

/// Whose server.
#[derive(Debug, Args)]
#[command(next_help_heading = BY_HAND)]
pub struct Whose {
    /// The user's name, as the hub knows it
    #[arg(long, value_name = "NAME", requires = "config")]
    pub user: Option<String>,
    /// The named server's name; by default the unnamed one
    #[arg(long, value_name = "NAME", requires = "config")]
    pub server: Option<String>,
    /// The hub's id (its trait hub_id) [default: by-hand]
    #[arg(long, value_name = "ID", requires = "config")]
    pub hub: Option<String>,
    /// A file with the server's state; by default the server is found by its key
    #[arg(long, value_name = "FILE", requires = "config")]
    pub state: Option<PathBuf>,
}

/// To see what would be done.
#[derive(Debug, Args)]
#[command(next_help_heading = BY_HAND)]
pub struct DryRun {
    /// Print the calls, up to the first one that may change something, which is not made
    #[arg(long, requires = "config")]
    pub dry_run: bool,
    /// Make no call at all: each look counts as not allowed
    #[arg(long, requires = "dry_run")]
    pub offline: bool,
}

#[derive(Debug, Args)]
pub struct Start {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub whose: Whose,
    /// A file with what to run, a request's "spec"; by default the image's own command, port 8888
    #[arg(long, value_name = "FILE", requires = "config", help_heading = BY_HAND)]
    pub spec: Option<PathBuf>,
    #[command(flatten)]
    pub dry_run: DryRun,
    /// The command to run, in place of the spec's
    #[arg(last = true, requires = "config")]
    pub run: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Poll {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub whose: Whose,
}

#[derive(Debug, Args)]
pub struct Stop {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub whose: Whose,
    /// Wait until the server has ended
    #[arg(long, requires = "config", help_heading = BY_HAND)]
    pub wait: bool,
    /// Why, for the cloud's own records
    #[arg(long, value_name = "TEXT", requires = "config", help_heading = BY_HAND)]
    pub reason: Option<String>,
    #[command(flatten)]
    pub dry_run: DryRun,
}

#[derive(Debug, Args)]
#[command(next_help_heading = BY_HAND)]
pub struct List {
    /// The cloud: fargate or azure_ml; one for each --config, in their order
    #[arg(long, value_name = "NAME", requires = "config")]
    pub backend: Vec<String>,
    /// A file with a backend's settings; may be given again for another cloud
    #[arg(long, value_name = "FILE", requires = "backend", requires = "hub")]
    pub config: Vec<PathBuf>,
    /// A file with explicit credentials; "-" for the cloud's own chain; one for each --config, or none
    #[arg(long, value_name = "FILE", requires = "config")]
    pub credentials: Vec<PathBuf>,
    /// The hub's id (its trait hub_id)
    #[arg(long, value_name = "ID", requires = "config")]
    pub hub: Option<String>,
    /// How long it may take
    #[arg(long, value_name = "SECONDS", requires = "config")]
    pub timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub whose: Whose,
    /// How many lines
    #[arg(short = 'n', long, value_name = "NUMBER", requires = "config", help_heading = BY_HAND)]
    pub lines: Option<u32>,
    /// Go on with what comes, until interrupted
    #[arg(short = 'f', long, requires = "config", help_heading = BY_HAND)]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub struct Gc {
    #[command(flatten)]
    pub place: Place,
    /// The hub's id (its trait hub_id)
    #[arg(long, value_name = "ID", requires = "config", help_heading = BY_HAND)]
    pub hub: Option<String>,
    /// A user whose server stays, and the server's name where it has one; may be given again
    #[arg(long, value_name = "USER[/SERVER]", requires = "config", help_heading = BY_HAND)]
    pub keep: Vec<String>,
    /// A server that stays, by the cloud's own name (the column "ref"); may be given again
    #[arg(long, value_name = "REF", requires = "config", help_heading = BY_HAND)]
    pub keep_ref: Vec<String>,
    /// What is younger stays [default: 15]
    #[arg(long, value_name = "MINUTES", requires = "config", help_heading = BY_HAND)]
    pub min_age: Option<u64>,
    /// Remove without asking; without a terminal nothing is removed otherwise
    #[arg(long, requires = "config", help_heading = BY_HAND)]
    pub yes: bool,
    /// Remove although it is more than five, and more than half of all
    #[arg(long, requires = "config", help_heading = BY_HAND)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub place: Place,
    /// Look at the settings alone, without asking the cloud
    #[arg(long, requires = "config", help_heading = BY_HAND)]
    pub offline: bool,
    /// Where servers are to reach the hub (its hub_connect_url), to look at that, too
    #[arg(long, value_name = "URL", requires = "config", help_heading = BY_HAND)]
    pub hub_url: Option<String>,
    /// The port that servers listen on [default: 8888]
    #[arg(long, value_name = "PORT", requires = "config", help_heading = BY_HAND)]
    pub port: Option<u16>,
    /// The hub's JupyterHub (jupyterhub --version), to compare the image's with it
    #[arg(long, value_name = "VERSION", requires = "config", help_heading = BY_HAND)]
    pub hub_version: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = BY_HAND)]
pub struct Share {
    /// What to do
    #[arg(value_enum, requires = "config")]
    pub action: Option<ShareAction>,
    /// The person
    #[arg(long, value_name = "NAME", requires = "config")]
    pub user: Option<String>,
    /// The person's new name, for rename
    #[arg(long, value_name = "NAME", requires = "config")]
    pub to: Option<String>,
    /// The set of homes (the trait storage_id) [default: jupyterhub]
    #[arg(long, value_name = "ID", requires = "config")]
    pub storage_id: Option<String>,
    /// The hub that it is recorded for; by default no hub is compared
    #[arg(long, value_name = "ID", requires = "config")]
    pub hub: Option<String>,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub dry_run: DryRun,
}

/// What is done with a person's storage.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ShareAction {
    /// Make it where it is not there
    Ensure,
    /// Tell of it
    Show,
    /// Give its person another name
    Rename,
    /// Remove it, with all that is in it
    Delete,
}

/// What to do with a secret.
#[derive(Debug, Subcommand)]
pub enum SecretAction {
    /// Write its value to stdout
    Get(GetSecret),
}

#[derive(Debug, Args)]
pub struct GetSecret {
    /// The secret's name or ARN; in Azure Key Vault its URL, `https://VAULT.vault.azure.net/secrets/NAME`
    pub name: String,
    /// The key, where the secret is a JSON object and one value of it is wanted
    #[arg(long)]
    pub key: Option<String>,
    /// Where it is kept [default: secrets-manager, for a URL key-vault]
    #[arg(long)]
    pub store: Option<StoreArgument>,
    /// AWS's region; by default the environment's or the profile's
    #[arg(long)]
    pub region: Option<String>,
    /// A file with explicit credentials; by default the cloud's own chain
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
}

/// Where a secret is kept.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum StoreArgument {
    /// AWS Secrets Manager
    SecretsManager,
    /// The Parameter Store of AWS Systems Manager
    ParameterStore,
    /// Azure Key Vault
    KeyVault,
}
