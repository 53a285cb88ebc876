//! File shares by Resource Manager: GET, PUT, PATCH, DELETE and the list.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::accounts;
use super::state::Share;
use crate::azure::Azure;
use crate::azure::arm::Call;
use crate::azure::call::{Reply, field};
use crate::azure::error::ArmError;
use crate::clock::rfc3339;

/// Swagger, shareQuota: "less than or equal to 5TB (5120). For Large File Shares, the maximum size is 102400."
pub const QUOTAS_GIB: std::ops::RangeInclusive<u64> = 1..=102_400;
pub const DEFAULT_QUOTA_GIB: u64 = 5120;
/// "Naming and referencing shares, directories, files, and metadata": the total of names and values.
const METADATA_BYTES: usize = 8192;

/// "Naming and referencing shares…": 3 to 63 small letters, digits and single hyphens, none at an end.
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (3..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// Names of metadata are C# identifiers.
pub fn is_metadata(metadata: &Map<String, Value>) -> bool {
    let mut bytes = 0;
    metadata.iter().all(|(name, value)| {
        let identifier = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        bytes += name.len() + value.as_str().map_or(0, str::len);
        identifier && value.as_str().is_some_and(str::is_ascii) && bytes <= METADATA_BYTES
    })
}

fn shown(azure: &Azure, account: &str, name: &str, share: &Share) -> Value {
    let mut properties = json!({
        "lastModifiedTime": rfc3339(share.modified_ms),
        "shareQuota": share.quota_gib,
        "metadata": share.metadata,
        "accessTier": share.access_tier.as_deref().unwrap_or("TransactionOptimized"),
        "enabledProtocols": share.protocols.as_deref().unwrap_or("SMB"),
        "leaseStatus": "Unlocked",
        "leaseState": "Available",
    });
    if let Some(squash) = &share.root_squash {
        properties["rootSquash"] = json!(squash);
    }
    json!({
        "id": format!("{}/fileServices/default/shares/{name}", accounts::id(azure, account)),
        "name": name,
        "type": "Microsoft.Storage/storageAccounts/fileServices/shares",
        "etag": share.etag(),
        "properties": properties,
    })
}

fn share_not_found() -> ArmError {
    ArmError::not_found("ShareNotFound", "The specified share does not exist.")
}

pub fn get(call: Call<'_>, account: &str, name: &str) -> Result<Reply, ArmError> {
    let mut world = call.azure.world();
    let owner = world.storage.account(account, &call.azure.group)?;
    let share = owner.shares.get(name).ok_or_else(share_not_found)?;
    let mut view = shown(call.azure, account, name, share);
    if field(&call.incoming.query, "$expand").contains("stats") {
        view["properties"]["shareUsageBytes"] = json!(0);
    }
    Ok(Reply::json(StatusCode::OK, &view))
}

/// A share that is there stays as it is: swagger, 200: "The Share is already created."
pub fn put(call: Call<'_>, account: &str, name: &str) -> Result<Reply, ArmError> {
    let body = call.body()?;
    if !is_name(name) {
        return Err(ArmError::bad_request(
            "InvalidResourceName",
            "The specified resource name contains invalid characters.",
        ));
    }
    let mut new = Share {
        quota_gib: DEFAULT_QUOTA_GIB,
        modified_ms: call.now_ms,
        ..Share::default()
    };
    let properties = &body["properties"];
    change(&mut new, properties)?;
    new.protocols = one_of(properties, "enabledProtocols", &["SMB", "NFS"])?;
    let mut world = call.azure.world();
    let owner = world.storage.account(account, &call.azure.group)?;
    let is_premium = owner.body["kind"] == "FileStorage";
    if new.protocols.as_deref() == Some("NFS") && !is_premium {
        return Err(invalid("enabledProtocols"));
    }
    if new
        .access_tier
        .as_deref()
        .is_some_and(|tier| (tier == "Premium") != is_premium)
    {
        return Err(invalid("accessTier"));
    }
    let status = if owner.shares.contains_key(name) {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let share = owner.shares.entry(name.to_owned()).or_insert(new);
    Ok(Reply::json(
        status,
        &shown(call.azure, account, name, share),
    ))
}

/// Swagger: "Properties not mentioned in the request will not be changed." Metadata is one property.
pub fn patch(call: Call<'_>, account: &str, name: &str) -> Result<Reply, ArmError> {
    let body = call.body()?;
    let mut world = call.azure.world();
    let owner = world.storage.account(account, &call.azure.group)?;
    let share = owner.shares.get_mut(name).ok_or_else(share_not_found)?;
    if body["properties"]["enabledProtocols"].is_string() {
        return Err(invalid("enabledProtocols"));
    }
    let mut changed = share.clone();
    change(&mut changed, &body["properties"])?;
    changed.touch(call.now_ms);
    *share = changed;
    Ok(Reply::json(
        StatusCode::OK,
        &shown(call.azure, account, name, share),
    ))
}

fn change(share: &mut Share, properties: &Value) -> Result<(), ArmError> {
    if !properties["shareQuota"].is_null() {
        share.quota_gib = properties["shareQuota"]
            .as_u64()
            .filter(|quota| QUOTAS_GIB.contains(quota))
            .ok_or_else(|| invalid("shareQuota"))?;
    }
    if !properties["metadata"].is_null() {
        let metadata = properties["metadata"].as_object();
        let metadata = metadata.filter(|metadata| is_metadata(metadata));
        share
            .metadata
            .clone_from(metadata.ok_or_else(|| invalid("metadata"))?);
    }
    let tiers = ["TransactionOptimized", "Hot", "Cool", "Premium"];
    if let Some(tier) = one_of(properties, "accessTier", &tiers)? {
        share.access_tier = Some(tier);
    }
    let squashes = ["NoRootSquash", "RootSquash", "AllSquash"];
    if let Some(squash) = one_of(properties, "rootSquash", &squashes)? {
        share.root_squash = Some(squash);
    }
    Ok(())
}

fn one_of(properties: &Value, member: &str, known: &[&str]) -> Result<Option<String>, ArmError> {
    match &properties[member] {
        Value::Null => Ok(None),
        Value::String(given) if known.contains(&given.as_str()) => Ok(Some(given.clone())),
        _ => Err(invalid(member)),
    }
}

fn invalid(member: &str) -> ArmError {
    let message = format!("The value for one of the properties is invalid: {member}.");
    ArmError::bad_request("InvalidRequestPropertyValue", message)
}

pub fn delete(call: Call<'_>, account: &str, name: &str) -> Result<Reply, ArmError> {
    let mut world = call.azure.world();
    let owner = world.storage.account(account, &call.azure.group)?;
    let status = if owner.shares.remove(name).is_some() {
        StatusCode::OK
    } else {
        StatusCode::NO_CONTENT
    };
    Ok(Reply::empty(status))
}

pub fn list(call: Call<'_>, account: &str) -> Result<Reply, ArmError> {
    let after = call.after()?;
    let mut world = call.azure.world();
    let asked = field(&call.incoming.query, "$maxpagesize").parse().ok();
    let size: usize = asked.unwrap_or(world.settings.page_size).max(1);
    let owner = world.storage.account(account, &call.azure.group)?;
    let prefix = field(&call.incoming.query, "$filter")
        .split('\'')
        .nth(1)
        .unwrap_or_default();
    let mut found = owner
        .shares
        .iter()
        .filter(|(name, _)| **name > after && name.starts_with(prefix));
    let page: Vec<_> = found.by_ref().take(size).collect();
    let views: Vec<_> = page
        .iter()
        .map(|(name, share)| shown(call.azure, account, name, share))
        .collect();
    let last = page.last().map(|(name, _)| name.as_str());
    let more = found.next().is_some();
    Ok(call.page(&views, last.filter(|_| more)))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_share_has_the_name_that_the_service_allows() {
        for (name, fits) in [
            ("abc", true),
            ("a-b-1", true),
            ("ab", false),
            ("a--b", false),
            ("-ab", false),
            ("Abc", false),
        ] {
            assert_eq!(is_name(name), fits, "{name}");
        }
    }
}
