//! What is wrong with the request for an instance by itself.

use serde_json::Value;

use super::Azure;
use super::error::ArmError;
use super::sizes::Size;

/// "Create and manage a compute instance": 15 minutes to 3 days.
const IDLE_S: std::ops::RangeInclusive<u64> = 15 * 60..=3 * 24 * 3600;

/// The VM size that it asks for.
///
/// # Errors
/// 400, with the member in `target`.
pub fn check<'a>(azure: &'a Azure, body: &Value, name: &str) -> Result<&'a Size, ArmError> {
    let properties = &body["properties"];
    if properties["computeType"] != "ComputeInstance" {
        return Err(ArmError::bad_request(
            "UserError",
            format!(
                "The emulator has no compute type {}.",
                properties["computeType"]
            ),
        ));
    }
    if !is_name(name) {
        return Err(ArmError::bad_request(
            "UserError",
            format!(
                "Compute name '{name}' is not available. Reason: Invalid. Message: A name for an Azure ML Compute Instance must \
                 be between 3 and 24 characters in length and must use only numbers, letters and minus symbol (-), must start \
                 with letters. Numbers cannot be the ending of the name if the previous character is a minus symbol (-). Please \
                 specify a different Azure ML Instance name"
            ),
        )
        .target("computeName"));
    }
    let given = &properties["properties"];
    let wanted = given["vmSize"].as_str().unwrap_or_default();
    let size = azure
        .sizes
        .iter()
        .find(|size| size.name.eq_ignore_ascii_case(wanted) && size.for_instances)
        .ok_or_else(|| {
            ArmError::bad_request(
                "UserError",
                format!(
                    "STANDARD size '{wanted}' is not a supported VM size for a compute instance in this region. Use the list of \
                     supported VM sizes."
                ),
            )
            .target("vmSize")
        })?;
    check_settings(given)?;
    Ok(size)
}

fn check_settings(given: &Value) -> Result<(), ArmError> {
    let wrong = |target: &str, message: String| {
        Err(ArmError::bad_request("UserError", message).target(target))
    };
    if let Some(idle) = given
        .get("idleTimeBeforeShutdown")
        .filter(|idle| !idle.is_null())
    {
        let seconds = idle.as_str().and_then(duration_s);
        if !seconds.is_some_and(|seconds| IDLE_S.contains(&seconds)) {
            return wrong(
                "idleTimeBeforeShutdown",
                format!(
                    "idleTimeBeforeShutdown {idle} must be an ISO 8601 duration from PT15M to P3D."
                ),
            );
        }
    }
    for script in ["creationScript", "startupScript"] {
        let data = &given["setupScripts"]["scripts"][script]["scriptData"];
        if let Some(data) = data.as_str()
            && data_encoding::BASE64.decode(data.as_bytes()).is_err()
        {
            return wrong(
                "setupScripts",
                format!("{script}: scriptData is not base64."),
            );
        }
    }
    let assigned = &given["personalComputeInstanceSettings"]["assignedUser"];
    if assigned.is_object()
        && !["objectId", "tenantId"]
            .iter()
            .all(|member| assigned[member].as_str().is_some_and(is_guid))
    {
        return wrong(
            "personalComputeInstanceSettings",
            "assignedUser needs the objectId and tenantId of a user.".to_owned(),
        );
    }
    Ok(())
}

/// Swagger, `computeName`, of an instance: `^[a-zA-Z](?![a-zA-Z0-9-]*-\d+$)[a-zA-Z0-9\-]{2,23}$`
fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let digits = bytes
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let number_after_dash =
        digits > 0 && digits < bytes.len() && bytes[bytes.len() - digits - 1] == b'-';
    (3..=24).contains(&bytes.len())
        && bytes[0].is_ascii_alphabetic()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && !number_after_dash
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `PT1H30M`, `P3D`: days, hours, minutes and seconds.
fn duration_s(text: &str) -> Option<u64> {
    let rest = text.strip_prefix('P')?;
    let (date, time) = rest.split_once('T').unwrap_or((rest, ""));
    let mut total = 0;
    for (part, units) in [
        (date, &[('D', 86_400)][..]),
        (time, &[('H', 3600), ('M', 60), ('S', 1)]),
    ] {
        let mut number = String::new();
        for letter in part.chars() {
            if letter.is_ascii_digit() {
                number.push(letter);
            } else {
                let (_, seconds) = units.iter().find(|(unit, _)| *unit == letter)?;
                total += number.parse::<u64>().ok()?.checked_mul(*seconds)?;
                number.clear();
            }
        }
        if !number.is_empty() {
            return None;
        }
    }
    (rest.len() > 1).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::{duration_s, is_guid, is_name};

    #[test]
    fn a_name_follows_the_swaggers_pattern() {
        for good in [
            "abc",
            "cs-ada-b3x7q",
            "a1b",
            "abc-1a",
            "a23",
            "abcdefghijklmnopqrstuvwx",
        ] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "ab",
            "1abc",
            "cpu-cluster-1",
            "a_bc",
            "abcdefghijklmnopqrstuvwxy",
            "",
            "abc-12",
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration_s("PT15M"), Some(900));
        assert_eq!(duration_s("P1DT1H"), Some(90_000));
        for wrong in ["15M", "P", "PT", "PT5", "P1M"] {
            assert_ne!(duration_s(wrong), Some(0), "{wrong}");
        }
        assert_eq!(duration_s("P1M"), None);
        assert!(is_guid("00000000-0000-0000-0000-000000000000"));
        assert!(!is_guid("00000000"));
    }
}
