//! The data plane of Azure Files, version 2024-05-04 of its swagger: a call is one for files by the host `ACCOUNT.file.…`, or by
//! the header `x-ms-version`, which no other call here has; then it is for the first account.

use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use super::content::{self, Content};
use super::state::{Account, Share};
use super::{authorize, shares};
use crate::azure::Azure;
use crate::azure::call::{Incoming, Pairs, Reply, field};
use crate::azure::faults::{Fault, Kind};
use crate::clock::http_date;

/// The header that tells of a share's or a file's metadata.
pub const METADATA: &str = "x-ms-meta-";

pub struct FileError {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
}

impl FileError {
    pub fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self {
            status,
            code,
            message,
        }
    }

    pub fn not_found(code: &'static str, message: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }
}

impl From<FileError> for Reply {
    fn from(error: FileError) -> Self {
        let FileError {
            status,
            code,
            message,
        } = error;
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        Reply {
            status,
            content_type: "application/xml",
            code: Some(code.to_owned()),
            ..Reply::html(body)
        }
        .with(vec![("x-ms-error-code", code.to_owned())])
    }
}

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub share: &'a str,
    /// Below the share, without a slash at either end.
    pub path: &'a str,
    pub operation: &'a str,
}

impl Target<'_> {
    /// The kind of resource as a SAS names it: service, container or object.
    pub fn kind(&self) -> char {
        match self.operation.split_once('.') {
            Some(("files" | "directories", _)) => 'o',
            Some(("file_shares", "list")) => 's',
            _ => 'c',
        }
    }

    /// The permissions of a SAS of which one is needed.
    pub fn permissions(&self) -> &'static str {
        match self.operation.split_once('.') {
            Some((_, "list")) => "l",
            Some((_, "get" | "head")) => "r",
            Some((_, "create")) => "cw",
            Some((_, "delete")) => "d",
            _ => "w",
        }
    }
}

/// The account and the operation, if this is a call for files.
pub fn route(
    method: &Method,
    headers: &HeaderMap,
    query: &Pairs,
    path: &str,
) -> Option<(String, &'static str)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let account = text("host")
        .and_then(|host| host.split_once(".file."))
        .map(|(account, _)| account.to_owned());
    if account.is_none() && text("x-ms-version").is_none() {
        return None;
    }
    let (kind, part) = (field(query, "restype"), field(query, "comp"));
    let operation = match (method.as_str(), kind, part) {
        ("GET", "", "list") if path == "/" => "file_shares.list",
        ("PUT", "share", "") => "file_shares.create",
        ("GET" | "HEAD", "share", "" | "metadata") => "file_shares.get",
        ("PUT", "share", "metadata") => "file_shares.set_metadata",
        ("PUT", "share", "properties") => "file_shares.set_properties",
        ("DELETE", "share", "") => "file_shares.delete",
        ("PUT", "directory", "") => "directories.create",
        ("GET" | "HEAD", "directory", "") => "directories.get",
        ("GET", "directory", "list") => "directories.list",
        ("DELETE", "directory", "") => "directories.delete",
        ("PUT", "", "range") => "files.put_range",
        ("PUT", "", "") => "files.create",
        ("GET", "", "") => "files.get",
        ("HEAD", "", "") => "files.head",
        ("DELETE", "", "") => "files.delete",
        _ => "files.unknown",
    };
    Some((account.unwrap_or_default(), operation))
}

/// A fault, in the words of the service.
pub fn fault(fault: &Fault) -> Option<Reply> {
    let error = match fault.kind {
        Kind::Throttle | Kind::Error503 => FileError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServerBusy",
            "The server is busy.",
        ),
        Kind::Error500 => FileError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "The server encountered an internal error.",
        ),
        Kind::AccessDenied | Kind::ExpiredToken => FileError::new(
            StatusCode::FORBIDDEN,
            "AuthenticationFailed",
            "Server failed to authenticate the request.",
        ),
        _ => return None,
    };
    Some(error.into())
}

pub fn answer(azure: &Azure, incoming: &Incoming, account: &str, operation: &str) -> Reply {
    let version = incoming
        .header("x-ms-version")
        .unwrap_or("2024-05-04")
        .to_owned();
    act(azure, incoming, account, operation)
        .unwrap_or_else(Reply::from)
        .with(vec![
            ("x-ms-version", version),
            ("date", http_date(incoming.at_ms)),
        ])
}

fn act(
    azure: &Azure,
    incoming: &Incoming,
    account: &str,
    operation: &str,
) -> Result<Reply, FileError> {
    let path = content::decode(&incoming.path);
    let (share, path) = path
        .trim_matches('/')
        .split_once('/')
        .unwrap_or((path.trim_matches('/'), ""));
    let target = Target {
        share,
        path,
        operation,
    };
    let mut world = azure.world();
    let first = world
        .storage
        .accounts
        .keys()
        .next()
        .cloned()
        .unwrap_or_default();
    let name = if account.is_empty() {
        azure.first_accounts.first().unwrap_or(&first)
    } else {
        account
    };
    let not_there =
        || FileError::not_found("ResourceNotFound", "The specified account does not exist.");
    let known = world.storage.accounts.get(name).ok_or_else(not_there)?;
    authorize::check(azure, &world.storage, known, incoming, &target)?;
    let account = world.storage.accounts.get_mut(name).ok_or_else(not_there)?;
    match operation {
        "file_shares.list" => return Ok(list(account, incoming)),
        "file_shares.create" => return create(account, incoming, share),
        _ => {}
    }
    let no_share = || FileError::not_found("ShareNotFound", "The specified share does not exist.");
    let found = account.shares.get_mut(share).ok_or_else(no_share)?;
    match operation {
        "file_shares.get" => Ok(shown(found)),
        "file_shares.set_metadata" => {
            found.metadata = metadata(incoming)?;
            found.touch(incoming.at_ms);
            Ok(marked(found, StatusCode::OK))
        }
        "file_shares.set_properties" => {
            found.quota_gib = quota(incoming)?.unwrap_or(found.quota_gib);
            found.touch(incoming.at_ms);
            Ok(marked(found, StatusCode::OK))
        }
        "file_shares.delete" => {
            account.shares.remove(share);
            Ok(Reply::empty(StatusCode::ACCEPTED))
        }
        _ => Content {
            share: found,
            incoming,
            path,
        }
        .act(operation),
    }
}

pub fn metadata(incoming: &Incoming) -> Result<serde_json::Map<String, Value>, FileError> {
    let members = incoming
        .headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().strip_prefix(METADATA)?, value.to_str().ok()?))
        })
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    if shares::is_metadata(&members) {
        Ok(members)
    } else {
        Err(FileError::new(
            StatusCode::BAD_REQUEST,
            "InvalidMetadata",
            "The specified metadata is invalid. It includes characters that are not permitted.",
        ))
    }
}

fn quota(incoming: &Incoming) -> Result<Option<u64>, FileError> {
    let Some(given) = incoming.header("x-ms-share-quota") else {
        return Ok(None);
    };
    let fits = given
        .parse()
        .ok()
        .filter(|quota| shares::QUOTAS_GIB.contains(quota));
    fits.map(Some).ok_or_else(|| {
        FileError::new(
            StatusCode::BAD_REQUEST,
            "InvalidHeaderValue",
            "The value for one of the HTTP headers is not in the correct format.",
        )
    })
}

fn create(account: &mut Account, incoming: &Incoming, name: &str) -> Result<Reply, FileError> {
    if !shares::is_name(name) {
        return Err(FileError::new(
            StatusCode::BAD_REQUEST,
            "InvalidResourceName",
            "The specified resource name contains invalid characters.",
        ));
    }
    if account.shares.contains_key(name) {
        return Err(FileError::new(
            StatusCode::CONFLICT,
            "ShareAlreadyExists",
            "The specified share already exists.",
        ));
    }
    let share = Share {
        quota_gib: quota(incoming)?.unwrap_or(shares::DEFAULT_QUOTA_GIB),
        metadata: metadata(incoming)?,
        modified_ms: incoming.at_ms,
        ..Share::default()
    };
    let reply = marked(&share, StatusCode::CREATED);
    account.shares.insert(name.to_owned(), share);
    Ok(reply)
}

fn marked(share: &Share, status: StatusCode) -> Reply {
    Reply::empty(status).with(vec![
        ("etag", share.etag()),
        ("last-modified", http_date(share.modified_ms)),
    ])
}

fn shown(share: &Share) -> Reply {
    let mut reply = marked(share, StatusCode::OK).with(vec![
        ("x-ms-share-quota", share.quota_gib.to_string()),
        (
            "x-ms-access-tier",
            share
                .access_tier
                .clone()
                .unwrap_or_else(|| "TransactionOptimized".to_owned()),
        ),
        (
            "x-ms-enabled-protocols",
            share.protocols.clone().unwrap_or_else(|| "SMB".to_owned()),
        ),
        ("x-ms-lease-status", "unlocked".to_owned()),
        ("x-ms-lease-state", "available".to_owned()),
    ]);
    reply.extra = content::metadata_headers(&share.metadata);
    reply
}

/// All on one page.
fn list(account: &Account, incoming: &Incoming) -> Reply {
    let prefix = field(&incoming.query, "prefix");
    let mut items = Vec::new();
    for (name, share) in account
        .shares
        .iter()
        .filter(|(name, _)| name.starts_with(prefix))
    {
        let mut metadata = Vec::new();
        for (name, value) in &share.metadata {
            let value = content::escape(value.as_str().unwrap_or_default());
            metadata.push(format!("<{name}>{value}</{name}>"));
        }
        items.push(format!(
            "<Share><Name>{name}</Name><Properties><Last-Modified>{}</Last-Modified><Etag>{}</Etag><Quota>{}</Quota></Properties>\
             <Metadata>{}</Metadata></Share>",
            http_date(share.modified_ms),
            content::escape(&share.etag()),
            share.quota_gib,
            metadata.concat()
        ));
    }
    let items = items.concat();
    content::xml(&format!(
        "<EnumerationResults ServiceEndpoint=\"https://{}.file.core.windows.net/\"><Shares>{items}</Shares><NextMarker/></EnumerationResults>",
        account.name
    ))
}
