//! A paused clock that advances slowly enough for sockets.

use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

/// The clock advances by at most `STEP` per `PAUSE` of real time.
const STEP: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_millis(1);

/// Pauses tokio's clock until dropped. A paused clock advances to the next timer when all tasks are idle; this one runs at
/// most ten times as fast as real time. The runtime does not know of bytes in the kernel: unpaced, the clock would pass
/// every timeout before they arrive.
pub struct PacedClock {
    _pacer: AbortOnDropHandle<()>,
}

impl PacedClock {
    pub fn start() -> Self {
        tokio::time::pause();
        let pacer = tokio::spawn(async {
            loop {
                // A paused clock does not advance while a blocking task runs.
                let pause = tokio::task::spawn_blocking(|| std::thread::park_timeout(PAUSE));
                pause.await.expect("parking does not panic");
                tokio::time::sleep(STEP).await;
            }
        });
        Self {
            _pacer: AbortOnDropHandle::new(pacer),
        }
    }
}

impl Drop for PacedClock {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}
