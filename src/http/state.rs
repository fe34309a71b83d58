//! State that the handlers and layers of the public listener share.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use tokio::sync::Semaphore;

use super::docs::Page;
use super::rate_limit::RateLimit;
use crate::auth::Verifier;
use crate::shout::ShoutService;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Tracing;

/// Shared state of the public routes. One pointer, because axum clones the state several times per request.
#[derive(Clone)]
pub struct AppState(Arc<AppStateInner>);

impl Deref for AppState {
    type Target = AppStateInner;

    fn deref(&self) -> &AppStateInner {
        &self.0
    }
}

impl From<AppStateInner> for AppState {
    fn from(inner: AppStateInner) -> Self {
        Self(Arc::new(inner))
    }
}

/// The fields of [`AppState`].
pub struct AppStateInner {
    /// The domain.
    pub shout_service: ShoutService,
    /// `None` disables authentication.
    pub verifier: Option<Arc<Verifier>>,
    /// `None` disables rate limiting.
    pub rate_limit: Option<RateLimit>,
    /// Metrics of every layer.
    pub metrics: Arc<Metrics>,
    /// Starts the server spans.
    pub tracing: Tracing,
    /// Maximum length of a request body in bytes.
    pub max_body_bytes: usize,
    /// Time limit from the end of the request head to the response.
    pub request_timeout: Duration,
    /// One permit per request in flight.
    pub in_flight: Arc<Semaphore>,
    /// The documentation page.
    pub page: Arc<Page>,
}

impl FromRef<AppState> for Arc<Page> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.page)
    }
}
