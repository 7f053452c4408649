//! LDAP's StartTLS (RFC 4511 section 4.14): an extended request with its own name, and a response that says success.

use super::super::follow::{Change, Step};

/// The name of the extended operation.
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
const BIND: u8 = 0x60;
const EXTENDED: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
/// Bytes of a message that are looked at: more than its head and the name of an operation need.
const HEAD: usize = 64;

/// A conversation in messages.
#[derive(Debug, Default)]
pub struct Ldap {
    /// The number of the message that asked for the change.
    asked: Option<u32>,
    /// Bytes of the message being read that are still to come, by direction.
    left: [usize; 2],
}

/// The start of a message.
struct Message<'a> {
    length: usize,
    number: u32,
    operation: u8,
    /// What the operation begins with.
    content: &'a [u8],
}

/// Why no message was read.
enum Lack {
    More,
    /// It is none.
    No,
}

impl Ldap {
    pub const fn has_asked(&self) -> bool {
        self.asked.is_some()
    }

    pub fn step(&mut self, unread: &mut [Vec<u8>; 2]) -> Step {
        let [to_server, to_client] = unread;
        let [left, left_back] = &mut self.left;
        loop {
            while self.asked.is_none() {
                skip(to_server, left);
                match message(to_server) {
                    Ok(message) if message.operation == BIND => return Step::Over,
                    Ok(message) => {
                        if message.operation == EXTENDED && element(message.content, 0x80) == Some(START_TLS) {
                            self.asked = Some(message.number);
                        }
                        *left = message.length;
                        skip(to_server, left);
                    }
                    Err(Lack::No) => return Step::Over,
                    Err(Lack::More) => break,
                }
            }
            // the whole of the request, before what is behind it
            skip(to_server, left);
            let mut refused = false;
            while !refused {
                skip(to_client, left_back);
                let (answers, granted) = match message(to_client) {
                    Ok(message) => {
                        *left_back = message.length;
                        let ours = self.asked == Some(message.number) && message.operation == EXTENDED_RESPONSE;
                        (ours, element(message.content, 0x0a) == Some(&[0]))
                    }
                    Err(Lack::No) => return Step::Over,
                    Err(Lack::More) => return Step::More,
                };
                if answers && to_client.len() < *left_back {
                    // its end is where the change is
                    *left_back = 0;
                    return Step::More;
                }
                skip(to_client, left_back);
                if answers && granted {
                    return Step::Changed(Change::Tls);
                }
                refused = answers;
            }
            self.asked = None;
        }
    }
}

/// Takes what belongs to the message being read.
fn skip(said: &mut Vec<u8>, left: &mut usize) {
    let taken = said.len().min(*left);
    said.drain(..taken);
    *left -= taken;
}

/// ```text
///     30 length | 02 length number | operation length content
/// ```
fn message(said: &[u8]) -> Result<Message<'_>, Lack> {
    let mut rest = said;
    let length = header(&mut rest, 0x30)?;
    let whole = said.len() - rest.len() + length;
    // more than the look-ahead is not needed, less than the message is not enough
    if said.len() < whole.min(HEAD) {
        return Err(Lack::More);
    }
    let digits = header(&mut rest, 0x02)?;
    let number = rest.split_off(..digits.min(rest.len())).filter(|number| (1..=4).contains(&number.len()));
    let number = number.ok_or(Lack::No)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
    let operation = *rest.first().ok_or(Lack::No)?;
    header(&mut rest, operation)?;
    Ok(Message { length: whole, number, operation, content: rest })
}

/// Reads a tag and a length in definite form.
fn header(rest: &mut &[u8], tag: u8) -> Result<usize, Lack> {
    let found = rest.split_off_first().ok_or(Lack::More)?;
    let first = *rest.split_off_first().ok_or(Lack::More)?;
    if *found != tag {
        return Err(Lack::No);
    }
    if first < 0x80 {
        return Ok(first.into());
    }
    let count = usize::from(first & 0x7f);
    if !(1..=3).contains(&count) {
        return Err(Lack::No);
    }
    let bytes = rest.split_off(..count).ok_or(Lack::More)?;
    Ok(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
}

/// The content of the first element, if it is of this tag and whole.
fn element(mut content: &[u8], tag: u8) -> Option<&[u8]> {
    let length = header(&mut content, tag).ok()?;
    content.get(..length)
}
