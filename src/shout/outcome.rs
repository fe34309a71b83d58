//! The domain's public types: how a request uses the cache, and what it ends in.

use std::sync::Arc;
use std::time::Duration;

use crate::shoutcloud;
use crate::telemetry::metrics::{FailedCall, ShoutFailure, ShoutSource};

/// How a request uses the cache. The names are those of the Fetch standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMode {
    /// Reads the cache, shares calls and stores the result.
    Default,
    /// Makes a call of its own and stores the result (`no-cache`).
    Reload,
    /// Bypasses the cache (`no-store`).
    NoStore,
}

/// A shout, with its source and cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shout {
    /// The text, reversed and in upper case.
    pub text: Arc<str>,
    /// Where it came from.
    pub source: Source,
    /// Time spent waiting for the upstream; `None` if the request did not wait.
    pub upstream: Option<Duration>,
    /// Attempts to call the upstream while this request waited for one.
    pub attempts: u32,
}

/// Where a shout came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A call made for this request.
    Upstream {
        /// Why the cache was not used.
        forward: Forward,
        /// Whether the cache has the result now.
        stored: bool,
    },
    /// A fresh cache entry.
    Cache,
    /// A fresh entry of the cache that replicas share.
    SharedCache,
    /// A call that was in flight for another request.
    Coalesced,
    /// A stale cache entry, served because the call failed.
    Stale,
    /// The local upper-casing, because the upstream was unavailable.
    Fallback {
        /// Why the cache was not used.
        forward: Forward,
    },
    /// No source: the text was empty.
    Empty,
}

impl Source {
    /// Returns the source as a metric label.
    pub fn label(self) -> ShoutSource {
        match self {
            Self::Upstream { .. } => ShoutSource::Upstream,
            Self::Cache => ShoutSource::Cache,
            Self::SharedCache => ShoutSource::SharedCache,
            Self::Coalesced => ShoutSource::Coalesced,
            Self::Stale => ShoutSource::Stale,
            Self::Fallback { .. } => ShoutSource::Fallback,
            Self::Empty => ShoutSource::None,
        }
    }
}

/// Why a request was forwarded to the upstream: `fwd` of `Cache-Status` (RFC 9211).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The cache has no fresh entry.
    Miss,
    /// The request bypasses the cache to get a new result.
    Request,
    /// The cache is disabled, or the request bypasses it.
    Bypass,
}

/// A request without a shout, with its cause and cost.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Error {
    /// Why there is no shout.
    #[source]
    pub cause: Cause,
    /// Why the cache was not used.
    pub forward: Forward,
    /// Whether the failed call belonged to another request.
    pub collapsed: bool,
    /// Time spent waiting for the upstream.
    pub upstream: Duration,
    /// Attempts to call the upstream while this request waited for one.
    pub attempts: u32,
}

impl Error {
    /// Returns whose call failed, as a metric label.
    pub fn failed_call(&self) -> FailedCall {
        if self.collapsed {
            FailedCall::Coalesced
        } else {
            FailedCall::Own
        }
    }
}

/// Why there is no shout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The upstream failed.
    #[error(transparent)]
    Upstream(#[from] shoutcloud::Error),
    /// The shared call panicked: a bug of this service.
    #[error("the call panicked")]
    Panicked,
}

impl Cause {
    /// Returns the cause in one word.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Upstream(error) => error.cause(),
            Self::Panicked => "panic",
        }
    }

    /// Returns the kind of failure as a metric label.
    pub fn failure(&self) -> ShoutFailure {
        use shoutcloud::Error;
        match self {
            Self::Upstream(Error::InvalidResponse(_)) => ShoutFailure::UpstreamInvalid,
            Self::Upstream(Error::Unavailable { .. } | Error::BreakerOpen { .. }) => {
                ShoutFailure::UpstreamUnavailable
            }
            Self::Upstream(Error::DeadlinePassed) => ShoutFailure::UpstreamTimeout,
            Self::Upstream(Error::Overloaded) => ShoutFailure::Overloaded,
            Self::Panicked => ShoutFailure::InternalError,
        }
    }
}
