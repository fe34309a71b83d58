//! Listeners, limits and timeouts of the HTTP servers, and graceful shutdown.

use std::net::SocketAddr;
use std::time::Duration;

use super::reader::Reader;
use super::value_parser::{address, count, duration, size};

/// Listeners, limits and timeouts of the HTTP servers.
#[derive(Debug, Clone)]
pub struct Http {
    /// Address of the public listener.
    pub http_addr: SocketAddr,
    /// Address of the admin listener for probes and metrics, which must not be reachable through the ingress.
    pub admin_addr: SocketAddr,
    /// Maximum size of a request body, in bytes.
    pub max_body_bytes: usize,
    /// Maximum number of open connections to the public listener.
    pub max_connections: usize,
    /// Maximum number of requests in flight on the public listener.
    pub max_requests_in_flight: usize,
    /// Timeout for the request head, from its first byte or the start of the connection.
    pub header_read_timeout: Duration,
    /// Timeout from the end of the request head to the response.
    pub request_timeout: Duration,
    /// How long an idle connection stays open.
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
                "Address of the admin listener (probes, metrics, version); do not expose it through the ingress.",
            ),
            max_body_bytes: reader.value(
                "MAX_BODY_BYTES",
                "64KiB",
                size("1B", "1MiB"),
                "Maximum size of a request body; larger ones are rejected with 413.",
            ),
            max_connections: limit(
                reader,
                "MAX_CONNECTIONS",
                "10000",
                "Maximum number of connections to the public listener; further ones wait to be accepted.",
            ),
            max_requests_in_flight: limit(
                reader,
                "MAX_REQUESTS_IN_FLIGHT",
                "12000",
                "Maximum number of requests in flight, until the client has read the response; further ones are rejected with 503 overloaded.",
            ),
            header_read_timeout: reader.value(
                "HEADER_READ_TIMEOUT",
                "10s",
                duration("100ms", "5m"),
                "Timeout for receiving the request head; the connection is then closed.",
            ),
            request_timeout: reader.value(
                "REQUEST_TIMEOUT",
                "30s",
                duration("100ms", "10m"),
                "Timeout for a whole request; if the body is still incomplete then, the response is 408.",
            ),
            idle_timeout: reader.value(
                "IDLE_TIMEOUT",
                "75s",
                duration("1s", "1h"),
                "How long a connection may be idle, or the client may take to read a response; set it longer than the ingress's idle timeout, usually 60 s.",
            ),
        };
        let (public, admin) = (http.http_addr, http.admin_addr);
        let same_ip =
            public.ip() == admin.ip() || public.ip().is_unspecified() || admin.ip().is_unspecified();
        reader.conflict(
            ["ADMIN_ADDR", "HTTP_ADDR"],
            public.port() == admin.port() && public.port() != 0 && same_ip,
            "must have a different port than HTTP_ADDR",
        );
        http
    }
}

fn limit(
    reader: &mut Reader<'_>,
    name: &'static str,
    default: &'static str,
    description: &'static str,
) -> usize {
    reader.value(name, default, count(1_000_000), description).get() as usize
}

/// Durations of graceful shutdown.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    /// How long the service is unready but keeps serving after SIGTERM.
    pub grace: Duration,
    /// How long requests in flight may take to finish after that.
    pub timeout: Duration,
}

impl Lifecycle {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            grace: reader.value(
                "SHUTDOWN_GRACE",
                "5s",
                duration("0ms", "5m"),
                "How long the service is unready but keeps serving after SIGTERM, so that load balancers can remove it.",
            ),
            timeout: reader.value(
                "SHUTDOWN_TIMEOUT",
                "25s",
                duration("0ms", "10m"),
                "How long requests in flight may take to finish after SHUTDOWN_GRACE.",
            ),
        }
    }
}
