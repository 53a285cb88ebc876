//! AWS plumbing: the official credential chain and signer around our one door for HTTP.
//!
//! Nothing outside this folder names an aws crate. It knows accounts, regions, JSON 1.1 and error codes; it does not know
//! what a server is.

pub mod account;
pub mod credentials;
pub mod error;
pub mod json;

pub use account::{Account, AccountSettings};
pub use credentials::Credentials;
pub use json::{JsonService, ServiceName};
