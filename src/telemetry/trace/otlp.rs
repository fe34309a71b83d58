//! OpenTelemetry's own exporter, held to what `config` says.
//!
//! Whatever is handed over, opentelemetry-otlp reads the environment when it is built (docs/dependencies.md). Endpoint, protocol
//! and timeout of ours go before; headers of the environment go before ours, so ours are put in their place at each try.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol as Encoding, RetryPolicy, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prost::Message as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::config::{Exporter, Protocol};
use crate::outbound::{self, ReadError};

/// Between two tries, doubled each time. The longest is what the end of the process may have to wait for.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Replicas that lost their collector together must not come back together.
const JITTER: Duration = Duration::from_millis(250);
/// An answer says how many spans were refused, and why.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
pub enum NoExporter {
    /// Of HTTP.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
    /// Of gRPC.
    #[error("{0}{cause}", cause = .0.source().map(|cause| format!(": {cause}")).unwrap_or_default())]
    Channel(#[from] tonic::transport::Error),
    /// Of either.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
}

/// A collector. One batch at a time.
pub(super) struct Otlp {
    exporter: SpanExporter,
    tries: Arc<Tries>,
    timeout: Duration,
}

impl Otlp {
    pub(super) fn new(
        config: &Exporter,
        resource: &Resource,
        last_call: &CancellationToken,
    ) -> Result<Self, NoExporter> {
        let tries = Arc::new(Tries {
            batch: Mutex::default(),
            last_call: last_call.clone(),
        });
        let retries = RetryPolicy::recommended()
            .with_max_retries(usize::MAX)
            .with_initial_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_max_jitter(JITTER);
        // The exporter's timeout is that of all tries; each one's is its transport's.
        let mut exporter = match config.protocol {
            Protocol::Http => SpanExporter::builder()
                .with_http()
                .with_http_client(Client {
                    client: outbound::client().timeout(config.timeout).build()?,
                    headers: config.headers.clone(),
                    tries: Arc::clone(&tries),
                })
                .with_protocol(Encoding::HttpBinary)
                .with_endpoint(config.endpoint.as_str())
                .with_timeout(config.export_timeout)
                .with_retry_policy(retries)
                .build()?,
            Protocol::Grpc => SpanExporter::builder()
                .with_tonic()
                .with_channel(channel(config)?)
                .with_interceptor(interceptor(config.headers.clone(), Arc::clone(&tries)))
                .with_protocol(Encoding::Grpc)
                .with_endpoint(config.endpoint.as_str())
                .with_timeout(config.export_timeout)
                .with_retry_policy(retries)
                .build()?,
        };
        exporter.set_resource(resource);
        Ok(Self {
            exporter,
            tries,
            timeout: config.export_timeout,
        })
    }

    /// Sends a batch until it has arrived, cannot arrive, or is too late; returns how many of its spans were refused, or why
    /// it has not arrived, which says nothing of headers or of what the collector said.
    pub(super) async fn deliver(&self, spans: Vec<SpanData>) -> Result<u64, String> {
        *self.tries.batch() = Batch::default();
        let exported = timeout(self.timeout, self.exporter.export(spans)).await;
        let batch = std::mem::take(&mut *self.tries.batch());
        match exported {
            Ok(Ok(())) => Ok(batch.refused),
            Ok(Err(error)) => Err(batch.failure.unwrap_or_else(|| bare(&error.to_string()))),
            Err(_) => Err(batch.failure.unwrap_or_else(|| "no answer in time".to_owned())),
        }
    }
}

/// The exporter's text up to gRPC's code: what follows may quote the peer.
fn bare(text: &str) -> String {
    tracing::debug!(error.message = text, "spans cannot be delivered");
    const CODE: &str = "gRPC code: ";
    let code = text.split_once(CODE).map(|(_, code)| code);
    let code = code.and_then(|code| code.split(':').next());
    code.map_or_else(|| "no answer".to_owned(), |code| format!("gRPC status {code}"))
}

/// What is known of the batch that is being sent beyond what the exporter says.
#[derive(Debug)]
struct Tries {
    batch: Mutex<Batch>,
    last_call: CancellationToken,
}

#[derive(Debug, Default)]
struct Batch {
    was_tried: bool,
    refused: u64,
    failure: Option<String>,
}

impl Tries {
    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().expect("nobody panics with it")
    }

    /// Whether the batch may be tried now: after the last call, nothing is tried twice.
    fn begin(&self) -> bool {
        let mut batch = self.batch();
        let again = std::mem::replace(&mut batch.was_tried, true);
        !again || !self.last_call.is_cancelled()
    }

    fn failed(&self, why: impl fmt::Display) {
        self.batch().failure = Some(why.to_string());
    }
}

/// The exporter's way out by HTTP.
struct Client {
    client: reqwest::Client,
    headers: HeaderMap,
    tries: Arc<Tries>,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if !self.tries.begin() {
            // An error would be tried again.
            return Ok(empty(StatusCode::GONE, HeaderMap::new()));
        }
        match self.send(request).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                self.tries.failed(&error);
                Err(error.into())
            }
        }
    }
}

impl Client {
    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, ReadError> {
        let mut headers = self.headers.clone();
        for name in [CONTENT_TYPE, USER_AGENT] {
            if let Some(value) = request.headers_mut().remove(&name) {
                headers.insert(name, value);
            }
        }
        *request.headers_mut() = headers;
        let request = request.try_into().map_err(reqwest::Error::without_url)?;
        let answer = self.client.execute(request).await;
        // Without the URL, whose query may hold a key.
        let answer = answer.map_err(reqwest::Error::without_url)?;
        let status = answer.status();
        if !status.is_success() {
            self.tries.failed(format_args!("status {status}"));
            return Ok(empty(status, answer.headers().clone()));
        }
        let body = outbound::read(answer, LONGEST_ANSWER).await?;
        // The spans have arrived, whatever is said of them.
        let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        self.tries.batch().refused = u64::try_from(refused).unwrap_or(0);
        Ok(empty(status, HeaderMap::new()))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

fn empty(status: StatusCode, headers: HeaderMap) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// The exporter's way out by gRPC. It knows no proxies.
fn channel(config: &Exporter) -> Result<Channel, tonic::transport::Error> {
    let mut endpoint = Endpoint::from_shared(config.endpoint.to_string())?
        .connect_timeout(config.timeout)
        .timeout(config.timeout);
    if config.endpoint.scheme() == "https" {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_enabled_roots())?;
    }
    Ok(endpoint.connect_lazy())
}

/// Runs before each try.
fn interceptor(headers: HeaderMap, tries: Arc<Tries>) -> impl tonic::service::Interceptor + Clone {
    move |mut request: tonic::Request<()>| {
        if !tries.begin() {
            tries.failed("no answer before the end of the process");
            // Not tried again.
            return Err(tonic::Status::failed_precondition("the last call"));
        }
        *request.metadata_mut() = MetadataMap::from_headers(headers.clone());
        Ok(request)
    }
}
