//! The networks that tasks are in: as tests say, else such that a task can work. Members are spelt as EC2's answers spell them
//! (API Reference: Subnet, RouteTable, SecurityGroup, VpcEndpoint, SecurityGroupVpcAssociation).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Filter, values};
use crate::efs::state::TASKS_VPC;

/// What is said of things, by their ids; `null` that they are not there.
type Said = BTreeMap<String, Value>;

/// What tests have said.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Networks {
    /// `vpcId` and `ownerId`, and `routes`, beside the one to the VPC itself.
    subnets: Said,
    /// Their members, and `associated`, a list of other VPCs.
    security_groups: Said,
    /// Their members.
    vpc_endpoints: Said,
}

impl Networks {
    /// Says more.
    pub fn extend(&mut self, more: Self) {
        self.subnets.extend(more.subnets);
        self.security_groups.extend(more.security_groups);
        self.vpc_endpoints.extend(more.vpc_endpoints);
    }

    /// Those with these ids: of which nothing is said, they are in the tasks' VPC. Their owner is the `account`, unless said.
    pub fn subnets(&self, ids: &[&str], account: &str) -> Vec<Value> {
        let unsaid = ids.iter().filter(|id| !self.subnets.contains_key(**id));
        let unsaid = unsaid.map(|id| (*id, &Value::Null));
        let item = |(id, said): (&str, &Value)| {
            let owner = said["ownerId"].as_str().unwrap_or(account);
            json!({"subnetId": id, "state": "available", "vpcId": vpc_of(said), "ownerId": owner})
        };
        there(&self.subnets).chain(unsaid).map(item).collect()
    }

    /// API Reference, DescribeRouteTables, "Examples": one for each subnet of which something is said, and the main table, which
    /// has a NAT gateway.
    pub fn route_tables(&self, vpcs: &[&str]) -> Vec<Value> {
        let local =
            json!({"destinationCidrBlock": "10.0.0.0/16", "gatewayId": "local", "state": "active"});
        let table = |id: String, vpc: &str, association: Value, routes: &[Value]| {
            let routes: Vec<&Value> = [&local].into_iter().chain(routes).collect();
            json!({"routeTableId": id, "vpcId": vpc, "routeSet": routes, "associationSet": [association]})
        };
        let own = there(&self.subnets).map(|(id, said)| {
            let association = json!({"subnetId": id, "main": false});
            let routes = said["routes"].as_array().map_or(&[][..], Vec::as_slice);
            table(
                id.replace("subnet-", "rtb-"),
                vpc_of(said),
                association,
                routes,
            )
        });
        let main = vpcs.iter().map(|vpc| {
            let nat = json!({"destinationCidrBlock": "0.0.0.0/0", "natGatewayId": "nat-0123456789abcdef0", "state": "active"});
            table("rtb-main".to_owned(), vpc, json!({"main": true}), &[nat])
        });
        own.chain(main).collect()
    }

    /// Those that were said, available and with private DNS unless it was said otherwise.
    pub fn endpoints(&self) -> Vec<Value> {
        let item = |(id, said): (&str, &Value)| {
            let usual = json!({"vpcEndpointId": id, "vpcId": TASKS_VPC, "vpcEndpointType": "Interface", "state": "available",
                "privateDnsEnabled": true});
            with(usual, said)
        };
        there(&self.vpc_endpoints).map(item).collect()
    }

    /// Those that are wanted by id, or a VPC's default one: of which nothing is said, a group lets the VPC in on port 8888, a
    /// default group its members ("Default security groups" in the VPC User Guide), and each everything out.
    pub fn groups(&self, filters: &[Filter<'_>]) -> Vec<Value> {
        let ids = values(filters, "group-id");
        let unsaid = ids
            .iter()
            .filter(|id| !self.security_groups.contains_key(**id));
        let unsaid = unsaid.map(|id| (*id, &Value::Null));
        let item = |(id, said)| {
            let in_from_the_vpc = json!({"ipProtocol": "tcp", "fromPort": 8888, "toPort": 8888,
                "ipRanges": [{"cidrIp": "10.0.0.0/16"}]});
            with(
                usual_group(id, "notebooks", TASKS_VPC, &in_from_the_vpc),
                said,
            )
        };
        let by_id = there(&self.security_groups).chain(unsaid).map(item);
        let the_default = values(filters, "vpc-id").iter().map(|vpc| {
            let id = vpc.replace("vpc-", "sg-default-");
            let in_from_members = json!({"ipProtocol": "-1", "groups": [{"groupId": id}]});
            usual_group(&id, "default", vpc, &in_from_members)
        });
        by_id.chain(the_default).collect()
    }

    /// Of groups with VPCs beside their own.
    pub fn associations(&self) -> Vec<Value> {
        let of = |(id, said): (&str, &Value)| {
            let vpcs = said["associated"].as_array().cloned().unwrap_or_default();
            let item = |vpc| json!({"groupId": id, "vpcId": vpc, "state": "associated"});
            vpcs.into_iter().map(item).collect::<Vec<Value>>()
        };
        there(&self.security_groups).flat_map(of).collect()
    }
}

fn there(said: &Said) -> impl Iterator<Item = (&str, &Value)> {
    let there = said.iter().filter(|(_, said)| !said.is_null());
    there.map(|(id, said)| (id.as_str(), said))
}

fn vpc_of(said: &Value) -> &str {
    said["vpcId"].as_str().unwrap_or(TASKS_VPC)
}

fn usual_group(id: &str, name: &str, vpc: &str, way_in: &Value) -> Value {
    let everywhere = json!({"ipProtocol": "-1", "ipRanges": [{"cidrIp": "0.0.0.0/0"}]});
    json!({"groupId": id, "groupName": name, "vpcId": vpc, "ipPermissions": [way_in], "ipPermissionsEgress": [everywhere]})
}

fn with(mut usual: Value, said: &Value) -> Value {
    for (name, value) in said.as_object().into_iter().flatten() {
        if name != "associated" {
            usual[name] = value.clone();
        }
    }
    usual
}
