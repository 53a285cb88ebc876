//! Secrets Manager as far as a spawner keeps secrets in it: CreateSecret, PutSecretValue, DescribeSecret, DeleteSecret,
//! RestoreSecret and ListSecrets, by the model `secretsmanager-2017-10-17`.

use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::clock::epoch_seconds;
use crate::ecs::Call;
use crate::ecs::shape;
use crate::ecs::shape::Shape::{self, Any, Boolean, Integer, List, String as Text, Structure};
use crate::identity::random_hex;
use crate::policy::Ask;
use crate::secrets::Secrets;
use crate::world::Emulator;

/// Model, CreateSecretRequest.
const CREATE: Shape = Structure(&[
    ("Name", Text),
    ("ClientRequestToken", Text),
    ("Description", Text),
    ("KmsKeyId", Text),
    ("SecretString", Text),
    ("Tags", List(&Structure(&[("Key", Text), ("Value", Text)]))),
]);
/// Model, PutSecretValueRequest.
const PUT: Shape = Structure(&[
    ("SecretId", Text),
    ("ClientRequestToken", Text),
    ("SecretString", Text),
]);
/// Model, DeleteSecretRequest.
const DELETE: Shape = Structure(&[
    ("SecretId", Text),
    ("RecoveryWindowInDays", Integer),
    ("ForceDeleteWithoutRecovery", Boolean),
]);
/// Model, DescribeSecretRequest and RestoreSecretRequest.
const BY_ID: Shape = Structure(&[("SecretId", Text)]);
/// Model, ListSecretsRequest.
const LIST: Shape = Structure(&[
    ("MaxResults", Integer),
    ("NextToken", Text),
    (
        "Filters",
        List(&Structure(&[("Key", Text), ("Values", Any)])),
    ),
]);
/// Model, ListSecretsRequest, "MaxResults".
const PAGE: usize = 100;

/// Name and whole ARN of what is meant by a name or an ARN; of what is not there, an ARN as it could be.
pub fn named(emulator: &Emulator, secrets: &Secrets, id: &str) -> (String, String) {
    let prefix = format!(
        "arn:aws:secretsmanager:{}:{}:secret:",
        emulator.region, emulator.account
    );
    let by_arn = secrets.iter().find(|(_, secret)| secret["ARN"] == id);
    let name = match by_arn {
        Some((name, _)) => name.clone(),
        None => id.strip_prefix(&prefix).unwrap_or(id).to_owned(),
    };
    let arn = secrets.get(&name).and_then(|secret| secret["ARN"].as_str());
    let arn = arn.map_or_else(|| format!("{prefix}{name}"), ToOwned::to_owned);
    (name, arn)
}

pub fn not_found() -> ApiError {
    ApiError::new(
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret.",
    )
}

pub fn marked_for_deletion() -> ApiError {
    ApiError::new(
        "InvalidRequestException",
        "You can't perform this operation on the secret because it was marked for deletion.",
    )
}

/// # Errors
/// As the model's errors.
pub fn answer(call: Call<'_>, action: &str, mut request: Value) -> Result<Value, ApiError> {
    let shape = match action {
        "CreateSecret" => &CREATE,
        "PutSecretValue" => &PUT,
        "DeleteSecret" => &DELETE,
        "DescribeSecret" | "RestoreSecret" => &BY_ID,
        "ListSecrets" => &LIST,
        _ => {
            return Err(ApiError::new(
                "UnknownOperationException",
                "no such operation",
            ));
        }
    };
    let mut unknown = Vec::new();
    shape::check(&mut request, shape, action, &mut unknown)?;
    let mut world = call.emulator.world();
    let world = &mut *world;
    for path in unknown {
        world.calls.unknown_member(path);
    }
    let secrets = &mut world.secrets;
    if action == "ListSecrets" {
        may(call, action, "*")?;
        return Ok(list(secrets, &request));
    }
    let member = if action == "CreateSecret" {
        "Name"
    } else {
        "SecretId"
    };
    let (name, arn) = named(
        call.emulator,
        secrets,
        request[member].as_str().unwrap_or_default(),
    );
    may(call, action, &arn)?;
    if action == "CreateSecret" {
        // "If you include tags in the secret, you must also have secretsmanager:TagResource" (model, CreateSecret).
        if request["Tags"]
            .as_array()
            .is_some_and(|tags| !tags.is_empty())
        {
            may(call, "TagResource", &arn)?;
        }
        return create(secrets, &name, &arn, &request, call.now_ms);
    }
    let force = request["ForceDeleteWithoutRecovery"] == true;
    let now = epoch_seconds(call.now_ms);
    let Some(secret) = secrets.get_mut(&name) else {
        return if force {
            Ok(json!({}))
        } else {
            Err(not_found())
        };
    };
    let told = json!({"ARN": secret["ARN"], "Name": name});
    let deleted = !secret["DeletedDate"].is_null();
    match action {
        "DescribeSecret" => {
            let mut told = secret.clone();
            if let Some(members) = told.as_object_mut() {
                members.remove("SecretString");
                members.remove("ClientRequestToken");
            }
            return Ok(told);
        }
        "RestoreSecret" => secret["DeletedDate"] = Value::Null,
        _ if deleted => return Err(marked_for_deletion()),
        "DeleteSecret" if force => {
            secrets.remove(&name);
        }
        "DeleteSecret" => {
            let days = request["RecoveryWindowInDays"].as_i64().unwrap_or(30);
            if !(7..=30).contains(&days) {
                return Err(ApiError::invalid(
                    "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
                ));
            }
            secret["DeletedDate"] = json!(now);
        }
        _ => put(secret, &request, now)?,
    }
    Ok(told)
}

fn may(call: Call<'_>, action: &str, resource: &str) -> Result<(), ApiError> {
    let ask = Ask {
        action: &format!("secretsmanager:{action}"),
        resource,
        context: &[],
    };
    call.key.check(ask).map_err(ApiError::access_denied)
}

fn create(
    secrets: &mut Secrets,
    name: &str,
    arn: &str,
    request: &Value,
    now_ms: u64,
) -> Result<Value, ApiError> {
    if let Some(there) = secrets.get(name) {
        if !there["DeletedDate"].is_null() {
            return Err(ApiError::new(
                "InvalidRequestException",
                "You can't create this secret because a secret with this name is already scheduled for deletion.",
            ));
        }
        let same = ["ClientRequestToken", "SecretString"]
            .iter()
            .all(|member| there[*member] == request[*member]);
        if !same {
            return Err(ApiError::new(
                "ResourceExistsException",
                format!("The operation failed because the secret {name} already exists."),
            ));
        }
        return Ok(json!({"ARN": there["ARN"], "Name": name}));
    }
    // "Secrets Manager automatically adds a hyphen and six random characters" (model, CreateSecretRequest, "Name").
    let arn = format!("{arn}-{}", random_hex(6));
    let now = epoch_seconds(now_ms);
    let mut secret = request.clone();
    for (member, value) in [
        ("ARN", json!(arn)),
        ("CreatedDate", json!(now)),
        ("LastChangedDate", json!(now)),
    ] {
        secret[member] = value;
    }
    secrets.insert(name.to_owned(), secret);
    Ok(json!({"ARN": arn, "Name": name, "VersionId": request["ClientRequestToken"]}))
}

fn put(secret: &mut Value, request: &Value, now: f64) -> Result<(), ApiError> {
    let (token, text) = (&request["ClientRequestToken"], &request["SecretString"]);
    if secret["ClientRequestToken"] == *token && secret["SecretString"] != *text {
        let message = "A resource with the ID you requested already exists.";
        return Err(ApiError::new("ResourceExistsException", message));
    }
    secret["ClientRequestToken"] = token.clone();
    secret["SecretString"] = text.clone();
    secret["LastChangedDate"] = json!(now);
    Ok(())
}

/// Model, Filter: each value matches the beginning of a name or of a tag's key or value; all filters must match.
fn list(secrets: &Secrets, request: &Value) -> Value {
    let matches = |name: &str, secret: &Value, filter: &Value| {
        let member = match filter["Key"].as_str() {
            Some("tag-key") => "Key",
            Some("tag-value") => "Value",
            _ => "",
        };
        let tags = secret["Tags"].as_array().into_iter().flatten();
        let mut texts: Vec<&str> = tags.filter_map(|tag| tag[member].as_str()).collect();
        if filter["Key"] == "name" {
            texts = vec![name];
        }
        let values = filter["Values"].as_array().into_iter().flatten();
        values
            .filter_map(Value::as_str)
            .any(|value| texts.iter().any(|text| text.starts_with(value)))
    };
    let filters: Vec<&Value> = request["Filters"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let after = request["NextToken"].as_str().unwrap_or_default();
    let mut found: Vec<Value> = secrets
        .iter()
        .filter(|(name, secret)| {
            name.as_str() > after && secret["DeletedDate"].is_null() && !secret["ARN"].is_null()
        })
        .filter(|(name, secret)| filters.iter().all(|filter| matches(name, secret, filter)))
        .take(PAGE + 1)
        .map(|(_, secret)| {
            let members = ["ARN", "Name", "Tags", "CreatedDate", "LastChangedDate"];
            members
                .into_iter()
                .map(|member| (member, secret[member].clone()))
                .collect()
        })
        .collect();
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let mut answer = json!({"SecretList": found});
    if more {
        answer["NextToken"] = found[PAGE - 1]["Name"].clone();
    }
    answer
}
