//! An answer's body, which knows when it has been taken.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http::Version;
use hyper::body::{Frame, SizeHint};

use super::connection::AnswerGuard;
use crate::lifecycle::Counted;

/// Its guards live until the last byte is on its way to the socket, or the client has gone away.
///
/// HTTP/2's implementation takes a whole frame as soon as there is a window for its first byte, and lets go of the body with
/// the last frame. So that frame is a single byte: whoever has a window for it has one for all of the answer.
pub(super) struct Answer {
    body: Body,
    holds_back: bool,
    last_byte: Option<Bytes>,
    _guards: (AnswerGuard, Counted),
}

impl Answer {
    pub(super) fn new(body: Body, version: Version, guard: AnswerGuard, unanswered: Counted) -> Self {
        Self {
            body,
            holds_back: version == Version::HTTP_2,
            last_byte: None,
            _guards: (guard, unanswered),
        }
    }
}

impl hyper::body::Body for Answer {
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
            && self.holds_back
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
