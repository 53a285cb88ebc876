//! The one table from Azure's codes to ours.

use crate::wire::Code;

/// Sources: "Common error codes for Azure Resource Manager" and "Troubleshoot throttling" in Microsoft's documentation,
/// and the errors that Azure Machine Learning documents for compute.
const CODES: &[(&str, Code)] = &[
    ("TooManyRequests", Code::Throttled),
    ("SubscriptionRequestsThrottled", Code::Throttled),
    ("OperationNotAllowed", Code::QuotaExceeded),
    ("QuotaExceeded", Code::QuotaExceeded),
    ("ClusterCoreQuotaReached", Code::QuotaExceeded),
    ("ComputeQuotaExceeded", Code::QuotaExceeded),
    (
        "OverconstrainedAllocationRequest",
        Code::CapacityUnavailable,
    ),
    ("AllocationFailed", Code::CapacityUnavailable),
    ("ZonalAllocationFailed", Code::CapacityUnavailable),
    ("SkuNotAvailable", Code::CapacityUnavailable),
    ("AuthorizationFailed", Code::PermissionDenied),
    ("LinkedAuthorizationFailed", Code::PermissionDenied),
    ("RequestDisallowedByPolicy", Code::PermissionDenied),
    ("AuthenticationFailed", Code::Unauthenticated),
    ("ExpiredAuthenticationToken", Code::Unauthenticated),
    ("InvalidAuthenticationToken", Code::Unauthenticated),
    ("InvalidAuthenticationTokenTenant", Code::Unauthenticated),
    ("ResourceNotFound", Code::NotFound),
    ("ResourceGroupNotFound", Code::NotFound),
    ("SubscriptionNotFound", Code::NotFound),
    ("Conflict", Code::Conflict),
    ("AnotherOperationInProgress", Code::Conflict),
    ("ServerTimeout", Code::Unavailable),
    ("InternalServerError", Code::Unavailable),
];

/// Our code for an answer; by its HTTP status where Azure's own is not known.
#[must_use]
pub fn code(cloud_code: Option<&str>, http_status: u16) -> Code {
    cloud_code
        .and_then(|code| CODES.iter().find(|(name, _)| *name == code))
        .map_or_else(
            || crate::cloud::error::code_of_status(cloud_code, http_status),
            |(_, code)| *code,
        )
}
