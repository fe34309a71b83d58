//! The body of a response, which holds the guards of its request until it has been sent.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Version;
use hyper::body::{Frame, SizeHint};

use super::super::request_context::InFlightPermit;
use super::connection_state::ResponseGuard;
use super::h2_executor::set_send_timeout;
use crate::lifecycle::CountGuard;

/// How long a client may take to read the response to a shed request: nothing else limits the number of these
/// responses.
const SHED_RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Holds its guards until the last byte is on its way to the socket, or the client has disconnected.
///
/// On HTTP/2, h2 takes a whole frame as soon as the window admits its first byte, and drops the body with the last
/// frame. That frame is therefore a single byte: a client whose window admits it has a window for the complete
/// response.
pub(super) struct ResponseBody {
    body: Body,
    splits_last_byte: bool,
    last_byte: Option<Bytes>,
    _guards: (ResponseGuard, CountGuard, Option<InFlightPermit>),
}

impl ResponseBody {
    /// Wraps the body of `response`; on HTTP/2 the client has to read it within `timeout`.
    pub(super) fn wrap(
        response: Response,
        version: Version,
        timeout: Duration,
        guard: ResponseGuard,
        pending: CountGuard,
        permit: Option<InFlightPermit>,
    ) -> http::Response<Self> {
        let timeout = match permit {
            Some(InFlightPermit::Denied) => SHED_RESPONSE_TIMEOUT.min(timeout),
            _ => timeout,
        };
        set_send_timeout(timeout);
        response.map(|body| Self {
            body,
            splits_last_byte: version == Version::HTTP_2,
            last_byte: None,
            _guards: (guard, pending, permit),
        })
    }
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(last) = self.last_byte.take() {
            return Poll::Ready(Some(Ok(Frame::data(last))));
        }
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && self.splits_last_byte
            && self.body.is_end_stream()
            && let Some(data) = frame.data_mut()
            && data.len() > 1
        {
            self.last_byte = Some(data.split_off(data.len() - 1));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.last_byte.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.last_byte {
            Some(last) => SizeHint::with_exact(last.len() as u64),
            None => self.body.size_hint(),
        }
    }
}
