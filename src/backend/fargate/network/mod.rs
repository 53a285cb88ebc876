//! The tasks' network, as EC2 tells it: whether a task finds its image and the hub from its subnets, and the hub finds the task.
//!
//! What could not be looked at is no fault, and neither is what may work by something that is not looked at: network ACLs, the
//! security groups and policies of endpoints, what other networks lead to.

mod endpoints;
mod groups;
mod needs;
mod routes;

use super::config::Config;
use super::ec2::Ec2;
use crate::cloud::CloudError;
use crate::wire::Code;
use crate::wire::reply::Check;
use needs::Needs;
use routes::Subnet;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// A hub without a way to EC2, as in a closed VPC, is not kept waiting for it.
const TIMEOUT: Duration = Duration::from_secs(3);
const NAME: &str = "subnets";
const POLICY: &str = "deployments/fargate/check-policy.json has what EC2 is asked for.";
const NOT_NEEDED: &str = "A start needs no EC2.";
/// All of IPv4 and of IPv6, as routes and rules spell them.
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// What is known before EC2 is asked.
pub struct Known<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The region of the tasks.
    pub region: &'a str,
    /// The port that servers listen on, where the caller tells.
    pub port: Option<u16>,
    /// Where servers are to reach the hub, where the caller tells.
    pub hub_url: Option<&'a str>,
    /// What DescribeTaskDefinition answered, where it did.
    pub described: Option<&'a Value>,
}

/// Why EC2 did not tell, and what to do about it.
struct Unseen {
    why: String,
    hint: &'static str,
}

impl Unseen {
    fn check(&self, name: &str) -> Check {
        let found = format!("could not be looked at: {}", self.why);
        Check::unseen(name, &found, self.hint)
    }
}

/// Findings about the subnets and the security groups of `config`; none where it names no subnets.
pub async fn checks(ec2: &Ec2, known: &Known<'_>) -> Vec<Check> {
    let wanted = known.config.subnets();
    if wanted.is_empty() {
        return Vec::new();
    }
    let deadline = Instant::now() + TIMEOUT;
    let subnets = match told(routes::subnets(ec2, &wanted, deadline), deadline).await {
        Ok(subnets) => subnets,
        Err(unseen) => return vec![unseen.check(NAME)],
    };
    let vpc = match the_vpc(&wanted, &subnets) {
        Ok(vpc) => vpc,
        Err(fault) => return vec![fault],
    };
    let needs = known
        .described
        .map(|described| Needs::of(described, known.config, known.region));
    let (tables, groups, endpoints) = tokio::join!(
        told(routes::tables(ec2, vpc, deadline), deadline),
        told(groups::look(ec2, known.config, vpc, deadline), deadline),
        told(endpoints::look(ec2, vpc, deadline), deadline),
    );
    let mut checks = match tables {
        Ok(tables) => {
            let around = routes::Around {
                tables: &tables,
                endpoints: &endpoints,
                needs: needs.as_ref(),
                config: known.config,
            };
            subnets.iter().map(|one| around.way_out(one)).collect()
        }
        Err(unseen) => vec![unseen.check(NAME)],
    };
    match groups {
        Ok(groups) => checks.extend(groups::checks(&groups, vpc, known, needs.as_ref())),
        Err(unseen) => checks.push(unseen.check(groups::NAME)),
    }
    checks
}

async fn told<T>(
    asked: impl Future<Output = Result<T, CloudError>>,
    deadline: Instant,
) -> Result<T, Unseen> {
    let (why, hint) = match tokio::time::timeout_at(deadline, asked).await {
        Ok(Ok(told)) => return Ok(told),
        Ok(Err(error)) => {
            let denied = error.code() == Code::PermissionDenied;
            let hint = if denied { POLICY } else { NOT_NEEDED };
            (error.into_failure().to_string(), hint)
        }
        Err(_) => ("EC2 cannot be reached from here".to_owned(), NOT_NEEDED),
    };
    Err(Unseen { why, hint })
}

/// "AwsVpcConfiguration" in the ECS API Reference: all subnets must be of one VPC.
fn the_vpc<'a>(wanted: &[&str], subnets: &'a [Subnet]) -> Result<&'a str, Check> {
    let missing = |id: &&&str| !subnets.iter().any(|subnet| subnet.id == **id);
    let missing: Vec<&str> = wanted.iter().filter(missing).copied().collect();
    let first = subnets.first().map(|subnet| subnet.vpc.as_str());
    let Some(vpc) = first.filter(|_| missing.is_empty()) else {
        let found = format!("{} is not in this account and region", missing.join(", "));
        let hint = "aws ec2 describe-subnets lists those that are.";
        return Err(Check::bad(NAME, &found, hint));
    };
    if subnets.iter().all(|subnet| subnet.vpc == vpc) {
        return Ok(vpc);
    }
    let each = subnets.iter().map(|s| format!("{} of {}", s.id, s.vpc));
    let each: Vec<String> = each.collect();
    let found = format!("they are of different VPCs: {}", each.join(", "));
    let hint = "Name subnets of one VPC, that of the security groups.";
    Err(Check::bad(NAME, &found, hint))
}
