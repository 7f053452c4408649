//! Any bytes as what two sides say over UDP: an answer is about bytes that were said, comes after the last datagram that may
//! be asked for, and is final.
#![no_main]

use dropgate::protocol::{Candidates, Datagrams, Direction, MOST_DATAGRAMS, Spoken, datagrams};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // a word before each datagram: its direction and its length
    let mut said: Vec<(Direction, &[u8])> = Vec::new();
    let mut rest = bytes;
    while let [high, low, behind @ ..] = rest {
        let direction = if high >> 7 == 0 { Direction::ToServer } else { Direction::ToClient };
        let length = usize::from(u16::from_be_bytes([high & 0x07, *low])).min(behind.len());
        let (datagram, behind) = behind.split_at(length);
        said.push((direction, datagram));
        rest = behind;
        if said.len() == MOST_DATAGRAMS {
            break;
        }
    }
    let mut candidates = Candidates::default();
    for count in 1..=said.len() {
        match datagrams(Datagrams { said: &said[..count] }, &mut candidates) {
            Spoken::Known(_, direction, evidence) => {
                let all: usize =
                    said[..count].iter().filter(|(way, _)| *way == direction).map(|(_, bytes)| bytes.len()).sum();
                assert!(evidence <= all, "evidence of {evidence} bytes, {all} were said");
                return;
            }
            Spoken::Unknown => return,
            Spoken::Pending => assert!(count < MOST_DATAGRAMS, "pending after the last datagram"),
        }
    }
});
