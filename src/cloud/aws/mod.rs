//! AWS plumbing: the official credential chain and signer around our one door for HTTP.
//!
//! Nothing outside this folder names an aws crate. It knows accounts, regions, the JSON and query protocols and error codes; it does not know
//! what a server is.

pub mod account;
pub mod credentials;
pub mod error;
pub mod json;
pub mod query;
pub mod sts;

pub use account::{Account, AccountSettings, ServiceId};
pub use credentials::Credentials;
pub use json::{Answer, Call, JsonService, ServiceName};
