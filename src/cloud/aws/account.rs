//! One account in one region at one endpoint: who signs, and where to.

use super::credentials::{CredentialHttp, Credentials, Wallet, sdk_config};
use crate::cloud::CloudError;
use crate::context::Context;
use crate::error::Failure;
use crate::net::Door;
use aws_config::SdkConfig;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_types::service_config::ServiceConfigKey;
use std::sync::Arc;

/// Which account, region and endpoint are meant.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// Where the credentials come from.
    pub credentials: Credentials,
    /// The region; else the environment's or the profile's.
    pub region: Option<String>,
    /// The endpoint; else `AWS_ENDPOINT_URL_<service>`, `AWS_ENDPOINT_URL`, the profile's, or the region's own.
    pub endpoint_url: Option<String>,
}

/// A service as the SDKs and its endpoints spell it.
#[derive(Debug, Clone, Copy)]
pub struct ServiceId {
    /// The SDKs' own spelling, "ECS".
    pub sdk: &'static str,
    /// The first part of its hosts.
    pub host: &'static str,
    /// The setting that names another endpoint.
    pub endpoint_setting: &'static str,
}

/// Signs requests for one service of one account.
pub struct Account {
    /// The region that calls go to.
    pub region: String,
    /// The endpoint that calls go to.
    pub endpoint: String,
    wallet: Wallet,
}

impl Account {
    /// Finds out region, endpoint and credential source for a service.
    ///
    /// # Errors
    /// `invalid_config` where no region is to be found or the endpoint is no http(s) URL.
    pub async fn open(
        settings: &AccountSettings,
        service: ServiceId,
        door: Arc<dyn Door>,
    ) -> Result<Self, Failure> {
        let http = CredentialHttp::new(door);
        let sdk = sdk_config(http.clone(), settings.region.as_deref()).await;
        let region = sdk.region().map(ToString::to_string).ok_or_else(|| {
            Failure::invalid_config(
                "config.region",
                "no region is given, and none is in AWS_REGION or the profile; name one, such as \"eu-west-1\"",
            )
        })?;
        if !is_host_label(&region) {
            return Err(Failure::invalid_config(
                "config.region",
                format!("{region:?} is not a region's name, such as \"eu-west-1\""),
            ));
        }
        let endpoint = settings
            .endpoint_url
            .clone()
            .or_else(|| endpoint_from_environment(&sdk, service.sdk))
            .unwrap_or_else(|| own_endpoint(&sdk, service.host, &region));
        check_endpoint(&endpoint, service.endpoint_setting)?;
        let wallet = Wallet::open(&settings.credentials, &sdk, http).await;
        Ok(Self {
            region,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            wallet,
        })
    }

    /// Signs a request for `service` (its signing name, "ecs").
    ///
    /// # Errors
    /// `Credentials` where there are none.
    pub async fn sign(
        &self,
        request: &mut crate::net::Request,
        service: &str,
        operation: &str,
        context: &Context,
    ) -> Result<(), CloudError> {
        let cannot_sign = |why: String| CloudError::Credentials {
            operation: operation.to_owned(),
            why,
            transient: false,
        };
        let identity = self
            .wallet
            .credentials(context.now(), operation)
            .await?
            .into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(context.now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|e| cannot_sign(e.to_string()))?
            .into();
        let uri = request.uri().to_string();
        let headers = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(
            request.method().as_str(),
            uri,
            headers,
            SignableBody::Bytes(request.body()),
        )
        .map_err(|e| cannot_sign(e.to_string()))?;
        let (instructions, _) = sign(signable, &params)
            .map_err(|e| cannot_sign(e.to_string()))?
            .into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }

    /// Drops credentials that AWS refused.
    pub async fn forget_credentials(&self) {
        self.wallet.forget().await;
    }
}

/// As every SDK does: the service's own setting, then the general one, in the environment before the profile.
fn endpoint_from_environment(sdk: &SdkConfig, service_id: &str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service_id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    sdk.service_config()
        .and_then(|config| config.load_config(key))
        .or_else(|| sdk.endpoint_url().map(str::to_owned))
}

/// The region's own endpoint, by partition ("AWS service endpoints" in the AWS General Reference; botocore's partitions).
fn own_endpoint(sdk: &SdkConfig, service: &str, region: &str) -> String {
    let fips = if sdk.use_fips() == Some(true) {
        "-fips"
    } else {
        ""
    };
    let dual_stack = sdk.use_dual_stack() == Some(true);
    let suffix = match region.split('-').next() {
        Some("cn") if dual_stack => "api.amazonwebservices.com.cn",
        Some("cn") => "amazonaws.com.cn",
        Some("eusc") => "amazonaws.eu",
        _ if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        _ if region.starts_with("us-iso-") => "c2s.ic.gov",
        _ if dual_stack => "api.aws",
        _ => "amazonaws.com",
    };
    format!("https://{service}{fips}.{region}.{suffix}")
}

fn is_host_label(region: &str) -> bool {
    !region.is_empty()
        && region.len() <= 63
        && region
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn check_endpoint(endpoint: &str, setting: &str) -> Result<(), Failure> {
    let uri = endpoint.parse::<http::Uri>().ok();
    let good = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
            && uri.query().is_none()
    });
    if good {
        return Ok(());
    }
    Err(Failure::invalid_config(
        setting,
        "give scheme and host, such as \"https://ecs.eu-west-1.amazonaws.com\", without user, password or query",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_needs_a_scheme_and_a_host_and_no_password() {
        for good in [
            "https://ecs.eu-west-1.amazonaws.com",
            "http://127.0.0.1:5000/",
        ] {
            assert!(
                check_endpoint(good, "config.endpoint_url").is_ok(),
                "{good}"
            );
        }
        for bad in [
            "ecs.eu-west-1.amazonaws.com",
            "ftp://x",
            "https://u:p@x",
            "",
            "https://x?a=b",
        ] {
            assert!(check_endpoint(bad, "config.endpoint_url").is_err(), "{bad}");
        }
    }

    #[test]
    fn each_partition_has_its_own_suffix() {
        let sdk = SdkConfig::builder().build();
        let of = |region| own_endpoint(&sdk, "ecs", region);
        assert_eq!(of("eu-west-1"), "https://ecs.eu-west-1.amazonaws.com");
        assert_eq!(of("cn-north-1"), "https://ecs.cn-north-1.amazonaws.com.cn");
        assert_eq!(
            of("us-gov-west-1"),
            "https://ecs.us-gov-west-1.amazonaws.com"
        );
    }
}
