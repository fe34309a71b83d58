//! The emulator's behaviour, and `/_emulator/behaviour`, which shows and changes it at run time and reports the number
//! of calls.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::Shared;
use crate::server;

/// Delay and failure rate of the emulated server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Behaviour {
    /// Time between the last byte of a request and its response.
    pub delay: Duration,
    /// Fraction of the calls, from 0 to 1, whose response is a 503.
    pub failure_rate: f64,
}

pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Response {
    let behaviour = *shared.behaviour.borrow();
    server::json(
        StatusCode::OK,
        &json!({
            "delay": humantime::format_duration(behaviour.delay).to_string(),
            "failure_rate": behaviour.failure_rate,
            "calls": shared.calls.load(Ordering::Relaxed),
        }),
    )
}

pub(super) async fn update(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match Update::parse(&body) {
        Ok(update) => {
            shared.behaviour.send_modify(|behaviour| update.apply(behaviour));
            show(State(shared)).await
        }
        Err(error) => server::json(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() })),
    }
}

/// The body of `PUT /_emulator/behaviour`. An absent member leaves its setting unchanged.
#[derive(Debug, Default)]
struct Update {
    delay: Option<Duration>,
    failure_rate: Option<f64>,
}

#[derive(Debug, thiserror::Error)]
enum UpdateError {
    #[error("The body must be a JSON object with no members other than `delay` and `failure_rate`.")]
    Shape,
    #[error("`delay` must be a duration in a string, such as \"200ms\", \"2s\" or \"0s\".")]
    Delay,
    #[error("`failure_rate` must be a number from 0 to 1, such as 0.1.")]
    FailureRate,
}

impl Update {
    fn parse(body: &[u8]) -> Result<Update, UpdateError> {
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return Err(UpdateError::Shape);
        };
        let mut update = Update::default();
        for (name, value) in &members {
            match name.as_str() {
                "delay" => {
                    let text = value.as_str().ok_or(UpdateError::Delay)?;
                    let delay = humantime::parse_duration(text).map_err(|_| UpdateError::Delay)?;
                    update.delay = Some(delay);
                }
                "failure_rate" => {
                    let rate = value.as_f64().filter(|rate| (0.0..=1.0).contains(rate));
                    update.failure_rate = Some(rate.ok_or(UpdateError::FailureRate)?);
                }
                _ => return Err(UpdateError::Shape),
            }
        }
        Ok(update)
    }

    fn apply(&self, behaviour: &mut Behaviour) {
        behaviour.delay = self.delay.unwrap_or(behaviour.delay);
        behaviour.failure_rate = self.failure_rate.unwrap_or(behaviour.failure_rate);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{client, start};
    use super::*;

    #[tokio::test]
    async fn behaviour_is_changed_over_http() {
        let emulator = start(Behaviour::default()).await;
        let url = emulator.url().replace("/V1/SHOUT", "/_emulator/behaviour");
        let put = async |body: &'static str| {
            let response = client().put(&url).body(body).send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        assert_eq!(put(r#"{"delay":"200ms","failure_rate":0.1}"#).await.0, 200);
        assert_eq!(put(r#"{"failure_rate":1}"#).await.0, 200);
        let shown = client().get(&url).send().await.unwrap();
        let shown: Value = serde_json::from_str(&shown.text().await.unwrap()).unwrap();
        assert_eq!(
            shown,
            json!({ "delay": "200ms", "failure_rate": 1.0, "calls": 0 })
        );

        for (body, message) in [
            (r#"{"delay":200}"#, "duration"),
            (r#"{"delay":"soon"}"#, "duration"),
            (r#"{"failure_rate":1.1,"delay":"1s"}"#, "from 0 to 1"),
            (r#"{"failure_rate":"10%"}"#, "from 0 to 1"),
            (r#"{"rate":0.5}"#, "no members other"),
            ("[]", "JSON object"),
        ] {
            let (status, response) = put(body).await;
            assert_eq!(status, 400, "{body}");
            assert!(response.contains(message), "{body}: {response}");
        }
        let unchanged = *emulator.shared.behaviour.borrow();
        assert_eq!(unchanged.delay, Duration::from_millis(200));
        assert_eq!(emulator.calls(), 0);
    }
}
