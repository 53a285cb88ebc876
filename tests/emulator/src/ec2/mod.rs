//! EC2's DescribeNetworkInterfaces of tasks' interfaces, and the networks around them: the query protocol, as STS has it, with
//! EC2's own XML.

mod networks;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::ecs::Call;
use crate::lifecycle::Status;
use crate::policy::Ask;
use crate::sts::{Form, escape, field};
use crate::tasks::Task;
use crate::world::World;
pub use networks::Networks;

/// The API's version, by which a call of EC2 is told from one of STS (botocore's model, `apiVersion`).
pub const VERSION: &str = "2016-11-15";

/// A filter's name, and the values of which it wants one.
type Filter<'a> = (&'a str, Vec<&'a str>);

/// The XML of the answer.
///
/// # Errors
/// What EC2 would refuse with, in ECS's spelling; `error_xml` respells it.
pub fn answer(call: Call<'_>, action: &str, form: &Form) -> Result<String, ApiError> {
    let (known, set): (&[&str], _) = match action {
        "DescribeNetworkInterfaces" => (&["network-interface-id"], "networkInterfaceSet"),
        "DescribeSubnets" => (&["subnet-id"], "subnetSet"),
        "DescribeRouteTables" => (&["vpc-id"], "routeTableSet"),
        "DescribeVpcEndpoints" => (&["vpc-id"], "vpcEndpointSet"),
        "DescribeSecurityGroups" => (&["group-id", "group-name", "vpc-id"], "securityGroupInfo"),
        "DescribeSecurityGroupVpcAssociations" => {
            (&["group-id", "state"], "securityGroupVpcAssociationSet")
        }
        _ => {
            return Err(ApiError::new(
                "InvalidAction",
                format!("The action {action} is not valid for this web service."),
            ));
        }
    };
    let ask = Ask {
        action: &format!("ec2:{action}"),
        resource: "*",
        context: &[],
    };
    call.key.check(ask).map_err(ApiError::access_denied)?;
    let filters = filters(form);
    if let Some((given, _)) = filters.iter().find(|(name, _)| !known.contains(name)) {
        let message = format!("The filter '{given}' is invalid");
        return Err(ApiError::new("InvalidParameterValue", message));
    }
    let world = call.emulator.world();
    let networks = &world.networks;
    let mut items = match action {
        "DescribeNetworkInterfaces" => interfaces(call, &world),
        "DescribeSubnets" => {
            networks.subnets(values(&filters, "subnet-id"), &call.emulator.account)
        }
        "DescribeRouteTables" => networks.route_tables(values(&filters, "vpc-id")),
        "DescribeVpcEndpoints" => networks.endpoints(),
        "DescribeSecurityGroups" => networks.groups(&filters),
        _ => networks.associations(),
    };
    items.retain(|item| fits(item, &filters));
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/{VERSION}/\"><requestId>{}</requestId>\
         <{set}>{}</{set}></{action}Response>",
        crate::identity::random_hex(32),
        xml(&Value::Array(items))
    ))
}

fn filters(form: &Form) -> Vec<Filter<'_>> {
    let each = (1..).map_while(|n| {
        let name = field(form, &format!("Filter.{n}.Name"));
        let values = format!("Filter.{n}.Value.");
        let values = form.iter().filter(|(name, _)| name.starts_with(&values));
        let values = values.map(|(_, value)| value.as_str()).collect();
        (!name.is_empty()).then_some((name, values))
    });
    each.collect()
}

fn values<'a>(filters: &'a [Filter<'_>], name: &str) -> &'a [&'a str] {
    let filter = filters.iter().find(|(given, _)| *given == name);
    filter.map_or(&[], |(_, values)| values)
}

/// Filters are joined with AND, a filter's values with OR ("Filter" in the API Reference); a filter is called as the member is.
fn fits(item: &Value, filters: &[Filter<'_>]) -> bool {
    filters.iter().all(|(name, values)| {
        let mut words = name.split('-');
        let mut member = words.next().unwrap_or_default().to_owned();
        for word in words {
            let (first, rest) = word.split_at(1);
            member += &(first.to_uppercase() + rest);
        }
        item[member].as_str().is_some_and(|it| values.contains(&it))
    })
}

/// A list's items are all called `item`.
fn xml(value: &Value) -> String {
    let element = |name: &str, value: &Value| format!("<{name}>{}</{name}>", xml(value));
    match value {
        Value::Null => String::new(),
        Value::Array(items) => items.iter().map(|one| element("item", one)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, one)| element(name, one))
            .collect(),
        Value::String(text) => escape(text),
        other => other.to_string(),
    }
}

/// API Reference, DescribeNetworkInterfaces, "Examples"; an association is there where the interface has a public address alone.
fn interfaces(call: Call<'_>, world: &World) -> Vec<Value> {
    let attached = |task: &&Task| {
        task.visible_address(call.now_ms).is_some()
            && task.status(call.now_ms) < Status::Deprovisioning
    };
    let tasks = world.tasks.iter().filter(attached);
    let item = |task: &Task| {
        let mut item = json!({
            "networkInterfaceId": task.network_interface_id,
            "subnetId": task.subnet,
            "ownerId": call.emulator.account,
            "requesterManaged": true,
            "status": "in-use",
            "macAddress": task.mac,
            "privateIpAddress": task.address,
        });
        if let Some(address) = task.public_address(call.now_ms) {
            item["association"] =
                json!({"publicIp": address, "publicDnsName": "", "ipOwnerId": "amazon"});
        }
        item
    };
    tasks.map(item).collect()
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
