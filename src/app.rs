//! The application: builds everything from the configuration, binds both listeners and runs until the shutdown is
//! complete.

mod background;
mod limits;
mod telemetry_thread;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::background::Background;
use self::telemetry_thread::TelemetryThread;
use crate::auth::Verifier;
use crate::config::{self, Auth, Config};
use crate::http::server::{self, Server, Timeouts};
use crate::http::{self, AppState, AppStateInner, Page, RateLimit, Readiness};
use crate::lifecycle::Drain;
use crate::quota::Quotas;
use crate::shout::ShoutService;
use crate::shoutcloud::{self, Protocol, Shoutcloud, ShoutcloudProtocol};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::{ExporterBuildError, Tracing};
use crate::valkey::Valkey;

pub use self::background::TaskEnded;

/// How long a connection without a complete request stays open once the public listener closes.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);
/// Time limit for in-progress scrapes after the public listener has closed.
const SCRAPE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long to wait for aborted requests to finish dropping.
const ABORT_TIMEOUT: Duration = Duration::from_millis(200);
/// Time limit for sending the remaining spans. Together with `SCRAPE_TIMEOUT` and the flush of the log (`log::FLUSH`)
/// it is 3 s, which is the part of the termination grace period that is reserved for them.
const SPAN_FLUSH_TIMEOUT: Duration = Duration::from_millis(1500);

/// The application: its listeners are bound, and it does not run yet.
pub struct Application {
    public: BoundServer,
    admin: BoundServer,
    lifecycle: config::Lifecycle,
    background: Background,
    telemetry: TelemetryThread,
    tracing: Tracing,
    drain: Drain,
    drain_admin: Drain,
    metrics: Arc<Metrics>,
    quotas: Option<Arc<Quotas>>,
}

/// A server whose listener is bound; it serves while `running` is polled.
struct BoundServer {
    address: SocketAddr,
    running: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Reasons why the application cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be bound: the port is taken, for example.
    #[error("cannot listen on {address} ({variable}): {source}; free the port or set {variable} to another")]
    Bind {
        /// The variable that configures the address.
        variable: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The thread of telemetry cannot be started.
    #[error("cannot start a thread: {0}; is the limit of processes or of memory reached?")]
    Thread(#[source] io::Error),
    /// An HTTP client cannot be built: the certificate store is missing, for example.
    #[error("cannot build an HTTP client: {0}; is ca-certificates installed, or SSL_CERT_FILE right?")]
    Client(#[from] reqwest::Error),
    /// The client of SHOUTCLOUD cannot be built.
    #[error(
        "cannot build the client of SHOUTCLOUD: {0}; is ca-certificates installed, or SSL_CERT_FILE right?"
    )]
    Upstream(#[from] shoutcloud::BuildError),
    /// What spans would be sent by.
    #[error("cannot build an exporter of spans: {0}; is ca-certificates installed, or SSL_CERT_FILE right?")]
    Exporter(#[from] ExporterBuildError),
}

/// Reasons why a shutdown was not clean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShutdownError {
    /// This number of requests was still pending at the end of `SHUTDOWN_TIMEOUT`.
    #[error("{0} complete requests were cut off at the end of SHUTDOWN_TIMEOUT")]
    CutOff(usize),
    /// The end of a task that runs as long as the process started the shutdown.
    #[error(transparent)]
    TaskEnded(#[from] TaskEnded),
}

impl Application {
    /// Builds everything and binds both listeners.
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        Self::bind_with(config, ShoutcloudProtocol).await
    }

    /// Does the same with an upstream at `SHOUTCLOUD_URL` that speaks another protocol.
    pub async fn bind_with(config: &Config, protocol: impl Protocol) -> Result<Self, StartError> {
        let (verifier, client_ids) = match &config.auth {
            Auth::Cognito(cognito) => (Some(cognito), cognito.client_ids.as_slice()),
            Auth::Disabled => (None, &[][..]),
        };
        let metrics = Arc::new(Metrics::new(client_ids));
        http::register_series(&metrics);
        limits::export(config, &metrics);
        let telemetry = TelemetryThread::start().map_err(StartError::Thread)?;
        let (tracing, exports) = {
            let _entered = telemetry.enter();
            Tracing::new(&config.otel, &metrics.spans)?
        };
        let verifier = verifier
            .map(|cognito| Verifier::new(cognito, &metrics, &tracing))
            .transpose()?
            .map(Arc::new);
        let valkey = config.valkey.as_ref();
        let valkey = valkey.map(|config| Valkey::new(config, metrics.valkey(), tracing.clone()));
        let quotas = config.rate_limit.as_ref();
        let quotas = quotas.map(|config| Arc::new(Quotas::new(config, valkey.as_ref())));
        let (drain, drain_admin) = (Drain::new(CLOSING_TIMEOUT), Drain::new(Duration::ZERO));
        let readiness = Readiness::new(verifier.clone(), drain.clone());

        let mut background = Background::default();
        let runtime = telemetry.runtime();
        background.spawn_best_effort(runtime, "metrics upkeep", Arc::clone(&metrics).run_upkeep());
        if let Some(exports) = exports {
            background.spawn_best_effort(runtime, "span export", exports.run());
        }
        if let Some(verifier) = &verifier {
            background.spawn("key refresh", Arc::clone(verifier).keep_fresh());
        }
        if let Some(quotas) = &quotas {
            background.spawn("quota upkeep", Arc::clone(quotas).upkeep());
        }
        if let Some(valkey) = &valkey {
            background.spawn("connection to Valkey", valkey.clone().run());
        }
        let shares_cache = config.valkey.as_ref().is_some_and(|config| config.shares_cache);

        let shoutcloud = Shoutcloud::new(&config.shoutcloud, protocol, &metrics, tracing.clone())?;
        background.spawn("connection sweep", shoutcloud.clone().sweep_connections());

        let public = http::public_service(AppState::from(AppStateInner {
            shout_service: ShoutService::new(
                shoutcloud,
                config.shoutcloud.deadline,
                &config.shout,
                valkey.filter(|_| shares_cache),
                metrics.cache.clone(),
            ),
            verifier,
            rate_limit: quotas.clone().map(RateLimit::from),
            metrics: Arc::clone(&metrics),
            tracing: tracing.clone(),
            max_body_bytes: config.http.max_body_bytes,
            request_timeout: config.http.request_timeout,
            in_flight: Semaphore::new(config.http.max_requests_in_flight).into(),
            page: Page::new(config, &http::openapi_document(config)).into(),
        }));
        let admin = http::admin_routes(readiness, Arc::clone(&metrics), Handle::current());
        let timeouts = Timeouts {
            head: config.http.header_read_timeout,
            idle: config.http.idle_timeout,
        };
        let (listener, public_address) = bind("HTTP_ADDR", config.http.http_addr)?;
        let public = Server::new(listener, public, timeouts, drain.clone())
            .with_max_connections(config.http.max_connections)
            .with_metrics(metrics.connections.clone());
        let (listener, admin_address) = {
            let _entered = telemetry.enter();
            bind("ADMIN_ADDR", config.http.admin_addr)?
        };
        let admin = Server::new(listener, admin, timeouts, drain_admin.clone());
        Ok(Self {
            public: BoundServer {
                address: public_address,
                running: Box::pin(public.run()),
            },
            admin: BoundServer {
                address: admin_address,
                running: Box::pin(admin.run()),
            },
            lifecycle: config.lifecycle.clone(),
            background,
            telemetry,
            tracing,
            drain,
            drain_admin,
            metrics,
            quotas,
        })
    }

    /// Returns the metrics of the process.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the address of the public listener.
    pub fn public_addr(&self) -> SocketAddr {
        self.public.address
    }

    /// Returns the address of the admin listener.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.address
    }

    /// Serves until `stop` is cancelled and the shutdown is complete. Readiness fails at once; the public listener
    /// serves for the grace period, then accepts no more connections and has the shutdown timeout for the requests
    /// in flight. The admin listener closes last.
    ///
    /// The unexpected end of a critical task also starts a shutdown: without the key refresh, for example, a replica
    /// would degrade unnoticed.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ShutdownError> {
        let Self {
            public,
            admin,
            lifecycle,
            mut background,
            telemetry,
            tracing,
            drain,
            drain_admin,
            metrics: _,
            quotas,
        } = self;
        background.spawn_on(telemetry.runtime(), "admin listener", admin.running);
        let mut public = tokio::spawn(public.running);
        let mut outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = background.critical_task_ended() => Err(ended.into()),
            _ = &mut public => Err(TaskEnded("public listener").into()),
        };
        if let Err(error) = outcome {
            tracing::error!(
                event.action = "stop",
                event.kind = "event",
                event.outcome = "failure",
                error.message = %error,
                "shutting down because of a fault"
            );
        }
        drain.begin();
        tracing::info!(
            event.action = "stop",
            event.kind = "event",
            "unready; still serving for {:?}",
            lifecycle.grace
        );
        tokio::time::sleep(lifecycle.grace).await;
        drain.begin_closing();
        if !public.is_finished() && timeout(lifecycle.timeout, &mut public).await.is_err() {
            let cut_off = drain.complete_pending();
            public.abort();
            // Each connection is dropped by the thread that served it, which ends its requests' spans and log lines.
            let dropped = async {
                while drain.complete_pending() > 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            };
            _ = timeout(ABORT_TIMEOUT, dropped).await;
            if cut_off > 0 {
                let error = ShutdownError::CutOff(cut_off);
                tracing::warn!(
                    event.action = "stop",
                    event.kind = "event",
                    event.outcome = "failure",
                    shoutback.stop.cut_off = cut_off,
                    "{error}"
                );
                outcome = outcome.and(Err(error));
            }
        }
        if let Some(quotas) = quotas {
            quotas.release().await;
        }
        drain_admin.begin_closing();
        _ = timeout(SCRAPE_TIMEOUT, background.finished("admin listener")).await;
        // Last, because everything before may have recorded a span.
        if !tracing.flush(SPAN_FLUSH_TIMEOUT).await {
            tracing::warn!(event.action = "stop", "the last spans could not be sent in time");
        }
        outcome
    }
}

/// Returns the listener and its address, whose port the system has chosen if `address` has port 0.
fn bind(variable: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    server::listen(address)
        .and_then(|listener| {
            let bound = listener.local_addr()?;
            Ok((listener, bound))
        })
        .map_err(|source| StartError::Bind {
            variable,
            address,
            source,
        })
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::{Application, TaskEnded};
    use crate::config::{Config, Environment};

    #[tokio::test]
    async fn a_critical_task_that_panics_shuts_the_application_down() {
        let environment = Environment::from([
            ("AUTH_MODE", "disabled"),
            ("HTTP_ADDR", "127.0.0.1:0"),
            ("ADMIN_ADDR", "127.0.0.1:0"),
            ("SHUTDOWN_GRACE", "0ms"),
        ]);
        let config = Config::load(&environment).expect("valid").config;
        let mut application = Application::bind(&config).await.expect("ports are free");
        application
            .background
            .spawn("a task", async { panic!("on purpose") });
        let outcome = application.run(CancellationToken::new()).await;
        assert_eq!(outcome, Err(TaskEnded("a task").into()));
    }
}
