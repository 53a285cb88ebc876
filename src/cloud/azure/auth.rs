//! Where Azure tokens come from: the official credentials, by config, through our door.

use super::on_behalf::{UserAssertion, UserToken};
use crate::cloud::CloudError;
use crate::error::Failure;
use crate::net::{CredentialTraffic, Door, DoorError, Response};
use crate::wire::Secret;
use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{
    AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RetryOptions, StatusCode, Transport,
};
use azure_identity::{
    AzureCliCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, DeveloperToolsCredential, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use tokio::sync::RwLock;

/// Where the clouds' two ends are.
#[derive(Debug, Clone)]
pub struct Clouds {
    /// Resource Manager, without a slash at its end.
    pub management_endpoint: String,
    /// Entra ID, without a slash at its end.
    pub authority_host: String,
}

/// The public cloud ("Azure Resource Manager endpoints" and "National clouds" in Microsoft's documentation).
const PUBLIC_MANAGEMENT: &str = "https://management.azure.com";
const PUBLIC_AUTHORITY: &str = "https://login.microsoftonline.com";

impl Clouds {
    /// The public cloud, unless the config names another.
    ///
    /// # Errors
    /// `invalid_config` for what is no https URL; plain http is taken on loopback only.
    pub fn read(management: Option<&str>, authority: Option<&str>) -> Result<Self, Failure> {
        Ok(Self {
            management_endpoint: endpoint(
                "management_endpoint",
                management.unwrap_or(PUBLIC_MANAGEMENT),
            )?,
            authority_host: endpoint("authority_host", authority.unwrap_or(PUBLIC_AUTHORITY))?,
        })
    }

    /// Whom Resource Manager's tokens are for. A local stand-in is asked with the public cloud's audience.
    fn audience(&self) -> &str {
        if self.management_endpoint.starts_with("http://") {
            PUBLIC_MANAGEMENT
        } else {
            &self.management_endpoint
        }
    }
}

/// What a request may say about credentials (protocol, config and credentials).
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AzureCredentials {
    /// An app registration with a secret.
    ClientSecret {
        /// The tenant.
        tenant_id: String,
        /// The app.
        client_id: String,
        /// Its secret.
        client_secret: Secret<String>,
    },
    /// A federated token in a file that the environment names.
    WorkloadIdentity,
    /// The machine's own identity, or one that is assigned to it.
    ManagedIdentity {
        /// The assigned identity's client id; none for the machine's own.
        client_id: Option<String>,
    },
    /// Whoever is logged in by `az login`.
    AzureCli,
    /// `az` or `azd`, whichever is logged in; also what null means.
    Developer,
    /// A person, by what their log-in left to the hub.
    UserAssertion {
        /// The person.
        #[serde(flatten)]
        user: UserAssertion,
        /// The hub's own credentials, for everything but a creation; the person's where left out.
        service: Option<Box<AzureCredentials>>,
    },
}

impl AzureCredentials {
    /// Reads the request's `credentials`; null is the developer chain.
    ///
    /// # Errors
    /// `invalid_config` with the field's name; no value is repeated.
    pub fn read(value: &Secret<Value>) -> Result<Self, Failure> {
        const KINDS: [&str; 6] = [
            "client_secret",
            "workload_identity",
            "managed_identity",
            "azure_cli",
            "developer",
            "user_assertion",
        ];
        if value.expose().is_null() {
            return Ok(Self::Developer);
        }
        let kind = value.expose().get("kind").and_then(Value::as_str);
        if !kind.is_some_and(|k| KINDS.contains(&k)) {
            let message = format!("use one of {}", KINDS.join(", "));
            return Err(Failure::invalid_config("credentials.kind", message));
        }
        let credentials = Self::deserialize(value.expose()).map_err(|_| {
            let needs = match kind {
                Some("user_assertion") => {
                    "user_assertion needs the strings tenant_id, client_id, client_secret and assertion or refresh_token; its service is another of these"
                }
                Some("client_secret") => {
                    "client_secret needs the strings tenant_id, client_id and client_secret"
                }
                _ => "client_id must be a string",
            };
            Failure::invalid_config("credentials", needs)
        })?;
        if let Self::UserAssertion { user, .. } = &credentials {
            user.check()?;
        }
        Ok(credentials)
    }

    /// The hub's own part of a request's `credentials`: what stands beside a person's, else all of it.
    #[must_use]
    pub fn hubs_own(credentials: &Value) -> &Value {
        let is_persons = credentials["kind"] == "user_assertion";
        let beside = credentials
            .get("service")
            .filter(|own| is_persons && !own.is_null());
        beside.unwrap_or(credentials)
    }

    /// Whose token a creation takes, and whose all else takes.
    #[must_use]
    pub fn creator_and_service(self) -> (Option<Self>, Self) {
        match self {
            Self::UserAssertion {
                user,
                service: Some(service),
            } => (
                Some(Self::UserAssertion {
                    user,
                    service: None,
                }),
                *service,
            ),
            other => (None, other),
        }
    }
}

/// Tokens for Resource Manager; each source keeps its own until shortly before it ends.
pub struct Tokens(Source);

enum Source {
    /// A tape needs none.
    Replay,
    /// An official credential.
    Official(Box<Official>),
    /// A person's.
    User(Box<UserToken>),
}

struct Official {
    /// It keeps its token and cannot be told to forget it, so it is made anew.
    credential: RwLock<Arc<dyn TokenCredential>>,
    /// What it is made of.
    credentials: AzureCredentials,
    clouds: Clouds,
    door: Arc<dyn Door>,
    scope: String,
}

impl Tokens {
    /// Makes the credential; nobody is asked yet. In replay no token is needed.
    ///
    /// # Errors
    /// `invalid_config` where the credential cannot be made from what is given.
    pub fn open(
        credentials: &AzureCredentials,
        clouds: &Clouds,
        door: &Arc<dyn Door>,
    ) -> Result<Self, Failure> {
        Self::open_for(credentials, clouds, door, clouds.audience())
    }

    /// The same for another audience than Resource Manager.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_for(
        credentials: &AzureCredentials,
        clouds: &Clouds,
        door: &Arc<dyn Door>,
        audience: &str,
    ) -> Result<Self, Failure> {
        if door.is_replay() {
            return Ok(Self(Source::Replay));
        }
        if let AzureCredentials::UserAssertion { user, .. } = credentials {
            let authority = &clouds.authority_host;
            let token = UserToken::new(user.clone(), authority, audience, door.clone());
            return Ok(Self(Source::User(Box::new(token))));
        }
        let made = credential(credentials, clouds, door);
        let made = made.map_err(|e| Failure::invalid_config("credentials", e))?;
        Ok(Self(Source::Official(Box::new(Official {
            credential: RwLock::new(made),
            credentials: credentials.clone(),
            scope: format!("{audience}/.default"),
            clouds: clouds.clone(),
            door: door.clone(),
        }))))
    }

    /// The next call gets a new token: Resource Manager has refused the present one.
    pub async fn forget(&self) {
        match &self.0 {
            Source::Replay => {}
            Source::User(user) => user.forget().await,
            Source::Official(official) => {
                let Official {
                    credentials,
                    clouds,
                    door,
                    ..
                } = official.as_ref();
                if let Ok(made) = credential(credentials, clouds, door) {
                    *official.credential.write().await = made;
                }
            }
        }
    }

    /// Who the token is for, by its own claims ("Access token claims reference"): object id, app and tenant; empty where it tells
    /// nothing. It is not checked: whoever takes the token does that.
    ///
    /// # Errors
    /// As `bearer`.
    pub async fn whose(&self, operation: &str) -> Result<String, CloudError> {
        let token = self.bearer(operation).await?;
        let payload = token.expose().split('.').nth(1).unwrap_or_default();
        let claims = data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes());
        let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
        let told = [("object id", "oid"), ("app", "appid"), ("tenant", "tid")];
        let told = told
            .iter()
            .filter_map(|(word, claim)| Some(format!("{word} {}", claims[*claim].as_str()?)));
        Ok(told.collect::<Vec<_>>().join(", "))
    }

    /// A token to put after "Bearer ".
    ///
    /// # Errors
    /// `Credentials` or `SignIn`: there is none; nothing was sent to Resource Manager.
    pub async fn bearer(&self, operation: &str) -> Result<Secret<String>, CloudError> {
        let official = match &self.0 {
            Source::Replay => return Ok(Secret::new("replay".to_owned())),
            Source::User(user) => return user.bearer(operation).await,
            Source::Official(official) => official,
        };
        let credential = official.credential.read().await.clone();
        let token = credential
            .get_token(&[&official.scope], None)
            .await
            .map_err(|error| CloudError::Credentials {
                operation: operation.to_owned(),
                transient: passes(&error),
                why: first_line(&error.to_string()),
            })?;
        Ok(Secret::new(token.token.secret().to_owned()))
    }
}

fn credential(
    credentials: &AzureCredentials,
    clouds: &Clouds,
    door: &Arc<dyn Door>,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let client_options = options(clouds, door);
    Ok(match credentials {
        AzureCredentials::ClientSecret {
            tenant_id,
            client_id,
            client_secret,
        } => ClientSecretCredential::new(
            tenant_id,
            client_id.clone(),
            azure_core::credentials::Secret::new(client_secret.expose().clone()),
            Some(ClientSecretCredentialOptions { client_options }),
        )?,
        AzureCredentials::WorkloadIdentity => {
            WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                ..WorkloadIdentityCredentialOptions::default()
            }))?
        }
        AzureCredentials::ManagedIdentity { client_id } => {
            ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                client_options,
            }))?
        }
        AzureCredentials::AzureCli => AzureCliCredential::new(None)?,
        // A person's token is no official credential; `Tokens::open` has dealt with it.
        AzureCredentials::Developer | AzureCredentials::UserAssertion { .. } => {
            DeveloperToolsCredential::new(None)?
        }
    })
}

/// Whether an error is of the way to a token rather than of the token: azure_identity wraps what the transport said.
fn passes(error: &azure_core::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        let error_of_azure = error.downcast_ref::<azure_core::Error>();
        if error_of_azure.is_some_and(|e| matches!(e.kind(), ErrorKind::Io | ErrorKind::Connection))
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// Why an answer says nothing of the credentials themselves: the service is busy or broken, or something in between spoke.
fn says_nothing(answer: &Response) -> Option<String> {
    let status = answer.status();
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    if status.as_u16() == 429 || status.is_server_error() {
        let said = text("error_description").map(first_line);
        return Some(said.unwrap_or_else(|| format!("HTTP {}", status.as_u16())));
    }
    let lacks_token = status.is_success() && text("access_token").is_none_or(str::is_empty);
    lacks_token.then(|| "the answer holds no token".to_owned())
}

/// All credential traffic through our door; it is not tried again below our own retries.
fn options(clouds: &Clouds, door: &Arc<dyn Door>) -> ClientOptions {
    // azure_identity takes https alone. A local stand-in is named to it as https, and reached as what it is.
    let plain = clouds
        .authority_host
        .strip_prefix("http://")
        .map(str::to_owned);
    let authority_host = match &plain {
        Some(host) => format!("https://{host}"),
        None => clouds.authority_host.clone(),
    };
    let mut custom = CustomConfiguration::default();
    custom.authority_host = authority_host;
    ClientOptions {
        transport: Some(Transport::new(Arc::new(DoorClient {
            door: door.clone(),
            plain,
        }))),
        cloud: Some(Arc::new(CloudConfiguration::Custom(custom))),
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    }
}

/// Gives azure_identity our door as its HTTP client.
struct DoorClient {
    door: Arc<dyn Door>,
    /// The host and port that are reached by plain http: a stand-in on loopback.
    plain: Option<String>,
}

impl fmt::Debug for DoorClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DoorClient")
    }
}

#[async_trait]
impl HttpClient for DoorClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let invalid = |why: String| azure_core::Error::with_message(ErrorKind::Other, why);
        let mut url = request.url().to_string();
        if let Some(host) = &self.plain
            && let Some(rest) = url.strip_prefix(&format!("https://{host}/"))
        {
            url = format!("http://{host}/{rest}");
        }
        let Body::Bytes(body) = request.body().clone() else {
            return Err(invalid("credential traffic is never a stream".to_owned()));
        };
        let mut ours = http::Request::builder()
            .method(request.method().as_ref())
            .uri(url);
        for (name, value) in request.headers().iter() {
            ours = ours.header(name.as_str(), value.as_str());
        }
        let ours = ours
            .extension(CredentialTraffic)
            .body(body)
            .map_err(|e| invalid(e.to_string()))?;
        let answer = self.door.send(ours).await.map_err(|error| {
            let kind = match error {
                DoorError::NotConnected { .. } => ErrorKind::Connection,
                _ => ErrorKind::Io,
            };
            azure_core::Error::with_message(kind, error.to_string())
        })?;
        if let Some(why) = says_nothing(&answer) {
            return Err(azure_core::Error::with_message(ErrorKind::Io, why));
        }
        let mut headers = Headers::new();
        for (name, value) in answer.headers() {
            if let Ok(value) = value.to_str() {
                headers.insert(
                    HeaderName::from(name.as_str().to_owned()),
                    HeaderValue::from(value.to_owned()),
                );
            }
        }
        let status = StatusCode::from(answer.status().as_u16());
        Ok(AsyncRawResponse::from_bytes(
            status,
            headers,
            answer.into_body(),
        ))
    }
}

/// Entra ID's errors go on with trace ids and a link; the first line says it.
pub(super) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn endpoint(field: &str, url: &str) -> Result<String, Failure> {
    let uri = url.parse::<http::Uri>().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let loopback = host
        .trim_matches(['[', ']'])
        .parse::<std::net::IpAddr>()
        .map_or(host == "localhost", |ip| ip.is_loopback());
    let good = match uri.as_ref().and_then(http::Uri::scheme_str) {
        Some("https") => !host.is_empty(),
        Some("http") => loopback,
        _ => false,
    };
    if good {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    Err(Failure::invalid_config(
        &format!("config.{field}"),
        "must be an https URL, such as \"https://management.azure.com\"; plain http is for loopback only",
    ))
}
