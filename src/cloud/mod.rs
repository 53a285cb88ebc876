//! Cloud plumbing: credentials, signing, protocols and error tables, without any idea of servers.

pub mod aws;
