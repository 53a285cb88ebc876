//! The one table from AWS's codes to ours.

use crate::cloud::error::code_of_status;
use crate::wire::Code;

/// AWS's codes that mean something else than their HTTP status does. Sources: "Common Errors" and each action's "Errors"
/// in the Amazon ECS and EFS API References; the SDKs' lists of throttling and clock-skew codes (aws-smithy `retry`).
const CODES: &[(&str, Code)] = &[
    ("ThrottlingException", Code::Throttled),
    ("Throttling", Code::Throttled),
    ("ThrottledException", Code::Throttled),
    ("RequestThrottledException", Code::Throttled),
    ("TooManyRequestsException", Code::Throttled),
    ("RequestLimitExceeded", Code::Throttled),
    ("LimitExceededException", Code::QuotaExceeded),
    ("AccessDeniedException", Code::PermissionDenied),
    ("AccessDenied", Code::PermissionDenied),
    // EC2's own ("Error codes for the Amazon EC2 API").
    ("UnauthorizedOperation", Code::PermissionDenied),
    ("AuthFailure", Code::Unauthenticated),
    ("BlockedException", Code::PermissionDenied),
    ("OptInRequired", Code::PermissionDenied),
    ("ExpiredTokenException", Code::Unauthenticated),
    ("ExpiredToken", Code::Unauthenticated),
    ("UnrecognizedClientException", Code::Unauthenticated),
    ("InvalidClientTokenId", Code::Unauthenticated),
    ("InvalidSignatureException", Code::Unauthenticated),
    ("SignatureDoesNotMatch", Code::Unauthenticated),
    ("MissingAuthenticationTokenException", Code::Unauthenticated),
    ("IncompleteSignature", Code::Unauthenticated),
    ("RequestExpired", Code::Unauthenticated),
    ("ClusterNotFoundException", Code::NotFound),
    // CloudWatch Logs, for a group or a stream.
    ("ResourceNotFoundException", Code::NotFound),
    ("ServiceUnavailableException", Code::Unavailable),
    ("ConflictException", Code::Conflict),
    ("ServerException", Code::Unavailable),
    ("ServiceUnavailable", Code::Unavailable),
    ("InternalFailure", Code::Unavailable),
    ("InvalidParameterException", Code::InvalidConfig),
    ("ClientException", Code::InvalidConfig),
    ("SerializationException", Code::InvalidConfig),
    ("ValidationException", Code::InvalidConfig),
    ("PlatformUnknownException", Code::InvalidConfig),
    (
        "PlatformTaskDefinitionIncompatibilityException",
        Code::InvalidConfig,
    ),
    ("UnsupportedFeatureException", Code::InvalidConfig),
    ("AccessPointLimitExceeded", Code::QuotaExceeded),
    ("AccessPointAlreadyExists", Code::Conflict),
    // "Returned if the file system's lifecycle state is not \"available\"": it is being made, changed or removed.
    ("IncorrectFileSystemLifeCycleState", Code::Unavailable),
    ("InternalServerError", Code::Unavailable),
    // Secrets Manager's own (each action's "Errors" in its API Reference).
    ("ResourceExistsException", Code::Conflict),
    ("InvalidRequestException", Code::Conflict),
    ("EncryptionFailure", Code::InvalidConfig),
    ("DecryptionFailure", Code::InvalidConfig),
    ("InternalServiceError", Code::Unavailable),
];

/// Codes that ECS also wraps another service's answer into, with that service's own code in the sentence:
/// "Error retrieving subnet information for [subnet-…]: Rate exceeded (ErrorCode: Throttling)" (dagster-io/dagster issue
/// 33439), "…Request limit exceeded. (ErrorCode: RequestLimitExceeded)" (dask/dask-cloudprovider issue 56).
const WRAPPERS: &[&str] = &["InvalidParameterException", "ClientException"];
const WRAPPED: &str = "(ErrorCode: ";

/// How the sentence of a wrapper begins where it carries no code at all and is all that there is to go by.
const SENTENCES: &[(&str, Code)] = &[
    // RunTask, where the cluster has as many tasks in PROVISIONING as it may: aws/aws-sdk-ruby issue 3047; "Amazon ECS
    // service quotas", "Tasks in the PROVISIONING state per cluster".
    (
        "Tasks provisioning capacity limit exceeded",
        Code::CapacityUnavailable,
    ),
    // "Amazon ECS API failures messages" in the Developer Guide has it as a reason in `failures`.
    ("Capacity is unavailable", Code::CapacityUnavailable),
];

/// Our code for an answer; by its HTTP status where AWS's own is not known.
#[must_use]
pub fn code(cloud_code: Option<&str>, message: &str, http_status: u16) -> Code {
    let known = |wanted: &str| {
        let row = CODES.iter().find(|(name, _)| *name == wanted);
        row.map(|(_, code)| *code)
    };
    cloud_code
        .filter(|code| WRAPPERS.contains(code))
        .and_then(|_| {
            let sentence = SENTENCES
                .iter()
                .find(|(begin, _)| message.starts_with(begin));
            sentence.map(|(_, code)| *code).or_else(|| {
                let (code, _) = message.split_once(WRAPPED)?.1.split_once(')')?;
                // Only what passes by itself: a wrapped AccessDenied is of the task's role, not of ours.
                known(code).filter(|code| matches!(code, Code::Throttled | Code::Unavailable))
            })
        })
        .or_else(|| known(cloud_code?))
        .unwrap_or_else(|| code_of_status(cloud_code, http_status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::error::{CloudError, Refusal};
    use crate::net::retry::Again;
    use serde_json::Value;

    fn refused(http_status: u16, cloud_code: Option<&str>) -> CloudError {
        CloudError::Refused(Box::new(Refusal {
            operation: "ecs:RunTask".to_owned(),
            http_status,
            code: code(cloud_code, "", http_status),
            cloud_code: cloud_code.map(str::to_owned),
            message: String::new(),
            request_id: None,
            retry_after: None,
            body: Value::Null,
        }))
    }

    #[test]
    fn a_throttle_had_no_effect_and_is_tried_again() {
        let error = refused(400, Some("ThrottlingException"));
        assert!(error.had_no_effect());
        assert_eq!(error.again(), Again::After(None));
    }

    #[test]
    fn a_server_error_may_have_had_an_effect() {
        assert!(!refused(500, Some("ServerException")).had_no_effect());
        assert!(!refused(503, None).had_no_effect());
    }

    #[test]
    fn a_refusal_that_wraps_another_services_throttling_is_throttling() {
        for (wrapper, message, meant) in [
            (
                "InvalidParameterException",
                "Error retrieving subnet information for [subnet-1]: Rate exceeded (ErrorCode: Throttling)",
                Code::Throttled,
            ),
            (
                "ClientException",
                "Error retrieving security group information for [sg-1]: Request limit exceeded. (ErrorCode: RequestLimitExceeded)",
                Code::Throttled,
            ),
            (
                "ClientException",
                "Tasks provisioning capacity limit exceeded.",
                Code::CapacityUnavailable,
            ),
            (
                "InvalidParameterException",
                "Error retrieving subnet information for [subnet-1]: no such subnet (ErrorCode: InvalidSubnetID.NotFound)",
                Code::InvalidConfig,
            ),
            (
                "AccessDeniedException",
                "said (ErrorCode: Throttling)",
                Code::PermissionDenied,
            ),
        ] {
            assert_eq!(code(Some(wrapper), message, 400), meant, "{message}");
        }
    }

    #[test]
    fn a_code_that_nobody_knows_goes_by_its_http_status() {
        assert_eq!(
            refused(400, Some("BrandNewException")).code(),
            Code::InvalidConfig
        );
        assert_eq!(
            refused(500, Some("BrandNewException")).code(),
            Code::Unavailable
        );
        assert_eq!(refused(429, None).code(), Code::Throttled);
    }
}
