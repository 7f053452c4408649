//! Fragments, each shown to rules by itself.

use std::sync::Arc;

use dropgate_abi::{
    hold::{Held, part},
    reason::Reason,
};
use dropgate_signatures::engine::Ruleset;

use crate::{
    inspect::{Answer, Context, Judged, Peers, Rules, Signatures, judge_fragment},
    samples::rules,
};

const RULES: &str = r#"
alert ip any any -> any any (msg:"more"; fragbits:M; sid:1;)
alert udp any any -> any any (msg:"one of them"; flow:only_frag; sid:2;)
alert udp any any -> any 53 (msg:"a port"; flow:only_frag; sid:3;)
alert udp any any -> any any (msg:"what it carries"; content:"abc"; sid:4;)
alert tcp any any -> any any (msg:"another protocol"; fragbits:M; sid:5;)
drop ip any any -> any any (msg:"a later one"; fragoffset:>0; sid:6;)
"#;

fn asked() -> Rules {
    let signatures = Signatures { ruleset: Arc::new(Ruleset::compile(rules(RULES))), ..Signatures::default() };
    Rules { signatures: Some(signatures), ..Rules::default() }
}

/// A fragment of a datagram to port 53: IPv4, and IPv6 with its header.
fn frames(offset: u16, more: bool) -> [Vec<u8>; 2] {
    let body: &[u8] = if offset == 0 { b"\x9c\x40\0\x35\0\x18\0\0abcdefgh" } else { b"abcdefgh" };
    let head = |ethertype: [u8; 2]| [&[2; 6][..], &[4; 6], &ethertype].concat();
    let field = (offset / 8) | (u16::from(more) << 13);
    let total = (20 + body.len()) as u16;
    let mut four = head([8, 0]);
    four.extend([0x45, 0]);
    four.extend(total.to_be_bytes());
    four.extend([0, 7]);
    four.extend(field.to_be_bytes());
    four.extend([64, 17, 0, 0, 10, 10, 0, 5, 203, 0, 113, 9]);
    four.extend(body);
    let mut six = head([0x86, 0xdd]);
    six.extend([0x60, 0, 0, 0]);
    six.extend((8 + body.len() as u16).to_be_bytes());
    six.extend([44, 64]);
    six.extend([[0xfd; 16], [0x20; 16]].concat());
    six.extend([17, 0]);
    six.extend((offset | u16::from(more)).to_be_bytes());
    six.extend([0, 0, 0, 7]);
    six.extend(body);
    [four, six]
}

#[test]
fn each_by_itself() {
    let (rules, peers) = (asked(), Peers::default());
    for (offset, more, expected, answer) in [
        (0, true, &[1, 2][..], Answer::Release),
        (16, true, &[1, 2, 6], Answer::Drop(Reason::signature)),
        (24, false, &[2, 6], Answer::Drop(Reason::signature)),
    ] {
        for frame in frames(offset, more) {
            let context = Context { rules: &rules, peers: &peers, full: false, now_ns: 1, unix_s: 0 };
            let held = Held { part: if offset == 0 { part::FIRST } else { part::LATER }, ..Held::default() };
            let mut judged = Judged::default();
            assert_eq!(judge_fragment(&held, &frame, &context, &mut judged), answer, "{offset}");
            let mut found: Vec<u32> = judged.watched.alerts.iter().map(|alert| alert.rule.sid).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{offset} {more}");
        }
    }
}
