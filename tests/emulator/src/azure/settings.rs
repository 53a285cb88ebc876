//! What `/_emulator/azure/settings` may change while the emulator runs.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::options::{AzureOptions, EndpointStyle, OperationStyle};
use super::role::Role;
use super::tokens::Principal;
use crate::cli::{QuotasArgument, Run};
use crate::policy;
use crate::quota::Quotas;

/// Milliseconds in each state that an instance passes through; a state with 0 is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delays {
    pub creating: u64,
    pub setting_up: u64,
    /// Only for an instance with setup scripts.
    pub user_setting_up: u64,
    pub starting: u64,
    pub stopping: u64,
    pub restarting: u64,
    pub deleting: u64,
    /// Of a workspace.
    pub workspace: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            creating: 1000,
            setting_up: 0,
            user_setting_up: 300,
            starting: 700,
            stopping: 500,
            restarting: 700,
            deleting: 500,
            workspace: 500,
        }
    }
}

impl Delays {
    /// Of the order that people report; not measured.
    pub const REAL: Self = Self {
        creating: 180_000,
        setting_up: 30_000,
        user_setting_up: 60_000,
        starting: 120_000,
        stopping: 60_000,
        restarting: 120_000,
        deleting: 90_000,
        workspace: 60_000,
    };

    pub fn field(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "creating" => &mut self.creating,
            "setting_up" => &mut self.setting_up,
            "user_setting_up" => &mut self.user_setting_up,
            "starting" => &mut self.starting,
            "stopping" => &mut self.stopping,
            "restarting" => &mut self.restarting,
            "deleting" => &mut self.deleting,
            "workspace" => &mut self.workspace,
            _ => return None,
        })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub delays: Delays,
    pub latency_ms: u64,
    pub quotas: Quotas,
    pub page_size: usize,
    pub list_states: bool,
    pub operations: OperationStyle,
    pub retry_after_s: u64,
    /// Until then reads do not know a new instance.
    pub visible_after_ms: u64,
    pub token_lifetime_ms: u64,
    pub refresh_token_lifetime_ms: u64,
    pub instance_limit: usize,
    pub family_cores: u32,
    pub endpoint_style: EndpointStyle,
    pub lab_name: String,
    /// Start of a running instance and stop of a stopped one are conflicts, not successes.
    pub strict_actions: bool,
    pub stop_timeout_ms: u64,
    /// A role assignment must tell its principalType, as for an identity that is not known everywhere yet.
    pub needs_principal_type: bool,
    /// PRINCIPAL:ACTION[@SCOPE]
    pub deny: Vec<String>,
    /// What applications may do; all, where there is none.
    pub roles: Vec<Role>,
    pub consent_needed: Vec<String>,
    pub interaction_needed: Vec<String>,
    /// Where each instance's sshd is; no machine listens, where none is told.
    pub ssh: Option<Sshd>,
}

/// What an instance tells of its SSH port, if that is open.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sshd {
    pub address: IpAddr,
    pub port: u16,
    pub user: String,
}

impl Settings {
    pub fn new(options: &AzureOptions, run: Run, stop_timeout_ms: u64) -> Self {
        Self {
            delays: options.azure_delays,
            latency_ms: 0,
            quotas: match options.azure_quotas {
                QuotasArgument::Documented => Quotas::Documented,
                QuotasArgument::Off => Quotas::Off,
            },
            page_size: options.azure_page_size.max(1),
            list_states: !options.azure_list_without_state,
            operations: options.azure_operations,
            retry_after_s: 1,
            visible_after_ms: 0,
            // "Access token lifetime": about an hour. `expires_in` is 3599 in the examples of every flow.
            token_lifetime_ms: 3_599_000,
            // "Refresh tokens in the Microsoft identity platform": 90 days.
            refresh_token_lifetime_ms: 90 * 24 * 3600 * 1000,
            instance_limit: options.azure_instance_limit,
            family_cores: options.azure_family_cores,
            endpoint_style: options.azure_endpoint_style.unwrap_or(match run {
                Run::Process => EndpointStyle::Local,
                Run::Simulate => EndpointStyle::Official,
            }),
            lab_name: options.azure_lab_name.clone(),
            strict_actions: false,
            stop_timeout_ms,
            needs_principal_type: false,
            deny: options.azure_denials.clone(),
            roles: options.azure_roles.clone(),
            consent_needed: options.consent_needed.clone(),
            interaction_needed: options.interaction_needed.clone(),
            ssh: None,
        }
    }

    /// Whether a principal is denied this action on this scope, by a denial or because an application's roles lack it.
    pub fn denies(&self, principal: &Principal, action: &str, scope: &str) -> bool {
        let denied = self.denied_at(principal, scope);
        denied.into_iter().any(|pattern| matches(pattern, action))
            || self.binds(principal) && !self.roles.iter().any(|role| role.allows(action))
    }

    /// What a principal may do at this scope, role by role; a denial takes its actions out of each.
    pub fn permissions(&self, principal: &Principal, scope: &str) -> Vec<Value> {
        let denied = self.denied_at(principal, scope);
        if self.binds(principal) {
            return self.roles.iter().map(|r| r.permission(&denied)).collect();
        }
        vec![Role::everything().permission(&denied)]
    }

    fn binds(&self, principal: &Principal) -> bool {
        principal.user.is_none() && !self.roles.is_empty()
    }

    /// The actions that the denials take from a principal at this scope.
    fn denied_at(&self, principal: &Principal, scope: &str) -> Vec<&str> {
        let names = principal.names();
        let denials = self.deny.iter().filter_map(|text| text.split_once(':'));
        let parts = denials.map(|(denied, rest)| {
            let (actions, scopes) = rest.split_once('@').unwrap_or((rest, "*"));
            (denied, actions, scopes)
        });
        parts
            .filter(|(denied, _, scopes)| {
                names.iter().any(|name| matches(denied, name)) && matches(scopes, scope)
            })
            .map(|(_, actions, _)| actions)
            .collect()
    }
}

/// Azure compares without case.
fn matches(pattern: &str, text: &str) -> bool {
    policy::matches(&pattern.to_lowercase(), &text.to_lowercase())
}
