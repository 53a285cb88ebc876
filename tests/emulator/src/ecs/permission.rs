//! Which permission an action needs, on which resource (service authorization reference, "Amazon ECS").

use serde_json::Value;

use super::Call;
use crate::api_error::ApiError;
use crate::policy::Ask;

/// `cluster` is an ARN, for the condition key `ecs:cluster`.
pub fn check(
    call: Call<'_>,
    action: &str,
    resource: &str,
    cluster: Option<&str>,
) -> Result<(), ApiError> {
    let condition = cluster.map(|arn| ("ecs:cluster", arn));
    let ask = Ask {
        action,
        resource,
        context: condition.as_slice(),
    };
    call.key.check(ask).map_err(ApiError::access_denied)
}

/// `iam:PassRole` for each role; the first of `sources` that names one decides.
pub fn pass_roles(call: Call<'_>, sources: &[&Value]) -> Result<(), ApiError> {
    for role in ["executionRoleArn", "taskRoleArn"] {
        if let Some(arn) = sources.iter().find_map(|source| source[role].as_str()) {
            check(call, "iam:PassRole", arn, None)?;
        }
    }
    Ok(())
}
