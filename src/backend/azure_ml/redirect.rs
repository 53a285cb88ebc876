//! The way to the notebook: one listener for all users, which answers below each server's prefix with a redirect to that
//! instance's own JupyterLab.
//!
//! It runs in serve mode only, on one address that stays the same after a restart. Its routes come from the servers'
//! states, so they are back with the first poll.

use crate::error::Failure;
use crate::lock::lock;
use crate::wire::Code;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The old child of a restarted hub lets go of the address as soon as it learns that its hub has gone; this is how often to look.
const BIND_PAUSE: Duration = Duration::from_millis(200);

/// Every route of this process, and the addresses that it listens on.
#[derive(Clone, Default)]
pub struct Redirects {
    routes: Arc<Mutex<BTreeMap<String, String>>>,
    bound: Arc<tokio::sync::Mutex<Vec<SocketAddr>>>,
}

impl Redirects {
    /// Listens on `address`, once, until the hub has gone: what this process has still to stop may take minutes, and the next one
    /// needs the address at once. Waits while another process still holds it. Drop the wait at the caller's deadline.
    ///
    /// # Errors
    /// `unavailable` where the address cannot be listened on for another reason than that.
    pub async fn listen(
        &self,
        address: SocketAddr,
        hub_gone: &CancellationToken,
    ) -> Result<(), Failure> {
        let bind = hub_gone.run_until_cancelled(self.bind(address, hub_gone));
        bind.await.unwrap_or(Ok(()))
    }

    async fn bind(&self, address: SocketAddr, hub_gone: &CancellationToken) -> Result<(), Failure> {
        let mut bound = self.bound.lock().await;
        if bound.contains(&address) {
            return Ok(());
        }
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    tracing::debug!(%address, "the redirect's address is still held");
                    tokio::time::sleep(BIND_PAUSE).await;
                }
                Err(error) => {
                    let message = format!("config.redirect_listen: {address}: {error}");
                    return Err(Failure::new(Code::Unavailable, message));
                }
            }
        };
        tracing::info!(%address, "redirecting to compute instances");
        bound.push(address);
        let accept = accept(listener, self.clone());
        tokio::spawn(hub_gone.clone().run_until_cancelled_owned(accept));
        Ok(())
    }

    /// From now on, what is asked below `prefix` is sent to `target`.
    pub fn publish(&self, prefix: &str, target: &str) {
        // A server whose state was lost tells no prefix; an empty one would be everybody's.
        if !prefix.starts_with('/') {
            return;
        }
        let mut routes = self.lock();
        if routes.get(prefix).map(String::as_str) != Some(target) {
            routes.insert(prefix.to_owned(), target.to_owned());
        }
    }

    /// Nothing is below `prefix` any more.
    pub fn withdraw(&self, prefix: &str) {
        self.lock().remove(prefix);
    }

    /// The target of the longest prefix that `path` lies below.
    fn target(&self, path: &str) -> Option<String> {
        let below = |prefix: &str| path.starts_with(prefix) || path == prefix.trim_end_matches('/');
        self.lock()
            .iter()
            .filter(|(prefix, _)| below(prefix))
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, target)| target.clone())
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        let location = self
            .target(request.uri().path())
            .and_then(|t| header::HeaderValue::try_from(t).ok());
        match location {
            Some(location) => {
                *response.status_mut() = StatusCode::FOUND;
                response.headers_mut().insert(header::LOCATION, location);
                response.headers_mut().insert(
                    header::CACHE_CONTROL,
                    header::HeaderValue::from_static("no-store"),
                );
            }
            None => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        response
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        lock(&self.routes)
    }
}

/// How people get to their instances.
#[derive(Clone)]
pub struct Way {
    /// The routes.
    pub redirects: Redirects,
    /// The listener, as the hub's proxy reaches it.
    pub url: String,
    /// Domains beside the service's own to which people may be sent.
    pub hosts: Vec<String>,
    /// Whether the service itself is a local stand-in.
    pub local: bool,
}

impl Way {
    /// Whether a person may be sent to `target`.
    pub fn leads_to(&self, target: &str) -> bool {
        is_allowed(target, &self.hosts, self.local)
    }
}

async fn accept(listener: TcpListener, redirects: Redirects) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // No file descriptors, for example: the next moment may be better.
                tracing::warn!(%error, "a connection to the redirect was not accepted");
                tokio::time::sleep(BIND_PAUSE).await;
                continue;
            }
        };
        let redirects = redirects.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = redirects.answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the redirect broke off");
            }
        });
    }
}

/// The service's own domains: public, US government, China ("Network isolation" in Azure ML's documentation).
const OWN_DOMAINS: [&str; 6] = [
    ".instances.azureml.ms",
    ".instances.azureml.us",
    ".instances.azureml.cn",
    ".azureml.net",
    ".azureml.ms",
    ".azureml.us",
];

/// Whether a person may be sent to `target`: over https into the service's own domains or those that the admin lists; to
/// loopback where the management endpoint itself is there.
fn is_allowed(target: &str, admins: &[String], local: bool) -> bool {
    let Ok(uri) = target.parse::<http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let loopback = host
        .trim_matches(['[', ']'])
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_loopback());
    if local && loopback {
        return true;
    }
    let below = |domain: &str| {
        let domain = domain.trim_start_matches('.').to_ascii_lowercase();
        !domain.is_empty() && (host == domain || host.ends_with(&format!(".{domain}")))
    };
    uri.scheme_str() == Some("https")
        && (OWN_DOMAINS.iter().any(|d| below(d)) || admins.iter().any(|d| below(d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_sent_to_the_services_own_domains_alone() {
        for good in [
            "https://i.eastus2.instances.azureml.ms/lab",
            "https://i.eastus2.azureml.net/jupyter",
        ] {
            assert!(is_allowed(good, &[], false), "{good}");
        }
        for bad in [
            "http://i.eastus2.instances.azureml.ms/lab",
            "https://instances.azureml.ms.evil.example/",
            "https://evil.example/?.instances.azureml.ms",
            "https://evilazureml.ms/",
            "javascript:alert(1)",
            "https://127.0.0.1/",
        ] {
            assert!(!is_allowed(bad, &[], false), "{bad}");
        }
        assert!(is_allowed(
            "https://lab.example.org/",
            &["example.org".to_owned()],
            false
        ));
        assert!(is_allowed("http://127.0.0.9:8888/lab", &[], true));
    }

    #[test]
    fn the_longest_prefix_wins_and_a_prefix_ends_at_its_slash() {
        let redirects = Redirects::default();
        redirects.publish("/user/ada/", "https://a/");
        redirects.publish("/user/ada/gpu/", "https://b/");
        assert_eq!(
            redirects.target("/user/ada/gpu/api").as_deref(),
            Some("https://b/")
        );
        assert_eq!(
            redirects.target("/user/ada/lab").as_deref(),
            Some("https://a/")
        );
        assert_eq!(redirects.target("/user/ada").as_deref(), Some("https://a/"));
        assert_eq!(redirects.target("/user/adam/"), None);
        redirects.withdraw("/user/ada/");
        assert_eq!(redirects.target("/user/ada/"), None);
    }
}
