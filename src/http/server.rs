//! HTTP server: accepts connections, serves HTTP/1.1 and cleartext HTTP/2, and shuts both down gracefully.
//!
//! Unlike `axum::serve`, it limits the number of connections, applies a timeout to each state of a connection, bounds
//! how long a client may take to read a response, and loses no request during a shutdown: see
//! [`crate::lifecycle::Phase`].
//!
//! It relies on undocumented behaviour of hyper and h2: see `response_body`, `h2_executor` and `connection_state`.

mod accept;
mod connection;
mod connection_state;
mod h2_executor;
mod head_limits;
mod monitored_stream;
mod protocol_detect;
mod request_body;
mod response_body;
mod upstream_call;

use std::io::{ErrorKind, Result};
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::CONNECTION;
use http::{HeaderValue, Version};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::coop::consume_budget;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::accept::{BACKLOG, ConnectionLimit, accept, is_connection_error, pause_after};
use self::connection::ConnectionTask;
use self::connection_state::ConnectionState;
use self::head_limits::{Builders, rejection};
use self::monitored_stream::{ConnectionPermit, MonitoredStream};
use self::protocol_detect::ProtocolDetect;
use self::response_body::ResponseBody;
use super::HttpService;
use super::request_context::RequestContext;
use crate::lifecycle::{Drain, Phase};
use crate::telemetry::metrics::{ConnectionMetrics, ConnectionRejection};

pub use self::accept::listen;
pub use self::connection_state::Timeouts;
pub(super) use self::request_body::ShutdownInterrupted;
use self::request_body::UnreadBody;
pub(super) use self::upstream_call::upstream_call_began;

/// A bound listener and the service that it serves.
pub struct Server<S> {
    listener: TcpListener,
    connections: Connections<S>,
    /// One permit per connection that may be open; `None`: no limit.
    connection_permits: Option<Arc<Semaphore>>,
}

/// What every connection is created from.
struct Connections<S> {
    builders: Arc<Builders>,
    service: S,
    timeouts: Timeouts,
    drain: Drain,
    metrics: ConnectionMetrics,
    tracker: TaskTracker,
}

impl<S: HttpService> Server<S> {
    /// Creates a server of `service` on `listener`, which accepts connections until `drain` enters [`Phase::Closing`].
    pub fn new(listener: TcpListener, service: S, timeouts: Timeouts, drain: Drain) -> Self {
        Self {
            listener,
            connections: Connections {
                builders: Arc::new(Builders::new()),
                service,
                timeouts,
                drain,
                metrics: ConnectionMetrics::noop(),
                tracker: TaskTracker::new(),
            },
            connection_permits: None,
        }
    }

    /// Limits the number of open connections to `max`; further ones wait in the backlog.
    #[must_use]
    pub fn with_max_connections(mut self, max: usize) -> Self {
        self.connection_permits = Some(Arc::new(Semaphore::new(max)));
        self
    }

    /// Records connections in `metrics`.
    #[must_use]
    pub fn with_metrics(mut self, metrics: ConnectionMetrics) -> Self {
        self.connections.metrics = metrics;
        self
    }

    /// Accepts connections until [`Phase::Closing`], then serves the backlog and waits for the last connection to end.
    /// To bound that wait, drop the future, which aborts the connections.
    pub async fn run(self) {
        let Self {
            listener,
            connections,
            connection_permits,
        } = self;
        let mut limit = ConnectionLimit {
            permits: connection_permits,
            metrics: connections.metrics.clone(),
            warned: None,
        };
        let _abort_on_drop = AbortOnDrop(connections.drain.clone());
        let closing = connections.drain.phase_ended(Phase::Draining);
        tokio::pin!(closing);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut closing => break,
                accepted = accept(&listener, &mut limit) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => connections.serve(stream, permit),
                Err(error) => pause_after(&error).await,
            }
        }
        if let Err(error) = connections.drain_backlog(listener).await {
            tracing::warn!(
                event.action = "stop",
                event.kind = "event",
                event.outcome = "failure",
                error.message = %error,
                "connections may have been left in the backlog"
            );
        }
        connections.tracker.close();
        connections.tracker.wait().await;
    }
}

/// Aborts the connections when it is dropped.
struct AbortOnDrop(Drain);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<S: HttpService> Connections<S> {
    /// Accepts what is in the backlog and closes the listener: the kernel has completed the handshake of these
    /// connections and would reset them. Makes real system calls, because tokio may not have seen the listener become
    /// readable.
    async fn drain_backlog(&self, listener: TcpListener) -> Result<()> {
        let listener = listener.into_std()?;
        // At most the length of the backlog: a flood must not keep the listener open.
        for _ in 0..BACKLOG {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    self.serve(TcpStream::from_std(stream)?, None);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if self.is_final(&error) => return Err(error),
                Err(error) => pause_after(&error).await,
            }
            // Yields to the connections that are being served.
            consume_budget().await;
        }
        Err(std::io::Error::other(
            "accepted as many connections as the backlog holds, and more may have arrived",
        ))
    }

    /// Returns whether `error` ends the accepting. Until the closing deadline, connections end and free what it lacks.
    fn is_final(&self, error: &std::io::Error) -> bool {
        let deadline = self.drain.closing_deadline();
        !is_connection_error(error) && deadline.is_none_or(|deadline| Instant::now() >= deadline)
    }

    fn serve(&self, stream: TcpStream, permit: Option<OwnedSemaphorePermit>) {
        // A response is written at once, so Nagle's algorithm has nothing to wait for.
        _ = stream.set_nodelay(true);
        // Unknown once the client has reset the connection.
        let peer = stream.peer_addr().ok().map(|address| address.ip());
        let state = ConnectionState::new();
        let stream = MonitoredStream::new(
            stream,
            state.clone(),
            self.drain.clone(),
            self.tracker.clone(),
            Some(ConnectionPermit {
                _permit: permit,
                _counted: self.metrics.opened(),
            }),
        );
        let metrics = self.metrics.clone();
        let (service, drain, requests) = (self.service.clone(), self.drain.clone(), state.clone());
        let (idle, unread) = (self.timeouts.idle, UnreadBody::default());
        let serve = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let guard = requests.begin_request();
            let pending = drain.count_pending();
            let version = request.version();
            let rejection = rejection(request.uri(), request.headers());
            if rejection.is_some() {
                metrics.record_rejected(ConnectionRejection::Parser);
            }
            let mut request = request_body::wrap(request, &requests, &unread, &drain);
            let context = RequestContext::insert(&mut request, peer);
            let response = rejection
                .is_none()
                .then(|| service.clone().call(request.map(Body::new)));
            let (drain, unread) = (drain.clone(), unread.clone());
            async move {
                let mut response = match response {
                    Some(response) => response.await?,
                    None => Response::new(Body::empty()),
                };
                let is_body_read = unread.drain_arrived(guard.connection()).await;
                if let Some(status) = rejection {
                    *response.status_mut() = status;
                }
                // hyper closes the connection after an unread body, but does not announce it (RFC 9112 section 9.6).
                let closes = rejection.is_some() || !is_body_read || drain.has_begun();
                if closes && version <= Version::HTTP_11 {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                    // hyper would add the `keep-alive` of an HTTP/1.0 request.
                    *response.version_mut() = version;
                }
                let guard = guard.response_ready();
                let response =
                    ResponseBody::wrap(response, version, idle, guard, pending, context.take_permit());
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let builders = Arc::clone(&self.builders);
        let open = move |stream, may_be_http2| {
            let builder = if may_be_http2 {
                &builders.either
            } else {
                &builders.http1
            };
            builder.serve_connection(TokioIo::new(stream), serve).into_owned()
        };
        let connection = ProtocolDetect::new(stream, open);
        let task = ConnectionTask::new(
            connection,
            state,
            self.timeouts,
            self.drain.clone(),
            self.metrics.clone(),
        );
        self.tracker.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind, Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;
    use tokio::time::advance;

    use super::{Server, Timeouts, listen};
    use crate::lifecycle::Drain;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn errors_of_the_listener_are_final_from_the_closing_deadline_on() {
        let listener = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let timeouts = Timeouts {
            head: MINUTE,
            idle: MINUTE,
        };
        let drain = Drain::new(MINUTE);
        let server = Server::new(listener, Router::new(), timeouts, drain.clone());
        drain.begin_closing();
        // EMFILE, which lasts, and an error of one connection.
        let errors = [Error::from_raw_os_error(24), ErrorKind::ConnectionReset.into()];
        let mut is_final = Vec::new();
        for pause in [Duration::ZERO, MINUTE / 2, MINUTE / 2] {
            advance(pause).await;
            is_final.push(errors.each_ref().map(|error| server.connections.is_final(error)));
        }
        assert_eq!(is_final, [[false, false], [false, false], [true, false]]);
    }

    #[tokio::test]
    async fn the_backlog_is_served_without_a_closing_timeout() {
        let listener = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let clients: Vec<_> = (0..100)
            .map(|_| {
                let mut client = TcpStream::connect(address).expect("a connection");
                client
                    .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                    .expect("the send buffer has space");
                client
            })
            .collect();
        let routes = Router::new().route("/", get(|| async { "served" }));
        let timeouts = Timeouts {
            head: MINUTE,
            idle: MINUTE,
        };
        let drain = Drain::new(Duration::ZERO);
        drain.begin_closing();
        Server::new(listener, routes, timeouts, drain).run().await;
        for mut client in clients {
            let mut response = String::new();
            client
                .read_to_string(&mut response)
                .expect("a response, no reset");
            assert!(response.ends_with("served"), "{response:?}");
        }
    }
}
