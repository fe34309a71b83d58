//! The HTTP/1.1 server of both emulators, which runs exactly as long as its handle lives.
//!
//! Unlike with `axum::serve` (which this build of axum lacks: it comes without axum's own HTTP features), the
//! connections belong to the server's task. Dropping the handle closes idle keep-alive connections too, so a test that
//! drops an emulator sees an outage, and not a peer that continues to respond on pooled connections.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Pause after an error of `accept` such as "too many open files", which would otherwise recur at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Returns the origin, `http://host:port`, at which this machine reaches `listener`.
pub(crate) fn origin(listener: &TcpListener) -> io::Result<String> {
    let address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        return Ok(format!("http://127.0.0.1:{}", address.port()));
    }
    Ok(format!("http://{address}"))
}

/// Serves `router` on `listener` until the handle is dropped. Fails outside of a Tokio runtime.
pub(crate) fn spawn(listener: TcpListener, router: Router) -> io::Result<AbortOnDropHandle<()>> {
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    Ok(AbortOnDropHandle::new(runtime.spawn(accept(listener, router))))
}

/// Builds an `application/json` response.
pub(crate) fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let service = TowerToHyperService::new(router.clone());
                    connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
