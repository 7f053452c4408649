//! TLS (RFC 8446 sections 4.1, 5.1; RFC 6101 appendix E for the hello in SSL 2 form), and what only wears its record header.
//!
//! The hello is read through record boundaries, wherever they are, because a hello may be split over records of one byte.
//! A parser of whole messages would say nothing until the last byte; this one contradicts at the first wrong length.

use super::reader::{Form, Lack, Read, Reader, either, read, require};
use crate::protocol::{Answer, Direction, Stream};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// RFC 8446 section 5.1.
const RECORD_MAX: u16 = 1 << 14;
/// With what ciphers may add (RFC 5246 section 6.2.3).
const CIPHERTEXT_MAX: u16 = RECORD_MAX + 2048;
/// A hello that is consistent this far is one, however long the rest.
const ENOUGH: usize = 4096;
/// Longest hello: nothing real comes near.
const HELLO_MAX: usize = 1 << 17;
/// Version, random, an empty session id, a cipher suite and a compression method.
const HELLO_MIN: usize = 2 + 32 + 1 + 2 + 1;

/// A hello of either side, or a server's alert.
pub fn tls(said: Stream<'_>) -> Answer {
    either(said, client, server)
}

/// A record header, and behind it something other than a hello.
pub fn fake(said: Stream<'_>) -> Answer {
    let sides: [(Direction, &[u8], Form); 2] =
        [(Direction::ToServer, said.to_server, client), (Direction::ToClient, said.to_client, server)];
    for (direction, said, hello) in sides {
        match read(said, record) {
            Ok(_) => {}
            Err(Lack::No) => return Answer::No,
            Err(Lack::More) => continue,
        }
        let mut reader = Reader::new(said);
        match hello(&mut reader) {
            Ok(()) => return Answer::No,
            // up to and with the byte that contradicts, which was read or is the next one
            Err(Lack::No) => return Answer::Yes(direction, (reader.at().max(5) + 1).min(said.len())),
            Err(Lack::More) => {}
        }
    }
    Answer::More
}

/// Records of any kind, in both directions: one whole, or one and the header behind it.
pub fn records(said: Stream<'_>) -> Answer {
    either(said, whole_record, whole_record)
}

fn whole_record(said: &mut Reader<'_>) -> Read<()> {
    let mut header = *said;
    record(&mut header)?;
    let [high, low] = said.rest().get(3..5).and_then(|length| length.try_into().ok()).ok_or(Lack::More)?;
    said.take(5 + usize::from(u16::from_be_bytes([high, low])))?;
    if said.rest().is_empty() { Ok(()) } else { record(said) }
}

/// The header of any record.
fn record(said: &mut Reader<'_>) -> Read<()> {
    said.byte_that(|kind| (20..=24).contains(&kind))?;
    version(said)?;
    let length = said.u16()?;
    require((1..=CIPHERTEXT_MAX).contains(&length))
}

fn version(said: &mut Reader<'_>) -> Read<()> {
    said.literal(&[3])?;
    said.byte_that(|minor| minor <= 4).map(|_| ())
}

fn client(said: &mut Reader<'_>) -> Read<()> {
    if said.peek()? & 0x80 != 0 {
        return ssl2(said);
    }
    let mut hello = Hello::new(said, CLIENT_HELLO)?;
    let suites = usize::from(hello.u16()?);
    require(suites >= 2 && suites % 2 == 0)?;
    hello.skip(suites)?;
    let compressions = usize::from(hello.byte()?);
    require(compressions >= 1)?;
    hello.skip(compressions)?;
    hello.extensions()
}

fn server(said: &mut Reader<'_>) -> Read<()> {
    if said.peek()? == ALERT {
        said.byte()?;
        version(said)?;
        said.literal(&[0, 2])?;
        said.byte_that(|level| level == 1 || level == 2)?;
        // the highest description assigned is 121
        return said.byte_that(|description| description <= 121).map(|_| ());
    }
    let mut hello = Hello::new(said, SERVER_HELLO)?;
    // the cipher suite, then the compression method: none, or deflate
    hello.u16()?;
    require(hello.byte()? <= 1)
}

/// ```text
///     1 | length (15 bits) | 1 | version | cipher specs length | session id length | challenge length
/// ```
fn ssl2(said: &mut Reader<'_>) -> Read<()> {
    let length = said.u16()? & 0x7fff;
    said.literal(&[CLIENT_HELLO])?;
    let version = said.u16()?;
    require(version == 2 || (0x300..=0x304).contains(&version))?;
    let (specs, session, challenge) = (said.u16()?, said.u16()?, said.u16()?);
    require(specs > 0 && specs % 3 == 0 && (session == 0 || session == 16) && (16..=32).contains(&challenge))?;
    require(u32::from(length) == 9 + u32::from(specs) + u32::from(session) + u32::from(challenge))
}

/// A hello, wherever record headers stand in it.
struct Hello<'r, 'a> {
    said: &'r mut Reader<'a>,
    /// Bytes of the record that are still to be read.
    record: usize,
    /// Bytes of the hello that are still to be read.
    left: usize,
}

impl<'r, 'a> Hello<'r, 'a> {
    /// What hellos of both sides start with, up to and with the session id.
    fn new(said: &'r mut Reader<'a>, kind: u8) -> Read<Self> {
        let mut hello = Self { said, record: 0, left: 4 };
        require(hello.byte()? == kind)?;
        let length = usize::from(hello.byte()?) << 16 | usize::from(hello.u16()?);
        require((HELLO_MIN..=HELLO_MAX).contains(&length))?;
        hello.left = length;
        require(hello.byte()? == 3)?;
        require(hello.byte()? <= 4)?;
        hello.skip(32)?;
        let session = usize::from(hello.byte()?);
        require(session <= 32)?;
        hello.skip(session)?;
        Ok(hello)
    }

    /// Extensions up to the end of the hello; none at all are none.
    fn extensions(&mut self) -> Read<()> {
        if self.left == 0 {
            return Ok(());
        }
        let length = usize::from(self.u16()?);
        require(length == self.left)?;
        while self.left > 0 && self.said.at() < ENOUGH {
            self.u16()?;
            let length = usize::from(self.u16()?);
            self.skip(length)?;
        }
        Ok(())
    }

    fn byte(&mut self) -> Read<u8> {
        self.spend(1)?;
        self.header()?;
        self.record -= 1;
        self.said.byte()
    }

    fn u16(&mut self) -> Read<u16> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn skip(&mut self, mut count: usize) -> Read<()> {
        self.spend(count)?;
        while count > 0 {
            self.header()?;
            let part = count.min(self.record);
            self.said.take(part)?;
            self.record -= part;
            count -= part;
        }
        Ok(())
    }

    /// What is read must be in the hello.
    fn spend(&mut self, count: usize) -> Read<()> {
        self.left = self.left.checked_sub(count).ok_or(Lack::No)?;
        Ok(())
    }

    /// The header of the next record, where one is due.
    fn header(&mut self) -> Read<()> {
        if self.record == 0 {
            self.said.literal(&[HANDSHAKE])?;
            version(self.said)?;
            let length = self.said.u16()?;
            require((1..=RECORD_MAX).contains(&length))?;
            self.record = usize::from(length);
        }
        Ok(())
    }
}
