//! Long operations: what a client asks of by `Azure-AsyncOperation` or by `Location` until they end ("Track asynchronous
//! Azure operations").

use std::collections::HashMap;

use serde_json::{Value, json};

use super::options::OperationStyle;
use super::tokens::random_guid;
use super::view;

#[derive(Clone, Debug)]
pub enum Outcome {
    Succeeded,
    Failed { code: String, message: String },
    Canceled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Put,
    Post,
    Delete,
}

#[derive(Clone, Debug)]
pub struct Operation {
    pub kind: Kind,
    pub location: String,
    pub started_ms: u64,
    /// None: never.
    pub ends_ms: Option<u64>,
    pub outcome: Outcome,
    pub instance: Option<usize>,
    pub workspace: Option<String>,
}

impl Operation {
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.ends_ms.is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// The body behind `Azure-AsyncOperation`.
    pub fn status(&self, id: &str, now_ms: u64) -> Value {
        let mut body = json!({
            "name": id,
            "status": "InProgress",
            "startTime": view::date(self.started_ms),
        });
        if let Some(ends_ms) = self.ends_ms.filter(|at_ms| *at_ms <= now_ms) {
            body["endTime"] = json!(view::date(ends_ms));
            body["status"] = json!(match &self.outcome {
                Outcome::Succeeded => "Succeeded",
                Outcome::Failed { .. } => "Failed",
                Outcome::Canceled => "Canceled",
            });
            body["error"] = match &self.outcome {
                Outcome::Failed { code, message } => json!({ "code": code, "message": message }),
                Outcome::Canceled => json!({
                    "code": "OperationCanceled",
                    "message": "Another operation on the compute took the place of this one.",
                }),
                Outcome::Succeeded => return body,
            };
        }
        body
    }
}

#[derive(Debug, Default)]
pub struct Operations {
    by_id: HashMap<String, Operation>,
}

impl Operations {
    /// Begins one; what was still under way for the same instance is canceled.
    pub fn begin(&mut self, operation: Operation) -> String {
        if let Some(instance) = operation.instance {
            self.cut_short(instance, operation.started_ms);
        }
        let id = random_guid();
        self.by_id.insert(id.clone(), operation);
        id
    }

    pub fn cut_short(&mut self, instance: usize, now_ms: u64) {
        for older in self.by_id.values_mut() {
            if older.instance == Some(instance) && !older.is_over(now_ms) {
                older.ends_ms = Some(now_ms);
                older.outcome = Outcome::Canceled;
            }
        }
    }

    /// What has not ended for an instance ends when `end` says so.
    pub fn hold(&mut self, instance: usize, now_ms: u64) {
        for operation in self.by_id.values_mut() {
            if operation.instance == Some(instance)
                && (operation.started_ms == now_ms || !operation.is_over(now_ms))
            {
                operation.ends_ms = None;
            }
        }
    }

    pub fn end(&mut self, instance: usize, now_ms: u64) {
        for operation in self.by_id.values_mut() {
            if operation.instance == Some(instance) && operation.ends_ms.is_none() {
                operation.ends_ms = Some(now_ms);
            }
        }
    }

    pub fn get(&self, id: &str) -> Option<&Operation> {
        self.by_id.get(id)
    }

    pub fn clear(&mut self) {
        self.by_id.clear();
    }
}

/// The addresses of an operation, as the headers have them.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub status: String,
    pub result: String,
}

impl Addresses {
    pub fn new(base: &str, subscription: &str, location: &str, id: &str, version: &str) -> Self {
        let folder = format!(
            "{base}/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{location}"
        );
        Self {
            status: format!(
                "{folder}/computeOperationsStatus/{id}?api-version={version}&service=new"
            ),
            result: format!(
                "{folder}/computeOperationResults/{id}?api-version={version}&service=new"
            ),
        }
    }

    pub fn headers(
        &self,
        style: OperationStyle,
        kind: Kind,
        retry_after_s: u64,
    ) -> Vec<(&'static str, String)> {
        let (status, location) = match (style, kind) {
            (OperationStyle::None, _) => return Vec::new(),
            (OperationStyle::Both, _) | (OperationStyle::Official, Kind::Delete) => (true, true),
            (OperationStyle::AsyncOperation, _) | (OperationStyle::Official, Kind::Put) => {
                (true, false)
            }
            (OperationStyle::Location, _) | (OperationStyle::Official, Kind::Post) => (false, true),
        };
        let mut headers = vec![("retry-after", retry_after_s.to_string())];
        if status {
            headers.push(("azure-asyncoperation", self.status.clone()));
        }
        if location {
            headers.push(("location", self.result.clone()));
        }
        headers
    }
}
