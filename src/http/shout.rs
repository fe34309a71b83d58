//! `POST /v1`: media types in and out, the body in between, the domain behind.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, Request, State};
use axum::response::IntoResponse;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Version};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep_until};

use super::Public;
use super::admission::Caller;
use super::caching::{self, CACHE_STATUS};
use super::context::Context;
use super::media::Form;
use super::problem::{Kind, Problem};
use crate::lifecycle::Drain;
use crate::shout::CacheMode;

/// The problems that are the domain's; the rest are found before it is asked.
pub(super) const FAILURES: [&str; 5] = [
    Kind::UpstreamInvalid.name(),
    Kind::UpstreamUnavailable.name(),
    Kind::UpstreamTimeout.name(),
    Kind::Overloaded.name(),
    Kind::InternalError.name(),
];

pub(super) async fn shout(
    State(state): State<Public>,
    context: Context,
    Caller(client): Caller,
    asked: Asked,
) -> Result<impl IntoResponse, Problem> {
    let Asked {
        text,
        wanted,
        caching,
        deadline,
    } = asked;
    let account = state.metrics.shouts.open(&client);
    match state.shouter.shout(&client, text, caching, deadline).await {
        Ok(shout) => {
            account.succeeded(shout.source.name());
            if let Some(took) = shout.upstream {
                context.called_upstream(took, shout.attempts);
            }
            context.shouted(shout.source.name());
            let headers = [
                (CONTENT_TYPE, wanted.content_type()),
                (CACHE_STATUS, caching::status_of(shout.source)),
            ];
            Ok((headers, wanted.write(&shout.text)))
        }
        Err(error) => {
            context.called_upstream(error.upstream, error.attempts);
            // The caller is told only that there is no shout.
            tracing::debug!(
                event.action = "no-shout",
                event.kind = "event",
                http.request.id = context.id_str(),
                error.message = %error,
                "no shout"
            );
            let status = caching::status_of_error(&error);
            let source = error.source_name();
            context.shouted(source);
            let problem = Problem::from(error);
            account.failed(problem.kind().name(), source);
            Err(problem.with(CACHE_STATUS, status))
        }
    }
}

/// What a request asks for, its body read; nothing else of it is kept while it waits.
pub(super) struct Asked {
    text: String,
    wanted: Form,
    caching: CacheMode,
    deadline: Instant,
}

impl FromRequest<Public> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Public) -> Result<Self, Problem> {
        let context = Context::of(request.extensions())?;
        let sent = Form::of_body(request.headers())?;
        let wanted = sent.of_answer(request.headers())?;
        let caching = caching::asked_for(request.headers());
        let deadline = context.arrived() + state.request_timeout;
        let may_close = request.version() <= Version::HTTP_11;
        let body = read_body(request.into_body(), state.max_body_bytes, deadline, &state.drain)
            .await
            .map_err(|no_body| {
                if may_close {
                    no_body.closing()
                } else {
                    no_body.into()
                }
            })?;
        Ok(Self {
            text: sent.read(body)?,
            wanted,
            caching,
            deadline,
        })
    }
}

/// What it takes to get what is in the socket already, on a machine that is busy.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no body.
enum NoBody {
    /// Not by the deadline.
    Late,
    TooLong(usize),
    Broken,
}

impl NoBody {
    /// HTTP/1.1 has no other way to tell a client to stop sending.
    fn closing(self) -> Problem {
        let problem = Problem::from(self);
        problem.with(CONNECTION, HeaderValue::from_static("close"))
    }
}

impl From<NoBody> for Problem {
    fn from(no_body: NoBody) -> Self {
        match no_body {
            NoBody::Late => Self::new(Kind::RequestTimeout, "the body did not arrive in time"),
            NoBody::TooLong(limit) => Self::content_too_large(limit),
            NoBody::Broken => Self::new(Kind::MalformedRequest, "the body broke off or was framed wrongly"),
        }
    }
}

async fn read_body(mut body: Body, limit: usize, deadline: Instant, drain: &Drain) -> Result<Bytes, NoBody> {
    let _incomplete = drain.incomplete();
    // A request that was complete in the socket may have waited for a key until now.
    let given_up = Instant::now() + LOOK;
    let mut read = BytesMut::new();
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = sleep_until(deadline) => return Err(NoBody::Late),
            () = async { drain.last_call_over().await; sleep_until(given_up).await } => return Err(NoBody::Late),
        };
        let Some(frame) = frame else {
            return Ok(read.freeze());
        };
        let Ok(data) = frame.map_err(|_| NoBody::Broken)?.into_data() else {
            continue;
        };
        if read.len() + data.len() > limit {
            return Err(NoBody::TooLong(limit));
        }
        if read.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        read.extend_from_slice(&data);
    }
}
