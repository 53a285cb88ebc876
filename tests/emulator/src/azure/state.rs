//! The states of a compute instance over time. A plan is made when something is asked of it; which state holds is computed
//! from the clock when somebody looks, so no instance needs a timer.

use serde::{Deserialize, Serialize};

use super::path::Action;
use super::settings::Delays;

/// Swagger, `ComputeInstanceState`, and the one that it has no word for: it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Creating,
    CreateFailed,
    Deleting,
    Running,
    Restarting,
    Resizing,
    JobRunning,
    SettingUp,
    SetupFailed,
    Starting,
    Stopped,
    Stopping,
    UserSettingUp,
    UserSetupFailed,
    Unknown,
    Unusable,
    Deleted,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::CreateFailed => "CreateFailed",
            Self::Deleting => "Deleting",
            Self::Running => "Running",
            Self::Restarting => "Restarting",
            Self::Resizing => "Resizing",
            Self::JobRunning => "JobRunning",
            Self::SettingUp => "SettingUp",
            Self::SetupFailed => "SetupFailed",
            Self::Starting => "Starting",
            Self::Stopped => "Stopped",
            Self::Stopping => "Stopping",
            Self::UserSettingUp => "UserSettingUp",
            Self::UserSetupFailed => "UserSetupFailed",
            Self::Unknown => "Unknown",
            Self::Unusable => "Unusable",
            Self::Deleted => "Deleted",
        }
    }

    pub fn is_creation(self) -> bool {
        matches!(self, Self::Creating | Self::SettingUp | Self::UserSettingUp)
    }

    pub fn is_failed_creation(self) -> bool {
        matches!(
            self,
            Self::CreateFailed | Self::SetupFailed | Self::UserSetupFailed
        )
    }

    /// Its programs run.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::JobRunning)
    }

    pub fn provisioning_state(self) -> &'static str {
        match self {
            state if state.is_creation() => "Creating",
            state if state.is_failed_creation() => "Failed",
            Self::Deleting | Self::Deleted => "Deleting",
            Self::Unknown => "Unknown",
            _ => "Succeeded",
        }
    }
}

/// What a client's action finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// It takes effect.
    Fits,
    /// It is so already, or on the way.
    Already,
    /// Not in this state.
    Conflict,
}

impl Action {
    pub fn fitness(self, state: State) -> Fitness {
        use State as S;
        let ill = matches!(
            state,
            S::Unknown | S::Unusable | S::SetupFailed | S::UserSetupFailed
        );
        match (self, state) {
            (Self::Start, S::Stopped)
            | (Self::Stop | Self::Restart, S::Running | S::JobRunning) => Fitness::Fits,
            (Self::Start, S::Running | S::Starting | S::JobRunning)
            | (Self::Stop, S::Stopped | S::Stopping)
            | (Self::Restart, S::Restarting) => Fitness::Already,
            (Self::Stop | Self::Restart, _) if ill => Fitness::Fits,
            _ => Fitness::Conflict,
        }
    }
}

/// States with the moment from which each holds, the oldest first.
#[derive(Clone, Debug)]
pub struct Timeline {
    entries: Vec<(u64, State)>,
}

impl Timeline {
    pub fn new(plan: Vec<(u64, State)>) -> Self {
        Self { entries: plan }
    }

    pub fn state(&self, now_ms: u64) -> State {
        self.history(now_ms)
            .last()
            .map_or(State::Unknown, |(_, state)| *state)
    }

    /// What has happened by now.
    pub fn history(&self, now_ms: u64) -> &[(u64, State)] {
        let reached = self.entries.partition_point(|(at_ms, _)| *at_ms <= now_ms);
        &self.entries[..reached]
    }

    /// The last of the plan, if it is still to come or is reached.
    pub fn end(&self) -> Option<(u64, State)> {
        self.entries.last().copied()
    }

    /// Another plan from now on.
    pub fn replan(&mut self, now_ms: u64, plan: Vec<(u64, State)>) {
        self.entries.retain(|(at_ms, _)| *at_ms <= now_ms);
        self.entries.extend(plan);
    }

    /// Takes a last step to a state in which programs run out of the plan, and tells when it was due: who starts the program
    /// decides when that step comes. None if the plan ends otherwise.
    pub fn hold_up(&mut self) -> Option<u64> {
        let (due_ms, state) = *self.entries.last()?;
        if !state.is_up() {
            return None;
        }
        self.entries.pop();
        let passing = match self.entries.last() {
            None => Some(State::Creating),
            Some((_, State::Stopped)) => Some(State::Starting),
            Some((_, state)) if state.is_up() => Some(State::Restarting),
            Some(_) => None,
        };
        // With a delay of 0 there was no state to pass through.
        self.entries.extend(passing.map(|state| (due_ms, state)));
        Some(due_ms)
    }
}

/// Each state for its time, and the last for good; a state without a delay is passed over.
fn steps(now_ms: u64, passing: &[(State, u64)], last: State) -> Vec<(u64, State)> {
    let mut at_ms = now_ms;
    let mut plan = Vec::new();
    for (state, delay_ms) in passing {
        if *delay_ms > 0 {
            plan.push((at_ms, *state));
            at_ms += delay_ms;
        }
    }
    plan.push((at_ms, last));
    plan
}

/// How a creation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    Succeeds,
    Fails,
    SetupFails,
    NeverEnds,
}

pub fn creation(
    now_ms: u64,
    delays: &Delays,
    has_scripts: bool,
    ending: Creation,
) -> Vec<(u64, State)> {
    let creating = (State::Creating, delays.creating);
    let setting_up = (State::SettingUp, delays.setting_up);
    let scripts_ms = if has_scripts {
        delays.user_setting_up
    } else {
        0
    };
    let user_setting_up = (State::UserSettingUp, scripts_ms);
    match ending {
        Creation::Succeeds => steps(
            now_ms,
            &[creating, setting_up, user_setting_up],
            State::Running,
        ),
        Creation::Fails => steps(now_ms, &[creating], State::CreateFailed),
        Creation::SetupFails if has_scripts => steps(
            now_ms,
            &[creating, setting_up, user_setting_up],
            State::UserSetupFailed,
        ),
        Creation::SetupFails => steps(now_ms, &[creating, setting_up], State::SetupFailed),
        Creation::NeverEnds => vec![(now_ms, State::Creating)],
    }
}

/// How a start, stop, restart or delete ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Succeeds,
    /// As it was before.
    Fails(State),
    NeverEnds,
}

pub fn change(
    now_ms: u64,
    passing: State,
    delay_ms: u64,
    reached: State,
    ending: Change,
) -> Vec<(u64, State)> {
    match ending {
        Change::Succeeds => steps(now_ms, &[(passing, delay_ms)], reached),
        Change::Fails(before) => steps(now_ms, &[(passing, delay_ms.max(1))], before),
        Change::NeverEnds => vec![(now_ms, passing)],
    }
}

#[cfg(test)]
mod tests {
    use super::State::{Creating, Running, Stopped, Stopping, UserSettingUp};
    use super::{Change, Creation, Delays, State, Timeline, change, creation};

    #[test]
    fn an_instance_is_created_and_stopped_by_the_clock() {
        let delays = Delays::default();
        let mut line = Timeline::new(creation(0, &delays, true, Creation::Succeeds));
        let states: Vec<_> = [0, 999, 1000, 1300, 9000]
            .iter()
            .map(|at_ms| line.state(*at_ms))
            .collect();
        assert_eq!(
            states,
            [Creating, Creating, UserSettingUp, Running, Running]
        );
        line.replan(1100, change(1100, Stopping, 500, Stopped, Change::Succeeds));
        assert_eq!(line.state(1599), Stopping);
        assert_eq!(line.state(1600), Stopped);
        assert_eq!(line.history(1100).len(), 3);
    }

    #[test]
    fn a_failed_or_endless_change_ends_as_asked() {
        let failed = Timeline::new(change(
            0,
            State::Starting,
            10,
            State::Running,
            Change::Fails(State::Stopped),
        ));
        assert_eq!(failed.state(10), State::Stopped);
        let stuck = Timeline::new(creation(0, &Delays::default(), false, Creation::NeverEnds));
        assert_eq!(stuck.state(u64::MAX), State::Creating);
    }
}
