//! Datagrams whose fragments contradict each other, and a receiver with a real stack behind the gateway: it gets the datagram
//! that was judged, or none.
//!
//! Every trick is made in both families, towards a service that is inspected, one that is not, and with no inspection at all.
//! The bytes of a unit are those of one of two copies, which have the same checksum, so that the receiver's own checks let every mixture by.

use std::{collections::BTreeMap, fmt::Write as _, net::UdpSocket, time::Duration};

use dropgate_lab::{Kind, Lab, RawSocket, address::*};

use crate::{
    daemon::Daemon,
    frames::{Cable, ICMPV6, Path, UDP, sum},
    policies,
    traffic::works,
};

const LINES: &str = r#"
[[zone.office.egress]]
name = "looked-at"
udp = [7001]

[[zone.office.egress]]
name = "not-looked-at"
udp = [7002]
inspect = false

[fragments]
udp = "track"
icmp = "track"
other = "track"

[timeouts]
fragment = "2s"
"#;
const INSPECTED: &str = "\n[inspection]\nunknown = \"alert\"\n";

/// Units of eight bytes in each datagram; the first one is the UDP header.
const UNITS: u16 = 9;
/// TTL or hop limit with which a packet passes the program, and ends in the gateway's kernel.
const EXPIRES: u8 = 1;
/// How long what arrives is waited for.
const PATIENCE: Duration = Duration::from_millis(700);

/// Whose bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bytes {
    A,
    B,
}
use Bytes::{A, B};

/// A fragment: units from `at` to before `to`.
#[derive(Clone, Copy, Debug)]
struct Part {
    at: u16,
    to: u16,
    more: bool,
    copy: Bytes,
    /// It ends behind the program, before the receiver.
    expires: bool,
    /// What it names as the protocol of its datagram.
    protocol: u8,
    /// A datagram of its own, with the same identification.
    atomic: bool,
}

/// Units that more come behind.
const fn part(copy: Bytes, at: u16, to: u16) -> Part {
    Part { at, to, more: true, copy, expires: false, protocol: UDP, atomic: false }
}

/// Units that none come behind.
const fn end(copy: Bytes, at: u16, to: u16) -> Part {
    Part { more: false, ..part(copy, at, to) }
}

const fn expires(part: Part) -> Part {
    Part { expires: true, ..part }
}

/// What the receiver gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gets {
    /// The datagram of the first copy.
    Legal,
    /// Nothing.
    Nothing,
    /// One of the two, where they are inspected; where they are not, what the receiver makes of them.
    One,
    /// That datagram or nothing: the inspector compares bytes, the programs places; a fragment that comes before its first one
    /// waits for it in the inspector alone.
    Either,
}
use Gets::{Either, Legal, Nothing, One};

struct Trick {
    name: &'static str,
    source: &'static str,
    parts: &'static [Part],
    gets: Gets,
    six: bool,
}

const fn trick(name: &'static str, source: &'static str, gets: Gets, parts: &'static [Part]) -> Trick {
    Trick { name, source, parts, gets, six: false }
}

const TRICKS: &[Trick] = &[
    trick("in order", "RFC 791", Legal, &[part(A, 0, 3), part(A, 3, 6), end(A, 6, 9)]),
    trick(
        "eight bytes each",
        "fragroute, frag-1",
        Legal,
        &[
            part(A, 0, 1),
            part(A, 1, 2),
            part(A, 2, 3),
            part(A, 3, 4),
            part(A, 4, 5),
            part(A, 5, 6),
            part(A, 6, 7),
            part(A, 7, 8),
            end(A, 8, 9),
        ],
    ),
    trick(
        "out of order behind the first",
        "fragroute, frag-2",
        Legal,
        &[part(A, 0, 2), part(A, 5, 7), part(A, 2, 5), end(A, 7, 9)],
    ),
    trick(
        "the last one second",
        "fragroute, frag-6",
        Legal,
        &[part(A, 0, 2), end(A, 7, 9), part(A, 2, 5), part(A, 5, 7)],
    ),
    trick("backwards", "fragroute, frag-5", Either, &[end(A, 6, 9), part(A, 3, 6), part(A, 0, 3)]),
    trick("one twice", "fragroute, frag-3", Legal, &[part(A, 0, 3), part(A, 3, 6), part(A, 3, 6), end(A, 6, 9)]),
    trick(
        "all twice",
        "fragroute, frag-4",
        Either,
        &[part(A, 0, 3), part(A, 0, 3), part(A, 3, 6), part(A, 3, 6), end(A, 6, 9), end(A, 6, 9)],
    ),
    trick(
        "one twice, other bytes behind",
        "Ptacek and Newsham 1998",
        Either,
        &[part(A, 0, 3), part(A, 3, 6), part(B, 3, 6), end(A, 6, 9)],
    ),
    trick(
        "the first twice, other bytes behind",
        "Ptacek and Newsham 1998",
        Either,
        &[part(A, 0, 3), part(B, 0, 3), end(A, 3, 9)],
    ),
    trick(
        "the last twice, other bytes behind",
        "Ptacek and Newsham 1998",
        Either,
        &[part(A, 0, 3), end(A, 6, 9), end(B, 6, 9), part(A, 3, 6)],
    ),
    trick(
        "over the end of the one before",
        "fragroute, frag-7-unix",
        Nothing,
        &[part(A, 0, 4), part(B, 3, 6), end(A, 6, 9)],
    ),
    trick(
        "over the beginning of the one behind",
        "fragroute, frag-7-win",
        Nothing,
        &[part(A, 0, 3), end(A, 5, 9), part(B, 3, 6)],
    ),
    trick("inside", "teardrop 1997", Nothing, &[part(A, 0, 6), end(B, 3, 5), end(A, 6, 9)]),
    trick(
        "inside, with more to come",
        "newtear 1998",
        Nothing,
        &[part(A, 0, 3), part(A, 3, 7), part(B, 4, 5), end(A, 7, 9)],
    ),
    trick("around", "nestea 1998", Nothing, &[part(A, 0, 3), part(A, 4, 5), part(B, 3, 6), end(A, 6, 9)]),
    trick("around all", "syndrop 1998", Nothing, &[part(A, 0, 3), part(A, 3, 6), part(B, 1, 8), end(A, 6, 9)]),
    trick(
        "the same end, begins earlier",
        "Novak 2005",
        Nothing,
        &[part(A, 0, 3), part(A, 4, 6), part(B, 3, 6), end(A, 6, 9)],
    ),
    trick(
        "the same beginning, ends later",
        "Novak 2005",
        Nothing,
        &[part(A, 0, 3), part(A, 3, 5), part(B, 3, 6), end(A, 6, 9)],
    ),
    trick(
        "the same beginning, ends earlier",
        "Novak 2005",
        Nothing,
        &[part(A, 0, 3), part(A, 3, 6), part(B, 3, 5), end(A, 6, 9)],
    ),
    trick(
        "the same end, begins later",
        "Novak 2005",
        Nothing,
        &[part(A, 0, 3), part(A, 3, 6), part(B, 4, 6), end(A, 6, 9)],
    ),
    trick(
        "the pattern of Shankar and Paxson",
        "Shankar and Paxson 2003",
        Nothing,
        &[part(A, 0, 3), part(A, 4, 6), part(A, 6, 8), part(B, 1, 5), part(B, 6, 8), end(A, 8, 9)],
    ),
    trick("over the first one's header", "RFC 3128", Nothing, &[part(A, 0, 3), part(B, 1, 3), end(A, 3, 9)]),
    trick(
        "a second header in front",
        "RFC 3128",
        Nothing,
        &[part(A, 0, 3), part(A, 3, 6), part(B, 0, 1), end(A, 6, 9)],
    ),
    trick(
        "two ends, the second earlier",
        "RFC 5722",
        Nothing,
        &[part(A, 0, 3), end(A, 6, 9), end(B, 3, 6), part(A, 3, 6)],
    ),
    trick("two ends, the second later", "RFC 5722", Nothing, &[part(A, 0, 3), end(A, 3, 6), end(B, 6, 9)]),
    trick("behind the end", "RFC 5722", Nothing, &[part(A, 0, 3), end(A, 6, 9), part(B, 9, 12), part(A, 3, 6)]),
    trick(
        "the end takes back that more comes",
        "RFC 5722",
        Nothing,
        &[part(A, 0, 3), part(A, 3, 6), end(B, 3, 6), end(A, 6, 9)],
    ),
    trick("more behind the end", "RFC 5722", Nothing, &[part(A, 0, 3), end(A, 6, 9), part(B, 6, 9), part(A, 3, 6)]),
    trick("only the first and the last", "rose 2004", Nothing, &[part(A, 0, 3), end(A, 6, 9)]),
    trick(
        "the middle is missing for ever",
        "boink 1998",
        Nothing,
        &[part(A, 0, 1), part(A, 2, 3), part(A, 4, 5), end(A, 8, 9)],
    ),
    trick("no end", "jolt2 2000", Nothing, &[part(A, 0, 3), part(A, 3, 6), part(A, 6, 9)]),
    trick("no beginning", "jolt2 2000", Nothing, &[part(A, 3, 6), end(A, 6, 9)]),
    trick(
        "longer than a packet can be",
        "ping of death 1996",
        Nothing,
        &[part(A, 0, 3), part(A, 3, 6), end(B, 8188, 8195)],
    ),
    trick(
        "one that expires, then another",
        "Ptacek and Newsham 1998",
        Nothing,
        &[part(A, 0, 3), expires(part(B, 3, 6)), part(A, 3, 6), end(A, 6, 9)],
    ),
    trick(
        "the end expires, then another",
        "Ptacek and Newsham 1998",
        Nothing,
        &[part(A, 0, 3), part(A, 3, 6), expires(end(A, 6, 9)), end(B, 6, 9)],
    ),
    trick(
        "it expires, and another begins again",
        "Ptacek and Newsham 1998",
        One,
        &[part(A, 0, 3), expires(end(A, 3, 9)), part(B, 0, 3), end(B, 3, 9)],
    ),
    Trick {
        six: true,
        ..trick(
            "another protocol in the second",
            "RFC 8200, 4.5",
            Legal,
            &[part(A, 0, 3), Part { protocol: ICMPV6, ..part(A, 3, 6) }, end(A, 6, 9)],
        )
    },
    Trick {
        six: true,
        ..trick(
            "another protocol in one that overlaps",
            "RFC 8200, 4.5",
            Nothing,
            &[part(A, 0, 3), Part { protocol: 47, ..part(B, 2, 6) }, part(A, 3, 6), end(A, 6, 9)],
        )
    },
    Trick {
        six: true,
        ..trick(
            "an atomic one of the same identification",
            "RFC 6946",
            Legal,
            &[part(A, 0, 3), Part { atomic: true, ..end(B, 0, 9) }, part(A, 3, 6), end(A, 6, 9)],
        )
    },
];

impl Part {
    fn packet(&self, path: &Path, id: u16) -> Vec<u8> {
        let bytes: Vec<u8> = (self.at..self.to).flat_map(|at| unit(path, self.copy, at)).collect();
        let mut packet = path.fragment(id, self.protocol, self.at, self.more, &bytes);
        if self.expires {
            if path.from.is_ipv4() {
                (packet[8], packet[10], packet[11]) = (EXPIRES, 0, 0);
                let sum = sum(&packet[..20]).to_be_bytes();
                packet[10..12].copy_from_slice(&sum);
            } else {
                packet[7] = EXPIRES;
            }
        }
        packet
    }
}

/// A unit of a datagram of a copy.
fn unit(path: &Path, copy: Bytes, at: u16) -> [u8; 8] {
    let words = match copy {
        A => [0x4141, 0x4242],
        B => [0x4242, 0x4141],
    };
    let bytes = [words[0], at, words[1], !at].map(u16::to_be_bytes).concat();
    let mut unit = [0; 8];
    unit.copy_from_slice(&bytes);
    if at == 0 {
        let words = [path.ports.0, path.ports.1, UNITS * 8, 0];
        unit.copy_from_slice(&words.map(u16::to_be_bytes).concat());
        let rest = (1..UNITS).flat_map(|at| self::unit(path, A, at));
        let whole: Vec<u8> = unit.iter().copied().chain(rest).collect();
        unit[6..].copy_from_slice(&path.transport_sum(UDP, &whole).to_be_bytes());
    }
    unit
}

/// What a receiver reads of the datagram of a copy.
fn whole(path: &Path, copy: Bytes) -> Vec<u8> {
    (1..UNITS).flat_map(|at| unit(path, copy, at)).collect()
}

/// What a receiver reads that believes the first copy of each unit.
fn first_copies(path: &Path, trick: &Trick) -> Vec<u8> {
    let copy = |at: u16| {
        trick.parts.iter().find(|part| !part.atomic && (part.at..part.to).contains(&at)).map(|part| part.copy)
    };
    (1..UNITS).flat_map(|at| unit(path, copy(at).unwrap_or(A), at)).collect()
}

/// Makes every trick through a gateway of this kind. What went wrong.
fn run(kind: Kind, inspected: bool) -> String {
    let lab = Lab::gateway(kind).unwrap();
    for server in [SERVER, SERVER6] {
        works(&lab.office, &format!("ping -c 1 -W 3 {server}"));
    }
    let lines = if inspected { format!("{LINES}{INSPECTED}") } else { LINES.replace("inspect = false\n", "") };
    let daemon = Daemon::start(&lab, &policies::office(kind, &lines));
    let (raw, cable) = (RawSocket::open(&lab.office, "eth0").unwrap(), Cable::new(&lab, &lab.office, "lan0"));
    let mut wrong = String::new();
    for (from, to) in [(OFFICE, SERVER), (OFFICE6, SERVER6)] {
        for service in [7001, 7002] {
            let socket = lab.servers.enter(|| UdpSocket::bind((to, service)).unwrap()).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let tricks: Vec<&Trick> = TRICKS.iter().filter(|trick| !trick.six || to == SERVER6).collect();
            // each from a port of its own, as a datagram of its own
            let path = |at: usize| Path::new(from, to, (20_000 + service + at as u16, service));
            for (at, trick) in tricks.iter().enumerate() {
                let id = 1000 + service % 10 * 100 + at as u16;
                for part in trick.parts {
                    raw.send(&cable.frame(&part.packet(&path(at), id))).unwrap();
                    // no faster than fragments leave the gateway, whichever way they take through it
                    std::thread::sleep(Duration::from_millis(4));
                }
            }
            let mut got: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
            let mut bytes = vec![0; 70_000];
            // masquerading keeps the port where it can
            while let Ok((length, sender)) = socket.recv_from(&mut bytes) {
                got.entry(sender.port()).or_default().push(bytes[..length].to_vec());
            }
            for (at, trick) in tricks.iter().enumerate() {
                let path = path(at);
                let own = got.remove(&path.ports.0).unwrap_or_default();
                // of each unit the first copy, as the programs saw them; or another datagram, from its beginning
                let first = first_copies(&path, trick);
                let known = |got: &Vec<u8>| *got == first || [A, B].iter().any(|copy| *got == whole(&path, *copy));
                let legal = own.contains(&first);
                let nothing = own.is_empty();
                // what expires does so behind the kernel that puts datagrams together, where one does
                let together = kind == Kind::Masquerade && trick.parts.iter().any(|part| part.expires);
                // which takes an atomic one for a part of the other (nf_defrag_ipv6)
                let atomic = kind == Kind::Masquerade && trick.parts.iter().any(|part| part.atomic);
                let as_said = match trick.gets {
                    Legal if atomic => nothing || legal,
                    Legal => legal,
                    Nothing => nothing || together && own == [first.clone()],
                    Either => nothing || own == [first.clone()],
                    One => service == 7002 || !inspected || own.iter().all(known),
                };
                if !as_said {
                    let texts: Vec<String> = own.iter().map(|got| got.escape_ascii().to_string()).collect();
                    writeln!(
                        wrong,
                        "{} ({}), {to} {service}: {:?}, got {texts:?}",
                        trick.name, trick.source, trick.gets
                    )
                    .unwrap();
                }
            }
            assert!(got.is_empty(), "from nowhere: {got:?}");
        }
    }
    if !wrong.is_empty() {
        writeln!(wrong, "{}", daemon.status()["counters"]["reasons"]).unwrap();
    }
    wrong
}

#[test]
fn the_judged_datagram_or_none_routing() {
    let wrong = run(Kind::Route, false);
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_judged_datagram_or_none_inspected() {
    let wrong = run(Kind::Route, true);
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The kernel puts together what came in before it translates. What it gets is what was judged.
#[test]
fn the_judged_datagram_or_none_masquerading() {
    for inspected in [false, true] {
        let wrong = run(Kind::Masquerade, inspected);
        assert!(wrong.is_empty(), "inspected: {inspected}\n{wrong}");
    }
}
