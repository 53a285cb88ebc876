//! Azure plumbing: the official credentials around our one door for HTTP, and Resource Manager's conventions.
//!
//! Nothing outside `auth` names azure_identity. It knows tokens, subscriptions, long operations and error codes; it does
//! not know what a server is.

pub mod auth;
pub mod error;
pub mod key_vault;
pub mod on_behalf;
pub mod permissions;
pub mod resource_manager;

pub use auth::{AzureCredentials, Clouds, Tokens};
pub use resource_manager::{Answer, ResourceManager};
