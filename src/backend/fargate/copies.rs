//! What gc does with old copies of task definitions: those of this hub whose source has a newer revision that it has copied,
//! too. Deregistering ends no task that runs (API Reference, DeregisterTaskDefinition); access points are never touched.

use super::api::Ecs;
use super::definition::{FROM, is_copy};
use crate::backend::{Tidying, tags};
use crate::cloud::CloudError;
use crate::error::Failure;
use crate::wire::Code;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use tokio::time::Instant;

/// A copy of this hub.
struct Copy {
    arn: String,
    /// The ARN of the revision that it was made from.
    source: String,
    registered_at_ms: u64,
}

/// Deregisters the copies that no later start will ask for; the failures. May be repeated.
///
/// What half of the time does not suffice for is left to the next time.
pub async fn deregister_old(
    ecs: &Ecs,
    tidying: &Tidying<'_>,
    now_ms: u64,
    deadline: Instant,
) -> Vec<Failure> {
    let mut errors = Vec::new();
    let old = match find_old(ecs, tidying, now_ms, deadline).await {
        Ok(old) => old,
        Err(failure) => {
            report(failure, &mut errors);
            return errors;
        }
    };
    let until = half(deadline);
    for copy in old {
        if Instant::now() >= until {
            tracing::info!("more old task definitions are left to the next gc");
            break;
        }
        match ecs.deregister_task_definition(&copy.arn, deadline).await {
            Ok(()) => {
                let Copy { arn, source, .. } = copy;
                tracing::info!(arn, source, "old task definition deregistered");
            }
            Err(error) => {
                let denied = error.code() == Code::PermissionDenied;
                report(error.into_failure(), &mut errors);
                if denied {
                    break;
                }
            }
        }
    }
    errors
}

/// A policy from before gc did this lacks what it takes: nothing is wrong with that hub's servers.
fn report(failure: Failure, errors: &mut Vec<Failure>) {
    if failure.code() == Code::PermissionDenied {
        tracing::warn!(%failure, "old task definitions stay; the hub's policy for it is in deployments/fargate_with_efs, or with tokens in Secrets Manager in fargate/token-policy.json");
    } else {
        errors.push(failure);
    }
}

async fn find_old(
    ecs: &Ecs,
    tidying: &Tidying<'_>,
    now_ms: u64,
    deadline: Instant,
) -> Result<Vec<Copy>, Failure> {
    let until = half(deadline);
    let mut copies = Vec::new();
    let listed = ecs.list_task_definitions(deadline).await;
    for arn in listed.map_err(CloudError::into_failure)? {
        if Instant::now() >= until {
            break;
        }
        if !is_copy(&arn) {
            continue;
        }
        // One at a time: starts wait for the same quota.
        let described = ecs.describe_task_definition(&arn, deadline).await;
        let described = described.map_err(CloudError::into_failure)?;
        copies.extend(described.and_then(|answer| read(&answer, arn, tidying.hub)));
    }
    let sources: HashSet<&str> = copies.iter().map(|copy| copy.source.as_str()).collect();
    let mut newest = HashMap::new();
    for family in sources.iter().filter_map(|source| family(source)) {
        if newest.contains_key(family) {
            continue;
        }
        let described = ecs.describe_task_definition(family, deadline).await;
        let described = described.map_err(CloudError::into_failure)?;
        let arn = described.and_then(|answer| {
            let arn = answer["taskDefinition"]["taskDefinitionArn"].as_str()?;
            // An admin may stay with an older revision: only a copy proves that the hub has gone on to the newest.
            sources.contains(arn).then(|| arn.to_owned())
        });
        newest.insert(family.to_owned(), arn);
    }
    let is_old = |copy: &Copy| {
        let newest = family(&copy.source).and_then(|family| newest.get(family)?.as_ref());
        let age_ms = now_ms.saturating_sub(copy.registered_at_ms);
        newest.is_some_and(|newest| *newest != copy.source)
            && u128::from(age_ms) >= tidying.min_age.as_millis()
            && !tidying.used.contains(&copy.arn)
    };
    let old: HashSet<String> = copies
        .iter()
        .filter(|c| is_old(c))
        .map(|c| c.arn.clone())
        .collect();
    copies.retain(|copy| old.contains(&copy.arn));
    Ok(copies)
}

fn half(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

/// The copy, where it is one of this hub and tells its age.
fn read(answer: &Value, arn: String, hub: &str) -> Option<Copy> {
    let tag = |key: &str| {
        let all = answer["tags"].as_array()?;
        all.iter().find(|tag| tag["key"].as_str() == Some(key))?["value"].as_str()
    };
    if tag(tags::HUB)? != tags::value(hub) {
        return None;
    }
    let seconds = answer["taskDefinition"]["registeredAt"].as_f64()?;
    Some(Copy {
        arn,
        source: tag(FROM)?.to_owned(),
        registered_at_ms: super::task::epoch_ms(seconds),
    })
}

/// `notebook` of `arn:…:task-definition/notebook:3`.
fn family(arn: &str) -> Option<&str> {
    Some(arn.rsplit_once('/')?.1.rsplit_once(':')?.0)
}
