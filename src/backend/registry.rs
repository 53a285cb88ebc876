//! The backends that are built in, one line each.

use super::{Backend, Surroundings, azure_ml, fargate};
use crate::error::Failure;
use crate::wire::Code;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All backends, by name.
pub struct Registry(BTreeMap<&'static str, Arc<dyn Backend>>);

impl Registry {
    /// Makes every backend; none of them asks its cloud yet.
    #[must_use]
    pub fn new(surroundings: &Surroundings) -> Self {
        let all: [Arc<dyn Backend>; 2] = [
            Arc::new(azure_ml::AzureMl::new(surroundings.clone())),
            Arc::new(fargate::Fargate::new(surroundings.clone())),
        ];
        Self(
            all.into_iter()
                .map(|backend| (backend.name(), backend))
                .collect(),
        )
    }

    /// The same with one more, in place of one of that name: for a backend that another crate brings, as a test does.
    #[must_use]
    pub fn with(mut self, backend: Arc<dyn Backend>) -> Self {
        self.0.insert(backend.name(), backend);
        self
    }

    /// The names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.keys().map(|name| (*name).to_owned()).collect()
    }

    /// The backend of that name.
    ///
    /// # Errors
    /// `bad_request` with the names that there are.
    pub fn get(&self, name: &str) -> Result<Arc<dyn Backend>, Failure> {
        self.0.get(name).cloned().ok_or_else(|| {
            Failure::new(
                Code::BadRequest,
                format!(
                    "params.backend: {name:?} is not known; use one of {}",
                    self.names().join(", ")
                ),
            )
        })
    }
}
