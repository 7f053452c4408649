//! Bytes in hexadecimal, as events and rules write them.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// `5b40`
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    bytes.iter().for_each(|byte| push(&mut text, *byte));
    text
}

/// `5b:40`
pub fn colons(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(3 * bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 {
            text.push(':');
        }
        push(&mut text, *byte);
    }
    text
}

/// Both digits. Formatting would cost more than the digest that is written so.
fn push(text: &mut String, byte: u8) {
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_digits() {
        assert_eq!(super::hex(&[0x5b, 0x40, 0, 0xff]), "5b4000ff");
        assert_eq!(super::colons(&[0x5b, 0x40, 0x0a]), "5b:40:0a");
        assert_eq!(super::colons(&[]), "");
    }
}
