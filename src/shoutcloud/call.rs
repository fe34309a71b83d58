//! The call, in the extensions of its request, where every middleware finds it.
//!
//! One value instead of one per property: each value of extensions is an allocation and a hash.

use std::sync::Arc;

use http::Extensions;
use tokio::time::Instant;

use super::budget::Reservation;
use super::progress::Progress;
use crate::telemetry::metrics::RetryReason;

/// What the attempts of one call share.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) deadline: Instant,
    /// The text that is sent.
    pub(super) text: Arc<str>,
    pub(super) progress: Progress,
    /// Number of attempts that were sent.
    pub(super) sent: i64,
    /// Number of retries that were paid for.
    pub(super) retries: u32,
    /// A retry that is paid for and not sent yet.
    pub(super) pending_retry: Option<PendingRetry>,
    /// The next attempt must not reuse a connection.
    pub(super) needs_new_connection: bool,
    /// The text in upper case, validated.
    pub(super) output: Option<String>,
}

/// A retry that is paid for and not sent yet.
#[derive(Clone)]
pub(super) struct PendingRetry {
    pub(super) reservation: Arc<Reservation>,
    /// The failure of the previous attempt.
    pub(super) reason: RetryReason,
    /// The end of the response's `retry-after`.
    pub(super) not_before: Option<Instant>,
}

impl Call {
    pub(super) fn new(deadline: Instant, text: Arc<str>, progress: Progress) -> Self {
        Self {
            deadline,
            text,
            progress,
            sent: 0,
            retries: 0,
            pending_retry: None,
            needs_new_connection: false,
            output: None,
        }
    }

    /// The call that `Shoutcloud::uppercase` put there.
    pub(super) fn of(extensions: &mut Extensions) -> &mut Self {
        extensions.get_mut().expect("every request has one")
    }
}
