//! Tracing, by the variables of OpenTelemetry's specification: durations are numbers of milliseconds, and an empty value
//! counts as unset. They are read here only; the SDK is configured explicitly.

mod exporter;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

pub use self::exporter::{Exporter, Protocol};

use super::reader::{Reader, UNSET};
use super::value_parser::{ValueParser, one_of};

const SERVICE_NAME: &str = "service.name";

/// Sampling, propagation and export of traces.
#[derive(Debug, Clone)]
pub struct Otel {
    /// Whether tracing is disabled.
    pub disabled: bool,
    /// Resource attributes, including `service.name`.
    pub resource: BTreeMap<String, String>,
    /// The ratio of traces that are recorded.
    pub sampling_ratio: f64,
    /// Propagators of incoming and outgoing trace context.
    pub propagators: Vec<Propagator>,
    /// The exporter; `None` if spans are not exported.
    pub exporter: Option<Exporter>,
}

/// A format of trace context in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagator {
    /// `traceparent`, `tracestate` (W3C).
    TraceContext,
    /// `baggage` (W3C).
    Baggage,
    /// `x-amzn-trace-id`.
    XRay,
}

impl Otel {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            disabled: reader.value(
                "OTEL_SDK_DISABLED",
                "false",
                // OpenTelemetry's specification: booleans are case-insensitive.
                ValueParser::new("one of false, true", |text| text.to_ascii_lowercase().parse().ok()),
                "Whether tracing is disabled. Incoming trace context is still forwarded to SHOUTCLOUD, unchanged.",
            ),
            resource: read_resource(reader),
            sampling_ratio: read_sampling_ratio(reader),
            propagators: reader.value(
                "OTEL_PROPAGATORS",
                "tracecontext,baggage",
                propagators(),
                "Formats of trace context that are accepted from callers and sent to SHOUTCLOUD.",
            ),
            exporter: Exporter::read(reader),
        }
    }
}

fn read_resource(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let name = reader.optional(
        "OTEL_SERVICE_NAME",
        "shoutback",
        service_name(),
        "Resource attribute `service.name`; takes precedence over OTEL_RESOURCE_ATTRIBUTES.",
    );
    let resource = reader.optional(
        "OTEL_RESOURCE_ATTRIBUTES",
        UNSET,
        attributes(),
        "Resource attributes of every span, such as deployment.environment.name.",
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

fn read_sampling_ratio(reader: &mut Reader<'_>) -> f64 {
    /// Marks samplers whose ratio is in OTEL_TRACES_SAMPLER_ARG.
    const BY_RATIO: f64 = f64::NAN;
    let ratio = reader.value(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        one_of(&[
            ("always_on", 1.0),
            ("always_off", 0.0),
            ("traceidratio", BY_RATIO),
            ("parentbased_always_on", 1.0),
            ("parentbased_always_off", 0.0),
            ("parentbased_traceidratio", BY_RATIO),
        ]),
        "Which traces are recorded. The flag of an incoming trace context decides nothing, so parentbased_ makes no difference.",
    );
    let argument = reader.value(
        "OTEL_TRACES_SAMPLER_ARG",
        "1",
        ValueParser::new("a number from 0 to 1, such as 0.05", |text| {
            let ratio = text.parse::<f64>().ok()?;
            (0.0..=1.0).contains(&ratio).then_some(ratio)
        }),
        "Ratio of traces that the traceidratio samplers record.",
    );
    if ratio.is_nan() { argument } else { ratio }
}

fn propagators() -> ValueParser<Vec<Propagator>> {
    ValueParser::new(
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
                // OpenTelemetry's specification: duplicates are ignored.
                if !read.contains(&propagator) {
                    read.push(propagator);
                }
            }
            Some(read)
        },
    )
}

fn service_name() -> ValueParser<String> {
    ValueParser::new(
        "a name of at most 255 letters, digits, spaces and any of . _ - / :",
        |text| {
            let is_allowed = |character: char| character.is_alphanumeric() || " ._-/:".contains(character);
            (text.len() <= 255 && text.chars().all(is_allowed)).then(|| text.to_owned())
        },
    )
}

fn attributes() -> ValueParser<BTreeMap<String, String>> {
    ValueParser::new(
        "a comma-separated list of name=value without duplicate names, both percent-encoded",
        parse_pairs,
    )
}

/// Parses `name=value,…`, the format of W3C baggage without properties.
fn parse_pairs(text: &str) -> Option<BTreeMap<String, String>> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"(){};<>@[]\\?".contains(&byte);
    let mut read = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let name = name.trim_end();
        if name.is_empty() || !name.bytes().all(is_allowed) {
            return None;
        }
        if read
            .insert(percent_decode(name)?, percent_decode(value.trim())?)
            .is_some()
        {
            return None;
        }
    }
    Some(read)
}

/// Decodes `text`, unless a `%` is not followed by two hexadecimal digits. `percent_decode_str` would leave it as it is.
fn percent_decode(text: &str) -> Option<String> {
    let starts_with_digits = |bytes: &[u8]| {
        bytes
            .get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let is_valid = text
        .as_bytes()
        .split(|byte| *byte == b'%')
        .skip(1)
        .all(starts_with_digits);
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    is_valid.then(|| decoded.into_owned())
}
