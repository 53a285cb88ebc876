//! The smallest backend: its cloud is a list in memory, whose machines run at once.
//!
//! docs/adding-a-backend.md goes through it. What a real one has beside: a call that can be lost (`may_exist`, `settle`),
//! a cloud that refuses (`Created::No`), and a way up that takes time (`Phase::Pending`).

use cloudspawner::backend::{
    Backend, Created, Details, Found, Launch, Look, Record, Report, Settings, Settled, Sighting,
    Site, names,
};
use cloudspawner::context::Context;
use cloudspawner::error::Failure;
use cloudspawner::wire::reply::Check;
use cloudspawner::wire::{Cleanup, Phase, StartParams};
use futures_util::future::{BoxFuture, ready};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The name in requests and states.
pub const NAME: &str = "shed";

/// The cloud: its machines by their names, with the record that each bears as its tags.
type Machines = BTreeMap<String, Record>;

/// The backend, and the only site; cheap to clone.
#[derive(Clone)]
pub struct Shed {
    cloud: Arc<Mutex<Machines>>,
    context: Context,
}

impl Shed {
    /// An empty one.
    pub fn new(context: Context) -> Self {
        Self {
            cloud: Arc::default(),
            context,
        }
    }

    /// The machines that there are.
    pub fn machines(&self) -> MutexGuard<'_, Machines> {
        self.cloud.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Machines that bear a mark, as the cloud describes them.
    fn bearing(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Found> {
        let machines = self.machines();
        let found = machines.values().filter(|record| wanted(record));
        found
            .map(|record| Found {
                record: record.clone(),
                created_at_ms: Some(record.attempted_at_ms),
                made_from: None,
                report: running(record),
                details: Details::default(),
            })
            .collect()
    }
}

/// A machine that is there runs.
fn running(record: &Record) -> Report {
    let host = record.reference.as_deref().unwrap_or_default();
    Report {
        phase: Phase::Running,
        stage: "running",
        percent: 100,
        message: "Your server is running",
        exit_code: None,
        url: Some(format!("http://{host}:8888")),
        target_url: None,
        reason: None,
        ending: None,
        cleanup: Cleanup::None,
        look_again: Duration::from_secs(1),
        last_activity: None,
    }
}

/// The one setting: which shed.
fn room(config: &Value) -> Result<&str, Failure> {
    let room = config.get("room").and_then(Value::as_str);
    room.ok_or_else(|| Failure::invalid_config("config.room", "is missing; name the shed"))
}

impl Backend for Shed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn launch<'a>(
        &'a self,
        params: &'a StartParams,
    ) -> BoxFuture<'a, Result<Box<dyn Launch>, Failure>> {
        let launch = || {
            room(&params.config)?;
            let earlier = match &params.state {
                Some(state) => Some(Record::read(state.clone(), NAME)?),
                None => None,
            };
            let (same, older) = match earlier {
                Some(record) if record.attempt == params.attempt => (Some(record), None),
                other => (None, other),
            };
            let fresh = || Record {
                key: names::key(&params.server),
                hub: params.server.hub.clone(),
                attempt: params.attempt.clone(),
                attempted_at_ms: self.context.now_ms(),
                service_prefix: params.spec.service_prefix.clone(),
                ..Record::default()
            };
            Ok(Box::new(Start {
                shed: self.clone(),
                record: same.unwrap_or_else(fresh),
                older,
            }) as Box<dyn Launch>)
        };
        Box::pin(ready(launch()))
    }

    fn sites<'a>(
        &'a self,
        settings: Settings<'a>,
        _record: Option<&'a Record>,
    ) -> BoxFuture<'a, Result<Vec<Arc<dyn Site>>, Failure>> {
        let site: Arc<dyn Site> = Arc::new(self.clone());
        Box::pin(ready(room(settings.config).map(|_| vec![site])))
    }

    fn place(&self, _record: &Record) -> Vec<Option<String>> {
        Vec::new()
    }

    fn check<'a>(&'a self, settings: Settings<'a>, _look: Look<'a>) -> BoxFuture<'a, Vec<Check>> {
        Box::pin(ready(vec![match room(settings.config) {
            Ok(room) => Check::good("room", room),
            Err(failure) => Check::bad("room", &failure, "Name the shed."),
        }]))
    }
}

impl Site for Shed {
    fn id(&self) -> &'static str {
        "the only shed"
    }

    fn batch(&self) -> Option<usize> {
        None
    }

    fn observe<'a>(
        &'a self,
        records: &'a [Arc<Record>],
        _deadline: Instant,
    ) -> BoxFuture<'a, Vec<Sighting>> {
        let machines = self.machines();
        let seen = records.iter().map(|record| {
            let there = record.reference.as_ref().and_then(|r| machines.get(r));
            there.map_or(Sighting::Missing, |machine| {
                Sighting::Seen(running(machine))
            })
        });
        Box::pin(ready(seen.collect()))
    }

    fn find<'a>(
        &'a self,
        key: &'a str,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Found>, Failure>> {
        Box::pin(ready(Ok(self.bearing(|record| record.key == key))))
    }

    fn list<'a>(
        &'a self,
        hub: &'a str,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Found>, Failure>> {
        Box::pin(ready(Ok(self.bearing(|record| record.hub == hub))))
    }

    fn remove<'a>(
        &'a self,
        record: &'a Record,
        _reason: &'a str,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Phase, Failure>> {
        if let Some(reference) = &record.reference {
            self.machines().remove(reference);
        }
        Box::pin(ready(Ok(Phase::Gone)))
    }
}

/// One start: the record is all that is known of it.
struct Start {
    shed: Shed,
    record: Record,
    older: Option<Record>,
}

impl Launch for Start {
    fn record(&self) -> &Record {
        &self.record
    }

    fn site(&self) -> Arc<dyn Site> {
        Arc::new(self.shed.clone())
    }

    fn older(&self) -> Option<&Record> {
        self.older.as_ref()
    }

    fn may_exist(&self) -> bool {
        self.record.reference.is_some()
    }

    fn warnings(&self) -> &[String] {
        &[]
    }

    fn create(&mut self, _deadline: Instant) -> BoxFuture<'_, Created> {
        // The name is the attempt's own, so that a repetition makes no second machine.
        let name = format!("machine-{}", self.record.attempt.to_lowercase());
        self.record.reference = Some(name.clone());
        self.shed.machines().insert(name, self.record.clone());
        Box::pin(ready(Created::Yes))
    }

    fn renew(&mut self) {
        self.record.reference = None;
    }

    fn settle(&mut self, _deadline: Instant) -> BoxFuture<'_, Result<Settled, Failure>> {
        Box::pin(ready(Ok(if self.may_exist() {
            Settled::Created
        } else {
            Settled::Nothing
        })))
    }
}
