//! IAM policy documents: enough of them to allow or deny an action as IAM does (user guide, "Policy evaluation logic").
//! An explicit Deny wins, then an Allow is needed. Knows Action, NotAction, Resource, NotResource with `*` and `?`, and
//! conditions that compare strings or ARNs; a condition it does not know never holds for an Allow and always for a Deny.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    statement: OneOrMany<Statement>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    fn iter(&self) -> std::slice::Iter<'_, T> {
        match self {
            Self::Many(many) => many.iter(),
            Self::One(one) => std::slice::from_ref(one).iter(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: Effect,
    action: Option<OneOrMany<String>>,
    not_action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_resource: Option<OneOrMany<String>>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMany<String>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// `ecs:RunTask`
    pub action: &'a str,
    pub resource: &'a str,
    /// Condition keys and their values, such as `ecs:cluster`.
    pub context: &'a [(&'a str, &'a str)],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// No statement allows it.
    NotAllowed,
    /// A statement denies it.
    Denied,
}

impl Policy {
    pub fn parse(document: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(document)
    }

    pub fn judge(&self, ask: Ask<'_>) -> Verdict {
        let mut verdict = Verdict::NotAllowed;
        for statement in self
            .statement
            .iter()
            .filter(|statement| statement.concerns(ask))
        {
            match statement.effect {
                Effect::Deny => return Verdict::Denied,
                Effect::Allow => verdict = Verdict::Allowed,
            }
        }
        verdict
    }
}

impl Statement {
    fn concerns(&self, ask: Ask<'_>) -> bool {
        // IAM compares actions without regard to case, resources with it.
        let action = ask.action.to_ascii_lowercase();
        let names = |patterns: &OneOrMany<String>| {
            patterns
                .iter()
                .any(|p| matches(&p.to_ascii_lowercase(), &action))
        };
        let covers =
            |patterns: &OneOrMany<String>| patterns.iter().any(|p| matches(p, ask.resource));
        let action_fits = match (&self.action, &self.not_action) {
            (Some(patterns), _) => names(patterns),
            (None, Some(patterns)) => !names(patterns),
            (None, None) => false,
        };
        let resource_fits = match (&self.resource, &self.not_resource) {
            (Some(patterns), _) => covers(patterns),
            (None, Some(patterns)) => !covers(patterns),
            (None, None) => false,
        };
        action_fits && resource_fits && self.conditions_hold(ask)
    }

    fn conditions_hold(&self, ask: Ask<'_>) -> bool {
        self.condition.iter().all(|(operator, keys)| {
            keys.iter().all(|(key, wanted)| {
                let actual = ask
                    .context
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(key))
                    .map(|(_, value)| *value);
                match (operator.as_str(), actual) {
                    ("StringEquals", Some(value)) => wanted.iter().any(|want| want == value),
                    ("StringLike" | "ArnEquals" | "ArnLike", Some(value)) => {
                        wanted.iter().any(|want| matches(want, value))
                    }
                    ("StringEquals" | "StringLike" | "ArnEquals" | "ArnLike", None) => false,
                    _ => {
                        tracing::warn!(operator, key, "the emulator does not know this condition");
                        self.effect == Effect::Deny
                    }
                }
            })
        })
    }
}

/// Whether `text` fits `pattern`, in which `*` is any run of characters and `?` any one.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, star_t + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::{Ask, Policy, Verdict, matches};

    const CLUSTER: &str = "arn:aws:ecs:eu-west-1:123456789012:cluster/notebooks";

    fn ask<'a>(action: &'a str, resource: &'a str) -> Ask<'a> {
        Ask {
            action,
            resource,
            context: &[("ecs:cluster", CLUSTER)],
        }
    }

    #[test]
    fn wildcards_match_as_iam_says() {
        assert!(matches("ecs:*", "ecs:RunTask"));
        assert!(matches(
            "arn:*:task/*/a?c",
            "arn:aws:ecs:eu-west-1:1:task/notebooks/abc"
        ));
        assert!(!matches("ecs:Run*", "ecs:StopTask"));
        assert!(!matches("ecs:Run", "ecs:RunTask"));
    }

    #[test]
    fn an_explicit_deny_wins_and_silence_does_not_allow() {
        let policy = Policy::parse(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecs:*","Resource":"*"},
                {"Effect":"Deny","Action":["ecs:ListTasks"],"Resource":"*"}]}"#,
        )
        .unwrap();
        assert_eq!(policy.judge(ask("ecs:RunTask", "x")), Verdict::Allowed);
        assert_eq!(policy.judge(ask("ecs:ListTasks", "x")), Verdict::Denied);
        assert_eq!(
            policy.judge(ask("sts:AssumeRole", "x")),
            Verdict::NotAllowed
        );
    }

    #[test]
    fn a_condition_on_the_cluster_is_checked() {
        let document = |cluster: &str| {
            format!(
                r#"{{"Statement":{{"Effect":"Allow","Action":"ecs:RunTask","Resource":"*",
                    "Condition":{{"ArnEquals":{{"ecs:cluster":"{cluster}"}}}}}}}}"#
            )
        };
        assert_eq!(
            Policy::parse(&document(CLUSTER))
                .unwrap()
                .judge(ask("ecs:RunTask", "x")),
            Verdict::Allowed
        );
        assert_eq!(
            Policy::parse(&document("arn:other"))
                .unwrap()
                .judge(ask("ecs:RunTask", "x")),
            Verdict::NotAllowed
        );
    }
}
