//! What EFS tells of file systems, mount targets and tags, and the pages of its lists.

use serde_json::{Value, json};

use super::state::Efs;
use super::{Call, error, validate};
use crate::api_error::ApiError;
use crate::clock::epoch_seconds;

/// Model, MaxResults and MaxItems: 100 unless said.
const PAGE: i64 = 100;

/// The id in an id or an ARN.
pub fn id_of(given: &Value) -> &str {
    let given = given.as_str().unwrap_or_default();
    given.rsplit('/').next().unwrap_or(given)
}

/// The value of the tag `Name`.
pub fn name(tags: &Value) -> Option<&str> {
    tags.as_array()?.iter().find(|tag| tag["Key"] == "Name")?["Value"].as_str()
}

/// A page of a list, and the token of the next.
pub fn page(
    mut all: Vec<Value>,
    size: &Value,
    token: &Value,
) -> Result<(Vec<Value>, Option<String>), ApiError> {
    let size = size.as_i64().unwrap_or(PAGE);
    let Some(size) = usize::try_from(size).ok().filter(|size| *size > 0) else {
        return Err(error::bad_request("A page has at least one item."));
    };
    let from = match token.as_str() {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .ok()
            .filter(|from| *from <= all.len())
            .ok_or_else(|| error::bad_request("The token is not valid."))?,
    };
    let next = (from + size < all.len()).then(|| (from + size).to_string());
    all.truncate(from + size);
    Ok((all.split_off(from), next))
}

fn marked(mut answer: Value, request: &Value, next: Option<String>) -> Value {
    if let Some(marker) = request["Marker"].as_str() {
        answer["Marker"] = json!(marker);
    }
    if let Some(next) = next {
        answer["NextMarker"] = json!(next);
    }
    answer
}

pub fn file_systems(call: Call<'_>, request: &Value, efs: &Efs) -> Result<Value, ApiError> {
    let wanted = &request["FileSystemId"];
    let id = id_of(wanted);
    let resource = if wanted.is_string() {
        call.arn("file-system", id)
    } else {
        "*".to_owned()
    };
    call.may("DescribeFileSystems", &resource)?;
    if wanted.is_string() && efs.file_system(id).is_none() {
        return Err(error::file_system_not_found(id));
    }
    let token_of = |id: &str| format!("emulator-{id}");
    let found: Vec<_> = efs
        .file_systems
        .iter()
        .filter(|known| !wanted.is_string() || known.id == id)
        .filter(|known| {
            request["CreationToken"]
                .as_str()
                .is_none_or(|token| token == token_of(&known.id))
        })
        .map(|known| {
            let mut view = json!({
                "OwnerId": call.emulator.account,
                "CreationToken": token_of(&known.id),
                "FileSystemId": known.id,
                "FileSystemArn": call.arn("file-system", &known.id),
                "CreationTime": epoch_seconds(efs.created_ms),
                "LifeCycleState": "available",
                "NumberOfMountTargets": efs.settings.mount_targets.len(),
                "SizeInBytes": { "Value": 6144 },
                "PerformanceMode": "generalPurpose",
                "ThroughputMode": "elastic",
                "Encrypted": true,
                "Tags": known.tags,
            });
            if let Some(name) = name(&known.tags) {
                view["Name"] = json!(name);
            }
            view
        })
        .collect();
    let (page, next) = page(found, &request["MaxItems"], &request["Marker"])?;
    Ok(marked(json!({ "FileSystems": page }), request, next))
}

pub fn file_system_policy(call: Call<'_>, request: &Value, efs: &Efs) -> Result<Value, ApiError> {
    let id = id_of(&request["FileSystemId"]);
    call.may("DescribeFileSystemPolicy", &call.arn("file-system", id))?;
    if efs.file_system(id).is_none() {
        return Err(error::file_system_not_found(id));
    }
    match &efs.policy {
        Some((_, text)) => Ok(json!({ "FileSystemId": id, "Policy": text })),
        None => Err(error::policy_not_found(id)),
    }
}

pub fn mount_targets(call: Call<'_>, request: &Value, efs: &Efs) -> Result<Value, ApiError> {
    let [by_file_system, by_target, by_point] =
        ["FileSystemId", "MountTargetId", "AccessPointId"].map(|name| &request[name]);
    let given = [by_file_system, by_target, by_point]
        .into_iter()
        .filter(|member| member.is_string());
    if given.count() != 1 {
        return Err(error::bad_request(
            "One of FileSystemId, MountTargetId and AccessPointId is required.",
        ));
    }
    let of = match (by_file_system, by_point) {
        (Value::String(_), _) => Some(id_of(by_file_system)),
        (_, Value::String(_)) => {
            let id = id_of(by_point);
            let point = efs
                .access_point(id)
                .ok_or_else(|| error::access_point_not_found(id))?;
            Some(point.file_system.as_str())
        }
        _ => None,
    };
    call.may(
        "DescribeMountTargets",
        &call.arn("file-system", of.unwrap_or("*")),
    )?;
    if let Some(id) = of
        && efs.file_system(id).is_none()
    {
        return Err(error::file_system_not_found(id));
    }
    let mut found: Vec<_> = efs
        .file_systems
        .iter()
        .filter(|known| of.is_none_or(|id| id == known.id))
        .flat_map(|known| {
            efs.settings
                .mount_targets
                .iter()
                .enumerate()
                .map(|(number, subnet)| mount_target(call, efs, &known.id, number, subnet))
        })
        .collect();
    if let Some(id) = by_target.as_str() {
        found.retain(|target| target["MountTargetId"] == id);
        if found.is_empty() {
            return Err(error::mount_target_not_found(id));
        }
    }
    let (page, next) = page(found, &request["MaxItems"], &request["Marker"])?;
    Ok(marked(json!({ "MountTargets": page }), request, next))
}

fn mount_target(call: Call<'_>, efs: &Efs, of: &str, number: usize, subnet: &str) -> Value {
    // Ids that stay the same for as long as the list does.
    let digits = format!("{}{number:02x}", of.trim_start_matches("fs-"));
    json!({
        "OwnerId": call.emulator.account,
        "MountTargetId": format!("fsmt-{digits}"),
        "FileSystemId": of,
        "SubnetId": subnet,
        "LifeCycleState": "available",
        "IpAddress": format!("10.0.0.{}", number + 10),
        "NetworkInterfaceId": format!("eni-{digits}"),
        "AvailabilityZoneName": format!("{}a", call.emulator.region),
        "VpcId": efs.settings.vpc,
    })
}

/// The tags of a file system or an access point.
fn tags_of<'a>(efs: &'a mut Efs, id: &str) -> Result<&'a mut Value, ApiError> {
    if id.starts_with("fsap-") {
        efs.access_points
            .iter_mut()
            .find(|known| known.id == id)
            .map(|known| &mut known.tags)
            .ok_or_else(|| error::access_point_not_found(id))
    } else {
        efs.file_systems
            .iter_mut()
            .find(|known| known.id == id)
            .map(|known| &mut known.tags)
            .ok_or_else(|| error::file_system_not_found(id))
    }
}

fn resource(call: Call<'_>, id: &str) -> String {
    let kind = if id.starts_with("fsap-") {
        "access-point"
    } else {
        "file-system"
    };
    call.arn(kind, id)
}

pub fn tag(call: Call<'_>, request: &Value, efs: &mut Efs) -> Result<Value, ApiError> {
    validate::tags(&request["Tags"])?;
    let id = id_of(&request["ResourceId"]);
    call.may("TagResource", &resource(call, id))?;
    let tags = tags_of(efs, id)?;
    let mut merged = tags.as_array().cloned().unwrap_or_default();
    for tag in request["Tags"].as_array().into_iter().flatten() {
        merged.retain(|known| known["Key"] != tag["Key"]);
        merged.push(tag.clone());
    }
    let merged = json!(merged);
    validate::tags(&merged)?;
    *tags = merged;
    Ok(json!({}))
}

pub fn tags(call: Call<'_>, request: &Value, efs: &mut Efs) -> Result<Value, ApiError> {
    let id = id_of(&request["ResourceId"]);
    call.may("ListTagsForResource", &resource(call, id))?;
    let all = tags_of(efs, id)?.as_array().cloned().unwrap_or_default();
    let (page, next) = page(all, &request["MaxResults"], &request["NextToken"])?;
    let mut answer = json!({ "Tags": page });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}
