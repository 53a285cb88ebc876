//! CreateAccessPoint, DescribeAccessPoints and DeleteAccessPoint.

use serde_json::{Value, json};

use super::state::{AccessPoint, Efs};
use super::{Call, describe, error, validate};
use crate::api_error::ApiError;
use crate::identity::random_hex;

pub fn create(call: Call<'_>, request: &Value, efs: &mut Efs) -> Result<Value, ApiError> {
    validate::access_point(request)?;
    let file_system = describe::id_of(&request["FileSystemId"]);
    call.may("CreateAccessPoint", &call.arn("file-system", file_system))?;
    if request["Tags"]
        .as_array()
        .is_some_and(|tags| !tags.is_empty())
    {
        call.may("TagResource", &call.arn("access-point", "*"))?;
    }
    if efs.file_system(file_system).is_none() {
        return Err(error::file_system_not_found(file_system));
    }
    let token = request["ClientToken"].as_str().unwrap_or_default();
    if let Some(known) = efs
        .access_points
        .iter()
        .find(|known| known.client_token == token)
    {
        return Err(error::access_point_already_exists(&known.id));
    }
    let there = efs
        .access_points
        .iter()
        .filter(|known| known.file_system == file_system)
        .count();
    if there >= efs.settings.access_point_limit {
        return Err(error::access_point_limit_exceeded(
            efs.settings.access_point_limit,
        ));
    }
    let tags = match &request["Tags"] {
        Value::Null => json!([]),
        given => given.clone(),
    };
    let root_directory = match &request["RootDirectory"]["Path"] {
        Value::Null => json!({ "Path": "/" }),
        _ => request["RootDirectory"].clone(),
    };
    let new = AccessPoint {
        id: format!("fsap-{}", random_hex(17)),
        file_system: file_system.to_owned(),
        client_token: token.to_owned(),
        tags,
        posix_user: request["PosixUser"].clone(),
        root_directory,
        available_ms: call.now_ms + efs.settings.creating_ms,
    };
    let answer = view(call, &new);
    efs.access_points.push(new);
    Ok(answer)
}

fn view(call: Call<'_>, point: &AccessPoint) -> Value {
    let state = if point.available_ms <= call.now_ms {
        "available"
    } else {
        "creating"
    };
    let mut view = json!({
        "ClientToken": point.client_token,
        "Tags": point.tags,
        "AccessPointId": point.id,
        "AccessPointArn": call.arn("access-point", &point.id),
        "FileSystemId": point.file_system,
        "RootDirectory": point.root_directory,
        "OwnerId": call.emulator.account,
        "LifeCycleState": state,
    });
    if !point.posix_user.is_null() {
        view["PosixUser"] = point.posix_user.clone();
    }
    if let Some(name) = describe::name(&point.tags) {
        view["Name"] = json!(name);
    }
    view
}

pub fn describe(call: Call<'_>, request: &Value, efs: &Efs) -> Result<Value, ApiError> {
    let (by_point, by_file_system) = (&request["AccessPointId"], &request["FileSystemId"]);
    let (point, file_system) = (describe::id_of(by_point), describe::id_of(by_file_system));
    if by_point.is_string() && by_file_system.is_string() {
        return Err(error::bad_request(
            "AccessPointId and FileSystemId exclude each other.",
        ));
    }
    let resource = match (by_point, by_file_system) {
        (Value::String(_), _) => call.arn("access-point", point),
        (_, Value::String(_)) => call.arn("file-system", file_system),
        _ => "*".to_owned(),
    };
    call.may("DescribeAccessPoints", &resource)?;
    if by_point.is_string() && efs.access_point(point).is_none() {
        return Err(error::access_point_not_found(point));
    }
    if by_file_system.is_string() && efs.file_system(file_system).is_none() {
        return Err(error::file_system_not_found(file_system));
    }
    let found: Vec<_> = efs
        .access_points
        .iter()
        .filter(|known| !by_point.is_string() || known.id == point)
        .filter(|known| !by_file_system.is_string() || known.file_system == file_system)
        .map(|known| view(call, known))
        .collect();
    let (page, next) = describe::page(found, &request["MaxResults"], &request["NextToken"])?;
    let mut answer = json!({ "AccessPoints": page });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}

/// The access point goes at once; the files stay.
pub fn delete(call: Call<'_>, request: &Value, efs: &mut Efs) -> Result<Value, ApiError> {
    let id = describe::id_of(&request["AccessPointId"]);
    call.may("DeleteAccessPoint", &call.arn("access-point", id))?;
    if efs.access_point(id).is_none() {
        return Err(error::access_point_not_found(id));
    }
    efs.access_points.retain(|known| known.id != id);
    Ok(json!({}))
}
