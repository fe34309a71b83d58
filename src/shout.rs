//! The domain: a text, reversed, in capitals.

mod reverse;
mod uppercase;

use std::time::Duration;

use tokio::time::Instant;

use crate::shoutcloud::{self, Progress, Shoutcloud};

pub use self::reverse::reverse;
pub use self::uppercase::simple_uppercase;

/// Turns texts into shouts. Cheap to clone.
#[derive(Clone)]
pub struct Shouter {
    upstream: Shoutcloud,
}

/// A shout, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shout {
    /// The text, reversed and in capitals.
    pub text: String,
    /// Time spent upstream; `None` if it was not asked.
    pub upstream: Option<Duration>,
}

/// No shout, and what it took to find out.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Error {
    /// Why.
    #[source]
    pub cause: shoutcloud::Error,
    /// Time spent upstream.
    pub upstream: Duration,
}

impl Shouter {
    /// A shouter whose capitals come from `upstream`.
    pub fn new(upstream: Shoutcloud) -> Self {
        Self { upstream }
    }

    /// Reverses `text` and has it capitalised, if that can be done by `deadline`. Nothing is asked for the empty text.
    pub async fn shout(&self, text: &str, deadline: Instant) -> Result<Shout, Error> {
        if text.is_empty() {
            return Ok(Shout {
                text: String::new(),
                upstream: None,
            });
        }
        let asked = Instant::now();
        let answer = self
            .upstream
            .capitalise(reverse(text), deadline, &Progress::default())
            .await;
        let upstream = asked.elapsed();
        match answer {
            Ok(text) => Ok(Shout {
                text,
                upstream: Some(upstream),
            }),
            Err(cause) => Err(Error { cause, upstream }),
        }
    }
}
