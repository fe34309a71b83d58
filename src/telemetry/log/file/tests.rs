//! Rotation on a real file system.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use tempfile::TempDir;

use super::{FILES, MAX_LINE, MIN_BYTES, RotatingFile, Sink as _};

/// Two lines of maximum length per file.
const MAX_BYTES: u64 = 2 * MIN_BYTES;
const MAX_FILE_BYTES: usize = MAX_BYTES as usize / FILES as usize;

/// Returns a line of `length` bytes, including its newline.
fn line(number: usize, length: usize) -> Vec<u8> {
    let mut line = format!("{number:08}").into_bytes();
    line.resize(length - 1, b'.');
    line.push(b'\n');
    line
}

struct Fixture {
    directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn open(&self) -> RotatingFile {
        RotatingFile::open(self.log(), MAX_BYTES).expect("the file can be created")
    }

    /// Returns the paths of all files, oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.directory.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        files.sort_unstable();
        files.reverse();
        files
    }

    fn contents(&self) -> Vec<u8> {
        let files = self
            .files()
            .into_iter()
            .map(|path| fs::read(path).expect("a file"));
        files.flatten().collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Writes a batch of lines of these lengths.
    Write(Vec<usize>),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![9_usize..600, 9..=MAX_LINE];
    let write = vec(length, 1..12).prop_map(Step::Write);
    let step = (any::<u8>(), write).prop_map(|(dice, write)| if dice < 32 { Step::Restart } else { write });
    vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn stays_below_the_limit_and_retains_the_newest_whole_lines_in_order(steps in steps()) {
        let fixture = Fixture::new();
        let mut file = fixture.open();
        let mut written = Vec::new();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Restart => file = fixture.open(),
                Step::Write(lengths) => {
                    let mut batch = Vec::new();
                    for length in lengths {
                        number += 1;
                        batch.extend(line(number, length));
                    }
                    file.write(&batch).expect("the write succeeds");
                    written.extend(batch);
                }
            }
            let retained = fixture.contents();
            prop_assert!(retained.len() as u64 <= MAX_BYTES, "{} bytes", retained.len());
            prop_assert!(written.ends_with(&retained), "not the newest lines");
            let first = retained.len().checked_sub(1).and_then(|last| written.len().checked_sub(last + 2));
            prop_assert!(first.is_none_or(|before| written[before] == b'\n'), "the first line is partial");
            // Each file but the newest had no space for one more line.
            let at_least = written.len().min((FILES as usize - 1) * (MAX_FILE_BYTES - MAX_LINE));
            prop_assert!(retained.len() >= at_least, "{} of {}", retained.len(), written.len());
            for file in fixture.files() {
                let content = fs::read(file).expect("a file");
                prop_assert!(content.last().is_none_or(|byte| *byte == b'\n') && content.len() <= MAX_FILE_BYTES);
            }
        }
        prop_assert_eq!(fixture.files().len() <= FILES as usize, true);
    }
}

#[test]
fn the_minimum_size_is_that_of_the_configuration() {
    assert_eq!(MIN_BYTES, 64 << 10);
}

#[test]
fn a_new_file_is_writable_by_its_user_and_readable_by_its_group() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let mode = fs::metadata(fixture.log()).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    assert_eq!(mode & 0o600, 0o600, "{mode:o}");
}

#[test]
fn rotation_renames_a_full_file_and_preserves_its_inode() {
    let fixture = Fixture::new();
    let mut file = fixture.open();
    file.write(&line(1, MAX_LINE)).expect("the write succeeds");
    let inode = |path: &Path| fs::metadata(path).expect("a file").ino();
    let first = inode(&fixture.log());
    file.write(&line(2, MAX_LINE)).expect("the write succeeds");
    assert_eq!(inode(&fixture.log()), first);
    file.write(&line(3, MAX_LINE)).expect("the write succeeds");
    let older = fixture.directory.path().join("log.1");
    assert_eq!(inode(&older), first);
    assert_eq!(
        fs::read(older).expect("a file"),
        [line(1, MAX_LINE), line(2, MAX_LINE)].concat()
    );
}

#[test]
fn files_of_an_earlier_run_with_a_higher_limit_are_removed() {
    let fixture = Fixture::new();
    for (name, bytes) in [
        ("log", MAX_BYTES),
        ("log.1", MAX_BYTES),
        ("log.2", 10),
        ("log.3", MAX_BYTES),
    ] {
        let content = line(0, bytes as usize);
        fs::write(fixture.directory.path().join(name), content).expect("written");
    }
    let mut file = fixture.open();
    file.write(&line(1, 100)).expect("the write succeeds");
    assert_eq!(fixture.contents(), line(1, 100));
}

#[test]
fn a_partial_line_of_a_killed_process_is_rotated_away() {
    let fixture = Fixture::new();
    fs::write(fixture.log(), "partial").expect("written");
    let mut file = fixture.open();
    file.write(b"whole\n").expect("the write succeeds");
    assert_eq!(fs::read(fixture.log()).expect("a file"), b"whole\n");
    assert_eq!(
        fs::read(fixture.directory.path().join("log.1")).expect("a file"),
        b"partial"
    );
}

#[test]
fn a_file_that_was_removed_moved_or_truncated_is_recreated() {
    let fixture = Fixture::new();
    let mut file = fixture.open();
    file.write(b"1\n").expect("the write succeeds");
    fs::remove_file(fixture.log()).expect("it exists");
    file.write(b"2\n").expect("the write succeeds");
    assert_eq!(fs::read(fixture.log()).expect("recreated"), b"2\n");
    let elsewhere = fixture.directory.path().join("elsewhere");
    fs::rename(fixture.log(), &elsewhere).expect("it exists");
    file.write(b"3\n").expect("the write succeeds");
    assert_eq!(fs::read(fixture.log()).expect("recreated"), b"3\n");
    assert_eq!(fs::read(elsewhere).expect("unchanged"), b"2\n");
    fs::write(fixture.log(), "").expect("truncated");
    file.write(b"4\n").expect("the write succeeds");
    assert_eq!(fs::read(fixture.log()).expect("a file"), b"4\n");
}

#[test]
fn failed_lines_are_counted_and_later_ones_written() {
    let fixture = Fixture::new();
    let mut file = fixture.open();
    let (path, away) = (
        fixture.directory.path(),
        fixture.directory.path().with_extension("away"),
    );
    fs::rename(path, &away).expect("it exists");
    let failed = file.write(b"1\n2\n").expect_err("there is no directory");
    assert_eq!(failed.lines, 2);
    fs::rename(&away, path).expect("it exists");
    file.write(b"3\n").expect("the write succeeds");
    assert_eq!(fixture.contents(), b"3\n");
}

#[test]
fn opens_regular_files_only() {
    let fixture = Fixture::new();
    for path in [
        fixture.directory.path(),
        Path::new("/dev/null"),
        Path::new("/nowhere/at/all"),
    ] {
        assert!(
            RotatingFile::open(path.to_owned(), MAX_BYTES).is_err(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn an_interrupted_rotation_loses_no_file() {
    let fixture = Fixture::new();
    let full = line(0, MAX_FILE_BYTES);
    for name in ["log", "log.2", "log.3"] {
        fs::write(fixture.directory.path().join(name), &full).expect("written");
    }
    // A process that is killed between two renames leaves a gap.
    fixture.open().write(&line(1, 100)).expect("the write succeeds");
    assert_eq!(fixture.contents().len(), 3 * MAX_FILE_BYTES + 100);
}
