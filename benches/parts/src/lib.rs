//! Runs the service in this process, with peers whose responses are constant, so that each request costs the same work.
//!
//! The tokens expire in 2100. The key that signed them was deleted.

mod peer;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use shoutback::app::Application;
use shoutback::auth::{AuthError, Principal, Verifier};
use shoutback::config::{Auth, Config, Environment};
use shoutback::shout::{CacheMode, Cause, ShoutService};
use shoutback::shoutcloud::{self, Shoutcloud, ShoutcloudProtocol};
use shoutback::telemetry::log::Stream;
use shoutback::telemetry::metrics::Metrics;
use shoutback::telemetry::trace::Tracing;
use shoutback::telemetry::{self, Telemetry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The text of every request, and the shout in the response.
pub const TEXT: &str = "hello, world!";
pub const SHOUT: &str = "!DLROW ,OLLEH";

pub const GOOD: &str = include_str!("good.jwt");
/// A token with a valid signature and a missing scope: it is rejected after the signature check, and never cached.
pub const WITHOUT_SCOPE: &str = include_str!("without-scope.jwt");
const KEYS: &str = include_str!("keys.json");

/// Interval of readiness checks: long enough that the first one succeeds, so that their number is constant.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Returns a token with a changed signature.
pub fn tampered_token() -> String {
    let (start, last) = GOOD.split_at(GOOD.len() - 100);
    let other = if last.starts_with('A') { "B" } else { "A" };
    format!("{start}{other}{}", &last[1..])
}

/// Returns a single-threaded runtime.
pub fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Returns the configuration of a service with local peers; `cache` is the value of `CACHE_CAPACITY`. A collector receives the spans if
/// `variables`, which override the others, have a sampler.
async fn config(cache: &str, variables: &[(&str, &str)]) -> Config {
    let keys = peer::serve(KEYS.to_owned()).await;
    let input: String = TEXT.chars().rev().collect();
    let upstream = peer::serve(format!(r#"{{"INPUT":"{input}","OUTPUT":"{SHOUT}"}}"#)).await;
    let mut environment = Environment::from([
        ("HTTP_ADDR", "127.0.0.1:0"),
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("COGNITO_USER_POOL_IDS", "us-east-2_Benchmark"),
        ("COGNITO_CLIENT_IDS", "benchmark"),
        ("COGNITO_ENDPOINT", "https://cognito.example"),
        ("RATE_LIMIT_PER_CLIENT", "1000000/s"),
        ("RATE_LIMIT_BURST", "1000000"),
        ("SHUTDOWN_GRACE", "0ms"),
        ("CACHE_CAPACITY", cache),
    ]);
    environment.set("COGNITO_JWKS_ENDPOINT", format!("http://{keys}"));
    environment.set("SHOUTCLOUD_URL", format!("http://{upstream}/V1/SHOUT"));
    for &(name, value) in variables {
        if name == "OTEL_TRACES_SAMPLER" {
            let collector = peer::serve("{}".to_owned()).await;
            environment.set("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"));
        }
        environment.set(name, value.to_owned());
    }
    Config::load(&environment).expect("valid").config
}

/// A verifier that has loaded its keys.
pub struct VerifierHarness(Arc<Verifier>);

impl VerifierHarness {
    pub async fn start() -> Self {
        let config = config("0", &[]).await;
        let Auth::Cognito(cognito) = &config.auth else {
            unreachable!("the configuration enables Cognito")
        };
        let metrics = Metrics::new(&cognito.client_ids);
        let verifier = Arc::new(Verifier::new(cognito, &metrics, &Tracing::disabled()).expect("a client"));
        tokio::spawn(Arc::clone(&verifier).keep_fresh());
        tokio::time::sleep(POLL_INTERVAL).await;
        while verifier.pools_without_keys().next().is_some() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Self(verifier)
    }

    pub fn verify(&self, headers: &HeaderMap) -> impl Future<Output = Result<Principal, AuthError>> {
        self.0.verify(headers)
    }
}

/// Returns a shouter with a working upstream; `cache` is the value of `CACHE_CAPACITY`.
pub async fn shouter(cache: &str) -> ShoutService {
    build_shouter(&config(cache, &[]).await)
}

/// Returns a shouter whose upstream is down and whose breaker is open.
pub async fn shouter_with_open_breaker() -> ShoutService {
    let mut environment = Environment::from([
        ("AUTH_MODE", "disabled"),
        ("CACHE_CAPACITY", "0B"),
        ("SHOUTCLOUD_MAX_RETRIES", "0"),
        ("BREAKER_OPEN_FOR", "1h"),
    ]);
    environment.set(
        "SHOUTCLOUD_URL",
        format!("http://{}/", peer::unused_address().await),
    );
    let shouter = build_shouter(&Config::load(&environment).expect("valid").config);
    let client: Arc<str> = Arc::from("benchmark");
    loop {
        let deadline = Instant::now() + Duration::from_secs(10);
        let result = shouter
            .shout(&client, TEXT.to_owned(), CacheMode::NoStore, deadline)
            .await;
        let cause = result.expect_err("nothing listens there").cause;
        if matches!(cause, Cause::Upstream(shoutcloud::Error::BreakerOpen { .. })) {
            return shouter;
        }
    }
}

fn build_shouter(config: &Config) -> ShoutService {
    let metrics = Metrics::new(&[]);
    let upstream = Shoutcloud::new(
        &config.shoutcloud,
        ShoutcloudProtocol,
        &metrics,
        Tracing::disabled(),
    )
    .expect("a client");
    ShoutService::new(
        upstream,
        config.shoutcloud.deadline,
        &config.shout,
        None,
        metrics.cache,
    )
}

pub fn bearer_headers(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a token is ASCII");
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

/// The service and a connection to it.
pub struct ServiceHarness {
    connection: TcpStream,
    response: Vec<u8>,
    _telemetry: Telemetry,
}

impl ServiceHarness {
    /// Starts the service, which logs to `log`. `variables` override its configuration.
    pub async fn start(cache: &str, log: Stream, variables: &[(&str, &str)]) -> Self {
        let config = config(cache, variables).await;
        let telemetry = telemetry::init(&config, log).expect("no file is needed");
        let application = Application::bind(&config).await.expect("ports are free");
        let (public, admin) = (application.public_addr(), application.admin_addr());

        tokio::spawn(application.run(CancellationToken::new()));
        tokio::time::sleep(POLL_INTERVAL).await;
        while !is_ready(admin).await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Self {
            connection: TcpStream::connect(public).await.expect("it listens"),
            response: Vec::with_capacity(4096),
            _telemetry: telemetry,
        }
    }

    /// Sends a request and reads its response.
    pub async fn call(&mut self, request: &[u8], status: &str) {
        self.connection.write_all(request).await.expect("it reads");
        self.response.clear();
        while !peer::is_complete(&self.response) {
            let read = self.connection.read_buf(&mut self.response).await;
            assert!(read.expect("it responds") > 0, "it closed the connection");
        }
        assert_eq!(self.response.get(9..12), Some(status.as_bytes()));
    }
}

/// Returns a request with this token.
pub fn request(token: &str) -> Vec<u8> {
    let body = format!(r#"{{"data":"{TEXT}"}}"#);
    let length = body.len();
    format!(
        "POST /v1 HTTP/1.1\r\nhost: shoutback\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

async fn is_ready(admin: SocketAddr) -> bool {
    let mut connection = TcpStream::connect(admin).await.expect("it listens");
    let request = b"GET /readyz HTTP/1.1\r\nhost: shoutback\r\nconnection: close\r\n\r\n";
    connection.write_all(request).await.expect("it reads");
    let mut response = Vec::new();
    connection.read_to_end(&mut response).await.expect("it responds");
    response.starts_with(b"HTTP/1.1 200")
}
