//! Secrets Manager's GetSecretValue and SSM's GetParameter of what a test has put there or `vault` keeps, and what of it a task's
//! container gets. Permissions are those of the key's policy, or of the task's execution role.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::ecs::Call;
use crate::ecs::definitions::Definition;
use crate::ecs::shape::{self, Shape};
use crate::policy::{Ask, Verdict};
use crate::vault;
use crate::world::{Emulator, World};

/// Model, GetSecretValue.
const GET_SECRET_VALUE: Shape = Shape::Structure(&[
    ("SecretId", Shape::String),
    ("VersionId", Shape::String),
    ("VersionStage", Shape::String),
]);
/// Model, GetParameter.
const GET_PARAMETER: Shape =
    Shape::Structure(&[("Name", Shape::String), ("WithDecryption", Shape::Boolean)]);

/// What a name stands for, in both services: `SecretString`, or `SecretBinary` in base64; what `vault` keeps has more members.
pub type Secrets = BTreeMap<String, Value>;

/// # Errors
/// As the models' errors.
pub fn answer(call: Call<'_>, action: &str, mut request: Value) -> Result<Value, ApiError> {
    match action {
        "GetSecretValue" => {
            shape::check(&mut request, &GET_SECRET_VALUE, action, &mut Vec::new())?;
            get_secret_value(call, request["SecretId"].as_str().unwrap_or_default())
        }
        "GetParameter" => {
            shape::check(&mut request, &GET_PARAMETER, action, &mut Vec::new())?;
            get_parameter(call, request["Name"].as_str().unwrap_or_default())
        }
        _ => vault::answer(call, action, request),
    }
}

fn get_secret_value(call: Call<'_>, id: &str) -> Result<Value, ApiError> {
    let world = call.emulator.world();
    let (name, arn) = vault::named(call.emulator, &world.secrets, id);
    let ask = Ask {
        action: "secretsmanager:GetSecretValue",
        resource: &arn,
        context: &[],
    };
    call.key.check(ask).map_err(ApiError::access_denied)?;
    let mut answer = json!({"ARN": arn, "Name": name, "VersionStages": ["AWSCURRENT"]});
    let found = world.secrets.get(&name).ok_or_else(vault::not_found)?;
    if !found["DeletedDate"].is_null() {
        return Err(vault::marked_for_deletion());
    }
    for member in ["SecretString", "SecretBinary"] {
        if !found[member].is_null() {
            answer[member] = found[member].clone();
        }
    }
    Ok(answer)
}

fn get_parameter(call: Call<'_>, name: &str) -> Result<Value, ApiError> {
    let Emulator {
        region, account, ..
    } = &**call.emulator;
    let arn = format!("arn:aws:ssm:{region}:{account}:parameter/{name}");
    let ask = Ask {
        action: "ssm:GetParameter",
        resource: &arn,
        context: &[],
    };
    call.key.check(ask).map_err(ApiError::access_denied)?;
    let world = call.emulator.world();
    // Error of the model: it has no sentence of its own.
    let found = world.secrets.get(name);
    let found = found.ok_or_else(|| ApiError::new("ParameterNotFound", ""))?;
    let value = &found["SecretString"];
    Ok(
        json!({"Parameter": {"Name": name, "Type": "SecureString", "Value": value, "Version": 1, "ARN": arn}}),
    )
}

/// The variables that a task's main container gets from secrets, read as its execution role: a whole ARN, with a key of the
/// secret's JSON where `valueFrom` names one ("Pass Secrets Manager secrets through Amazon ECS environment variables").
///
/// # Errors
/// The task's `stoppedReason`.
pub fn of_task(
    emulator: &Emulator,
    world: &World,
    definition: &Definition,
    request: &Value,
) -> Result<Vec<(String, String)>, String> {
    let container = definition.main_container();
    let secrets = container.and_then(|container| container["secrets"].as_array());
    let role = [&request["overrides"], &definition.body]
        .into_iter()
        .find_map(|of| of["executionRoleArn"].as_str())
        .unwrap_or_default();
    let read = |secret: &Value| {
        let (name, from) = (secret["name"].as_str()?, secret["valueFrom"].as_str()?);
        let value = value_of(emulator, world, role, from);
        Some(value.map(|value| (name.to_owned(), value)))
    };
    secrets.into_iter().flatten().filter_map(read).collect()
}

fn value_of(emulator: &Emulator, world: &World, role: &str, from: &str) -> Result<String, String> {
    let parts: Vec<&str> = from.splitn(10, ':').collect();
    let arn = parts[..parts.len().min(7)].join(":");
    let key = parts.get(7).copied().unwrap_or_default();
    let refused = |why: &str| {
        format!(
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to \
             retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret {arn} from secrets manager: {why}"
        )
    };
    let ask = Ask {
        action: "secretsmanager:GetSecretValue",
        resource: &arn,
        context: &[],
    };
    let role = role.rsplit('/').next().unwrap_or_default();
    let policy = world.keys.role_policy(role);
    if policy.is_some_and(|policy| policy.judge(ask) != Verdict::Allowed) {
        return Err(refused(&format!(
            "AccessDeniedException: User: arn:aws:sts::{}:assumed-role/{role}/0123 is not authorized to perform: \
             secretsmanager:GetSecretValue on resource: {arn} because no identity-based policy allows the \
             secretsmanager:GetSecretValue action status code: 400",
            emulator.account
        )));
    }
    let (name, _) = vault::named(emulator, &world.secrets, &arn);
    let found = world
        .secrets
        .get(&name)
        .filter(|found| found["DeletedDate"].is_null());
    let text = found.and_then(|found| found["SecretString"].as_str());
    let text = text.ok_or_else(|| refused("ResourceNotFoundException"))?;
    if key.is_empty() {
        return Ok(text.to_owned());
    }
    let object: Value = serde_json::from_str(text).unwrap_or_default();
    let value = object[key].as_str().map(ToOwned::to_owned);
    value.ok_or_else(|| {
        refused(&format!(
            "retrieved secret from Secrets Manager did not contain json key {key}"
        ))
    })
}
