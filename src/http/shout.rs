//! `POST /v1`: media types in and out, the body in between, the domain behind.

use axum::extract::{FromRequest, Request, State};
use axum::response::IntoResponse;
use http::Version;
use http::header::CONTENT_TYPE;
use tokio::time::Instant;

use super::Public;
use super::admission::Caller;
use super::body::read_body;
use super::caching::{self, CACHE_STATUS};
use super::context::Context;
use super::media::Form;
use super::problem::{Kind, Problem};
use crate::shout::Caching;

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
    caching: Caching,
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
        let body = read_body(request.into_body(), state.max_body_bytes, deadline)
            .await
            .map_err(|error| if may_close { error.closing() } else { error.into() })?;
        Ok(Self {
            text: sent.read(body)?,
            wanted,
            caching,
            deadline,
        })
    }
}
