//! Propagation of trace contexts from the caller and to SHOUTCLOUD.

use crate::support::collector::{Collector, Span};
use crate::support::key_server::{KeyResponse, KeyServer};
use crate::support::rsa::{ADA, BOB};
use crate::support::upstream::FakeUpstream;
use crate::support::{App, send};

use super::{CALLER, TRACE, app_with, headers, sent, traceparent};

const XRAY: &str = "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1";

async fn shout(app: &App, text: &str, headers: &[(&str, &str)]) {
    let mut request = app.shout(text);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    assert_eq!(send(request).await.status(), 200);
}

/// Returns trace, span and flags of a `traceparent`.
fn parts(traceparent: &str) -> [&str; 3] {
    let parts: Vec<_> = traceparent.split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"), "{traceparent}");
    [parts[1], parts[2], parts[3]]
}

#[tokio::test]
async fn the_callers_trace_is_continued_and_propagated() {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&collector, &[("SHOUTCLOUD_URL", &upstream.url())]).await;
    let fields = [
        ("traceparent", traceparent("01")),
        ("tracestate", "vendor=1".to_owned()),
        ("baggage", "tenant=7".to_owned()),
    ];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    shout(&app, "hi", &fields).await;
    let server = collector.expect("POST /v1", 1).await.remove(0);
    assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, CALLER));
    let attempt = collector.expect("POST", 1).await.remove(0);
    assert_eq!(
        sent(&upstream, "traceparent"),
        [format!("00-{TRACE}-{}-01", attempt.id)]
    );
    assert_eq!(sent(&upstream, "tracestate"), ["vendor=1"]);
    assert_eq!(sent(&upstream, "baggage"), ["tenant=7"]);
}

#[tokio::test]
async fn traceparent_is_the_only_header_added_to_a_call() {
    let upstream = FakeUpstream::shouting().await;
    let none = upstream.app(&[("OTEL_PROPAGATORS", "none")]).await;
    let default = upstream.app(&[]).await;
    for app in [none, default] {
        shout(&app, "hi", &[]).await;
    }
    let [before, with] = <[_; 2]>::try_from(headers(&upstream)).expect("two calls");
    let names =
        |fields: &[(String, String)]| -> Vec<_> { fields.iter().map(|field| field.0.clone()).collect() };
    let mut added = names(&with);
    added.retain(|name| !names(&before).contains(name));
    assert_eq!(added, ["traceparent"]);
    assert_eq!(before.len() + 1, with.len());
}

#[tokio::test]
async fn an_invalid_traceparent_starts_a_new_trace() {
    let collector = Collector::start().await;
    let app = app_with(&collector, &[]).await;
    let short = format!("00-{}-{CALLER}-01", &TRACE[1..]);
    for (number, invalid) in [
        "nonsense",
        "",
        short.as_str(),
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    ]
    .into_iter()
    .enumerate()
    {
        shout(&app, "hi", &[("traceparent", invalid)]).await;
        let span = collector.expect("POST /v1", number + 1).await.pop().expect("one");
        assert_eq!((span.parent.as_str(), span.trace.len()), ("", 32), "{invalid}");
        assert_ne!(span.trace, TRACE, "{invalid}");
    }
}

/// Returns the flags that follow those of a caller: its random flag, and the decision of the sampler, which records all.
fn always_sampled(flags: &str) -> &'static str {
    match flags {
        "02" | "03" => "03",
        _ => "01",
    }
}

#[tokio::test]
async fn a_trace_is_continued_without_export() {
    let upstream = FakeUpstream::shouting().await;
    let app = upstream.app(&[]).await;
    for flags in ["01", "00", "03", "02"] {
        shout(&app, flags, &[("traceparent", &traceparent(flags))]).await;
        let sent = sent(&upstream, "traceparent").pop().expect("a call");
        let [trace, span, sent] = parts(&sent);
        assert_eq!(
            (trace, sent),
            (TRACE, always_sampled(flags)),
            "the caller's flags are {flags}"
        );
        assert_ne!(span, CALLER, "the id of the attempt");
    }
    shout(&app, "new", &[]).await;
    let sent = sent(&upstream, "traceparent").pop().expect("a call");
    let [trace, _, flags] = parts(&sent);
    assert_ne!(trace, TRACE);
    assert_eq!(flags, "03", "sampled, and the new id is random");
}

#[tokio::test]
async fn the_random_flag_is_forwarded_with_export() {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::shouting().await;
    let app = app_with(&collector, &[("SHOUTCLOUD_URL", &upstream.url())]).await;
    for flags in ["00", "01", "02", "03"] {
        shout(&app, flags, &[("traceparent", &traceparent(flags))]).await;
        let sent = sent(&upstream, "traceparent").pop().expect("a call");
        assert_eq!(parts(&sent)[2], always_sampled(flags));
    }
    shout(&app, "new", &[]).await;
    let sent = sent(&upstream, "traceparent").pop().expect("a call");
    assert_eq!(parts(&sent)[2], "03");
}

#[tokio::test]
async fn lists_on_several_lines_and_encoded_baggage_are_forwarded() {
    let upstream = FakeUpstream::shouting().await;
    let app = upstream.app(&[]).await;
    let parent = traceparent("01");
    let fields = [
        ("traceparent", parent.as_str()),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
        ("baggage", "k=100%2541"),
        ("baggage", "l=2"),
    ];
    shout(&app, "hi", &fields).await;
    assert_eq!(sent(&upstream, "tracestate"), ["a=1,b=2"]);
    assert_eq!(sent(&upstream, "baggage"), ["k=100%2541,l=2"]);
}

#[tokio::test]
async fn x_ray_contexts_are_propagated() {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::shouting().await;
    let variables = [
        ("SHOUTCLOUD_URL", upstream.url()),
        ("OTEL_PROPAGATORS", "xray".to_owned()),
    ];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let app = app_with(&collector, &variables).await;
    shout(
        &app,
        "hi",
        &[
            ("x-amzn-trace-id", XRAY),
            (
                "traceparent",
                "00-11111111111111111111111111111111-2222222222222222-01",
            ),
        ],
    )
    .await;
    let server = collector.expect("POST /v1", 1).await.remove(0);
    assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, CALLER));
    let attempt = collector.expect("POST", 1).await.remove(0);
    let expected = format!(
        "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent={};Sampled=1",
        attempt.id
    );
    assert_eq!(sent(&upstream, "x-amzn-trace-id"), [expected]);
    assert_eq!(sent(&upstream, "traceparent"), [""]);
}

#[tokio::test]
async fn the_disabled_sdk_starts_no_trace_and_forwards_that_of_the_caller() {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::shouting().await;
    let variables = [
        ("SHOUTCLOUD_URL", upstream.url()),
        ("OTEL_SDK_DISABLED", "true".to_owned()),
    ];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let app = app_with(&collector, &variables).await;
    shout(&app, "hi", &[]).await;
    shout(&app, "ho", &[("traceparent", &traceparent("01"))]).await;
    assert_eq!(sent(&upstream, "traceparent"), [String::new(), traceparent("01")]);
    app.stop().await;
    assert_eq!(collector.requests(), 0);
}

#[tokio::test]
async fn exports_are_not_traced() {
    let collector = Collector::start().await;
    let app = app_with(&collector, &[]).await;
    shout(&app, "hi", &[("traceparent", &traceparent("01"))]).await;
    collector.expect("POST /v1", 1).await;
    app.stop().await;
    for batch in collector.batches() {
        assert!(!batch.headers.contains_key("traceparent"), "{:?}", batch.headers);
    }
    let calls = collector.spans().into_iter().filter(|span| span.kind == "client");
    assert_eq!(calls.count(), 2, "of the keys and of SHOUTCLOUD");
}

#[tokio::test]
async fn a_request_that_is_not_accepted_never_enters_the_callers_trace() {
    let collector = Collector::start().await;
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&collector, &[("COGNITO_JWKS_ENDPOINT", &keys.url())]).await;
    let claims = app.cognito.claims();
    let expired = crate::support::changed(claims.clone(), &[("exp", 1.into())]);
    let no_scope = crate::support::changed(claims.clone(), &[("scope", "other".into())]);
    let from_caller = |request: reqwest::RequestBuilder| request.header("traceparent", traceparent("01"));
    for (number, (token, status)) in [
        ("nonsense".to_owned(), 401),
        (ADA.token("ada", &expired), 401),
        // Its key is unknown, so the key set is fetched.
        (BOB.token("bob", &claims), 401),
        (ADA.token("ada", &no_scope), 403),
    ]
    .into_iter()
    .enumerate()
    {
        let response = send(from_caller(app.shout_with(&token, "hi"))).await;
        assert_eq!(response.status(), status);
        let server = collector.expect("POST /v1", number + 1).await.pop().expect("one");
        assert_eq!(server.parent, "", "a root");
        assert_eq!(server.links, [CALLER]);
        assert!(server.attribute("error.type").is_some());
    }
    let missing = send(from_caller(app.post())).await;
    assert_eq!(missing.status(), 401);
    let elsewhere = format!("http://{}/nowhere", app.public);
    let not_found = send(from_caller(app.client.get(elsewhere))).await;
    assert_eq!(not_found.status(), 404);
    collector.expect("GET", 3).await;
    collector.expect("POST /v1", 5).await;
    let of_the_caller =
        |spans: Vec<Span>| -> Vec<_> { spans.into_iter().filter(|span| span.trace == TRACE).collect() };
    assert!(
        of_the_caller(collector.spans()).is_empty(),
        "{:#?}",
        collector.spans()
    );
    let accepted = send(from_caller(app.shout_with(&ADA.token("ada", &claims), "hi"))).await;
    assert_eq!(accepted.status(), 200);
    let server = collector.expect("POST /v1", 6).await.pop().expect("one");
    assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, CALLER));
    app.stop().await;
    let traced = of_the_caller(collector.spans());
    let names: Vec<_> = traced.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["POST", "POST /v1"]);
}

#[tokio::test]
async fn a_fetch_before_a_rejection_is_in_the_trace_of_the_request() {
    let collector = Collector::start().await;
    let keys = KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let app = app_with(&collector, &[("COGNITO_JWKS_ENDPOINT", &keys.url())]).await;
    collector.expect("fetch keys", 1).await;
    let token = BOB.token("bob", &app.cognito.claims());
    let request = app
        .shout_with(&token, "hi")
        .header("traceparent", traceparent("01"));
    assert_eq!(send(request).await.status(), 401);
    let server = collector.expect("POST /v1", 1).await.remove(0);
    let wait = collector.expect("fetch keys", 2).await.pop().expect("two");
    assert_eq!((&wait.parent, &wait.trace), (&server.id, &server.trace));
}
