//! cloudspawner starts JupyterHub's single-user servers on AWS Fargate and on Azure Machine Learning compute instances.
//!
//! The rooms, each of which uses only those to its right:
//! `cli` > `serve` > `ops` > `backend` > `mount` > `cloud` > `net`. `wire`, `error`, `context`, `hash`, `lock` and `redact` are leaves
//! that all may use.

pub mod backend;
pub mod cli;
pub mod cloud;
pub mod context;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hash;
pub mod lock;
pub mod mount;
pub mod net;
pub mod ops;
pub mod redact;
pub mod serve;
pub mod wire;
