//! Fargate's settings, and RunTask's arguments made from them.
//!
//! The admin's arguments go through as they are, whatever AWS adds to them; ours stand beside them.

use super::record::TASK_DEFINITION;
use super::token::Token;
use crate::backend::{Record, config, tags};
use crate::error::Failure;
use crate::mount::efs;
use crate::wire::{Spec, StartParams};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// ECS refuses longer overrides (RunTask, "overrides": 8192 characters including JSON formatting).
const MAX_OVERRIDES_CHARS: usize = 8192;
/// RunTask, "tags".
const MAX_TAGS: usize = 50;
/// What ECS takes where RunTask names no cluster (RunTask, "cluster").
const DEFAULT_CLUSTER: &str = "default";

/// The fields of `config` (protocol, config and credentials).
const FIELDS: &[&str] = &[
    "region",
    "endpoint_url",
    "run_task",
    "clusters",
    "container_name",
    "address",
    "storage",
    "token_in",
    "token_kms_key",
];

/// The backend's settings.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Config {
    /// The region; else the environment's or the profile's.
    pub region: Option<String>,
    /// The endpoint; else the environment's, else the region's own.
    pub endpoint_url: Option<String>,
    /// RunTask's own arguments; needed by start only.
    pub run_task: Option<Map<String, Value>>,
    /// Where to look when neither state nor `run_task` says.
    pub clusters: Option<Vec<String>>,
    /// The container that gets the spec's command and environment.
    pub container_name: Option<String>,
    /// Which of the task's addresses is meant.
    pub address: Option<Address>,
    /// Where people's storage is.
    pub storage: Option<efs::Settings>,
    /// How the server's token reaches it.
    pub token_in: Option<TokenIn>,
    /// The KMS key of the secrets with tokens.
    pub token_kms_key: Option<String>,
}

/// How the server's token reaches it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenIn {
    /// In RunTask's overrides, where whoever may describe the task can read it.
    #[default]
    Environment,
    /// In a secret of Secrets Manager that the task's definition names.
    SecretsManager,
}

/// Which of the task's addresses the hub's proxy goes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// The network interface's private IPv4 address.
    #[default]
    PrivateIpv4,
    /// The public IPv4 address that goes with it, for a hub outside the VPC.
    PublicIpv4,
    /// The network interface's IPv6 address.
    Ipv6,
}

impl Address {
    /// As it stands in a record.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivateIpv4 => "private_ipv4",
            Self::PublicIpv4 => "public_ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    /// From a record; what is not known means the default.
    pub fn from_record(name: Option<&str>) -> Self {
        [Self::PublicIpv4, Self::Ipv6]
            .into_iter()
            .find(|kind| name == Some(kind.name()))
            .unwrap_or_default()
    }
}

impl Config {
    /// Reads and checks the settings.
    pub fn read(value: &Value) -> Result<Self, Failure> {
        let config: Self = config::read(value, FIELDS)?;
        if let Some(storage) = &config.storage {
            storage.check()?;
        }
        Ok(config)
    }

    /// The cluster that RunTask goes to.
    pub fn start_cluster(&self) -> Result<String, Failure> {
        let given = self.run_task.as_ref().and_then(|r| r.get("cluster"));
        match given {
            None | Some(Value::Null) => Ok(DEFAULT_CLUSTER.to_owned()),
            Some(Value::String(cluster)) if !cluster.is_empty() => Ok(cluster.clone()),
            Some(other) => Err(Failure::invalid_config(
                "config.run_task.cluster",
                format!("must be a cluster's name or ARN, not {other}"),
            )),
        }
    }

    /// Whether tokens are kept in Secrets Manager.
    pub fn keeps_tokens(&self) -> bool {
        self.token_in == Some(TokenIn::SecretsManager)
    }

    /// The subnets of the tasks, as far as RunTask names them.
    pub fn subnets(&self) -> Vec<&str> {
        self.network("subnets").map_or(Vec::new(), texts)
    }

    /// The security groups of the tasks, as far as RunTask names them.
    pub fn security_groups(&self) -> Vec<&str> {
        self.network("securityGroups").map_or(Vec::new(), texts)
    }

    /// Refuses a public address where tasks get none.
    ///
    /// # Errors
    /// `invalid_config` with the setting's name.
    pub fn check_public_address(&self) -> Result<(), Failure> {
        const FIELD: &str =
            "config.run_task.networkConfiguration.awsvpcConfiguration.assignPublicIp";
        let wants = self.address == Some(Address::PublicIpv4);
        if !wants || self.run_task.is_none() || self.assigns_public_ip() {
            return Ok(());
        }
        Err(Failure::invalid_config(
            FIELD,
            "must be \"ENABLED\" (FargateSpawner.assign_public_ip = True) with address \"public_ipv4\": without it a task gets no public address",
        ))
    }

    /// Whether RunTask asks for public addresses.
    pub fn assigns_public_ip(&self) -> bool {
        self.network("assignPublicIp")
            .is_some_and(|it| it == "ENABLED")
    }

    fn network(&self, member: &str) -> Option<&Value> {
        let network = self.run_task.as_ref()?.get("networkConfiguration")?;
        network.get("awsvpcConfiguration")?.get(member)
    }

    /// Every cluster that the settings name.
    pub fn known_clusters(&self) -> Vec<String> {
        let mut known = self.clusters.clone().unwrap_or_default();
        if self.run_task.is_some() {
            known.extend(self.start_cluster().ok());
        }
        known.retain(|cluster| !cluster.is_empty());
        let mut seen = std::collections::HashSet::new();
        known.retain(|cluster| seen.insert(cluster.clone()));
        known
    }
}

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

/// RunTask's arguments without clientToken and without our tags, and what the admin should know of them.
#[derive(Debug)]
pub struct RunTask {
    arguments: Map<String, Value>,
    /// What the admin should know.
    pub warnings: Vec<String>,
    /// What the arguments must not hold and the server needs, where the settings say so.
    pub token: Option<Token>,
}

impl RunTask {
    /// Completes the admin's arguments with the spec's and our own.
    pub fn build(config: &Config, params: &StartParams, key: &str) -> Result<Self, Failure> {
        let Some(mut arguments) = config.run_task.clone() else {
            return Err(Failure::invalid_config(
                "config.run_task",
                "is missing; give RunTask's own arguments, with at least taskDefinition and networkConfiguration",
            ));
        };
        check_types(&arguments)?;
        config.check_public_address()?;
        check_spec(&params.spec)?;
        let mut warnings = Vec::new();
        for (name, ours) in [("startedBy", Some(key)), ("clientToken", None)] {
            if arguments.get(name).is_some_and(|v| v.as_str() != ours) {
                warnings.push(format!(
                    "config.run_task.{name} is cloudspawner's own, so that servers are found again; the given value is not used"
                ));
            }
        }
        arguments.insert("startedBy".to_owned(), Value::from(key));
        arguments.remove("clientToken");
        arguments.insert("count".to_owned(), Value::from(1));
        let mut token = None;
        if let Some(container) = &config.container_name {
            let environment = complete_override(&mut arguments, container, &params.spec)?;
            if config.keeps_tokens() {
                token = Token::take(params.spec.env.expose(), environment);
            }
        } else if config.keeps_tokens() {
            return Err(Failure::invalid_config(
                "config.container_name",
                "is missing; say which container gets the token from Secrets Manager",
            ));
        }
        if token
            .as_ref()
            .is_some_and(|token| token.is_in(&json!(arguments).to_string()))
        {
            return Err(Failure::invalid_config(
                "config.run_task",
                "holds the server's token where token_in \"secrets_manager\" cannot take it out; leave it out of the command and of other containers",
            ));
        }
        check_overrides(&arguments)?;
        Ok(Self {
            arguments,
            warnings,
            token,
        })
    }

    /// The admin's task definition.
    pub fn task_definition(&self) -> &str {
        let given = self.arguments.get("taskDefinition");
        given.and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether the task's role is named here, rather than in its definition.
    pub fn has_role(&self) -> bool {
        let overrides = self.arguments.get("overrides");
        overrides.is_some_and(|all| all["taskRoleArn"].is_string())
    }

    /// The execution role, where it is named here, rather than in the definition.
    pub fn execution_role(&self) -> Option<&str> {
        self.arguments.get("overrides")?["executionRoleArn"].as_str()
    }

    /// The admin's tags.
    pub fn tags(&self) -> &[Value] {
        let tags = self.arguments.get("tags").and_then(Value::as_array);
        tags.map_or(&[], Vec::as_slice)
    }

    /// The whole request for one creation: the same record gives the same bytes.
    pub fn request(&self, record: &Record, client_token: &str, tagged: bool) -> Value {
        let mut request = self.arguments.clone();
        request.insert("clientToken".to_owned(), Value::from(client_token));
        if let Some(definition) = record.text(TASK_DEFINITION) {
            request.insert("taskDefinition".to_owned(), Value::from(definition));
        }
        if tagged {
            let ours = tags::ours(record);
            let all = request.entry("tags").or_insert_with(|| json!([]));
            if let Some(all) = all.as_array_mut() {
                all.extend(ours.map(|(key, value)| json!({"key": key, "value": value})));
            }
        }
        Value::Object(request)
    }
}

/// What must be right before anything else can be; the rest is for ECS to say.
fn check_types(arguments: &Map<String, Value>) -> Result<(), Failure> {
    let given = |name: &str| arguments.get(name).filter(|value| !value.is_null());
    let wrong = |name: &str, why: String| {
        Err(Failure::invalid_config(
            &format!("config.run_task.{name}"),
            why,
        ))
    };
    match given("taskDefinition") {
        Some(Value::String(name)) if !name.is_empty() => {}
        Some(other) => {
            return wrong(
                "taskDefinition",
                format!("must be \"family\", \"family:revision\" or an ARN, not {other}"),
            );
        }
        None => {
            return wrong(
                "taskDefinition",
                "is missing; give \"family\", \"family:revision\" or an ARN".to_owned(),
            );
        }
    }
    if let Some(count) = given("count").filter(|count| **count != json!(1)) {
        return wrong(
            "count",
            format!("must be 1 or left out, not {count}: one task is one server"),
        );
    }
    if given("launchType").is_some() && given("capacityProviderStrategy").is_some() {
        return wrong(
            "launchType",
            "cannot stand beside capacityProviderStrategy; leave one of them out".to_owned(),
        );
    }
    match given("tags") {
        None => {}
        Some(Value::Array(tags)) if tags.len() + 3 <= MAX_TAGS => {
            const OURS: [&str; 3] = [tags::HUB, tags::KEY, tags::ATTEMPT];
            let name = |tag: &Value| Some(tag.get("key")?.as_str()?.to_owned());
            if let Some(taken) = tags
                .iter()
                .filter_map(name)
                .find(|n| OURS.contains(&n.as_str()))
            {
                return wrong(
                    "tags",
                    format!("{taken} is cloudspawner's own; leave it out"),
                );
            }
        }
        Some(Value::Array(tags)) => {
            return wrong(
                "tags",
                format!(
                    "{} tags and cloudspawner's 3 are more than ECS's {MAX_TAGS}",
                    tags.len()
                ),
            );
        }
        Some(other) => {
            return wrong(
                "tags",
                format!("must be a list of key and value, not {other}"),
            );
        }
    }
    Ok(())
}

fn check_spec(spec: &Spec) -> Result<(), Failure> {
    if !matches!(spec.scheme.as_str(), "http" | "https") {
        return Err(Failure::invalid_config(
            "spec.scheme",
            format!("must be \"http\" or \"https\", not {:?}", spec.scheme),
        ));
    }
    if spec.port == 0 {
        return Err(Failure::invalid_config("spec.port", "must be 1 to 65535"));
    }
    Ok(())
}

/// Adds the spec's command and environment to the override of `container`; what the admin wrote there stays. Gives the environment.
fn complete_override<'a>(
    arguments: &'a mut Map<String, Value>,
    container: &str,
    spec: &Spec,
) -> Result<&'a mut Vec<Value>, Failure> {
    let not_a = |name: &str, what: &str| {
        Failure::invalid_config(
            &format!("config.run_task.{name}"),
            format!("must be {what}"),
        )
    };
    let overrides =
        object(arguments, "overrides").ok_or_else(|| not_a("overrides", "an object"))?;
    let containers = list(overrides, "containerOverrides")
        .ok_or_else(|| not_a("overrides.containerOverrides", "a list"))?;
    let named = |c: &Value| c.get("name").and_then(Value::as_str) == Some(container);
    let index = containers.iter().position(named).unwrap_or_else(|| {
        containers.push(json!({"name": container}));
        containers.len() - 1
    });
    let Some(ours) = containers[index].as_object_mut() else {
        return Err(not_a("overrides.containerOverrides", "a list of objects"));
    };
    let command: Vec<&String> = spec.command.iter().chain(&spec.args).collect();
    if !command.is_empty() && ours.get("command").is_none_or(Value::is_null) {
        ours.insert("command".to_owned(), json!(command));
    }
    let environment = list(ours, "environment")
        .ok_or_else(|| not_a("overrides.containerOverrides.environment", "a list"))?;
    for (name, value) in spec.env.expose() {
        let there = |e: &Value| e.get("name").and_then(Value::as_str) == Some(name);
        if !environment.iter().any(there) {
            environment.push(json!({"name": name, "value": value}));
        }
    }
    Ok(environment)
}

fn check_overrides(arguments: &Map<String, Value>) -> Result<(), Failure> {
    let Some(overrides) = arguments.get("overrides") else {
        return Ok(());
    };
    let length = overrides.to_string().chars().count();
    if length <= MAX_OVERRIDES_CHARS {
        return Ok(());
    }
    Err(Failure::invalid_config(
        "config.run_task.overrides",
        format!(
            "{length} characters of JSON are more than ECS's {MAX_OVERRIDES_CHARS}; shorten the environment (env_keep, environment) or move it into the task definition"
        ),
    ))
}

fn object<'a>(map: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let entry = map.entry(name).or_insert_with(|| json!({}));
    if entry.is_null() {
        *entry = json!({});
    }
    entry.as_object_mut()
}

fn list<'a>(map: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Vec<Value>> {
    let entry = map.entry(name).or_insert_with(|| json!([]));
    if entry.is_null() {
        *entry = json!([]);
    }
    entry.as_array_mut()
}
