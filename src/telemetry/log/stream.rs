//! Standard output, or standard error.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::Duration;

use super::queue::{Lost, Sink, count};

/// Before a pipe that never blocks, and is full, is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Where a container's log is collected.
    Stdout,
    /// Where they do not get in the way of what a command prints.
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

    /// A descriptor of its own: a write that hangs holds no lock that others need to print.
    pub(super) fn open(self) -> Pipe {
        let descriptor = match self {
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        };
        let file = descriptor.map(File::from);
        Pipe { stream: self, file }
    }
}

/// An open stream.
pub(super) struct Pipe {
    stream: Stream,
    file: io::Result<File>,
}

impl Pipe {
    /// Writes `lines`, and leaves in them what it could not.
    fn drain(&mut self, lines: &mut &[u8]) -> io::Result<()> {
        let file = self
            .file
            .as_mut()
            .map_err(|error| io::Error::from(error.kind()))?;
        while !lines.is_empty() {
            match file.write(lines) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => *lines = lines.split_at_checked(written).map_or(&[], |(_, rest)| rest),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Somebody we share it with has made it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(PAUSE),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Sink for Pipe {
    fn write(&mut self, mut lines: &[u8]) -> Result<(), Lost> {
        self.drain(&mut lines).map_err(|error| Lost {
            lines: count(lines),
            error,
        })
    }

    fn failing(&mut self, error: &io::Error) {
        // Without LOG_FILE, nobody would learn it from the log.
        if self.stream == Stream::Stdout {
            _ = writeln!(
                io::stderr(),
                "shoutback: stdout cannot be written ({error}): log lines are dropped"
            );
        }
    }
}
