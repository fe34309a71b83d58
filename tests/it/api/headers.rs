//! Headers of every response, and data that no response may leak.

use reqwest::Response;
use serde_json::{Value, json};

use super::responses;
use crate::support::App;
use crate::support::http1::Connection;
use crate::support::tcp_server::TcpServer;

#[tokio::test]
async fn every_response_of_the_api_has_its_headers_and_every_error_is_a_problem() {
    let mut names = Vec::new();
    for response in responses::all().await {
        let (case, path) = (response.case, &response.path);
        assert_eq!(response.header("x-request-id"), Some(case), "{path}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{case}");
        assert_eq!(response.header("vary"), Some("accept"), "{case}");
        assert_eq!(
            response.header("x-content-type-options"),
            Some("nosniff"),
            "{case}"
        );
        let cache_status = match case {
            // Only this path makes shouts.
            _ if path != "/v1" => "shoutback",
            "text" => "shoutback; fwd=miss; stored",
            "json" => "shoutback; hit",
            "empty" => "shoutback; fwd=bypass",
            "upstream-fails" | "upstream-lies" | "slow" => "shoutback; fwd=miss",
            _ => "shoutback",
        };
        assert_eq!(
            response.header("cache-status"),
            Some(cache_status),
            "{path} {case}"
        );
        let challenge = match case {
            "no-token" => Some("Bearer"),
            "bad-token" => Some("Bearer error=\"invalid_token\""),
            "no-scope" => Some("Bearer error=\"insufficient_scope\", scope=\"shoutback/shout\""),
            _ => None,
        };
        assert_eq!(response.header("www-authenticate"), challenge, "{case}");
        let wait = response
            .header("retry-after")
            .map(|wait| wait.parse::<u64>().expect("seconds"));
        assert_eq!(wait.is_some(), matches!(response.status, 429 | 503), "{case}");
        assert!(
            wait.is_none_or(|wait| (1..=60).contains(&wait)),
            "{case}: {wait:?}"
        );
        if response.status < 400 {
            continue;
        }
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json"),
            "{case}"
        );
        let problem: Value = serde_json::from_str(&response.body).expect("JSON");
        assert_eq!(problem["status"], response.status, "{case}");
        assert_eq!(problem["instance"], format!("/requests/{case}"));
        for member in ["title", "detail"] {
            assert!(
                problem[member].as_str().is_some_and(|text| !text.is_empty()),
                "{problem}"
            );
        }
        names.push((response.status, response.problem().expect("a type")));
    }
    names.sort();
    names.dedup();
    let expected = [
        (400, "malformed-request"),
        (401, "unauthenticated"),
        (403, "forbidden"),
        (405, "method-not-allowed"),
        (406, "not-acceptable"),
        (408, "request-timeout"),
        (413, "content-too-large"),
        (415, "unsupported-media-type"),
        (417, "expectation-failed"),
        (429, "rate-limited"),
        (502, "upstream-invalid"),
        (503, "keys-unavailable"),
        (503, "overloaded"),
        (503, "upstream-unavailable"),
        (504, "upstream-timeout"),
    ];
    assert_eq!(names, expected.map(|(status, name)| (status, name.to_owned())));
}

async fn with_ids(app: &App, method: &str, path: &str, ids: &[&str]) -> Response {
    let method = method.parse::<reqwest::Method>().expect("a method");
    let mut request = app.client.request(method, format!("http://{}{path}", app.public));
    for id in ids {
        request = request.header("x-request-id", *id);
    }
    request.send().await.expect("a response")
}

const ROUTES: [(&str, &str, u16); 8] = [
    ("POST", "/v1", 401),
    ("OPTIONS", "/v1", 204),
    ("GET", "/v1", 405),
    ("GET", "/nothing", 404),
    ("GET", "/", 307),
    ("GET", "/docs", 200),
    ("GET", "/openapi.json", 200),
    ("POST", "/docs", 405),
];

#[tokio::test]
async fn a_valid_request_id_is_returned_on_every_kind_of_response() {
    let app = App::start(&[]).await;
    let longest = "x".repeat(128);
    for (method, path, status) in ROUTES {
        for id in ["a", "AZaz09._~:-", longest.as_str()] {
            let response = with_ids(&app, method, path, &[id]).await;
            assert_eq!(response.status(), status, "{method} {path}");
            assert_eq!(response.headers()["x-request-id"], id, "{method} {path}");
        }
    }
    let shout = app.shout("hi").header("x-request-id", "mine");
    assert_eq!(
        shout.send().await.expect("a response").headers()["x-request-id"],
        "mine"
    );
}

#[tokio::test]
async fn missing_and_invalid_request_ids_are_replaced_by_uuidv7() {
    let app = App::start(&[]).await;
    let too_long = "x".repeat(129);
    let mut generated = Vec::new();
    for (method, path, _) in ROUTES {
        for ids in [
            &[][..],
            &[""],
            &["a b"],
            &["a/b"],
            &["a,b"],
            &["é"],
            &["a", "b"],
            &["a", "a"],
            &[too_long.as_str()],
        ] {
            let response = with_ids(&app, method, path, ids).await;
            let mut sent = response.headers().get_all("x-request-id").iter();
            let id = sent.next().expect("an id").to_str().expect("ASCII").to_owned();
            assert_eq!(sent.next(), None, "{method} {path} {ids:?}");
            let uuid = uuid::Uuid::parse_str(&id).expect("a UUID");
            assert_eq!(uuid.get_version_num(), 7, "{method} {path} {ids:?}");
            assert_eq!(uuid.to_string(), id);
            generated.push(id);
        }
    }
    let all = generated.len();
    generated.sort();
    generated.dedup();
    assert_eq!(generated.len(), all, "unique");
}

/// Returns the names in `server-timing`; asserts that each has a duration.
fn timing_names(headers: &reqwest::header::HeaderMap) -> Vec<String> {
    let Some(timing) = headers.get("server-timing") else {
        return Vec::new();
    };
    let entries = timing.to_str().expect("ASCII").split(", ");
    let name = |entry: &str| {
        let (name, milliseconds) = entry.split_once(";dur=").expect("a duration");
        assert!(
            milliseconds.parse::<f64>().is_ok_and(|number| number >= 0.0),
            "{entry}"
        );
        name.to_owned()
    };
    entries.map(name).collect()
}

#[tokio::test]
async fn server_timing_lists_authentication_and_upstream() {
    let app = App::start(&[("SHOUTCLOUD_MAX_RETRIES", "0")]).await;
    let open = App::start(&[("AUTH_MODE", "disabled")]).await;
    let long = "a".repeat(70_000);
    let both = &["auth", "upstream"][..];
    let auth = &["auth"][..];
    for (case, request, names) in [
        ("a shout", app.shout("hi"), both),
        ("a shout again", app.shout("hi"), auth),
        ("empty text", app.shout(""), auth),
        ("bad token", app.shout_with("bad", "hi"), auth),
        ("no token", app.post(), auth),
        ("406", app.shout("hi").header("accept", "image/png"), auth),
        ("413", app.shout(&long), &[]),
        ("405", app.client.get(format!("http://{}/v1", app.public)), &[]),
        ("404", app.client.get(format!("http://{}/v2", app.public)), &[]),
        ("disabled", open.shout("hi"), &["upstream"]),
    ] {
        let response = request.send().await.expect("a response");
        assert_eq!(timing_names(response.headers()), names, "{case}");
    }
    app.shoutcloud
        .set_behaviour(shoutback_emulators::shoutcloud::Behaviour {
            failure_rate: 1.0,
            ..Default::default()
        });
    let failed = app.shout("ho").send().await.expect("a response");
    assert_eq!(failed.status(), 503);
    assert_eq!(timing_names(failed.headers()), both);
}

#[tokio::test]
async fn no_response_contains_a_token_or_an_internal_address() {
    let upstream = TcpServer::responding(
        "HTTP/1.1 500 s3cret\r\nx-s3cret: s3cret\r\nconnection: close\r\ncontent-length: 6\r\n\r\ns3cret",
    )
    .await;
    let app = App::start(&[
        ("SHOUTCLOUD_URL", &format!("http://{}/s3cret", upstream.address)),
        ("SHOUTCLOUD_MAX_RETRIES", "0"),
    ])
    .await;
    let endpoint = app.cognito.endpoint();
    let internal = [
        upstream.address.to_string(),
        endpoint.trim_start_matches("http://").to_owned(),
    ];
    let good = app.cognito.token();
    let part = good.rsplit('.').next().expect("a signature").to_owned();
    let bearer = |token: &str| format!("Bearer {token}");
    for (authorization, status) in [
        (String::new(), 401),
        ("Basic s3cret".to_owned(), 401),
        ("s3cret".to_owned(), 401),
        ("Bearer s3cret s3cret".to_owned(), 401),
        (bearer("s3cret.s3cret.s3cret"), 401),
        (bearer(&good.replace('.', ".s3cret")), 401),
        (
            bearer(&app.token_with(&[("iss", json!("https://s3cret.example"))])),
            401,
        ),
        (bearer(&app.token_with(&[("client_id", json!("s3cret"))])), 401),
        (bearer(&app.token_with(&[("token_use", json!("s3cret"))])), 401),
        (
            bearer(&app.token_with(&[("scope", json!("s3cret")), ("username", json!("s3cret"))])),
            403,
        ),
        (bearer(&good), 503),
    ] {
        let mut connection = Connection::open(app.public).await;
        connection
            .send(format!(
                "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n\
                 content-type: text/plain\r\ncontent-length: 2\r\n\r\nhi"
            ))
            .await;
        let answer = connection.response().await;
        assert_eq!(answer.status, status, "{authorization}");
        answer.problem();
        let all = format!("{}{}", answer.head, answer.body);
        assert!(
            !all.contains("s3cret") && !all.contains(&part),
            "{authorization}: {all}"
        );
        assert!(
            !internal.iter().any(|address| all.contains(address.as_str())),
            "{all}"
        );
    }
}
