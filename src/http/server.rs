//! Listeners: accepts connections, serves HTTP/1.1 and cleartext HTTP/2 on them, and lets them finish at a stop.

mod connection;
mod io;

use std::io::Result;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use self::connection::{Activity, Watched};
use self::io::Observed;

/// A head with a token of 8 KiB and whatever an ingress adds is far below it.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// RFC 9113 section 6.5.2 recommends no less than 100.
const MAX_STREAMS: u32 = 100;

/// How long a connection may take for what is not a handler's business.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From the first byte (or the start of the connection) to the end of a request's head.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
}

/// A bound listener and what it serves.
pub struct Server {
    listener: TcpListener,
    routes: Router,
    times: Times,
    connections: TaskTracker,
    /// No new connections; those that are open finish what they have begun.
    stop: CancellationToken,
}

impl Server {
    /// Serves `routes` on `listener`, until `stop` is cancelled.
    pub fn new(listener: TcpListener, routes: Router, times: Times, stop: CancellationToken) -> Self {
        Self {
            listener,
            routes,
            times,
            connections: TaskTracker::new(),
            stop,
        }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until stopped, then waits for the last connection to end. To bound that wait, drop the future: the
    /// connections end with it.
    pub async fn run(self) {
        let abort = CancellationToken::new();
        let _abort_on_drop = abort.clone().drop_guard();
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.serve(stream, abort.clone()),
                Err(error) => {
                    // Out of descriptors, say: at once again would be a busy loop.
                    tracing::warn!(event.action = "accept", error.message = %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.listener);
        self.connections.close();
        self.connections.wait().await;
    }

    fn serve(&self, stream: TcpStream, abort: CancellationToken) {
        // An answer is written at once, so there is nothing for Nagle's algorithm to wait for.
        _ = stream.set_nodelay(true);
        let activity = Activity::new();
        let io = Observed::new(stream, activity.clone());
        let (routes, requests) = (self.routes.clone(), activity.clone());
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let request_began = requests.request_began();
            let answer = routes.clone().call(request);
            async move {
                let response = answer.await;
                drop(request_began);
                response
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        // The head's timeout is ours: hyper's runs on idle connections too.
        builder
            .http1()
            .header_read_timeout(None)
            .timer(TokioTimer::new())
            .max_buf_size(MAX_HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD_BYTES as u32)
            .max_concurrent_streams(MAX_STREAMS);
        let connection = builder.serve_connection(TokioIo::new(io), service).into_owned();
        let watched = Watched::new(
            connection,
            activity,
            self.times,
            self.stop.clone().cancelled_owned(),
        );
        self.connections.spawn(async move {
            tokio::select! {
                () = watched => {}
                () = abort.cancelled() => {}
            }
        });
    }
}
