//! Secrets Manager's GetSecretValue and SSM's GetParameter: what a test has put there. Permissions are those of the key's policy.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::ecs::Call;
use crate::ecs::shape::{self, Shape};
use crate::policy::Ask;

/// Model, GetSecretValue.
const GET_SECRET_VALUE: Shape = Shape::Structure(&[
    ("SecretId", Shape::String),
    ("VersionId", Shape::String),
    ("VersionStage", Shape::String),
]);
/// Model, GetParameter.
const GET_PARAMETER: Shape =
    Shape::Structure(&[("Name", Shape::String), ("WithDecryption", Shape::Boolean)]);

/// What a name stands for, in both services: `SecretString`, or `SecretBinary` in base64.
pub type Secrets = BTreeMap<String, Value>;

/// # Errors
/// As the models' errors.
pub fn answer(call: Call<'_>, action: &str, mut request: Value) -> Result<Value, ApiError> {
    let (service, shape, member) = match action {
        "GetSecretValue" => ("secretsmanager", &GET_SECRET_VALUE, "SecretId"),
        "GetParameter" => ("ssm", &GET_PARAMETER, "Name"),
        _ => {
            return Err(ApiError::new(
                "UnknownOperationException",
                "no such operation",
            ));
        }
    };
    shape::check(&mut request, shape, action, &mut Vec::new())?;
    let name = request[member].as_str().unwrap_or_default();
    let kind = if service == "ssm" {
        "parameter"
    } else {
        "secret"
    };
    let emulator = call.emulator;
    let (region, account) = (&emulator.region, &emulator.account);
    let separator = if service == "ssm" { "/" } else { ":" };
    let arn = format!("arn:aws:{service}:{region}:{account}:{kind}{separator}{name}");
    let asked = format!("{service}:{action}");
    let ask = Ask {
        action: &asked,
        resource: &arn,
        context: &[],
    };
    call.key.check(ask).map_err(ApiError::access_denied)?;
    let world = emulator.world();
    let found = world.secrets.get(name);
    if service == "ssm" {
        // Error of the model: it has no sentence of its own.
        let found = found.ok_or_else(|| ApiError::new("ParameterNotFound", ""))?;
        let value = &found["SecretString"];
        return Ok(
            json!({"Parameter": {"Name": name, "Type": "SecureString", "Value": value, "Version": 1, "ARN": arn}}),
        );
    }
    let not_found = || {
        ApiError::new(
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret.",
        )
    };
    let mut answer = json!({"ARN": arn, "Name": name, "VersionStages": ["AWSCURRENT"]});
    let found = found.ok_or_else(not_found)?;
    for member in ["SecretString", "SecretBinary"] {
        if !found[member].is_null() {
            answer[member] = found[member].clone();
        }
    }
    Ok(answer)
}
