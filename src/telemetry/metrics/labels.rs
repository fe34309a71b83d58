//! Values of metric labels as enums.
//!
//! Counters and gauges are stored by enum, not by text, so that a value without a registered series does not compile. Each
//! text occurs once, in `as_str`.

mod listener;
pub(super) mod upstream;
pub(super) mod valkey;

use enum_map::{Enum, EnumMap};

pub use self::listener::{ConnectionRejection, Limit, MethodLabel, ProtocolLabel, SchemeLabel};

/// A set of label values.
pub trait LabelValue: Enum + Copy {
    /// Returns the text of the label.
    fn as_str(self) -> &'static str;

    /// Returns every value.
    fn all() -> impl Iterator<Item = Self> {
        EnumMap::<Self, ()>::default()
            .into_iter()
            .map(|(value, ())| value)
    }
}

/// `error_type` of a request whose client disconnected, and of an attempt that was dropped.
pub const CANCELLED: &str = "cancelled";

/// Reasons to reject the credentials of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[expect(missing_docs, reason = "each corresponds to a variant of `AuthError`")]
pub enum AuthRejection {
    Missing,
    MalformedHeader,
    MalformedToken,
    UnacceptableHeader,
    UnknownIssuer,
    UnknownKey,
    BadSignature,
    NotAnAccessToken,
    UnknownClient,
    WrongAudience,
    Expired,
    NotYetValid,
    MissingScope,
    MissingGroup,
    KeysUnavailable,
}

impl LabelValue for AuthRejection {
    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::MalformedHeader => "malformed_header",
            Self::MalformedToken => "malformed_token",
            Self::UnacceptableHeader => "unacceptable_header",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::NotAnAccessToken => "not_an_access_token",
            Self::UnknownClient => "unknown_client",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::MissingScope => "missing_scope",
            Self::MissingGroup => "missing_group",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }
}

/// Where a shout came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
pub enum ShoutSource {
    /// The request's own call.
    Upstream,
    /// A fresh cache entry.
    Cache,
    /// A fresh entry of the cache that replicas share.
    SharedCache,
    /// Another request's call.
    Coalesced,
    /// A stale cache entry, because the call failed.
    Stale,
    /// This service, because the call failed.
    Fallback,
    /// The empty text needs no call.
    None,
}

impl LabelValue for ShoutSource {
    fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Cache => "cache",
            Self::SharedCache => "shared_cache",
            Self::Coalesced => "coalesced",
            Self::Stale => "stale",
            Self::Fallback => "fallback",
            Self::None => "none",
        }
    }
}

/// Whose call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
pub enum FailedCall {
    /// The request's own.
    Own,
    /// Another request's, which this one had joined.
    Coalesced,
}

impl LabelValue for FailedCall {
    fn as_str(self) -> &'static str {
        match self {
            Self::Own => ShoutSource::Upstream.as_str(),
            Self::Coalesced => ShoutSource::Coalesced.as_str(),
        }
    }
}

/// Failures of a request for a shout, by the name of the problem that the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
pub enum ShoutFailure {
    /// The upstream's response is not a shout.
    UpstreamInvalid,
    /// The upstream failed, or the breaker is open.
    UpstreamUnavailable,
    /// The deadline passed during the call.
    UpstreamTimeout,
    /// The bulkhead is full.
    Overloaded,
    /// A panic.
    InternalError,
}

impl ShoutFailure {
    /// Returns the text of the label, also in constants.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpstreamInvalid => "upstream-invalid",
            Self::UpstreamUnavailable => "upstream-unavailable",
            Self::UpstreamTimeout => "upstream-timeout",
            Self::Overloaded => "overloaded",
            Self::InternalError => "internal-error",
        }
    }
}

impl LabelValue for ShoutFailure {
    fn as_str(self) -> &'static str {
        self.name()
    }
}
