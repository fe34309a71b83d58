//! Reports in the log that lines are dropped, at a limited rate.

use std::io;
use std::time::{Duration, Instant};

/// The minimum time between two reports, for each of the two kinds.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The state of a sink, as the writer thread sees it.
#[derive(Default)]
pub(super) struct SinkHealth {
    is_failing: bool,
    last_error_report: Option<Instant>,
    last_drop_report: Option<Instant>,
}

impl SinkHealth {
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    pub(super) fn set_healthy(&mut self) {
        self.is_failing = false;
    }

    /// Marks the sink as failing. Returns true if it was healthy and a report is due: on an almost full disk short
    /// lines succeed and long ones fail, so the state may change with every write.
    pub(super) fn begin_failing(&mut self) -> bool {
        !std::mem::replace(&mut self.is_failing, true) && is_due(&mut self.last_error_report)
    }

    /// Returns true at most once per [`REPORT_INTERVAL`].
    pub(super) fn is_drop_report_due(&mut self) -> bool {
        is_due(&mut self.last_drop_report)
    }
}

/// Rate limit: returns true at most once per [`REPORT_INTERVAL`].
fn is_due(last: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_due = last.is_none_or(|last| now - last >= REPORT_INTERVAL);
    if is_due {
        *last = Some(now);
    }
    is_due
}

pub(super) fn log_dropped(sink: &str, lines: u64) {
    tracing::warn!(
        event.action = "log",
        event.kind = "event",
        shoutback.log.sink = sink,
        shoutback.log.dropped = lines,
        "log lines were dropped; writing works again"
    );
}

pub(super) fn log_write_error(sink: &str, error: &io::Error) {
    tracing::error!(
        event.action = "log",
        event.kind = "event",
        event.outcome = "failure",
        shoutback.log.sink = sink,
        error.message = %error,
        "cannot write log lines; dropping them"
    );
}
