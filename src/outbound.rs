//! What every call that leaves the process has in common.

use std::error::Error as _;

use bytes::{Bytes, BytesMut};
use reqwest::{ClientBuilder, Response};

/// A client that does what its caller says and nothing else: a proxy named in the environment would see every text and
/// decide who may call, a redirect would lead elsewhere, and a hidden retry would be in nobody's budget.
pub fn client() -> ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("shoutback/", env!("CARGO_PKG_VERSION")))
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is longer than was allowed.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The most bytes that are read.
        limit: usize,
    },
    /// It broke off, or is not framed as HTTP.
    #[error("{}", innermost(.0))]
    Transport(#[from] reqwest::Error),
}

/// The whole body of `response`, if that is at most `limit` bytes.
pub async fn read(mut response: Response, limit: usize) -> Result<Bytes, ReadError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(ReadError::TooLong { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The cause at the end of the chain: reqwest's own text is "error sending request" and the URL. What stands below hyper
/// and is not the network's is HTTP/2, which quotes the peer's farewell.
pub fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        if cause.is::<hyper::Error>() && !source.is::<std::io::Error>() {
            break;
        }
        cause = source;
    }
    if error.source().is_none() {
        "no answer".to_owned()
    } else {
        cause.to_string()
    }
}
