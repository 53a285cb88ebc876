//! What can befall a call to Azure, on demand.

use serde::{Deserialize, Serialize};

use crate::faults::Strikes;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 429 with Retry-After.
    Throttle,
    #[serde(rename = "error_500")]
    Error500,
    #[serde(rename = "error_503")]
    Error503,
    /// 403 AuthorizationFailed; of a token request: the secret is wrong.
    AccessDenied,
    /// 401; of a token request: what was shown (a secret, a code, a refresh token, an assertion) has expired.
    ExpiredToken,
    /// The connection ends without an answer and without an effect.
    CutBefore,
    /// The effect happens, then the connection ends without an answer.
    ReplyLost,
    /// The effect happens; the reply breaks off in its middle.
    Truncated,
    /// The effect happens; the reply is JSON, but of another shape.
    WrongJson,
    /// A page of HTML, as from a proxy in between; no effect.
    Html,
    /// The answer comes after `delay_ms`; other faults may strike the same call.
    Slow,
    /// No answer, for as long as the client waits, and no effect.
    Hang,
    /// `computes.put` is accepted, and the instance becomes CreateFailed.
    CreateFailed,
    /// The same, with SetupFailed; UserSetupFailed if the instance has setup scripts.
    SetupFailed,
    /// A start, stop, restart or delete is accepted and fails: the instance is as it was before.
    OperationFailed,
    /// The operation never ends and the instance stays in its state.
    Stuck,
    /// `computes.put` is refused: no quota.
    QuotaExceeded,
}

impl Strikes for Kind {
    fn only_delays(self) -> bool {
        self == Self::Slow
    }

    fn concerns(self, operation: &str) -> bool {
        let put = operation == "computes.put";
        let changes = matches!(
            operation,
            "computes.start" | "computes.stop" | "computes.restart" | "computes.delete"
        );
        match self {
            Self::CreateFailed | Self::SetupFailed | Self::QuotaExceeded => put,
            Self::OperationFailed => changes,
            Self::Stuck => put || changes,
            _ => true,
        }
    }
}

pub type Fault = crate::faults::Fault<Kind>;
pub type Faults = crate::faults::Faults<Kind>;
