//! Faults that a test asks for through the admin endpoint. Each counts the calls that it concerns: it lets `skip` of them
//! pass and then hits `count` of them, or all.

use serde::{Deserialize, Serialize};

/// A cloud's own kinds of fault.
pub trait Strikes: Copy {
    /// Whether it only delays a call, so that another fault may strike the same one.
    fn only_delays(self) -> bool;
    fn concerns(self, action: &str) -> bool;
}

/// What can befall ECS and STS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `ThrottlingException`, "Rate exceeded".
    Throttle,
    #[serde(rename = "error_500")]
    Error500,
    #[serde(rename = "error_503")]
    Error503,
    AccessDenied,
    /// The error of a session whose credentials have expired.
    ExpiredToken,
    /// The error of a client whose clock is six minutes slow.
    ClockSkew,
    /// `InvalidParameterException` where `code` says so, else `ClientException`, with `message`: ECS wraps what other
    /// services tell it into these.
    Refused,
    /// The connection ends without an answer and without an effect.
    CutBefore,
    /// The effect happens, then the connection ends without an answer.
    ReplyLost,
    /// The answer comes after `delay_ms`; other faults may strike the same call.
    Slow,
    /// No answer, for as long as the client waits, and no effect.
    Hang,
    /// `RunTask` places nothing: Fargate has no capacity.
    Capacity,
    /// `RunTask` places nothing: no network interface is free.
    ResourceEni,
    /// The task stops when it should run.
    EarlyStop,
    /// The task runs and shows an address only after `delay_ms`, or never where there is none.
    NoAddress,
    /// The same of its public address.
    NoPublicAddress,
    /// The effect happens; the reply breaks off in its middle.
    Truncated,
    /// The effect happens; the reply is JSON, but of another shape.
    WrongJson,
    /// A page of HTML, as from a proxy in between; no effect.
    Html,
}

impl Strikes for Kind {
    fn only_delays(self) -> bool {
        self == Self::Slow
    }

    /// Some make sense for `RunTask` alone.
    fn concerns(self, action: &str) -> bool {
        action == "RunTask"
            || !matches!(
                self,
                Self::Capacity
                    | Self::ResourceEni
                    | Self::EarlyStop
                    | Self::NoAddress
                    | Self::NoPublicAddress
            )
    }
}

/// As posted to `/_emulator/faults`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault<K = Kind> {
    /// An action of ECS or STS, or an operation of Azure, or `*`.
    #[serde(default = "any", alias = "operation")]
    pub action: String,
    pub kind: K,
    /// How many calls it hits; null for all.
    #[serde(default = "once")]
    pub count: Option<u64>,
    #[serde(default)]
    pub skip: u64,
    /// Only calls whose body holds this text.
    pub body_contains: Option<String>,
    /// For `slow`, `no_address` and `no_public_address`.
    #[serde(default)]
    pub delay_ms: u64,
    /// For `html`: its status, 200 if absent.
    pub status: Option<u16>,
    // For `early_stop`.
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    pub container_reason: Option<String>,
    pub exit_code: Option<i32>,
    /// For `refused`, and for Azure's `create_failed` and its like: the error that the service tells.
    pub code: Option<String>,
    pub message: Option<String>,
}

fn any() -> String {
    "*".to_owned()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "serde's default needs the field's own type"
)]
fn once() -> Option<u64> {
    Some(1)
}

#[derive(Debug)]
pub struct Faults<K = Kind> {
    last_id: u64,
    list: Vec<(u64, Fault<K>)>,
}

impl<K> Default for Faults<K> {
    fn default() -> Self {
        Self {
            last_id: 0,
            list: Vec::new(),
        }
    }
}

impl<K: Strikes> Faults<K> {
    pub fn add(&mut self, fault: Fault<K>) -> u64 {
        self.last_id += 1;
        self.list.push((self.last_id, fault));
        self.last_id
    }

    pub fn clear(&mut self) {
        self.list.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = &(u64, Fault<K>)> {
        self.list.iter()
    }

    /// What strikes this call: any number that only delay it, and at most one other fault.
    pub fn strike(&mut self, action: &str, body: &str) -> Vec<Fault<K>> {
        let mut struck: Vec<Fault<K>> = Vec::new();
        let mut decided = false;
        for (_, fault) in &mut self.list {
            let concerned = (fault.action == "*" || fault.action == action)
                && fault.kind.concerns(action)
                && fault
                    .body_contains
                    .as_ref()
                    .is_none_or(|text| body.contains(text.as_str()));
            if !concerned || (!fault.kind.only_delays() && decided) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if let Some(count) = &mut fault.count {
                if *count == 0 {
                    continue;
                }
                *count -= 1;
            }
            decided |= !fault.kind.only_delays();
            struck.push(fault.clone());
        }
        self.list.retain(|(_, fault)| fault.count != Some(0));
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Faults, Kind};

    fn fault(json: &str) -> Fault {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_fault_skips_then_strikes_then_is_spent() {
        let mut faults: Faults = Faults::default();
        faults.add(fault(
            r#"{"action":"RunTask","kind":"error_500","skip":1,"count":2}"#,
        ));
        let hits: Vec<_> = (0..4).map(|_| faults.strike("RunTask", "").len()).collect();
        assert_eq!(hits, [0, 1, 1, 0]);
        assert_eq!(faults.iter().count(), 0);
    }

    #[test]
    fn slow_comes_with_another_and_run_task_faults_leave_other_calls_alone() {
        let mut faults: Faults = Faults::default();
        faults.add(fault(r#"{"kind":"slow","delay_ms":5,"count":null}"#));
        faults.add(fault(r#"{"kind":"capacity","count":null}"#));
        let kinds = |struck: Vec<Fault>| struck.iter().map(|fault| fault.kind).collect::<Vec<_>>();
        assert_eq!(kinds(faults.strike("StopTask", "")), [Kind::Slow]);
        assert_eq!(
            kinds(faults.strike("RunTask", "")),
            [Kind::Slow, Kind::Capacity]
        );
    }
}
