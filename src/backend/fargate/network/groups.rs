//! The tasks' security groups: whether RunTask takes them, and what they let in and out.
//!
//! Where the hub is, EC2 does not know: who may reach a task is told, and whether the hub is among them is the reader's to see.

use super::needs::Needs;
use super::{EVERYWHERE, Known};
use crate::backend::fargate::config::{Address, Config};
use crate::backend::fargate::ec2::Ec2;
use crate::cloud::CloudError;
use crate::cloud::aws::query::{child, text_of};
use crate::wire::reply::Check;
use roxmltree::Node;
use tokio::time::Instant;

/// What the findings about the groups themselves are called.
pub const NAME: &str = "security groups";
/// The port that servers listen on where nobody says another.
const USUAL_PORT: u16 = 8888;
const HTTPS: u16 = 443;

/// A group of the tasks'.
pub struct Group {
    id: String,
    /// The VPCs in which it can be used.
    vpcs: Vec<String>,
    ingress: Vec<Rule>,
    egress: Vec<Rule>,
}

/// "IpPermission" in the EC2 API Reference, as far as it is about TCP.
struct Rule {
    ports: std::ops::RangeInclusive<u16>,
    peers: Vec<Peer>,
}

/// Who a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    Ipv4(String),
    Ipv6(String),
    Group(String),
    PrefixList(String),
}

/// The groups that RunTask names and that are there; where it names none, the VPC's default one ("AwsVpcConfiguration" in the ECS
/// API Reference).
pub async fn look(
    ec2: &Ec2,
    config: &Config,
    vpc: &str,
    deadline: Instant,
) -> Result<Vec<Group>, CloudError> {
    let of = ("DescribeSecurityGroups", "securityGroupInfo");
    let wanted = config.security_groups();
    if wanted.is_empty() {
        let the_default = [("vpc-id", &[vpc][..]), ("group-name", &["default"])];
        return ec2.describe(of, &the_default, deadline, group).await;
    }
    let mut groups = ec2
        .describe(of, &[("group-id", &wanted)], deadline, group)
        .await?;
    let elsewhere = |group: &&mut Group| !group.vpcs.iter().any(|one| one == vpc);
    let mut elsewhere: Vec<&mut Group> = groups.iter_mut().filter(elsewhere).collect();
    if !elsewhere.is_empty() {
        // "AssociateSecurityGroupVpc" in the EC2 API Reference: a group can be used in other VPCs, too.
        let ids: Vec<&str> = elsewhere.iter().map(|group| group.id.as_str()).collect();
        let filters = [("group-id", &ids[..]), ("state", &["associated"])];
        let of = (
            "DescribeSecurityGroupVpcAssociations",
            "securityGroupVpcAssociationSet",
        );
        let read = |item: Node<'_, '_>| {
            let (id, vpc) = (text_of(item, "groupId")?, text_of(item, "vpcId")?);
            Some((id.to_owned(), vpc.to_owned()))
        };
        for (id, vpc) in ec2.describe(of, &filters, deadline, read).await? {
            let group = elsewhere.iter_mut().find(|group| group.id == id);
            if let Some(group) = group {
                group.vpcs.push(vpc);
            }
        }
    }
    Ok(groups)
}

fn group(item: Node<'_, '_>) -> Option<Group> {
    let rules = |name: &str| {
        let list = child(item, name).into_iter().flat_map(|set| set.children());
        list.filter_map(rule).collect()
    };
    Some(Group {
        id: text_of(item, "groupId")?.to_owned(),
        vpcs: vec![text_of(item, "vpcId")?.to_owned()],
        ingress: rules("ipPermissions"),
        egress: rules("ipPermissionsEgress"),
    })
}

/// None where it is not about TCP. All protocols are -1, and such a rule has no ports.
fn rule(item: Node<'_, '_>) -> Option<Rule> {
    if !["tcp", "6", "-1"].contains(&text_of(item, "ipProtocol")?) {
        return None;
    }
    let port = |name: &str| text_of(item, name)?.parse::<u16>().ok();
    let ports = port("fromPort").unwrap_or(0)..=port("toPort").unwrap_or(u16::MAX);
    let mut peers = Vec::new();
    for (list, member, peer) in [
        ("ipRanges", "cidrIp", Peer::Ipv4 as fn(String) -> Peer),
        ("ipv6Ranges", "cidrIpv6", Peer::Ipv6),
        ("groups", "groupId", Peer::Group),
        ("prefixListIds", "prefixListId", Peer::PrefixList),
    ] {
        let items = child(item, list).into_iter().flat_map(|set| set.children());
        let named = items.filter_map(|one| text_of(one, member));
        peers.extend(named.map(|name| peer(name.to_owned())));
    }
    Some(Rule { ports, peers })
}

impl Peer {
    fn name(&self) -> &str {
        let (Self::Ipv4(name) | Self::Ipv6(name) | Self::Group(name) | Self::PrefixList(name)) =
            self;
        name
    }

    /// Whether a connection to such an address can be from here. "Security group referencing" in the VPC User Guide: a group means
    /// its members' private addresses.
    fn reaches(&self, address: Address) -> bool {
        match self {
            Self::PrefixList(_) => true,
            Self::Group(_) => address != Address::PublicIpv4,
            Self::Ipv4(_) => address != Address::Ipv6,
            Self::Ipv6(_) => address == Address::Ipv6,
        }
    }

    fn is_everybody(&self) -> bool {
        EVERYWHERE.contains(&self.name())
    }
}

/// Those that the rules let through at a port; a task's groups add up ("Security group rules" in the VPC User Guide).
fn peers<'a>(rules: impl Iterator<Item = &'a Rule>, port: u16) -> Vec<&'a Peer> {
    let mut peers: Vec<&Peer> = rules
        .filter(|rule| rule.ports.contains(&port))
        .flat_map(|rule| &rule.peers)
        .collect();
    peers.sort_unstable();
    peers.dedup();
    peers
}

fn names(peers: &[&Peer]) -> String {
    let names: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
    names.join(", ")
}

/// Findings about the groups that were found, for tasks in `vpc`.
pub fn checks(groups: &[Group], vpc: &str, known: &Known<'_>, needs: Option<&Needs>) -> Vec<Check> {
    let wanted = known.config.security_groups();
    let missing = |id: &&&str| !groups.iter().any(|group| group.id == **id);
    let missing: Vec<&str> = wanted.iter().filter(missing).copied().collect();
    if !missing.is_empty() {
        let found = format!("{} is not in this account and region", missing.join(", "));
        let hint = "aws ec2 describe-security-groups lists those that are.";
        return vec![Check::bad(NAME, &found, hint)];
    }
    let elsewhere = |group: &&Group| !group.vpcs.iter().any(|one| one == vpc);
    if let Some(Group { id, vpcs, .. }) = groups.iter().find(elsewhere) {
        let found = format!("{id} is of {}, the subnets are of {vpc}", vpcs.join(", "));
        let hint = "Name security groups of the subnets' VPC: RunTask refuses others.";
        return vec![Check::bad(NAME, &found, hint)];
    }
    let Some(Group { id, .. }) = groups.first() else {
        let found = format!("the default one of {vpc} was not found");
        let hint = "Name one in FargateSpawner.security_groups.";
        return vec![Check::unseen(NAME, &found, hint)];
    };
    let ids: Vec<&str> = groups.iter().map(|group| group.id.as_str()).collect();
    let which = if wanted.is_empty() {
        format!("none is named, so tasks have the VPC's default one, {id}")
    } else {
        ids.join(", ")
    };
    vec![
        Check::good(NAME, &which),
        way_in(groups, id, known),
        way_out(groups, id, known, needs),
    ]
}

fn way_in(groups: &[Group], first: &str, known: &Known<'_>) -> Check {
    let port = known.port.unwrap_or(USUAL_PORT);
    let address = known.config.address.unwrap_or_default();
    let name = format!("way in on port {port}");
    let rules = || groups.iter().flat_map(|group| &group.ingress);
    let mut who = peers(rules(), port);
    who.retain(|peer| peer.reaches(address));
    if who.is_empty() {
        let source = match address {
            Address::PublicIpv4 => "--cidr ADDRESS_OF_THE_HUB/32",
            _ => "--source-group GROUP_OF_THE_HUB",
        };
        let hint = format!(
            "aws ec2 authorize-security-group-ingress --group-id {first} --protocol tcp --port {port} {source}"
        );
        let found = "no rule lets the hub reach a task there";
        // Servers of another spec may listen where a rule leads.
        if known.port.is_none() && rules().next().is_some() {
            return Check::unseen(&name, found, &hint);
        }
        return Check::bad(&name, &found, &hint);
    }
    let found = format!("from {}", names(&who));
    if !who.iter().any(|peer| peer.is_everybody()) {
        return Check::unseen(&name, &found, "See that the hub is among these.");
    }
    if address == Address::PublicIpv4 {
        let hint = "Tasks have public addresses: let in nobody but the hub.";
        return Check::unseen(&name, &found, hint);
    }
    Check::good(&name, &found)
}

/// To what a task fetches by https, and to the hub.
fn way_out(groups: &[Group], first: &str, known: &Known<'_>, needs: Option<&Needs>) -> Check {
    const NAME: &str = "way out of the security groups";
    let hub = known.hub_url.and_then(port_of);
    let (mut shut, mut certain, mut told) = (Vec::new(), false, Vec::new());
    for port in [Some(HTTPS), hub.filter(|port| *port != HTTPS)]
        .into_iter()
        .flatten()
    {
        let who = peers(groups.iter().flat_map(|group| &group.egress), port);
        if who.is_empty() {
            shut.push(port);
            // A registry of one's own may be on another port.
            certain |= hub == Some(port) || needs.is_some_and(Needs::need_https);
        } else if !who.iter().any(|peer| peer.name() == EVERYWHERE[0]) {
            told.push(format!("on port {port} only to {}", names(&who)));
        }
    }
    if !shut.is_empty() {
        let command = |port: &u16| {
            format!(
                "aws ec2 authorize-security-group-egress --group-id {first} --protocol tcp --port {port} --cidr {}",
                EVERYWHERE[0]
            )
        };
        let hint: Vec<String> = shut.iter().map(command).collect();
        let shut: Vec<String> = shut.iter().map(ToString::to_string).collect();
        let found = format!("no rule lets a task out on port {}", shut.join(", "));
        if certain {
            return Check::bad(NAME, &found, &hint.join("; "));
        }
        return Check::unseen(NAME, &found, &hint.join("; "));
    }
    if told.is_empty() {
        return Check::good(NAME, "to everywhere");
    }
    let hint = "See that the hub, the image's registry, logs and secrets are among these.";
    Check::unseen(NAME, &told.join(", "), hint)
}

fn port_of(url: &str) -> Option<u16> {
    let url: http::Uri = url.parse().ok()?;
    let usual = if url.scheme_str()? == "https" {
        HTTPS
    } else {
        80
    };
    Some(url.port_u16().unwrap_or(usual))
}
