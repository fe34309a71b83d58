//! Standard output and standard error as log sinks.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::Duration;

use super::line_queue::{Sink, WriteError, count_lines};

/// Delay before retrying a write to a full pipe in non-blocking mode.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// The standard stream to log to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// For services: container runtimes collect it.
    Stdout,
    /// For commands that print their result on stdout.
    Stderr,
}

impl Stream {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    pub(super) fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }

    /// Duplicates the file descriptor, so that a blocked write does not hold the lock that `print!` needs.
    pub(super) fn open(self) -> StdStream {
        let descriptor = match self {
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        };
        let file = descriptor.map(File::from);
        StdStream { stream: self, file }
    }
}

/// An open standard stream.
pub(super) struct StdStream {
    stream: Stream,
    file: io::Result<File>,
}

impl StdStream {
    /// Writes `lines`. On an error `lines` is the part that was not written.
    fn write_lines(&mut self, lines: &mut &[u8]) -> io::Result<()> {
        let file = self
            .file
            .as_mut()
            .map_err(|error| io::Error::from(error.kind()))?;
        while !lines.is_empty() {
            match file.write(lines) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => *lines = lines.split_at_checked(written).map_or(&[], |(_, rest)| rest),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process that shares the pipe has made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(RETRY_DELAY),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Sink for StdStream {
    fn write(&mut self, mut lines: &[u8]) -> Result<(), WriteError> {
        self.write_lines(&mut lines).map_err(|error| WriteError {
            lines: count_lines(lines),
            error,
        })
    }

    fn on_failing(&mut self, error: &io::Error) {
        // Without LOG_FILE the operator would not learn of it from the log.
        if self.stream == Stream::Stdout {
            _ = writeln!(
                io::stderr(),
                "shoutback: cannot write to stdout ({error}); dropping log lines"
            );
        }
    }
}
