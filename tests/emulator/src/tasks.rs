//! Every task that was ever run, and the client tokens that name them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Notify;

use crate::ecs::definitions::Definition;
use crate::efs::mount::Mount;
use crate::lifecycle::{Delays, End, Status, Timeline};

/// API reference, RunTask: a client token lives 24 hours, or the task's life and one hour, whichever is shorter.
const TOKEN_LIFE_MS: u64 = 24 * 3600 * 1000;
const TOKEN_AFTER_STOP_MS: u64 = 3600 * 1000;

/// What the task is to a process of this machine.
#[derive(Clone, Debug)]
pub enum Process {
    /// Simulated, or never to start: the clock alone moves the task.
    None,
    /// Its supervisor waits for the moment to start it.
    Waiting(Arc<Notify>),
    Running {
        pid: i32,
        stop: Arc<Notify>,
    },
    Gone {
        pid: i32,
    },
}

#[derive(Clone, Debug)]
pub struct Task {
    pub id: String,
    pub arn: String,
    pub cluster: String,
    pub definition: Arc<Definition>,
    /// RunTask's request as it was, without unknown members.
    pub request: Arc<Value>,
    pub capacity_provider: Option<String>,
    pub subnet: Option<String>,
    /// Its EFS volumes.
    pub mounts: Vec<Mount>,
    /// Variables that its main container gets from secrets.
    pub secrets: Vec<(String, String)>,
    pub attachment_id: String,
    pub network_interface_id: String,
    pub mac: String,
    pub address: IpAddr,
    pub ipv6: Option<String>,
    /// A fault keeps its address from ever showing.
    pub hides_address_until_ms: u64,
    /// The same of the public one.
    pub hides_public_until_ms: u64,
    pub runtime_id: String,
    pub created_ms: u64,
    pub timeline: Timeline,
    pub process: Process,
    /// StopTask deletes the tags when the task has stopped.
    pub stopped_by_call: bool,
    /// An admin made ECS forget it.
    pub forgotten: bool,
}

impl Task {
    pub fn status(&self, now_ms: u64) -> Status {
        self.timeline.status(now_ms)
    }

    /// `RUNNING` until the task was told to end.
    pub fn desired_status(&self, now_ms: u64) -> &'static str {
        if self.timeline.end(now_ms).is_some() {
            "STOPPED"
        } else {
            "RUNNING"
        }
    }

    pub fn started_by(&self) -> Option<&str> {
        self.request["startedBy"].as_str()
    }

    /// The address, from the moment that the network interface is attached.
    pub fn visible_address(&self, now_ms: u64) -> Option<IpAddr> {
        let attached = self.timeline.highest_reached(now_ms) >= Status::Pending;
        (attached && now_ms >= self.hides_address_until_ms).then_some(self.address)
    }

    /// The public address, where RunTask asked for one: of one that nothing answers at, one of RFC 5737; else the same.
    pub fn public_address(&self, now_ms: u64) -> Option<IpAddr> {
        let network = &self.request["networkConfiguration"]["awsvpcConfiguration"];
        let assigned = network["assignPublicIp"] == "ENABLED";
        (assigned && now_ms >= self.hides_public_until_ms).then_some(match self.address {
            IpAddr::V4(private) if private.is_private() => {
                Ipv4Addr::new(203, 0, 113, private.octets()[3]).into()
            }
            reachable => reachable,
        })
    }

    /// Ends the task, unless it was told to end before.
    pub fn end(&mut self, end: End, delays: &Delays) {
        if self.timeline.end(end.at_ms).is_some() {
            return;
        }
        match &self.process {
            Process::Running { stop, .. } => {
                stop.notify_one();
                self.timeline.stop_process(end, delays);
            }
            Process::Waiting(stop) => {
                stop.notify_one();
                self.timeline.stop(end, delays);
            }
            Process::None | Process::Gone { .. } => self.timeline.stop(end, delays),
        }
    }
}

#[derive(Debug)]
struct Token {
    request: Arc<Value>,
    tasks: Vec<usize>,
    created_ms: u64,
}

/// When a task can be seen.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "the unit is in the name")]
pub struct Visibility {
    pub visible_after_ms: u64,
    pub stopped_visible_ms: u64,
    pub now_ms: u64,
}

#[derive(Debug, Default)]
pub struct Tasks {
    list: Vec<Task>,
    by_id: HashMap<String, usize>,
    tokens: HashMap<(String, String), Token>,
}

/// What is known of a client token.
pub enum TokenUse {
    Free,
    Same(Vec<Task>),
    Conflict(Vec<String>),
}

impl Tasks {
    pub fn add(&mut self, task: Task) {
        self.by_id.insert(task.id.clone(), self.list.len());
        self.list.push(task);
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Task> {
        self.list.iter()
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Task> {
        self.list.get_mut(*self.by_id.get(id)?)
    }

    pub fn get(&self, id: &str) -> Option<&Task> {
        self.list.get(*self.by_id.get(id)?)
    }

    /// Takes all tasks and tokens out.
    pub fn clear(&mut self) -> Vec<Task> {
        self.by_id.clear();
        self.tokens.clear();
        std::mem::take(&mut self.list)
    }

    pub fn can_be_seen(task: &Task, when: Visibility) -> bool {
        let born = task.created_ms + when.visible_after_ms <= when.now_ms;
        let stopped_ms = task.timeline.entered(Status::Stopped, when.now_ms);
        let gone = stopped_ms.is_some_and(|at_ms| at_ms + when.stopped_visible_ms <= when.now_ms);
        born && !gone && !task.forgotten
    }

    pub fn look_up_token(
        &self,
        cluster: &str,
        token: &str,
        request: &Value,
        now_ms: u64,
    ) -> TokenUse {
        let Some(known) = self.tokens.get(&(cluster.to_owned(), token.to_owned())) else {
            return TokenUse::Free;
        };
        let tasks: Vec<_> = known
            .tasks
            .iter()
            .filter_map(|index| self.list.get(*index))
            .collect();
        let over = |task: &&Task| {
            task.timeline
                .entered(Status::Stopped, now_ms)
                .is_some_and(|at_ms| at_ms + TOKEN_AFTER_STOP_MS <= now_ms)
        };
        if known.created_ms + TOKEN_LIFE_MS <= now_ms || tasks.iter().all(over) {
            TokenUse::Free
        } else if *known.request == *request {
            TokenUse::Same(tasks.into_iter().cloned().collect())
        } else {
            TokenUse::Conflict(tasks.into_iter().map(|task| task.arn.clone()).collect())
        }
    }

    /// The last `count` tasks were run with this token.
    pub fn keep_token(
        &mut self,
        cluster: &str,
        token: &str,
        request: Arc<Value>,
        count: usize,
        now_ms: u64,
    ) {
        let tasks = (self.list.len() - count..self.list.len()).collect();
        self.tokens.insert(
            (cluster.to_owned(), token.to_owned()),
            Token {
                request,
                tasks,
                created_ms: now_ms,
            },
        );
    }
}
