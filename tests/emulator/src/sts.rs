//! STS: the query protocol (form in, XML out) and the three actions that a credential chain needs.

use axum::http::StatusCode;

use crate::api_error::ApiError;
use crate::clock;
use crate::identity::Key;
use crate::policy::Ask;
use crate::world::Emulator;

/// API reference, AssumeRole, `DurationSeconds`: one hour unless said, 15 minutes to 12 hours.
const DEFAULT_LIFETIME_S: u64 = 3600;
const LIFETIMES_S: std::ops::RangeInclusive<u64> = 900..=43_200;

pub type Form = Vec<(String, String)>;

pub fn parse_form(body: &[u8]) -> Form {
    form_urlencoded::parse(body).into_owned().collect()
}

pub fn field<'a>(form: &'a Form, name: &str) -> &'a str {
    form.iter()
        .find(|(key, _)| key == name)
        .map_or("", |(_, value)| value)
}

/// Whether an action comes without a signature.
pub fn is_unsigned(action: &str) -> bool {
    action == "AssumeRoleWithWebIdentity"
}

/// The XML of the answer. `key` is who signed, which only an unsigned action lacks.
///
/// # Errors
/// What STS would refuse with, in ECS's spelling; `error_xml` respells it.
pub fn answer(
    emulator: &Emulator,
    key: Option<&Key>,
    action: &str,
    form: &Form,
    now_ms: u64,
) -> Result<String, ApiError> {
    let result = match (action, key) {
        ("GetCallerIdentity", Some(key)) => format!(
            "<Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account>",
            escape(&key.arn),
            escape(&key.user_id),
            escape(&emulator.account)
        ),
        ("AssumeRole", Some(key)) => {
            let ask = Ask {
                action: "sts:AssumeRole",
                resource: field(form, "RoleArn"),
                context: &[],
            };
            key.check(ask).map_err(ApiError::access_denied)?;
            assume(emulator, form, now_ms)?
        }
        ("AssumeRoleWithWebIdentity", _) => {
            if field(form, "WebIdentityToken").is_empty() {
                return Err(ApiError::new(
                    "InvalidIdentityToken",
                    "The web identity token is empty.",
                ));
            }
            let role = assume(emulator, form, now_ms)?;
            format!(
                "{role}<SubjectFromWebIdentityToken>emulator</SubjectFromWebIdentityToken><Provider>emulator</Provider>"
            )
        }
        _ => {
            return Err(ApiError::new(
                "InvalidAction",
                format!("Could not find operation {action} for version 2011-06-15"),
            ));
        }
    };
    Ok(format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{action}Response>",
        crate::identity::random_hex(32)
    ))
}

fn assume(emulator: &Emulator, form: &Form, now_ms: u64) -> Result<String, ApiError> {
    let arn = field(form, "RoleArn");
    let session = field(form, "RoleSessionName");
    let Some((_, role)) = arn.split_once(":role/").filter(|_| arn.starts_with("arn:")) else {
        return Err(ApiError::new(
            "ValidationError",
            format!("{arn} is invalid"),
        ));
    };
    if session.len() < 2 || session.len() > 64 {
        return Err(ApiError::new(
            "ValidationError",
            "roleSessionName must have length 2 to 64",
        ));
    }
    let asked_s = match field(form, "DurationSeconds") {
        "" => DEFAULT_LIFETIME_S,
        given => given
            .parse()
            .ok()
            .filter(|seconds| LIFETIMES_S.contains(seconds))
            .ok_or_else(|| {
                ApiError::new(
                    "ValidationError",
                    format!("durationSeconds {given} is not between 900 and 43200"),
                )
            })?,
    };
    let role = role.rsplit('/').next().unwrap_or(role);
    let mut world = emulator.world();
    let lifetime_ms = world
        .settings
        .credentials_lifetime_ms
        .unwrap_or(asked_s * 1000);
    let key = world.keys.assume(role, session, now_ms + lifetime_ms);
    Ok(format!(
        "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
         <Expiration>{}</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn>\
         </AssumedRoleUser>",
        key.access_key_id,
        key.secret,
        key.session_token.unwrap_or_default(),
        clock::rfc3339(now_ms + lifetime_ms),
        escape(&key.user_id),
        escape(&key.arn)
    ))
}

/// STS's own spelling of an error, and its HTTP status.
pub fn error_xml(error: &ApiError) -> (StatusCode, String) {
    let (status, code) = match error.code {
        "MissingAuthenticationTokenException" => {
            (StatusCode::FORBIDDEN, "MissingAuthenticationToken")
        }
        "IncompleteSignatureException" => (StatusCode::FORBIDDEN, "IncompleteSignature"),
        "UnrecognizedClientException" => (StatusCode::FORBIDDEN, "InvalidClientTokenId"),
        "InvalidSignatureException" => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        "ExpiredTokenException" => (StatusCode::FORBIDDEN, "ExpiredToken"),
        "AccessDeniedException" => (StatusCode::FORBIDDEN, "AccessDenied"),
        "ThrottlingException" => (StatusCode::BAD_REQUEST, "Throttling"),
        "ServerException" => (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure"),
        "ServiceUnavailableException" => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        other => (error.status, other),
    };
    let kind = if status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    let xml = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{kind}</Type><Code>{code}</Code>\
         <Message>{}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
        escape(&error.message),
        crate::identity::random_hex(32)
    );
    (status, xml)
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
