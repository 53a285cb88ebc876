//! What RegisterTaskDefinition says to volumes and mount points.

use serde_json::Value;

use crate::api_error::ApiError;

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Model, Volume, `name`.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=255).contains(&name.len()) && name.chars().all(allowed)
}

pub fn check(request: &Value, for_fargate: bool) -> Result<(), ApiError> {
    let mut names = Vec::new();
    for volume in list(&request["volumes"]) {
        let name = volume["name"].as_str().unwrap_or_default();
        if !is_name(name) {
            return Err(ApiError::client("Volume name contains invalid characters."));
        }
        if names.contains(&name) {
            return Err(ApiError::client(format!("Duplicate volume name '{name}'.")));
        }
        names.push(name);
        if for_fargate && !volume["dockerVolumeConfiguration"].is_null() {
            return Err(ApiError::client(
                "Fargate compatible task definitions do not support dockerVolumeConfiguration.",
            ));
        }
        if for_fargate && !volume["host"]["sourcePath"].is_null() {
            return Err(ApiError::client(
                "host.sourcePath should not be set for volumes in Fargate.",
            ));
        }
        if !volume["efsVolumeConfiguration"].is_null() {
            efs(&volume["efsVolumeConfiguration"])?;
        }
    }
    for container in list(&request["containerDefinitions"]) {
        for point in list(&container["mountPoints"]) {
            let source = point["sourceVolume"].as_str().unwrap_or_default();
            if !names.contains(&source) {
                return Err(ApiError::client(format!("Unknown volume '{source}'.")));
            }
            if point["containerPath"].as_str().is_none_or(str::is_empty) {
                return Err(ApiError::client(
                    "Container path for a mount point should not be null or empty.",
                ));
            }
        }
    }
    Ok(())
}

/// The rules of the model's EFSVolumeConfiguration and EFSAuthorizationConfig.
fn efs(volume: &Value) -> Result<(), ApiError> {
    if volume["fileSystemId"].as_str().is_none_or(str::is_empty) {
        return Err(ApiError::client(
            "EFS file system ID should not be null or empty.",
        ));
    }
    let authorization = &volume["authorizationConfig"];
    for member in [&volume["transitEncryption"], &authorization["iam"]] {
        let is_known = matches!(member.as_str(), Some("ENABLED" | "DISABLED"));
        if !member.is_null() && !is_known {
            return Err(ApiError::invalid(format!(
                "{member} is not ENABLED or DISABLED."
            )));
        }
    }
    let is_encrypted = volume["transitEncryption"] == "ENABLED";
    if authorization["iam"] == "ENABLED" && !is_encrypted {
        return Err(ApiError::client(
            "When using IAM authorization with EFS, transit encryption must be enabled.",
        ));
    }
    if authorization["accessPointId"].is_string() {
        if !is_encrypted {
            return Err(ApiError::client(
                "When using an EFS access point, transit encryption must be enabled.",
            ));
        }
        if !matches!(volume["rootDirectory"].as_str(), None | Some("/")) {
            return Err(ApiError::client(
                "When using an EFS access point, the root directory must either be set to \"/\" or be omitted.",
            ));
        }
    }
    Ok(())
}
