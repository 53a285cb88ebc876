//! Checks SigV4 by signing the request again with the official crate and comparing. Errors are AWS's own codes; each
//! protocol spells some of them differently, which `api_error` and `sts` do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::clock;
use crate::identity::{Key, Keys};

/// IAM user guide, "Create a signed AWS API request": AWS rejects a request whose time is more than five minutes off.
const SKEW_MS: u64 = 5 * 60 * 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoSignature,
    Incomplete(String),
    UnknownKey,
    WrongSignature,
    Scope(String),
    Clock(String),
    ExpiredToken,
}

/// Where and when a request must be signed for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub region: &'a str,
    pub service: &'a str,
    pub now_ms: u64,
}

/// The parts of `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
struct Authorization<'a> {
    access_key_id: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

/// The key that signed this request.
pub fn check(
    parts: &Parts,
    body: &[u8],
    keys: &Keys,
    expected: Expected<'_>,
) -> Result<Key, Refusal> {
    let authorization =
        parse(header(&parts.headers, "authorization").ok_or(Refusal::NoSignature)?)?;
    let date = header(&parts.headers, "x-amz-date").ok_or_else(|| {
        Refusal::Incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
                .to_owned(),
        )
    })?;
    let signed_ms = clock::parse_basic(date).ok_or_else(|| {
        Refusal::Incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{date}'."
        ))
    })?;
    if authorization.region != expected.region {
        return Err(Refusal::Scope(
            "Credential should be scoped to a valid region. ".to_owned(),
        ));
    }
    if authorization.service != expected.service {
        return Err(Refusal::Scope(format!(
            "Credential should be scoped to correct service: '{}'. ",
            expected.service
        )));
    }
    let key = keys
        .find(authorization.access_key_id)
        .ok_or(Refusal::UnknownKey)?;
    if key.session_token.as_deref() != header(&parts.headers, "x-amz-security-token") {
        return Err(Refusal::UnknownKey);
    }
    if sign_again(parts, body, &authorization, key, signed_ms).as_deref()
        != Some(authorization.signature)
    {
        return Err(Refusal::WrongSignature);
    }
    check_clock(date, signed_ms, expected.now_ms)?;
    if key
        .expires_ms
        .is_some_and(|expires_ms| expires_ms <= expected.now_ms)
    {
        return Err(Refusal::ExpiredToken);
    }
    Ok(key.clone())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn parse(value: &str) -> Result<Authorization<'_>, Refusal> {
    let missing = |what: &str| {
        Refusal::Incomplete(format!("Authorization header requires '{what}' parameter."))
    };
    let rest = value
        .strip_prefix("AWS4-HMAC-SHA256")
        .ok_or_else(|| missing("Credential"))?;
    let field = |name: &'static str| {
        rest.split(',')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
            .ok_or_else(|| missing(name))
    };
    let credential: Vec<_> = field("Credential")?.split('/').collect();
    let [access_key_id, _date, region, service, "aws4_request"] = credential[..] else {
        return Err(Refusal::Incomplete(
            "Credential must have exactly 5 slash-delimited elements.".to_owned(),
        ));
    };
    let signed_headers = field("SignedHeaders")?.split(';').collect();
    Ok(Authorization {
        access_key_id,
        region,
        service,
        signed_headers,
        signature: field("Signature")?,
    })
}

fn sign_again(
    parts: &Parts,
    body: &[u8],
    authorization: &Authorization<'_>,
    key: &Key,
    signed_ms: u64,
) -> Option<String> {
    // The crate adds these two itself, from the time and from the identity.
    let own = ["x-amz-date", "x-amz-security-token"];
    let headers: Vec<_> = authorization
        .signed_headers
        .iter()
        .filter(|name| !own.contains(name))
        .map(|name| header(&parts.headers, name).map(|value| (*name, value)))
        .collect::<Option<_>>()?;
    let token_is_signed = authorization
        .signed_headers
        .contains(&"x-amz-security-token");
    let token = key.session_token.clone().filter(|_| token_is_signed);
    let identity: Identity =
        Credentials::new(&key.access_key_id, &key.secret, token, None, "emulator").into();
    let mut settings = SigningSettings::default();
    settings.excluded_headers = None;
    let params: SigningParams<'_> = v4::SigningParams::builder()
        .identity(&identity)
        .region(authorization.region)
        .name(authorization.service)
        .time(time(signed_ms))
        .settings(settings)
        .build()
        .ok()?
        .into();
    let uri = format!("http://{}{}", header(&parts.headers, "host")?, parts.uri);
    let request = SignableRequest::new(
        parts.method.as_str(),
        uri,
        headers.into_iter(),
        SignableBody::Bytes(body),
    )
    .ok()?;
    Some(sign(request, &params).ok()?.into_parts().1)
}

fn time(at_ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at_ms)
}

fn basic(at_ms: u64) -> String {
    clock::rfc3339(at_ms).replace(['-', ':'], "")
}

impl Refusal {
    /// What a client reads whose clock is a minute slower than is tolerated.
    pub fn of_a_slow_clock(now_ms: u64) -> Self {
        Self::expired_signature(&basic(now_ms - SKEW_MS - 60_000), now_ms)
    }

    fn expired_signature(date: &str, now_ms: u64) -> Self {
        let (bound, now) = (basic(now_ms - SKEW_MS), basic(now_ms));
        Self::Clock(format!(
            "Signature expired: {date} is now earlier than {bound} ({now} - 5 min.)"
        ))
    }
}

fn check_clock(date: &str, signed_ms: u64, now_ms: u64) -> Result<(), Refusal> {
    let now = basic(now_ms);
    if signed_ms + SKEW_MS < now_ms {
        return Err(Refusal::expired_signature(date, now_ms));
    }
    if signed_ms > now_ms + SKEW_MS {
        let bound = basic(now_ms + SKEW_MS);
        return Err(Refusal::Clock(format!(
            "Signature not yet current: {date} is still later than {bound} ({now} + 5 min.)"
        )));
    }
    Ok(())
}
