//! An answer's body, which knows when it has been taken, and HTTP/2's streams, each of which ends if its answer is not.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Version;
use hyper::body::{Frame, SizeHint};
use hyper::rt::Executor;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::connection::AnswerGuard;
use crate::lifecycle::Counted;

/// To take the answer to a request that there was no room for: nothing else bounds how many of them there are.
const NO_ROOM: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// By when the answer on this task's stream has to be taken, once it is ready.
    static TAKEN_BY: Cell<Option<Instant>>;
}

/// An extension of a response: whether there was room for its request among those in flight.
#[derive(Clone)]
pub(in super::super) enum Room {
    /// For as long as this is held.
    Held(#[expect(dead_code, reason = "it is held")] Arc<OwnedSemaphorePermit>),
    /// There was none.
    Lacking,
}

/// Its guards live until the last byte is on its way to the socket, or the client has gone away.
///
/// HTTP/2's implementation takes a whole frame as soon as there is a window for its first byte, and lets go of the body with
/// the last frame. So that frame is a single byte: whoever has a window for it has one for all of the answer.
pub(super) struct Answer {
    body: Body,
    holds_back: bool,
    last_byte: Option<Bytes>,
    _guards: (AnswerGuard, Counted, Option<Room>),
}

impl Answer {
    /// `response` with its body; on HTTP/2 it has to be taken in `time`.
    pub(super) fn wrap(
        mut response: Response,
        version: Version,
        time: Duration,
        guard: AnswerGuard,
        unanswered: Counted,
    ) -> http::Response<Self> {
        let room = response.extensions_mut().remove::<Room>();
        let time = match room {
            Some(Room::Lacking) => NO_ROOM.min(time),
            _ => time,
        };
        // On HTTP/1.1 there is no such task, and the connection's idle time bounds it.
        _ = TAKEN_BY.try_with(|by| by.set(Some(Instant::now() + time)));
        response.map(|body| Self {
            body,
            holds_back: version == Version::HTTP_2,
            last_byte: None,
            _guards: (guard, unanswered, room),
        })
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

/// Runs HTTP/2's streams.
#[derive(Clone, Copy)]
pub(super) struct Streams;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        // Boxed, because the futures around it would hold it twice.
        tokio::spawn(TAKEN_BY.scope(Cell::new(None), until_taken(Box::pin(stream))));
    }
}

/// Drops `stream`, which resets it, when its answer was not taken in time. The body cannot tell: it is not asked for anything
/// while there is no window.
async fn until_taken(mut stream: Pin<Box<impl Future<Output = ()>>>) {
    let taken_by = poll_fn(|cx| match stream.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => match TAKEN_BY.with(Cell::get) {
            None => Poll::Pending,
            taken_by => Poll::Ready(taken_by),
        },
    })
    .await;
    if let Some(taken_by) = taken_by {
        // Boxed, because few streams come to it.
        let late = Box::pin(sleep_until(taken_by));
        tokio::select! {
            biased;
            () = stream => {}
            () = late => {}
        }
    }
}
