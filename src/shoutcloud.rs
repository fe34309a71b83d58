//! The client of SHOUTCLOUD: slow, unauthenticated, plain HTTP and sometimes down.
//!
//! A stack on reqwest-middleware. Innermost stands the `attempt`: it sends, reads the body and validates the shout under
//! the attempt's timeout and size cap, so that whatever is put around it sees one call as one result. The deadline of the
//! request stands around all of it.

mod attempt;
mod error;
mod progress;
mod wire;

use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::outbound;

pub use self::error::{Error, NotAShout};
pub use self::progress::Progress;
pub use self::wire::capitals;

use self::attempt::{Attempt, Capitals, Sent};

/// A client of SHOUTCLOUD. Cheap to clone.
#[derive(Clone)]
pub struct Shoutcloud {
    http: ClientWithMiddleware,
    url: Url,
    deadline: std::time::Duration,
}

impl Shoutcloud {
    /// A client that calls where, and waits as long as, `config` says.
    pub fn new(config: &crate::config::Shoutcloud) -> Result<Self, reqwest::Error> {
        let http = outbound::client().build()?;
        Ok(Self {
            http: ClientBuilder::new(http)
                .with(Attempt {
                    timeout: config.attempt_timeout,
                })
                .build(),
            url: config.url.to_url(),
            deadline: config.deadline,
        })
    }

    /// Asks for `text` in capitals. Gives up at the configured deadline or at `deadline`, whichever is first.
    ///
    /// `progress` is told when the call leaves the queue; the caller keeps a clone if it waits with another deadline.
    pub async fn capitalise(
        &self,
        text: String,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<String, Error> {
        progress.calling();
        let deadline = deadline.min(Instant::now() + self.deadline);
        let request = self
            .http
            .post(self.url.clone())
            // Its server refuses `application/json; charset=utf-8`.
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(wire::request(&text))
            .with_extension(Sent(text.into()));
        let answer = timeout_at(deadline, request.send())
            .await
            .map_err(|_| Error::DeadlinePassed)?;
        match answer {
            // The attempt leaves the shout it validated; a response without one did not pass through it.
            Ok(mut response) => response
                .extensions_mut()
                .remove::<Capitals>()
                .map(|Capitals(text)| text)
                .ok_or(Error::NotAShout(NotAShout::Unreadable)),
            Err(error) => Err(Error::of_attempt(error)),
        }
    }
}
