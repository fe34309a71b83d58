//! Spans: names, parents, links and attributes.

use crate::support::collector::{Collector, Span};
use crate::support::upstream::{FakeUpstream, Reply};
use crate::support::{send, until};

use super::{app_with, open_app_with, sent};

fn assert_attributes(span: &Span, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(span.attribute(name), Some(*value), "{name}: {span:#?}");
    }
}

#[tokio::test]
async fn a_shout_is_a_server_span_with_a_client_span_under_it() {
    let collector = Collector::start().await;
    let app = app_with(&collector, &[]).await;
    let shout = app.shout("hi").header("x-request-id", "mine");
    assert_eq!(shout.send().await.expect("a response").status(), 200);
    let server = collector.expect("POST /v1", 1).await.remove(0);
    let client = collector.expect("POST", 1).await.remove(0);
    assert_eq!((server.kind, client.kind), ("server", "client"));
    assert_eq!((server.parent.as_str(), &client.parent), ("", &server.id));
    assert_eq!(server.trace, client.trace);
    assert!(!server.failed && !client.failed);
    assert!(server.nanoseconds > client.nanoseconds && client.nanoseconds > 0);
    let client_id = app.cognito.client().id.clone();
    assert_attributes(
        &server,
        &[
            ("http.request.method", "POST"),
            ("url.path", "/v1"),
            ("url.scheme", "http"),
            ("http.route", "/v1"),
            ("http.response.status_code", "200"),
            ("network.protocol.name", "http"),
            ("network.protocol.version", "1.1"),
            ("shoutback.request.id", "mine"),
            ("shoutback.client.id", &client_id),
            ("shoutback.source", "upstream"),
        ],
    );
    assert_eq!(server.attribute("error.type"), None);
    let url = app.shoutcloud.url();
    let port = url.rsplit(':').next().and_then(|rest| rest.split('/').next());
    assert_attributes(
        &client,
        &[
            ("http.request.method", "POST"),
            ("server.address", "127.0.0.1"),
            ("server.port", port.expect("a port")),
            ("url.full", &url),
            ("http.response.status_code", "200"),
        ],
    );
    assert_eq!(client.attribute("http.request.resend_count"), None);
    assert_eq!(client.attribute("error.type"), None);
}

#[tokio::test]
async fn each_attempt_is_a_span_with_its_number() {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::start([Reply::Status(503), Reply::Status(429), Reply::Shout]).await;
    let app = app_with(&collector, &[("SHOUTCLOUD_URL", &upstream.url())]).await;
    assert_eq!(send(app.shout("hi")).await.status(), 200);
    let server = collector.expect("POST /v1", 1).await.remove(0);
    let attempts = collector.expect("POST", 3).await;
    let outcomes: Vec<_> = attempts
        .iter()
        .map(|span| {
            assert_eq!((&span.parent, &span.trace), (&server.id, &server.trace));
            let attribute = |name| span.attribute(name).unwrap_or("none");
            (
                attribute("http.request.resend_count"),
                attribute("http.response.status_code"),
                attribute("error.type"),
                span.failed,
            )
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            ("none", "503", "transient_status", true),
            ("1", "429", "transient_status", true),
            ("2", "200", "none", false),
        ]
    );
    let expected: Vec<_> = attempts
        .iter()
        .map(|span| format!("00-{}-{}-03", span.trace, span.id))
        .collect();
    assert_eq!(
        sent(&upstream, "traceparent"),
        expected,
        "each attempt sends its own id"
    );
}

#[tokio::test]
async fn an_attempt_without_a_response_has_an_error_type() {
    let collector = Collector::start().await;
    let variables = [
        ("SHOUTCLOUD_URL", "http://127.0.0.1:1/V1/SHOUT"),
        ("SHOUTCLOUD_MAX_RETRIES", "0"),
    ];
    let app = app_with(&collector, &variables).await;
    assert_eq!(send(app.shout("hi")).await.status(), 503);
    let attempt = collector.expect("POST", 1).await.remove(0);
    assert_eq!(
        (attempt.attribute("error.type"), attempt.failed),
        (Some("refused"), true)
    );
    let server = collector.expect("POST /v1", 1).await.remove(0);
    assert_eq!(
        (server.attribute("error.type"), server.failed),
        (Some("upstream-unavailable"), true)
    );
    assert_eq!(server.attribute("http.response.status_code"), Some("503"));
}

#[tokio::test]
async fn an_attempt_whose_200_is_unusable_has_its_status() {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::start([Reply::body("<html>")]).await;
    let app = app_with(&collector, &[("SHOUTCLOUD_URL", &upstream.url())]).await;
    assert_eq!(send(app.shout("hi")).await.status(), 502);
    let attempt = collector.expect("POST", 1).await.remove(0);
    assert_eq!(attempt.attribute("http.response.status_code"), Some("200"));
    assert_eq!(
        (attempt.attribute("error.type"), attempt.failed),
        (Some("unreadable"), true)
    );
}

#[tokio::test]
async fn an_error_of_the_client_does_not_fail_the_span() {
    let collector = Collector::start().await;
    let app = app_with(&collector, &[]).await;
    assert_eq!(send(app.post()).await.status(), 401);
    let span = collector.expect("POST /v1", 1).await.remove(0);
    assert_eq!(
        (
            span.attribute("http.response.status_code"),
            span.attribute("error.type"),
            span.failed
        ),
        (Some("401"), Some("unauthenticated"), false)
    );
    assert_eq!(span.attribute("shoutback.client.id"), None);
}

#[tokio::test]
async fn names_have_known_methods_and_routes_only() {
    let collector = Collector::start().await;
    let app = open_app_with(&collector, &[]).await;
    for (method, path, name, route) in [
        ("GET", "/docs", "GET /docs", Some("/docs")),
        ("GET", "/invented", "GET", None),
        ("BREW", "/v1", "HTTP /v1", Some("/v1")),
        ("BREW", "/invented", "HTTP", None),
    ] {
        let before = collector.named(name).len();
        let url = format!("http://{}{path}?s3cret=s3cret", app.public);
        let method = method.parse().expect("a method");
        app.client.request(method, url).send().await.expect("a response");
        let span = collector.expect(name, before + 1).await.pop().expect("one more");
        assert_eq!(span.attribute("http.route"), route, "{name}");
        assert_eq!(
            span.attribute("url.path"),
            Some(route.unwrap_or("REDACTED")),
            "an unknown path is not recorded"
        );
    }
    let span = collector.named("HTTP").remove(0);
    assert_eq!(span.attribute("http.request.method"), Some("_OTHER"));
}

#[tokio::test]
async fn if_the_client_disconnects_request_and_attempt_are_cancelled() {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::held().await;
    let alone = ("CACHE_CAPACITY", "0");
    let app = open_app_with(&collector, &[("SHOUTCLOUD_URL", &upstream.url()), alone]).await;
    let waiting = tokio::spawn(app.shout("hi").send());
    upstream.called(1).await;
    assert!(collector.named("POST /v1").is_empty(), "still in flight");
    waiting.abort();
    for name in ["POST /v1", "POST"] {
        let span = collector.expect(name, 1).await.remove(0);
        assert_eq!(span.attribute("error.type"), Some("cancelled"), "{name}");
        assert!(span.failed, "{name}");
        assert_eq!(span.attribute("http.response.status_code"), None, "{name}");
    }
}

#[tokio::test]
async fn a_follower_links_to_the_leader() {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::held().await;
    let app = app_with(&collector, &[("SHOUTCLOUD_URL", &upstream.url())]).await;
    let first = tokio::spawn(app.shout("hi").send());
    upstream.called(1).await;
    let second = tokio::spawn(app.shout("hi").send());
    until("both have joined", async || {
        app.metric("shoutback_cache_requests_total", &["miss"]).await == 2.0
    })
    .await;
    upstream.release();
    for request in [first, second] {
        assert_eq!(request.await.expect("a task").expect("a response").status(), 200);
    }
    let served = collector.expect("POST /v1", 2).await;
    let by = |source| {
        let mut spans = served
            .iter()
            .filter(|span| span.attribute("shoutback.source") == Some(source));
        spans.next().unwrap_or_else(|| panic!("{source}: {served:#?}"))
    };
    let (leader, follower) = (by("upstream"), by("coalesced"));
    let calls = collector.expect("POST", 1).await;
    assert_eq!((calls.len(), &calls[0].parent), (1, &leader.id));
    assert_eq!(follower.links, [leader.id.as_str()]);
    assert!(leader.links.is_empty());
    assert_ne!(follower.trace, leader.trace);
}

#[tokio::test]
async fn a_call_that_outlives_its_request_stays_in_its_trace() {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::held().await;
    let app = app_with(&collector, &[("SHOUTCLOUD_URL", &upstream.url())]).await;
    let request = tokio::spawn(app.shout("hi").send());
    upstream.called(1).await;
    request.abort();
    let server = collector.expect("POST /v1", 1).await.remove(0);
    assert!(collector.named("POST").is_empty(), "the call continues");
    upstream.release();
    let call = collector.expect("POST", 1).await.remove(0);
    assert_eq!((&call.parent, &call.trace), (&server.id, &server.trace));
    assert_eq!(call.attribute("http.response.status_code"), Some("200"));
}

#[tokio::test]
async fn a_span_has_the_source_of_its_shout() {
    let collector = Collector::start().await;
    let app = app_with(&collector, &[]).await;
    for (number, (text, source)) in [("hi", "upstream"), ("hi", "cache"), ("", "none")]
        .into_iter()
        .enumerate()
    {
        app.shout(text).send().await.expect("a response");
        let span = collector.expect("POST /v1", number + 1).await.pop().expect("one");
        assert_eq!(span.attribute("shoutback.source"), Some(source));
    }
}

#[tokio::test]
async fn the_admin_listener_is_not_traced() {
    let collector = Collector::start().await;
    let app = open_app_with(&collector, &[]).await;
    for path in ["/livez", "/readyz", "/metrics", "/version"] {
        app.admin(path).await;
    }
    app.client
        .get(format!("http://{}/docs", app.public))
        .send()
        .await
        .expect("a response");
    collector.expect("GET /docs", 1).await;
    let servers: Vec<_> = collector
        .spans()
        .into_iter()
        .filter(|span| span.kind == "server")
        .collect();
    assert_eq!(servers.len(), 1, "{servers:#?}");
}

#[tokio::test]
async fn a_span_describes_the_request_as_the_client_saw_it() {
    let collector = Collector::start().await;
    let app = open_app_with(&collector, &[]).await;
    let long = "x".repeat(2000);
    for (number, (proto, scheme, agent)) in [
        (vec!["https"], "https", "probe/1.0"),
        (vec!["HTTPS"], "https", "probe/1.0"),
        (vec!["http"], "http", long.as_str()),
        (vec!["s3cret"], "http", "probe/1.0"),
        (vec!["https", "http"], "http", "probe/1.0"),
        (vec![], "http", "probe/1.0"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = app.shout("").header("user-agent", agent);
        for value in proto {
            request = request.header("x-forwarded-proto", value);
        }
        request = request.header("host", "shout.example:8443");
        assert_eq!(send(request).await.status(), 200);
        let span = collector.expect("POST /v1", number + 1).await.pop().expect("one");
        assert_attributes(
            &span,
            &[
                ("url.scheme", scheme),
                ("client.address", "127.0.0.1"),
                ("server.address", "shout.example"),
                ("server.port", "8443"),
            ],
        );
        let recorded = span.attribute("user_agent.original").expect("the user agent");
        assert!(agent.starts_with(recorded) && recorded.len() <= 256, "{recorded}");
    }
}

#[tokio::test]
async fn an_invalid_host_is_not_recorded() {
    let collector = Collector::start().await;
    let app = open_app_with(&collector, &[]).await;
    let request = "GET /docs HTTP/1.1\r\nhost: a b?s3cret\r\nconnection: close\r\n\r\n";
    crate::support::http1::exchange(app.public, request.as_bytes()).await;
    let span = collector.expect("GET /docs", 1).await.remove(0);
    assert_eq!(span.attribute("server.address"), None);
}

#[tokio::test]
async fn a_failed_span_says_why() {
    let collector = Collector::start().await;
    let variables = [
        ("SHOUTCLOUD_URL", "http://127.0.0.1:1/V1/SHOUT"),
        ("SHOUTCLOUD_MAX_RETRIES", "0"),
        ("BREAKER_MIN_CALLS", "1"),
    ];
    let app = open_app_with(&collector, &variables).await;
    assert_eq!(send(app.shout("hi")).await.status(), 503);
    for name in ["POST", "POST /v1"] {
        let span = collector.expect(name, 1).await.remove(0);
        assert!(span.description.contains("refused"), "{span:#?}");
        assert_ne!(span.attribute("error.type"), Some(&*span.description));
    }
    assert_eq!(send(app.shout("hi")).await.status(), 503);
    let rejected = collector.expect("POST /v1", 2).await.pop().expect("two");
    assert!(rejected.description.contains("circuit breaker"), "{rejected:#?}");
    assert_attributes(&rejected, &[("shoutback.failure.cause", "breaker_open")]);
}

#[tokio::test]
async fn an_exhausted_retry_budget_is_recorded() {
    let collector = Collector::start().await;
    let variables = [
        ("SHOUTCLOUD_URL", "http://127.0.0.1:1/V1/SHOUT"),
        ("SHOUTCLOUD_RETRY_RESERVE", "1"),
        ("SHOUTCLOUD_RETRY_BUDGET", "0"),
    ];
    let app = open_app_with(&collector, &variables).await;
    assert_eq!(send(app.shout("hi")).await.status(), 503);
    let span = collector.expect("POST /v1", 1).await.remove(0);
    assert_attributes(&span, &[("shoutback.retry_budget.exhausted", "true")]);
    let enough = open_app_with(&collector, &variables[..1]).await;
    assert_eq!(send(enough.shout("hi")).await.status(), 503);
    let span = collector.expect("POST /v1", 2).await.pop().expect("two");
    assert_eq!(span.attribute("shoutback.retry_budget.exhausted"), None);
}

#[tokio::test]
async fn a_retry_after_past_the_deadline_exhausts_no_retry_budget() {
    for (seconds, expected) in [("3600", None), ("1", Some("true"))] {
        let reply = format!("HTTP/1.1 503 x\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n");
        let upstream = FakeUpstream::start([Reply::Bytes(reply.into_bytes())]).await;
        let url = upstream.url();
        let variables = [
            ("SHOUTCLOUD_URL", url.as_str()),
            ("SHOUTCLOUD_RETRY_RESERVE", "1"),
            ("SHOUTCLOUD_RETRY_BUDGET", "0"),
        ];
        let collector = Collector::start().await;
        let app = open_app_with(&collector, &variables).await;
        assert_eq!(send(app.shout("hi")).await.status(), 503);
        let span = collector.expect("POST /v1", 1).await.remove(0);
        assert_eq!(
            span.attribute("shoutback.retry_budget.exhausted"),
            expected,
            "{seconds}"
        );
    }
}
