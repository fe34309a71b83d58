//! The log file and its rotated predecessors: `name`, `name.1` and so on; the highest number is the oldest.
//!
//! Their total size stays below the limit at all times, also when an earlier run left larger files. A line is never
//! split across two files. A full file is renamed, so that a collector which follows the inode reads it to its end.
//! Every write checks the files on disk again, because other processes may remove, truncate or move them.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use super::MAX_LINE;
use super::line_queue::{Sink, WriteError, count_lines};

/// At the limit the oldest file is removed: a quarter of the log.
const FILES: u32 = 4;
/// Each file holds at least one line of any length.
const MIN_BYTES: u64 = FILES as u64 * MAX_LINE as u64;
/// Permissions of new files: read and write for this user, read for a collector in its group.
const FILE_MODE: u32 = 0o640;

/// A log file that is rotated by size.
pub(super) struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    current: Option<File>,
}

impl RotatingFile {
    /// Opens or creates the current file.
    pub(super) fn open(path: PathBuf, max_bytes: u64) -> io::Result<Self> {
        let mut file = Self {
            path,
            max_bytes: max_bytes.max(MIN_BYTES),
            current: None,
        };
        file.current()?;
        Ok(file)
    }

    /// Returns the path of the file after `age` rotations.
    fn path_at(&self, age: u32) -> PathBuf {
        match age {
            0 => self.path.clone(),
            age => {
                let mut path = self.path.clone().into_os_string();
                path.push(format!(".{age}"));
                path.into()
            }
        }
    }

    /// Returns the current file and its length. Reopens it if the path now leads to another file.
    fn current(&mut self) -> io::Result<(&mut File, u64)> {
        let found = if_exists(fs::metadata(&self.path))?;
        // A device such as /dev/stdout must not be renamed by a rotation.
        if found.as_ref().is_some_and(|found| !found.is_file()) {
            return Err(io::Error::other("not a regular file"));
        }
        let same = |open: &Metadata| {
            let is_same = |found: &Metadata| (found.dev(), found.ino()) == (open.dev(), open.ino());
            found.as_ref().is_some_and(is_same)
        };
        let file = match self.current.take() {
            Some(file) if same(&file.metadata()?) => file,
            _ => {
                let mut options = OpenOptions::new();
                options.read(true).append(true).create(true).mode(FILE_MODE);
                let file = options.open(&self.path)?;
                if ends_in_partial_line(&file)? {
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

    /// Renames each file to the next number, up to the first unused one. Removes the oldest if all are used.
    fn rotate(&mut self) -> io::Result<()> {
        self.current = None;
        let mut age = 0;
        while age < FILES && if_exists(fs::symlink_metadata(self.path_at(age)))?.is_some() {
            age += 1;
        }
        if age == FILES {
            age -= 1;
            fs::remove_file(self.path_at(age))?;
        }
        while age > 0 {
            fs::rename(self.path_at(age - 1), self.path_at(age))?;
            age -= 1;
        }
        Ok(())
    }

    /// Removes the oldest files until `additional` bytes fit below the limit.
    fn remove_oldest(&self, additional: u64) -> io::Result<()> {
        let mut lengths = Vec::new();
        for age in 0..FILES {
            let found = if_exists(fs::metadata(self.path_at(age)))?;
            lengths.push(found.map(|found| found.len()));
        }
        let mut total: u64 = lengths.iter().flatten().sum();
        for (age, length) in (0..FILES).zip(lengths).skip(1).rev() {
            if let Some(length) = length.filter(|_| total + additional > self.max_bytes) {
                fs::remove_file(self.path_at(age))?;
                total -= length;
            }
        }
        Ok(())
    }

    /// Writes `lines`. On an error `lines` is the part that was not written.
    fn append(&mut self, lines: &mut &[u8]) -> io::Result<()> {
        let max_file_bytes = self.max_bytes / u64::from(FILES);
        while !lines.is_empty() {
            let (_, length) = self.current()?;
            let available = usize::try_from(max_file_bytes.saturating_sub(length)).unwrap_or(usize::MAX);
            let Some((chunk, rest)) = split_whole_lines(lines, available) else {
                if length == 0 {
                    return Err(io::Error::other("the line exceeds the maximum size of a file"));
                }
                self.rotate()?;
                continue;
            };
            self.remove_oldest(chunk.len() as u64)?;
            let Some(file) = &mut self.current else {
                continue;
            };
            if let Err((written, error)) = write_all(file, chunk) {
                // Remove a partial line: the next line would be appended to it.
                let whole = split_whole_lines(chunk, written).map_or(0, |(whole, _)| whole.len());
                _ = file.set_len(length + whole as u64);
                *lines = lines.split_at_checked(whole).map_or(&[], |(_, rest)| rest);
                return Err(error);
            }
            *lines = rest;
        }
        Ok(())
    }
}

impl Sink for RotatingFile {
    fn write(&mut self, mut lines: &[u8]) -> Result<(), WriteError> {
        self.append(&mut lines).map_err(|error| {
            self.current = None;
            WriteError {
                lines: count_lines(lines),
                error,
            }
        })
    }
}

/// Maps "not found" to `None`.
fn if_exists(found: io::Result<Metadata>) -> io::Result<Option<Metadata>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Returns whether the last line lacks its newline, because the process that wrote it was killed.
fn ends_in_partial_line(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else {
        return Ok(false);
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

/// Splits off as many whole lines as fit into `max_bytes`; `None` if not even one does.
fn split_whole_lines(lines: &[u8], max_bytes: usize) -> Option<(&[u8], &[u8])> {
    let (within, _) = lines.split_at_checked(max_bytes.min(lines.len()))?;
    let end = within.iter().rposition(|byte| *byte == b'\n')?;
    lines.split_at_checked(end + 1)
}

/// Writes all of `bytes`. An error comes with the number of bytes written before it.
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
