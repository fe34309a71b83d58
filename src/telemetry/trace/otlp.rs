//! OpenTelemetry's protocol: batches of spans as protobuf, in a plain HTTP request or as a gRPC call.
//!
//! A call with one message there and one back is all of gRPC that is needed, so it is spoken here, over the client that every
//! other call of the service leaves by.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, RETRY_AFTER, TE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use url::Url;

use crate::config::{Exporter, Protocol};
use crate::outbound::{self, innermost};

const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Before each message: whether it is compressed, and its length in four bytes.
const PREFIX: usize = 5;
/// An answer says how many spans were refused, and why.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Why a batch has not arrived. Never says anything of the request's headers.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Transport(String),
    #[error("no answer in time")]
    Timeout,
    #[error("status {status}")]
    Status {
        status: StatusCode,
        retry_after: Duration,
    },
    #[error("gRPC status {0}")]
    Grpc(u32),
    #[error("the answer cannot be read")]
    Unreadable,
}

impl Failure {
    /// Whether the same batch may arrive another time, by OTLP's specification.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Transport(_) | Self::Timeout => true,
            Self::Status { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            // Cancelled, deadline exceeded, aborted, out of range, unavailable, data loss.
            Self::Grpc(status) => matches!(status, 1 | 4 | 10 | 11 | 14 | 15),
            Self::Unreadable => false,
        }
    }

    /// How long the collector asks to be left alone.
    pub(super) fn retry_after(&self) -> Duration {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => Duration::ZERO,
        }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        // Without the URL, whose query may hold a key.
        Self::Transport(innermost(&error.without_url()))
    }
}

/// A collector.
pub(super) struct Otlp {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    protocol: Protocol,
    resource: ResourceAttributesWithSchema,
}

impl Otlp {
    pub(super) fn new(config: &Exporter, resource: &Resource) -> Result<Self, reqwest::Error> {
        let mut client = outbound::client();
        let mut url = config.endpoint.clone();
        let mut headers = config.headers.clone();
        let content_type = match config.protocol {
            Protocol::Http => "application/x-protobuf",
            Protocol::Grpc => {
                client = client.http2_prior_knowledge();
                url.set_path(METHOD);
                headers.insert(TE, HeaderValue::from_static("trailers"));
                "application/grpc"
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Ok(Self {
            client: client.build()?,
            url,
            headers,
            protocol: config.protocol,
            resource: resource.into(),
        })
    }

    /// The body of the request that delivers `spans`.
    pub(super) fn encode(&self, spans: Vec<SpanData>) -> Bytes {
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &self.resource),
        };
        let length = request.encoded_len();
        let mut body = BytesMut::with_capacity(PREFIX + length);
        if self.protocol == Protocol::Grpc {
            body.put_u8(0);
            body.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        }
        request.encode(&mut body).expect("there is room");
        body.freeze()
    }

    /// Sends a body once; returns how many of its spans were refused.
    pub(super) async fn send(&self, body: Bytes) -> Result<u64, Failure> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        let answer = http::Response::<reqwest::Body>::from(request.body(body).send().await?);
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            return Err(Failure::Status {
                status: head.status,
                retry_after: retry_after(&head.headers),
            });
        }
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body = body.map_err(|_| Failure::Unreadable)?;
        let message = match self.protocol {
            Protocol::Http => body.to_bytes(),
            Protocol::Grpc => {
                // Without a message, the status stands in the head.
                let status = body.trailers().and_then(grpc_status);
                match status.or_else(|| grpc_status(&head.headers)) {
                    Some(0) => without_prefix(body.to_bytes()),
                    Some(status) => return Err(Failure::Grpc(status)),
                    None => return Err(Failure::Unreadable),
                }
            }
        };
        // The spans have arrived, whatever is said of them.
        let answer = ExportTraceServiceResponse::decode(message).unwrap_or_default();
        let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(refused).unwrap_or(0))
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

fn without_prefix(mut message: Bytes) -> Bytes {
    message.split_off(PREFIX.min(message.len()))
}

/// A number of seconds; a date asks for nothing.
fn retry_after(headers: &HeaderMap) -> Duration {
    let value = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = value.and_then(|value| value.trim().parse::<u32>().ok());
    Duration::from_secs(seconds.unwrap_or(0).into())
}
