//! The way into Azure Machine Learning's own studio.

use super::api::Place;
use url::Url;

/// An instance's page; none where the studio of that cloud is not known.
///
/// The studios' hosts are those of "Azure Machine Learning in sovereign clouds" in Microsoft's documentation.
#[must_use]
pub fn page(management_endpoint: Option<&str>, place: &Place, name: &str) -> Option<String> {
    let studio = match management_endpoint.map(|url| url.trim_end_matches('/')) {
        None | Some("https://management.azure.com") => "https://ml.azure.com",
        Some("https://management.usgovcloudapi.net") => "https://ml.azure.us",
        Some("https://management.chinacloudapi.cn") => "https://studio.ml.azure.cn",
        Some(_) => return None,
    };
    let mut page = Url::parse(studio).ok()?;
    page.path_segments_mut()
        .ok()?
        .extend(["compute", name, "details"]);
    let workspace = format!(
        "/subscriptions/{}/resourceGroups/{}/workspaces/{}",
        place.subscription_id, place.resource_group, place.workspace
    );
    page.query_pairs_mut().append_pair("wsid", &workspace);
    Some(page.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab() -> Place {
        Place {
            subscription_id: "s".to_owned(),
            resource_group: "research & more".to_owned(),
            workspace: "lab".to_owned(),
        }
    }

    #[test]
    fn an_instances_page_is_in_the_studio_of_its_cloud() {
        let path = "/compute/ada/details?wsid=%2Fsubscriptions%2Fs%2FresourceGroups%2Fresearch+%26+more%2Fworkspaces%2Flab";
        assert_eq!(
            page(None, &lab(), "ada"),
            Some(format!("https://ml.azure.com{path}"))
        );
        assert_eq!(
            page(Some("https://management.usgovcloudapi.net/"), &lab(), "ada"),
            Some(format!("https://ml.azure.us{path}"))
        );
    }

    #[test]
    fn an_unknown_cloud_has_no_page() {
        assert_eq!(page(Some("http://127.0.0.1:1"), &lab(), "ada"), None);
    }
}
