//! The upstream, as the domain sees it.

use std::sync::Arc;

use tokio::time::Instant;

use crate::shoutcloud::{self, Progress, Shoutcloud};

/// The upstream, as a trait for tests.
#[async_trait::async_trait]
pub(super) trait Upstream: Send + Sync {
    /// See [`Shoutcloud::uppercase`].
    async fn uppercase(
        &self,
        client: &Arc<str>,
        text: String,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<String, shoutcloud::Error>;
}

#[async_trait::async_trait]
impl Upstream for Shoutcloud {
    async fn uppercase(
        &self,
        client: &Arc<str>,
        text: String,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<String, shoutcloud::Error> {
        self.uppercase(client, text, deadline, progress).await
    }
}
