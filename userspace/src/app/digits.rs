//! Bytes in hexadecimal, as events and rules write them.

use std::fmt::Write;

/// `5b40`
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `5b:40`
pub fn colons(bytes: &[u8]) -> String {
    bytes.iter().enumerate().fold(String::with_capacity(3 * bytes.len()), |mut text, (at, byte)| {
        let _ = write!(text, "{}{byte:02x}", if at > 0 { ":" } else { "" });
        text
    })
}
