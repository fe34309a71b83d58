//! The transport: sends a request to SHOUTCLOUD on a connection that the attempt owns.
//!
//! Unlike a client with a pool (reqwest, hyper-util's legacy client), the attempt drives its connection itself. So it knows whether the
//! connection was reused and whether a byte of the response has arrived, closes the connection by being dropped, and hands nothing
//! over to another task.
//!
//! - `connector` resolves, connects and runs the TLS handshake, all within one time limit that the addresses share. Its result is a
//!   `stream`.
//! - `connection` sends a request and reads its response.
//! - `idle` stores connections between calls.

mod connection;
mod connector;
mod idle;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;

use self::connection::{Connection, Failure};
use self::connector::Connector;
use self::idle::IdleConnections;
use super::error::Error;
use crate::config::UpstreamUrl;
use crate::telemetry::metrics::{ConnectionEvent, UpstreamMetrics};

pub(super) use self::connection::Response;
pub(super) use self::connector::BuildError;

/// Sends requests to one server.
pub(super) struct Transport {
    connector: Connector,
    idle: IdleConnections,
    /// The request target: path and query.
    target: Uri,
    host: HeaderValue,
    metrics: Arc<UpstreamMetrics>,
}

/// How far an attempt got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// The request was sent on a connection that an earlier request had used.
    pub(super) is_reused: bool,
    /// The status of the response, which is known before its body.
    pub(super) status: Option<StatusCode>,
}

impl Transport {
    pub(super) fn new(
        url: &UpstreamUrl,
        connect_timeout: Duration,
        metrics: Arc<UpstreamMetrics>,
    ) -> Result<Self, BuildError> {
        let server: Uri = url.to_url().as_str().parse().expect("a URL is a valid URI");
        let host = server.authority().map_or("", http::uri::Authority::as_str);
        Ok(Self {
            target: server
                .path_and_query()
                .map_or_else(Uri::default, |target| Uri::from(target.clone())),
            host: HeaderValue::from_str(host).expect("an authority is a valid header value"),
            connector: Connector::new(server, connect_timeout)?,
            idle: IdleConnections::default(),
            metrics,
        })
    }

    /// Sends `body` with `headers` and reads a response of at most `limit` bytes. Records its progress in `usage`, also for a caller
    /// that drops the future at a timeout.
    ///
    /// If a reused connection breaks before a byte of the response has arrived, the server has most probably closed it while it was
    /// idle: the request is repeated once, at once, on a new connection. SHOUTCLOUD may receive a text twice.
    pub(super) async fn send(
        &self,
        body: Bytes,
        headers: HeaderMap,
        limit: usize,
        needs_new: bool,
        usage: &mut Usage,
    ) -> Result<Response, Error> {
        let request = self.request(body, headers);
        if !needs_new && let Some(connection) = self.idle.take() {
            usage.is_reused = true;
            self.metrics.record_connection(ConnectionEvent::Reused);
            let exchange = self.exchange(connection, request.clone(), limit, &mut usage.status);
            match exchange.await {
                Err(Failure { is_stale: true, .. }) => {
                    usage.is_reused = false;
                    self.metrics.record_connection(ConnectionEvent::Stale);
                }
                result => return result.map_err(|failure| failure.error),
            }
        }
        let connection = self.connector.connect().await?;
        self.metrics.record_connection(ConnectionEvent::Opened);
        let result = self.exchange(connection, request, limit, &mut usage.status).await;
        result.map_err(|failure| failure.error)
    }

    /// Closes the connections that are idle now: after a timeout on one of them, the others are suspect.
    pub(super) fn close_idle(&self) {
        self.idle.clear();
    }

    /// Closes connections that have been idle for too long or that the server has closed.
    pub(super) fn sweep(&self) {
        self.idle.sweep();
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
        limit: usize,
        status: &mut Option<StatusCode>,
    ) -> Result<Response, Failure> {
        let response = connection.send(request, limit, status).await?;
        self.idle.put(connection);
        Ok(response)
    }

    fn request(&self, body: Bytes, headers: HeaderMap) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        // SHOUTCLOUD rejects `application/json; charset=utf-8`.
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(
            USER_AGENT,
            const { HeaderValue::from_static(crate::outbound::USER_AGENT) },
        );
        request
    }
}
