//! Base64 as traffic has it: what is not of its alphabet is dealt with, and what there is is decoded.

/// The value of a character.
const fn value(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    } as u32)
}

/// Decodes what is of the alphabet; white space in between is left out, anything else ends it.
pub fn decode(bytes: &[u8]) -> Vec<u8> {
    values(bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).map_while(|byte| value(*byte)))
}

/// Decodes what is of the alphabet and leaves out everything else, up to padding (RFC 2045).
pub fn decode_rfc2045(bytes: &[u8]) -> Vec<u8> {
    values(bytes.iter().take_while(|byte| **byte != b'=').filter_map(|byte| value(*byte)))
}

/// Decodes all of it, or nothing.
pub fn decode_strict(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = &bytes[..bytes.len() - padding];
    (padding <= 2 && body.iter().all(|byte| value(*byte).is_some())).then(|| decode(body))
}

fn values(values: impl Iterator<Item = u32>) -> Vec<u8> {
    let (mut out, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for value in values {
        held = held << 6 | value;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways() {
        assert_eq!(decode(b"SGVs\r\nbG8="), b"Hello");
        assert_eq!(decode(b"SGVsbG8!AAAA"), b"Hello");
        assert_eq!(decode_rfc2045(b"SG!Vs*bG8=AAAA"), b"Hello");
        assert_eq!(decode_strict(b"SGVsbG8="), Some(b"Hello".to_vec()));
        assert_eq!(decode_strict(b"SGVsbG8"), None);
        assert_eq!(decode_strict(b"SG!sbG8="), None);
        assert_eq!(decode(b""), b"");
    }
}
