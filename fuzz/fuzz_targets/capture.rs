//! Any bytes as a capture file.
#![no_main]

use std::io::Cursor;

use dropgate::{
    capture::{Capture, PADDED_MAX, Record},
    view::{peek::peek, sides::Sides},
};

/// Headers that are made for link types without an Ethernet one.
const MADE: usize = 14;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // what is packed may be large; the reader behind the unpacking is the same
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    let Ok(capture) = Capture::new(Cursor::new(bytes.to_vec())) else { return };
    let mut sides = Sides::default();
    let mut last = 0;
    for record in capture {
        let number = match record {
            Ok(Record::Packet(packet)) => {
                assert!(packet.frame.len() <= PADDED_MAX.max(bytes.len() + MADE));
                assert!(packet.captured_len as usize <= bytes.len());
                sides.sender(&peek(&packet.frame));
                packet.number
            }
            Ok(Record::Skipped(skipped)) => skipped.number,
            Err(_) => return,
        };
        assert_eq!(number, last + 1);
        last = number;
    }
});
