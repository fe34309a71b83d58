//! What is asked of the domain, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use crate::shoutcloud;

/// What a caller asks of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// Nothing in particular: read, share, store.
    Usual,
    /// An answer that is made for it alone, and may be stored (`no-cache`).
    Anew,
    /// To be left out of it (`no-store`).
    Off,
}

/// A shout, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shout {
    /// The text, reversed and in capitals.
    pub text: Arc<str>,
    /// Where it came from.
    pub source: Source,
    /// Time spent waiting for the upstream; `None` if nobody had to.
    pub upstream: Option<Duration>,
    /// Attempts to call the upstream while this request waited for one.
    pub attempts: u32,
}

/// Where a shout came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A call that was made for this request.
    Upstream {
        /// Why the cache did not answer.
        forward: Forward,
        /// Whether it can from now on.
        stored: bool,
    },
    /// An earlier call.
    Cache,
    /// A call that was under way for another request.
    Coalesced,
    /// An earlier call, long enough ago that a new one was tried, which failed.
    Stale,
    /// This service, since the upstream could not be had.
    Fallback {
        /// Why the cache did not answer.
        forward: Forward,
    },
    /// Nobody was asked: the text was empty.
    Unneeded,
}

impl Source {
    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream { .. } => "upstream",
            Self::Cache => "cache",
            Self::Coalesced => "coalesced",
            Self::Stale => "stale",
            Self::Fallback { .. } => "fallback",
            Self::Unneeded => "none",
        }
    }
}

/// Why a request was not answered from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// It has no fresh answer.
    Miss,
    /// The caller wanted a new one.
    Request,
    /// It was not to be asked.
    Bypass,
}

/// No shout, and what it took to find out.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Error {
    /// Why.
    #[source]
    pub cause: Cause,
    /// Why the cache did not answer.
    pub forward: Forward,
    /// Whether it was another request's call that failed.
    pub collapsed: bool,
    /// Time spent waiting for the upstream.
    pub upstream: Duration,
    /// Attempts to call the upstream while this request waited for one.
    pub attempts: u32,
}

impl Error {
    /// Whose call it was that failed: the name of the source that a shout would have had.
    pub fn source_name(&self) -> &'static str {
        if self.collapsed { "coalesced" } else { "upstream" }
    }
}

/// Why there is no shout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The upstream gave none.
    #[error(transparent)]
    Upstream(#[from] shoutcloud::Error),
    /// A fault of ours, in the call that this request shared.
    #[error("the call panicked")]
    Panicked,
}
