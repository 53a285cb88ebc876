//! The VPC's endpoints, by which a task without a way out reaches AWS's services.

use super::needs::Needs;
use super::routes::Subnet;
use crate::backend::fargate::ec2::Ec2;
use crate::cloud::CloudError;
use crate::cloud::aws::query::{child, text_of};
use roxmltree::Node;
use tokio::time::Instant;

/// An endpoint, as far as it says whether tasks reach its service.
pub struct Endpoint {
    id: String,
    service: String,
    is_gateway: bool,
    state: String,
    /// Whether the service's own name leads to it in the VPC.
    has_private_dns: bool,
    /// The route tables that lead to a gateway.
    tables: Vec<String>,
}

/// All of a VPC's.
pub async fn look(ec2: &Ec2, vpc: &str, deadline: Instant) -> Result<Vec<Endpoint>, CloudError> {
    let of = ("DescribeVpcEndpoints", "vpcEndpointSet");
    ec2.describe(of, &[("vpc-id", &[vpc])], deadline, endpoint)
        .await
}

fn endpoint(item: Node<'_, '_>) -> Option<Endpoint> {
    let tables = child(item, "routeTableIdSet");
    let tables = tables.into_iter().flat_map(|set| set.children());
    Some(Endpoint {
        id: text_of(item, "vpcEndpointId")?.to_owned(),
        service: text_of(item, "serviceName")?.to_owned(),
        is_gateway: text_of(item, "vpcEndpointType")? == "Gateway",
        state: text_of(item, "state").unwrap_or_default().to_owned(),
        has_private_dns: text_of(item, "privateDnsEnabled") == Some("true"),
        tables: tables
            .filter_map(|id| Some(id.text()?.to_owned()))
            .collect(),
    })
}

/// What the endpoints leave to be wished for.
#[derive(Default)]
pub struct Gaps {
    /// Sentences about what no endpoint leads to.
    pub certain: Vec<String>,
    /// The commands that mend it.
    pub mend: Vec<String>,
    /// Sentences about endpoints that may lead there and may not.
    pub doubtful: Vec<String>,
}

impl Gaps {
    /// Of these endpoints, for tasks in a subnet with this route table.
    pub fn of(needs: &Needs, endpoints: &[Endpoint], subnet: &Subnet, table: &str) -> Self {
        let mut gaps = Self::default();
        let mut missing = Vec::new();
        for service in &needs.services {
            let ending = format!(".{service}");
            let there = endpoints
                .iter()
                .filter(|one| one.service.ends_with(&ending));
            match there.map(|one| one.leads(table)).min() {
                Some(Leads::There) => {}
                Some(Leads::Perhaps(why)) => gaps.doubtful.push(why),
                Some(Leads::Nowhere { why, mend }) => {
                    gaps.certain.push(why);
                    gaps.mend.push(mend);
                }
                None => {
                    missing.push(service.as_str());
                    gaps.mend.push(creation(service, subnet, table));
                }
            }
        }
        if !missing.is_empty() {
            let missing = missing.join(", ");
            gaps.certain
                .push(format!("{} has no endpoint for {missing}", subnet.vpc));
        }
        gaps
    }
}

/// Whether an endpoint leads tasks to its service; of several the best counts, the first here.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Leads {
    There,
    Perhaps(String),
    Nowhere { why: String, mend: String },
}

fn creation(service: &str, Subnet { id, vpc, .. }: &Subnet, table: &str) -> String {
    let kind = if is_s3(service) {
        format!("Gateway --route-table-ids {table}")
    } else {
        format!("Interface --private-dns-enabled --subnet-ids {id}")
    };
    format!(
        "aws ec2 create-vpc-endpoint --vpc-id {vpc} --service-name com.amazonaws.{service} --vpc-endpoint-type {kind}"
    )
}

fn is_s3(service: &str) -> bool {
    service.rsplit('.').next() == Some("s3")
}

impl Endpoint {
    fn leads(&self, table: &str) -> Leads {
        let Self { id, service, .. } = self;
        // "State" in the EC2 API Reference begins with a capital, the guides' answers do not.
        if !self.state.eq_ignore_ascii_case("available") {
            return Leads::Perhaps(format!("{id} for {service} is {}", self.state));
        }
        // "Gateway endpoints for Amazon S3" in the PrivateLink guide: a route in the subnet's own table leads to it.
        if self.is_gateway && !self.tables.iter().any(|one| one == table) {
            return Leads::Nowhere {
                why: format!("{table} has no route to {id} for {service}"),
                mend: format!(
                    "aws ec2 modify-vpc-endpoint --vpc-endpoint-id {id} --add-route-table-ids {table}"
                ),
            };
        }
        if self.is_gateway {
            return Leads::There;
        }
        // "Amazon ECS interface VPC endpoints": the interface endpoints for S3 cannot be used with ECR.
        if is_s3(service) {
            return Leads::Perhaps(format!(
                "{id} for {service} is an interface, and ECR needs a gateway"
            ));
        }
        // "Private DNS for interface endpoints": else the service's own name leads past it, unless the VPC has a zone with that.
        if !self.has_private_dns {
            return Leads::Perhaps(format!("{id} for {service} has no private DNS"));
        }
        Leads::There
    }
}
