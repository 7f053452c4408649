//! Configurations for `trafgen` (Debian `netsniff-ng`).

use std::fmt::Write;

/// A configuration that sends these frames round and round.
pub fn config(frames: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for frame in frames {
        text.push('{');
        for byte in frame {
            // Writing to a string does not fail.
            let _ = write!(text, " 0x{byte:02x},");
        }
        text.push_str(" }\n");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_frame_is_a_line_of_bytes() {
        assert_eq!(super::config(&[vec![0, 255], vec![7]]), "{ 0x00, 0xff, }\n{ 0x07, }\n");
    }
}
