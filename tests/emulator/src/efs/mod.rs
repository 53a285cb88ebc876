//! Amazon EFS: access points of file systems that are there from the start, and whether a task may mount them. The actions are
//! those of the REST API 2015-02-01; each is told by method and path, and its members are gathered from path, query and body.

mod access_points;
pub mod admin;
mod describe;
mod error;
pub mod mount;
pub mod options;
mod shape;
pub mod state;
mod validate;

use std::sync::Arc;

use axum::http::{Method, Uri};
use serde_json::{Map, Value, json};

use crate::api_error::ApiError;
use crate::identity::Key;
use crate::policy::Ask;
use crate::world::Emulator;

/// What every path begins with.
const VERSION: &str = "/2015-02-01/";

/// One call whose signature was checked.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub emulator: &'a Arc<Emulator>,
    pub key: &'a Key,
    pub now_ms: u64,
}

impl Call<'_> {
    fn may(self, action: &str, resource: &str) -> Result<(), ApiError> {
        let ask = Ask {
            action: &format!("elasticfilesystem:{action}"),
            resource,
            context: &[],
        };
        self.key.check(ask).map_err(error::access_denied)
    }

    /// `arn:aws:elasticfilesystem:<region>:<account>:<kind>/<id>`
    fn arn(self, kind: &str, id: &str) -> String {
        arn(self.emulator, kind, id)
    }
}

pub fn arn(emulator: &Emulator, kind: &str, id: &str) -> String {
    let Emulator {
        region, account, ..
    } = emulator;
    format!("arn:aws:elasticfilesystem:{region}:{account}:{kind}/{id}")
}

pub use error::{body, respell};

/// The action and its members, or None for a path that EFS does not have.
pub fn read(method: &Method, uri: &Uri, bytes: &[u8]) -> Option<(&'static str, Value)> {
    let path = uri.path().strip_prefix(VERSION)?;
    let (kind, id) = match path.trim_end_matches('/').split_once('/') {
        Some((kind, id)) => (kind, decode(id)),
        None => (path.trim_end_matches('/'), String::new()),
    };
    let policy_of = id.strip_suffix("/policy");
    let (action, id_member) = match (method.as_str(), kind, id.is_empty()) {
        ("POST", "access-points", true) => ("CreateAccessPoint", ""),
        ("GET", "access-points", true) => ("DescribeAccessPoints", ""),
        ("DELETE", "access-points", false) => ("DeleteAccessPoint", "AccessPointId"),
        ("GET", "file-systems", true) => ("DescribeFileSystems", ""),
        ("GET", "file-systems", false) if policy_of.is_some() => {
            ("DescribeFileSystemPolicy", "FileSystemId")
        }
        ("GET", "mount-targets", true) => ("DescribeMountTargets", ""),
        ("POST", "resource-tags", false) => ("TagResource", "ResourceId"),
        ("GET", "resource-tags", false) => ("ListTagsForResource", "ResourceId"),
        _ => return None,
    };
    let mut members = if bytes.is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(members)) => members,
            // Refused after the signature check, since no action has it.
            _ => return Some((action, json!(String::from_utf8_lossy(bytes)))),
        }
    };
    let query = uri.query().unwrap_or_default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        // Of the members in queries these alone are no texts.
        let number = matches!(&*name, "MaxResults" | "MaxItems")
            .then(|| value.parse::<i64>().ok())
            .flatten();
        members.insert(
            name.into_owned(),
            number.map_or_else(|| json!(value), |number| json!(number)),
        );
    }
    if !id_member.is_empty() {
        members.insert(id_member.to_owned(), json!(policy_of.unwrap_or(&id)));
    }
    Some((action, Value::Object(members)))
}

/// An ARN in a path has its `:` and `/` escaped.
fn decode(text: &str) -> String {
    let escaped = text.replace('+', "%2B");
    form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map_or_else(String::new, |(name, _)| name.into_owned())
}

/// Answers an action; a body without members is none.
///
/// # Errors
/// What EFS would refuse with.
pub fn answer(call: Call<'_>, action: &str, mut request: Value) -> Result<Value, ApiError> {
    let mut unknown = Vec::new();
    shape::check(&mut request, action, &mut unknown)?;
    let mut world = call.emulator.world();
    let world = &mut *world;
    for path in unknown {
        world.calls.unknown_member(path);
    }
    let efs = &mut world.efs;
    match action {
        "CreateAccessPoint" => access_points::create(call, &request, efs),
        "DescribeAccessPoints" => access_points::describe(call, &request, efs),
        "DeleteAccessPoint" => access_points::delete(call, &request, efs),
        "DescribeFileSystems" => describe::file_systems(call, &request, efs),
        "DescribeFileSystemPolicy" => describe::file_system_policy(call, &request, efs),
        "DescribeMountTargets" => describe::mount_targets(call, &request, efs),
        "TagResource" => describe::tag(call, &request, efs),
        _ => describe::tags(call, &request, efs),
    }
}
