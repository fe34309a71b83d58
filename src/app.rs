//! The application: everything built from the configuration, both listeners bound, run until told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::auth::{Refusal, Verifier};
use crate::config::{self, Auth, Config};
use crate::http::server::{Server, Times};
use crate::http::{self, Public, Readiness};
use crate::quota::Quotas;
use crate::shout::Shouter;
use crate::shoutcloud::Shoutcloud;
use crate::telemetry::metrics::Metrics;

/// What the admin listener's last answers may take, once nothing else is left.
const LAST_SCRAPE: Duration = Duration::from_secs(1);

/// The application, bound and not yet running.
pub struct Application {
    public: Server,
    admin: Server,
    readiness: Readiness,
    lifecycle: config::Lifecycle,
    background: JoinSet<()>,
    stop_public: CancellationToken,
    stop_admin: CancellationToken,
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
}

impl Application {
    /// Builds everything and binds both listeners.
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        let (verifier, client_ids) = match &config.auth {
            Auth::Cognito(cognito) => (Some(cognito), cognito.client_ids.as_slice()),
            Auth::Disabled => (None, &[][..]),
        };
        let metrics = Arc::new(Metrics::new(client_ids, &Refusal::REASONS));
        http::register_series(&metrics);
        let verifier = verifier
            .map(|cognito| Verifier::new(cognito, &metrics))
            .transpose()?
            .map(Arc::new);
        let quotas = config.rate_limit.as_ref().map(Quotas::new).map(Arc::new);
        let readiness = Readiness::new(verifier.clone());

        let mut background = JoinSet::new();
        background.spawn(Arc::clone(&metrics).keep_up());
        if let Some(verifier) = &verifier {
            background.spawn(Arc::clone(verifier).keep_fresh());
        }
        if let Some(quotas) = &quotas {
            background.spawn(Arc::clone(quotas).forget_idle());
        }

        let public = http::public_routes(Public {
            shouter: Shouter::new(
                Shoutcloud::new(&config.shoutcloud)?,
                config.shoutcloud.deadline,
                &config.shout,
            ),
            verifier,
            quotas,
            metrics: Arc::clone(&metrics),
            max_body_bytes: config.http.max_body_bytes,
            request_timeout: config.http.request_timeout,
        });
        let admin = http::admin_routes(readiness.clone(), metrics);
        let times = Times {
            head: config.http.header_read_timeout,
            idle: config.http.idle_timeout,
        };
        let (stop_public, stop_admin) = (CancellationToken::new(), CancellationToken::new());
        Ok(Self {
            public: Server::new(
                bind("HTTP_ADDR", config.http.http_addr).await?,
                public,
                times,
                stop_public.clone(),
            ),
            admin: Server::new(
                bind("ADMIN_ADDR", config.http.admin_addr).await?,
                admin,
                times,
                stop_admin.clone(),
            ),
            readiness,
            lifecycle: config.lifecycle.clone(),
            background,
            stop_public,
            stop_admin,
        })
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
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            public,
            admin,
            readiness,
            lifecycle,
            background,
            stop_public,
            stop_admin,
        } = self;
        let admin = tokio::spawn(admin.run());
        let mut public = tokio::spawn(public.run());
        stop.cancelled().await;
        readiness.drain();
        tracing::info!(event.action = "stop", grace = ?lifecycle.grace, "unready; still serving");
        tokio::time::sleep(lifecycle.grace).await;
        stop_public.cancel();
        if timeout(lifecycle.timeout, &mut public).await.is_err() {
            tracing::warn!(
                event.action = "stop",
                "requests were still in flight at the end of SHUTDOWN_TIMEOUT"
            );
            public.abort();
        }
        stop_admin.cancel();
        // A scrape that is under way may end; one that hangs is not waited for.
        _ = timeout(LAST_SCRAPE, admin).await;
        drop(background);
    }
}

async fn bind(variable: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Bind {
            variable,
            address,
            source,
        })
}
