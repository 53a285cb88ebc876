//! EFS's errors, in the shape of its REST protocol: the code is a header, and stands as `ErrorCode` in the body. Statuses are the
//! official model's.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api_error::ApiError;

fn error(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError {
        status,
        ..ApiError::new(code, message)
    }
}

pub fn bad_request(message: impl Into<String>) -> ApiError {
    error(StatusCode::BAD_REQUEST, "BadRequest", message)
}

pub fn access_denied(message: String) -> ApiError {
    error(StatusCode::FORBIDDEN, "AccessDeniedException", message)
}

pub fn file_system_not_found(id: &str) -> ApiError {
    let message = format!("File system '{id}' does not exist.");
    error(StatusCode::NOT_FOUND, "FileSystemNotFound", message)
}

pub fn access_point_not_found(id: &str) -> ApiError {
    let message = format!("Access point '{id}' does not exist.");
    error(StatusCode::NOT_FOUND, "AccessPointNotFound", message)
}

pub fn mount_target_not_found(id: &str) -> ApiError {
    let message = format!("Mount target '{id}' does not exist.");
    error(StatusCode::NOT_FOUND, "MountTargetNotFound", message)
}

pub fn policy_not_found(id: &str) -> ApiError {
    let message = format!("File system '{id}' has no policy.");
    error(StatusCode::NOT_FOUND, "PolicyNotFound", message)
}

pub fn access_point_already_exists(id: &str) -> ApiError {
    let message = format!("Access point already exists with id {id}");
    ApiError {
        resource_ids: vec![id.to_owned()],
        ..error(StatusCode::CONFLICT, "AccessPointAlreadyExists", message)
    }
}

pub fn access_point_limit_exceeded(limit: usize) -> ApiError {
    let message = format!("The file system has the maximum of {limit} access points.");
    error(StatusCode::FORBIDDEN, "AccessPointLimitExceeded", message)
}

/// An error that every service has, as EFS has it.
pub fn respell(mut error: ApiError) -> ApiError {
    (error.status, error.code) = match error.code {
        "ThrottlingException" => (StatusCode::TOO_MANY_REQUESTS, "ThrottlingException"),
        "ServerException" => (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
        "SerializationException" => (StatusCode::BAD_REQUEST, "BadRequest"),
        "AccessDeniedException"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignatureException"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "ExpiredTokenException" => (StatusCode::FORBIDDEN, error.code),
        other => (error.status, other),
    };
    error
}

pub fn body(error: &ApiError) -> Value {
    let mut body = json!({ "ErrorCode": error.code, "Message": error.message });
    if let Some(id) = error.resource_ids.first() {
        body["AccessPointId"] = json!(id);
    }
    body
}
