//! Whether a server can be made from a task definition, by what ECS tells of it.

use super::config::Config;
use crate::wire::reply::Check;
use serde_json::Value;

/// Findings about what DescribeTaskDefinition answered.
pub fn checks(described: &Value, config: &Config, hub_version: Option<&str>) -> Vec<Check> {
    let definition = &described["taskDefinition"];
    let container = config.container_name.as_deref();
    let text = |name: &str| definition[name].as_str().unwrap_or_default();
    let arn = text("taskDefinitionArn");
    let mut checks = vec![fits(definition, arn)];
    let all = definition["containerDefinitions"].as_array();
    let all: Vec<&Value> = all.into_iter().flatten().collect();
    let names: Vec<&str> = all.iter().filter_map(|c| c["name"].as_str()).collect();
    let server = match container {
        Some(name) => all.iter().find(|c| c["name"] == name),
        None => all.iter().find(|c| c["essential"] != false),
    };
    let Some(server) = server else {
        let found = format!(
            "{container:?} is not in {arn}, which has {}",
            names.join(", ")
        );
        checks.push(Check::bad(
            "container",
            &found,
            "Name one of these in container_name.",
        ));
        return checks;
    };
    let name = server["name"].as_str().unwrap_or_default();
    checks.push(Check::good(
        "container",
        &format!("{name}{}", ports(server)),
    ));
    checks.extend(hub_version.and_then(|version| version_of_jupyterhub(server, version)));
    checks.push(log_options(server));
    let overrides = config.run_task.as_ref().and_then(|r| r.get("overrides"));
    let role = overrides.map_or(&Value::Null, |all| &all["executionRoleArn"]);
    let role = role.as_str().or(definition["executionRoleArn"].as_str());
    checks.push(execution_role(role, config.keeps_tokens()));
    checks
}

/// Fargate takes awsvpc alone, and what was registered for it ("Amazon ECS task definition differences for Fargate").
fn fits(definition: &Value, arn: &str) -> Check {
    const NAME: &str = "task definition";
    let lists_fargate = |name: &str| {
        let list = definition[name].as_array();
        list.is_none_or(|list| list.iter().any(|kind| kind == "FARGATE"))
    };
    let wrong = |why: &str, hint: &str| Check::bad(NAME, &format!("{arn} {why}"), hint);
    if definition["status"] == "INACTIVE" {
        return wrong(
            "is not active any more",
            "Name a revision that is active, or the family alone.",
        );
    }
    if definition["networkMode"]
        .as_str()
        .is_some_and(|mode| mode != "awsvpc")
    {
        return wrong(
            "is not of networkMode awsvpc",
            "Register a revision with \"networkMode\": \"awsvpc\".",
        );
    }
    if !lists_fargate("compatibilities") {
        return wrong(
            "cannot run on Fargate",
            "Register a revision with \"requiresCompatibilities\": [\"FARGATE\"] and with cpu and memory of the task.",
        );
    }
    Check::good(NAME, arn)
}

fn ports(server: &Value) -> String {
    let mapped = server["portMappings"].as_array();
    let mapped: Vec<String> = mapped
        .into_iter()
        .flatten()
        .map(|port| port["containerPort"].to_string())
        .collect();
    if mapped.is_empty() {
        // "portMappings" in the API Reference: with awsvpc a port that listens is reachable without one.
        return " maps no port, which awsvpc does not need".to_owned();
    }
    format!(" on port {}", mapped.join(", "))
}

/// Only an image that bears JupyterHub's version in its name tells it. JupyterHub itself warns of another major version, since people
/// may then be sent in circles between hub and server (`jupyterhub._version`).
fn version_of_jupyterhub(server: &Value, hub_version: &str) -> Option<Check> {
    const NAME: &str = "JupyterHub in the image";
    let image = server["image"].as_str()?;
    let (repository, tag) = image.split('@').next()?.rsplit_once(':')?;
    let version = if repository.ends_with("jupyterhub/singleuser") {
        tag
    } else {
        // "hub-5.2.1": Jupyter Docker Stacks, "Versioning via image tags".
        tag.strip_prefix("hub-")?
    };
    let major = |version: &str| version.split('.').next()?.parse::<u32>().ok();
    let (there, here) = (major(version)?, major(hub_version)?);
    if there == here {
        return Some(Check::good(NAME, version));
    }
    let found = format!("{image} has JupyterHub {version}, and the hub is {hub_version}");
    let hint =
        format!("Take an image with JupyterHub {here}, such as {repository} of that version.");
    Some(Check::bad(NAME, &found, &hint))
}

/// "Send Amazon ECS logs to CloudWatch" in the Developer Guide: group and region are required, on Fargate the prefix, too.
fn log_options(server: &Value) -> Check {
    const NAME: &str = "log options";
    const OPTIONS: [&str; 3] = ["awslogs-group", "awslogs-region", "awslogs-stream-prefix"];
    let log = &server["logConfiguration"];
    match log["logDriver"].as_str() {
        Some("awslogs") => {}
        other => {
            let found = format!(
                "logDriver {:?}: what servers write cannot be shown",
                other.unwrap_or("none")
            );
            let hint = "Set logConfiguration.logDriver to \"awslogs\" to read logs, and to see why a server died.";
            return Check::unseen(NAME, &found, hint);
        }
    }
    let lacks = |name: &&str| log["options"][*name].as_str().is_none_or(str::is_empty);
    let missing: Vec<&str> = OPTIONS.into_iter().filter(lacks).collect();
    if missing.is_empty() {
        let group = log["options"]["awslogs-group"].as_str();
        return Check::good(NAME, group.unwrap_or_default());
    }
    let found = format!("logConfiguration.options lacks {}", missing.join(", "));
    Check::bad(NAME, &found, "Register a revision with these options.")
}

/// "Amazon ECS task execution IAM role": needed for images of ECR, for awslogs and for secrets; ECS itself refuses to register a
/// definition for Fargate that lacks one it needs.
fn execution_role(role: Option<&str>, reads_tokens: bool) -> Check {
    const NAME: &str = "execution role";
    const FOR_TOKENS: &str = "deployments/fargate/token-execution-role-policy.json";
    if reads_tokens {
        return role.map_or_else(
            || {
                let found = "none: token_in \"secrets_manager\" needs one that reads the token";
                let hint =
                    format!("Register a revision with an executionRoleArn that has {FOR_TOKENS}.");
                Check::bad(NAME, &found, &hint)
            },
            |role| {
                let found = format!(
                    "{role}; whether it may secretsmanager:GetSecretValue only a start shows"
                );
                Check::unseen(NAME, &found, &format!("See that it has {FOR_TOKENS}."))
            },
        );
    }
    role.map_or_else(
        || {
            let found = "none: the image must be one that everybody may pull, and logs cannot be written";
            let hint = "Register a revision with an executionRoleArn that has AmazonECSTaskExecutionRolePolicy.";
            Check::unseen(NAME, found, hint)
        },
        |role| Check::good(NAME, role),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config() -> Config {
        Config::read(&json!({"container_name": "notebook"})).unwrap()
    }

    fn good() -> Value {
        let options =
            json!({"awslogs-group": "g", "awslogs-region": "r", "awslogs-stream-prefix": "p"});
        json!({"taskDefinition": {"taskDefinitionArn": "arn:x", "status": "ACTIVE", "networkMode": "awsvpc",
            "compatibilities": ["EC2", "FARGATE"], "executionRoleArn": "arn:role", "containerDefinitions": [{"name": "notebook",
            "image": "i", "essential": true, "portMappings": [{"containerPort": 8888}],
            "logConfiguration": {"logDriver": "awslogs", "options": options}}]}})
    }

    #[test]
    fn a_definition_that_can_work_has_no_bad_finding() {
        let checks = checks(&good(), &config(), None);
        assert!(checks.iter().all(|check| check.ok), "{checks:?}");
        assert!(
            checks
                .iter()
                .any(|check| check.message == "notebook on port 8888")
        );
    }

    #[test]
    fn each_fault_of_a_definition_is_one_finding_of_its_name() {
        for (at, value, name) in [
            ("/status", json!("INACTIVE"), "task definition"),
            ("/networkMode", json!("bridge"), "task definition"),
            ("/compatibilities", json!(["EC2"]), "task definition"),
            ("/containerDefinitions/0/name", json!("other"), "container"),
            (
                "/containerDefinitions/0/logConfiguration/options/awslogs-group",
                json!(""),
                "log options",
            ),
        ] {
            let mut described = good();
            *described
                .pointer_mut(&format!("/taskDefinition{at}"))
                .unwrap() = value;
            let checks = checks(&described, &config(), None);
            let bad: Vec<&Check> = checks.iter().filter(|check| !check.ok).collect();
            assert_eq!(bad.len(), 1, "{at}: {checks:?}");
            assert_eq!(bad[0].name, name);
            assert!(bad[0].hint.is_some());
        }
    }
}
