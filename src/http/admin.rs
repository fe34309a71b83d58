//! Routes of the admin listener: probes, metrics, version.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tower_http::compression::CompressionLayer;

use super::middleware::hooks::hook;
use super::middleware::request_id::request_id;
use super::problem::{Kind, Problem};
use super::routes::GET;
use crate::auth::Verifier;
use crate::lifecycle::Drain;
use crate::telemetry::metrics::Metrics;
use crate::version;

/// Whether this replica should receive requests.
///
/// An open breaker or an expired key set does not make a replica unready: all replicas would become unready at once.
#[derive(Clone)]
pub struct Readiness {
    verifier: Option<Arc<Verifier>>,
    drain: Drain,
}

impl Readiness {
    /// Ready once `verifier`, if authentication is enabled, has the keys of every pool, and until `drain` begins.
    pub fn new(verifier: Option<Arc<Verifier>>, drain: Drain) -> Self {
        Self { verifier, drain }
    }

    /// Why the replica is not ready; empty if it is.
    fn reasons(&self) -> Vec<String> {
        let draining = self
            .drain
            .has_begun()
            .then(|| "draining: the process is stopping".to_owned());
        let missing = self
            .verifier
            .iter()
            .flat_map(|verifier| verifier.pools_without_keys());
        draining
            .into_iter()
            .chain(missing.map(|issuer| format!("keys of {issuer} are not loaded yet")))
            .collect()
    }
}

#[derive(Clone)]
struct Admin {
    readiness: Readiness,
    metrics: Arc<Metrics>,
    workers: Handle,
}

/// The router of the admin listener. `workers` is the runtime that serves requests, which may be another than this router's.
pub fn routes(readiness: Readiness, metrics: Arc<Metrics>, workers: Handle) -> Router {
    let method = || async { Problem::method_not_allowed(GET) };
    Router::new()
        .route("/livez", get(livez).fallback(method))
        .route("/readyz", get(readyz).fallback(method))
        .route(
            "/metrics",
            get(metrics_text).fallback(method).layer(CompressionLayer::new()),
        )
        .route("/version", get(version_json).fallback(method))
        .fallback(|| async {
            Problem::new(
                Kind::NotFound,
                "this port serves /livez, /readyz, /metrics and /version",
            )
        })
        .layer(hook(request_id))
        .with_state(Admin {
            readiness,
            metrics,
            workers,
        })
}

/// Responds once a worker has run a task: a process whose workers are blocked does not respond, and is restarted.
async fn livez(State(admin): State<Admin>) -> Result<Response, Problem> {
    match admin.workers.spawn(async {}).await {
        Ok(()) => Ok(json_response(StatusCode::OK, &json!({"status": "alive"}))),
        // The runtime is shutting down.
        Err(_) => Err(Problem::new(Kind::InternalError, "the process is exiting")),
    }
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let reasons = admin.readiness.reasons();
    if reasons.is_empty() {
        json_response(StatusCode::OK, &json!({"status": "ready", "reasons": reasons}))
    } else {
        json_response(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"status": "unready", "reasons": reasons}),
        )
    }
}

async fn metrics_text(State(admin): State<Admin>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        admin.metrics.render(),
    )
}

async fn version_json() -> Response {
    let version = json!({
        "version": version::VERSION,
        "git_commit": version::COMMIT,
        "build_time": version::TIME,
        "rustc": version::RUSTC,
    });
    json_response(StatusCode::OK, &version)
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
