//! What the attempts of one call share, in the extensions of requests and responses.

use std::sync::Arc;

use tokio::time::Instant;

/// The call's deadline, in the request's extensions.
#[derive(Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

/// The text that is sent, in the request's extensions.
#[derive(Clone)]
pub(super) struct RequestText(pub(super) Arc<str>);

/// The text in upper case, validated, in the response's extensions.
#[derive(Clone)]
pub(super) struct ValidatedText(pub(super) String);

/// The next attempt must not reuse a connection, in the request's extensions.
#[derive(Clone, Copy)]
pub(super) struct NeedsNewConnection;
