//! Where AWS credentials come from: the official chain, or what the request names.
//!
//! The chain (environment, shared profile, SSO, web identity, container role, IMDSv2) is aws-config's own and reads the
//! environment and files by itself; only its HTTP goes through our door.

use super::{error, query};
use crate::cloud::CloudError;
use crate::error::Failure;
use crate::net::{CredentialTraffic, Door, DoorError, Response};
use crate::wire::{Code, Secret};
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_types::region::Region;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

/// Credentials are renewed this long before they end; the SDKs' own buffer is 5 minutes for IMDS and 10 s in general.
const RENEW_BEFORE: Duration = Duration::from_mins(1);
/// The name under which an assumed role's calls stand in CloudTrail.
const ROLE_SESSION_NAME: &str = "cloudspawner";

/// What a request may say about credentials (protocol, config and credentials).
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Credentials {
    /// Keys as they are.
    Static {
        /// The key's id.
        access_key_id: String,
        /// The key.
        secret_access_key: Secret<String>,
        /// For temporary keys.
        session_token: Option<Secret<String>>,
        /// A role to assume with them.
        assume_role_arn: Option<String>,
    },
    /// A profile of the shared files.
    Profile {
        /// The profile's name.
        name: String,
        /// A role to assume with it.
        assume_role_arn: Option<String>,
    },
    /// The role of the ECS task that the hub runs in.
    EcsRole {
        /// A role to assume with it.
        assume_role_arn: Option<String>,
    },
    /// The role of the EC2 instance that the hub runs on.
    Ec2InstanceProfile {
        /// A role to assume with it.
        assume_role_arn: Option<String>,
    },
    /// The official chain; also what null means.
    Default {
        /// A role to assume with what the chain finds.
        assume_role_arn: Option<String>,
    },
}

impl Credentials {
    /// Reads the request's `credentials`; null is the official chain.
    ///
    /// # Errors
    /// `invalid_config` with the field's name; no value is repeated.
    pub fn read(value: &Secret<Value>) -> Result<Self, Failure> {
        if value.expose().is_null() {
            return Ok(Self::Default {
                assume_role_arn: None,
            });
        }
        let kind = value.expose().get("kind").and_then(Value::as_str);
        const KINDS: [&str; 5] = [
            "static",
            "profile",
            "ecs_role",
            "ec2_instance_profile",
            "default",
        ];
        if !kind.is_some_and(|k| KINDS.contains(&k)) {
            return Err(Failure::invalid_config(
                "credentials.kind",
                format!("use one of {}", KINDS.join(", ")),
            ));
        }
        // serde's message would repeat the value of a field with a wrong type, so only the field that lacks is told.
        Self::deserialize(value.expose()).map_err(|_| {
            Failure::invalid_config(
                "credentials",
                match kind {
                    Some("static") => {
                        "static needs the strings access_key_id and secret_access_key"
                    }
                    Some("profile") => "profile needs the string name",
                    _ => "assume_role_arn must be a string",
                },
            )
        })
    }

    fn role(&self) -> Option<&str> {
        match self {
            Self::Static {
                assume_role_arn, ..
            }
            | Self::Profile {
                assume_role_arn, ..
            }
            | Self::EcsRole { assume_role_arn }
            | Self::Ec2InstanceProfile { assume_role_arn }
            | Self::Default { assume_role_arn } => assume_role_arn.as_deref(),
        }
    }

    async fn provider(&self, sdk: &SdkConfig, http: CredentialHttp) -> SharedCredentialsProvider {
        let config = ProviderConfig::without_region()
            .with_region(sdk.region().cloned())
            .with_http_client(http);
        let base = match self {
            Self::Static {
                access_key_id,
                secret_access_key,
                session_token,
                ..
            } => SharedCredentialsProvider::new(aws_credential_types::Credentials::new(
                access_key_id,
                secret_access_key.expose(),
                session_token.as_ref().map(|t| t.expose().clone()),
                None,
                "request",
            )),
            Self::Profile { name, .. } => SharedCredentialsProvider::new(
                ProfileFileCredentialsProvider::builder()
                    .configure(&config)
                    .profile_name(name)
                    .build(),
            ),
            Self::EcsRole { .. } => SharedCredentialsProvider::new(
                EcsCredentialsProvider::builder().configure(&config).build(),
            ),
            Self::Ec2InstanceProfile { .. } => SharedCredentialsProvider::new(
                ImdsCredentialsProvider::builder()
                    .configure(&config)
                    .build(),
            ),
            Self::Default { .. } => sdk.credentials_provider().unwrap_or_else(|| {
                SharedCredentialsProvider::new(
                    EcsCredentialsProvider::builder().configure(&config).build(),
                )
            }),
        };
        match self.role() {
            None => base,
            Some(role) => SharedCredentialsProvider::new(
                AssumeRoleProvider::builder(role)
                    .session_name(ROLE_SESSION_NAME)
                    .configure(sdk)
                    .build_from_provider(base)
                    .await,
            ),
        }
    }
}

/// The SDK's view of profile, region and endpoints, with all HTTP through the door.
pub(super) async fn sdk_config(http: CredentialHttp, region: Option<&str>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    loader.load().await
}

/// Credentials that are fetched once and shared until shortly before they end.
pub(super) struct Wallet {
    held: Mutex<Held>,
    /// What a new provider is made of; none in replay.
    source: Option<(Credentials, Option<Region>)>,
    http: CredentialHttp,
}

struct Held {
    provider: SharedCredentialsProvider,
    current: Option<aws_credential_types::Credentials>,
}

impl Wallet {
    pub(super) async fn open(
        credentials: &Credentials,
        sdk: &SdkConfig,
        http: CredentialHttp,
    ) -> Self {
        let (provider, source) = if http.door.is_replay() {
            // Credential traffic is never on a tape, and a tape checks no signature.
            let replay =
                aws_credential_types::Credentials::new("replay", "replay", None, None, "replay");
            (SharedCredentialsProvider::new(replay), None)
        } else {
            let provider = credentials.provider(sdk, http.clone()).await;
            let region = sdk.region().cloned();
            (provider, Some((credentials.clone(), region)))
        };
        let current = None;
        Self {
            held: Mutex::new(Held { provider, current }),
            source,
            http,
        }
    }

    /// Good credentials; callers that arrive together share one fetch.
    pub(super) async fn credentials(
        &self,
        now: SystemTime,
        operation: &str,
    ) -> Result<aws_credential_types::Credentials, CloudError> {
        let mut held = self.held.lock().await;
        if let Some(good) = held
            .current
            .as_ref()
            .filter(|c| c.expiry().is_none_or(|end| now + RENEW_BEFORE < end))
        {
            return Ok(good.clone());
        }
        self.http.may_pass.store(false, Relaxed);
        let fresh =
            held.provider
                .provide_credentials()
                .await
                .map_err(|error| CloudError::Credentials {
                    operation: operation.to_owned(),
                    transient: match error {
                        CredentialsError::ProviderTimedOut(_) => true,
                        CredentialsError::ProviderError(_) => self.http.may_pass.load(Relaxed),
                        _ => false,
                    },
                    why: in_full(&error),
                })?;
        held.current = Some(fresh.clone());
        Ok(fresh)
    }

    /// Forgets credentials that AWS refused, so that the next call fetches new ones. The provider is made anew, since it reads
    /// the shared files only once, and keys in them are rotated.
    pub(super) async fn forget(&self) {
        let mut held = self.held.lock().await;
        held.current = None;
        if let Some((credentials, region)) = &self.source {
            let region = region.as_ref().map(AsRef::as_ref);
            let sdk = sdk_config(self.http.clone(), region).await;
            held.provider = credentials.provider(&sdk, self.http.clone()).await;
        }
    }
}

fn in_full(error: &CredentialsError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// Gives aws-config our door as its HTTP client.
#[derive(Clone)]
pub(super) struct CredentialHttp {
    door: Arc<dyn Door>,
    /// Whether what the last call came to may be another thing soon. aws-config's own errors do not tell a throttle of STS from
    /// a role that may not be assumed.
    may_pass: Arc<AtomicBool>,
}

impl CredentialHttp {
    pub(super) fn new(door: Arc<dyn Door>) -> Self {
        Self {
            door,
            may_pass: Arc::default(),
        }
    }
}

impl fmt::Debug for CredentialHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialHttp")
    }
}

impl HttpClient for CredentialHttp {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for CredentialHttp {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { door, may_pass } = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|e| ConnectorError::user(e.into()))?;
            let mut request =
                request.map(|body| Bytes::copy_from_slice(body.bytes().unwrap_or_default()));
            request.extensions_mut().insert(CredentialTraffic);
            let answer = door.send(request).await;
            may_pass.store(answer.as_ref().map_or(true, is_for_later), Relaxed);
            match answer {
                Ok(answer) => HttpResponse::try_from(answer.map(SdkBody::from))
                    .map_err(|e| ConnectorError::other(e.into(), None)),
                Err(error @ DoorError::Tape(_)) => Err(ConnectorError::user(error.into())),
                Err(error) => Err(ConnectorError::io(error.into())),
            }
        })
    }
}

/// Whether an answer says: not now. STS throttles with HTTP 400 and the code `Throttling` (API reference, Common Errors).
fn is_for_later(answer: &Response) -> bool {
    let cloud_code = query::anywhere(answer.body(), "Code");
    let code = error::code(cloud_code.as_deref(), "", answer.status().as_u16());
    matches!(code, Code::Throttled | Code::Unavailable)
}
