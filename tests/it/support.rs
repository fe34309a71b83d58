//! Starts the real application with emulators and sends it requests as a client, an operator and a scraper do.

pub mod clock;
pub mod collector;
pub mod http1;
pub mod http2;
pub mod jwt;
pub mod key_server;
pub mod rsa;
pub mod settings;
pub mod tcp_server;
pub mod upstream;
pub mod valkey;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Map, Value};
use shoutback::app::{Application, ShutdownError};
use shoutback::config::{Config, Environment};
use shoutback::shoutcloud::{Protocol, ShoutcloudProtocol};
use shoutback_emulators::cognito;
use shoutback_emulators::shoutcloud::{self, Behaviour};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The user pool of the Cognito emulator.
pub const POOL_ID: &str = "us-east-2_TestPool1";

/// The value that removes one of the variables that every [`App`] has.
pub const UNSET: &str = "\0unset";

/// The application under test and its two emulators. Dropping it ends them all.
pub struct App {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub client: reqwest::Client,
    pub cognito: cognito::Emulator,
    pub shoutcloud: shoutcloud::Emulator,
    stop: CancellationToken,
    running: JoinHandle<Result<(), ShutdownError>>,
}

impl App {
    /// Starts an application and emulators, and waits until it is ready. `settings` override the defaults.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let app = Self::start_unready(settings).await;
        app.until_ready().await;
        app
    }

    /// Does the same without waiting.
    pub async fn start_unready(settings: &[(&str, &str)]) -> Self {
        Self::start_with(settings, ShoutcloudProtocol).await
    }

    /// Does the same with another protocol of the upstream.
    pub async fn start_with(settings: &[(&str, &str)], protocol: impl Protocol) -> Self {
        let cognito = cognito::Emulator::start(loopback().await, POOL_ID).expect("a Cognito emulator");
        let shoutcloud = shoutcloud::Emulator::start(loopback().await, Behaviour::default())
            .expect("a SHOUTCLOUD emulator");
        let (cognito_url, shoutcloud_url) = (cognito.endpoint(), shoutcloud.url());
        let mut merged = BTreeMap::from([
            ("HTTP_ADDR", "127.0.0.1:0"),
            ("ADMIN_ADDR", "127.0.0.1:0"),
            ("COGNITO_ENDPOINT", &cognito_url),
            ("COGNITO_USER_POOL_IDS", POOL_ID),
            ("COGNITO_CLIENT_IDS", &cognito.client().id),
            ("SHOUTCLOUD_URL", &shoutcloud_url),
            ("SHUTDOWN_GRACE", "0ms"),
            ("RATE_LIMIT_PER_CLIENT", "off"),
        ]);
        merged.extend(settings.iter().copied());
        let mut environment = Environment::default();
        for (name, value) in merged.into_iter().filter(|(_, value)| *value != UNSET) {
            environment.set(name, value);
        }
        let config = Config::load(&environment).expect("a valid configuration").config;
        let application = Application::bind_with(&config, protocol)
            .await
            .expect("ports are free");
        let public = application.public_addr();
        let admin = application.admin_addr();
        let stop = CancellationToken::new();
        let running = tokio::spawn(application.run(stop.clone()));
        Self {
            public,
            admin,
            client: client(),
            cognito,
            shoutcloud,
            stop,
            running,
        }
    }

    /// Waits until `/readyz` responds with 200.
    pub async fn until_ready(&self) {
        let ready = async || self.admin("/readyz").await.status() == 200;
        until("the application is ready", ready).await;
    }

    /// Returns the OpenAPI document.
    pub async fn document(&self) -> Value {
        let url = format!("http://{}/openapi.json", self.public);
        let response = send(self.client.get(url)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        serde_json::from_str(&response.text().await.expect("UTF-8")).expect("JSON")
    }

    /// Returns the paths of the API: those in the OpenAPI document.
    pub async fn api_paths(&self) -> Vec<String> {
        let document = self.document().await;
        let paths = document["paths"].as_object().expect("paths").keys();
        paths.cloned().collect()
    }

    /// Returns a `POST /v1` without headers and body.
    pub fn post(&self) -> reqwest::RequestBuilder {
        self.post_to("/v1")
    }

    /// Returns a `POST` of a path without headers and body.
    pub fn post_to(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("http://{}{path}", self.public))
    }

    /// Returns a valid request for a shout of `text`.
    pub fn shout(&self, text: &str) -> reqwest::RequestBuilder {
        self.shout_with(&self.cognito.token(), text)
    }

    /// Returns the same request with another token.
    pub fn shout_with(&self, token: &str, text: &str) -> reqwest::RequestBuilder {
        self.text_to("/v1", token, text)
    }

    /// Returns a `POST` of a text to a path.
    pub fn text_to(&self, path: &str, token: &str, text: &str) -> reqwest::RequestBuilder {
        self.post_to(path)
            .bearer_auth(token)
            .header("content-type", "text/plain")
            .body(text.to_owned())
    }

    /// Returns the status of a shout of `hi` with this token.
    pub async fn status_with(&self, token: &str) -> u16 {
        send(self.shout_with(token, "hi")).await.status().as_u16()
    }

    /// Signs a token with some of the emulator's claims changed; `Value::Null` removes one.
    pub fn token_with(&self, change: &[(&str, Value)]) -> String {
        self.cognito.sign(&changed(self.cognito.claims(), change))
    }

    /// Sends a `GET` to the admin listener.
    pub async fn admin(&self, path: &str) -> reqwest::Response {
        send(self.client.get(format!("http://{}{path}", self.admin))).await
    }

    /// Returns the sum of the series of `name` whose labels contain all of `labels`, written as `label="value"`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.admin("/metrics").await.text().await.expect("UTF-8");
        text.lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Stops the application as SIGTERM does, and asserts that it shuts down cleanly.
    pub async fn stop(self) {
        self.begin_stop();
        assert_eq!(self.stopped().await, Ok(()));
    }

    /// Starts the shutdown as SIGTERM does.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Waits for the end of the shutdown.
    pub async fn stopped(mut self) -> Result<(), ShutdownError> {
        (&mut self.running)
            .await
            .expect("the application ends without a panic")
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Returns `claims` with some changed; `Value::Null` removes one.
pub fn changed(mut claims: Map<String, Value>, change: &[(&str, Value)]) -> Map<String, Value> {
    for (name, value) in change {
        if value.is_null() {
            claims.remove(*name);
        } else {
            claims.insert((*name).to_owned(), value.clone());
        }
    }
    claims
}

/// Returns a client without redirects, proxies and retries.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .build()
        .expect("a client")
}

/// Sends a request and returns its response.
pub async fn send(request: reqwest::RequestBuilder) -> reqwest::Response {
    request.send().await.expect("a response")
}

/// Binds a free loopback port.
pub async fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

/// Polls `condition` until it is true; panics after a minute, which is far more than any condition takes.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), poll)
        .await
        .unwrap_or_else(|_| panic!("timed out: {what}"));
}

/// Asserts that `response` is this problem, as the API documents it, and returns its members.
pub async fn assert_problem(response: reqwest::Response, status: u16, name: &str) -> Value {
    let id = response.headers()["x-request-id"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    assert_eq!(response.status(), status, "{name}");
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json",
        "{name}"
    );
    let problem: Value = serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON");
    assert_eq!(problem["type"], format!("/docs#{name}"), "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["instance"], format!("/requests/{id}"), "{problem}");
    for member in ["title", "detail"] {
        assert!(
            problem[member].as_str().is_some_and(|text| !text.is_empty()),
            "{member}: {problem}"
        );
    }
    problem
}

/// Asserts that `version` is the version with the first 12 digits of the commit as build metadata.
pub fn assert_is_release(version: &str) {
    let commit = shoutback::version::COMMIT;
    let expected = match commit.get(..12) {
        Some(commit) => format!("{}+{commit}", env!("CARGO_PKG_VERSION")),
        None => env!("CARGO_PKG_VERSION").to_owned(),
    };
    assert_eq!(version, expected);
}
