//! Whether the settings can work: what can be told without ECS, and calls that change nothing.

use super::Fargate;
use super::api::Ecs;
use super::config::{Address, Config};
use super::{made_from, network};
use crate::backend::{Look, Settings, first_checks};
use crate::cloud::aws::{AccountSettings, Credentials, sts};
use crate::error::Failure;
use crate::mount::efs;
use crate::wire::Code;
use crate::wire::reply::Check;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// A doctor that takes longer is not waited for.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A hub without a way to STS, as in a closed VPC, is not kept waiting for a name.
const STS_TIMEOUT: Duration = Duration::from_secs(3);
/// The id of no task; ECS makes them by chance. What is asked of it shows whether it may be asked.
const NO_TASK: &str = "00000000000000000000000000000000";

/// All checks, the offline ones first.
pub async fn check(backend: &Fargate, settings: Settings<'_>, look: Look<'_>) -> Vec<Check> {
    let credentials = Credentials::read(settings.credentials);
    let (mut checks, config) = first_checks(Config::read(settings.config), &credentials);
    let Some(config) = config else { return checks };
    checks.push(run_task(&config));
    if let Err(failure) = config.check_public_address() {
        let hint = "Set FargateSpawner.assign_public_ip = True, or address = \"private_ipv4\" for a hub in the VPC.";
        checks.push(Check::bad("public address", &failure, hint));
    }
    let clusters = config.known_clusters();
    if clusters.is_empty() {
        checks.push(Check {
            name: "clusters".to_owned(),
            ok: false,
            message: "neither clusters nor run_task.cluster names one: a server whose state is lost cannot be found".to_owned(),
            hint: Some("Name the cluster in clusters.".to_owned()),
        });
    } else {
        checks.push(Check::good("clusters", &clusters.join(", ")));
    }
    checks.extend(
        look.hub_url
            .map(|url| way_to_the_hub(backend, &config, url)),
    );
    if !look.offline {
        ask(backend, settings, look, &config, &mut checks).await;
        if let Some(storage) = &config.storage {
            checks.push(look_at(backend, settings, &config, storage).await);
        }
    }
    checks
}

fn run_task(config: &Config) -> Check {
    const NAME: &str = "run_task";
    let Some(arguments) = &config.run_task else {
        return Check::good(
            NAME,
            "not given: these settings can poll, stop and gc, but not start",
        );
    };
    if !arguments
        .get("taskDefinition")
        .is_some_and(Value::is_string)
    {
        let failure = Failure::invalid_config("config.run_task.taskDefinition", "is missing");
        return Check::bad(
            NAME,
            &failure,
            "Name the task definition: \"family\", \"family:revision\" or an ARN.",
        );
    }
    if config.subnets().is_empty() {
        let failure = Failure::invalid_config(
            "config.run_task.networkConfiguration.awsvpcConfiguration.subnets",
            "is missing or empty",
        );
        return Check::bad(NAME, &failure, "Fargate needs at least one subnet.");
    }
    let wrong = config
        .subnets()
        .into_iter()
        .find(|subnet| !subnet.starts_with("subnet-"));
    if let Some(subnet) = wrong {
        let found = format!("{subnet:?} is no subnet's id");
        return Check::bad(NAME, &found, "Give ids, such as \"subnet-0123abcd\".");
    }
    let network = &arguments["networkConfiguration"]["awsvpcConfiguration"];
    let way_out = if network["assignPublicIp"] == "ENABLED" {
        "tasks get public addresses, for which the subnets need an internet gateway"
    } else {
        "tasks get no public address, so the subnets need a NAT gateway or endpoints to pull the image and write logs"
    };
    Check::good(
        NAME,
        &format!("task definition and subnets are named; {way_out}"),
    )
}

/// An address of one machine's own leads a task to itself. A stand-in for ECS on plain http runs its tasks where the hub is.
fn way_to_the_hub(backend: &Fargate, config: &Config, hub_url: &str) -> Check {
    const NAME: &str = "way to the hub";
    let context = &backend.surroundings.context;
    let endpoint = config.endpoint_url.as_deref();
    let endpoint = endpoint
        .or_else(|| context.env("AWS_ENDPOINT_URL_ECS"))
        .or_else(|| context.env("AWS_ENDPOINT_URL"));
    let stands_in = endpoint.is_some_and(|url| url.starts_with("http://"));
    let host = hub_url.parse::<http::Uri>().ok();
    let host = host.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let nobodys = address.map_or(host.is_empty() || host == "localhost", |ip| {
        ip.is_loopback() || ip.is_unspecified()
    });
    if nobodys && !stands_in {
        let found = format!("a task cannot reach the hub at {hub_url}");
        let hint = "Set JupyterHub.hub_connect_url to an address of the hub in the tasks' network, and hub_bind_url to listen there.";
        return Check::bad(NAME, &found, hint);
    }
    Check::good(NAME, hub_url)
}

/// Who the credentials belong to.
async fn identity(backend: &Fargate, settings: Settings<'_>, config: &Config) -> Check {
    const NAME: &str = "identity";
    let asked = async {
        let account = AccountSettings {
            credentials: Credentials::read(settings.credentials)?,
            region: config.region.clone(),
            endpoint_url: None,
        };
        // One call: there is no quota to share with others.
        let sts = backend.service(&account, sts::SERVICE_ID, sts::SERVICE, "");
        Ok::<_, Failure>(sts::caller(&sts.await?, Instant::now() + STS_TIMEOUT).await)
    };
    let unreachable = "STS cannot be reached from here to tell whose the credentials are";
    match tokio::time::timeout(STS_TIMEOUT, asked).await {
        Ok(Ok(Ok(arn))) => Check::good(NAME, &arn),
        Ok(Ok(Err(error))) if error.code() == Code::Unauthenticated => Check::bad(
            NAME,
            &error.into_failure(),
            "Log in (aws sso login), or set FargateSpawner.authentication_class.",
        ),
        Ok(Err(failure)) => Check::bad(NAME, &failure, "Mend the setting that is named."),
        Ok(Ok(Err(_))) | Err(_) => Check::unseen(NAME, unreachable, "A start needs no STS."),
    }
}

/// The permissions that can be tried on a task that is none, and by name those that cannot.
async fn permissions(ecs: &Ecs, cluster: &str, deadline: Instant) -> Vec<Check> {
    let described = ecs.describe_tasks(cluster, &[NO_TASK], false, deadline);
    let described = described.await.map(drop);
    let stopped = ecs
        .stop_task(cluster, NO_TASK, "a look", deadline)
        .await
        .map(drop);
    let mut checks = Vec::new();
    for (action, asked) in [("ecs:DescribeTasks", described), ("ecs:StopTask", stopped)] {
        let name = format!("permission {action} in {cluster}");
        checks.push(match asked {
            Err(error) if error.code() == Code::PermissionDenied => {
                Check::bad(&name, &error.into_failure(), &allow(action))
            }
            // A task that is not there is told only to those who may ask.
            Ok(()) => Check::good(&name, "given"),
            Err(error) if error.code() == Code::InvalidConfig => Check::good(&name, "given"),
            Err(error) => {
                let hint = mend(error.code());
                Check::bad(&name, &error.into_failure(), hint)
            }
        });
    }
    checks
}

fn allow(action: &str) -> String {
    format!(
        "Add to the policy: {{\"Effect\": \"Allow\", \"Action\": \"{action}\", \"Resource\": \"*\"}}; deployments/fargate/policy.json has it with the least resources."
    )
}

/// What is to be done where ECS did not answer the question, and its policy is not the reason.
fn mend(code: Code) -> &'static str {
    match code {
        Code::NotFound => "See that the name is right, and the region and the account.",
        Code::Unauthenticated => "Log in, or name the right credentials.",
        _ => "Try again.",
    }
}

/// What a start makes its task from.
async fn task_definition(
    ecs: &Ecs,
    config: &Config,
    deadline: Instant,
) -> Result<Value, Option<Check>> {
    const NAME: &str = "task definition";
    let named = config.run_task.as_ref();
    let named = named.and_then(|r| r.get("taskDefinition")?.as_str());
    let named = named.ok_or(None)?;
    let fault = match ecs.describe_task_definition(named, deadline).await {
        Ok(Some(described)) => return Ok(described),
        Ok(None) => Check::bad(
            NAME,
            &format!("not_found: {named:?} is no task definition of this account and region"),
            "Register it, or name another: aws ecs list-task-definitions",
        ),
        Err(error) if error.code() == Code::PermissionDenied => {
            let why = "not looked at: ecs:DescribeTaskDefinition is not allowed";
            Check::unseen(NAME, why, &allow("ecs:DescribeTaskDefinition"))
        }
        Err(error) => {
            let hint = mend(error.code());
            Check::bad(NAME, &error.into_failure(), hint)
        }
    };
    Err(Some(fault))
}

/// What ECS tells: ListTasks for each cluster shows credentials, region, endpoint, cluster and permission at once.
async fn ask(
    backend: &Fargate,
    settings: Settings<'_>,
    look: Look<'_>,
    config: &Config,
    checks: &mut Vec<Check>,
) {
    let ecs = match backend.ecs(config, settings, None).await {
        Ok(ecs) => ecs,
        Err(failure) => {
            checks.push(Check::bad(
                "endpoint",
                &failure,
                "Name region or endpoint_url.",
            ));
            return;
        }
    };
    checks.push(Check::good(
        "endpoint",
        &format!("{} in {}", ecs.endpoint(), ecs.region()),
    ));
    checks.push(identity(backend, settings, config).await);
    let deadline = Instant::now() + TIMEOUT;
    for cluster in &config.known_clusters() {
        let name = format!("list tasks in {cluster}");
        match ecs.list_tasks(cluster, None, deadline).await {
            Ok(tasks) => checks.push(Check::good(&name, &format!("{} tasks run", tasks.len()))),
            Err(error) => {
                let hint = match error.code() {
                    Code::PermissionDenied => {
                        "Without ecs:ListTasks gc and the lookup of servers whose state is lost are off; see deployments/fargate for the policy."
                    }
                    code => mend(code),
                };
                checks.push(Check::bad(&name, &error.into_failure(), hint));
            }
        }
        checks.extend(permissions(&ecs, cluster, deadline).await);
    }
    let described = task_definition(&ecs, config, deadline).await;
    match &described {
        Ok(described) => checks.extend(made_from::checks(described, config, look.hub_version)),
        Err(fault) => checks.extend(fault.clone()),
    }
    let known = network::Known {
        config,
        region: ecs.region(),
        port: look.port,
        hub_url: look.hub_url,
        described: described.as_ref().ok(),
    };
    checks.extend(network::checks(ecs.interfaces.ec2(), &known).await);
    if config.keeps_tokens() {
        const ACTION: &str = "secretsmanager:DescribeSecret";
        let name = format!("permission {ACTION}");
        checks.push(match ecs.vault.look(deadline).await {
            Ok(()) => Check::good(
                &name,
                "given; the others of deployments/fargate/token-policy.json only a start shows",
            ),
            Err(failure) => Check::bad(&name, &failure, &allow(ACTION)),
        });
    }
    if config.address == Some(Address::PublicIpv4) {
        const ACTION: &str = "ec2:DescribeNetworkInterfaces";
        let name = format!("permission {ACTION}");
        checks.push(match ecs.interfaces.look(deadline).await {
            Ok(()) => Check::good(&name, "given"),
            Err(failure) => Check::bad(&name, &failure, &allow(ACTION)),
        });
    }
    checks.push(Check::unseen(
        "not tried",
        "ecs:RunTask, ecs:TagResource and iam:PassRole, and the account's quota of vCPUs",
        "Only a start shows these: cloudspawner start --user NAME",
    ));
}

/// The file system, its mount targets as far as EFS tells, and whether the hub may look at access points. In which VPC the tasks'
/// subnets are EFS does not know: a mount target in one of them is proof, none is a hint.
async fn look_at(
    backend: &Fargate,
    settings: Settings<'_>,
    config: &Config,
    storage: &efs::Settings,
) -> Check {
    let name = format!("storage {}", storage.file_system_id);
    let deadline = Instant::now() + TIMEOUT;
    let found = async {
        let efs = backend.efs(config, settings).await?;
        efs.can_be_mounted(&storage.file_system_id, deadline)
            .await?;
        efs.look(storage, deadline).await
    };
    let (points, targets) = match found.await {
        Ok(found) => found,
        Err(failure) => {
            let hint = "Mend config.storage, or see deployments/fargate_with_efs for the policy.";
            return Check::bad(&name, &failure, hint);
        }
    };
    let subnets = config.subnets();
    let beside = targets
        .iter()
        .any(|target| subnets.contains(&target.subnet_id.as_str()));
    let place = if beside || subnets.is_empty() {
        String::new()
    } else {
        let vpcs: Vec<&str> = targets.iter().map(|t| t.vpc_id.as_str()).collect();
        format!(
            "; none of its mount targets is in a subnet of run_task: see that these are in {}, too",
            vpcs.first().unwrap_or(&"its VPC")
        )
    };
    Check::good(&name, &format!("{points} access points{place}"))
}
