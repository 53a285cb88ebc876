//! Resource Manager: the token, the api-version, the buckets, the permission, and then the resource.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::call::{Incoming, Reply, field};
use super::error::ArmError;
use super::faults::Fault;
use super::path::{ArmKind, ArmPath};
use super::throttle::Bucket;
use super::tokens::{self, Principal};
use super::{Azure, computes, create, sizes, storage, workspaces};
use crate::clock;
use crate::quota::Quotas;

const AUDIENCES: [&str; 2] = [
    "https://management.azure.com",
    "https://management.core.windows.net",
];
/// Stable versions of Microsoft.MachineLearningServices since 2022, of Microsoft.Resources, and of Microsoft.Storage,
/// Microsoft.ManagedIdentity and Microsoft.Authorization (here any provider takes any of them); a preview is taken by its form.
const VERSIONS: [&str; 27] = [
    "2020-06-01",
    "2021-04-01",
    "2022-04-01",
    "2022-05-01",
    "2022-09-01",
    "2022-10-01",
    "2022-12-01",
    "2023-01-01",
    "2023-01-31",
    "2023-04-01",
    "2023-05-01",
    "2023-07-01",
    "2023-10-01",
    "2024-01-01",
    "2024-03-01",
    "2024-04-01",
    "2024-07-01",
    "2024-10-01",
    "2024-11-01",
    "2025-04-01",
    "2025-06-01",
    "2025-07-01",
    "2025-09-01",
    "2025-10-01",
    "2025-12-01",
    "2026-05-01",
    "2026-09-01",
];

/// Who calls.
///
/// # Errors
/// 401, as Resource Manager answers.
pub fn authenticate(azure: &Azure, incoming: &Incoming) -> Result<Principal, ArmError> {
    let refuse = |code: &str, message: String| {
        ArmError::unauthorized(code, message, &azure.tenant, &incoming.base)
    };
    let given = incoming.header("authorization").ok_or_else(|| {
        refuse(
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.".to_owned(),
        )
    })?;
    let token = given
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| {
            refuse(
                "AuthenticationFailedInvalidHeader",
                "Authentication failed. The 'Authorization' header is provided in an invalid format.".to_owned(),
            )
        })?;
    let claims = azure.signer.check(token).map_err(|_| {
        refuse(
            "InvalidAuthenticationToken",
            "The access token is invalid.".to_owned(),
        )
    })?;
    let expires_ms = claims["exp"].as_u64().unwrap_or_default() * 1000;
    if expires_ms <= incoming.at_ms {
        return Err(expired(azure, incoming, expires_ms));
    }
    let audience = claims["aud"].as_str().unwrap_or_default();
    if !AUDIENCES.contains(&audience.trim_end_matches('/')) {
        return Err(refuse(
            "InvalidAuthenticationTokenAudience",
            format!(
                "The access token has been obtained for wrong audience or resource '{audience}'. It should exactly match with \
                 one of the allowed audiences 'https://management.core.windows.net/','https://management.core.windows.net',\
                 'https://management.azure.com/','https://management.azure.com'."
            ),
        ));
    }
    let issued_by = claims["tid"].as_str().unwrap_or_default();
    if issued_by != azure.tenant {
        return Err(refuse(
            "InvalidAuthenticationTokenTenant",
            format!(
                "The access token is from the wrong issuer 'https://sts.windows.net/{issued_by}/'. It must match the tenant \
                 'https://sts.windows.net/{}/' associated with this subscription.",
                azure.tenant
            ),
        ));
    }
    tokens::principal(&claims).ok_or_else(|| {
        refuse(
            "InvalidAuthenticationToken",
            "The access token is invalid.".to_owned(),
        )
    })
}

pub fn expired(azure: &Azure, incoming: &Incoming, expires_ms: u64) -> ArmError {
    let message = format!(
        "The access token expiry UTC time '{}' is earlier than current UTC time '{}'.",
        clock::rfc3339(expires_ms),
        clock::rfc3339(incoming.at_ms)
    );
    ArmError::unauthorized(
        "ExpiredAuthenticationToken",
        message,
        &azure.tenant,
        &incoming.base,
    )
}

/// 403 for this call.
pub fn denied(incoming: &Incoming, path: &ArmPath, principal: &Principal) -> ArmError {
    let client = principal.user.as_deref().unwrap_or(&principal.client_id);
    ArmError::new(
        StatusCode::FORBIDDEN,
        "AuthorizationFailed",
        format!(
            "The client '{client}' with object id '{}' does not have authorization to perform action '{}' over scope '{}' or \
             the scope is invalid. If access was recently granted, please refresh your credentials.",
            principal.object_id,
            path.permission(&incoming.method),
            incoming.path
        ),
    )
}

/// One call of Resource Manager, whose caller is known.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub azure: &'a Arc<Azure>,
    pub incoming: &'a Incoming,
    pub principal: &'a Principal,
    pub fault: Option<&'a Fault>,
    pub version: &'a str,
    pub now_ms: u64,
}

impl Call<'_> {
    /// The body as JSON.
    pub fn body(&self) -> Result<Value, ArmError> {
        serde_json::from_slice(&self.incoming.bytes)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| {
                ArmError::bad_request(
                    "InvalidRequestContent",
                    "The request content was invalid and could not be deserialized.",
                )
            })
    }

    /// `{"value": […], "nextLink"}`: a page that ends with the item named `last`, where more come after it.
    pub fn page(&self, items: &[Value], last: Option<&str>) -> Reply {
        let mut body = json!({ "value": items });
        if let Some(last) = last {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for (name, value) in &self.incoming.query {
                if !name.eq_ignore_ascii_case("$skip") {
                    query.append_pair(name, value);
                }
            }
            query.append_pair(
                "$skip",
                &data_encoding::BASE64URL_NOPAD.encode(last.as_bytes()),
            );
            let (base, path) = (&self.azure.base, &self.incoming.path);
            body["nextLink"] = json!(format!("{base}{path}?{}", query.finish()));
        }
        Reply::json(StatusCode::OK, &body)
    }

    /// The name after which this page begins.
    pub fn after(&self) -> Result<String, ArmError> {
        let token = self
            .incoming
            .query
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("$skip"))
            .map_or("", |(_, value)| value);
        data_encoding::BASE64URL_NOPAD
            .decode(token.as_bytes())
            .ok()
            .and_then(|name| String::from_utf8(name).ok())
            .ok_or_else(|| {
                ArmError::bad_request("BadArgument", "The continuation token is invalid.")
            })
    }
}

pub fn answer(
    azure: &Arc<Azure>,
    incoming: &Incoming,
    path: &ArmPath,
    principal: &Principal,
    fault: Option<&Fault>,
) -> Reply {
    let now_ms = azure.clock.now_ms();
    let bucket = Bucket::of(&incoming.method);
    let left = {
        let mut world = azure.world();
        match world.settings.quotas {
            Quotas::Documented => world.throttle.take(&principal.object_id, bucket, now_ms),
            // What a client that never asked before would see.
            Quotas::Off => Ok(if bucket == Bucket::Reads { 249 } else { 199 }),
        }
    };
    let left = match left {
        Ok(left) => left,
        Err(retry_after_s) => {
            let empty = vec![(bucket.header(), "0".to_owned())];
            return Reply::from(ArmError::throttled(retry_after_s)).with(empty);
        }
    };
    let call = Call {
        azure,
        incoming,
        principal,
        fault,
        version: field(&incoming.query, "api-version"),
        now_ms,
    };
    let reply = check(call, path)
        .and_then(|()| dispatch(call, path))
        .unwrap_or_else(Reply::from);
    reply.with(vec![(bucket.header(), left.to_string())])
}

fn check(call: Call<'_>, path: &ArmPath) -> Result<(), ArmError> {
    let Call {
        azure,
        incoming,
        principal,
        version,
        ..
    } = call;
    if version.is_empty() {
        return Err(ArmError::bad_request(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    }
    if !is_known(version) {
        return Err(ArmError::bad_request(
            "InvalidApiVersionParameter",
            format!(
                "The api-version '{version}' is invalid. The supported versions are '{}'.",
                VERSIONS.join(",")
            ),
        ));
    }
    if !path.subscription.eq_ignore_ascii_case(&azure.subscription) {
        return Err(ArmError::not_found(
            "SubscriptionNotFound",
            format!(
                "The subscription '{}' could not be found.",
                path.subscription
            ),
        ));
    }
    let permission = path.permission(&incoming.method);
    let world = azure.world();
    // The roles that one can be given here are for data: with them nobody manages anything.
    let manages_nothing = storage::is_identity(azure, &world.storage, principal);
    if manages_nothing
        || world
            .settings
            .denies(principal, &permission, &incoming.path)
    {
        return Err(denied(incoming, path, principal));
    }
    match &path.group {
        Some(group) if !group.eq_ignore_ascii_case(&azure.group) => Err(ArmError::not_found(
            "ResourceGroupNotFound",
            format!("Resource group '{group}' could not be found."),
        )),
        _ => Ok(()),
    }
}

fn is_known(version: &str) -> bool {
    VERSIONS.contains(&version)
        || version
            .strip_suffix("-preview")
            .is_some_and(|date| date.len() == 10 && date.starts_with("20"))
}

fn dispatch(call: Call<'_>, path: &ArmPath) -> Result<Reply, ArmError> {
    let azure = call.azure;
    let method = &call.incoming.method;
    match &path.kind {
        ArmKind::Subscription if *method == Method::GET => Ok(Reply::json(
            StatusCode::OK,
            &workspaces::subscription(azure),
        )),
        ArmKind::ResourceGroup if *method == Method::GET => Ok(Reply::json(
            StatusCode::OK,
            &workspaces::resource_group(azure),
        )),
        ArmKind::Workspaces if *method == Method::GET => workspaces::list(call),
        ArmKind::Workspace(name) if *method == Method::GET => workspaces::get(call, name),
        ArmKind::Workspace(name) if *method == Method::PUT => workspaces::put(call, name),
        ArmKind::Computes(workspace) if *method == Method::GET => computes::list(call, workspace),
        ArmKind::Compute(workspace, name) => match *method {
            Method::GET => computes::get(call, workspace, name),
            Method::PUT => create::put(call, workspace, name),
            Method::DELETE => computes::delete(call, workspace, name),
            _ => Err(not_allowed(call)),
        },
        ArmKind::ComputeAction(workspace, name, action) if *method == Method::POST => {
            computes::act(call, workspace, name, *action)
        }
        ArmKind::VmSizes(location) if *method == Method::GET => sizes::list(call, location),
        ArmKind::Usages(location) if *method == Method::GET => sizes::usages(call, location),
        ArmKind::Quotas(location) if *method == Method::GET => sizes::quotas(call, location),
        ArmKind::OperationStatus(id) if *method == Method::GET => computes::status(call, id),
        ArmKind::OperationResult(id) if *method == Method::GET => computes::result(call, id),
        ArmKind::Storage(kind) => storage::answer(call, kind),
        ArmKind::Other => Err(ArmError::not_found(
            "InvalidResourceType",
            "The emulator has no such resource type.",
        )),
        _ => Err(not_allowed(call)),
    }
}

pub fn not_allowed(call: Call<'_>) -> ArmError {
    ArmError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "HttpMethodNotSupported",
        format!(
            "The requested resource does not support http method '{}'.",
            call.incoming.method
        ),
    )
}
