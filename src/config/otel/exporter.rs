//! The OTLP exporter of spans. A variable for traces alone (`OTEL_EXPORTER_OTLP_TRACES_*`) takes precedence over the general
//! one (`OTEL_EXPORTER_OTLP_*`).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::super::reader::{Reader, UNSET};
use super::super::url::parse_url;
use super::super::value_parser::{ValueParser, number, one_of};
use super::parse_pairs;

/// Where and how spans are exported.
#[derive(Debug, Clone)]
pub struct Exporter {
    /// The complete URL for HTTP; the URL of the server for gRPC.
    pub endpoint: Url,
    /// The transport protocol.
    pub protocol: Protocol,
    /// Whether batches are compressed with gzip.
    pub is_compressed: bool,
    /// Headers of each export, marked as sensitive because they usually contain credentials.
    pub headers: HeaderMap,
    /// Timeout of one attempt to send a batch.
    pub timeout: Duration,
    /// Timeout of all attempts to send a batch.
    pub export_timeout: Duration,
    /// Maximum number of queued spans.
    pub max_queue_size: usize,
    /// Maximum number of spans per batch.
    pub max_batch_size: usize,
    /// How long a span may wait for its batch to fill.
    pub schedule_delay: Duration,
}

/// The transport protocol of an exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf over HTTP/1.1 or HTTP/2.
    Http,
    /// gRPC.
    Grpc,
}

impl Exporter {
    /// Returns `None` if spans are not exported.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let enabled = reader.value(
            "OTEL_TRACES_EXPORTER",
            "otlp",
            one_of(&[("otlp", true), ("none", false)]),
            "Whether spans are exported, if an endpoint is set.",
        );
        let general_endpoint = reader.optional(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            UNSET,
            endpoint(),
            "URL of the collector; /v1/traces is appended for http/protobuf. If no endpoint is set, spans are not exported.",
        );
        let traces_endpoint = reader.optional(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            UNSET,
            endpoint(),
            "URL for spans, used unchanged instead of OTEL_EXPORTER_OTLP_ENDPOINT.",
        );
        let protocol = read_protocol(reader);
        let is_compressed = read_compression(reader);
        let headers = read_headers(reader);
        let timeout = read_timeout(reader);
        let schedule_delay = reader.value(
            "OTEL_BSP_SCHEDULE_DELAY",
            "5000",
            milliseconds(1),
            "How long a span may wait for its batch to fill.",
        );
        let max_queue_size = reader.value(
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "2048",
            number(1, 1_000_000),
            "Maximum number of queued spans; further ones are dropped and counted.",
        );
        let max_batch_size = reader.optional(
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            "512",
            number(1, 1_000_000),
            "Maximum number of spans per batch; the default is OTEL_BSP_MAX_QUEUE_SIZE if that is smaller.",
        );
        reader.conflict(
            ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_MAX_QUEUE_SIZE"],
            max_batch_size.is_some_and(|size| size > max_queue_size),
            "must not be above OTEL_BSP_MAX_QUEUE_SIZE, or no batch ever fills",
        );
        let export_timeout = reader.value(
            "OTEL_BSP_EXPORT_TIMEOUT",
            "30000",
            milliseconds(1),
            "Timeout of all attempts to send a batch; its spans are then dropped and counted.",
        );
        let endpoint = match (traces_endpoint, general_endpoint) {
            (Some(endpoint), _) => endpoint,
            (None, Some(endpoint)) if protocol == Protocol::Http => with_traces_path(endpoint),
            (None, Some(endpoint)) => endpoint,
            (None, None) => return None,
        };
        enabled.then(|| Self {
            endpoint,
            protocol,
            is_compressed,
            headers,
            timeout,
            export_timeout,
            max_queue_size: max_queue_size as usize,
            max_batch_size: max_batch_size.unwrap_or(512).min(max_queue_size) as usize,
            schedule_delay,
        })
    }
}

fn read_protocol(reader: &mut Reader<'_>) -> Protocol {
    let protocols = || one_of(&[("http/protobuf", Protocol::Http), ("grpc", Protocol::Grpc)]);
    let general = reader.value(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/protobuf",
        protocols(),
        "Transport protocol of the collector.",
    );
    reader
        .optional(
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            protocols(),
            "Transport protocol for spans.",
        )
        .unwrap_or(general)
}

fn read_compression(reader: &mut Reader<'_>) -> bool {
    let compressions = || one_of(&[("none", false), ("gzip", true)]);
    let general = reader.value(
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "none",
        compressions(),
        "Compression of what is sent to the collector.",
    );
    reader
        .optional(
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
            "OTEL_EXPORTER_OTLP_COMPRESSION",
            compressions(),
            "Compression of spans.",
        )
        .unwrap_or(general)
}

fn read_headers(reader: &mut Reader<'_>) -> HeaderMap {
    let general = reader.optional(
        "OTEL_EXPORTER_OTLP_HEADERS",
        UNSET,
        headers(),
        "Headers for the collector, such as credentials; never printed.",
    );
    reader
        .optional(
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_OTLP_HEADERS",
            headers(),
            "Headers for spans; replaces OTEL_EXPORTER_OTLP_HEADERS as a whole.",
        )
        .or(general)
        .unwrap_or_default()
}

fn read_timeout(reader: &mut Reader<'_>) -> Duration {
    let general = reader.value(
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "10000",
        milliseconds(1),
        "Timeout of one attempt to send a batch to the collector.",
    );
    reader
        .optional(
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            milliseconds(1),
            "Timeout of one attempt to send a batch of spans.",
        )
        .unwrap_or(general)
}

fn with_traces_path(mut endpoint: Url) -> Url {
    let path = format!("{}/v1/traces", endpoint.path().trim_end_matches('/'));
    endpoint.set_path(&path);
    endpoint
}

fn endpoint() -> ValueParser<Url> {
    ValueParser::new(
        "an http: or https: URL without user or fragment, such as http://collector:4318",
        |text| parse_url(text).filter(|url| matches!(url.scheme(), "http" | "https")),
    )
    .secret()
}

fn milliseconds(at_least: u32) -> ValueParser<Duration> {
    let ValueParser { parse, .. } = number(at_least, 3_600_000);
    ValueParser::new(
        format!("a number of milliseconds from {at_least} to 3600000"),
        move |text| parse(text).map(|number| Duration::from_millis(number.into())),
    )
}

fn headers() -> ValueParser<HeaderMap> {
    ValueParser::new(
        "a comma-separated list of name=value without duplicate names, both percent-encoded",
        |text| {
            let mut headers = HeaderMap::new();
            for (name, value) in parse_pairs(text)? {
                let name = HeaderName::try_from(name).ok()?;
                let mut value = HeaderValue::try_from(value).ok()?;
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            Some(headers)
        },
    )
    .secret()
}
