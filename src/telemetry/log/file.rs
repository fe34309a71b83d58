//! The log file, and the older ones beside it: `name`, `name.1` and so on, the highest number the oldest.
//!
//! All of them together stay under the limit at every moment, whatever was there before. A line is never split over two
//! files, and a file that is full is renamed, so that whoever follows it by its inode reads it to its end. What is on the
//! disk is asked anew for every write: somebody may have removed, truncated or moved files meanwhile.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use super::MAX_LINE;
use super::queue::{Lost, Sink, count};

/// When the limit is reached, a fourth of what is kept goes.
const FILES: u32 = 4;
/// A file takes at least one line of any length.
const MIN_BYTES: u64 = FILES as u64 * MAX_LINE as u64;
/// Of a file that is made: for this user, and a collector in its group.
const MODE: u32 = 0o640;

/// The files.
pub(super) struct Files {
    path: PathBuf,
    max: u64,
    current: Option<File>,
}

impl Files {
    /// Opens the newest, or makes it.
    pub(super) fn open(path: PathBuf, max: u64) -> io::Result<Self> {
        let mut files = Self {
            path,
            max: max.max(MIN_BYTES),
            current: None,
        };
        files.current()?;
        Ok(files)
    }

    /// The one that is `age` files old.
    fn path(&self, age: u32) -> PathBuf {
        match age {
            0 => self.path.clone(),
            age => {
                let mut path = self.path.clone().into_os_string();
                path.push(format!(".{age}"));
                path.into()
            }
        }
    }

    /// The newest and its length.
    fn current(&mut self) -> io::Result<(&mut File, u64)> {
        let found = existing(fs::metadata(&self.path))?;
        // A device such as /dev/stdout must not be renamed.
        if found.as_ref().is_some_and(|found| !found.is_file()) {
            return Err(io::Error::other("not a file"));
        }
        let same = |open: &Metadata| {
            let is_same = |found: &Metadata| (found.dev(), found.ino()) == (open.dev(), open.ino());
            found.as_ref().is_some_and(is_same)
        };
        let file = match self.current.take() {
            Some(file) if same(&file.metadata()?) => file,
            _ => {
                let mut options = OpenOptions::new();
                options.read(true).append(true).create(true).mode(MODE);
                let file = options.open(&self.path)?;
                if is_torn(&file)? {
                    self.rotate()?;
                    options.open(&self.path)?
                } else {
                    file
                }
            }
        };
        let length = file.metadata()?.len();
        Ok((self.current.insert(file), length))
    }

    /// Makes the newest the second newest and so on, up to the first number that is not taken; if all are, the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        self.current = None;
        let mut age = 0;
        while age < FILES && existing(fs::symlink_metadata(self.path(age)))?.is_some() {
            age += 1;
        }
        if age == FILES {
            age -= 1;
            fs::remove_file(self.path(age))?;
        }
        while age > 0 {
            fs::rename(self.path(age - 1), self.path(age))?;
            age -= 1;
        }
        Ok(())
    }

    /// Removes the oldest until `more` bytes fit under the limit.
    fn make_room(&self, more: u64) -> io::Result<()> {
        let mut lengths = Vec::new();
        for age in 0..FILES {
            let found = existing(fs::metadata(self.path(age)))?;
            lengths.push(found.map(|found| found.len()));
        }
        let mut total: u64 = lengths.iter().flatten().sum();
        for (age, length) in (0..FILES).zip(lengths).skip(1).rev() {
            if let Some(length) = length.filter(|_| total + more > self.max) {
                fs::remove_file(self.path(age))?;
                total -= length;
            }
        }
        Ok(())
    }

    /// Writes `lines`, and leaves in them what it could not.
    fn append(&mut self, lines: &mut &[u8]) -> io::Result<()> {
        let share = self.max / u64::from(FILES);
        while !lines.is_empty() {
            let (_, length) = self.current()?;
            let room = usize::try_from(share.saturating_sub(length)).unwrap_or(usize::MAX);
            let Some((chunk, rest)) = whole_lines(lines, room) else {
                if length == 0 {
                    return Err(io::Error::other("a line is longer than a file may be"));
                }
                self.rotate()?;
                continue;
            };
            self.make_room(chunk.len() as u64)?;
            let Some(file) = &mut self.current else {
                continue;
            };
            if let Err((written, error)) = write_all(file, chunk) {
                // A part of a line would spoil the next one.
                let whole = whole_lines(chunk, written).map_or(0, |(whole, _)| whole.len());
                _ = file.set_len(length + whole as u64);
                *lines = lines.split_at_checked(whole).map_or(&[], |(_, rest)| rest);
                return Err(error);
            }
            *lines = rest;
        }
        Ok(())
    }
}

impl Sink for Files {
    fn write(&mut self, mut lines: &[u8]) -> Result<(), Lost> {
        self.append(&mut lines).map_err(|error| {
            self.current = None;
            Lost {
                lines: count(lines),
                error,
            }
        })
    }
}

/// `None` if there is nothing.
fn existing(found: io::Result<Metadata>) -> io::Result<Option<Metadata>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Whether the last line has no end: whoever wrote it was killed.
fn is_torn(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else {
        return Ok(false);
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

/// As many whole lines as `room` bytes hold, and the rest; `None` if that is not one.
fn whole_lines(lines: &[u8], room: usize) -> Option<(&[u8], &[u8])> {
    let (within, _) = lines.split_at_checked(room.min(lines.len()))?;
    let end = within.iter().rposition(|byte| *byte == b'\n')?;
    lines.split_at_checked(end + 1)
}

/// How many bytes were written goes with the error.
fn write_all(file: &mut File, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut left = bytes;
    while !left.is_empty() {
        match file.write(left) {
            Ok(0) => return Err((bytes.len() - left.len(), ErrorKind::WriteZero.into())),
            Ok(written) => left = left.split_at_checked(written).map_or(&[], |(_, rest)| rest),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err((bytes.len() - left.len(), error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
