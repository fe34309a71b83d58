//! The service in this process, with peers that always say the same, so that its work is the same each time.
//!
//! The tokens were signed once with a key that nobody has any more; they end in 2100.

mod peer;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use shoutback::app::Application;
use shoutback::auth::{Principal, Refusal, Verifier};
use shoutback::config::{Auth, Config, Environment};
use shoutback::shout::{Caching, Cause, Shouter};
use shoutback::shoutcloud::{self, Shoutcloud};
use shoutback::telemetry::log::Stream;
use shoutback::telemetry::metrics::Metrics;
use shoutback::telemetry::trace::Tracing;
use shoutback::telemetry::{self, Telemetry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What every request says, and what comes back.
pub const TEXT: &str = "hello, world!";
pub const SHOUT: &str = "!DLROW ,OLLEH";

pub const GOOD: &str = include_str!("good.jwt");
/// Its signature holds, and it is refused after that: so it is never remembered.
pub const WITHOUT_SCOPE: &str = include_str!("without-scope.jwt");
const KEYS: &str = include_str!("keys.json");

/// Between two looks whether something has happened: so long that one is enough, or the looks would count.
const PAUSE: Duration = Duration::from_millis(300);

/// A token with another signature than its own.
pub fn spoilt() -> String {
    let (start, last) = GOOD.split_at(GOOD.len() - 100);
    let other = if last.starts_with('A') { "B" } else { "A" };
    format!("{start}{other}{}", &last[1..])
}

/// A runtime on this thread alone.
pub fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The configuration of a service whose peers stand on this machine; `cache` as `CACHE_CAPACITY` has it.
async fn config(cache: &str) -> Config {
    let keys = peer::serve(KEYS.to_owned()).await;
    let quiet: String = TEXT.chars().rev().collect();
    let upstream = peer::serve(format!(r#"{{"INPUT":"{quiet}","OUTPUT":"{SHOUT}"}}"#)).await;
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
    Config::load(&environment).expect("valid").config
}

/// A verifier that has its keys, and what it is asked about.
pub struct Verifying(Arc<Verifier>);

impl Verifying {
    pub async fn start() -> Self {
        let config = config("0").await;
        let Auth::Cognito(cognito) = &config.auth else {
            unreachable!("it is what is configured")
        };
        let metrics = Metrics::new(&cognito.client_ids, &Refusal::REASONS, &[]);
        let verifier = Arc::new(Verifier::new(cognito, &metrics, &Tracing::off()).expect("a client"));
        tokio::spawn(Arc::clone(&verifier).keep_fresh());
        tokio::time::sleep(PAUSE).await;
        while verifier.awaited().next().is_some() {
            tokio::time::sleep(PAUSE).await;
        }
        Self(verifier)
    }

    pub fn verify(&self, headers: &HeaderMap) -> impl Future<Output = Result<Principal, Refusal>> {
        self.0.verify(headers)
    }
}

/// What turns texts into shouts, over an upstream that answers; `cache` as `CACHE_CAPACITY` has it.
pub async fn shouter(cache: &str) -> Shouter {
    over(&config(cache).await)
}

/// The same over an upstream that is not there, once that has been noticed.
pub async fn broken_circuit() -> Shouter {
    let mut environment = Environment::from([
        ("AUTH_MODE", "disabled"),
        ("CACHE_CAPACITY", "0B"),
        ("SHOUTCLOUD_MAX_RETRIES", "0"),
        ("BREAKER_OPEN_FOR", "1h"),
    ]);
    environment.set("SHOUTCLOUD_URL", format!("http://{}/", peer::nowhere().await));
    let shouter = over(&Config::load(&environment).expect("valid").config);
    let client: Arc<str> = Arc::from("benchmark");
    loop {
        let deadline = Instant::now() + Duration::from_secs(10);
        let answer = shouter
            .shout(&client, TEXT.to_owned(), Caching::Off, deadline)
            .await;
        let cause = answer.expect_err("nobody is there").cause;
        if matches!(cause, Cause::Upstream(shoutcloud::Error::BreakerOpen { .. })) {
            return shouter;
        }
    }
}

fn over(config: &Config) -> Shouter {
    let metrics = Metrics::new(&[], &[], &[]);
    let upstream = Shoutcloud::new(&config.shoutcloud, &metrics, Tracing::off()).expect("a client");
    Shouter::new(upstream, config.shoutcloud.deadline, &config.shout, metrics.cache)
}

pub fn bearing(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a token is ASCII");
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

/// The whole service, and a connection to it.
pub struct Whole {
    connection: TcpStream,
    answer: Vec<u8>,
    _telemetry: Telemetry,
}

impl Whole {
    /// `lines`: where its log goes.
    pub async fn start(cache: &str, lines: Stream) -> Self {
        let config = config(cache).await;
        let telemetry = telemetry::init(&config, lines).expect("no file is needed");
        let application = Application::bind(&config).await.expect("ports are free");
        let (public, admin) = (application.public_addr(), application.admin_addr());
        let (public, admin) = (public.expect("bound"), admin.expect("bound"));
        tokio::spawn(application.run(CancellationToken::new()));
        tokio::time::sleep(PAUSE).await;
        while !is_ready(admin).await {
            tokio::time::sleep(PAUSE).await;
        }
        Self {
            connection: TcpStream::connect(public).await.expect("it listens"),
            answer: Vec::with_capacity(4096),
            _telemetry: telemetry,
        }
    }

    /// Sends a request, and takes its answer.
    pub async fn call(&mut self, request: &[u8], status: &str) {
        self.connection.write_all(request).await.expect("it reads");
        self.answer.clear();
        while !peer::is_complete(&self.answer) {
            let read = self.connection.read_buf(&mut self.answer).await;
            assert!(read.expect("it answers") > 0, "it closed the connection");
        }
        assert_eq!(self.answer.get(9..12), Some(status.as_bytes()));
    }
}

/// A request with this token.
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
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.expect("it answers");
    answer.starts_with(b"HTTP/1.1 200")
}
