//! What a path asks for. Resource Manager compares paths without case.

use axum::http::Method;

use super::storage;

/// Where a call goes, and by which name faults and counts know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    OpenIdConfiguration {
        tenant: String,
    },
    Keys {
        tenant: String,
    },
    InstanceDiscovery,
    Authorize {
        tenant: String,
    },
    Token {
        tenant: String,
    },
    /// The instance metadata service of a virtual machine; of an instance where it is named.
    MachineIdentity {
        instance: Option<String>,
    },
    /// The identity endpoint of App Service.
    AppServiceIdentity,
    Arm(ArmPath),
    /// Key Vault's.
    Secret,
    /// Of Azure Files; the first account where none is named.
    Files {
        account: String,
        operation: &'static str,
    },
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmPath {
    pub subscription: String,
    pub group: Option<String>,
    pub kind: ArmKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArmKind {
    Subscription,
    ResourceGroup,
    Workspaces,
    Workspace(String),
    Computes(String),
    Compute(String, String),
    ComputeAction(String, String, Action),
    VmSizes(String),
    Usages(String),
    Quotas(String),
    OperationStatus(String),
    OperationResult(String),
    Storage(storage::path::Kind),
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Start,
    Stop,
    Restart,
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

pub fn parse(path: &str) -> Route {
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let lower: Vec<String> = segments
        .iter()
        .map(|segment| segment.to_lowercase())
        .collect();
    let words: Vec<&str> = lower.iter().map(String::as_str).collect();
    match words[..] {
        ["common", "discovery", "instance"] => Route::InstanceDiscovery,
        ["metadata", "identity", "oauth2", "token"] => Route::MachineIdentity { instance: None },
        ["instances", _, "metadata", "identity", "oauth2", "token"] => Route::MachineIdentity {
            instance: Some(segments[1].to_owned()),
        },
        ["secrets", _] | ["secrets", _, _] => Route::Secret,
        ["msi", "token"] => Route::AppServiceIdentity,
        [_, "v2.0", ".well-known", "openid-configuration"] => Route::OpenIdConfiguration {
            tenant: segments[0].to_owned(),
        },
        [_, "discovery", "v2.0", "keys"] => Route::Keys {
            tenant: segments[0].to_owned(),
        },
        [_, "oauth2", "v2.0", "authorize"] => Route::Authorize {
            tenant: segments[0].to_owned(),
        },
        [_, "oauth2", "v2.0", "token"] => Route::Token {
            tenant: segments[0].to_owned(),
        },
        ["subscriptions", _, ..] => Route::Arm(arm(&segments, &words)),
        _ => Route::Unknown,
    }
}

const PROVIDER: &str = "microsoft.machinelearningservices";

fn arm(segments: &[&str], words: &[&str]) -> ArmPath {
    let own = |index: usize| segments[index].to_owned();
    let (group, rest) = match words[2..] {
        ["resourcegroups", _, ..] => (Some(own(3)), 4),
        _ => (None, 2),
    };
    // Roles and permissions are asked about at any scope, also at one of the resources below.
    let of_storage = storage::path::parse(segments, words).map(ArmKind::Storage);
    let kind = of_storage.unwrap_or_else(|| match (group.is_some(), &words[rest..]) {
        (false, []) => ArmKind::Subscription,
        (true, []) => ArmKind::ResourceGroup,
        (_, ["providers", PROVIDER, tail @ ..]) => provider(group.is_some(), rest + 2, tail, &own),
        _ => ArmKind::Other,
    });
    ArmPath {
        subscription: own(1),
        group,
        kind,
    }
}

fn provider(in_group: bool, at: usize, tail: &[&str], own: &impl Fn(usize) -> String) -> ArmKind {
    match (in_group, tail) {
        (_, ["workspaces"]) => ArmKind::Workspaces,
        (true, ["workspaces", _]) => ArmKind::Workspace(own(at + 1)),
        (true, ["workspaces", _, "computes"]) => ArmKind::Computes(own(at + 1)),
        (true, ["workspaces", _, "computes", _]) => ArmKind::Compute(own(at + 1), own(at + 3)),
        (true, ["workspaces", _, "computes", _, verb]) => {
            let action = match *verb {
                "start" => Action::Start,
                "stop" => Action::Stop,
                "restart" => Action::Restart,
                _ => return ArmKind::Other,
            };
            ArmKind::ComputeAction(own(at + 1), own(at + 3), action)
        }
        (false, ["locations", _, "vmsizes"]) => ArmKind::VmSizes(own(at + 1)),
        (false, ["locations", _, "usages"]) => ArmKind::Usages(own(at + 1)),
        (false, ["locations", _, "quotas"]) => ArmKind::Quotas(own(at + 1)),
        (false, ["locations", _, "computeoperationsstatus", _]) => {
            ArmKind::OperationStatus(own(at + 3))
        }
        (false, ["locations", _, "computeoperationresults", _]) => {
            ArmKind::OperationResult(own(at + 3))
        }
        _ => ArmKind::Other,
    }
}

impl Route {
    /// The name for faults and counts, such as `computes.list`.
    pub fn operation(&self, method: &Method) -> String {
        let name = match self {
            Self::OpenIdConfiguration { .. } => "openid_configuration",
            Self::Keys { .. } => "keys",
            Self::InstanceDiscovery => "instance_discovery",
            Self::Authorize { .. } => "authorize",
            Self::Token { .. } => "token",
            Self::MachineIdentity { .. } | Self::AppServiceIdentity => "managed_identity",
            Self::Files { operation, .. } => operation,
            Self::Secret => return format!("secrets.{}", method.as_str().to_lowercase()),
            Self::Unknown => "unknown",
            Self::Arm(path) => return path.operation(method),
        };
        name.to_owned()
    }

    /// The kind of resource, for the log.
    pub fn resource(&self) -> &'static str {
        match self {
            Self::OpenIdConfiguration { .. } => "openid-configuration",
            Self::Keys { .. } => "keys",
            Self::InstanceDiscovery => "instance",
            Self::Authorize { .. } => "authorize",
            Self::Token { .. } => "token",
            Self::MachineIdentity { .. } | Self::AppServiceIdentity => "managed-identity",
            Self::Secret => "secrets",
            Self::Files { .. } => "files",
            Self::Unknown => "unknown",
            Self::Arm(path) => match &path.kind {
                ArmKind::ComputeAction(_, _, action) => match action {
                    Action::Start => "computes/start",
                    Action::Stop => "computes/stop",
                    Action::Restart => "computes/restart",
                },
                kind => kind.resource(),
            },
        }
    }
}

impl ArmKind {
    fn resource(&self) -> &'static str {
        match self {
            Self::Subscription => "subscriptions",
            Self::ResourceGroup => "resourceGroups",
            Self::Workspaces | Self::Workspace(_) => "workspaces",
            Self::Computes(_) | Self::Compute(..) | Self::ComputeAction(..) => "computes",
            Self::VmSizes(_) => "vmSizes",
            Self::Usages(_) => "usages",
            Self::Quotas(_) => "quotas",
            Self::OperationStatus(_) => "computeOperationsStatus",
            Self::OperationResult(_) => "computeOperationResults",
            Self::Storage(kind) => kind.resource(),
            Self::Other => "other",
        }
    }
}

impl ArmPath {
    fn operation(&self, method: &Method) -> String {
        let verb = method.as_str().to_lowercase();
        match &self.kind {
            ArmKind::Subscription => format!("subscriptions.{verb}"),
            ArmKind::ResourceGroup => format!("resource_groups.{verb}"),
            ArmKind::Workspaces if *method == Method::GET => "workspaces.list".to_owned(),
            ArmKind::Computes(_) if *method == Method::GET => "computes.list".to_owned(),
            ArmKind::Workspaces | ArmKind::Workspace(_) => format!("workspaces.{verb}"),
            ArmKind::Computes(_) | ArmKind::Compute(..) => format!("computes.{verb}"),
            ArmKind::ComputeAction(_, _, action) => format!("computes.{}", action.name()),
            ArmKind::VmSizes(_) => "vm_sizes.list".to_owned(),
            ArmKind::Usages(_) => "usages.list".to_owned(),
            ArmKind::Quotas(_) => "quotas.list".to_owned(),
            ArmKind::OperationStatus(_) => "operations.get".to_owned(),
            ArmKind::OperationResult(_) => "operation_results.get".to_owned(),
            ArmKind::Storage(kind) => kind.operation(method),
            ArmKind::Other => "unknown".to_owned(),
        }
    }

    /// The permission that a call needs: "Azure permissions for AI + machine learning", and for Microsoft.Resources.
    pub fn permission(&self, method: &Method) -> String {
        const ML: &str = "Microsoft.MachineLearningServices";
        let verb = match *method {
            Method::PUT | Method::PATCH => "write",
            Method::DELETE => "delete",
            Method::POST => "action",
            _ => "read",
        };
        match &self.kind {
            ArmKind::Subscription => format!("Microsoft.Resources/subscriptions/{verb}"),
            ArmKind::ResourceGroup => {
                format!("Microsoft.Resources/subscriptions/resourceGroups/{verb}")
            }
            ArmKind::Workspaces | ArmKind::Workspace(_) => format!("{ML}/workspaces/{verb}"),
            ArmKind::Computes(_) | ArmKind::Compute(..) => {
                format!("{ML}/workspaces/computes/{verb}")
            }
            ArmKind::ComputeAction(_, _, action) => {
                format!("{ML}/workspaces/computes/{}/action", action.name())
            }
            ArmKind::VmSizes(_) => format!("{ML}/locations/vmsizes/{verb}"),
            ArmKind::Usages(_) => format!("{ML}/locations/usages/{verb}"),
            ArmKind::Quotas(_) => format!("{ML}/locations/quotas/{verb}"),
            ArmKind::OperationStatus(_) | ArmKind::OperationResult(_) => {
                format!("{ML}/locations/computeoperationsstatus/{verb}")
            }
            ArmKind::Storage(kind) => kind.permission(method),
            ArmKind::Other => format!("{ML}/unknown/{verb}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::{Action, ArmKind, Route, parse};

    fn kind(path: &str) -> ArmKind {
        match parse(path) {
            Route::Arm(path) => path.kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_are_compared_without_case_and_names_keep_theirs() {
        let path = "/Subscriptions/s/ResourceGroups/g/PROVIDERS/microsoft.MachineLearningServices/Workspaces/W/Computes/C";
        assert_eq!(kind(path), ArmKind::Compute("W".into(), "C".into()));
        assert_eq!(
            kind(&format!("{path}/Start")),
            ArmKind::ComputeAction("W".into(), "C".into(), Action::Start)
        );
        assert_eq!(kind(&format!("{path}/listNodes")), ArmKind::Other);
        assert_eq!(parse("/").operation(&Method::GET), "unknown");
        assert_eq!(
            parse("/t/oauth2/v2.0/token").operation(&Method::POST),
            "token"
        );
    }

    #[test]
    fn a_permission_names_the_action() {
        let Route::Arm(path) = parse(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/computes/c/stop",
        ) else {
            panic!()
        };
        assert_eq!(
            path.permission(&Method::POST),
            "Microsoft.MachineLearningServices/workspaces/computes/stop/action"
        );
    }
}
