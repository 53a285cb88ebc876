//! What a person may choose from: the workspaces that the identity can see, and the sizes that their regions offer.

use super::api::{Service, VmSize, WorkspaceView};
use super::config::{Config, check_name};
use crate::cloud::CloudError;
use crate::error::Failure;
use crate::wire::reply::{OptionsResult, Project, Size};
use futures_util::future::try_join_all;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// The workspaces of the config's resource group, or of the whole subscription where it names none.
pub async fn options(
    service: &Service,
    config: &Config,
    deadline: Instant,
) -> Result<OptionsResult, Failure> {
    let subscription_id = config.subscription_id.as_deref().unwrap_or_default();
    if let Some(location) = &config.location {
        check_name("location", location)?;
    }
    let group = config.resource_group.as_deref();
    let projects = projects(service, subscription_id, group, deadline).await?;
    let mut regions: BTreeSet<String> = projects.iter().map(|p| p.location.clone()).collect();
    regions.extend(config.location.clone());
    let offered = try_join_all(regions.iter().map(|region| async move {
        let sizes = service.sizes(subscription_id, region, deadline).await?;
        Ok((region.clone(), sizes.into_iter().map(size).collect()))
    }))
    .await
    .map_err(CloudError::into_failure)?;
    Ok(OptionsResult {
        projects,
        sizes: offered.into_iter().collect(),
    })
}

/// The workspaces of a resource group, or of the whole subscription, by their names.
pub async fn projects(
    service: &Service,
    subscription_id: &str,
    resource_group: Option<&str>,
    deadline: Instant,
) -> Result<Vec<Project>, Failure> {
    let resource_group = resource_group.filter(|group| !group.is_empty());
    check_name("subscription_id", subscription_id)?;
    if let Some(group) = resource_group {
        check_name("resource_group", group)?;
    }
    let seen = service
        .workspaces(subscription_id, resource_group, deadline)
        .await
        .map_err(CloudError::into_failure)?;
    let mut projects: Vec<Project> = seen.into_iter().filter_map(project).collect();
    projects.sort_by(|a, b| a.workspace.cmp(&b.workspace));
    Ok(projects)
}

/// None for what holds no compute instances: a hub of workspaces, a feature store.
fn project(workspace: WorkspaceView) -> Option<Project> {
    let kind = workspace.kind.as_deref().unwrap_or("Default");
    if !matches!(kind, "Default" | "Project") {
        return None;
    }
    let mut parts = workspace
        .id
        .split('/')
        .skip_while(|p| !p.eq_ignore_ascii_case("resourceGroups"));
    let resource_group = parts.nth(1)?.to_owned();
    let friendly = workspace
        .properties
        .friendly_name
        .filter(|name| !name.is_empty());
    Some(Project {
        resource_group,
        display_name: friendly.unwrap_or_else(|| workspace.name.clone()),
        workspace: workspace.name,
        location: workspace.location.unwrap_or_default(),
        tags: workspace.tags.unwrap_or_default(),
    })
}

fn size(size: VmSize) -> Size {
    Size {
        name: size.name,
        vcpus: size.vcpus,
        gpus: size.gpus,
        memory_gib: size.memory_gib,
    }
}
