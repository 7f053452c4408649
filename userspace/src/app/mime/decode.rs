//! Transfer encodings (RFC 2045, section 6), line by line.

use crate::app::lines::Line;

/// `Content-Transfer-Encoding`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encoding {
    /// 7bit, 8bit, binary, or none that is known.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
}

impl Encoding {
    /// By its name.
    pub fn named(name: &[u8]) -> Self {
        let name = name.trim_ascii();
        if name.eq_ignore_ascii_case(b"base64") {
            Self::Base64
        } else if name.eq_ignore_ascii_case(b"quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }
}

/// Undoes an encoding.
#[derive(Debug)]
pub enum Decoder {
    /// The ending of the line before, which belongs to the boundary if that comes next.
    Identity {
        ending: Vec<u8>,
    },
    Base64(Base64),
    /// What may still be the beginning of an escape, of a line that comes in pieces.
    QuotedPrintable {
        held: Vec<u8>,
        ending: Vec<u8>,
    },
}

impl Decoder {
    /// Of an encoding.
    pub fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Identity => Self::Identity { ending: Vec::new() },
            Encoding::Base64 => Self::Base64(Base64::default()),
            Encoding::QuotedPrintable => Self::QuotedPrintable { held: Vec::new(), ending: Vec::new() },
        }
    }

    /// Appends what a line, or a piece of one, stands for; says whether all of it could be read.
    pub fn line(&mut self, line: Line<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Identity { ending } => {
                out.append(ending);
                out.extend_from_slice(line.bytes);
                ending.extend_from_slice(line.ending);
                true
            }
            Self::Base64(base64) => base64.decode(line.bytes, out),
            Self::QuotedPrintable { held, ending } => {
                out.append(ending);
                let (sound, breaks) = quoted_printable(held, line, out);
                if breaks {
                    ending.extend_from_slice(line.ending);
                }
                sound
            }
        }
    }
}

/// The four letters of a group, as far as they are there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Base64 {
    bits: u32,
    letters: u8,
}

impl Base64 {
    /// Appends what letters stand for. Others are left out, as RFC 2045 asks; says whether there were none.
    pub fn decode(&mut self, letters: &[u8], out: &mut Vec<u8>) -> bool {
        let mut sound = true;
        for letter in letters {
            match value(*letter) {
                Some(value) => self.push(value, out),
                None if *letter == b'=' => self.pad(out),
                None => sound &= letter.is_ascii_whitespace(),
            }
        }
        sound
    }

    fn push(&mut self, value: u8, out: &mut Vec<u8>) {
        self.bits = self.bits << 6 | u32::from(value);
        self.letters += 1;
        if self.letters == 4 {
            let [_, bytes @ ..] = self.bits.to_be_bytes();
            out.extend_from_slice(&bytes);
            *self = Self::default();
        }
    }

    /// Ends a group early. What comes behind it is a group of its own.
    fn pad(&mut self, out: &mut Vec<u8>) {
        let [_, first, second, _] = (self.bits << (6 * (4 - u32::from(self.letters)))).to_be_bytes();
        match self.letters {
            2 => out.push(first),
            3 => out.extend_from_slice(&[first, second]),
            _ => {}
        }
        *self = Self::default();
    }
}

const fn value(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Whether all of a line could be read, and whether its ending counts.
fn quoted_printable(held: &mut Vec<u8>, line: Line<'_>, out: &mut Vec<u8>) -> (bool, bool) {
    held.extend_from_slice(line.bytes);
    let ends = !line.ending.is_empty();
    let mut sound = true;
    let mut rest = held.as_slice();
    let mut breaks = ends;
    loop {
        let Some(at) = rest.iter().position(|byte| *byte == b'=') else {
            out.extend_from_slice(rest);
            rest = &[];
            break;
        };
        let (text, escape) = rest.split_at(at);
        out.extend_from_slice(text);
        rest = escape;
        match escape {
            [_, high, low, behind @ ..] => {
                match digit(*high).zip(digit(*low)) {
                    Some((high, low)) => {
                        out.push(high << 4 | low);
                        rest = behind;
                    }
                    // white space in front of the end of the line is nothing
                    None if ends && escape.trim_ascii_end() == b"=" => {
                        breaks = false;
                        rest = &[];
                        break;
                    }
                    None => {
                        sound = false;
                        out.push(b'=');
                        rest = escape.get(1..).unwrap_or_default();
                    }
                }
            }
            _ if !ends => break,
            _ => {
                breaks = escape.trim_ascii_end() != b"=";
                if breaks {
                    sound = false;
                    out.extend_from_slice(escape);
                }
                rest = &[];
                break;
            }
        }
    }
    let kept = rest.len();
    let read = held.len() - kept;
    held.drain(..read);
    (sound, breaks)
}

/// Of a hexadecimal digit.
pub const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoding: Encoding, lines: &[(&str, &str)]) -> (String, bool) {
        let (mut decoder, mut out, mut sound) = (Decoder::new(encoding), Vec::new(), true);
        for (bytes, ending) in lines {
            let line = Line { bytes: bytes.as_bytes(), ending: ending.as_bytes(), starts: true };
            sound &= decoder.line(line, &mut out);
        }
        (String::from_utf8_lossy(&out).into_owned(), sound)
    }

    #[test]
    fn base64_in_groups_that_lines_cut() {
        assert_eq!(
            decode(Encoding::Base64, &[("aGVsb", "\r\n"), ("G8gd29ybGQ=", "\r\n")]),
            ("hello world".into(), true)
        );
        assert_eq!(decode(Encoding::Base64, &[("aA==aGk=", "\n")]), ("hhi".into(), true));
        assert_eq!(decode(Encoding::Base64, &[("aG!k= ", "\n")]), ("hi".into(), false));
    }

    #[test]
    fn quoted_printable_breaks_and_escapes() {
        let lines = [("a=3Db=", "\r\n"), ("c =  ", "\r\n"), ("d=e", "\n"), ("=4", ""), ("1", "\n")];
        assert_eq!(decode(Encoding::QuotedPrintable, &lines), ("a=bc d=e\nA".into(), false));
        assert_eq!(decode(Encoding::QuotedPrintable, &[("x=4", "\n"), ("=zz", "\n")]), ("x=4\n=zz".into(), false));
    }

    #[test]
    fn the_last_ending_is_the_boundarys() {
        assert_eq!(
            decode(Encoding::Identity, &[("a", "\r\n"), ("", "\r\n"), ("b", "\n")]),
            ("a\r\n\r\nb".into(), true)
        );
    }
}
