//! Any bytes as what a client and a proxy, or a server that may change to TLS, say on one flow: nothing panics, what is kept of
//! it is bounded, and a flow that has ended stays so.
#![no_main]

use std::sync::Arc;

use dropgate::{
    inspect::{Access, Answer, Beginning, Context, Judged, Peers, Rules, Talk, Target, Targets, judge},
    policy::model::{Expect, Inspection, Proxied, Reaction},
    protocol::Protocol,
};
use dropgate_abi::{hold::Held, policy::FIRST_ZONE};
use etherparse::PacketBuilder;

/// Allows even ports.
#[derive(Debug)]
struct Even;

impl Targets for Even {
    fn access(&self, _: u16, target: &Target) -> Access {
        if target.port % 2 == 0 { Access::Allowed { service: 2, inspected: true } } else { Access::Denied }
    }
}

/// What the first service may speak, by the first byte.
const SPOKEN: [Protocol; 8] = [
    Protocol::Http,
    Protocol::Socks,
    Protocol::Smtp,
    Protocol::Imap,
    Protocol::Pop3,
    Protocol::Ftp,
    Protocol::Ldap,
    Protocol::Postgresql,
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [spoken, second, said @ ..] = bytes else { return };
    let reaction = [Reaction::Alert, Reaction::Drop, Reaction::Reset][usize::from(*second) % 3];
    let inspection = Inspection {
        proxied: Some(reaction),
        mismatch: reaction,
        unknown: reaction,
        pending: reaction,
        ..Inspection::default()
    };
    let first = SPOKEN[usize::from(*spoken) % SPOKEN.len()];
    let any = vec![Protocol::Http, Protocol::Socks, Protocol::Tls];
    let expect = [(1, Expect::Only(vec![first])), (2, Expect::Only(any))].into_iter().collect();
    // whose servers are proxies, by the second byte
    let proxied = (second & 0x80 != 0).then_some((1, Proxied { reaction: Some(reaction) })).into_iter().collect();
    let rules = Rules { inspection, expect, proxied, targets: Some(Arc::new(Even)), ..Rules::default() };
    let peers = Peers::default();
    let (mut talk, mut judged) = (Talk::new(Beginning::Seen), Judged::default());
    let mut next = [1000u32, 5000];
    let mut sequence = 0;
    let mut ended = false;
    // handshakes included
    let mut uttered = 0;
    let mut packet = |out: bool, syn: bool, ack: bool, said: &[u8]| {
        let (mine, theirs) = (usize::from(!out), usize::from(out));
        let (from, to) = if out { ([10, 0, 0, 1], [203, 0, 113, 9]) } else { ([203, 0, 113, 9], [10, 0, 0, 1]) };
        let (sport, dport) = if out { (40_000, 3128) } else { (3128, 40_000) };
        let mut tcp = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 64).tcp(sport, dport, next[mine], 65_000);
        tcp = if syn { tcp.syn() } else { tcp };
        tcp = if ack { tcp.ack(next[theirs]) } else { tcp };
        let mut frame = Vec::new();
        tcp.write(&mut frame, said).expect("room");
        next[mine] = next[mine].wrapping_add(said.len() as u32 + u32::from(syn));
        let held = Held { service: 1, zone: FIRST_ZONE, sequence, direction: mine as u8, ..Held::default() };
        sequence += 1;
        let context = Context { rules: &rules, peers: &peers, full: false, now_ns: u64::from(sequence), unix_s: 0 };
        let answer = judge(&held, &frame, &mut talk, &context, &mut judged);
        assert!(!ended || matches!(answer, Answer::Drop(_)), "a flow that ended goes on");
        ended |= judged.condemned.is_some();
        uttered += frame.len();
        assert!(talk.footprint() <= (64 << 10) + 16 * uttered, "{} bytes for {uttered}", talk.footprint());
        if answer == Answer::Wait {
            talk.wait(0, frame.into());
            if talk.has_waited() {
                talk.let_go();
            }
        }
    };
    packet(true, true, false, &[]);
    packet(false, true, true, &[]);
    // each part begins with its direction and length
    let mut rest = said;
    while let [head, tail @ ..] = rest {
        let length = usize::from(head & 0x7f).min(tail.len());
        let (part, behind) = tail.split_at(length);
        packet(head & 0x80 == 0, false, true, part);
        rest = behind;
    }
});
