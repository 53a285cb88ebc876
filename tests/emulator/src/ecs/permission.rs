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
    check_in(call, action, resource, condition.as_slice())
}

/// `ecs:TagResource` of something that `creation` makes (the same page, condition key `ecs:CreateAction`).
pub fn check_tags(
    call: Call<'_>,
    resource: &str,
    creation: &str,
    cluster: Option<&str>,
) -> Result<(), ApiError> {
    let mut context = vec![("ecs:CreateAction", creation)];
    context.extend(cluster.map(|arn| ("ecs:cluster", arn)));
    check_in(call, "ecs:TagResource", resource, &context)
}

fn check_in(
    call: Call<'_>,
    action: &str,
    resource: &str,
    context: &[(&str, &str)],
) -> Result<(), ApiError> {
    let ask = Ask {
        action,
        resource,
        context,
    };
    call.key.check(ask).map_err(ApiError::access_denied)
}

/// `iam:PassRole` for each role, to tasks (IAM user guide, `iam:PassedToService`); the first of `sources` that names one decides.
pub fn pass_roles(call: Call<'_>, sources: &[&Value]) -> Result<(), ApiError> {
    for role in ["executionRoleArn", "taskRoleArn"] {
        if let Some(arn) = sources.iter().find_map(|source| source[role].as_str()) {
            let to = [("iam:PassedToService", "ecs-tasks.amazonaws.com")];
            check_in(call, "iam:PassRole", arn, &to)?;
        }
    }
    Ok(())
}
