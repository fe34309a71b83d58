//! Another upstream than SHOUTCLOUD, by an implementation of [`Protocol`].

use serde_json::{Value, json};
use shoutback::shoutcloud::{InvalidResponse, Protocol};

use crate::support::settings::NO_CACHE;
use crate::support::upstream::{FakeUpstream, Reply};
use crate::support::{App, assert_problem, send};

/// A service that repeats a text, and says how often.
struct Repeater;

impl Protocol for Repeater {
    fn request_body(&self, text: &str) -> Vec<u8> {
        json!({"text": text, "times": 2}).to_string().into_bytes()
    }

    fn response_limit(&self, text: &str) -> usize {
        2 * text.len() + 100
    }

    fn parse_response(&self, text: &str, body: &[u8]) -> Result<String, InvalidResponse> {
        let response: Value = serde_json::from_slice(body).map_err(|_| InvalidResponse::Unreadable)?;
        let result = response["result"].as_str().ok_or(InvalidResponse::Unreadable)?;
        if result != text.repeat(2) {
            return Err(InvalidResponse::OutputMismatch);
        }
        Ok(result.to_owned())
    }
}

#[tokio::test]
async fn another_protocol_has_retries_limits_and_validation() {
    let upstream = FakeUpstream::shouting().await;
    let url = format!("http://{}/repeat", upstream.address());
    let app = App::start_with(&[("SHOUTCLOUD_URL", &url), NO_CACHE], Repeater).await;
    app.until_ready().await;

    upstream.set([Reply::Status(503), Reply::body(r#"{"result":"ihih"}"#)]);
    let response = send(app.shout("hi")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.expect("UTF-8"), "ihih");
    let requests = upstream.requests();
    assert_eq!(requests.len(), 2, "one was retried: {requests:?}");
    assert!(requests[1].starts_with("POST /repeat "), "{requests:?}");
    assert!(
        requests[1].ends_with(r#"{"text":"ih","times":2}"#),
        "{requests:?}"
    );

    for invalid in [
        r#"{"result":"ih"}"#,
        r#"{"INPUT":"ih","OUTPUT":"IH"}"#,
        &"x".repeat(105),
    ] {
        upstream.set([Reply::body(invalid)]);
        assert_problem(send(app.shout("hi")).await, 502, "upstream-invalid").await;
    }
}
