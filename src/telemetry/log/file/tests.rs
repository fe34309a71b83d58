//! The files on a real disk.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use tempfile::TempDir;

use super::{FILES, Files, MAX_LINE, MIN_BYTES, Sink as _};

/// A quarter is two of the longest lines.
const MAX: u64 = 2 * MIN_BYTES;
const SHARE: usize = MAX as usize / FILES as usize;

/// A line of so many bytes, its end included.
fn line(number: usize, length: usize) -> Vec<u8> {
    let mut line = format!("{number:08}").into_bytes();
    line.resize(length - 1, b'.');
    line.push(b'\n');
    line
}

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn open(&self) -> Files {
        Files::open(self.log(), MAX).expect("it can be made")
    }

    /// The oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.directory.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        files.sort_unstable();
        files.reverse();
        files
    }

    fn kept(&self) -> Vec<u8> {
        let contents = self
            .files()
            .into_iter()
            .map(|path| fs::read(path).expect("a file"));
        contents.flatten().collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A batch of lines of these lengths.
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
    fn never_over_the_limit_and_what_is_kept_is_the_last_of_it_whole_and_in_order(steps in steps()) {
        let place = Place::new();
        let mut files = place.open();
        let mut written = Vec::new();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Restart => files = place.open(),
                Step::Write(lengths) => {
                    let mut batch = Vec::new();
                    for length in lengths {
                        number += 1;
                        batch.extend(line(number, length));
                    }
                    files.write(&batch).expect("there is room");
                    written.extend(batch);
                }
            }
            let kept = place.kept();
            prop_assert!(kept.len() as u64 <= MAX, "{} bytes", kept.len());
            prop_assert!(written.ends_with(&kept), "not the last of what was written");
            let first = kept.len().checked_sub(1).and_then(|last| written.len().checked_sub(last + 2));
            prop_assert!(first.is_none_or(|before| written[before] == b'\n'), "the first line is a part of one");
            // Each but the newest was full but for one line.
            let at_least = written.len().min((FILES as usize - 1) * (SHARE - MAX_LINE));
            prop_assert!(kept.len() >= at_least, "{} of {}", kept.len(), written.len());
            for file in place.files() {
                let content = fs::read(file).expect("a file");
                prop_assert!(content.last().is_none_or(|byte| *byte == b'\n') && content.len() <= SHARE);
            }
        }
        prop_assert_eq!(place.files().len() <= FILES as usize, true);
    }
}

#[test]
fn the_least_limit_is_that_of_the_configuration() {
    assert_eq!(MIN_BYTES, 64 << 10);
}

#[test]
fn a_file_is_for_its_user_and_read_by_its_group() {
    let place = Place::new();
    drop(place.open());
    let mode = fs::metadata(place.log()).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    assert_eq!(mode & 0o600, 0o600, "{mode:o}");
}

#[test]
fn a_full_file_is_renamed_and_read_on_by_its_inode() {
    let place = Place::new();
    let mut files = place.open();
    files.write(&line(1, MAX_LINE)).expect("there is room");
    let inode = |path: &Path| fs::metadata(path).expect("a file").ino();
    let first = inode(&place.log());
    files.write(&line(2, MAX_LINE)).expect("there is room");
    assert_eq!(inode(&place.log()), first);
    files.write(&line(3, MAX_LINE)).expect("there is room");
    let older = place.directory.path().join("log.1");
    assert_eq!(inode(&older), first);
    assert_eq!(
        fs::read(older).expect("a file"),
        [line(1, MAX_LINE), line(2, MAX_LINE)].concat()
    );
}

#[test]
fn what_an_earlier_run_with_a_higher_limit_left_makes_room() {
    let place = Place::new();
    for (name, bytes) in [("log", MAX), ("log.1", MAX), ("log.2", 10), ("log.3", MAX)] {
        let content = line(0, bytes as usize);
        fs::write(place.directory.path().join(name), content).expect("written");
    }
    let mut files = place.open();
    files.write(&line(1, 100)).expect("there is room");
    assert_eq!(place.kept(), line(1, 100));
}

#[test]
fn a_line_that_another_process_did_not_end_stays_apart() {
    let place = Place::new();
    fs::write(place.log(), "torn").expect("written");
    let mut files = place.open();
    files.write(b"whole\n").expect("there is room");
    assert_eq!(fs::read(place.log()).expect("a file"), b"whole\n");
    assert_eq!(
        fs::read(place.directory.path().join("log.1")).expect("a file"),
        b"torn"
    );
}

#[test]
fn a_file_that_somebody_removed_moved_or_emptied_is_made_anew() {
    let place = Place::new();
    let mut files = place.open();
    files.write(b"1\n").expect("there is room");
    fs::remove_file(place.log()).expect("it is there");
    files.write(b"2\n").expect("there is room");
    assert_eq!(fs::read(place.log()).expect("made anew"), b"2\n");
    let elsewhere = place.directory.path().join("elsewhere");
    fs::rename(place.log(), &elsewhere).expect("it is there");
    files.write(b"3\n").expect("there is room");
    assert_eq!(fs::read(place.log()).expect("made anew"), b"3\n");
    assert_eq!(fs::read(elsewhere).expect("left alone"), b"2\n");
    fs::write(place.log(), "").expect("emptied");
    files.write(b"4\n").expect("there is room");
    assert_eq!(fs::read(place.log()).expect("a file"), b"4\n");
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_later_ones_written() {
    let place = Place::new();
    let mut files = place.open();
    let (path, away) = (
        place.directory.path(),
        place.directory.path().with_extension("away"),
    );
    fs::rename(path, &away).expect("it is there");
    let lost = files.write(b"1\n2\n").expect_err("there is no directory");
    assert_eq!(lost.lines, 2);
    fs::rename(&away, path).expect("it is there");
    files.write(b"3\n").expect("there is room");
    assert_eq!(place.kept(), b"3\n");
}

#[test]
fn only_a_file_is_written_to() {
    let place = Place::new();
    for path in [
        place.directory.path(),
        Path::new("/dev/null"),
        Path::new("/nowhere/at/all"),
    ] {
        assert!(Files::open(path.to_owned(), MAX).is_err(), "{}", path.display());
    }
}

#[test]
fn a_rename_that_was_cut_short_costs_no_file() {
    let place = Place::new();
    let full = line(0, SHARE);
    for name in ["log", "log.2", "log.3"] {
        fs::write(place.directory.path().join(name), &full).expect("written");
    }
    // What remains when a process is killed between two renames has a gap.
    place.open().write(&line(1, 100)).expect("there is room");
    assert_eq!(place.kept().len(), 3 * SHARE + 100);
}
