//! One compute instance, and all of them: names are unique in a region, and a name is free again when its instance is gone.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::state::{State, Timeline};
use super::tokens::Principal;

/// Swagger, `ComputeInstanceLastOperation`.
#[derive(Clone, Debug)]
pub struct LastOperation {
    pub name: &'static str,
    pub at_ms: u64,
    pub trigger: String,
    /// `StartFailed` and its like, if it will have failed when its plan ends.
    pub failure: Option<&'static str>,
    /// None: never.
    pub ends_ms: Option<u64>,
}

impl LastOperation {
    pub fn status(&self, now_ms: u64) -> &'static str {
        match self.ends_ms {
            Some(at_ms) if at_ms <= now_ms => self.failure.unwrap_or("Succeeded"),
            _ => "InProgress",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Instance {
    pub workspace: String,
    pub name: String,
    pub region: String,
    /// The request: `location`, `tags`, `identity`, `sku`, `properties`.
    pub body: Value,
    pub cores: u32,
    pub family: String,
    pub created_by: Principal,
    pub created_ms: u64,
    pub modified_ms: u64,
    pub timeline: Timeline,
    pub last_operation: LastOperation,
    /// What it shows in `errors` once its creation has failed, or at once if an admin said so: code and message.
    pub error: Option<(String, String)>,
    pub address: Ipv4Addr,
    /// How many of this name came before: each has a home of its own.
    pub generation: usize,
    /// The name was put again over this one.
    pub overwritten: bool,
    pub process: Process,
}

/// Its program, if instances run any.
#[derive(Clone, Debug, Default)]
pub struct Process {
    pub stop: Option<Arc<Notify>>,
    pub pid: Option<i32>,
    /// Held by the supervisor, so that an older program has ended before the next starts.
    pub turn: Arc<AsyncMutex<()>>,
}

impl Instance {
    pub fn state(&self, now_ms: u64) -> State {
        self.timeline.state(now_ms)
    }

    pub fn settings(&self) -> &Value {
        &self.body["properties"]["properties"]
    }

    pub fn has_scripts(body: &Value) -> bool {
        body["properties"]["properties"]["setupScripts"]["scripts"].is_object()
    }

    /// Ends its program, if it has one.
    pub fn halt(&mut self) {
        if let Some(stop) = self.process.stop.take() {
            stop.notify_one();
        }
    }
}

#[derive(Debug, Default)]
pub struct Instances {
    list: Vec<Instance>,
    /// By workspace and name, in lower case; in this order they are listed.
    places: BTreeMap<(String, String), usize>,
}

fn place(workspace: &str, name: &str) -> (String, String) {
    (workspace.to_lowercase(), name.to_lowercase())
}

impl Instances {
    pub fn add(&mut self, instance: Instance) -> usize {
        let index = self.list.len();
        self.places
            .insert(place(&instance.workspace, &instance.name), index);
        self.list.push(instance);
        index
    }

    /// Every one that ever was.
    pub fn all(&self) -> &[Instance] {
        &self.list
    }

    pub fn at(&mut self, index: usize) -> Option<&mut Instance> {
        self.list.get_mut(index)
    }

    /// A living one.
    pub fn find(&self, workspace: &str, name: &str, now_ms: u64) -> Option<usize> {
        let index = *self.places.get(&place(workspace, name))?;
        (self.list[index].state(now_ms) != State::Deleted).then_some(index)
    }

    /// A living one of this name in any workspace; the admin endpoint has no other address for it.
    pub fn find_anywhere(&self, name: &str, now_ms: u64) -> Option<usize> {
        self.living(now_ms)
            .find(|(_, instance)| instance.name.eq_ignore_ascii_case(name))
            .map(|(index, _)| index)
    }

    pub fn living(&self, now_ms: u64) -> impl Iterator<Item = (usize, &Instance)> {
        self.places.values().filter_map(move |index| {
            let instance = &self.list[*index];
            (instance.state(now_ms) != State::Deleted).then_some((*index, instance))
        })
    }

    /// Those of a workspace whose names come after this one, in order.
    pub fn listed<'a>(
        &'a self,
        workspace: &str,
        after: &str,
        now_ms: u64,
    ) -> impl Iterator<Item = &'a Instance> {
        let workspace = workspace.to_lowercase();
        let after = after.to_lowercase();
        self.places
            .range((workspace.clone(), after.clone())..)
            .take_while(move |((in_workspace, _), _)| *in_workspace == workspace)
            .filter(move |((_, name), _)| *name != after)
            .map(|(_, index)| &self.list[*index])
            .filter(move |instance| instance.state(now_ms) != State::Deleted)
    }

    pub fn generations(&self, name: &str) -> usize {
        self.list
            .iter()
            .filter(|instance| instance.name.eq_ignore_ascii_case(name))
            .count()
    }

    /// Of the same range as a task's; with `alone` one that no other instance has.
    pub fn unused_address(&self, alone: bool) -> Ipv4Addr {
        loop {
            let address = Ipv4Addr::new(
                127,
                fastrand::u8(2..=254),
                fastrand::u8(..),
                fastrand::u8(1..=254),
            );
            if !alone || !self.list.iter().any(|instance| instance.address == address) {
                return address;
            }
        }
    }

    pub fn clear(&mut self) -> Vec<Instance> {
        self.places.clear();
        std::mem::take(&mut self.list)
    }
}
