//! An answer before it is sent.

use axum::body::Bytes;
use axum::http::StatusCode;
use serde_json::Value;

use super::error::ArmError;

/// What goes back, and the error code for the log.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: Vec<(&'static str, String)>,
    pub content_type: &'static str,
    pub body: Bytes,
    /// Headers whose names nobody knew before.
    pub extra: Vec<(String, String)>,
    pub code: Option<String>,
}

impl Reply {
    pub fn json(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content_type: "application/json; charset=utf-8",
            body: body.to_string().into(),
            extra: Vec::new(),
            code: None,
        }
    }

    pub fn empty(status: StatusCode) -> Self {
        Self {
            body: Bytes::new(),
            ..Self::json(status, &Value::Null)
        }
    }

    pub fn html(body: String) -> Self {
        Self {
            content_type: "text/html; charset=utf-8",
            body: body.into(),
            ..Self::empty(StatusCode::OK)
        }
    }

    pub fn with(mut self, headers: Vec<(&'static str, String)>) -> Self {
        self.headers.extend(headers);
        self
    }
}

impl From<ArmError> for Reply {
    fn from(error: ArmError) -> Self {
        Self {
            code: Some(error.code.clone()),
            ..Self::json(error.status, &error.body()).with(error.headers)
        }
    }
}
