//! What must hold for fragments of any kind. Shared with the fuzz target.

use std::time::Duration;

use dropgate::defragment::{Defragment, Limits};
use dropgate_abi::{hold::Held, hold::part};

const LIFETIME: Duration = Duration::from_secs(2);

/// Takes bytes from the front; zero when there are no more.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A frame: of one of a few datagrams in either family, of one of a few protocols, or any bytes.
fn frame(script: &mut Script<'_>) -> Vec<u8> {
    let kind = script.byte();
    if kind & 0xf0 == 0xf0 {
        let length = usize::from(script.byte());
        return script.take(length).to_vec();
    }
    let (v6, id, more) = (kind & 1 != 0, kind >> 1 & 1, kind & 4 != 0);
    let protocol = [17, 6, 47, 58][usize::from(kind >> 3 & 3)];
    let far = script.byte();
    // mostly near the beginning, at times near the longest there is
    let offset = if far & 0xe0 == 0xe0 { 0xfff8 - u16::from(far & 0x1f) * 8 } else { u16::from(far & 0x1f) * 8 };
    let length = usize::from(script.byte()) % 72;
    let mut payload = script.take(length).to_vec();
    payload.resize(length, far);
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((length as u16 + 8).to_be_bytes());
        frame.extend([44, 64]);
        frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
        frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        frame.extend([protocol, 0]);
        frame.extend((offset | u16::from(more)).to_be_bytes());
        frame.extend([0, 0, 0, id]);
    } else {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((length as u16 + 20).to_be_bytes());
        frame.extend([0, id]);
        frame.extend(((offset / 8) | u16::from(more) << 13).to_be_bytes());
        frame.extend([64, protocol, 0, 0, 10, 0, 0, 5, 10, 0, 0, 7]);
    }
    frame.extend(payload);
    frame
}

/// Reads bytes as limits and fragments, and plays them.
pub fn check(bytes: &[u8]) {
    let mut script = Script(bytes);
    let limits = Limits {
        datagrams: 1 + usize::from(script.byte() % 6),
        fragments: 2 + usize::from(script.byte() % 30),
        bytes: 4096 + 64 * usize::from(script.byte()),
        source_bytes: 2048 + 64 * usize::from(script.byte()),
        ..Limits::default()
    };
    let mut all = Defragment::new(limits.clone());
    let (mut now_ns, mut taken, mut released, mut ended) = (0, 0, 0, Vec::new());
    while !script.0.is_empty() {
        let (steps, what) = (script.byte(), script.byte());
        now_ns += u64::from(steps & 3) * 300_000_000;
        let held = Held { part: what % 4, generation: u32::from(what >> 7), ..Held::default() };
        let frame = frame(&mut script);
        taken += 1;
        if let Some(whole) = all.take((&held, &frame, (&frame).into()), 0, (now_ns, LIFETIME), &mut ended) {
            released += whole.fragments.len();
            let mut behind = 0;
            for fragment in &whole.fragments {
                assert_eq!(fragment.offset, behind, "one behind the other");
                behind = fragment.end();
            }
            let carried: Vec<u8> = whole.fragments.iter().flat_map(|fragment| fragment.carries().to_vec()).collect();
            assert!(whole.frame.ends_with(&carried), "what they carry");
            assert!(dropgate_xdp::read(&whole.frame).1.is_ok(), "a packet");
            assert!(matches!(whole.held.part, part::FIRST | part::BESIDE), "held as a first one");
        }
        assert!(all.len() <= limits.datagrams && all.bytes() <= limits.bytes, "bounded");
        assert_eq!(taken, released + ended.len() + all.fragments(), "each is with us, released, or ended");
    }
    all.expire(now_ns + LIFETIME.as_nanos() as u64, &mut ended);
    assert_eq!((all.len(), all.bytes()), (0, 0), "all are forgotten");
    assert_eq!(taken, released + ended.len(), "each is released or ends, once");
}
