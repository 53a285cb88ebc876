//! The types of the members of EFS's actions, by the official model.

use serde_json::Value;

use super::error;
use crate::api_error::ApiError;
use crate::ecs::shape::Shape::{self, Integer, List, String, Structure};

const TAGS: Shape = List(&Structure(&[("Key", String), ("Value", String)]));

const CREATE_ACCESS_POINT: Shape = Structure(&[
    ("ClientToken", String),
    ("Tags", TAGS),
    ("FileSystemId", String),
    (
        "PosixUser",
        Structure(&[
            ("Uid", Integer),
            ("Gid", Integer),
            ("SecondaryGids", List(&Integer)),
        ]),
    ),
    (
        "RootDirectory",
        Structure(&[
            ("Path", String),
            (
                "CreationInfo",
                Structure(&[
                    ("OwnerUid", Integer),
                    ("OwnerGid", Integer),
                    ("Permissions", String),
                ]),
            ),
        ]),
    ),
]);

const DESCRIBE_ACCESS_POINTS: Shape = Structure(&[
    ("MaxResults", Integer),
    ("NextToken", String),
    ("AccessPointId", String),
    ("FileSystemId", String),
]);

const DESCRIBE_FILE_SYSTEMS: Shape = Structure(&[
    ("MaxItems", Integer),
    ("Marker", String),
    ("CreationToken", String),
    ("FileSystemId", String),
]);

const DESCRIBE_MOUNT_TARGETS: Shape = Structure(&[
    ("MaxItems", Integer),
    ("Marker", String),
    ("FileSystemId", String),
    ("MountTargetId", String),
    ("AccessPointId", String),
]);

const TAGS_OF: Shape = Structure(&[
    ("ResourceId", String),
    ("Tags", TAGS),
    ("MaxResults", Integer),
    ("NextToken", String),
]);

const ONE: Shape = Structure(&[("AccessPointId", String), ("FileSystemId", String)]);

/// As `ecs::shape::check`; what it refuses is a BadRequest here.
pub fn check(
    request: &mut Value,
    action: &str,
    unknown: &mut Vec<std::string::String>,
) -> Result<(), ApiError> {
    let shape = match action {
        "CreateAccessPoint" => &CREATE_ACCESS_POINT,
        "DescribeAccessPoints" => &DESCRIBE_ACCESS_POINTS,
        "DescribeFileSystems" => &DESCRIBE_FILE_SYSTEMS,
        "DescribeMountTargets" => &DESCRIBE_MOUNT_TARGETS,
        "TagResource" | "ListTagsForResource" => &TAGS_OF,
        _ => &ONE,
    };
    crate::ecs::shape::check(request, shape, action, unknown)
        .map_err(|refusal| error::bad_request(refusal.message))
}
