//! A clock that runs ahead while everybody waits.

use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

/// How far the clock may run ahead, and how long it then stands still.
const STEP: Duration = Duration::from_millis(10);
const STAND: Duration = Duration::from_millis(1);

/// Pauses tokio's clock until dropped: it then goes to the next timer when nothing else is left to do, but at most ten times
/// as fast as the real one. Bytes on their way through the kernel are nothing that the runtime knows of: unpaced, the clock
/// would run past every timeout before they arrive.
pub struct Paced {
    _pacer: AbortOnDropHandle<()>,
}

impl Paced {
    pub fn start() -> Self {
        tokio::time::pause();
        let pacer = tokio::spawn(async {
            loop {
                // While a blocking task runs, a paused clock stands still.
                let stand = tokio::task::spawn_blocking(|| std::thread::park_timeout(STAND));
                stand.await.expect("parking does not panic");
                tokio::time::sleep(STEP).await;
            }
        });
        Self {
            _pacer: AbortOnDropHandle::new(pacer),
        }
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}
