//! The HTTP server: connections, routes, and the cut that some faults ask for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use axum::routing::{any, get, post, put};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tower_service::Service;

use crate::call::{self, Cut};
use crate::world::Emulator;
use crate::{admin, credentials};

/// What the first listener answers.
pub fn aws(emulator: Arc<Emulator>) -> Router {
    Router::new()
        .route("/", post(call::call))
        .route("/2015-02-01/{*path}", any(call::call))
        .route("/credentials", get(credentials::container))
        .route("/latest/api/token", put(credentials::imds_token))
        .route("/latest/{*path}", get(credentials::imds))
        .merge(admin::routes())
        .with_state(emulator)
}

/// Serves until the task is dropped.
pub async fn serve(listener: &TcpListener, router: Router) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers must not wait for each other.
                let _ = stream.set_nodelay(true);
                let router = router.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| respond(router.clone(), request));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn respond(
    mut router: Router,
    request: Request<hyper::body::Incoming>,
) -> Result<Response, std::io::Error> {
    let answered: Result<Response, Infallible> = router.call(request.map(Body::new)).await;
    let Ok(response) = answered;
    match response.extensions().get::<Cut>() {
        Some(Cut) => Err(std::io::Error::other("cut by a fault")),
        None => Ok(response),
    }
}
