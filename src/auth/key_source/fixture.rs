//! A key source without a network, for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::endpoint::Endpoint;
use super::{KeySet, KeySource, Telemetry};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Tracing;

fn key_set(kid: &str) -> KeySet {
    let modulus = URL_SAFE_NO_PAD.encode([0xff; 256]);
    let set = json!({"keys": [{"kty": "RSA", "kid": kid, "n": modulus, "e": "AQAB"}]});
    KeySet::parse(set.to_string().as_bytes()).expect("a key set")
}

/// Returns a key source whose fetches are counted and return a set with the key `published`.
pub(in crate::auth) fn key_source(
    metrics: &Metrics,
    http: &reqwest::Client,
    fetches: &Arc<AtomicUsize>,
) -> Arc<KeySource> {
    let fetches = Arc::clone(fetches);
    Arc::new(KeySource {
        issuer: "https://idp.example.com/pool".to_owned(),
        other_issuers: Vec::new(),
        endpoint: Endpoint {
            jwks_url: "https://idp.example.com/pool/.well-known/jwks.json".to_owned(),
            http: http.clone(),
            scripted: Some(Box::new(move || {
                fetches.fetch_add(1, Ordering::Relaxed);
                key_set("published")
            })),
        },
        max_stale: Duration::from_secs(3600),
        snapshot: ArcSwapOption::empty(),
        fetch_state: crate::sync::Mutex::default(),
        telemetry: Telemetry {
            metrics: metrics.keys("us-east-2_Pool"),
            tracing: Tracing::disabled(),
        },
    })
}
