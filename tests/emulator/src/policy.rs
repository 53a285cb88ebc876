//! IAM policy documents: enough of them to allow or deny an action as IAM does (user guide, "Policy evaluation logic").
//! An explicit Deny wins, then an Allow is needed. Knows Action, NotAction, Resource, NotResource with `*` and `?`, and
//! conditions that compare strings, ARNs or truth values or ask for absence; a condition it does not know never holds for an
//! Allow and always for a Deny. A resource's own policy names its principals and may leave out the resource.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

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
    principal: Option<Principal>,
    action: Option<OneOrMany<String>>,
    not_action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_resource: Option<OneOrMany<String>>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMany<Value>>>,
}

/// `"*"`, or ARNs under `AWS`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Principal {
    Kinds(BTreeMap<String, OneOrMany<String>>),
    Everybody(String),
}

impl Principal {
    /// None is somebody without credentials.
    fn is(&self, arn: Option<&str>) -> bool {
        let named = |name: &String| name == "*" || Some(name.as_str()) == arn;
        match self {
            Self::Everybody(name) => named(name),
            Self::Kinds(kinds) => kinds.get("AWS").is_some_and(|arns| arns.iter().any(named)),
        }
    }
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

    /// As the policy of whoever asks.
    pub fn judge(&self, ask: Ask<'_>) -> Verdict {
        self.verdict(|statement| statement.covers_resource(ask, false) && statement.concerns(ask))
    }

    /// As the policy of the resource that is asked for; `principal` is a role's ARN, or None for somebody without credentials.
    pub fn judge_for(&self, principal: Option<&str>, ask: Ask<'_>) -> Verdict {
        self.verdict(|statement| {
            statement
                .principal
                .as_ref()
                .is_some_and(|named| named.is(principal))
                && statement.covers_resource(ask, true)
                && statement.concerns(ask)
        })
    }

    fn verdict(&self, concerned: impl Fn(&Statement) -> bool) -> Verdict {
        let mut verdict = Verdict::NotAllowed;
        for statement in self
            .statement
            .iter()
            .filter(|statement| concerned(statement))
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
        let action_fits = match (&self.action, &self.not_action) {
            (Some(patterns), _) => names(patterns),
            (None, Some(patterns)) => !names(patterns),
            (None, None) => false,
        };
        action_fits && self.conditions_hold(ask)
    }

    /// `unsaid` is whether a statement without a resource covers all.
    fn covers_resource(&self, ask: Ask<'_>, unsaid: bool) -> bool {
        let covers =
            |patterns: &OneOrMany<String>| patterns.iter().any(|p| matches(p, ask.resource));
        match (&self.resource, &self.not_resource) {
            (Some(patterns), _) => covers(patterns),
            (None, Some(patterns)) => !covers(patterns),
            (None, None) => unsaid,
        }
    }

    fn conditions_hold(&self, ask: Ask<'_>) -> bool {
        self.condition.iter().all(|(operator, keys)| {
            keys.iter().all(|(key, wanted)| {
                let actual = ask
                    .context
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(key))
                    .map(|(_, value)| *value);
                holds(operator, wanted, actual).unwrap_or_else(|| {
                    tracing::warn!(operator, key, "the emulator does not know this condition");
                    self.effect == Effect::Deny
                })
            })
        })
    }
}

/// IAM user guide, "IAM JSON policy elements: Condition operators": a key that is not there fits no operator but Null and those
/// that negate. None is an operator that the emulator does not know.
fn holds(operator: &str, wanted: &OneOrMany<Value>, actual: Option<&str>) -> Option<bool> {
    // `true` stands for `"true"` in a document.
    let mut wanted = wanted.iter().map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let holds = match operator {
        "StringEquals" | "Bool" => actual.is_some_and(|value| wanted.any(|want| want == value)),
        "StringNotEquals" => actual.is_none_or(|value| wanted.all(|want| want != value)),
        "StringLike" | "ArnEquals" | "ArnLike" => {
            actual.is_some_and(|value| wanted.any(|want| matches(&want, value)))
        }
        "StringNotLike" | "ArnNotEquals" | "ArnNotLike" => {
            actual.is_none_or(|value| wanted.all(|want| !matches(&want, value)))
        }
        "Null" => wanted.any(|want| want == actual.is_none().to_string()),
        _ => return None,
    };
    Some(holds)
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

    #[test]
    fn a_resources_policy_tells_its_principals_and_how_they_come() {
        let policy = Policy::parse(
            r#"{"Statement":[
                {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:role/ada"},"Action":"elasticfilesystem:ClientMount",
                 "Condition":{"StringEquals":{"elasticfilesystem:AccessPointArn":"ada's"}}},
                {"Effect":"Deny","Principal":"*","Action":"*","Condition":{"Bool":{"aws:SecureTransport":false}}},
                {"Effect":"Deny","Principal":{"AWS":"*"},"Action":"*","Condition":{"Null":{"elasticfilesystem:AccessPointArn":"true"}}}
            ]}"#,
        )
        .unwrap();
        let mount = |role: Option<&str>, context: &[(&str, &str)]| {
            let ask = Ask {
                action: "elasticfilesystem:ClientMount",
                resource: "fs",
                context,
            };
            policy.judge_for(role, ask)
        };
        let ada = Some("arn:aws:iam::1:role/ada");
        let (point, tls) = (
            ("elasticfilesystem:AccessPointArn", "ada's"),
            ("aws:SecureTransport", "true"),
        );
        assert_eq!(mount(ada, &[point, tls]), Verdict::Allowed);
        assert_eq!(
            mount(Some("arn:aws:iam::1:role/bob"), &[point, tls]),
            Verdict::NotAllowed
        );
        assert_eq!(mount(None, &[point, tls]), Verdict::NotAllowed);
        assert_eq!(mount(ada, &[tls]), Verdict::Denied);
        assert_eq!(
            mount(ada, &[point, ("aws:SecureTransport", "false")]),
            Verdict::Denied
        );
    }
}
