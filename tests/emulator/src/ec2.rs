//! EC2's DescribeNetworkInterfaces of tasks' interfaces: the query protocol, as STS has it, with EC2's own XML.

use axum::http::StatusCode;

use crate::api_error::ApiError;
use crate::ecs::Call;
use crate::lifecycle::Status;
use crate::policy::Ask;
use crate::sts::{Form, escape, field};
use crate::tasks::Task;

/// The API's version, by which a call of EC2 is told from one of STS (botocore's model, `apiVersion`).
pub const VERSION: &str = "2016-11-15";

/// The XML of the answer.
///
/// # Errors
/// What EC2 would refuse with, in ECS's spelling; `error_xml` respells it.
pub fn answer(call: Call<'_>, action: &str, form: &Form) -> Result<String, ApiError> {
    if action != "DescribeNetworkInterfaces" {
        return Err(ApiError::new(
            "InvalidAction",
            format!("The action {action} is not valid for this web service."),
        ));
    }
    let ask = Ask {
        action: "ec2:DescribeNetworkInterfaces",
        resource: "*",
        context: &[],
    };
    call.key.check(ask).map_err(ApiError::access_denied)?;
    let filter = field(form, "Filter.1.Name");
    if filter != "network-interface-id" {
        let message = format!("The filter '{filter}' is invalid");
        return Err(ApiError::new("InvalidParameterValue", message));
    }
    let wanted = |task: &&Task| {
        let named = |(name, id): &(String, String)| {
            name.starts_with("Filter.1.Value.") && *id == task.network_interface_id
        };
        let attached = task.visible_address(call.now_ms).is_some()
            && task.status(call.now_ms) < Status::Deprovisioning;
        attached && form.iter().any(named)
    };
    let world = call.emulator.world();
    let items: String = world
        .tasks
        .iter()
        .filter(wanted)
        .map(|task| item(call, task))
        .collect();
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/{VERSION}/\"><requestId>{}</requestId>\
         <networkInterfaceSet>{items}</networkInterfaceSet></{action}Response>",
        crate::identity::random_hex(32)
    ))
}

/// API Reference, DescribeNetworkInterfaces, "Examples"; an association is there where the interface has a public address alone.
fn item(call: Call<'_>, task: &Task) -> String {
    let association = task.public_address(call.now_ms).map(|address| {
        format!(
            "<association><publicIp>{address}</publicIp><publicDnsName/><ipOwnerId>amazon</ipOwnerId></association>"
        )
    });
    format!(
        "<item><networkInterfaceId>{}</networkInterfaceId><subnetId>{}</subnetId><ownerId>{}</ownerId><requesterManaged>true\
         </requesterManaged><status>in-use</status><macAddress>{}</macAddress><privateIpAddress>{}</privateIpAddress>{}</item>",
        task.network_interface_id,
        escape(task.subnet.as_deref().unwrap_or_default()),
        escape(&call.emulator.account),
        task.mac,
        task.address,
        association.unwrap_or_default()
    )
}

/// EC2's own spelling of an error, and its HTTP status ("Error codes for the Amazon EC2 API", and "Query requests for Amazon
/// EC2" for the XML).
pub fn error_xml(error: &ApiError) -> (StatusCode, String) {
    let (status, code) = match error.code {
        "MissingAuthenticationTokenException" => {
            (StatusCode::BAD_REQUEST, "MissingAuthenticationToken")
        }
        "IncompleteSignatureException" => (StatusCode::BAD_REQUEST, "IncompleteSignature"),
        "UnrecognizedClientException" | "InvalidSignatureException" => {
            (StatusCode::UNAUTHORIZED, "AuthFailure")
        }
        "ExpiredTokenException" => (StatusCode::BAD_REQUEST, "RequestExpired"),
        "AccessDeniedException" => (StatusCode::FORBIDDEN, "UnauthorizedOperation"),
        "ThrottlingException" => (StatusCode::SERVICE_UNAVAILABLE, "RequestLimitExceeded"),
        "ServerException" => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        "ServiceUnavailableException" => (StatusCode::SERVICE_UNAVAILABLE, "Unavailable"),
        other => (error.status, other),
    };
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{}</Message></Error></Errors>\
         <RequestID>{}</RequestID></Response>",
        escape(&error.message),
        crate::identity::random_hex(32)
    );
    (status, xml)
}
