//! Secrets in every part of requests and responses, with every level enabled: none is logged.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};
use shoutback_emulators::cognito;
use tempfile::TempDir;

use super::settings;
use crate::process::child::Process;
use crate::support::http1::{self, Connection};
use crate::support::http2::{Http2, shout_fields};
use crate::support::jwt::b64;
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::upstream::{FakeUpstream, Reply};
use crate::support::{POOL_ID, changed, client, loopback, until};

/// Part of everything that must not be logged; so short that no truncation hides it.
const SECRET: &str = "zk9x";
const OTHER_POOL: &str = "eu-west-1_TestPool2";

fn response(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status}\r\nx-secret: {SECRET}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    Reply::Bytes(response.into())
}

fn shout(input: &str, output: &str) -> Reply {
    response(
        "200 OK",
        "",
        &json!({"INPUT": input, "OUTPUT": output}).to_string(),
    )
}

/// Returns the reply to the text `SECRET`.
fn valid_reply() -> Reply {
    let input: String = SECRET.chars().rev().collect();
    shout(&input, &input.to_uppercase())
}

/// Returns a reply with a secret for each way in which a call can fail, and the text that gets it.
fn failures() -> Vec<(String, Reply)> {
    let bytes = |text: String| Reply::Bytes(text.into());
    let text = |name: &str| format!("{SECRET}={name}");
    let reversed: String = text("output").chars().rev().collect();
    [
        ("output", shout(&reversed, SECRET)),
        ("input", shout(SECRET, SECRET)),
        ("unreadable", response("200 OK", "", &format!("{{\"{SECRET}\""))),
        ("long", response("200 OK", "", &SECRET.repeat(10_000))),
        ("permanent", response("418 zk9x", "", SECRET)),
        (
            "redirect",
            response("307 zk9x", &format!("location: /{SECRET}\r\n"), SECRET),
        ),
        (
            "transient",
            response("503 zk9x", &format!("retry-after: {SECRET}\r\n"), SECRET),
        ),
        ("garbage", bytes(format!("{SECRET}\r\n\r\n{SECRET}"))),
        (
            "header",
            bytes(format!("HTTP/1.1 200 OK\r\n{SECRET}\0: {SECRET}\r\n\r\n")),
        ),
        (
            "truncated",
            bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{SECRET}")),
        ),
        (
            "chunks",
            bytes(format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{SECRET}\r\n"
            )),
        ),
        ("stall", Reply::Stall),
    ]
    .map(|(name, reply)| (text(name), reply))
    .into()
}

/// Returns a request with secrets in its query, cookie and other header fields.
fn request(line: &str, fields: &[(&str, &str)], body: &str) -> String {
    let mut request = format!(
        "{line}?{SECRET}={SECRET} HTTP/1.1\r\nhost: {SECRET}\r\nconnection: close\r\ncookie: session={SECRET}\r\n\
         user-agent: {SECRET}\r\nreferer: http://{SECRET}/\r\nx-{SECRET}: {SECRET}\r\ntraceparent: {SECRET}\r\n\
         tracestate: {SECRET}\r\nbaggage: {SECRET};;,=\r\nx-amzn-trace-id: Root={SECRET};Parent={SECRET}\r\n\
         content-length: {}\r\n",
        body.len()
    );
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    request + "\r\n" + body
}

/// Sends requests that succeed, are rejected, or fail at the upstream.
async fn send_everything(public: SocketAddr, upstream: &FakeUpstream, token: &str, tokens: &[String]) {
    let send = async |request: String| {
        http1::exchange(public, request.as_bytes()).await;
    };
    let authorization = format!("Bearer {token}");
    let good = [
        ("authorization", authorization.as_str()),
        ("content-type", "text/plain"),
    ];
    let with = |more: &[(&'static str, &'static str)]| [&good[..1], more].concat();
    send(request("POST /v1", &good, SECRET)).await;
    send(request("POST /v1", &good, SECRET)).await;
    send(request(
        "POST /v1",
        &with(&[("content-type", "application/json")]),
        r#"{"data":"zk9x","zk9x":"zk9x"}"#,
    ))
    .await;
    for (text, reply) in failures() {
        upstream.set([reply]);
        send(request("POST /v1", &good, &text)).await;
    }
    for body in [
        r#"{"data":zk9x}"#,
        r#"{"data":"zk9x","data":"zk9x"}"#,
        r#"["zk9x"]"#,
        "zk9x",
        "{\"data\":\"\\ud800zk9x\"}",
    ] {
        send(request(
            "POST /v1",
            &with(&[("content-type", "application/json")]),
            body,
        ))
        .await;
    }
    send(request(
        "POST /v1",
        &with(&[("content-type", "zk9x/zk9x")]),
        SECRET,
    ))
    .await;
    send(request(
        "POST /v1",
        &with(&[("content-type", "text/plain; charset=zk9x")]),
        SECRET,
    ))
    .await;
    send(request(
        "POST /v1",
        &with(&[("content-type", "text/plain"), ("accept", "zk9x/zk9x")]),
        SECRET,
    ))
    .await;
    send(request(
        "POST /v1",
        &with(&[("content-type", "text/plain"), ("expect", "100-continue, zk9x")]),
        SECRET,
    ))
    .await;
    send(request("POST /v1", &good, &SECRET.repeat(20_000))).await;
    send(request(&format!("GET /{SECRET}/{token}"), &good, "")).await;
    send(request(&format!("GET /v1/{token}"), &good, "")).await;
    send(request(&format!("{SECRET} /v1"), &good, SECRET)).await;
    send(request("DELETE /v1", &good, SECRET)).await;
    send(request("POST /v1", &good[1..], SECRET)).await;
    for token in tokens {
        let authorization = format!("Bearer {token}");
        send(request(
            "POST /v1",
            &[("authorization", &authorization), good[1]],
            SECRET,
        ))
        .await;
    }
    for malformed in [
        "Basic zk9x",
        "Bearer  zk9x",
        "zk9x",
        "Bearer zk9x, Bearer zk9x",
        "Bearer z\u{e9}k9x zk9x",
    ] {
        send(request(
            "POST /v1",
            &[("authorization", malformed), good[1]],
            SECRET,
        ))
        .await;
    }
    send(request("POST /v1", &[good[0], good[0], good[1]], SECRET)).await;
    // Rejected by the parser.
    for bytes in [
        format!("{SECRET}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{SECRET} {SECRET}: {SECRET}\r\n\r\n"),
        format!("POST /v1 HTTP/1.1\r\nhost: x\r\ncontent-length: {SECRET}\r\n\r\n"),
        format!("GET /{} HTTP/1.1\r\n\r\n", SECRET.repeat(30_000)),
        format!("POST /v1 HTTP/1.1\r\nhost: x\r\nx-request-id: {SECRET} \u{0}\r\n\r\n"),
    ] {
        send(bytes).await;
    }
    let mut invalid = request("POST /v1", &good, "").into_bytes();
    invalid.splice(
        invalid.len() - 2..,
        b"x-bytes: \xff\xfezk9x\r\n\r\n".iter().copied(),
    );
    http1::exchange(public, &invalid).await;
    let calls = upstream.calls();
    let mut cancelled = Connection::open(public).await;
    // A new text, which is neither cached nor in flight.
    cancelled
        .send(request("POST /v1", &good, &format!("{SECRET}{SECRET}")))
        .await;
    upstream.called(calls + 1).await;
    drop(cancelled);
    let mut http2 = Http2::open(public).await;
    http2.shout(1, token, SECRET).await;
    http2.response(1).await;
    let mut fields = shout_fields(token);
    fields.push((SECRET.to_uppercase(), SECRET.to_owned()));
    let block = crate::support::http2::block(&fields);
    http2.send_block(3, &block).await;
    http2.response(3).await;
}

/// Returns a token for each reason of rejection.
fn bad_tokens(cognito: &cognito::Emulator, good: &str) -> Vec<String> {
    let signed = |name: &str, value: Value| cognito.sign(&changed(cognito.claims(), &[(name, value)]));
    let (unsigned, _) = good.rsplit_once('.').expect("three parts");
    let header = |header: &str| format!("{}.{}.{}", b64(header), b64(SECRET), b64(SECRET));
    let claims = Value::Object(cognito.claims()).to_string();
    vec![
        signed("exp", json!(1)),
        signed("nbf", json!(1e15)),
        signed("scope", json!(SECRET)),
        signed("client_id", json!(SECRET)),
        signed("token_use", json!(SECRET)),
        signed("iss", json!(SECRET)),
        format!("{unsigned}.{}", b64(SECRET)),
        format!("{good}.{SECRET}"),
        SECRET.to_owned(),
        header(&format!("{{\"alg\":\"{SECRET}\",\"kid\":\"{SECRET}\"}}")),
        header(SECRET),
        format!(
            "{}.{}.{}",
            b64(format!("{{\"alg\":\"RS256\",\"kid\":\"{SECRET}\"}}")),
            b64(claims),
            b64(SECRET)
        ),
    ]
}

/// Returns what no line may contain: the secret in each form in which it was sent, and parts of tokens.
fn forbidden(tokens: &[String]) -> BTreeSet<String> {
    let mut forbidden: BTreeSet<_> = [SECRET.to_owned(), SECRET.chars().rev().collect(), b64(SECRET)].into();
    for token in tokens {
        forbidden.extend(token.split('.').filter(|part| part.len() > 12).map(str::to_owned));
        let bytes: Vec<char> = token.chars().collect();
        forbidden.extend(
            bytes
                .chunks(24)
                .filter(|chunk| chunk.len() == 24)
                .map(|chunk| chunk.iter().collect()),
        );
    }
    forbidden.into_iter().map(|text| text.to_lowercase()).collect()
}

#[tokio::test]
async fn no_line_contains_a_secret() {
    let upstream = FakeUpstream::start([valid_reply()]).await;
    let cognito = cognito::Emulator::start(loopback().await, POOL_ID).expect("a Cognito emulator");
    let published = format!("{}/.well-known/jwks.json", cognito.issuer());
    let set = client().get(published).send().await.expect("a response");
    let set = set.bytes().await.expect("a body");
    let keys = KeyServer::start(KeyResponse::of(200, &set)).await;
    keys.set_for(OTHER_POOL, KeyResponse::of(200, &set));
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("log");
    let url = format!("{}?key={SECRET}", upstream.url());
    let (endpoint, pools) = (cognito.endpoint(), format!("{POOL_ID},{OTHER_POOL}"));
    let variables = [
        ("RUST_LOG", "trace"),
        ("OTEL_PROPAGATORS", "tracecontext,baggage,xray"),
        ("LOG_FILE", file.to_str().expect("UTF-8")),
        ("AUTH_MODE", "cognito"),
        ("COGNITO_ENDPOINT", &endpoint),
        ("COGNITO_JWKS_ENDPOINT", &keys.url()),
        ("COGNITO_JWKS_REFRESH", "100ms"),
        ("COGNITO_USER_POOL_IDS", &pools),
        ("COGNITO_CLIENT_IDS", &cognito.client().id),
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "1s"),
        ("SHOUTCLOUD_DEADLINE", "1s"),
        ("SHOUTCLOUD_MAX_RETRIES", "1"),
        ("BREAKER_MIN_CALLS", "1000000"),
        ("RATE_LIMIT_PER_CLIENT", "1/h"),
        ("RATE_LIMIT_BURST", "60"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer zk9x"),
        ("SHOUTCLOUD_KEY", SECRET),
    ];
    let mut service = Process::start(&["serve"], &settings(&url, &variables));
    let (public, _) = service.ready().await;
    let user = [
        ("username", json!(SECRET)),
        ("sub", json!(SECRET)),
        ("cognito:groups", json!([SECRET])),
    ];
    let token = cognito.sign(&changed(cognito.claims(), &user));
    let tokens = bad_tokens(&cognito, &token);
    send_everything(public, &upstream, &token, &tokens).await;
    for response in [
        KeyResponse::of(500, SECRET),
        KeyResponse::of(200, SECRET),
        KeyResponse::of(
            200,
            format!("{{\"keys\":[{{\"kty\":\"{SECRET}\",\"kid\":\"{SECRET}\"}}]}}"),
        ),
        KeyResponse::bytes(format!("HTTP/1.1 200 OK\r\n{SECRET}\0: {SECRET}\r\n\r\n{SECRET}")),
        KeyResponse::of(200, SECRET.repeat(100_000)),
    ] {
        let before = keys.requests_for(OTHER_POOL);
        keys.set_for(OTHER_POOL, response);
        until("it is fetched", async || {
            keys.requests_for(OTHER_POOL) > before + 1
        })
        .await;
    }
    let is_limited = || {
        service
            .requests()
            .iter()
            .any(|line| line["error.type"] == "rate-limited")
    };
    until("the quota is used up", async || {
        http1::exchange(
            public,
            request("POST /v1", &[("authorization", &format!("Bearer {token}"))], "").as_bytes(),
        )
        .await;
        is_limited()
    })
    .await;
    service.signal("TERM");
    let ended = service.ended().await;

    // Every outcome has occurred.
    let log = ended.log();
    let outcomes: BTreeSet<_> = log
        .iter()
        .filter_map(|line| line["error.type"].as_str())
        .collect();
    for name in [
        "cancelled",
        "content-too-large",
        "expectation-failed",
        "forbidden",
        "malformed-request",
        "method-not-allowed",
        "not-acceptable",
        "not-found",
        "rate-limited",
        "unauthenticated",
        "unsupported-media-type",
        "upstream-invalid",
        "upstream-timeout",
        "upstream-unavailable",
    ] {
        assert!(outcomes.contains(name), "{name}: {outcomes:?}");
    }
    for (name, value) in [
        ("shoutback.source", "upstream"),
        ("shoutback.source", "cache"),
        ("http.version", "2"),
    ] {
        assert!(log.iter().any(|line| line[name] == value), "{name} {value}");
    }
    for action in ["key-refresh", "configuration", "stop"] {
        assert!(log.iter().any(|line| line["event.action"] == action), "{action}");
    }
    let in_file = std::fs::read_to_string(file).expect("a file");
    // The order of lines of two threads may differ.
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(lines(&in_file), lines(&ended.stdout));

    let forbidden = forbidden(&[tokens, vec![token]].concat());
    for line in ended.output().lines() {
        let lower = line.to_lowercase();
        let found: Vec<_> = forbidden
            .iter()
            .filter(|text| lower.contains(text.as_str()))
            .collect();
        assert!(found.is_empty(), "{found:?} in {line}");
    }
}
