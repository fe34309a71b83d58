//! The OTLP exporter of OpenTelemetry, limited to our configuration.
//!
//! opentelemetry-otlp also reads environment variables when it is built (docs/dependencies.md). Our endpoint, protocol
//! and timeout override them, but our headers do not, so the client replaces the headers of each attempt.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    Compression, Protocol as Encoding, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig,
    WithTonicConfig,
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

/// Exponential backoff between attempts. A shutdown may have to wait for the maximum.
const INITIAL_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Prevents replicas that lost their collector at the same time from retrying at the same time.
const MAX_JITTER: Duration = Duration::from_millis(250);
/// A response states how many spans were rejected, and why.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// The header with the compression of a gRPC message.
const GRPC_ENCODING: &str = "grpc-encoding";

/// The exporter cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ExporterBuildError {
    /// The HTTP client is at fault.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
    /// The gRPC channel is at fault.
    #[error("{0}{cause}", cause = .0.source().map(|cause| format!(": {cause}")).unwrap_or_default())]
    Channel(#[from] tonic::transport::Error),
    /// opentelemetry-otlp rejects the settings.
    #[error(transparent)]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// A client of the collector that exports one batch at a time.
pub(super) struct CollectorClient {
    exporter: SpanExporter,
    attempts: Arc<ExportAttempts>,
    timeout: Duration,
}

impl CollectorClient {
    pub(super) fn new(
        config: &Exporter,
        resource: &Resource,
        flush_requested: &CancellationToken,
    ) -> Result<Self, ExporterBuildError> {
        let attempts = Arc::new(ExportAttempts {
            batch: Mutex::default(),
            flush_requested: flush_requested.clone(),
        });
        let retries = RetryPolicy::recommended()
            .with_max_retries(usize::MAX)
            .with_initial_delay(INITIAL_BACKOFF)
            .with_max_delay(MAX_BACKOFF)
            .with_max_jitter(MAX_JITTER);
        // The exporter's timeout limits all attempts together; each attempt is limited by its transport's.
        let mut exporter = match config.protocol {
            Protocol::Http => compressed_http(SpanExporter::builder().with_http(), config)
                .with_http_client(OtlpHttpClient {
                    client: outbound::client()
                        .connect_timeout(connect_timeout(config))
                        .timeout(config.timeout)
                        .build()?,
                    headers: config.headers.clone(),
                    attempts: Arc::clone(&attempts),
                })
                .with_protocol(Encoding::HttpBinary)
                .with_endpoint(config.endpoint.as_str())
                .with_timeout(config.export_timeout)
                .with_retry_policy(retries)
                .build()?,
            Protocol::Grpc => compressed_grpc(SpanExporter::builder().with_tonic(), config)
                .with_channel(channel(config)?)
                .with_interceptor(interceptor(config.headers.clone(), Arc::clone(&attempts)))
                .with_protocol(Encoding::Grpc)
                .with_endpoint(config.endpoint.as_str())
                .with_timeout(config.export_timeout)
                .with_retry_policy(retries)
                .build()?,
        };
        exporter.set_resource(resource);
        Ok(Self {
            exporter,
            attempts,
            timeout: config.export_timeout,
        })
    }

    /// Exports a batch, with retries until the export timeout. Returns how many of its spans were rejected, or the
    /// cause of the failure, which quotes neither headers nor the collector's response.
    pub(super) async fn export(&self, spans: Vec<SpanData>) -> Result<u64, String> {
        *self.attempts.batch() = Batch::default();
        let exported = timeout(self.timeout, self.exporter.export(spans)).await;
        let batch = std::mem::take(&mut *self.attempts.batch());
        match exported {
            Ok(Ok(())) => Ok(batch.rejected),
            Ok(Err(error)) => Err(batch.failure.unwrap_or_else(|| redacted(&error.to_string()))),
            Err(_) => Err(batch
                .failure
                .unwrap_or_else(|| "no response within the export timeout".to_owned())),
        }
    }
}

/// Reduces an error of the exporter to its gRPC code, because the rest may quote the collector.
fn redacted(text: &str) -> String {
    tracing::debug!(error.message = text, "cannot export spans");
    const CODE: &str = "gRPC code: ";
    let code = text.split_once(CODE).map(|(_, code)| code);
    let code = code.and_then(|code| code.split(':').next());
    code.map_or_else(|| "no response".to_owned(), |code| format!("gRPC status {code}"))
}

/// The state of the current batch that the exporter does not report.
#[derive(Debug)]
struct ExportAttempts {
    batch: Mutex<Batch>,
    flush_requested: CancellationToken,
}

#[derive(Debug, Default)]
struct Batch {
    was_attempted: bool,
    rejected: u64,
    failure: Option<String>,
}

impl ExportAttempts {
    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().expect("no code panics while it holds the lock")
    }

    /// Starts an attempt. Returns false if it must not be made: there are no retries during shutdown.
    fn start(&self) -> bool {
        let mut batch = self.batch();
        let is_retry = std::mem::replace(&mut batch.was_attempted, true);
        !is_retry || !self.flush_requested.is_cancelled()
    }

    fn record_failure(&self, cause: impl fmt::Display) {
        self.batch().failure = Some(cause.to_string());
    }
}

/// The exporter's HTTP transport.
struct OtlpHttpClient {
    client: reqwest::Client,
    headers: HeaderMap,
    attempts: Arc<ExportAttempts>,
}

#[async_trait]
impl HttpClient for OtlpHttpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if !self.attempts.start() {
            // The exporter would retry after an error, and does not after a 410.
            return Ok(empty(StatusCode::GONE, HeaderMap::new()));
        }
        match self.send(request).await {
            Ok(response) => Ok(response),
            Err(error) => {
                self.attempts.record_failure(&error);
                Err(error.into())
            }
        }
    }
}

impl OtlpHttpClient {
    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, ReadError> {
        let mut headers = self.headers.clone();
        for name in [CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT] {
            if let Some(value) = request.headers_mut().remove(&name) {
                headers.insert(name, value);
            }
        }
        *request.headers_mut() = headers;
        let request = request.try_into().map_err(reqwest::Error::without_url)?;
        let response = self.client.execute(request).await;
        // Without the URL, whose query may contain a key.
        let response = response.map_err(reqwest::Error::without_url)?;
        let status = response.status();
        if !status.is_success() {
            self.attempts.record_failure(format_args!("status {status}"));
            return Ok(empty(status, response.headers().clone()));
        }
        let body = outbound::read(response, MAX_RESPONSE_BYTES).await?;
        // The status says that the spans have arrived, so an unreadable body is no failure.
        let response = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let rejected = response
            .partial_success
            .map_or(0, |partial| partial.rejected_spans);
        self.attempts.batch().rejected = u64::try_from(rejected).unwrap_or(0);
        Ok(empty(status, HeaderMap::new()))
    }
}

impl fmt::Debug for OtlpHttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtlpHttpClient")
    }
}

fn empty(status: StatusCode, headers: HeaderMap) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn compressed_http<B: WithHttpConfig>(builder: B, config: &Exporter) -> B {
    if config.is_compressed {
        builder.with_compression(Compression::Gzip)
    } else {
        builder
    }
}

fn compressed_grpc<B: WithTonicConfig>(builder: B, config: &Exporter) -> B {
    if config.is_compressed {
        builder.with_compression(Compression::Gzip)
    } else {
        builder
    }
}

/// Returns the time limit to connect: less than that of an export, so that the first address of a host that does not react
/// leaves time for the next.
fn connect_timeout(config: &Exporter) -> Duration {
    outbound::CONNECT_TIMEOUT.min(config.timeout.mul_f64(0.8))
}

/// Builds the exporter's gRPC transport, which uses no proxy.
fn channel(config: &Exporter) -> Result<Channel, tonic::transport::Error> {
    let mut endpoint = Endpoint::from_shared(config.endpoint.to_string())?
        .connect_timeout(connect_timeout(config))
        .timeout(config.timeout);
    if config.endpoint.scheme() == "https" {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_enabled_roots())?;
    }
    Ok(endpoint.connect_lazy())
}

/// Returns the interceptor of gRPC requests, which runs before each attempt.
fn interceptor(
    headers: HeaderMap,
    attempts: Arc<ExportAttempts>,
) -> impl tonic::service::Interceptor + Clone {
    move |mut request: tonic::Request<()>| {
        if !attempts.start() {
            attempts.record_failure("no response before the process exited");
            // The exporter does not retry after this status.
            return Err(tonic::Status::failed_precondition("shutting down"));
        }
        let mut headers = headers.clone();
        if let Some(coding) = request.metadata().as_ref().get(GRPC_ENCODING) {
            headers.insert(GRPC_ENCODING, coding.clone());
        }
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        Ok(request)
    }
}
