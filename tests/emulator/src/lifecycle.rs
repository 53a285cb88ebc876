//! A task's life as a list of dated steps, some of them still to come. The state is computed from the clock when somebody
//! looks, so that tens of thousands of simulated tasks need no timers. A task with a process has its open steps added when
//! the process starts and when it is gone.

use serde::{Deserialize, Serialize};

/// ECS's task states in the order of a life (developer guide, "Task lifecycle").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// How long a task stays in each state, in milliseconds. A state with no time is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delays {
    pub provisioning: u64,
    pub pending: u64,
    pub activating: u64,
    pub deactivating: u64,
    pub stopping: u64,
    pub deprovisioning: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            provisioning: 300,
            pending: 500,
            activating: 0,
            deactivating: 0,
            stopping: 200,
            deprovisioning: 200,
        }
    }
}

/// Why and when a task was told to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub at_ms: u64,
    pub stop_code: String,
    pub stopped_reason: String,
    /// What the container's process gave, once it is known.
    pub exit_code: Option<i32>,
    pub container_reason: Option<String>,
}

impl End {
    /// Of a task that never ran; the time is still to be said.
    pub fn failed_to_start(stopped_reason: String) -> Self {
        Self {
            at_ms: 0,
            stop_code: "TaskFailedToStart".to_owned(),
            stopped_reason,
            exit_code: None,
            container_reason: None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Step {
    at_ms: u64,
    status: Status,
}

#[derive(Clone, Debug)]
pub struct Timeline {
    steps: Vec<Step>,
    end: Option<End>,
}

impl Timeline {
    /// A new life on its way up to, and not including, RUNNING; also returns when RUNNING is due.
    pub fn begin(created_ms: u64, delays: &Delays) -> (Self, u64) {
        let mut life = Self {
            steps: vec![Step {
                at_ms: created_ms,
                status: Status::Provisioning,
            }],
            end: None,
        };
        let mut at_ms = created_ms + delays.provisioning;
        for (status, delay) in [
            (Status::Pending, delays.pending),
            (Status::Activating, delays.activating),
        ] {
            if delay > 0 {
                life.push(at_ms, status);
                at_ms += delay;
            }
        }
        (life, at_ms)
    }

    fn push(&mut self, at_ms: u64, status: Status) {
        self.steps.push(Step { at_ms, status });
    }

    pub fn run(&mut self, at_ms: u64) {
        self.push(at_ms, Status::Running);
    }

    /// Puts the end in the place of whatever was to come after `end.at_ms`, down to STOPPED.
    pub fn stop(&mut self, end: End, delays: &Delays) {
        let gone_ms = self.stop_process(end, delays) + delays.stopping;
        self.process_gone(gone_ms, delays);
    }

    /// The same for a task whose process must end first: down to STOPPING, whose time is returned.
    pub fn stop_process(&mut self, end: End, delays: &Delays) -> u64 {
        let at_ms = end.at_ms;
        self.steps.retain(|step| step.at_ms <= at_ms);
        let was_running = self.status(at_ms) == Status::Running;
        self.end = Some(end);
        let mut stopping_ms = at_ms;
        if was_running && delays.deactivating > 0 {
            self.push(at_ms, Status::Deactivating);
            stopping_ms += delays.deactivating;
        }
        self.push(stopping_ms, Status::Stopping);
        stopping_ms
    }

    /// The process ended: DEPROVISIONING now, STOPPED after its delay.
    pub fn process_gone(&mut self, at_ms: u64, delays: &Delays) {
        if delays.deprovisioning > 0 {
            self.push(at_ms, Status::Deprovisioning);
        }
        self.push(at_ms + delays.deprovisioning, Status::Stopped);
    }

    pub fn set_exit_code(&mut self, exit_code: Option<i32>) {
        if let Some(end) = &mut self.end {
            end.exit_code = end.exit_code.or(exit_code);
        }
    }

    fn passed(&self, now_ms: u64) -> impl DoubleEndedIterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.at_ms <= now_ms)
    }

    pub fn status(&self, now_ms: u64) -> Status {
        self.passed(now_ms)
            .next_back()
            .map_or(Status::Provisioning, |step| step.status)
    }

    /// When the task entered this state, if it has by now.
    pub fn entered(&self, status: Status, now_ms: u64) -> Option<u64> {
        self.passed(now_ms)
            .find(|step| step.status == status)
            .map(|step| step.at_ms)
    }

    /// How far up the task came: PENDING or later means that its network interface was attached.
    pub fn highest_reached(&self, now_ms: u64) -> Status {
        let up = self
            .passed(now_ms)
            .map(|step| step.status)
            .filter(|status| *status <= Status::Running);
        up.max().unwrap_or(Status::Provisioning)
    }

    /// The end, if its moment has come.
    pub fn end(&self, now_ms: u64) -> Option<&End> {
        self.end.as_ref().filter(|end| end.at_ms <= now_ms)
    }

    /// ECS counts a task's version up at each change.
    pub fn version(&self, now_ms: u64) -> usize {
        self.passed(now_ms).count()
    }
}

#[cfg(test)]
mod tests {
    use super::{Delays, End, Status, Timeline};

    fn end(at_ms: u64) -> End {
        let (stop_code, stopped_reason) = ("UserInitiated".to_owned(), "bye".to_owned());
        End {
            at_ms,
            stop_code,
            stopped_reason,
            exit_code: Some(143),
            container_reason: None,
        }
    }

    #[test]
    fn a_task_passes_through_every_state_that_has_a_delay() {
        let delays = Delays {
            activating: 10,
            deactivating: 10,
            ..Delays::default()
        };
        let (mut life, due_ms) = Timeline::begin(1000, &delays);
        assert_eq!(due_ms, 1810);
        life.run(due_ms);
        life.stop(end(5000), &delays);
        let seen: Vec<_> = [1000, 1300, 1800, 1810, 5000, 5010, 5210, 5410]
            .map(|at| life.status(at).as_str())
            .into();
        let expected = [
            "PROVISIONING",
            "PENDING",
            "ACTIVATING",
            "RUNNING",
            "DEACTIVATING",
            "STOPPING",
            "DEPROVISIONING",
            "STOPPED",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_stop_on_the_way_up_cancels_running() {
        let delays = Delays::default();
        let (mut life, due_ms) = Timeline::begin(0, &delays);
        life.run(due_ms);
        life.stop(end(400), &delays);
        assert_eq!(life.status(400), Status::Stopping);
        assert_eq!(life.entered(Status::Running, 100_000), None);
        assert_eq!(life.highest_reached(100_000), Status::Pending);
        assert_eq!(life.status(800), Status::Stopped);
    }

    #[test]
    fn an_end_that_is_still_to_come_is_not_seen() {
        let delays = Delays::default();
        let (mut life, due_ms) = Timeline::begin(0, &delays);
        life.stop(end(due_ms), &delays);
        assert_eq!(life.end(due_ms - 1), None);
        assert_eq!(life.status(due_ms - 1), Status::Pending);
        assert!(life.end(due_ms).is_some());
    }
}
