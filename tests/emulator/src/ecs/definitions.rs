//! Task definitions: registered, found by family, by family:revision or by ARN, and described.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{validate, volumes};
use crate::api_error::ApiError;
use crate::clock;

#[derive(Clone, Debug)]
pub struct Definition {
    pub arn: String,
    pub family: String,
    pub revision: u64,
    /// The members of the official model's `TaskDefinition`.
    pub body: Value,
    pub tags: Value,
}

impl Definition {
    pub fn containers(&self) -> &[Value] {
        self.body["containerDefinitions"]
            .as_array()
            .map_or(&[], Vec::as_slice)
    }

    /// The container that stands for the task: the first essential one.
    pub fn main_container(&self) -> Option<&Value> {
        self.containers()
            .iter()
            .find(|container| container["essential"] != json!(false))
    }

    /// Until it is deregistered.
    pub fn is_active(&self) -> bool {
        self.body["status"] == json!("ACTIVE")
    }

    pub fn is_awsvpc(&self) -> bool {
        self.body["networkMode"] == json!("awsvpc")
    }
}

#[derive(Debug, Default)]
pub struct Definitions {
    /// `arn:aws:ecs:<region>:<account>`
    prefix: String,
    families: BTreeMap<String, Vec<Arc<Definition>>>,
}

impl Definitions {
    pub fn new(region: &str, account: &str) -> Self {
        Self {
            prefix: format!("arn:aws:ecs:{region}:{account}"),
            families: BTreeMap::new(),
        }
    }

    /// A Fargate definition with one container and its log, as the command line names it.
    pub fn add_plain(&mut self, family: &str, container: &str, now_ms: u64) {
        let region = self.prefix.split(':').nth(3).unwrap_or_default();
        let log = json!({
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": format!("/ecs/{family}"),
                "awslogs-region": region,
                "awslogs-stream-prefix": family,
            },
        });
        let request = json!({
            "family": family,
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": [{ "name": container, "image": "quay.io/jupyter/base-notebook:latest", "logConfiguration": log }],
        });
        self.add(family, request, now_ms);
    }

    fn add(&mut self, family: &str, mut body: Value, now_ms: u64) -> Arc<Definition> {
        let revisions = self.families.entry(family.to_owned()).or_default();
        let revision = revisions.len() as u64 + 1;
        let arn = format!("{}:task-definition/{family}:{revision}", self.prefix);
        let tags = body
            .as_object_mut()
            .and_then(|body| body.remove("tags"))
            .unwrap_or_else(|| json!([]));
        for container in body["containerDefinitions"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            let defaults = [("cpu", json!(0)), ("essential", json!(true))];
            let empty = ["environment", "mountPoints", "portMappings", "volumesFrom"]
                .map(|name| (name, json!([])));
            for (name, value) in defaults.into_iter().chain(empty) {
                if container[name].is_null() {
                    container[name] = value;
                }
            }
        }
        for name in ["volumes", "placementConstraints"] {
            if body[name].is_null() {
                body[name] = json!([]);
            }
        }
        body["taskDefinitionArn"] = json!(arn);
        body["revision"] = json!(revision);
        body["status"] = json!("ACTIVE");
        body["registeredAt"] = json!(clock::epoch_seconds(now_ms));
        body["registeredBy"] = json!(format!("{}:root", self.prefix.replace(":ecs:", ":iam:")));
        body["compatibilities"] = match &body["requiresCompatibilities"] {
            Value::Null => json!(["EC2", "FARGATE"]),
            given => given.clone(),
        };
        let definition = Arc::new(Definition {
            arn,
            family: family.to_owned(),
            revision,
            body,
            tags,
        });
        revisions.push(Arc::clone(&definition));
        definition
    }

    fn without_arn<'a>(&self, name: &'a str) -> Option<&'a str> {
        match name.strip_prefix(&self.prefix) {
            Some(rest) => rest.strip_prefix(":task-definition/"),
            None => Some(name),
        }
    }

    /// By family (its latest active revision), `family:revision` or ARN.
    pub fn find(&self, name: &str) -> Option<Arc<Definition>> {
        let name = self.without_arn(name)?;
        match name.rsplit_once(':') {
            Some((family, revision)) => {
                let revision: u64 = revision.parse().ok()?;
                self.families
                    .get(family)?
                    .iter()
                    .find(|definition| definition.revision == revision)
                    .cloned()
            }
            None => self
                .families
                .get(name)?
                .iter()
                .rfind(|definition| definition.is_active())
                .cloned(),
        }
    }

    /// What tasks that run have of it stays as it was.
    pub fn change(&mut self, arn: &str, change: impl FnOnce(&mut Definition)) {
        if let Some(definition) = self
            .families
            .values_mut()
            .flatten()
            .find(|definition| definition.arn == arn)
        {
            change(Arc::make_mut(definition));
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.families.values().flatten()
    }

    pub fn register(&mut self, request: Value, now_ms: u64) -> Result<Value, ApiError> {
        let family = request["family"].as_str().unwrap_or_default().to_owned();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if family.is_empty() {
            return Err(ApiError::client("Family should not be null or empty."));
        }
        if family.len() > 255 || !family.chars().all(allowed) {
            return Err(ApiError::client("Family contains invalid characters."));
        }
        let containers = request["containerDefinitions"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        if containers.is_empty() {
            return Err(ApiError::client("Container list cannot be empty."));
        }
        if containers
            .iter()
            .any(|container| container["name"].as_str().is_none_or(str::is_empty))
        {
            return Err(ApiError::client(
                "Container.name should not be null or empty.",
            ));
        }
        if containers
            .iter()
            .any(|container| container["image"].as_str().is_none_or(str::is_empty))
        {
            return Err(ApiError::client(
                "Container.image should not be null or empty.",
            ));
        }
        validate::tags(&request["tags"])?;
        let for_fargate = request["requiresCompatibilities"]
            .as_array()
            .is_some_and(|list| list.contains(&json!("FARGATE")));
        if for_fargate && request["networkMode"] != json!("awsvpc") {
            return Err(ApiError::client(
                "Fargate only supports network mode ‘awsvpc’.",
            ));
        }
        if for_fargate && (request["cpu"].is_null() || request["memory"].is_null()) {
            return Err(ApiError::client(
                "Fargate requires that 'cpu' and 'memory' be defined at the task level.",
            ));
        }
        let has_secrets = |container: &Value| {
            let secrets = container["secrets"].as_array();
            secrets.is_some_and(|secrets| !secrets.is_empty())
        };
        if containers.iter().any(has_secrets) && request["executionRoleArn"].is_null() {
            return Err(ApiError::client(
                "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
            ));
        }
        if containers.iter().any(names_twice) {
            return Err(ApiError::client(
                "The secret name must be unique and not shared with any new or existing environment variables set on the container.",
            ));
        }
        volumes::check(&request, for_fargate)?;
        let definition = self.add(&family, request, now_ms);
        Ok(json!({ "taskDefinition": definition.body, "tags": definition.tags }))
    }

    pub fn describe(&self, request: &Value) -> Result<Value, ApiError> {
        let name = request["taskDefinition"].as_str().unwrap_or_default();
        if name.is_empty() {
            return Err(ApiError::client(
                "TaskDefinition should not be null or empty.",
            ));
        }
        let definition = self
            .find(name)
            .ok_or_else(|| ApiError::client("Unable to describe task definition."))?;
        let mut answer = json!({ "taskDefinition": definition.body });
        if validate::includes_tags(request) {
            answer["tags"] = definition.tags.clone();
        }
        Ok(answer)
    }
}

/// Whether a container has a variable and a secret of one name.
fn names_twice(container: &Value) -> bool {
    let names = ["environment", "secrets"].map(|list| {
        let items = container[list].as_array().into_iter().flatten();
        items.map(|item| item["name"].clone()).collect::<Vec<_>>()
    });
    names[1].iter().any(|name| names[0].contains(name))
}
