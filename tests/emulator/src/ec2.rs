//! EC2's DescribeNetworkInterfaces of tasks' interfaces, and the networks around them: the query protocol, as STS has it, with
//! EC2's own XML.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::ecs::Call;
use crate::efs::state::TASKS_VPC;
use crate::lifecycle::Status;
use crate::policy::Ask;
use crate::sts::{Form, escape, field};
use crate::tasks::Task;
use crate::world::World;

/// The API's version, by which a call of EC2 is told from one of STS (botocore's model, `apiVersion`).
pub const VERSION: &str = "2016-11-15";

/// What a test says of a subnet: `null` that it is not there, else `vpc`, and the members of its default route ("Route" in the
/// API Reference), `null` for none. One of which nothing is said is in EFS's VPC and has a NAT gateway.
pub type Subnets = BTreeMap<String, Value>;

/// The XML of the answer.
///
/// # Errors
/// What EC2 would refuse with, in ECS's spelling; `error_xml` respells it.
pub fn answer(call: Call<'_>, action: &str, form: &Form) -> Result<String, ApiError> {
    let (filter, set) = match action {
        "DescribeNetworkInterfaces" => ("network-interface-id", "networkInterfaceSet"),
        "DescribeSubnets" => ("subnet-id", "subnetSet"),
        "DescribeRouteTables" => ("vpc-id", "routeTableSet"),
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
    let given = field(form, "Filter.1.Name");
    if given != filter {
        let message = format!("The filter '{given}' is invalid");
        return Err(ApiError::new("InvalidParameterValue", message));
    }
    let wanted = form
        .iter()
        .filter(|(name, _)| name.starts_with("Filter.1.Value."));
    let wanted: Vec<&str> = wanted.map(|(_, value)| value.as_str()).collect();
    let world = call.emulator.world();
    let items: String = match action {
        "DescribeNetworkInterfaces" => interfaces(call, &world, &wanted),
        "DescribeSubnets" => wanted.iter().map(|id| subnet(&world.subnets, id)).collect(),
        _ => wanted
            .iter()
            .map(|vpc| route_tables(&world.subnets, vpc))
            .collect(),
    };
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/{VERSION}/\"><requestId>{}</requestId>\
         <{set}>{items}</{set}></{action}Response>",
        crate::identity::random_hex(32)
    ))
}

fn interfaces(call: Call<'_>, world: &World, wanted: &[&str]) -> String {
    let known = |task: &&Task| {
        let attached = task.visible_address(call.now_ms).is_some()
            && task.status(call.now_ms) < Status::Deprovisioning;
        attached && wanted.contains(&task.network_interface_id.as_str())
    };
    let tasks = world.tasks.iter().filter(known);
    tasks.map(|task| item(call, task)).collect()
}

fn vpc_of(subnet: &Value) -> &str {
    subnet["vpc"].as_str().unwrap_or(TASKS_VPC)
}

fn subnet(subnets: &Subnets, id: &str) -> String {
    let vpc = match subnets.get(id) {
        Some(Value::Null) => return String::new(),
        Some(said) => vpc_of(said),
        None => TASKS_VPC,
    };
    format!(
        "<item><subnetId>{}</subnetId><state>available</state><vpcId>{}</vpcId></item>",
        escape(id),
        escape(vpc)
    )
}

/// API Reference, DescribeRouteTables, "Examples": the main table, and one for each subnet of which something is said.
fn route_tables(subnets: &Subnets, vpc: &str) -> String {
    let table = |association: &str, route: &Value| {
        let members = route.as_object().into_iter().flatten();
        let target: Vec<String> = members
            .map(|(name, value)| {
                let value = escape(value.as_str().unwrap_or_default());
                format!("<{name}>{value}</{name}>")
            })
            .collect();
        let default = if target.is_empty() {
            String::new()
        } else {
            format!(
                "<item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock>{}</item>",
                target.concat()
            )
        };
        format!(
            "<item><routeTableId>rtb-{}</routeTableId><vpcId>{}</vpcId><routeSet><item><destinationCidrBlock>10.0.0.0/16\
             </destinationCidrBlock><gatewayId>local</gatewayId><state>active</state></item>{default}</routeSet><associationSet>\
             <item>{association}</item></associationSet></item>",
            crate::identity::random_hex(17),
            escape(vpc)
        )
    };
    let said = subnets
        .iter()
        .filter(|(_, said)| !said.is_null() && vpc_of(said) == vpc);
    let own = said.map(|(id, said)| {
        let association = format!("<subnetId>{}</subnetId><main>false</main>", escape(id));
        table(&association, &said["route"])
    });
    let nat = json!({"natGatewayId": "nat-0123456789abcdef0", "state": "active"});
    let main = table("<main>true</main>", &nat);
    own.chain([main]).collect()
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
