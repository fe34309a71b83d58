//! Listeners: accepts connections, serves HTTP/1.1 and cleartext HTTP/2 on them, and lets them finish at a stop.

mod accept;
mod answer;
mod connection;
mod io;
mod parser;
mod protocol;
mod request;

use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::header::CONNECTION;
use http::{HeaderValue, Version};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use self::accept::{BACKLOG, accept, is_of_one_connection, pause_after};
use self::answer::Answer;
use self::connection::{Activity, Watched};
use self::io::Observed;
use self::parser::{Builders, refused};
use self::protocol::Chosen;
use self::request::Arriving;
use crate::lifecycle::{Drain, Phase};

pub use self::accept::listen;
pub(super) use self::answer::Room;

/// Out of the backlog, before the connections that are served have their turn again.
const ACCEPTED_AT_ONCE: u32 = 32;

/// How long a connection may take for what is not a handler's business.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From the first byte (or the start of the connection) to the end of a request's head.
    pub head: Duration,
    /// Between two requests; an answer has to be taken in it.
    pub idle: Duration,
}

/// A bound listener and what it serves.
pub struct Server {
    listener: TcpListener,
    connections: Connections,
    /// One for each connection that may be open; `None`: as many as come.
    places: Option<Arc<Semaphore>>,
}

/// What every connection is made of.
struct Connections {
    builders: Arc<Builders>,
    routes: Router,
    times: Times,
    drain: Drain,
    tracker: TaskTracker,
}

impl Server {
    /// Serves `routes` on `listener`, until `drain` has come to its last call.
    pub fn new(listener: TcpListener, routes: Router, times: Times, drain: Drain) -> Self {
        Self {
            listener,
            connections: Connections {
                builders: Arc::new(Builders::new()),
                routes,
                times,
                drain,
                tracker: TaskTracker::new(),
            },
            places: None,
        }
    }

    /// Has at most `max` connections open; further ones wait in the backlog.
    #[must_use]
    pub fn with_max_connections(mut self, max: usize) -> Self {
        self.places = Some(Arc::new(Semaphore::new(max)));
        self
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until the last call, then takes what is in the backlog and waits for the last connection to end. To bound
    /// that wait, drop the future: the connections end with it.
    pub async fn run(self) {
        let Self {
            listener,
            connections,
            places,
        } = self;
        let _cut_on_drop = Cut(connections.drain.clone());
        let last_call = connections.drain.leaves(Phase::Draining);
        tokio::pin!(last_call);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut last_call => break,
                accepted = accept(&listener, places.as_ref()) => accepted,
            };
            match accepted {
                Ok((stream, place)) => connections.serve(stream, place),
                Err(error) => pause_after(&error).await,
            }
        }
        if let Err(error) = connections.empty_backlog(listener).await {
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

/// Ends the connections when it is dropped.
struct Cut(Drain);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.cut();
    }
}

impl Connections {
    /// Closes the listener once nothing waits in its backlog: what waits there has been told by the kernel that it is
    /// connected, and would be reset. Asked by real system calls, because tokio may not have heard of it yet.
    async fn empty_backlog(&self, listener: TcpListener) -> Result<()> {
        let listener = listener.into_std()?;
        // As many as may wait, and no more: a flood must not keep the listener open.
        for accepted in 1..=BACKLOG {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    self.serve(TcpStream::from_std(stream)?, None);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if !is_of_one_connection(&error) && self.is_past_last_call() => return Err(error),
                Err(error) => pause_after(&error).await,
            }
            if accepted % ACCEPTED_AT_ONCE == 0 {
                yield_now().await;
            }
        }
        Err(std::io::Error::other(
            "as many as may wait came, and more may have come since",
        ))
    }

    fn is_past_last_call(&self) -> bool {
        self.drain
            .last_call_ends()
            .is_none_or(|end| Instant::now() >= end)
    }

    fn serve(&self, stream: TcpStream, place: Option<OwnedSemaphorePermit>) {
        // An answer is written at once, so there is nothing for Nagle's algorithm to wait for.
        _ = stream.set_nodelay(true);
        let activity = Activity::new();
        let io = Observed::new(
            stream,
            activity.clone(),
            self.drain.clone(),
            self.tracker.clone(),
            place,
        );
        let (routes, drain, requests) = (self.routes.clone(), self.drain.clone(), activity.clone());
        let idle = self.times.idle;
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let request_began = requests.request_began();
            let unanswered = drain.unanswered();
            let drain = drain.clone();
            let version = request.version();
            let refused = refused(request.uri(), request.headers());
            let request = Arriving::wrap(request, &requests);
            let answer = refused.is_none().then(|| routes.clone().call(request));
            async move {
                let mut response = match answer {
                    Some(answer) => answer.await?,
                    None => Response::new(Body::empty()),
                };
                if let Some(status) = refused {
                    *response.status_mut() = status;
                }
                if version <= Version::HTTP_11 && (refused.is_some() || drain.has_begun()) {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                let taken = request_began.answered();
                let answer = Answer::wrap(response, version, idle, taken, unanswered);
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let builders = Arc::clone(&self.builders);
        let open = move |io, may_be_http2| {
            let builder = if may_be_http2 {
                &builders.either
            } else {
                &builders.http1
            };
            builder.serve_connection(TokioIo::new(io), service).into_owned()
        };
        let watched = Watched::new(Chosen::new(io, open), activity, self.times, self.drain.clone());
        self.tracker.spawn(watched);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;

    use super::{Server, Times, listen};
    use crate::lifecycle::Drain;

    #[tokio::test]
    async fn a_last_call_without_patience_serves_what_is_in_the_backlog() {
        let listener = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let mut client = TcpStream::connect(address).expect("a connection");
                client
                    .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                    .expect("bytes are taken");
                client
            })
            .collect();
        let routes = Router::new().route("/", get(|| async { "answered" }));
        let times = Times {
            head: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        };
        let drain = Drain::new(Duration::ZERO);
        drain.make_last_call();
        Server::new(listener, routes, times, drain).run().await;
        for mut client in waiting {
            let mut answer = String::new();
            client.read_to_string(&mut answer).expect("an answer, no reset");
            assert!(answer.ends_with("answered"), "{answer:?}");
        }
    }
}
