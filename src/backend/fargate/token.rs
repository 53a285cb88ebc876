//! A server's token where it must not stand in RunTask's overrides: the variables that hold it, as a secret of Secrets Manager
//! keeps them, and how a task definition names them.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Where JupyterHub puts the token (`Spawner.get_env`; the second is its name from before JupyterHub 0.8, which fills it, too).
const NAMES: [&str; 2] = ["JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"];

/// The variables that hold the token, and no others. Its values are no one's to see.
pub struct Token(BTreeMap<String, String>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.0.keys()).finish()
    }
}

impl Token {
    /// Takes every variable that holds the token out of a container's environment, whoever put it there; none where `env`,
    /// which is the hub's, has no token.
    pub fn take(env: &BTreeMap<String, String>, environment: &mut Vec<Value>) -> Option<Self> {
        let tokens: Vec<&String> = NAMES.iter().filter_map(|name| env.get(*name)).collect();
        let tokens: Vec<&String> = tokens.into_iter().filter(|t| !t.is_empty()).collect();
        let mut taken = BTreeMap::new();
        environment.retain(|variable| {
            let text = |member: &str| variable[member].as_str().unwrap_or_default().to_owned();
            let (name, value) = (text("name"), text("value"));
            let holds = tokens.iter().any(|token| value.contains(token.as_str()));
            if holds {
                taken.insert(name, value);
            }
            !holds
        });
        (!taken.is_empty()).then_some(Self(taken))
    }

    /// Whether the token itself stands in a text.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.values().any(|value| text.contains(value.as_str()))
    }

    /// What the secret holds: an object of the variables ("We recommend you use a JSON structure of key/value pairs", API
    /// Reference, CreateSecret).
    pub fn text(&self) -> String {
        json!(self.0).to_string()
    }

    /// A container's `secrets` by the secret's ARN: one key of its JSON each ("Pass Secrets Manager secrets through Amazon ECS
    /// environment variables" in the ECS Developer Guide; platform version 1.4.0).
    pub fn references(&self, arn: &str) -> Vec<(String, String)> {
        let reference = |name: &String| (name.clone(), format!("{arn}:{name}::"));
        self.0.keys().map(reference).collect()
    }
}

/// Gives a container these secrets in the place of what it has by their names, which ECS would refuse beside them.
pub fn add_to(container: &mut Map<String, Value>, secrets: &[(String, String)]) {
    let ours = |item: &Value| {
        secrets
            .iter()
            .any(|(name, _)| item["name"] == name.as_str())
    };
    for list in ["environment", "secrets"] {
        if let Some(Value::Array(items)) = container.get_mut(list) {
            items.retain(|item| !ours(item));
        }
    }
    let list = container.entry("secrets").or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    if let Value::Array(items) = list {
        items.extend(
            secrets
                .iter()
                .map(|(name, from)| json!({"name": name, "valueFrom": from})),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_that_holds_the_token_is_taken_and_no_other() {
        let env = BTreeMap::from([("JUPYTERHUB_API_TOKEN".to_owned(), "canary-token".to_owned())]);
        let mut environment = vec![
            json!({"name": "JUPYTERHUB_API_TOKEN", "value": "canary-token"}),
            json!({"name": "JPY_API_TOKEN", "value": "canary-token"}),
            json!({"name": "HEADER", "value": "token canary-token"}),
            json!({"name": "JUPYTERHUB_USER", "value": "ada"}),
        ];
        let token = Token::take(&env, &mut environment).unwrap();
        assert_eq!(
            environment,
            [json!({"name": "JUPYTERHUB_USER", "value": "ada"})]
        );
        assert!(!format!("{token:?}").contains("canary"));
        let references = token.references("arn:s");
        let names: Vec<&str> = references.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["HEADER", "JPY_API_TOKEN", "JUPYTERHUB_API_TOKEN"]);
        assert_eq!(references[0].1, "arn:s:HEADER::");
        assert!(Token::take(&BTreeMap::new(), &mut environment).is_none());
    }

    #[test]
    fn a_secret_takes_the_place_of_what_has_its_name() {
        let container = json!({"environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "secrets": [{"name": "A", "valueFrom": "arn:old"}]});
        let mut container = container.as_object().cloned().unwrap();
        add_to(&mut container, &[("A".to_owned(), "arn:new".to_owned())]);
        assert_eq!(
            container["environment"],
            json!([{"name": "B", "value": "2"}])
        );
        assert_eq!(
            container["secrets"],
            json!([{"name": "A", "valueFrom": "arn:new"}])
        );
    }
}
