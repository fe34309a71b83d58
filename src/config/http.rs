//! Listeners, limits and times of the HTTP servers.

use std::net::SocketAddr;
use std::time::Duration;

use super::form::{address, count, duration, size};
use super::reader::Reader;

/// Listeners and limits of the two HTTP servers.
#[derive(Debug, Clone)]
pub struct Http {
    /// The public listener.
    pub http_addr: SocketAddr,
    /// The listener for probes and metrics, which no ingress reaches.
    pub admin_addr: SocketAddr,
    /// Bytes of a request's body.
    pub max_body_bytes: usize,
    /// Open connections of the public listener.
    pub max_connections: usize,
    /// Requests of the public listener that are not answered yet.
    pub max_requests_in_flight: usize,
    /// From the first byte (or the start of the connection) to the end of a request's head.
    pub header_read_timeout: Duration,
    /// From the end of a request's head to its answer.
    pub request_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
}

impl Http {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let http = Self {
            http_addr: reader.value(
                "HTTP_ADDR",
                "0.0.0.0:5000",
                address(),
                "Address of the public listener.",
            ),
            admin_addr: reader.value(
                "ADMIN_ADDR",
                "0.0.0.0:9090",
                address(),
                "Address of the admin listener (probes, metrics, version); keep it away from the ingress.",
            ),
            max_body_bytes: reader.value(
                "MAX_BODY_BYTES",
                "64KiB",
                size("1B", "16MiB"),
                "Longest request body; longer ones get 413.",
            ),
            max_connections: number(
                reader,
                "MAX_CONNECTIONS",
                "10000",
                "Most connections to the public listener; further ones wait to be accepted.",
            ),
            max_requests_in_flight: number(
                reader,
                "MAX_REQUESTS_IN_FLIGHT",
                "12000",
                "Most requests that are handled, or whose answers are being taken, at a time; further ones get 503 overloaded.",
            ),
            header_read_timeout: reader.value(
                "HEADER_READ_TIMEOUT",
                "10s",
                duration("100ms", "5m"),
                "Time for a request's head to arrive; then the connection is cut off.",
            ),
            request_timeout: reader.value(
                "REQUEST_TIMEOUT",
                "30s",
                duration("100ms", "10m"),
                "Time for a whole request; a body that is not there by then gets 408.",
            ),
            idle_timeout: reader.value(
                "IDLE_TIMEOUT",
                "75s",
                duration("1s", "1h"),
                "How long an idle connection is kept, or an answer that is not taken; longer than the ingress's, which is usually 60 s.",
            ),
        };
        let (public, admin) = (http.http_addr, http.admin_addr);
        let same_ip =
            public.ip() == admin.ip() || public.ip().is_unspecified() || admin.ip().is_unspecified();
        reader.contradiction(
            ["ADMIN_ADDR", "HTTP_ADDR"],
            public.port() == admin.port() && public.port() != 0 && same_ip,
            "must be another port than HTTP_ADDR's: there are two listeners",
        );
        http
    }
}

fn number(
    reader: &mut Reader<'_>,
    name: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> usize {
    reader.value(name, default, count(1_000_000), meaning).get() as usize
}

/// How the process stops.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    /// Unready, but serving.
    pub grace: Duration,
    /// For requests in flight to finish.
    pub timeout: Duration,
}

impl Lifecycle {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            grace: reader.value(
                "SHUTDOWN_GRACE",
                "5s",
                duration("0ms", "5m"),
                "After SIGTERM: unready but serving for so long, until every load balancer has noticed.",
            ),
            timeout: reader.value(
                "SHUTDOWN_TIMEOUT",
                "25s",
                duration("0ms", "10m"),
                "After the grace: time for requests in flight to finish.",
            ),
        }
    }
}
