//! What is done to a buffer before anything is looked for in it.

use std::io::Read;

use flate2::read::{GzDecoder, ZlibDecoder};
use md5::Digest;

use super::verify::{Expression, decode, decode_rfc2045, decode_strict};
use crate::rule::{Base64Mode, Transform};

/// A transform, prepared.
#[derive(Clone, Debug)]
pub struct Prepared {
    transform: Transform,
    expression: Option<Expression>,
}

impl Prepared {
    /// Prepares transforms.
    pub fn all(transforms: &[Transform]) -> Box<[Self]> {
        let prepare = |transform: &Transform| Self {
            transform: transform.clone(),
            expression: if let Transform::Pcre(pattern) = transform { Some(Expression::plain(pattern)) } else { None },
        };
        transforms.iter().map(prepare).collect()
    }
}

/// Applies transforms, one after the other.
pub fn apply(transforms: &[Prepared], bytes: &[u8]) -> Vec<u8> {
    transforms.iter().fold(bytes.to_vec(), one)
}

fn one(mut bytes: Vec<u8>, prepared: &Prepared) -> Vec<u8> {
    match &prepared.transform {
        Transform::DotPrefix => {
            bytes.insert(0, b'.');
            bytes
        }
        Transform::StripWhitespace => {
            bytes.retain(|byte| !is_space(*byte));
            bytes
        }
        Transform::CompressWhitespace => {
            let mut before = false;
            bytes.retain(|byte| !(std::mem::replace(&mut before, is_space(*byte)) && is_space(*byte)));
            bytes
        }
        Transform::ToLowercase => bytes.to_ascii_lowercase(),
        Transform::ToUppercase => bytes.to_ascii_uppercase(),
        Transform::ToMd5 => md5::Md5::digest(&bytes).to_vec(),
        Transform::ToSha1 => sha1::Sha1::digest(&bytes).to_vec(),
        Transform::ToSha256 => sha2::Sha256::digest(&bytes).to_vec(),
        Transform::UrlDecode => url_decode(&bytes),
        Transform::HeaderLowercase => header_lowercase(bytes),
        Transform::StripPseudoHeaders => strip_pseudo_headers(&bytes),
        Transform::Domain => psl::domain(&bytes).map_or_else(Vec::new, |domain| domain.as_bytes().to_vec()),
        Transform::Tld => psl::suffix(&bytes).map_or_else(Vec::new, |suffix| suffix.as_bytes().to_vec()),
        Transform::FromBase64 { bytes: most, offset, mode } => from_base64(&bytes, (*most, *offset), *mode),
        Transform::Xor(key) if key.is_empty() => bytes,
        Transform::Xor(key) => bytes.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect(),
        Transform::Pcre(_) => {
            let found = prepared.expression.as_ref().and_then(|expression| expression.capture(&bytes));
            found.map_or(bytes.clone(), |range| bytes[range].to_vec())
        }
        Transform::Gunzip(most) => unpack(GzDecoder::new(&*bytes), *most),
        Transform::ZlibDeflate(most) => unpack(ZlibDecoder::new(&*bytes), *most),
        Transform::Subslice(offset, length) => subslice(&bytes, *offset, *length).to_vec(),
    }
}

const fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// `%41` is `A`, `+` is a blank; what is neither stays.
fn url_decode(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(*byte),
        }
        at += 1;
    }
    out
}

/// Names of headers, up to the colon of each line; a colon that begins the line is part of the name.
fn header_lowercase(mut bytes: Vec<u8>) -> Vec<u8> {
    for line in bytes.split_mut(|byte| *byte == b'\n') {
        let end = line.iter().skip(1).position(|byte| *byte == b':').map_or(line.len(), |at| at + 1);
        line[..end].make_ascii_lowercase();
    }
    bytes
}

/// Lines of headers without those that begin with a colon, as HTTP/2 has them.
fn strip_pseudo_headers(bytes: &[u8]) -> Vec<u8> {
    bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.first() != Some(&b':')).flatten().copied().collect()
}

fn from_base64(bytes: &[u8], (most, offset): (u32, u32), mode: Base64Mode) -> Vec<u8> {
    let encoded = bytes.get(offset as usize..).unwrap_or_default();
    let encoded = if most == 0 { encoded } else { &encoded[..encoded.len().min(most as usize)] };
    match mode {
        Base64Mode::Rfc4648 => decode(encoded),
        Base64Mode::Rfc2045 => decode_rfc2045(encoded),
        Base64Mode::Strict => decode_strict(encoded).unwrap_or_default(),
    }
}

/// What can be unpacked, up to so many bytes.
fn unpack(packed: impl Read, most: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut packed, mut chunk) = (packed.take(u64::from(most)), [0; 4096]);
    while let Ok(count @ 1..) = packed.read(&mut chunk) {
        out.extend_from_slice(&chunk[..count]);
    }
    out
}

/// A part: offset and length, 0 for all there is. Negative ones count from the end.
fn subslice(bytes: &[u8], offset: i32, length: i32) -> &[u8] {
    let len = bytes.len();
    let place = |number: i32| {
        let by = number.unsigned_abs() as usize;
        if number < 0 { len.saturating_sub(by) } else { by.min(len) }
    };
    let start = place(offset);
    let end = match length {
        0 => len,
        1.. => start.saturating_add(length.unsigned_abs() as usize).min(len),
        _ => place(length),
    };
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text(transforms: &[Transform], bytes: &[u8]) -> String {
        String::from_utf8_lossy(&apply(&Prepared::all(transforms), bytes)).into_owned()
    }

    #[test]
    fn one_by_one() {
        assert_eq!(text(&[Transform::DotPrefix], b"example.com"), ".example.com");
        assert_eq!(text(&[Transform::StripWhitespace], b" a\tb \x0bc\n"), "abc");
        assert_eq!(text(&[Transform::CompressWhitespace], b"a  b\t\tc d"), "a b\tc d");
        assert_eq!(text(&[Transform::ToUppercase], b"aBc"), "ABC");
        assert_eq!(text(&[Transform::UrlDecode], b"a%41+%4z%"), "aA %4z%");
        assert_eq!(text(&[Transform::HeaderLowercase], b"Host: A\nX-Y:Z\n:Path: B"), "host: A\nx-y:Z\n:path: B");
        assert_eq!(text(&[Transform::StripPseudoHeaders], b":method: GET\r\nhost: a\r\n"), "host: a\r\n");
        assert_eq!(text(&[Transform::Domain], b"www.example.co.uk"), "example.co.uk");
        assert_eq!(text(&[Transform::Tld], b"www.example.co.uk"), "co.uk");
        assert_eq!(text(&[Transform::Xor((*b" ").into())], b"AbC"), "aBc");
        assert_eq!(text(&[Transform::Pcre(r"a(\d+)".into())], b"xa123y"), "123");
        assert_eq!(text(&[Transform::Pcre("b(.)".into())], b"xyz"), "xyz");
    }

    #[test]
    fn digests() {
        let md5 = apply(&Prepared::all(&[Transform::ToMd5]), b"abc");
        assert_eq!(md5[..4], [0x90, 0x01, 0x50, 0x98]);
        assert_eq!(apply(&Prepared::all(&[Transform::ToSha1]), b"abc")[..4], [0xa9, 0x99, 0x3e, 0x36]);
        assert_eq!(apply(&Prepared::all(&[Transform::ToSha256]), b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn one_after_the_other() {
        let base64 = Transform::FromBase64 { bytes: 0, offset: 2, mode: Base64Mode::Rfc4648 };
        assert_eq!(text(&[base64, Transform::ToLowercase], b"::SGVsbG8="), "hello");
    }

    #[test]
    fn what_is_packed() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&[b'a'; 10_000]).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(text(&[Transform::Gunzip(5000)], &packed), "a".repeat(5000));
        assert_eq!(text(&[Transform::Gunzip(5000)], b"no gzip"), "");
        // what there is of it
        assert!(!text(&[Transform::Gunzip(50_000)], &packed[..packed.len() - 9]).is_empty());
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"text").unwrap();
        assert_eq!(text(&[Transform::ZlibDeflate(100)], &encoder.finish().unwrap()), "text");
    }

    #[test]
    fn parts() {
        assert_eq!(subslice(b"abcdef", 2, 0), b"cdef");
        assert_eq!(subslice(b"abcdef", 2, 2), b"cd");
        assert_eq!(subslice(b"abcdef", -2, 0), b"ef");
        assert_eq!(subslice(b"abcdef", 1, -1), b"bcde");
        assert_eq!(subslice(b"abcdef", 9, 1), b"");
        assert_eq!(subslice(b"abcdef", 4, -4), b"");
    }
}
