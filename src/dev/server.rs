//! What both emulators stand on: an HTTP/1.1 server that lives exactly as long as its handle.
//!
//! Unlike `axum::serve` (which this build of axum lacks: it comes without axum's own HTTP features), the connections belong
//! to the server's task. When the handle is dropped, kept-alive connections are cut too, so a test that drops an emulator
//! sees an outage and not a peer that goes on answering on pooled connections.

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

/// How long accepting rests after an error such as "too many open files", which would otherwise recur at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// `http://host:port` under which `listener` can be called from this machine.
pub(in crate::dev) fn origin(listener: &TcpListener) -> io::Result<String> {
    let address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        return Ok(format!("http://127.0.0.1:{}", address.port()));
    }
    Ok(format!("http://{address}"))
}

/// Serves `router` on `listener` until the handle is dropped. An error outside of a Tokio runtime.
pub(in crate::dev) fn spawn(listener: TcpListener, router: Router) -> io::Result<AbortOnDropHandle<()>> {
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    Ok(AbortOnDropHandle::new(runtime.spawn(accept(listener, router))))
}

/// `body` as an `application/json` response.
pub(in crate::dev) fn json(status: StatusCode, body: &serde_json::Value) -> Response {
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
