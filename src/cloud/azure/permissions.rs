//! What the caller may do at a scope, by Resource Manager's own account of it: a call that changes nothing.
//!
//! Data actions are left out, and so are conditions of an assignment: the doctor asks about management alone.

use super::ResourceManager;
use super::resource_manager::{Call, typed};
use crate::cloud::CloudError;
use serde::Deserialize;
use tokio::time::Instant;

/// "Permissions - List For Resource", a stable version of Microsoft.Authorization.
const VERSION: &str = "2022-04-01";

/// What the roles of a caller give at a scope.
#[derive(Debug)]
pub struct Granted(Vec<Grant>);

/// One role's part.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Grant {
    actions: Vec<String>,
    not_actions: Vec<String>,
}

impl Granted {
    /// Asks what the caller may do at `scope`, a resource or a resource group. May be repeated.
    ///
    /// # Errors
    /// `permission_denied` without `Microsoft.Authorization/permissions/read`; whatever kept Azure from telling.
    pub async fn at(
        arm: &ResourceManager,
        scope: &str,
        deadline: Instant,
    ) -> Result<Self, CloudError> {
        const OPERATION: &str = "arm:LIST permissions";
        let path = format!("{scope}/providers/Microsoft.Authorization/permissions");
        let call = Call::get(&path, VERSION, OPERATION);
        let items = arm.list(&call, deadline).await?;
        let grants = items.into_iter().map(|item| typed(OPERATION, item));
        grants.collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of the roles allows `action`. What a role takes back it takes from its own actions alone ("Understand Azure
    /// role definitions", `NotActions`).
    #[must_use]
    pub fn allows(&self, action: &str) -> bool {
        let action = action.to_lowercase();
        let has = |patterns: &[String]| {
            let mut patterns = patterns.iter().map(|pattern| pattern.to_lowercase());
            patterns.any(|pattern| matches(&pattern, &action))
        };
        let mut grants = self.0.iter();
        grants.any(|grant| has(&grant.actions) && !has(&grant.not_actions))
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any run of characters, slashes too.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    for part in between.split('*') {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{Grant, Granted, matches};

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, fits) in [
            ("a/b/read", "a/b/read", true),
            ("a/b/read", "a/b/reads", false),
            ("*", "a/b/read", true),
            ("", "a", false),
            ("*/read", "a/b/read", true),
            ("*/read", "a/b/write", false),
            ("a/*", "a/b/read", true),
            ("a/*", "ab/read", false),
            ("a/*/read", "a/b/c/read", true),
            ("a/*/read", "a/read", false),
            ("a/*/*/read", "a/b/c/read", true),
            ("a/*/c/*", "a/b/c/read", true),
            ("a/*/c/*", "a/b/d/read", false),
            ("a/b*b/c", "a/b/c", false),
            ("a*a", "a", false),
            ("**", "a", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_role_takes_back_from_its_own_actions_alone() {
        let grant = |actions: &[&str], not_actions: &[&str]| Grant {
            actions: actions.iter().map(ToString::to_string).collect(),
            not_actions: not_actions.iter().map(ToString::to_string).collect(),
        };
        let contributor = || grant(&["*"], &["Microsoft.Authorization/*/Write"]);
        let assigns = "Microsoft.Authorization/roleAssignments/write";
        let alone = Granted(vec![contributor()]);
        assert!(alone.allows("Microsoft.Storage/storageAccounts/read"));
        assert!(!alone.allows(assigns));
        let both = Granted(vec![contributor(), grant(&[&assigns.to_uppercase()], &[])]);
        assert!(both.allows(assigns));
        assert!(!Granted(Vec::new()).allows(assigns));
    }
}
