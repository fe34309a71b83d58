//! OpenTelemetry's own variables, as its specification has them: times are numbers of milliseconds, and a variable that is
//! set to nothing is as good as unset. The SDK reads none of them: what it is told comes from here.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::form::{Form, number, one_of};
use super::reader::Reader;
use super::url::bare_url;

const SERVICE_NAME: &str = "service.name";

/// Traces: what is recorded, how they are continued, and where they go.
#[derive(Debug, Clone)]
pub struct Otel {
    /// Nothing is recorded, and no trace is begun.
    pub disabled: bool,
    /// What the process says of itself, `service.name` among it.
    pub resource: BTreeMap<String, String>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// In which headers a trace comes in and goes out.
    pub propagators: Vec<Propagator>,
    /// Where spans go; `None`: nowhere.
    pub exporter: Option<Exporter>,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether the caller's decision counts, if there is a caller.
    pub parent_based: bool,
    /// The share of the others.
    pub ratio: f64,
}

/// A form of the headers that a trace comes in and goes out with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagator {
    /// `traceparent`, `tracestate` (W3C).
    TraceContext,
    /// `baggage` (W3C).
    Baggage,
    /// `x-amzn-trace-id`.
    XRay,
}

/// Where spans go, and how many wait for that.
#[derive(Debug, Clone)]
pub struct Exporter {
    /// The whole URL for HTTP; the server's for gRPC.
    pub endpoint: Url,
    /// How they are sent there.
    pub protocol: Protocol,
    /// Sent along, marked as sensitive: they are mostly credentials.
    pub headers: HeaderMap,
    /// For one attempt to send a batch.
    pub timeout: Duration,
    /// For all attempts to send a batch.
    pub export_timeout: Duration,
    /// How many spans may wait.
    pub max_queue_size: usize,
    /// How many spans are sent at once.
    pub max_batch_size: usize,
    /// How long a span waits for a batch to be full.
    pub schedule_delay: Duration,
}

/// How spans are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf in requests of HTTP/1.1 or HTTP/2.
    Http,
    /// gRPC.
    Grpc,
}

impl Otel {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            disabled: reader.value(
                "OTEL_SDK_DISABLED",
                "false",
                // In any case, as the specification has it.
                Form::new("one of false, true", |text| text.to_ascii_lowercase().parse().ok()),
                "Whether traces are off: none is begun or recorded; a caller's goes on to SHOUTCLOUD as it came.",
            ),
            resource: resource(reader),
            sampler: sampler(reader),
            propagators: reader.value(
                "OTEL_PROPAGATORS",
                "tracecontext,baggage",
                propagators(),
                "In which headers a caller's trace is continued, and goes on to SHOUTCLOUD.",
            ),
            exporter: exporter(reader),
        }
    }
}

fn resource(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let name = reader.optional(
        "OTEL_SERVICE_NAME",
        "shoutback",
        service_name(),
        "`service.name` of what is exported, whatever OTEL_RESOURCE_ATTRIBUTES says.",
    );
    let resource = reader.optional(
        "OTEL_RESOURCE_ATTRIBUTES",
        "none",
        attributes(),
        "What is said of this process with every span, such as deployment.environment.name.",
    );
    let mut resource = resource.unwrap_or_default();
    if let Some(name) = name {
        resource.insert(SERVICE_NAME.to_owned(), name);
    }
    resource
        .entry(SERVICE_NAME.to_owned())
        .or_insert_with(|| "shoutback".to_owned());
    resource
}

fn sampler(reader: &mut Reader<'_>) -> Sampler {
    /// The share stands in another variable.
    const BY_RATIO: f64 = f64::NAN;
    let (parent_based, ratio) = reader.value(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        one_of(&[
            ("always_on", (false, 1.0)),
            ("always_off", (false, 0.0)),
            ("traceidratio", (false, BY_RATIO)),
            ("parentbased_always_on", (true, 1.0)),
            ("parentbased_always_off", (true, 0.0)),
            ("parentbased_traceidratio", (true, BY_RATIO)),
        ]),
        "Which traces are recorded; parentbased: as the caller decided, if there is one.",
    );
    let share = reader.value(
        "OTEL_TRACES_SAMPLER_ARG",
        "1",
        Form::new("a number from 0 to 1, such as 0.05", |text| {
            let share = text.parse::<f64>().ok()?;
            (0.0..=1.0).contains(&share).then_some(share)
        }),
        "The share of traces that the samplers with traceidratio record.",
    );
    Sampler {
        parent_based,
        ratio: if ratio.is_nan() { share } else { ratio },
    }
}

fn exporter(reader: &mut Reader<'_>) -> Option<Exporter> {
    let wanted = reader.value(
        "OTEL_TRACES_EXPORTER",
        "otlp",
        one_of(&[("otlp", true), ("none", false)]),
        "Whether spans are exported, if there is an endpoint.",
    );
    let general = reader.optional(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "none",
        endpoint(),
        "The collector. With http/protobuf, /v1/traces is appended. Neither this nor the next: nothing is exported.",
    );
    let traces = reader.optional(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "none",
        endpoint(),
        "Where spans go, if not to the collector above; used as it is.",
    );
    let protocols = || one_of(&[("http/protobuf", Protocol::Http), ("grpc", Protocol::Grpc)]);
    let protocol = reader.value(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/protobuf",
        protocols(),
        "How the collector is spoken to.",
    );
    let protocol = reader
        .optional(
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            protocols(),
            "The same for spans alone.",
        )
        .unwrap_or(protocol);
    let headers_of_all = reader.optional(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "none",
        headers(),
        "Headers for the collector, credentials for instance; never printed.",
    );
    let headers = reader
        .optional(
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_OTLP_HEADERS",
            headers(),
            "The same for spans alone, instead of those.",
        )
        .or(headers_of_all)
        .unwrap_or_default();
    let timeout = reader.value(
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "10000",
        milliseconds(1),
        "Time for one attempt to send a batch to the collector.",
    );
    let timeout = reader
        .optional(
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            milliseconds(1),
            "The same for spans alone.",
        )
        .unwrap_or(timeout);
    let schedule_delay = reader.value(
        "OTEL_BSP_SCHEDULE_DELAY",
        "5000",
        milliseconds(1),
        "How long a span waits at most for its batch to be full.",
    );
    let max_queue_size = reader.value(
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "2048",
        number(1, 1_000_000),
        "Spans that may wait to be sent; further ones are dropped and counted.",
    );
    let max_batch_size = reader.optional(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "512",
        number(1, 1_000_000),
        "Spans that are sent at once; at most OTEL_BSP_MAX_QUEUE_SIZE, which is the default where that is smaller.",
    );
    reader.contradiction(
        ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_MAX_QUEUE_SIZE"],
        max_batch_size.is_some_and(|size| size > max_queue_size),
        "must not be above OTEL_BSP_MAX_QUEUE_SIZE, or no batch is ever full",
    );
    let export_timeout = reader.value(
        "OTEL_BSP_EXPORT_TIMEOUT",
        "30000",
        milliseconds(1),
        "Time for all attempts to send a batch; then its spans are dropped and counted.",
    );
    let endpoint = match (traces, general) {
        (Some(endpoint), _) => endpoint,
        (None, Some(endpoint)) if protocol == Protocol::Http => for_traces(endpoint),
        (None, Some(endpoint)) => endpoint,
        (None, None) => return None,
    };
    wanted.then(|| Exporter {
        endpoint,
        protocol,
        headers,
        timeout,
        export_timeout,
        max_queue_size: max_queue_size as usize,
        max_batch_size: max_batch_size.unwrap_or(512).min(max_queue_size) as usize,
        schedule_delay,
    })
}

fn for_traces(mut endpoint: Url) -> Url {
    let path = format!("{}/v1/traces", endpoint.path().trim_end_matches('/'));
    endpoint.set_path(&path);
    endpoint
}

fn endpoint() -> Form<Url> {
    Form::new(
        "an http: or https: URL without user or fragment, such as http://collector:4318",
        |text| bare_url(text).filter(|url| matches!(url.scheme(), "http" | "https")),
    )
}

fn milliseconds(at_least: u32) -> Form<Duration> {
    let Form { parse, .. } = number(at_least, 3_600_000);
    Form::new(
        format!("a number of milliseconds from {at_least} to 3600000, such as 500"),
        move |text| parse(text).map(|number| Duration::from_millis(number.into())),
    )
}

fn propagators() -> Form<Vec<Propagator>> {
    Form::new(
        "a comma-separated list of tracecontext, baggage, xray, or none",
        |text| {
            if text == "none" {
                return Some(Vec::new());
            }
            let mut read = Vec::new();
            for name in text.split(',').map(str::trim) {
                let propagator = match name {
                    "tracecontext" => Propagator::TraceContext,
                    "baggage" => Propagator::Baggage,
                    "xray" => Propagator::XRay,
                    _ => return None,
                };
                // The specification has doubles ignored.
                if !read.contains(&propagator) {
                    read.push(propagator);
                }
            }
            Some(read)
        },
    )
}

fn service_name() -> Form<String> {
    Form::new(
        "a name of at most 255 letters, digits, spaces and any of . _ - / :",
        |text| {
            let is_good = |character: char| character.is_alphanumeric() || " ._-/:".contains(character);
            (text.len() <= 255 && text.chars().all(is_good)).then(|| text.to_owned())
        },
    )
}

fn attributes() -> Form<BTreeMap<String, String>> {
    Form::new(
        "a comma-separated list of name=value, no name twice, values percent-encoded",
        pairs,
    )
}

fn headers() -> Form<HeaderMap> {
    Form::new(
        "a comma-separated list of name=value, no name twice, values percent-encoded",
        |text| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs(text)? {
                let name = HeaderName::try_from(name).ok()?;
                let mut value = HeaderValue::try_from(value).ok()?;
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            Some(headers)
        },
    )
}

/// `name=value,…`, as in W3C's baggage but without properties.
fn pairs(text: &str) -> Option<BTreeMap<String, String>> {
    let is_good = |byte: u8| byte.is_ascii_graphic() && !b"\"(){};<>@[]\\?".contains(&byte);
    let mut read = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let name = name.trim_end();
        if name.is_empty() || !name.bytes().all(is_good) {
            return None;
        }
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        if read.insert(name.to_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(read)
}
