//! A task as ECS describes it: the members of the official model's `Task`, at one moment.

use serde_json::{Value, json};

use crate::clock::epoch_seconds;
use crate::lifecycle::{End, Status};
use crate::tasks::Task;
use crate::world::Emulator;

pub fn task(emulator: &Emulator, task: &Task, with_tags: bool, now_ms: u64) -> Value {
    let status = task.status(now_ms);
    let end = task.timeline.end(now_ms);
    let mut view = json!({
        "taskArn": task.arn,
        "clusterArn": emulator.cluster_arn(&task.cluster),
        "taskDefinitionArn": task.definition.arn,
        "availabilityZone": format!("{}a", emulator.region),
        "attachments": attachments(task, status, now_ms),
        "attributes": [{ "name": "ecs.cpu-architecture", "value": "x86_64" }],
        "containers": containers(emulator, task, status, now_ms),
        "cpu": size(task, "cpu"),
        "memory": size(task, "memory"),
        "createdAt": epoch_seconds(task.created_ms),
        "desiredStatus": task.desired_status(now_ms),
        "lastStatus": status.as_str(),
        "enableExecuteCommand": task.request["enableExecuteCommand"] == json!(true),
        "ephemeralStorage": { "sizeInGiB": task.request["overrides"]["ephemeralStorage"]["sizeInGiB"].as_i64().unwrap_or(20) },
        "group": group(task),
        "healthStatus": "UNKNOWN",
        "inferenceAccelerators": [],
        "launchType": "FARGATE",
        "overrides": overrides(task),
        "platformFamily": "Linux",
        "platformVersion": platform_version(task),
        "tags": tags(task, status, with_tags),
        "version": task.timeline.version(now_ms),
    });
    if let Some(started_by) = task.started_by() {
        view["startedBy"] = json!(started_by);
    }
    if let Some(provider) = &task.capacity_provider {
        view["capacityProviderName"] = json!(provider);
    }
    moments(&mut view, task, now_ms);
    if let Some(End {
        stop_code,
        stopped_reason,
        ..
    }) = end
    {
        view["stopCode"] = json!(stop_code);
        view["stoppedReason"] = json!(stopped_reason);
    }
    view
}

/// The times that have come.
fn moments(view: &mut Value, task: &Task, now_ms: u64) {
    let entered = |status| task.timeline.entered(status, now_ms);
    let up = entered(Status::Activating).or(entered(Status::Running));
    let gone = entered(Status::Deprovisioning)
        .or(entered(Status::Stopped))
        .filter(|_| entered(Status::Running).is_some());
    let moments = [
        ("connectivityAt", entered(Status::Pending).or(up)),
        ("pullStartedAt", entered(Status::Pending)),
        ("pullStoppedAt", up),
        ("startedAt", entered(Status::Running)),
        ("stoppingAt", task.timeline.end(now_ms).map(|end| end.at_ms)),
        ("executionStoppedAt", gone),
        ("stoppedAt", entered(Status::Stopped)),
    ];
    for (name, at_ms) in moments {
        if let Some(at_ms) = at_ms {
            view[name] = json!(epoch_seconds(at_ms));
        }
    }
    if view["connectivityAt"].is_number() {
        view["connectivity"] = json!("CONNECTED");
    }
}

fn size(task: &Task, name: &str) -> Value {
    match &task.request["overrides"][name] {
        Value::Null => match &task.definition.body[name] {
            Value::Null => json!("256"),
            given => given.clone(),
        },
        given => given.clone(),
    }
}

fn group(task: &Task) -> String {
    let default = || format!("family:{}", task.definition.family);
    task.request["group"]
        .as_str()
        .map_or_else(default, ToOwned::to_owned)
}

fn platform_version(task: &Task) -> &str {
    match task.request["platformVersion"].as_str() {
        None | Some("LATEST") => "1.4.0",
        Some(version) => version,
    }
}

fn overrides(task: &Task) -> Value {
    let mut overrides = match &task.request["overrides"] {
        Value::Null => json!({}),
        given => given.clone(),
    };
    for name in ["containerOverrides", "inferenceAcceleratorOverrides"] {
        if overrides[name].is_null() {
            overrides[name] = json!([]);
        }
    }
    overrides
}

fn tags(task: &Task, status: Status, with_tags: bool) -> Value {
    let deleted = task.stopped_by_call && status == Status::Stopped;
    match &task.request["tags"] {
        given @ Value::Array(_) if with_tags && !deleted => given.clone(),
        _ => json!([]),
    }
}

fn attachments(task: &Task, status: Status, now_ms: u64) -> Value {
    let Some(subnet) = &task.subnet else {
        return json!([]);
    };
    let mut details = vec![json!({ "name": "subnetId", "value": subnet })];
    if let Some(address) = task.visible_address(now_ms) {
        details.push(json!({ "name": "networkInterfaceId", "value": task.network_interface_id }));
        details.push(json!({ "name": "macAddress", "value": task.mac }));
        details.push(json!({ "name": "privateIPv4Address", "value": address.to_string() }));
    }
    let status = match status {
        Status::Provisioning => "PRECREATED",
        Status::Deprovisioning => "DETACHING",
        Status::Stopped => "DELETED",
        _ => "ATTACHED",
    };
    json!([{ "id": task.attachment_id, "type": "ElasticNetworkInterface", "status": status, "details": details }])
}

fn containers(emulator: &Emulator, task: &Task, status: Status, now_ms: u64) -> Value {
    let ran = task.timeline.entered(Status::Running, now_ms).is_some();
    let stopped = status >= Status::Deprovisioning;
    let last_status = match (stopped, ran) {
        (true, _) => "STOPPED",
        (false, true) => "RUNNING",
        (false, false) => "PENDING",
    };
    let interfaces = match task.visible_address(now_ms) {
        Some(address) => {
            let mut interface = json!({ "attachmentId": task.attachment_id, "privateIpv4Address": address.to_string() });
            if let Some(ipv6) = &task.ipv6 {
                interface["ipv6Address"] = json!(ipv6);
            }
            json!([interface])
        }
        None => json!([]),
    };
    let describe = |(number, definition): (usize, &Value)| {
        let suffix = &task.id[task.id.len() - 12..];
        let id = format!("{}-{number:04x}-4000-8000-{suffix}", &task.id[..8]);
        let mut container = json!({
            "containerArn": emulator.arn(&format!("container/{}/{}/{id}", task.cluster, task.id)),
            "taskArn": task.arn,
            "name": definition["name"],
            "image": definition["image"],
            "lastStatus": last_status,
            "networkBindings": [],
            "networkInterfaces": interfaces,
            "healthStatus": "UNKNOWN",
            "cpu": definition["cpu"].as_i64().unwrap_or(0).to_string(),
        });
        for name in ["memory", "memoryReservation"] {
            if let Some(mib) = definition[name].as_i64() {
                container[name] = json!(mib.to_string());
            }
        }
        if ran {
            container["runtimeId"] = json!(format!("{}-{}", task.id, task.runtime_id));
        }
        let end = task.timeline.end(now_ms).filter(|_| stopped);
        if let Some(exit_code) = end.and_then(|end| end.exit_code) {
            container["exitCode"] = json!(exit_code);
        }
        if let Some(reason) = end.and_then(|end| end.container_reason.as_ref()) {
            container["reason"] = json!(reason);
        }
        container
    };
    task.definition
        .containers()
        .iter()
        .enumerate()
        .map(describe)
        .collect()
}
