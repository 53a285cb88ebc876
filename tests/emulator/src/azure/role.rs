//! A custom role, as `az role definition create` takes it: what it allows is what the hub's own identity may do.
//!
//! "Understand Azure role definitions": Actions less `NotActions`, with `*`. Scopes are not looked at, nor are data actions.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::policy;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Role {
    actions: Vec<String>,
    #[serde(default)]
    not_actions: Vec<String>,
}

impl Role {
    pub fn allows(&self, action: &str) -> bool {
        let has = |patterns: &[String]| {
            patterns
                .iter()
                .any(|pattern| policy::matches(&pattern.to_lowercase(), &action.to_lowercase()))
        };
        has(&self.actions) && !has(&self.not_actions)
    }

    /// As one of a caller's permissions, without what is denied besides.
    pub fn permission(&self, denied: &[&str]) -> Value {
        let not_actions = self.not_actions.iter().map(String::as_str);
        json!({
            "actions": self.actions,
            "notActions": not_actions.chain(denied.iter().copied()).collect::<Vec<_>>(),
            "dataActions": [],
            "notDataActions": [],
        })
    }

    /// The role of whom nobody gave one here.
    pub fn everything() -> Self {
        Self {
            actions: vec!["*".to_owned()],
            not_actions: Vec::new(),
        }
    }
}

/// The file of `--azure-role`.
pub fn read(path: &str) -> Result<Role, String> {
    let document = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_str(&document).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::Role;

    #[test]
    fn a_role_allows_its_actions_less_those_that_it_takes_back() {
        let role: Role = serde_json::from_str(
            r#"{"Name":"x","Actions":["A/computes/*"],"NotActions":["A/computes/delete"]}"#,
        )
        .unwrap();
        assert!(role.allows("a/computes/start/action"));
        assert!(!role.allows("A/computes/delete"));
        assert!(!role.allows("A/read"));
    }
}
