//! A fake OTLP collector of traces, for HTTP and gRPC, which can also fail.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::{loopback, until};

/// What it does with batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Accept,
    /// Accepts the batch and reports this number of rejected spans.
    PartialSuccess(i64),
    /// Rejects the batch with a permanent error.
    Reject,
    /// Rejects the batch with a transient error.
    Unavailable,
    /// Does not respond until the behaviour changes.
    Stall,
}

/// The collector. Dropping it closes its port and all connections.
pub struct Collector {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

struct Shared {
    behaviour: watch::Sender<Behaviour>,
    batches: Mutex<Vec<Batch>>,
    requests: watch::Sender<usize>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Batch {
    pub path: String,
    pub headers: HeaderMap,
    pub resource: BTreeMap<String, String>,
    pub spans: Vec<Span>,
    /// Name, version and schema URL of each instrumentation scope.
    pub scopes: Vec<[String; 3]>,
    /// The message, without compression.
    pub bytes: Bytes,
}

/// A span in readable form: ids in hexadecimal, attributes as text.
#[derive(Debug, Clone)]
pub struct Span {
    pub name: String,
    /// `server`, `client` or `internal`.
    pub kind: &'static str,
    pub trace: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    pub attributes: BTreeMap<String, String>,
    /// Whether its status is Error rather than unset.
    pub failed: bool,
    /// The description of its status.
    pub description: String,
    /// The ids of the linked spans.
    pub links: Vec<String>,
    pub nanoseconds: u64,
}

impl Span {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

impl Collector {
    pub async fn start() -> Self {
        Self::on(loopback().await)
    }

    pub fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            behaviour: watch::Sender::new(Behaviour::Accept),
            batches: Mutex::default(),
            requests: watch::Sender::new(0),
        });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                connections.spawn(async move {
                    let service =
                        hyper::service::service_fn(move |request| respond(Arc::clone(&shared), request));
                    let builder = auto::Builder::new(TokioExecutor::new());
                    _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            address,
            shared,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// Returns the number of requests so far, rejected ones included.
    pub fn requests(&self) -> usize {
        *self.shared.requests.borrow()
    }

    /// Returns the accepted batches.
    pub fn batches(&self) -> Vec<Batch> {
        self.shared.batches.lock().expect("not poisoned").clone()
    }

    /// Returns all accepted spans.
    pub fn spans(&self) -> Vec<Span> {
        self.batches().into_iter().flat_map(|batch| batch.spans).collect()
    }

    /// Returns the accepted spans with this name.
    pub fn named(&self, name: &str) -> Vec<Span> {
        self.spans()
            .into_iter()
            .filter(|span| span.name == name)
            .collect()
    }

    /// Waits until there are `number` spans with this name, and returns them.
    pub async fn expect(&self, name: &str, number: usize) -> Vec<Span> {
        until(name, async || self.named(name).len() >= number).await;
        self.named(name)
    }

    /// Waits until there were `number` requests.
    pub async fn wait_for_requests(&self, number: usize) {
        until("the collector gets requests", async || self.requests() >= number).await;
    }
}

type OtlpResponse = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Result<OtlpResponse, Infallible> {
    let (head, body) = request.into_parts();
    let is_grpc = head.headers["content-type"] == "application/grpc";
    let Ok(body) = body.collect().await else {
        return Ok(plain(StatusCode::BAD_REQUEST, Bytes::new()));
    };
    let bytes = body.to_bytes();
    shared.requests.send_modify(|requests| *requests += 1);
    let mut behaviour = shared.behaviour.subscribe();
    let not_stalled = behaviour.wait_for(|behaviour| *behaviour != Behaviour::Stall);
    let Ok(behaviour) = not_stalled.await.map(|behaviour| *behaviour) else {
        return Ok(plain(StatusCode::GONE, Bytes::new()));
    };
    let (is_compressed, message) = if is_grpc {
        (bytes[0] == 1, bytes.slice(5..))
    } else {
        let coding = head.headers.get("content-encoding");
        (coding.is_some_and(|coding| coding == "gzip"), bytes)
    };
    let bytes = if is_compressed { gunzip(&message) } else { message };
    let message = ExportTraceServiceRequest::decode(bytes.clone()).expect("a batch");
    let (status, grpc_status, rejected) = match behaviour {
        Behaviour::Reject => (StatusCode::BAD_REQUEST, "3", 0),
        Behaviour::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "14", 0),
        Behaviour::PartialSuccess(rejected) => (StatusCode::OK, "0", rejected),
        Behaviour::Accept | Behaviour::Stall => (StatusCode::OK, "0", 0),
    };
    if status == StatusCode::OK {
        let batch = Batch::new(head.uri.path(), head.headers, message, bytes);
        shared.batches.lock().expect("not poisoned").push(batch);
    }
    let message = ExportTraceServiceResponse {
        partial_success: (rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: "s3cret".to_owned(),
        }),
    };
    let message = message.encode_to_vec();
    if !is_grpc {
        return Ok(plain(status, message.into()));
    }
    let prefix = [0, 0, 0, 0, u8::try_from(message.len()).expect("a short message")];
    let message = [&prefix[..], &message].concat();
    let trailers = HeaderMap::from_iter([(
        "grpc-status".parse().expect("a name"),
        HeaderValue::from_static(grpc_status),
    )]);
    let body = Full::from(message).with_trailers(async { Some(Ok(trailers)) });
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(response.body(body.boxed_unsync()).expect("a response"))
}

fn gunzip(bytes: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(bytes);
    decoder.read_to_end(&mut plain).expect("gzip");
    plain.into()
}

fn plain(status: StatusCode, body: Bytes) -> OtlpResponse {
    let response = Response::builder().status(status);
    response.body(Full::new(body).boxed_unsync()).expect("a response")
}

impl Batch {
    fn new(path: &str, headers: HeaderMap, message: ExportTraceServiceRequest, bytes: Bytes) -> Self {
        let mut resource = BTreeMap::new();
        let (mut spans, mut scopes) = (Vec::new(), Vec::new());
        for group in message.resource_spans {
            resource.extend(texts(group.resource.expect("a resource").attributes));
            for scope in &group.scope_spans {
                let names = scope.scope.clone().unwrap_or_default();
                scopes.push([names.name, names.version, scope.schema_url.clone()]);
            }
            let group = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(group.map(|span| Span {
                name: span.name,
                kind: match span.kind {
                    1 => "internal",
                    2 => "server",
                    3 => "client",
                    _ => "other",
                },
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                attributes: texts(span.attributes).collect(),
                failed: span.status.as_ref().is_some_and(|status| status.code == 2),
                description: span.status.map(|status| status.message).unwrap_or_default(),
                links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
                nanoseconds: span.end_time_unix_nano - span.start_time_unix_nano,
            }));
        }
        Self {
            path: path.to_owned(),
            headers,
            resource,
            spans,
            scopes,
            bytes,
        }
    }
}

fn texts(attributes: Vec<KeyValue>) -> impl Iterator<Item = (String, String)> {
    attributes.into_iter().map(|attribute| {
        let value = attribute.value.and_then(|value| value.value);
        let text = match value.expect("a value") {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            Value::BoolValue(is_true) => is_true.to_string(),
            other => panic!("{other:?}"),
        };
        (attribute.key, text)
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
