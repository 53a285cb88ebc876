//! Cloud plumbing: credentials, signing, protocols and error tables, without any idea of servers.

pub mod aws;
pub mod azure;
pub mod error;
pub mod shared_lists;
pub mod time;

pub use error::CloudError;
