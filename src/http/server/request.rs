//! A request's body, which tells whether all of it was read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::connection::Activity;

/// On HTTP/1.1, whatever of it nobody read stands on the connection before the next head.
pub(super) struct Arriving {
    body: Incoming,
    /// `None` once it has ended, and on HTTP/2.
    activity: Option<Activity>,
}

impl Arriving {
    pub(super) fn wrap(request: Request<Incoming>, activity: &Activity) -> Request<Self> {
        let is_awaited = request.version() <= Version::HTTP_11 && !request.body().is_end_stream();
        if is_awaited {
            activity.awaits_body(true);
        }
        let activity = is_awaited.then(|| activity.clone());
        request.map(|body| Self { body, activity })
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if (frame.is_none() || self.body.is_end_stream())
            && let Some(activity) = self.activity.take()
        {
            activity.awaits_body(false);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
