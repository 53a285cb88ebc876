//! The limits that the official model sets on the values of EFS's members.

use serde_json::Value;

use super::error::bad_request;
use crate::api_error::ApiError;

/// Model, ClientToken.
const CLIENT_TOKEN_CHARACTERS: usize = 64;
/// Model, Path.
const PATH_CHARACTERS: usize = 100;
const PATH_DEPTH: usize = 4;
/// Model, SecondaryGids.
const SECONDARY_GIDS: usize = 16;
/// User guide, "Tagging EFS resources".
const TAGS: usize = 50;
const TAG_KEY_CHARACTERS: usize = 128;
const TAG_VALUE_CHARACTERS: usize = 256;

pub fn access_point(request: &Value) -> Result<(), ApiError> {
    let token = request["ClientToken"].as_str().unwrap_or_default();
    if token.is_empty() || token.chars().count() > CLIENT_TOKEN_CHARACTERS {
        return Err(bad_request("ClientToken must have 1 to 64 characters."));
    }
    if request["FileSystemId"].as_str().is_none_or(str::is_empty) {
        return Err(bad_request("FileSystemId is required."));
    }
    tags(&request["Tags"])?;
    let user = &request["PosixUser"];
    if !user.is_null() {
        identity(user, &["Uid", "Gid"], "PosixUser")?;
        let secondary = user["SecondaryGids"].as_array().map_or(0, Vec::len);
        if secondary > SECONDARY_GIDS {
            return Err(bad_request("SecondaryGids can have at most 16 items."));
        }
    }
    let root = &request["RootDirectory"];
    if let Some(path) = root["Path"].as_str()
        && !is_path(path)
    {
        return Err(bad_request(format!("Path is not valid: '{path}'.")));
    }
    let creation = &root["CreationInfo"];
    if !creation.is_null() {
        identity(creation, &["OwnerUid", "OwnerGid"], "CreationInfo")?;
        let permissions = creation["Permissions"].as_str().unwrap_or_default();
        let octal = permissions.chars().all(|c| ('0'..='7').contains(&c));
        if !octal || !matches!(permissions.len(), 3 | 4) {
            return Err(bad_request("Permissions must be 3 or 4 octal digits."));
        }
    }
    Ok(())
}

fn identity(of: &Value, members: &[&str], name: &str) -> Result<(), ApiError> {
    let fits = |value: &Value| value.as_i64().is_some_and(|id| u32::try_from(id).is_ok());
    match members.iter().find(|member| !fits(&of[**member])) {
        Some(member) => Err(bad_request(format!(
            "{name}.{member} must be an integer from 0 to 4294967295."
        ))),
        None => Ok(()),
    }
}

/// Model, Path: `^(\/|(\/(?!\.)+[^$#<>;`|&?{}^*/\n]+){1,4})$`.
fn is_path(path: &str) -> bool {
    if path == "/" {
        return true;
    }
    let Some(names) = path.strip_prefix('/') else {
        return false;
    };
    let fits = |name: &str| {
        !name.is_empty()
            && !name.starts_with('.')
            && !name.contains(|c| "$#<>;`|&?{}^*\n".contains(c))
    };
    path.chars().count() <= PATH_CHARACTERS
        && names.split('/').count() <= PATH_DEPTH
        && names.split('/').all(fits)
}

pub fn tags(tags: &Value) -> Result<(), ApiError> {
    let tags = tags.as_array().map_or(&[][..], Vec::as_slice);
    if tags.len() > TAGS {
        return Err(bad_request("A resource can have at most 50 tags."));
    }
    // The model's pattern for both: letters, spaces, digits and these signs.
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    for tag in tags {
        let (Some(key), Some(value)) = (tag["Key"].as_str(), tag["Value"].as_str()) else {
            return Err(bad_request("A tag needs a Key and a Value."));
        };
        let reserved = key.to_ascii_lowercase().starts_with("aws:");
        let length = key.chars().count();
        if reserved || !(1..=TAG_KEY_CHARACTERS).contains(&length) || !key.chars().all(allowed) {
            return Err(bad_request(format!("Tag key is not valid: '{key}'.")));
        }
        if value.chars().count() > TAG_VALUE_CHARACTERS || !value.chars().all(allowed) {
            return Err(bad_request(format!("Tag value of '{key}' is not valid.")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_path;

    #[test]
    fn a_path_has_at_most_four_names_and_none_that_begins_with_a_dot() {
        for (path, fits) in [
            ("/", true),
            ("/a/b/c/d", true),
            ("/a/b/c/d/e", false),
            ("/..", false),
            ("/a/../b", false),
            ("a", false),
            ("/a/", false),
            ("/a*", false),
        ] {
            assert_eq!(is_path(path), fits, "{path}");
        }
    }
}
