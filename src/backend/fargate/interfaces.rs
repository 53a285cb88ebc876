//! Tasks' public addresses, which ECS does not tell: EC2 DescribeNetworkInterfaces does.

use super::ec2::Ec2;
use super::services::Opener;
use super::task::Task;
use crate::cloud::CloudError;
use crate::cloud::aws::query;
use crate::error::Failure;
use crate::wire::Code;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::time::Instant;

/// A filter takes at most 200 values (API Reference, "Filter").
const MOST_VALUES: usize = 200;
/// EC2's answers "might not immediately reflect" what was done ("Eventual consistency in the Amazon EC2 API"); a task whose
/// interface shows no public address so long after it was connected has none.
const PATIENCE: Duration = Duration::from_secs(15);

/// The network interfaces of one account and region.
pub struct Interfaces(Ec2);

impl Interfaces {
    /// Asks nobody yet.
    pub fn new(opener: &Opener, region: &str) -> Self {
        Self(Ec2::new(opener, region))
    }

    /// Fills in the public addresses of these tasks, as far as they have some. May be repeated.
    ///
    /// # Errors
    /// Whatever kept EC2 from telling; `permission_denied` names the policy.
    pub async fn fill_in(&self, tasks: &mut [&mut Task], deadline: Instant) -> Result<(), Failure> {
        for some in tasks.chunks_mut(MOST_VALUES) {
            let ids: Vec<&str> = some.iter().filter_map(|task| task.interface()).collect();
            if ids.is_empty() {
                continue;
            }
            let known = self.public_addresses(&ids, deadline).await?;
            for task in some {
                task.public_address = task.interface().and_then(|id| known.get(id).copied());
            }
        }
        Ok(())
    }

    /// By interface; those without a public address, and those that EC2 does not know, are not among them.
    async fn public_addresses(
        &self,
        ids: &[&str],
        deadline: Instant,
    ) -> Result<HashMap<String, Ipv4Addr>, Failure> {
        let of = ("DescribeNetworkInterfaces", "networkInterfaceSet");
        let filters = [("network-interface-id", ids)];
        let told = self.0.describe(of, &filters, deadline, |item| {
            let id = query::text_of(item, "networkInterfaceId")?;
            let association = query::child(item, "association")?;
            let address = query::text_of(association, "publicIp")?;
            Some((id.to_owned(), address.parse().ok()?))
        });
        let told = told.await.map_err(|error| explained(&error))?;
        Ok(told.into_iter().collect())
    }

    /// What tells of them, and of the networks around them.
    pub fn ec2(&self) -> &Ec2 {
        &self.0
    }

    /// Whether EC2 lets it ask.
    ///
    /// # Errors
    /// As `fill_in`.
    pub async fn look(&self, deadline: Instant) -> Result<(), Failure> {
        self.public_addresses(&["eni-00000000000000000"], deadline)
            .await
            .map(drop)
    }

    /// Whether a task that runs without a public address may still get one.
    ///
    /// # Errors
    /// `invalid_config` with the setting's name, once it can not.
    pub async fn may_still_appear(&self, task: &Task) -> Result<(), Failure> {
        let context = self.0.context().await?;
        let age_ms = task
            .connected_at_ms()
            .map(|at_ms| context.now_ms().saturating_sub(at_ms));
        if age_ms.is_none_or(|age_ms| u128::from(age_ms) < PATIENCE.as_millis()) {
            return Ok(());
        }
        let message = format!(
            "task {} runs and has no public address: with address \"public_ipv4\" run_task needs assignPublicIp \"ENABLED\" (FargateSpawner.assign_public_ip = True) and public subnets; with \"private_ipv4\" the hub must be in the VPC",
            task.task_arn
        );
        Err(Failure::new(Code::InvalidConfig, message))
    }
}

fn explained(error: &CloudError) -> Failure {
    let denied = error.code() == Code::PermissionDenied;
    let failure = error.clone().into_failure();
    if denied {
        return failure.because(
            "address \"public_ipv4\" needs ec2:DescribeNetworkInterfaces; deployments/fargate/public-address-policy.json has it",
        );
    }
    failure
}
