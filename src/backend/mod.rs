//! What a cloud must be able to do, so that the verbs in `ops` work on it.
//!
//! A backend is one folder here and one line in `registry`. It turns config and spec into its cloud's own calls and its
//! cloud's answers into [`Sighting`]s; deadlines, cancelling, locks, watch groups and frames are the verbs' business.

pub mod azure_ml;
pub mod config;
pub mod fargate;
pub mod names;
pub mod record;
pub mod registry;
pub mod tags;

pub use record::Record;

use crate::context::Context;
use crate::error::Failure;
use crate::mount::Owner;
use crate::net::Door;
use crate::net::limiter::{Limiter, Ticket};
use crate::wire::reply::{Check, LogsResult, OptionsResult, Share};
use crate::wire::{Cleanup, Code, Phase, Secret, ShareParams, StartParams};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What every backend is given when it is made.
#[derive(Clone)]
pub struct Surroundings {
    /// Environment, clock and chance.
    pub context: Context,
    /// The way out.
    pub door: Arc<dyn Door>,
    /// The quotas, shared by all of this process.
    pub limiter: Arc<Limiter>,
    /// Where this process serves a hub, so that it can listen for people: cancelled when the hub has gone, whose next process
    /// needs the addresses.
    pub serves: Option<CancellationToken>,
}

/// The settings that come with every request.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The backend's own settings.
    pub config: &'a Value,
    /// Explicit credentials, or null.
    pub credentials: &'a Secret<Value>,
}

/// Whose leftovers to remove, and what to spare.
pub struct Tidying<'a> {
    /// The hub.
    pub hub: &'a str,
    /// What servers are made from that are up, or were a moment ago.
    pub used: &'a HashSet<String>,
    /// Whether the server of a key is up, on its way up, or kept.
    pub spares: &'a (dyn Fn(&str) -> bool + Sync),
    /// Younger ones stay.
    pub min_age: Duration,
}

/// What `check` is to look at beside the settings.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// Whether no cloud is asked.
    pub offline: bool,
    /// Where servers are to reach the hub, where the caller tells.
    pub hub_url: Option<&'a str>,
    /// The port that servers listen on, where the caller tells.
    pub port: Option<u16>,
    /// The version of the hub's JupyterHub, where the caller tells.
    pub hub_version: Option<&'a str>,
}

/// Which lines of a log are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    /// How many at most.
    pub most: usize,
    /// Only those after this mark of an earlier answer; else the last ones.
    pub after: Option<&'a str>,
}

/// The first checks of each backend, and the config where both can be read.
pub fn first_checks<C, K>(
    config: Result<C, Failure>,
    credentials: &Result<K, Failure>,
) -> (Vec<Check>, Option<C>) {
    const KNOWN: &str = "every field is known and has the right type";
    let mut checks = vec![Check::read("config", &config, KNOWN)];
    let Ok(config) = config else {
        return (checks, None);
    };
    checks.push(Check::read("credentials", credentials, "well formed"));
    (checks, credentials.is_ok().then_some(config))
}

/// One cloud's way to start, watch and stop servers.
pub trait Backend: Send + Sync {
    /// The name in requests and states.
    fn name(&self) -> &'static str;

    /// How long a stop may take where the request does not say.
    fn stop_timeout(&self) -> Duration {
        // Protocol, start: "120000 stop".
        Duration::from_mins(2)
    }

    /// Reads and checks everything that a start needs; nothing is created.
    ///
    /// # Errors
    /// `invalid_config` with the field's name; `state_unreadable`.
    fn launch<'a>(
        &'a self,
        params: &'a StartParams,
    ) -> BoxFuture<'a, Result<Box<dyn Launch>, Failure>>;

    /// The place that `record` names; without one, every place that the config names, which may be none.
    ///
    /// # Errors
    /// `invalid_config` with the field's name.
    fn sites<'a>(
        &'a self,
        settings: Settings<'a>,
        record: Option<&'a Record>,
    ) -> BoxFuture<'a, Result<Vec<Arc<dyn Site>>, Failure>>;

    /// What of a record says where its server runs: records that agree in it have the same sites under the same settings.
    fn place(&self, record: &Record) -> Vec<Option<String>>;

    /// Looks whether the settings can work.
    fn check<'a>(&'a self, settings: Settings<'a>, look: Look<'a>) -> BoxFuture<'a, Vec<Check>>;

    /// Does with a person's own storage what `params.action` says.
    ///
    /// # Errors
    /// `invalid_config` where `config.storage` does not say where it is; `conflict` where it is another hub's.
    fn share<'a>(
        &'a self,
        _settings: Settings<'a>,
        _owner: Owner,
        _params: &'a ShareParams,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Share, Failure>> {
        let message = format!("backend {:?} has no storage", self.name());
        Box::pin(async move { Err(Failure::new(Code::BadRequest, message)) })
    }

    /// Removes what earlier starts made for themselves and no later one will ask for; never a person's storage. May be
    /// repeated. Returns what failed.
    fn tidy<'a>(
        &'a self,
        _settings: Settings<'a>,
        _tidying: Tidying<'a>,
        _deadline: Instant,
    ) -> BoxFuture<'a, Vec<Failure>> {
        Box::pin(async { Vec::new() })
    }

    /// What the server of `record` wrote last, or what the cloud tells of it where it keeps no log. Nothing is changed.
    ///
    /// # Errors
    /// `not_found` where there is nothing to read yet, or no more; whatever kept the cloud from telling.
    fn logs<'a>(
        &'a self,
        _settings: Settings<'a>,
        _record: &'a Record,
        _wanted: Lines<'a>,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<LogsResult, Failure>> {
        let message = format!("backend {:?} has no logs", self.name());
        Box::pin(async move { Err(Failure::new(Code::BadRequest, message)) })
    }

    /// What a person may choose from, where there is such a choice.
    ///
    /// # Errors
    /// `bad_request` where there is none; whatever kept the cloud from telling.
    fn options<'a>(
        &'a self,
        _settings: Settings<'a>,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<OptionsResult, Failure>> {
        let message = format!("backend {:?} offers no choice", self.name());
        Box::pin(async move { Err(Failure::new(Code::BadRequest, message)) })
    }
}

/// A place where servers run: one account, region and cluster (or workspace), with the credentials to ask it.
pub trait Site: Send + Sync {
    /// The same for all requests that mean the same place with the same credentials.
    fn id(&self) -> &str;

    /// How many servers one call tells about; none where one list tells about all.
    fn batch(&self) -> Option<usize>;

    /// How many calls it takes about to look at so many servers.
    fn calls_for(&self, servers: usize) -> usize {
        self.batch().map_or(1, |batch| servers.div_ceil(batch))
    }

    /// Asks how these are; the answers are in their order. One bad record never fails the others. May be repeated.
    fn observe<'a>(
        &'a self,
        records: &'a [Arc<Record>],
        deadline: Instant,
    ) -> BoxFuture<'a, Vec<Sighting>>;

    /// Everything that runs or is on its way up and bears `key`. May be repeated.
    ///
    /// # Errors
    /// Whatever kept the cloud from telling; `permission_denied` where the policy does not allow to look.
    fn find<'a>(
        &'a self,
        key: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Found>, Failure>>;

    /// Everything that runs or is on its way up and bears the mark of `hub`. May be repeated.
    ///
    /// # Errors
    /// As `find`.
    fn list<'a>(
        &'a self,
        hub: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Found>, Failure>>;

    /// Asks the cloud to remove one; what is gone already is a success. May be repeated.
    ///
    /// # Errors
    /// Whatever kept the cloud from accepting it before `deadline`.
    fn remove<'a>(
        &'a self,
        record: &'a Record,
        reason: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Phase, Failure>>;

    /// Removes what a start made beside its server and for it alone, such as the secret with its token; asked for when the server
    /// is gone or on its way down. May be repeated, and where nothing was made.
    ///
    /// # Errors
    /// Whatever kept the cloud from it before `deadline`.
    fn sweep<'a>(
        &'a self,
        _record: &'a Record,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

/// One start on its way: what to create, and what is known of it.
pub trait Launch: Send + Sync {
    /// What to keep for the server; announced before each creation and after.
    fn record(&self) -> &Record;

    /// Where it is started.
    fn site(&self) -> Arc<dyn Site>;

    /// The record of an older attempt that the request's state told of.
    fn older(&self) -> Option<&Record>;

    /// Whether another resource with the same key must make way for this start.
    fn displaces(&self, other: &Record) -> bool {
        other.attempt != self.record().attempt
    }

    /// Whether something may exist in the cloud that this attempt created.
    fn may_exist(&self) -> bool;

    /// Whether something may be there beside the server that `Site::sweep` removes.
    fn leaves_more(&self) -> bool {
        false
    }

    /// What the admin should know, though the start goes on.
    fn warnings(&self) -> &[String];

    /// The server's page in the cloud's own console, for admins; none before the server has a name, or where none is known.
    fn console(&self) -> Option<String> {
        None
    }

    /// Its place among all starts that wait for the account's quota, where it has one.
    fn ticket(&self) -> Option<Arc<Ticket>> {
        None
    }

    /// Makes what the server needs before it can be created and what outlives it, such as its person's storage. May be repeated.
    ///
    /// # Errors
    /// Whatever keeps the server from being created; nothing of it needs cleaning up.
    fn prepare(&mut self, _deadline: Instant) -> BoxFuture<'_, Result<Prepared, Failure>> {
        Box::pin(async { Ok(Prepared::default()) })
    }

    /// Makes one attempt to create the server. It survives being dropped: `settle` tells what became of it.
    fn create(&mut self, deadline: Instant) -> BoxFuture<'_, Created>;

    /// After a definite answer that nothing runs: the next `create` is a new creation.
    fn renew(&mut self);

    /// What is left to do once the server runs and before its person is led to it; none where nothing is. May be repeated.
    fn finish(&mut self, _deadline: Instant) -> Option<Finish<'_>> {
        None
    }

    /// Finds out what an attempt that was dropped or got no answer has created, by repeating it under the same token
    /// where that is what it takes.
    ///
    /// # Errors
    /// Where it could not be found out before `deadline`: something may be left.
    fn settle(&mut self, deadline: Instant) -> BoxFuture<'_, Result<Settled, Failure>>;
}

/// What `Launch::prepare` came to.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Whether the record has news, which are announced before the creation.
    pub news: bool,
    /// What the server will be without, as sentences for the person who waits.
    pub left_out: Vec<String>,
}

/// The last step of a start.
pub struct Finish<'a> {
    /// What the person who waits is told of it.
    pub message: &'static str,
    /// Does it; sentences for the person about what the server is without, or why it is no server.
    pub work: BoxFuture<'a, Result<Vec<String>, Failure>>,
}

/// What one attempt to create a server came to.
#[derive(Debug)]
pub enum Created {
    /// It exists, and the record names it.
    Yes,
    /// The cloud said no: nothing was created.
    No {
        /// Why.
        failure: Failure,
        /// What to do about it.
        then: Then,
    },
    /// Nobody knows: the same attempt may be repeated, and nothing else.
    Unanswered(Failure),
}

/// What follows a definite no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing helps.
    GiveUp,
    /// The same again, after a pause.
    Again,
    /// A new creation (a higher number), after a pause.
    AgainRenewed,
    /// A new creation in another form, at once.
    AtOnceRenewed,
}

/// What `Launch::settle` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Nothing was created.
    Nothing,
    /// The record names what was created.
    Created,
}

/// What the cloud told about one server.
#[derive(Debug, Clone)]
pub enum Sighting {
    /// It is there.
    Seen(Report),
    /// The cloud does not list it: proof of nothing by itself.
    Missing,
    /// The cloud could not be asked, or gave no proof.
    Unclear(Failure),
}

/// A server as the cloud described it.
#[derive(Debug, Clone)]
pub struct Report {
    /// Where it is in its life.
    pub phase: Phase,
    /// The step's name, for progress.
    pub stage: &'static str,
    /// How far up it is, 0 to 100.
    pub percent: u8,
    /// The step as a sentence, for the person who waits.
    pub message: &'static str,
    /// Its exit status, once ended.
    pub exit_code: Option<i32>,
    /// Where it answers, for the hub's proxy.
    pub url: Option<String>,
    /// The server's own address, where `url` only leads there.
    pub target_url: Option<String>,
    /// The cloud's own words for why it ended.
    pub reason: Option<String>,
    /// Why it counts as a failed start, where it ended or is ending.
    pub ending: Option<Failure>,
    /// Whether something of it is left that `stop` must remove, though it has ended.
    pub cleanup: Cleanup,
    /// When to look again while someone waits for it.
    pub look_again: Duration,
    /// When it was last used, RFC 3339.
    pub last_activity: Option<String>,
}

/// A server that was found by its marks.
#[derive(Debug, Clone)]
pub struct Found {
    /// What can be known of it from the cloud alone; `attempt` is empty where it bears none.
    pub record: Record,
    /// When it was created, where the cloud tells.
    pub created_at_ms: Option<u64>,
    /// The description that it was made from, where the cloud keeps such a thing.
    pub made_from: Option<String>,
    /// How it is.
    pub report: Report,
    /// What else the cloud tells of it, for whoever looks at a list.
    pub details: Details,
}

/// What a list shows of a server beside its state.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// Whose it is, where the cloud tells.
    pub user: Option<String>,
    /// How large it is, as the cloud says it.
    pub size: Option<String>,
    /// The admin's own tags.
    pub tags: BTreeMap<String, String>,
}
