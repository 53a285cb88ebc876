//! Whether the settings can work: what can be told without ECS, and one harmless call.

use super::Fargate;
use super::config::Config;
use crate::backend::Settings;
use crate::cloud::aws::Credentials;
use crate::error::Failure;
use crate::mount::efs;
use crate::wire::reply::Check;
use std::time::Duration;
use tokio::time::Instant;

/// A doctor that takes longer is not waited for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// All checks, the offline ones first.
pub async fn check(backend: &Fargate, settings: Settings<'_>, offline: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    let config = match Config::read(settings.config) {
        Ok(config) => {
            checks.push(Check::good(
                "config",
                "every field is known and has the right type",
            ));
            config
        }
        Err(failure) => {
            checks.push(Check::bad(
                "config",
                &failure,
                "Mend the field that is named.",
            ));
            return checks;
        }
    };
    match Credentials::read(settings.credentials) {
        Ok(_) => checks.push(Check::good("credentials", "well formed")),
        Err(failure) => {
            checks.push(Check::bad(
                "credentials",
                &failure,
                "Mend the field that is named.",
            ));
            return checks;
        }
    }
    checks.push(run_task(&config));
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
    if !offline {
        ask(backend, settings, &config, &clusters, &mut checks).await;
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
        .is_some_and(serde_json::Value::is_string)
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
    Check::good(NAME, "task definition and subnets are named")
}

/// ListTasks for each cluster: credentials, region, endpoint, cluster and permission in one call that changes nothing.
async fn ask(
    backend: &Fargate,
    settings: Settings<'_>,
    config: &Config,
    clusters: &[String],
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
    let deadline = Instant::now() + TIMEOUT;
    for cluster in clusters {
        let name = format!("list tasks in {cluster}");
        match ecs.list_tasks(cluster, None, deadline).await {
            Ok(tasks) => checks.push(Check::good(&name, &format!("{} tasks run", tasks.len()))),
            Err(error) => checks.push(Check::bad(
                &name,
                &error.into_failure(),
                "Without ecs:ListTasks gc and the lookup of servers whose state is lost are off; see deployments/fargate for the policy.",
            )),
        }
    }
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
