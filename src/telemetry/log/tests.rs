//! The lines that events are formatted as.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::{EcsFormat, EnvFilter, Identity, PrettyFormat, filter_fn, is_safe_to_log};

/// A layer that collects lines.
struct CollectingLayer<W> {
    lines: Arc<Mutex<String>>,
    write: W,
}

impl<S: Subscriber, W> Layer<S> for CollectingLayer<W>
where
    W: Fn(&mut String, &Metadata<'_>, &Event<'_>) + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        (self.write)(
            &mut self.lines.lock().expect("not poisoned"),
            event.metadata(),
            event,
        );
    }
}

/// Returns the lines that `write` formats from the events of `emit`, at `RUST_LOG=trace`.
fn formatted(
    write: impl Fn(&mut String, &Metadata<'_>, &Event<'_>) + Send + Sync + 'static,
    emit: impl FnOnce(),
) -> String {
    let lines = Arc::new(Mutex::new(String::new()));
    let layer = CollectingLayer {
        lines: Arc::clone(&lines),
        write,
    };
    let filter = EnvFilter::new("trace").and(filter_fn(is_safe_to_log));
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
    tracing::subscriber::with_default(subscriber, emit);
    lines.lock().expect("not poisoned").clone()
}

fn ecs(identity: &Identity, emit: impl FnOnce()) -> Vec<Value> {
    let ecs = EcsFormat::new(identity);
    let lines = formatted(
        move |line, metadata, event| ecs.write(line, UNIX_EPOCH, metadata, event),
        emit,
    );
    assert!(lines.is_empty() || lines.ends_with('\n'), "{lines:?}");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect()
}

fn pretty(is_coloured: bool, emit: impl FnOnce()) -> String {
    let pretty = PrettyFormat { is_coloured };
    formatted(
        move |line, metadata, event| pretty.write(line, UNIX_EPOCH, metadata, event),
        emit,
    )
}

#[test]
fn an_event_becomes_an_object_of_its_fields_and_the_identity() {
    let identity = Identity {
        name: "a \"name\"".to_owned(),
        version: "1.2.3".to_owned(),
        environment: Some("staging".to_owned()),
        node: Some("pod-1".to_owned()),
    };
    let lines = ecs(&identity, || {
        tracing::warn!(
            event.action = "test",
            event.category = "web",
            "event.type" = "access",
            number = 7_u64,
            negative = -7,
            ratio = 0.5,
            nonsense = f64::NAN,
            yes = true,
            nothing = None::<u64>,
            shown = %"shown",
            "number {}",
            1
        );
    });
    let expected = json!({
        "@timestamp": "1970-01-01T00:00:00.000000Z",
        "log.level": "warn",
        "message": "number 1",
        "event.action": "test",
        "event.category": ["web"],
        "event.type": ["access"],
        "number": 7,
        "negative": -7,
        "ratio": 0.5,
        "yes": true,
        "shown": "shown",
        "log.logger": "shoutback::telemetry::log::tests",
        "event.dataset": "shoutback.log",
        "service.name": "a \"name\"",
        "service.version": "1.2.3",
        "service.environment": "staging",
        "service.node.name": "pod-1",
        "ecs.version": "8.11.0",
    });
    assert_eq!(lines, [expected]);
}

#[test]
fn fields_of_library_events_go_into_the_message() {
    let lines = ecs(&Identity::default(), || {
        tracing::info!(target: "hyper", action = "connect", peer = ?"a\nb", "number {}", 1);
    });
    assert_eq!(lines[0]["message"], "number 1 action=connect peer=\"a\\nb\"");
    assert_eq!(lines[0]["log.logger"], "hyper");
    assert!(
        lines[0].get("action").is_none() && lines[0].get("peer").is_none(),
        "{lines:?}"
    );
}

#[test]
fn libraries_log_at_most_info_at_any_filter() {
    let lines = ecs(&Identity::default(), || {
        tracing::trace!("own");
        tracing::trace!(target: "shoutback", "own");
        tracing::debug!(target: "hyper::proto", "library, with headers");
        tracing::trace!(target: "shoutbackward", "library");
        tracing::info!(target: "hyper::proto", "library");
    });
    let messages: Vec<_> = lines.iter().map(|line| line["message"].clone()).collect();
    assert_eq!(messages, ["own", "own", "library"]);
}

/// Input that tries to end the line, forge another, and move the cursor.
const HOSTILE: &str = "a\n{\"message\":\"forged\"}\r\u{2028}\u{2029}\u{85}\0\u{1b}[2J\u{202e}\",\"log.level\":\"error\",\"x\":\"";

#[test]
fn hostile_values_stay_on_their_line() {
    let emit = || {
        tracing::info!(text = HOSTILE, shown = %HOSTILE, "text {HOSTILE}");
        tracing::info!(target: "library", text = HOSTILE, "text {HOSTILE}");
        tracing::info!(
            event.action = "request",
            http.request.id = HOSTILE,
            client.user.id = HOSTILE,
            "request"
        );
        let bytes = [&b"\xff\n"[..], HOSTILE.as_bytes()].concat();
        tracing::info!(lossy = %String::from_utf8_lossy(&bytes), debug = ?bytes, "bytes");
    };
    let lines = ecs(&Identity::default(), emit);
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| line["log.level"] == "info"), "{lines:#?}");
    assert_eq!(lines[0]["text"], HOSTILE);
    assert_eq!(lines[0]["message"], format!("text {HOSTILE}"));
    let lines = pretty(false, emit);
    let ends =
        |c: char| c == '\u{1b}' || c == '\r' || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{202e}');
    assert!(lines.lines().count() == 4 && !lines.contains(ends), "{lines:?}");
}

#[test]
fn pretty_formats_a_request_as_one_summary_line() {
    let request = || {
        tracing::info!(
            event.action = "request",
            event.kind = "event",
            event.duration = 12_345_678_u64,
            http.request.method = "POST",
            http.request.id = "mine",
            http.response.status_code = 200_u16,
            client.user.id = "ada",
            shoutback.route = "/v1",
            shoutback.source = "cache",
            "POST /v1"
        );
    };
    assert_eq!(
        pretty(false, request),
        "1970-01-01T00:00:00.000Z  info POST /v1 200 12.3 ms ada cache mine\n"
    );
    let cancelled = || {
        tracing::info!(
            event.action = "request",
            event.duration = 1_000_u64,
            http.request.method = "POST",
            http.request.id = "mine",
            "error.type" = "cancelled",
            shoutback.route = "/v1",
            "POST /v1"
        );
    };
    assert_eq!(
        pretty(false, cancelled),
        "1970-01-01T00:00:00.000Z  info POST /v1 cancelled 0.0 ms mine\n"
    );
}

#[test]
fn pretty_formats_other_events_as_message_and_fields() {
    let emit = || tracing::error!(event.action = "breaker", shoutback.breaker.to = "open", "it went");
    assert_eq!(
        pretty(false, emit),
        "1970-01-01T00:00:00.000Z error it went shoutback.breaker.to=open\n"
    );
    let coloured = pretty(true, emit);
    assert!(coloured.contains("\u{1b}[31merror\u{1b}[0m"), "{coloured:?}");
}

#[test]
fn logging_while_formatting_a_line_gets_another_buffer() {
    struct Nested;

    impl fmt::Debug for Nested {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            super::with_buffer(|line| assert!(line.is_empty()));
            f.write_str("nested")
        }
    }

    super::with_buffer(|line| {
        _ = fmt::Write::write_fmt(line, format_args!("{Nested:?}"));
        assert_eq!(line, "nested");
    });
    super::with_buffer(|line| assert!(line.is_empty()));
}
