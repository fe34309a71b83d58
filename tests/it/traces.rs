//! Traces: spans, propagation, sampling and export.

mod collector;
mod exit;
mod keys;
mod propagation;
mod sampling;
mod secrets;
mod spans;

use crate::support::App;
use crate::support::collector::Collector;
use crate::support::upstream::FakeUpstream;

/// The trace and the span of a caller.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Spans are exported without delay.
const NO_DELAY: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "5");

/// Starts an application that exports to `collector`.
async fn app_with(collector: &Collector, settings: &[(&str, &str)]) -> App {
    let url = collector.url();
    let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), NO_DELAY];
    App::start(&[&endpoint, settings].concat()).await
}

/// Does the same without authentication, so that there are no spans of key fetches.
async fn open_app_with(collector: &Collector, settings: &[(&str, &str)]) -> App {
    app_with(collector, &[&[("AUTH_MODE", "disabled")], settings].concat()).await
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// Returns the header fields of the calls so far, names in lower case.
fn headers(upstream: &FakeUpstream) -> Vec<Vec<(String, String)>> {
    let fields = |request: String| {
        let (head, _) = request.split_once("\r\n\r\n").expect("a head");
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect()
    };
    upstream.requests().into_iter().map(fields).collect()
}

/// Returns the value of a header field in each call so far; empty for calls without it.
fn sent(upstream: &FakeUpstream, name: &str) -> Vec<String> {
    let find = |fields: Vec<(String, String)>| {
        let mut fields = fields.into_iter().filter(|field| field.0 == name);
        fields.next().map(|field| field.1).unwrap_or_default()
    };
    headers(upstream).into_iter().map(find).collect()
}
