//! File shares through the account itself (Azure Files REST API), with a shared access signature: the second choice, for a hub
//! that has no role in Resource Manager.

use super::arm::FileShare;
use super::settings::Storage;
use super::{Marks, Shares};
use crate::cloud::CloudError;
use crate::cloud::azure::ResourceManager;
use crate::cloud::azure::error;
use crate::cloud::error::{Refusal, retry_after};
use crate::error::Failure;
use crate::net::retry::{self, Pace};
use crate::net::{CredentialTraffic, Response};
use crate::wire::{Code, Secret};
use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::BASE64;
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The version of the REST API whose swagger is at hand for the tests.
const VERSION: &str = "2024-05-04";
const META: &str = "x-ms-meta-";

/// What the admin gave for the account: one of the two.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageSecret {
    /// A shared access signature of the account, with or without its "?".
    pub sas_token: Option<Secret<String>>,
    /// A connection string, with an account key or a signature in it.
    pub connection_string: Option<Secret<String>>,
}

impl StorageSecret {
    /// The account's key, which alone opens a share by SMB; a signature does not.
    ///
    /// # Errors
    /// `invalid_config` where there is none; nothing of what is there is repeated.
    pub fn account_key(given: Option<&Self>) -> Result<Secret<String>, Failure> {
        let text = given.and_then(|secret| secret.connection_string.as_ref());
        let key = text.and_then(|text| parts(text.expose()).get("AccountKey").copied());
        let Some(key) =
            key.filter(|key| BASE64.decode(key.as_bytes()).is_ok_and(|k| !k.is_empty()))
        else {
            let why = "give a connection_string with the AccountKey: this method mounts by it, and a signature mounts nothing";
            return Err(Failure::invalid_config("credentials.storage", why));
        };
        Ok(Secret::new(key.to_owned()))
    }
}

/// The shares of one account, by a signature.
pub struct BySignature<'a> {
    arm: &'a ResourceManager,
    storage: &'a Storage,
    origin: String,
    signature: Secret<String>,
}

impl<'a> BySignature<'a> {
    /// Of the account that `storage` names. Nobody is asked yet.
    ///
    /// # Errors
    /// `invalid_config` with the field's name; no value is repeated.
    pub fn open(
        arm: &'a ResourceManager,
        storage: &'a Storage,
        secret: &StorageSecret,
    ) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::invalid_config("credentials.storage", why);
        let mut origin = format!("https://{}", storage.server());
        let signature = match (&secret.sas_token, &secret.connection_string) {
            (Some(token), None) => token.expose().trim_start_matches('?').to_owned(),
            (None, Some(text)) => {
                let parts = parts(text.expose());
                let part = |name: &str| parts.get(name).copied();
                if part("AccountName").is_some_and(|name| name != storage.account) {
                    return Err(wrong(
                        "connection_string is of another account than config.storage.account",
                    ));
                }
                if let Some(endpoint) = part("FileEndpoint") {
                    endpoint.trim_end_matches('/').clone_into(&mut origin);
                }
                match (part("SharedAccessSignature"), part("AccountKey")) {
                    (Some(token), _) => token.trim_start_matches('?').to_owned(),
                    (None, Some(key)) => sign(&storage.account, key, arm)
                        .ok_or_else(|| wrong("connection_string has no good AccountKey"))?,
                    _ => {
                        return Err(wrong(
                            "connection_string has neither AccountKey nor SharedAccessSignature",
                        ));
                    }
                }
            }
            _ => return Err(wrong("give sas_token or connection_string, and not both")),
        };
        if !signature.contains("sig=") {
            return Err(wrong("sas_token is no shared access signature"));
        }
        super::settings::check_origin(&origin).map_err(wrong)?;
        Ok(Self {
            arm,
            storage,
            origin,
            signature: Secret::new(signature),
        })
    }

    async fn call(&self, asked: &Ask<'_>, deadline: Instant) -> Result<Response, CloudError> {
        retry::until(
            &self.arm.context,
            asked.operation,
            Pace::CALL,
            deadline,
            || self.call_once(asked),
            CloudError::again,
        )
        .await
    }

    async fn call_once(&self, asked: &Ask<'_>) -> Result<Response, CloudError> {
        let operation = asked.operation.to_owned();
        let url = format!(
            "{}/{}?{}&{}",
            self.origin,
            asked.share,
            asked.query,
            self.signature.expose()
        );
        let mut request = http::Request::builder()
            .method(asked.method.clone())
            .uri(url)
            .header("x-ms-version", VERSION)
            .header(http::header::CONTENT_LENGTH, 0)
            // The signature stands in the address.
            .extension(CredentialTraffic);
        for (name, value) in &asked.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Bytes::new())
            .map_err(|_| CloudError::Unreadable {
                operation: operation.clone(),
                why: "the request cannot be written".to_owned(),
            })?;
        self.arm.context.counts().called(&operation);
        let answer = self.arm.door.send(request).await;
        tracing::debug!(operation, status = ?answer.as_ref().map(|a| a.status().as_u16()), "cloud call");
        let answer = answer.map_err(|source| CloudError::NoAnswer {
            operation: operation.clone(),
            source,
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok());
        let cloud_code = header("x-ms-error-code").map(str::to_owned);
        let http_status = answer.status().as_u16();
        Err(CloudError::Refused(Box::new(Refusal {
            code: error::code(cloud_code.as_deref(), http_status),
            message: format!("HTTP {http_status} of {}", self.storage.account),
            request_id: header("x-ms-request-id").map(str::to_owned),
            retry_after: header("retry-after").and_then(|v| retry_after(v, &self.arm.context)),
            operation,
            http_status,
            cloud_code,
            body: Value::Null,
        })))
    }
}

#[async_trait]
impl Shares for BySignature<'_> {
    async fn get(&self, name: &str, deadline: Instant) -> Result<Option<FileShare>, CloudError> {
        let asked = Ask::new(
            Method::GET,
            name,
            "restype=share",
            "files:GetShareProperties",
        );
        match self.call(&asked, deadline).await {
            Ok(answer) => Ok(Some(FileShare::of(name, metadata(&answer)))),
            Err(error) if error.cloud_code() == Some("ShareNotFound") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, deadline: Instant) -> Result<Vec<FileShare>, CloudError> {
        const OPERATION: &str = "files:ListShares";
        let mut shares = Vec::new();
        let mut marker = String::new();
        loop {
            let from: String = url::form_urlencoded::byte_serialize(marker.as_bytes()).collect();
            let query = format!("comp=list&prefix=cs-&include=metadata&marker={from}");
            let answer = self
                .call(&Ask::new(Method::GET, "", &query, OPERATION), deadline)
                .await?;
            let unreadable = |why: String| CloudError::Unreadable {
                operation: OPERATION.to_owned(),
                why,
            };
            let text = String::from_utf8_lossy(answer.body());
            let page = roxmltree::Document::parse(&text).map_err(|e| unreadable(e.to_string()))?;
            let text_of = |node: roxmltree::Node<'_, '_>, name: &str| {
                let found = node.children().find(|child| child.has_tag_name(name));
                found
                    .and_then(|child| child.text())
                    .unwrap_or_default()
                    .to_owned()
            };
            for share in page.descendants().filter(|node| node.has_tag_name("Share")) {
                let marks = share
                    .children()
                    .find(|child| child.has_tag_name("Metadata"));
                let marks = marks
                    .into_iter()
                    .flat_map(|marks| marks.children().filter(roxmltree::Node::is_element));
                let marks = marks.map(|mark| {
                    (
                        mark.tag_name().name().to_owned(),
                        mark.text().unwrap_or_default().to_owned(),
                    )
                });
                shares.push(FileShare::of(&text_of(share, "Name"), marks.collect()));
            }
            let next = text_of(page.root_element(), "NextMarker");
            if next.is_empty() || next == marker {
                return Ok(shares);
            }
            marker = next;
        }
    }

    async fn create(&self, name: &str, marks: &Marks, deadline: Instant) -> Result<(), CloudError> {
        let mut asked = Ask::new(Method::PUT, name, "restype=share", "files:CreateShare");
        asked.headers = headers(marks);
        asked.headers.push((
            "x-ms-share-quota".to_owned(),
            self.storage.quota_gib().to_string(),
        ));
        if let Some(tier) = &self.storage.tier {
            asked
                .headers
                .push(("x-ms-access-tier".to_owned(), tier.clone()));
        }
        match self.call(&asked, deadline).await {
            Err(error) if error.cloud_code() == Some("ShareAlreadyExists") => Ok(()),
            other => other.map(drop),
        }
    }

    async fn mark(&self, name: &str, marks: &Marks, deadline: Instant) -> Result<(), CloudError> {
        let mut asked = Ask::new(
            Method::PUT,
            name,
            "restype=share&comp=metadata",
            "files:SetShareMetadata",
        );
        asked.headers = headers(marks);
        self.call(&asked, deadline).await.map(drop)
    }

    async fn delete(&self, name: &str, deadline: Instant) -> Result<(), CloudError> {
        let asked = Ask::new(Method::DELETE, name, "restype=share", "files:DeleteShare");
        match self.call(&asked, deadline).await {
            Err(error) if error.code() != Code::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn check(&self, deadline: Instant) -> Result<(), CloudError> {
        self.list(deadline).await.map(drop)
    }
}

/// One call, without the signature.
struct Ask<'a> {
    method: Method,
    share: &'a str,
    query: &'a str,
    headers: Vec<(String, String)>,
    operation: &'a str,
}

impl<'a> Ask<'a> {
    fn new(method: Method, share: &'a str, query: &'a str, operation: &'a str) -> Self {
        Self {
            method,
            share,
            query,
            headers: Vec::new(),
            operation,
        }
    }
}

fn headers(marks: &Marks) -> Vec<(String, String)> {
    let pairs = marks
        .iter()
        .map(|(name, value)| (format!("{META}{name}"), value.clone()));
    pairs.collect()
}

fn metadata(answer: &Response) -> BTreeMap<String, String> {
    let headers = answer.headers().iter();
    headers
        .filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(META)?;
            Some((name.to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect()
}

/// `Name=value;…`; a value may hold "=".
fn parts(connection_string: &str) -> BTreeMap<&str, &str> {
    connection_string
        .split(';')
        .filter_map(|part| part.split_once('='))
        .collect()
}

/// A signature of the account for an hour, made with its key ("Create an account SAS"): files, shares alone.
fn sign(account: &str, key: &str, arm: &ResourceManager) -> Option<String> {
    const LASTS: Duration = Duration::from_hours(1);
    let key = BASE64.decode(key.as_bytes()).ok()?;
    let until = crate::cloud::time::rfc3339(arm.context.now() + LASTS)?;
    let (permissions, services, types) = ("rwdlc", "f", "sc");
    let text = format!(
        "{account}\n{permissions}\n{services}\n{types}\n\n{until}\n\nhttps,http\n{VERSION}\n\n"
    );
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let signature = BASE64.encode(ring::hmac::sign(&key, text.as_bytes()).as_ref());
    let coded: String = url::form_urlencoded::byte_serialize(signature.as_bytes()).collect();
    let until: String = url::form_urlencoded::byte_serialize(until.as_bytes()).collect();
    Some(format!(
        "sv={VERSION}&ss={services}&srt={types}&sp={permissions}&se={until}&spr=https,http&sig={coded}"
    ))
}
