//! Look-ups of an unknown `kid` under interleavings of the requests and the fetch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use shuttle::future::{block_on, spawn};

use super::endpoint::Endpoint;
use super::{KeyError, KeySet, KeySource, Telemetry};
use crate::outbound;
use crate::sync::scheduled::explore;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Tracing;

const INTERLEAVINGS: usize = 1_000;
const REQUESTS: usize = 3;

fn key_set(kid: &str) -> KeySet {
    let modulus = URL_SAFE_NO_PAD.encode([0xff; 256]);
    let set = json!({"keys": [{"kty": "RSA", "kid": kid, "n": modulus, "e": "AQAB"}]});
    KeySet::parse(set.to_string().as_bytes()).expect("a key set")
}

/// Returns a key source whose fetches are counted and return a set with the key `published`.
fn key_source(metrics: &Metrics, http: &reqwest::Client, fetches: &Arc<AtomicUsize>) -> Arc<KeySource> {
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

/// Asserts that concurrent requests for `kid` cause one fetch, whenever it ends, and that all get `expected`.
fn assert_one_fetch(kid: &'static str, expected: Result<(), KeyError>) {
    let metrics = Metrics::new(&[]);
    let http = outbound::client().build().expect("a client");
    explore(INTERLEAVINGS, move || {
        let fetches = Arc::new(AtomicUsize::new(0));
        let source = key_source(&metrics, &http, &fetches);
        let requests: Vec<_> = (0..REQUESTS)
            .map(|_| {
                let source = Arc::clone(&source);
                spawn(async move { source.key_or_fetch(kid).await.map(drop) })
            })
            .collect();
        for request in requests {
            assert_eq!(block_on(request).expect("no panic"), expected);
        }
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
        assert!(source.fetch_state().in_flight().is_none());
    });
}

#[test]
fn requests_for_a_new_key_share_one_fetch_and_all_get_the_key() {
    assert_one_fetch("published", Ok(()));
}

#[test]
fn requests_for_an_unknown_key_share_one_fetch_and_its_cooldown() {
    assert_one_fetch("unknown", Err(KeyError::Unknown));
}
