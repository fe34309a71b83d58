//! The least that the service could be: hyper's server, and hyper's client with one connection to SHOUTCLOUD per connection of a caller.
//! No router, no pool, no timeouts, no task but the caller's.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::Outcome;
use crate::serve::{Text, UpstreamRequest, UpstreamResponse, reverse};

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub async fn serve(address: &str, url: Option<&str>) -> Outcome {
    let url: Option<Uri> = url.map(str::parse).transpose()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let url = url.clone();
        tokio::spawn(async move {
            let upstream = match &url {
                None => None,
                Some(url) => Some(Arc::new(Upstream::connect(url).await?)),
            };
            let service = service_fn(move |request| respond(request, upstream.clone()));
            let connection = hyper::server::conn::http1::Builder::new();
            connection.serve_connection(TokioIo::new(stream), service).await?;
            Outcome::Ok(())
        });
    }
}

struct Upstream {
    path: Uri,
    host: HeaderValue,
    /// Never contended, because a caller's connection has one request at a time.
    connection: Mutex<(SendRequest<Full<Bytes>>, Driver)>,
}

type Driver = Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>;

impl Upstream {
    async fn connect(url: &Uri) -> Result<Self, Failure> {
        let authority = url.authority().ok_or("a URL has a host")?.as_str();
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            path: url.path().parse()?,
            host: HeaderValue::from_str(authority)?,
            connection: Mutex::new((sender, Box::pin(driver))),
        })
    }

    async fn shout(&self, input: String) -> Result<String, Failure> {
        let mut request = Request::post(self.path.clone())
            .body(Full::from(serde_json::to_vec(&UpstreamRequest { input })?))?;
        request.headers_mut().insert(HOST, self.host.clone());
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut connection = self.connection.lock().await;
        let (sender, driver) = &mut *connection;
        let exchange = async {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            response.into_body().collect().await
        };
        let body = drive(driver, exchange).await?.to_bytes();
        Ok(serde_json::from_slice::<UpstreamResponse>(&body)?.output)
    }
}

/// Polls the connection until `exchange` is complete.
async fn drive<T>(driver: &mut Driver, exchange: impl Future<Output = hyper::Result<T>>) -> hyper::Result<T> {
    let mut exchange = pin!(exchange);
    poll_fn(|context| {
        if let Poll::Ready(Err(error)) = driver.as_mut().poll(context) {
            return Poll::Ready(Err(error));
        }
        exchange.as_mut().poll(context)
    })
    .await
}

async fn respond(
    request: Request<Incoming>,
    upstream: Option<Arc<Upstream>>,
) -> Result<Response<Full<Bytes>>, Failure> {
    let body = request.into_body().collect().await?.to_bytes();
    let reversed = reverse(&serde_json::from_slice::<Text>(&body)?.data);
    let data = match upstream {
        None => reversed.to_uppercase(),
        Some(upstream) => upstream.shout(reversed).await?,
    };
    let mut response = Response::new(Full::from(serde_json::to_vec(&Text { data })?));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
