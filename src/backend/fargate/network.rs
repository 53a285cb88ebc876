//! The tasks' way out of their subnets, by EC2's route tables: without one no image is pulled and no hub is reached.

use super::config::{Address, Config};
use super::ec2::Ec2;
use crate::cloud::CloudError;
use crate::cloud::aws::query::{child, text_of};
use crate::wire::Code;
use crate::wire::reply::Check;
use roxmltree::Node;
use std::time::Duration;
use tokio::time::Instant;

/// A hub without a way to EC2, as in a closed VPC, is not kept waiting for it.
const TIMEOUT: Duration = Duration::from_secs(3);
const NAME: &str = "subnets";
const POLICY: &str =
    "deployments/fargate/check-policy.json has ec2:DescribeSubnets and ec2:DescribeRouteTables.";
const NOT_NEEDED: &str = "A start needs no EC2.";
const EVERYWHERE: &str = "0.0.0.0/0";
/// Route, the members that name where it leads (EC2 API Reference).
const TARGETS: [&str; 8] = [
    "gatewayId",
    "natGatewayId",
    "transitGatewayId",
    "networkInterfaceId",
    "instanceId",
    "vpcPeeringConnectionId",
    "localGatewayId",
    "coreNetworkArn",
];

struct Subnet {
    id: String,
    vpc: String,
}

struct RouteTable {
    vpc: String,
    /// The subnets that are associated with it by name.
    subnets: Vec<String>,
    /// Whether those of the VPC that are associated with none have it.
    is_main: bool,
    /// Where its default route leads, if that works.
    way_out: Option<String>,
}

/// Findings about the subnets of `config`; none where it names none.
pub async fn checks(ec2: &Ec2, config: &Config) -> Vec<Check> {
    let wanted = config.subnets();
    if wanted.is_empty() {
        return Vec::new();
    }
    let unseen = |why: &str, hint: &str| {
        vec![Check::unseen(
            NAME,
            &format!("could not be looked at: {why}"),
            hint,
        )]
    };
    match tokio::time::timeout(TIMEOUT, look(ec2, &wanted)).await {
        Ok(Ok((subnets, tables))) => judge(&wanted, &subnets, &tables, config),
        Ok(Err(error)) if error.code() == Code::PermissionDenied => {
            unseen(&error.into_failure().to_string(), POLICY)
        }
        Ok(Err(error)) => unseen(&error.into_failure().to_string(), NOT_NEEDED),
        Err(_) => unseen("EC2 cannot be reached from here", NOT_NEEDED),
    }
}

async fn look(ec2: &Ec2, wanted: &[&str]) -> Result<(Vec<Subnet>, Vec<RouteTable>), CloudError> {
    let deadline = Instant::now() + TIMEOUT;
    let of = ("DescribeSubnets", "subnetSet");
    let subnets = ec2.describe(of, ("subnet-id", wanted), deadline, |item| {
        let (id, vpc) = (text_of(item, "subnetId")?, text_of(item, "vpcId")?);
        Some(Subnet {
            id: id.to_owned(),
            vpc: vpc.to_owned(),
        })
    });
    let subnets = subnets.await?;
    let mut vpcs: Vec<&str> = subnets.iter().map(|subnet| subnet.vpc.as_str()).collect();
    vpcs.sort_unstable();
    vpcs.dedup();
    if vpcs.is_empty() {
        return Ok((subnets, Vec::new()));
    }
    let of = ("DescribeRouteTables", "routeTableSet");
    let tables = ec2.describe(of, ("vpc-id", &vpcs), deadline, route_table);
    let tables = tables.await?;
    Ok((subnets, tables))
}

fn route_table(item: Node<'_, '_>) -> Option<RouteTable> {
    let list = |name: &str| child(item, name).into_iter().flat_map(|set| set.children());
    let associations = || list("associationSet");
    let subnets = associations().filter_map(|one| text_of(one, "subnetId"));
    let default = list("routeSet").find(|route| {
        text_of(*route, "destinationCidrBlock") == Some(EVERYWHERE)
            && text_of(*route, "state") != Some("blackhole")
    });
    let target = default.and_then(|route| TARGETS.iter().find_map(|name| text_of(route, name)));
    Some(RouteTable {
        vpc: text_of(item, "vpcId")?.to_owned(),
        subnets: subnets.map(str::to_owned).collect(),
        is_main: associations().any(|one| text_of(one, "main") == Some("true")),
        way_out: target.map(str::to_owned),
    })
}

fn judge(
    wanted: &[&str],
    subnets: &[Subnet],
    tables: &[RouteTable],
    config: &Config,
) -> Vec<Check> {
    let known = |id: &&&str| !subnets.iter().any(|subnet| subnet.id == **id);
    let unknown: Vec<&str> = wanted.iter().filter(known).copied().collect();
    if !unknown.is_empty() {
        let found = format!("{} is not in this account and region", unknown.join(", "));
        return vec![Check::bad(
            NAME,
            &found,
            "aws ec2 describe-subnets lists those that are.",
        )];
    }
    let first = subnets.first().map(|subnet| subnet.vpc.as_str());
    if subnets
        .iter()
        .any(|subnet| Some(subnet.vpc.as_str()) != first)
    {
        let each: Vec<String> = subnets
            .iter()
            .map(|s| format!("{} of {}", s.id, s.vpc))
            .collect();
        let found = format!("they are of different VPCs: {}", each.join(", "));
        let hint = "Name subnets of one VPC, that of the security groups.";
        return vec![Check::bad(NAME, &found, hint)];
    }
    subnets
        .iter()
        .map(|subnet| way_out(subnet, tables, config))
        .collect()
}

fn way_out(subnet: &Subnet, tables: &[RouteTable], config: &Config) -> Check {
    let own = tables
        .iter()
        .find(|table| table.subnets.contains(&subnet.id));
    let main = || {
        tables
            .iter()
            .find(|table| table.is_main && table.vpc == subnet.vpc)
    };
    let target = own.or_else(main).and_then(|table| table.way_out.as_deref());
    let name = format!("way out of {}", subnet.id);
    let by_internet_gateway = target.is_some_and(|target| target.starts_with("igw-"));
    if config.address == Some(Address::PublicIpv4) && !by_internet_gateway {
        let found =
            "no route to an internet gateway: nobody outside reaches a task's public address";
        let hint = "Name a public subnet, or set address = \"private_ipv4\" for a hub in the VPC.";
        return Check::bad(&name, &found, hint);
    }
    const ONLY_ENDPOINTS: &str = "then only endpoints in the VPC lead to the image, the logs and the hub, and these are not looked at";
    match target {
        None => Check::unseen(
            &name,
            &format!("no route to {EVERYWHERE} that works: {ONLY_ENDPOINTS}"),
            "Give the subnet's route table a NAT gateway, or the VPC the endpoints (ECR, S3, CloudWatch Logs).",
        ),
        Some(target) if by_internet_gateway && !config.assigns_public_ip() => Check::unseen(
            &name,
            &format!("{target}, which tasks without a public address cannot use: {ONLY_ENDPOINTS}"),
            "Set FargateSpawner.assign_public_ip = True, or name a subnet with a NAT gateway.",
        ),
        Some(target) => Check::good(&name, target),
    }
}
