//! Who may call the data plane of Azure Files: the account's key (SharedKey), a signature made with it (SAS), or a token of
//! Entra ID with a role on the share ("Authorize requests to Azure Storage").

use axum::http::StatusCode;
use ring::hmac;

use super::accounts;
use super::files::{FileError, Target};
use super::roles::{self, Deed};
use super::state::{Account, Storage};
use crate::azure::Azure;
use crate::azure::call::{Incoming, field};
use crate::azure::tokens;
use crate::clock;

const AUDIENCE: &str = "https://storage.azure.com";
/// "Access Azure file shares using Microsoft Entra ID with Azure Files OAuth over REST", limitations.
const FIRST_VERSION_FOR_FILES: &str = "2022-11-02";
const FIRST_VERSION_FOR_SHARES: &str = "2024-11-04";

fn forbidden(code: &'static str, message: &'static str) -> FileError {
    FileError::new(StatusCode::FORBIDDEN, code, message)
}

fn failed() -> FileError {
    forbidden(
        "AuthenticationFailed",
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including \
         the signature.",
    )
}

pub fn check(
    azure: &Azure,
    storage: &Storage,
    account: &Account,
    incoming: &Incoming,
    target: &Target<'_>,
) -> Result<(), FileError> {
    let authorization = incoming.header("authorization").unwrap_or_default();
    if let Some(token) = authorization.strip_prefix("Bearer ") {
        return by_token(azure, storage, account, incoming, target, token);
    }
    let has_sas = !field(&incoming.query, "sig").is_empty();
    if authorization.is_empty() && !has_sas {
        return Err(FileError::new(
            StatusCode::UNAUTHORIZED,
            "NoAuthenticationInformation",
            "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        ));
    }
    if account.body["properties"]["allowSharedKeyAccess"] == false {
        return Err(forbidden(
            "KeyBasedAuthenticationNotPermitted",
            "Key based authentication is not permitted on this storage account.",
        ));
    }
    if has_sas {
        return by_sas(account, incoming, target);
    }
    let given = authorization.strip_prefix(&format!("SharedKey {}:", account.name));
    let text = shared_key_text(account, incoming);
    if given.is_some_and(|given| is_signature(account, &text, given)) {
        Ok(())
    } else {
        Err(failed())
    }
}

/// Made with either of the account's keys.
fn is_signature(account: &Account, text: &str, given: &str) -> bool {
    let Ok(given) = data_encoding::BASE64.decode(given.as_bytes()) else {
        return false;
    };
    account.keys.iter().any(|key| {
        let key = data_encoding::BASE64
            .decode(key.as_bytes())
            .unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        hmac::verify(&key, text.as_bytes(), &given).is_ok()
    })
}

/// "Authorize with Shared Key", the format of 2009-09-19 and later.
fn shared_key_text(account: &Account, incoming: &Incoming) -> String {
    let header = |name: &str| incoming.header(name).unwrap_or_default();
    let length = Some(header("content-length")).filter(|length| *length != "0");
    let date = if header("x-ms-date").is_empty() {
        header("date")
    } else {
        ""
    };
    let mut lines = vec![
        incoming.method.as_str(),
        header("content-encoding"),
        header("content-language"),
        length.unwrap_or_default(),
    ];
    lines.extend([header("content-md5"), header("content-type"), date]);
    lines.extend(
        [
            "if-modified-since",
            "if-match",
            "if-none-match",
            "if-unmodified-since",
            "range",
        ]
        .map(header),
    );
    let mut text = lines.join("\n") + "\n";
    let mut own: Vec<_> = incoming
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default().trim()))
        .filter(|(name, _)| name.starts_with("x-ms-"))
        .collect();
    // By name, as the service's own order is said to be by Microsoft's client: a hyphen counts for nothing.
    own.sort_by_key(|(name, _)| name.replace('-', ""));
    text.extend(own.iter().map(|(name, value)| format!("{name}:{value}\n")));
    text.extend(["/", account.name.as_str(), incoming.path.as_str()]);
    let mut query: Vec<_> = incoming
        .query
        .iter()
        .map(|(name, value)| format!("\n{}:{value}", name.to_lowercase()))
        .collect();
    query.sort();
    text.extend(query);
    text
}

/// "Create an account SAS" and "Create a service SAS" (2015-04-05 and later).
fn by_sas(account: &Account, incoming: &Incoming, target: &Target<'_>) -> Result<(), FileError> {
    let get = |name: &str| field(&incoming.query, name);
    let of_account = !get("ss").is_empty();
    let shared = format!("/file/{}/{}", account.name, target.share);
    let resource = match get("sr") {
        "f" => format!("{shared}/{}", target.path),
        _ => shared,
    };
    let join = |names: &[&str]| {
        names
            .iter()
            .map(|name| get(name))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let text = if of_account {
        let members = join(&["sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses"]);
        format!("{}\n{members}\n", account.name)
    } else {
        let rest = join(&[
            "si", "sip", "spr", "sv", "rscc", "rscd", "rsce", "rscl", "rsct",
        ]);
        format!("{}\n{resource}\n{rest}", join(&["sp", "st", "se"]))
    };
    let at = |name: &str| clock::parse_basic(&get(name).replace(['-', ':'], ""));
    let is_alive = at("se").is_some_and(|end_ms| incoming.at_ms < end_ms)
        && (get("st").is_empty() || at("st").is_some_and(|start_ms| start_ms <= incoming.at_ms));
    if !is_signature(account, &text, get("sig")) || !is_alive {
        return Err(failed());
    }
    let covers_service = !of_account || get("ss").contains('f');
    let covers_kind = if of_account {
        get("srt").contains(target.kind())
    } else {
        // A share's own signature opens what is in it, not the share itself.
        target.kind() == 'o'
    };
    if !covers_service || !covers_kind {
        return Err(forbidden(
            "AuthorizationResourceTypeMismatch",
            "This request is not authorized to perform this operation using this resource type.",
        ));
    }
    if target
        .permissions()
        .chars()
        .any(|letter| get("sp").contains(letter))
    {
        Ok(())
    } else {
        Err(mismatch())
    }
}

fn mismatch() -> FileError {
    forbidden(
        "AuthorizationPermissionMismatch",
        "This request is not authorized to perform this operation using this permission.",
    )
}

fn by_token(
    azure: &Azure,
    storage: &Storage,
    account: &Account,
    incoming: &Incoming,
    target: &Target<'_>,
    token: &str,
) -> Result<(), FileError> {
    let invalid = || {
        FileError::new(
            StatusCode::UNAUTHORIZED,
            "InvalidAuthenticationInfo",
            "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        )
    };
    let claims = azure.signer.check(token).map_err(|_| invalid())?;
    let audience = claims["aud"].as_str().unwrap_or_default();
    let is_alive = claims["exp"].as_u64().unwrap_or_default() * 1000 > incoming.at_ms;
    if !is_alive || audience.trim_end_matches('/') != AUDIENCE {
        return Err(invalid());
    }
    let principal = tokens::principal(&claims).ok_or_else(invalid)?;
    if incoming.header("x-ms-file-request-intent") != Some("backup") {
        return Err(FileError::new(
            StatusCode::BAD_REQUEST,
            "MissingRequiredHeader",
            "An HTTP header that's mandatory for this request is not specified.",
        ));
    }
    let version = incoming.header("x-ms-version").unwrap_or_default();
    if target.kind() != 'o' && version < FIRST_VERSION_FOR_SHARES {
        return Err(forbidden(
            "FileOAuthManagementApiRestrictedToSrp",
            "OAuth is not supported for this API. Use the storage resource provider.",
        ));
    }
    if version < FIRST_VERSION_FOR_FILES {
        return Err(invalid());
    }
    let of_account = accounts::id(azure, &account.name);
    let scope = if target.share.is_empty() {
        of_account
    } else {
        format!(
            "{of_account}/fileServices/default/fileshares/{}",
            target.share
        )
    };
    let deed = if matches!(target.permissions(), "r" | "l") {
        Deed::ReadFiles
    } else {
        Deed::WriteFiles
    };
    if roles::allows(storage, &principal, deed, &scope) {
        Ok(())
    } else {
        Err(mismatch())
    }
}
