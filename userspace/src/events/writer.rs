//! The EVE file: lines appended, never torn, never in the daemon's way.
//!
//! Lines gather in memory and go to the file when there are [`FLUSH_BYTES`] of them or [`FLUSH_AFTER`] has passed. A
//! write that fails (a full disk) keeps them for the next try, up to [`HELD_MAX`]; what comes on top is lost and counted.

use super::eve::Event;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Held lines are written when they reach this size.
const FLUSH_BYTES: usize = 64 << 10;
/// And at the latest after this time, provided that [`EveWriter::tick`] is called.
const FLUSH_AFTER: Duration = Duration::from_millis(500);
/// Most bytes held while the file takes none.
const HELD_MAX: usize = 4 << 20;

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterCounters {
    /// Lines taken in.
    pub lines: u64,
    /// Lines that will never be in the file.
    pub lost: u64,
    /// Attempts to write or to open that failed.
    pub errors: u64,
}

/// Appends events to a file. No error stops it; all are counted.
pub struct EveWriter {
    path: PathBuf,
    file: Option<File>,
    /// Whole lines, apart from the start of the first one, which `torn` says is in the file already.
    held: Vec<u8>,
    torn: bool,
    flushed: Instant,
    counters: WriterCounters,
    last_error: Option<io::Error>,
}

impl EveWriter {
    /// Opens `path` for appending; it is made if there is none, readable by its owner and group.
    ///
    /// # Errors
    /// When it cannot be opened: at start-up a wrong path is a mistake that someone should hear of.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = Self::open_file(path)?;
        Ok(Self {
            path: path.to_owned(),
            file: Some(file),
            held: Vec::new(),
            torn: false,
            flushed: Instant::now(),
            counters: WriterCounters::default(),
            last_error: None,
        })
    }

    fn open_file(path: &Path) -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt;
        OpenOptions::new().create(true).append(true).mode(0o640).open(path)
    }

    /// Takes in one event.
    pub fn write(&mut self, event: &Event) {
        self.counters.lines += 1;
        if self.held.len() >= HELD_MAX {
            self.counters.lost += 1;
            return;
        }
        let before = self.held.len();
        match serde_json::to_writer(&mut self.held, event) {
            Ok(()) => self.held.push(b'\n'),
            Err(_) => {
                self.held.truncate(before);
                self.counters.lost += 1;
            }
        }
        if self.held.len() >= FLUSH_BYTES {
            // while the file takes nothing, it is asked again at the pace of the ticks and not at every line
            if self.last_error.is_none() {
                self.flush();
            } else {
                self.tick();
            }
        }
    }

    /// Writes what has been held for long enough. Call it a few times a second.
    pub fn tick(&mut self) {
        if self.flushed.elapsed() >= FLUSH_AFTER {
            self.flush();
        }
    }

    /// Writes all that is held.
    pub fn flush(&mut self) {
        self.flushed = Instant::now();
        if self.held.is_empty() {
            return;
        }
        if self.file.is_none() {
            match Self::open_file(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) => return self.failed(error),
            }
        }
        let Some(file) = &mut self.file else { return };
        let mut done = 0;
        let mut failure = None;
        while let Some(rest) = self.held.get(done..).filter(|rest| !rest.is_empty()) {
            match file.write(rest) {
                Ok(0) => failure = Some(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    done += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => failure = Some(error),
            }
            break;
        }
        if done > 0 {
            self.torn = self.held.get(done - 1) != Some(&b'\n');
            self.held.drain(..done);
        }
        match failure {
            Some(error) => self.failed(error),
            None => self.last_error = None,
        }
    }

    fn failed(&mut self, error: io::Error) {
        self.counters.errors += 1;
        self.last_error = Some(error);
    }

    /// Closes the file and opens its path anew, for log rotation. If that fails it is tried again at each flush, and lines
    /// are held meanwhile.
    pub fn reopen(&mut self) {
        self.flush();
        if self.torn {
            // the rest of this line belongs to the old file, which will not take it
            let end = self.held.iter().position(|&byte| byte == b'\n').map_or(self.held.len(), |at| at + 1);
            self.held.drain(..end);
            self.counters.lost += 1;
            self.torn = false;
        }
        self.file = None;
        match Self::open_file(&self.path) {
            Ok(file) => self.file = Some(file),
            Err(error) => self.failed(error),
        }
    }

    /// What became of the lines so far.
    pub fn counters(&self) -> WriterCounters {
        self.counters
    }

    /// The error of the last attempt, if it failed.
    pub fn last_error(&self) -> Option<&io::Error> {
        self.last_error.as_ref()
    }
}

impl Drop for EveWriter {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn event(text: &str) -> Event {
        Event { in_iface: Some(text.into()), event_type: "stats", ..Event::default() }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("dropgate-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn appends_and_survives_rotation() {
        let folder = folder("rotation");
        let path = folder.join("eve.json");
        let mut writer = EveWriter::open(&path).unwrap();
        writer.write(&event("a"));
        fs::rename(&path, folder.join("eve.json.1")).unwrap();
        writer.reopen();
        writer.write(&event("b"));
        drop(writer);
        let mut writer = EveWriter::open(&path).unwrap();
        writer.write(&event("c"));
        writer.flush();
        assert_eq!(writer.counters(), WriterCounters { lines: 1, lost: 0, errors: 0 });
        let old = fs::read_to_string(folder.join("eve.json.1")).unwrap();
        assert_eq!(old, "{\"timestamp\":\"\",\"in_iface\":\"a\",\"event_type\":\"stats\"}\n");
        let new = fs::read_to_string(&path).unwrap();
        assert_eq!(new.lines().count(), 2);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_so() {
        let mut writer = EveWriter::open(Path::new("/dev/full")).unwrap();
        let long = event(&"x".repeat(64 << 10));
        for _ in 0..100 {
            writer.write(&long);
        }
        writer.flush();
        let counters = writer.counters();
        assert_eq!(counters.lines, 100);
        assert!(counters.lost > 30 && counters.errors > 0, "{counters:?}");
        assert_eq!(writer.last_error().and_then(io::Error::raw_os_error), Some(libc::ENOSPC));
    }

    #[test]
    fn a_line_is_never_torn() {
        let folder = folder("torn");
        let path = folder.join("eve.json");
        let mut writer = EveWriter::open(&path).unwrap();
        // as if the disk had filled up after three bytes
        writer.write(&event("first"));
        writer.write(&event("second"));
        fs::write(&path, &writer.held[..3]).unwrap();
        writer.held.drain(..3);
        writer.torn = true;
        writer.flush();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{text}");
        assert_eq!(text.lines().count(), 2);
        assert!(!writer.torn);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_path_that_cannot_be_opened_is_an_error() {
        assert!(EveWriter::open(Path::new("/nowhere/at/all/eve.json")).is_err());
    }
}
