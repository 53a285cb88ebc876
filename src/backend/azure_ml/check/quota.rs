//! How many cores a region has left for new instances of the size that the settings name.

use super::super::api::{Place, Service, VERSION};
use super::super::config::{Config, check_name};
use super::permissions::add;
use crate::cloud::CloudError;
use crate::cloud::azure::resource_manager::{Call, typed};
use crate::wire::Code;
use crate::wire::reply::Check;
use serde::Deserialize;
use tokio::time::Instant;

const ROLE: &str = "deployments/aml_choices_role.json";

/// What is used of one quota.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Usage {
    #[serde(rename = "type")]
    kind: String,
    current_value: i64,
    limit: i64,
    name: UsageName,
}

/// What a quota is called.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UsageName {
    value: String,
    localized_value: String,
}

/// A finding where the settings name a size, and its region is known.
pub async fn check(
    service: &Service,
    place: &Place,
    config: &Config,
    location: Option<&str>,
    deadline: Instant,
) -> Option<Check> {
    const NAME: &str = "quota";
    let wanted = config.vm_size.as_deref().filter(|size| !size.is_empty())?;
    let location = location.filter(|name| check_name("location", name).is_ok())?;
    let subscription = &place.subscription_id;
    let (sizes, usages) = tokio::join!(
        service.sizes(subscription, location, deadline),
        usages(service, subscription, location, deadline)
    );
    let (sizes, usages) = match (sizes, usages) {
        (Ok(sizes), Ok(usages)) => (sizes, usages),
        (Err(error), _) => return Some(unseen(NAME, "vmsizes", error)),
        (_, Err(error)) => return Some(unseen(NAME, "usages", error)),
    };
    let same = |name: &str| name.eq_ignore_ascii_case(wanted);
    let Some(size) = sizes.iter().find(|size| same(&size.name)) else {
        let found =
            format!("invalid_config: {location} offers no compute instances of size {wanted}");
        let hint =
            format!("Name another in vm_size: az ml compute list-sizes --location {location}");
        return Some(Check::bad("size", &found, &hint));
    };
    let family = size.family.as_deref().unwrap_or_default();
    let Some((left, limit)) = left(&usages, family) else {
        let why = format!("{location} tells of no quota of {family:?}");
        return Some(Check::unseen(NAME, &why, "Only a start shows it."));
    };
    let needed = i64::from(size.vcpus.unwrap_or(1));
    let told = format!("{left} of {limit} vCPUs are left for {wanted} ({family}) in {location}");
    Some(if left >= needed {
        Check::good(NAME, &told)
    } else {
        Check::bad(
            NAME,
            &format!(
                "quota_exceeded: {told}, and each needs {needed}: who has no instance yet gets none"
            ),
            "Ask for more in the Azure portal (Azure Machine Learning, Quota), or delete instances that nobody needs: one that is stopped keeps its cores.",
        )
    })
}

fn unseen(name: &str, of: &str, error: CloudError) -> Check {
    let action = format!("Microsoft.MachineLearningServices/locations/{of}/read");
    let hint = if error.code() == Code::PermissionDenied {
        add(&action, ROLE)
    } else {
        "Only a start shows it.".to_owned()
    };
    let why = format!("could not be looked at: {}", error.into_failure());
    Check::unseen(name, &why, &hint)
}

/// `Usages_List`.
async fn usages(
    service: &Service,
    subscription_id: &str,
    location: &str,
    deadline: Instant,
) -> Result<Vec<Usage>, CloudError> {
    const OPERATION: &str = "arm:LIST usages";
    let path = format!(
        "/subscriptions/{subscription_id}/providers/Microsoft.MachineLearningServices/locations/{location}/usages"
    );
    let call = Call::get(&path, VERSION, OPERATION);
    let items = service.resource_manager().list(&call, deadline).await?;
    items.into_iter().map(|i| typed(OPERATION, i)).collect()
}

/// What is left for a family, and of how many: the family's own quota or the region's for all families, whichever is tighter.
fn left(usages: &[Usage], family: &str) -> Option<(i64, i64)> {
    // The official example's "standardDSv2Family" of a size is "Standard DSv2 Family Cluster Dedicated vCPUs" of a usage.
    let wanted = letters(family);
    let of_family = |usage: &&Usage| {
        let names = [&usage.name.value, &usage.name.localized_value].map(|name| letters(name));
        usage.kind.ends_with("/vmFamily/usages")
            && names.iter().any(|name| name.starts_with(&wanted))
            && !names.iter().any(|name| name.contains("lowpriority"))
    };
    let own = usages
        .iter()
        .find(of_family)
        .filter(|_| !wanted.is_empty())?;
    let all = usages
        .iter()
        .find(|usage| usage.kind.ends_with("/dedicatedCores/usages"));
    // A limit of -1 is none (the example's low priority).
    let limited = std::iter::once(own)
        .chain(all)
        .filter(|usage| usage.limit >= 0);
    limited
        .map(|usage| ((usage.limit - usage.current_value).max(0), usage.limit))
        .min_by_key(|(left, _)| *left)
}

fn letters(name: &str) -> String {
    let plain = name.chars().filter(char::is_ascii_alphanumeric);
    plain.collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::{Usage, left};
    use serde_json::json;

    fn usage(kind: &str, name: &str, used: i64, limit: i64) -> Usage {
        let kind = format!("Microsoft.MachineLearningServices/{kind}/usages");
        let name = json!({"value": name, "localizedValue": name});
        let usage = json!({"type": kind, "name": name, "currentValue": used, "limit": limit});
        serde_json::from_value(usage).unwrap()
    }

    /// Rows of the official example of `Usages_List`.
    fn example() -> Vec<Usage> {
        vec![
            usage("totalCores", "Clusters", 7, 100),
            usage(
                "dedicatedCores",
                "Total Cluster Dedicated Regional vCPUs",
                14,
                24,
            ),
            usage(
                "vmFamily",
                "Standard D Family Cluster Dedicated vCPUs",
                0,
                48,
            ),
            usage(
                "vmFamily",
                "Standard DSv2 Family Cluster LowPriority vCPUs",
                0,
                -1,
            ),
            usage(
                "vmFamily",
                "Standard DSv2 Family Cluster Dedicated vCPUs",
                20,
                24,
            ),
            usage(
                "workspaces",
                "Standard NC Family Cluster Dedicated vCPUs",
                0,
                24,
            ),
            usage(
                "vmFamily",
                "Standard NC Family Cluster Dedicated vCPUs",
                30,
                24,
            ),
        ]
    }

    #[test]
    fn the_tighter_of_the_familys_quota_and_the_regions_is_told() {
        assert_eq!(left(&example(), "standardDSv2Family"), Some((4, 24)));
        assert_eq!(left(&example(), "standardDFamily"), Some((10, 24)));
        assert_eq!(left(&example(), "standardNCFamily"), Some((0, 24)));
    }

    #[test]
    fn a_family_that_is_not_told_of_is_none() {
        assert_eq!(left(&example(), "standardESv3Family"), None);
        assert_eq!(left(&example(), ""), None);
    }

    #[test]
    fn a_quota_may_go_by_the_familys_own_name() {
        let usages = [usage("vmFamily", "standardDSv2Family", 1, 3)];
        assert_eq!(left(&usages, "standardDSv2Family"), Some((2, 3)));
    }
}
