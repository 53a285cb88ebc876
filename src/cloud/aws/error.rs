//! The one table from AWS's codes to ours.

use crate::cloud::error::code_of_status;
use crate::wire::Code;

/// AWS's codes that mean something else than their HTTP status does. Sources: "Common Errors" and each action's "Errors"
/// in the Amazon ECS API Reference; the SDKs' lists of throttling and clock-skew codes (aws-smithy `retry`).
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
];

/// Our code for an answer; by its HTTP status where AWS's own is not known.
#[must_use]
pub fn code(cloud_code: Option<&str>, http_status: u16) -> Code {
    cloud_code
        .and_then(|code| CODES.iter().find(|(name, _)| *name == code))
        .map_or_else(|| code_of_status(http_status), |(_, code)| *code)
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
            code: code(cloud_code, http_status),
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
