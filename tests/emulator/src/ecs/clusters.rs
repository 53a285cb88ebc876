//! Clusters: named on the command line, found by name or ARN, described.

use serde_json::{Value, json};

use super::{Call, permission};
use crate::api_error::ApiError;
use crate::lifecycle::Status;
use crate::world::{Emulator, World};

/// API reference, DescribeClusters, `clusters`.
const CLUSTERS_A_CALL: usize = 100;

/// The name and ARN that a request means, whether the cluster exists or not. Without any it is `default`.
pub fn named(emulator: &Emulator, request: &Value) -> (String, String) {
    resolve(emulator, request["cluster"].as_str().unwrap_or("default"))
}

fn resolve(emulator: &Emulator, given: &str) -> (String, String) {
    if given.starts_with("arn:") {
        let name = given.rsplit('/').next().unwrap_or(given);
        (name.to_owned(), given.to_owned())
    } else {
        (given.to_owned(), emulator.cluster_arn(given))
    }
}

/// # Errors
/// `ClusterNotFoundException`, also for another account's or region's ARN.
pub fn must_exist(emulator: &Emulator, name: &str, arn: &str) -> Result<(), ApiError> {
    let exists = emulator.clusters.iter().any(|cluster| cluster == name)
        && emulator.cluster_arn(name) == arn;
    if exists {
        Ok(())
    } else {
        Err(ApiError::cluster_not_found())
    }
}

pub fn describe_clusters(
    call: Call<'_>,
    request: &Value,
    world: &World,
) -> Result<Value, ApiError> {
    let emulator = call.emulator;
    let given: Vec<_> = request["clusters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if given.len() > CLUSTERS_A_CALL {
        return Err(ApiError::invalid(
            "Clusters cannot have more than 100 elements.",
        ));
    }
    let given = if given.is_empty() {
        vec!["default"]
    } else {
        given
    };
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for cluster in given {
        let (name, arn) = resolve(emulator, cluster);
        permission::check(call, "ecs:DescribeClusters", &arn, Some(&arn))?;
        if must_exist(emulator, &name, &arn).is_err() {
            failures.push(json!({ "arn": arn, "reason": "MISSING" }));
            continue;
        }
        let states = || {
            world
                .tasks
                .iter()
                .filter(|task| task.cluster == name)
                .map(|task| task.status(call.now_ms))
        };
        clusters.push(json!({
            "clusterArn": arn,
            "clusterName": name,
            "status": "ACTIVE",
            "registeredContainerInstancesCount": 0,
            "runningTasksCount": states().filter(|status| *status == Status::Running).count(),
            "pendingTasksCount": states().filter(|status| *status < Status::Running).count(),
            "activeServicesCount": 0,
            "statistics": [],
            "tags": [],
            "settings": [],
            "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
            "defaultCapacityProviderStrategy": [{ "capacityProvider": "FARGATE", "weight": 1, "base": 0 }],
        }));
    }
    Ok(json!({ "clusters": clusters, "failures": failures }))
}
