//! Listeners: accepts connections, serves HTTP/1.1 and cleartext HTTP/2 on them, and lets them finish at a stop.

mod answer;
mod connection;
mod io;
mod protocol;
mod request;

use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tower::Service as _;

use self::answer::{Answer, Streams};
use self::connection::{Activity, Watched};
use self::io::Observed;
use self::protocol::Chosen;
use self::request::Arriving;
use crate::lifecycle::{Drain, Phase};

pub(super) use self::answer::Room;

/// Connections that the kernel keeps for us while we do not accept: a burst of reconnecting clients, or what comes while
/// `MAX_CONNECTIONS` are open. The kernel's own bound (`net.core.somaxconn`) is 4096 by default.
const BACKLOG: u32 = 4096;
/// A head with a token of 8 KiB and whatever an ingress adds is far below it.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// As many as hyper takes on HTTP/1.1.
const MAX_FIELDS: usize = 100;
/// RFC 9113 section 6.5.2 recommends no less than 100.
const MAX_STREAMS: u32 = 100;
/// The least that a peer may always send on a stream (RFC 9113 section 6.9.2), and `MAX_BODY_BYTES` by default.
const STREAM_WINDOW: u32 = 65_535;
/// Every stream's window at once, so that bodies which wait, for a key say, stop no other stream of a connection that an
/// ingress shares among its clients. It is no more memory than a smaller one: only requests in flight have unread bodies, so
/// `MAX_REQUESTS_IN_FLIGHT` of such windows is the most there can be, whatever the number of connections.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;
/// What a stream may have of an answer in memory while its client does not take it: the longest body's answer by default.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Streams that were reset before hyper had accepted them, at a time: a burst of HEADERS and RST_STREAM in one read
/// (CVE-2023-44487). h2's own number. Those reset later count nowhere; they end with their task. What we reset ourselves is
/// left at h2's 1024 over a connection's life (RUSTSEC-2024-0003), because h2 counts there, too, what was on its way to a
/// stream that was answered early: a healthy connection of many clients has hundreds of them.
const MAX_RESETS_UNSEEN: usize = 20;
/// Out of descriptors, say: to accept again at once would be a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

struct Builders {
    http1: Builder<Streams>,
    /// For what may be HTTP/2 by its first bytes.
    either: Builder<Streams>,
}

/// What every connection is made of.
struct Connections {
    builders: Arc<Builders>,
    routes: Router,
    times: Times,
    drain: Drain,
    tracker: TaskTracker,
}

/// Listens at `address`.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Or a restart would have to wait for connections of the last life to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Server {
    /// Serves `routes` on `listener`, until `drain` has come to its last call.
    pub fn new(listener: TcpListener, routes: Router, times: Times, drain: Drain) -> Self {
        Self {
            listener,
            connections: Connections {
                builders: Arc::new(Builders {
                    http1: builder().http1_only(),
                    either: builder(),
                }),
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
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    not_accepted(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
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

/// A place comes before a connection: one that there is no place for stays in the backlog, where it costs us nothing.
async fn accept(
    listener: &TcpListener,
    places: Option<&Arc<Semaphore>>,
) -> Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    let place = match places {
        Some(places) => Arc::clone(places).acquire_owned().await.ok(),
        None => None,
    };
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

fn not_accepted(error: &std::io::Error) {
    tracing::warn!(
        event.action = "accept",
        event.kind = "event",
        event.outcome = "failure",
        error.message = %error,
        "a connection could not be accepted"
    );
}

/// Whether accept told of a connection that ended before we came to it. Linux hands over that connection's errors, the
/// network's among them (accept(2)); the next one may be good.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::Interrupted
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::TimedOut
    )
}

/// Ends the connections when it is dropped.
struct Cut(Drain);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.cut();
    }
}

fn builder() -> Builder<Streams> {
    let mut builder = Builder::new(Streams);
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
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESETS_UNSEEN);
    builder
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
                Err(error) if is_of_one_connection(&error) => {}
                Err(error)
                    if self
                        .drain
                        .last_call_ends()
                        .is_none_or(|end| Instant::now() >= end) =>
                {
                    return Err(error);
                }
                Err(error) => {
                    not_accepted(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
            }
            if accepted % ACCEPTED_AT_ONCE == 0 {
                yield_now().await;
            }
        }
        Err(std::io::Error::other(
            "as many as may wait came, and more may have come since",
        ))
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

/// What the parser lets pass and should not have. It is answered as the parser answers: empty, and the end.
fn refused(uri: &Uri, headers: &HeaderMap) -> Option<StatusCode> {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let fields = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    if headers.len() > MAX_FIELDS || target + fields.sum::<usize>() > MAX_HEAD_BYTES {
        // hyper counts fields on HTTP/1.1 alone, and there may read up to twice the bytes before it counts them.
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    // Somebody before us may route, limit or log by the other one (RFC 9112, section 3.2). None at all is left alone: probes
    // and old tools send none, and nothing here depends on it.
    if headers.get_all(HOST).iter().nth(1).is_some() {
        return Some(StatusCode::BAD_REQUEST);
    }
    // hyper takes any list that ends in `chunked`, and removes that coding alone. Somebody before us may see another end of
    // such a body.
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_framed_plainly = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    };
    (!is_framed_plainly).then_some(StatusCode::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind, Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;

    use super::{Server, Times, is_of_one_connection, listen};
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

    #[test]
    fn an_error_of_one_connection_stops_no_accepting() {
        for kind in [
            ErrorKind::ConnectionAborted,
            ErrorKind::ConnectionReset,
            ErrorKind::HostUnreachable,
        ] {
            assert!(is_of_one_connection(&kind.into()), "{kind}");
        }
        // ENFILE, EMFILE, ENOMEM.
        for code in [23, 24, 12] {
            assert!(!is_of_one_connection(&Error::from_raw_os_error(code)), "{code}");
        }
    }
}
