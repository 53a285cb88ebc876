//! The paths of Microsoft.Storage, Microsoft.ManagedIdentity and Microsoft.Authorization in Resource Manager.

use axum::http::Method;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Accounts,
    Account(String),
    /// Where the creation of this account is followed.
    Creation(String),
    Keys(String),
    FileService(String),
    Shares(String),
    Share(String, String),
    Identities,
    Identity(String),
    /// Of a scope.
    Assignments(String),
    Assignment(String, String),
    /// What the caller may do at a scope.
    Permissions(String),
}

/// `words` are the segments in lower case.
pub fn parse(segments: &[&str], words: &[&str]) -> Option<Kind> {
    let own = |index: usize| segments[index].to_owned();
    let last = segments.len() - 1;
    let scope = |end: usize| format!("/{}", segments[..end].join("/"));
    match words {
        [
            ..,
            "providers",
            "microsoft.authorization",
            "roleassignments",
        ] => {
            return Some(Kind::Assignments(scope(last - 2)));
        }
        [
            ..,
            "providers",
            "microsoft.authorization",
            "roleassignments",
            _,
        ] => {
            return Some(Kind::Assignment(scope(last - 3), own(last)));
        }
        [.., "providers", "microsoft.authorization", "permissions"] => {
            return Some(Kind::Permissions(scope(last - 2)));
        }
        _ => {}
    }
    match *words.get(2..)? {
        [
            "providers",
            "microsoft.storage",
            "locations",
            _,
            "asyncoperations",
            _,
        ] => Some(Kind::Creation(own(7))),
        [
            "resourcegroups",
            _,
            "providers",
            "microsoft.managedidentity",
            "userassignedidentities",
            ref rest @ ..,
        ] => match *rest {
            [] => Some(Kind::Identities),
            [_] => Some(Kind::Identity(own(7))),
            _ => None,
        },
        [
            "resourcegroups",
            _,
            "providers",
            "microsoft.storage",
            "storageaccounts",
            ref rest @ ..,
        ] => match *rest {
            [] => Some(Kind::Accounts),
            [_] => Some(Kind::Account(own(7))),
            [_, "listkeys"] => Some(Kind::Keys(own(7))),
            [_, "fileservices", "default"] => Some(Kind::FileService(own(7))),
            [_, "fileservices", "default", "shares"] => Some(Kind::Shares(own(7))),
            [_, "fileservices", "default", "shares", _] => Some(Kind::Share(own(7), own(11))),
            _ => None,
        },
        _ => None,
    }
}

impl Kind {
    /// The name for faults and counts, such as `shares.put`.
    pub fn operation(&self, method: &Method) -> String {
        let verb = method.as_str().to_lowercase();
        let (of, lists) = match self {
            Self::Accounts => ("storage_accounts", true),
            Self::Account(_) => ("storage_accounts", false),
            Self::Creation(_) => return "storage_operations.get".to_owned(),
            Self::Keys(_) => return "storage_accounts.list_keys".to_owned(),
            Self::FileService(_) => ("file_services", false),
            Self::Shares(_) => ("shares", true),
            Self::Share(..) => ("shares", false),
            Self::Identities => ("identities", true),
            Self::Identity(_) => ("identities", false),
            Self::Assignments(_) => ("role_assignments", true),
            Self::Assignment(..) => ("role_assignments", false),
            Self::Permissions(_) => ("permissions", true),
        };
        match (lists, verb.as_str()) {
            (true, "get") => format!("{of}.list"),
            _ => format!("{of}.{verb}"),
        }
    }

    /// "Azure permissions for Storage", "… Identity", "… Management and governance".
    pub fn permission(&self, method: &Method) -> String {
        let verb = match *method {
            Method::PUT | Method::PATCH => "write",
            Method::DELETE => "delete",
            Method::POST => "action",
            _ => "read",
        };
        let of = match self {
            Self::Accounts | Self::Account(_) => "Microsoft.Storage/storageAccounts",
            Self::Creation(_) => "Microsoft.Storage/locations/asyncoperations",
            Self::Keys(_) => "Microsoft.Storage/storageAccounts/listkeys",
            Self::FileService(_) => "Microsoft.Storage/storageAccounts/fileServices",
            Self::Shares(_) | Self::Share(..) => {
                "Microsoft.Storage/storageAccounts/fileServices/shares"
            }
            Self::Identities | Self::Identity(_) => {
                "Microsoft.ManagedIdentity/userAssignedIdentities"
            }
            Self::Assignments(_) | Self::Assignment(..) => {
                "Microsoft.Authorization/roleAssignments"
            }
            Self::Permissions(_) => "Microsoft.Authorization/permissions",
        };
        format!("{of}/{verb}")
    }

    /// The kind of resource, for the log.
    pub fn resource(&self) -> &'static str {
        match self {
            Self::Accounts | Self::Account(_) => "storageAccounts",
            Self::Creation(_) => "asyncoperations",
            Self::Keys(_) => "storageAccounts/listKeys",
            Self::FileService(_) => "fileServices",
            Self::Shares(_) | Self::Share(..) => "shares",
            Self::Identities | Self::Identity(_) => "userAssignedIdentities",
            Self::Assignments(_) | Self::Assignment(..) => "roleAssignments",
            Self::Permissions(_) => "permissions",
        }
    }
}
