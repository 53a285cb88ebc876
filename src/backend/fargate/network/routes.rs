//! A subnet's way out, by its route table: without one there is no image, unless the VPC's endpoints lead to it.

use super::endpoints::{Endpoint, Gaps};
use super::needs::Needs;
use super::{EVERYWHERE, Unseen};
use crate::backend::fargate::config::{Address, Config};
use crate::backend::fargate::ec2::Ec2;
use crate::cloud::CloudError;
use crate::cloud::aws::query::{child, text_of};
use crate::wire::reply::Check;
use roxmltree::Node;
use tokio::time::Instant;

/// Route, the members that name where it leads (EC2 API Reference).
const TARGETS: [&str; 9] = [
    "gatewayId",
    "natGatewayId",
    "transitGatewayId",
    "networkInterfaceId",
    "instanceId",
    "vpcPeeringConnectionId",
    "localGatewayId",
    "coreNetworkArn",
    "egressOnlyInternetGatewayId",
];

/// A subnet and its VPC.
pub struct Subnet {
    pub id: String,
    pub vpc: String,
    /// The account that it is shared from, or ours.
    owner: Option<String>,
}

/// A route that works.
struct Route {
    to: String,
    /// Where it leads; none where EC2 names it by a member that is not known here.
    by: Option<String>,
}

/// A route table of the tasks' VPC.
pub struct Table {
    pub id: String,
    /// The subnets that are associated with it by name.
    subnets: Vec<String>,
    /// Whether those of the VPC that are associated with none have it.
    is_main: bool,
    routes: Vec<Route>,
}

/// Those of `wanted` that are there.
pub async fn subnets(
    ec2: &Ec2,
    wanted: &[&str],
    deadline: Instant,
) -> Result<Vec<Subnet>, CloudError> {
    let of = ("DescribeSubnets", "subnetSet");
    let read = |item: Node<'_, '_>| {
        let (id, vpc) = (text_of(item, "subnetId")?, text_of(item, "vpcId")?);
        Some(Subnet {
            id: id.to_owned(),
            vpc: vpc.to_owned(),
            owner: text_of(item, "ownerId").map(str::to_owned),
        })
    };
    ec2.describe(of, &[("subnet-id", wanted)], deadline, read)
        .await
}

/// All of a VPC's.
pub async fn tables(ec2: &Ec2, vpc: &str, deadline: Instant) -> Result<Vec<Table>, CloudError> {
    let of = ("DescribeRouteTables", "routeTableSet");
    ec2.describe(of, &[("vpc-id", &[vpc])], deadline, table)
        .await
}

fn table(item: Node<'_, '_>) -> Option<Table> {
    let list = |name: &str| child(item, name).into_iter().flat_map(|set| set.children());
    let associations = || list("associationSet").filter(|one| one.has_tag_name("item"));
    let subnets = associations().filter_map(|one| text_of(one, "subnetId"));
    let routes = list("routeSet").filter(|one| one.has_tag_name("item"));
    let works = |one: &Node<'_, '_>| text_of(*one, "state") != Some("blackhole");
    Some(Table {
        id: text_of(item, "routeTableId")?.to_owned(),
        subnets: subnets.map(str::to_owned).collect(),
        is_main: associations().any(|one| text_of(one, "main") == Some("true")),
        routes: routes.filter(works).map(route).collect(),
    })
}

fn route(item: Node<'_, '_>) -> Route {
    const DESTINATIONS: [&str; 3] = [
        "destinationCidrBlock",
        "destinationIpv6CidrBlock",
        "destinationPrefixListId",
    ];
    let first = |names: &[&str]| names.iter().find_map(|name| text_of(item, name));
    Route {
        to: first(&DESTINATIONS).unwrap_or_default().to_owned(),
        by: first(&TARGETS).map(str::to_owned),
    }
}

impl Table {
    /// Where it sends what it has no other route for.
    fn default_route(&self) -> Option<&str> {
        let default = self.routes.iter().find(|route| route.to == EVERYWHERE[0]);
        default.and_then(|route| route.by.as_deref())
    }

    /// Whether nothing leaves the VPC by it but what goes to a gateway endpoint ("Route table concepts" in the VPC User Guide:
    /// the VPC's own addresses are `local`; "Gateway endpoints": a prefix list leads to one).
    fn is_closed(&self, public_addresses: bool) -> bool {
        self.routes.iter().all(|route| {
            let by = route.by.as_deref().unwrap_or_default();
            let no_use_without_an_address = by.starts_with("igw-") && !route.to.contains(':');
            by == "local"
                || (by.starts_with("vpce-") && route.to.starts_with("pl-"))
                || (no_use_without_an_address && !public_addresses)
        })
    }
}

/// What a subnet's way out depends on.
pub struct Around<'a> {
    pub tables: &'a [Table],
    pub endpoints: &'a Result<Vec<Endpoint>, Unseen>,
    /// None where the task definition is not known.
    pub needs: Option<&'a Needs>,
    pub config: &'a Config,
}

impl Around<'_> {
    /// The finding about one subnet.
    pub fn way_out(&self, subnet: &Subnet) -> Check {
        let own = |table: &&Table| table.subnets.contains(&subnet.id);
        let own = self.tables.iter().find(own);
        let table = own.or_else(|| self.tables.iter().find(|table| table.is_main));
        let target = table.and_then(Table::default_route);
        let name = format!("way out of {}", subnet.id);
        let by_internet_gateway = target.is_some_and(|target| target.starts_with("igw-"));
        if self.config.address == Some(Address::PublicIpv4) && !by_internet_gateway {
            let found =
                "no route to an internet gateway: nobody outside reaches a task's public address";
            let hint =
                "Name a public subnet, or set address = \"private_ipv4\" for a hub in the VPC.";
            return Check::bad(&name, &found, hint);
        }
        let (why, other) = match target {
            Some(target) if !by_internet_gateway || self.config.assigns_public_ip() => {
                return Check::good(&name, target);
            }
            Some(target) => (
                format!("{target}, which tasks without a public address cannot use"),
                "set FargateSpawner.assign_public_ip = True, or name a subnet with a NAT gateway",
            ),
            None => (
                format!("no route to {} that works", EVERYWHERE[0]),
                "give the subnet's route table a NAT gateway",
            ),
        };
        let closed = table.is_some_and(|table| table.is_closed(self.config.assigns_public_ip()));
        let table = table.map_or("", |table| &table.id);
        let told = self.by_endpoints(subnet, table);
        let hint = format!("{}; or {other}.", told.hint);
        let why = format!("{why}, and {}", told.found);
        if !told.certain {
            return Check::unseen(&name, &why, &hint);
        }
        // "Share your VPC subnets with other accounts" in the VPC User Guide: a participant does not see the owner's endpoints.
        let owner = subnet.owner.as_deref();
        let elsewhere =
            owner.filter(|owner| self.needs.is_some_and(|needs| needs.account != *owner));
        let doubt = match elsewhere {
            Some(owner) => format!("unless {owner}, whose subnet it is, has made more"),
            None if !closed => "unless its other routes lead there".to_owned(),
            None => return Check::bad(&name, &format!("{why}: a start would fail"), &hint),
        };
        Check::unseen(&name, &format!("{why}, {doubt}"), &hint)
    }

    /// What tasks reach where nothing but endpoints leads out.
    fn by_endpoints(&self, subnet: &Subnet, table: &str) -> Finding {
        let perhaps = |found: String, hint: &str| Finding {
            certain: false,
            found,
            hint: hint.to_owned(),
        };
        let Some(needs) = self.needs else {
            let found = "which endpoints are needed the task definition would tell";
            return perhaps(
                found.to_owned(),
                "Name a task definition that may be looked at",
            );
        };
        if !needs.public_images.is_empty() {
            return Finding {
                certain: true,
                found: format!(
                    "no endpoint leads to the registry of {}, which cannot be pulled",
                    needs.public_images.join(", ")
                ),
                hint: "Copy the image to ECR, and make the endpoints for that".to_owned(),
            };
        }
        let endpoints = match self.endpoints {
            Ok(endpoints) => endpoints,
            Err(Unseen { why, hint }) => {
                let found = format!(
                    "the endpoints that may lead to {} could not be looked at: {why}",
                    needs.told()
                );
                return perhaps(found, hint.trim_end_matches('.'));
            }
        };
        let gaps = Gaps::of(needs, endpoints, subnet, table);
        if !gaps.certain.is_empty() {
            return Finding {
                certain: true,
                found: gaps.certain.join(", "),
                hint: gaps.mend.join("; "),
            };
        }
        if !gaps.doubtful.is_empty() {
            return perhaps(gaps.doubtful.join(", "), "See that tasks reach it");
        }
        if !needs.other_images.is_empty() {
            let found = format!(
                "whether {} can be pulled is not known",
                needs.other_images.join(", ")
            );
            return perhaps(found, "See that its registry is in reach of the VPC");
        }
        // "Considerations for Amazon ECR VPC endpoints" in the ECR User Guide; whose groups these let in is not looked at.
        perhaps(
            format!("endpoints lead to {}", needs.told()),
            "See that the endpoints' security groups let the tasks in on port 443",
        )
    }
}

struct Finding {
    certain: bool,
    found: String,
    hint: String,
}
