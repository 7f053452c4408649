//! Files that are transferred: name, size, digests, what is remembered of them, and the `fileinfo` that is told of them.

use dropgate_signatures::subject::File;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

use super::{Object, Record, digits::hex, text};

/// How a transfer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// It goes on.
    #[default]
    Open,
    Closed,
    /// Not all of it was seen.
    Truncated,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Open => "UNKNOWN",
            Self::Closed => "CLOSED",
            Self::Truncated => "TRUNCATED",
        }
    }
}

/// Digests in the making.
#[derive(Clone, Debug, Default)]
struct Running {
    md5: Md5,
    sha1: Sha1,
    sha256: Sha256,
}

/// Digests of a file of which every byte was seen.
#[derive(Clone, Debug)]
struct Digests {
    md5: [u8; 16],
    sha1: [u8; 20],
    sha256: [u8; 32],
}

/// The first bytes of something, and its length.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    bytes: Vec<u8>,
    limit: usize,
    size: u64,
}

impl Kept {
    /// Remembers `limit` bytes at most.
    pub const fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, size: 0 }
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.size += bytes.len() as u64;
    }

    /// What is remembered.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes there were.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of memory.
    pub fn footprint(&self) -> usize {
        self.bytes.capacity()
    }
}

/// A file that is being transferred, or was.
#[derive(Clone, Debug)]
pub struct Tracked {
    name: Vec<u8>,
    kept: Kept,
    state: State,
    gaps: bool,
    running: Option<Box<Running>>,
    /// Bytes beyond which it has no digests.
    digested: u64,
    digests: Option<Box<Digests>>,
    /// Of a larger one: first and last byte.
    part: Option<(u64, u64)>,
}

impl Tracked {
    /// A file begins. `keep`: how many bytes of it are remembered for `file.data`; 0, if they are remembered elsewhere.
    pub fn new(name: &[u8], keep: usize) -> Self {
        Self {
            name: name.to_vec(),
            kept: Kept::new(keep),
            state: State::Open,
            gaps: false,
            running: Some(Box::default()),
            digested: u64::MAX,
            digests: None,
            part: None,
        }
    }

    /// The same, without digests if it has more bytes than this.
    pub fn digested(self, most: u64) -> Self {
        Self { running: self.running.filter(|_| most > 0), digested: most, ..self }
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.kept.push(bytes);
        if self.kept.size() > self.digested {
            self.running = None;
        }
        if let Some(running) = &mut self.running {
            running.md5.update(bytes);
            running.sha1.update(bytes);
            running.sha256.update(bytes);
        }
    }

    /// So many bytes of it were never seen: it has no digests, and is truncated whatever comes.
    pub fn lost(&mut self, bytes: u64) {
        self.kept.size = self.kept.size.saturating_add(bytes);
        self.gaps = true;
        self.running = None;
    }

    /// That was all of it.
    pub fn close(&mut self) {
        if self.state != State::Open {
            return;
        }
        if self.gaps {
            self.state = State::Truncated;
            return;
        }
        self.state = State::Closed;
        self.digests = self.running.take().map(|running| {
            let Running { md5, sha1, sha256 } = *running;
            Box::new(Digests {
                md5: md5.finalize().into(),
                sha1: sha1.finalize().into(),
                sha256: sha256.finalize().into(),
            })
        });
    }

    /// It is this part of a larger one: first and last byte.
    pub const fn is_part(&mut self, first: u64, last: u64) {
        self.part = Some((first, last));
    }

    /// It ended early.
    pub fn truncate(&mut self) {
        if self.state == State::Open {
            self.state = State::Truncated;
            self.running = None;
        }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// What is remembered of it, from its first byte.
    pub fn contents(&self) -> &[u8] {
        self.kept.bytes()
    }

    /// Nothing more is added to it.
    pub fn is_over(&self) -> bool {
        self.state != State::Open
    }

    /// As rules see it.
    pub fn file(&self) -> File<'_> {
        let digests = self.digests.as_deref();
        File {
            name: &self.name,
            size: self.kept.size(),
            complete: self.is_over(),
            truncated: self.state == State::Truncated,
            md5: digests.map(|digests| &digests.md5[..]),
            sha1: digests.map(|digests| &digests.sha1[..]),
            sha256: digests.map(|digests| &digests.sha256[..]),
        }
    }

    /// EVE's `fileinfo`, of the transaction of this number in its flow.
    pub fn record(&self, transaction: u64) -> Record {
        let digests = self.digests.as_deref();
        let mut object = Object::new();
        object.put_some("end", self.part.map(|(_, last)| last));
        if !self.name.is_empty() {
            object.put("filename", text(&self.name));
        }
        object.put("gaps", self.gaps);
        object.put_some("md5", digests.map(|digests| hex(&digests.md5)));
        object.put_some("sha1", digests.map(|digests| hex(&digests.sha1)));
        object.put_some("sha256", digests.map(|digests| hex(&digests.sha256)));
        object.put("size", self.kept.size());
        object.put_some("start", self.part.map(|(first, _)| first));
        object.put("state", self.state.name());
        object.put("stored", false);
        object.put("tx_id", transaction);
        object.record("fileinfo")
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        size_of::<Self>() + self.name.capacity() + self.kept.footprint() + self.running.as_ref().map_or(0, |_| 360)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_size_and_digests() {
        let mut file = Tracked::new(b"a.txt", 2);
        file.push(b"ab");
        file.push(b"c");
        assert!(file.file().md5.is_none(), "it goes on");
        file.close();
        let told = file.record(3).json();
        assert_eq!(file.contents(), b"ab");
        assert_eq!(told["size"], 3);
        assert_eq!(told["tx_id"], 3);
        assert_eq!(told["state"], "CLOSED");
        assert_eq!(told["md5"], "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(told["sha1"], "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(told["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_file_that_is_too_long_has_none() {
        for (most, has) in [(2, false), (3, true), (0, false)] {
            let mut file = Tracked::new(b"a.txt", 2).digested(most);
            file.push(b"ab");
            file.push(b"c");
            file.close();
            let told = file.record(3).json();
            assert_eq!((told.get("md5").is_some(), &told["state"]), (has, &"CLOSED".into()), "{most}");
        }
    }

    #[test]
    fn a_file_of_which_bytes_are_missing_has_none() {
        let mut file = Tracked::new(b"", 10);
        file.push(b"ab");
        file.lost(5);
        file.close();
        let told = file.record(0).json();
        assert_eq!((&told["size"], &told["state"], &told["gaps"]), (&7.into(), &"TRUNCATED".into(), &true.into()));
        assert!(told.get("md5").is_none() && told.get("filename").is_none());
    }

    #[test]
    fn a_file_that_ends_early_is_truncated() {
        let mut file = Tracked::new(b"x", 10);
        file.push(b"ab");
        file.truncate();
        file.close();
        assert_eq!(file.record(0).json()["state"], "TRUNCATED");
        assert!(file.file().sha256.is_none() && file.file().complete);
    }
}
