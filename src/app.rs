//! The application: everything built from the configuration, both listeners bound, run until told to stop.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{self, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::auth::{AuthError, Verifier};
use crate::config::{self, Auth, Config};
use crate::http::server::{self, Server, Times};
use crate::http::{self, Page, Parts, Public, Readiness};
use crate::lifecycle::Drain;
use crate::quota::Quotas;
use crate::shout::ShoutService;
use crate::shoutcloud::Shoutcloud;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::{ExporterBuildError, Tracing};

/// For a connection without a complete request, once the process stops.
const LAST_CALL: Duration = Duration::from_secs(1);
/// What the admin listener's last answers may take, once nothing else is left.
const LAST_SCRAPE: Duration = Duration::from_millis(500);
/// For requests that were cut off to be gone.
const LAST_DROP: Duration = Duration::from_millis(200);
/// What sending the last spans may take. With the last scrape and the last lines (`log::FLUSH`) it is 3 s, which is what whoever
/// kills the process leaves.
const LAST_SPANS: Duration = Duration::from_millis(1500);

/// The application, bound and not yet running.
pub struct Application {
    public: Server,
    admin: Server,
    lifecycle: config::Lifecycle,
    background: Background,
    tracing: Tracing,
    drain: Drain,
    drain_admin: Drain,
    metrics: Arc<Metrics>,
}

/// Why the application cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken, say.
    #[error("cannot listen on {address} ({variable}): {source}; free the port or set {variable} to another")]
    Bind {
        /// The variable that says where.
        variable: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No certificate store, say.
    #[error("cannot build an HTTP client: {0}; is ca-certificates installed, or SSL_CERT_FILE right?")]
    Client(#[from] reqwest::Error),
    /// What spans would be sent by.
    #[error("cannot build an exporter of spans: {0}; is ca-certificates installed, or SSL_CERT_FILE right?")]
    Exporter(#[from] ExporterBuildError),
}

/// Why a stop was not a clean one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unclean {
    /// At the end of `SHUTDOWN_TIMEOUT`.
    #[error("{0} complete requests were cut off at the end of SHUTDOWN_TIMEOUT")]
    CutOff(usize),
    /// One that should run as long as the process does; its end was what began the stop.
    #[error("a task of the service ended by itself: {0}")]
    TaskEnded(&'static str),
}

impl Application {
    /// Builds everything and binds both listeners.
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        let (verifier, client_ids) = match &config.auth {
            Auth::Cognito(cognito) => (Some(cognito), cognito.client_ids.as_slice()),
            Auth::Disabled => (None, &[][..]),
        };
        let metrics = Arc::new(Metrics::new(
            client_ids,
            &AuthError::REASONS,
            &http::SHOUT_FAILURES,
        ));
        http::register_series(&metrics);
        let (tracing, exports) = Tracing::new(&config.otel, &metrics.spans)?;
        let verifier = verifier
            .map(|cognito| Verifier::new(cognito, &metrics, &tracing))
            .transpose()?
            .map(Arc::new);
        let quotas = config.rate_limit.as_ref().map(Quotas::new).map(Arc::new);
        let (drain, drain_admin) = (Drain::new(LAST_CALL), Drain::new(Duration::ZERO));
        let readiness = Readiness::new(verifier.clone(), drain.clone());

        let mut background = Background::default();
        background.spawn_dispensable("metrics upkeep", Arc::clone(&metrics).run_upkeep());
        background.spawn_dispensable("runtime metrics", metrics.report_runtime());
        if let Some(exports) = exports {
            background.spawn_dispensable("span export", exports.run());
        }
        if let Some(verifier) = &verifier {
            background.spawn("key refresh", Arc::clone(verifier).keep_fresh());
        }
        if let Some(quotas) = &quotas {
            background.spawn("quota upkeep", Arc::clone(quotas).evict_idle());
        }

        let public = http::public_routes(Public::from(Parts {
            shouter: ShoutService::new(
                Shoutcloud::new(&config.shoutcloud, &metrics, tracing.clone())?,
                config.shoutcloud.deadline,
                &config.shout,
                metrics.cache.clone(),
            ),
            verifier,
            quotas,
            metrics: Arc::clone(&metrics),
            tracing: tracing.clone(),
            max_body_bytes: config.http.max_body_bytes,
            request_timeout: config.http.request_timeout,
            in_flight: Semaphore::new(config.http.max_requests_in_flight).into(),
            page: Page::new(config),
            drain: drain.clone(),
        }));
        let admin = http::admin_routes(readiness, Arc::clone(&metrics));
        let times = Times {
            head: config.http.header_read_timeout,
            idle: config.http.idle_timeout,
        };
        let listener = bind("HTTP_ADDR", config.http.http_addr)?;
        let public = Server::new(listener, public, times, drain.clone())
            .with_max_connections(config.http.max_connections);
        let listener = bind("ADMIN_ADDR", config.http.admin_addr)?;
        Ok(Self {
            public,
            admin: Server::new(listener, admin, times, drain_admin.clone()),
            lifecycle: config.lifecycle.clone(),
            background,
            tracing,
            drain,
            drain_admin,
            metrics,
        })
    }

    /// What is recorded.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where the public listener is.
    pub fn public_addr(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Where the admin listener is.
    pub fn admin_addr(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until `stop` is cancelled and the stop is over: unready at once, still serving for the grace, then no new
    /// connections and at most the timeout for requests in flight. The admin listener answers until the last of them.
    ///
    /// A task that ends by itself begins a stop too: without its keys' refresh, say, a replica would go bad unnoticed.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Unclean> {
        let Self {
            public,
            admin,
            lifecycle,
            mut background,
            tracing,
            drain,
            drain_admin,
            metrics: _,
        } = self;
        background.spawn("admin listener", admin.run());
        let mut public = tokio::spawn(public.run());
        let mut outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = background.ended() => Err(Unclean::TaskEnded(ended)),
            _ = &mut public => Err(Unclean::TaskEnded("public listener")),
        };
        if let Err(error) = outcome {
            tracing::error!(
                event.action = "stop",
                event.kind = "event",
                event.outcome = "failure",
                error.message = %error,
                "stopping because of a fault"
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
        drain.make_last_call();
        if !public.is_finished() && timeout(lifecycle.timeout, &mut public).await.is_err() {
            let cut_off = drain.complete_and_unanswered();
            public.abort();
            // Each connection is dropped by the thread that served it, and a request's span and line end with it.
            let dropped = async {
                while drain.complete_and_unanswered() > 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            };
            _ = timeout(LAST_DROP, dropped).await;
            if cut_off > 0 {
                let unclean = Unclean::CutOff(cut_off);
                tracing::warn!(
                    event.action = "stop",
                    event.kind = "event",
                    event.outcome = "failure",
                    shoutback.stop.cut_off = cut_off,
                    "{unclean}"
                );
                outcome = outcome.and(Err(unclean));
            }
        }
        drain_admin.make_last_call();
        // A scrape that is under way may end; one that hangs is not waited for.
        _ = timeout(LAST_SCRAPE, background.finished("admin listener")).await;
        // Last: whatever was done until here may have a span.
        if !tracing.flush(LAST_SPANS).await {
            tracing::warn!(event.action = "stop", "the last spans could not be sent in time");
        }
        outcome
    }
}

/// Tasks that run as long as the process does. They end when this is dropped.
#[derive(Default)]
struct Background {
    tasks: JoinSet<()>,
    names: HashMap<task::Id, (&'static str, Importance)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Importance {
    /// Without it the service goes bad.
    Vital,
    /// Without it less can be seen of the service, which is no reason to stop.
    Dispensable,
}

impl Background {
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.names.insert(id, (name, Importance::Vital));
    }

    fn spawn_dispensable(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.names.insert(id, (name, Importance::Dispensable));
    }

    /// Waits until a vital one ends, by a panic or otherwise, and returns its name.
    async fn ended(&mut self) -> &'static str {
        loop {
            let ended = match self.tasks.join_next_with_id().await {
                Some(Ok((id, ()))) => self.names.remove(&id),
                Some(Err(error)) => self.names.remove(&error.id()),
                None => std::future::pending().await,
            };
            match ended {
                Some((name, Importance::Vital)) => return name,
                Some((name, Importance::Dispensable)) => {
                    let error = Unclean::TaskEnded(name);
                    tracing::error!(event.action = "stop", event.kind = "event", error.message = %error, "less can be seen until a restart");
                }
                None => {}
            }
        }
    }

    /// Waits until the one of this name has ended.
    async fn finished(&mut self, name: &'static str) {
        while self.names.values().any(|(running, _)| *running == name) {
            self.ended().await;
        }
    }
}

fn bind(variable: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    server::listen(address).map_err(|source| StartError::Bind {
        variable,
        address,
        source,
    })
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::{Application, Background, Unclean};
    use crate::config::{Config, Environment};

    #[tokio::test]
    async fn a_task_that_ends_or_panics_is_named() {
        let mut background = Background::default();
        background.spawn("for ever", std::future::pending());
        background.spawn("panics", async { panic!("as it should") });
        assert_eq!(background.ended().await, "panics");
        background.spawn_dispensable("is not needed", async { panic!("as it should") });
        background.spawn("ends", async { tokio::task::yield_now().await });
        assert_eq!(background.ended().await, "ends");
    }

    #[tokio::test]
    async fn a_task_that_ends_stops_the_application_with_an_error() {
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
            .spawn("a task", async { panic!("as it should") });
        let outcome = application.run(CancellationToken::new()).await;
        assert_eq!(outcome, Err(Unclean::TaskEnded("a task")));
    }
}
