//! The headers that report a client's quota (IETF draft `draft-ietf-httpapi-ratelimit-headers`).

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::quota::{Decision, Quotas};

/// The quotas of all clients, and the header that is the same in every response.
pub struct RateLimit {
    pub(super) quotas: Arc<Quotas>,
    policy: HeaderValue,
}

/// Values of the `ratelimit` and `ratelimit-policy` headers.
pub(super) struct RateLimitHeaders {
    pub(super) limit: HeaderValue,
    pub(super) policy: HeaderValue,
}

impl From<Arc<Quotas>> for RateLimit {
    fn from(quotas: Arc<Quotas>) -> Self {
        let (burst, window) = (quotas.burst(), ceil_seconds(quotas.window()));
        let policy = HeaderValue::try_from(format!("\"client\";q={burst};w={window}"));
        Self {
            quotas,
            policy: policy.expect("digits and ASCII"),
        }
    }
}

impl RateLimit {
    pub(super) fn headers(&self, decision: &Decision) -> RateLimitHeaders {
        // `format!` takes five times as long.
        let mut limit = String::with_capacity("\"client\";r=4294967295;t=4294967295".len());
        limit.push_str("\"client\";r=");
        limit.push_str(itoa::Buffer::new().format(decision.remaining));
        limit.push_str(";t=");
        limit.push_str(itoa::Buffer::new().format(ceil_seconds(decision.reset_after)));
        RateLimitHeaders {
            limit: HeaderValue::try_from(limit).expect("digits and ASCII"),
            policy: self.policy.clone(),
        }
    }
}

fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
