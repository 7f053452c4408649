//! Conversations of every protocol, made here.

use super::{
    super::{Direction, Direction::*, Protocol},
    quic::tests as quic,
};

/// A conversation, and its bytes that decide: (datagram, byte).
pub struct Sample {
    pub name: &'static str,
    pub protocol: Protocol,
    pub said: Vec<(Direction, Vec<u8>)>,
    pub decisive: Vec<(usize, usize)>,
}

fn sample(
    name: &'static str,
    protocol: Protocol,
    said: Vec<(Direction, Vec<u8>)>,
    decisive: &[(usize, usize)],
) -> Sample {
    Sample { name, protocol, said, decisive: decisive.to_vec() }
}

fn one(name: &'static str, protocol: Protocol, said: impl Into<Vec<u8>>, decisive: &[usize]) -> Sample {
    sample(name, protocol, vec![(ToServer, said.into())], &decisive.iter().map(|&at| (0, at)).collect::<Vec<_>>())
}

/// Bytes that look like noise, the same each time, none of them zero.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 | 1
        })
        .collect()
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A BER element.
fn ber(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let mut element = vec![tag];
    if contents.len() < 128 {
        element.push(contents.len() as u8);
    } else {
        element.extend([0x82, (contents.len() >> 8) as u8, contents.len() as u8]);
    }
    element.extend(contents);
    element
}

fn names() -> Vec<Sample> {
    let question = b"\x03www\x07example\x03com\x00\x00\x01\x00\x01";
    let query = join(&[b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", question]);
    let answer = join(&[
        b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x01",
        question,
        b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01",
        b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00",
    ]);
    let multicast = join(&[
        b"\x00\x00\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00",
        b"\x08_printer\x04_tcp\x05local\x00\x00\x0c\x80\x01\x00\x00\x11\x94\x00\x07\x04desk\xc0\x0c",
    ]);
    let llmnr = b"\x07\xc3\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04wpad\x00\x00\x1c\x00\x01";
    let inverse =
        b"\x12\x34\x08\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\xc0\x00\x02\x01";
    vec![
        one("dns inverse query", Protocol::Dns, *inverse, &[7, 12, 16]),
        one("dns query", Protocol::Dns, query, &[4, 12]),
        one("dns answer", Protocol::Dns, answer, &[5, 12]),
        one("multicast dns", Protocol::Dns, multicast, &[7, 12]),
        one("llmnr", Protocol::Dns, llmnr, &[5, 12]),
    ]
}

fn management() -> Vec<Sample> {
    let get = ber(
        0x30,
        &[
            b"\x02\x01\x01\x04\x06public",
            &ber(
                0xa0,
                &[
                    b"\x02\x04\x12\x34\x56\x78\x02\x01\x00\x02\x01\x00",
                    &ber(0x30, &[&ber(0x30, &[b"\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00"])]),
                ],
            ),
        ],
    );
    let trap = ber(
        0x30,
        &[
            b"\x02\x01\x00\x04\x06public",
            &ber(0xa4, &[b"\x06\x07\x2b\x06\x01\x04\x01\x09\x01\x40\x04\x0a\x00\x00\x01\x02\x01\x03\x02\x01\x00\x43\x02\x10\x20", &ber(0x30, &[])]),
        ],
    );
    let three = ber(
        0x30,
        &[
            b"\x02\x01\x03",
            &ber(0x30, &[b"\x02\x02\x4a\x69\x02\x03\x00\xff\xe3\x04\x01\x04\x02\x01\x03"]),
            &ber(0x04, &[&ber(0x30, &[b"\x04\x00\x02\x01\x00\x02\x01\x00\x04\x00\x04\x00\x04\x00"])]),
            &ber(0x30, &[b"\x04\x00\x04\x00", &ber(0xa0, &[b"\x02\x02\x01\x02\x02\x01\x00\x02\x01\x00\x30\x00"])]),
        ],
    );
    let mut lease = vec![0; 236];
    lease[..8].copy_from_slice(b"\x01\x01\x06\x00\x39\x03\xf3\x26");
    lease.extend(b"\x63\x82\x53\x63\x35\x01\x01\x3d\x07\x01\x02\x00\x00\x00\x00\x01\x37\x03\x01\x03\x06\xff");
    let lease6 = b"\x01\x10\x08\x74\x00\x01\x00\x0a\x00\x03\x00\x01\x02\x00\x00\x00\x00\x01\x00\x06\x00\x02\x00\x17\x00\x08\x00\x02\x00\x00";
    let ticket = ber(
        0x6a,
        &[&ber(
            0x30,
            &[
                b"\xa1\x03\x02\x01\x05\xa2\x03\x02\x01\x0a",
                &ber(0xa4, &[&ber(0x30, &[b"\xa0\x07\x03\x05\x00\x50\x80\x00\x00"])]),
            ],
        )],
    );
    let refusal = ber(0x7e, &[&ber(0x30, &[b"\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x1e\xa6\x03\x02\x01\x19"])]);
    let ping = ber(
        0x30,
        &[
            b"\x02\x01\x01",
            &ber(
                0x63,
                &[
                    b"\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass",
                    b"\x30\x00",
                ],
            ),
        ],
    );
    vec![
        one("snmp 2c", Protocol::Snmp, get, &[0, 1, 2, 4, 13]),
        one("snmp trap", Protocol::Snmp, trap, &[0, 1, 13]),
        one("snmp 3", Protocol::Snmp, three, &[0, 1, 4, 5]),
        one("dhcp", Protocol::Dhcp, lease, &[236, 237, 238, 239]),
        one("dhcp 6", Protocol::Dhcp, lease6, &[5, 7, 9]),
        one("kerberos request", Protocol::Kerberos, ticket, &[0, 1, 2, 3, 4, 8, 13]),
        one("kerberos error", Protocol::Kerberos, refusal, &[0, 1, 2, 3, 8, 13]),
        one("ldap ping", Protocol::Ldap, ping, &[0, 1, 5, 9]),
    ]
}

fn files_and_calls() -> Vec<Sample> {
    let transfer =
        vec![(ToClient, join(&[b"\x00\x03\x00\x01", &[b'x'; 512]])), (ToServer, b"\x00\x04\x00\x01".to_vec())];
    let invite = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP host.example.com;branch=z9hG4bK776\r\n\r\n";
    let ok = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP host.example.com\r\nContent-Length: 0\r\n\r\n";
    let voice = |sequence: u16| {
        join(&[
            b"\x80\x00",
            &sequence.to_be_bytes(),
            &(u32::from(sequence) * 160).to_be_bytes(),
            b"\x5a\x5b\x5c\x5d",
            &noise(160, 5),
        ])
    };
    let calls = vec![(ToServer, voice(700)), (ToServer, voice(701)), (ToServer, voice(703))];
    let reports = join(&[
        b"\x80\xc8\x00\x06\x5a\x5b\x5c\x5d",
        &noise(20, 3),
        b"\x81\xca\x00\x03\x5a\x5b\x5c\x5d\x01\x02ab\x00\x00\x00\x00",
    ]);
    let stun = join(&[b"\x00\x01\x00\x0c\x21\x12\xa4\x42", &noise(12, 1), b"\x00\x25\x00\x00\x80\x22\x00\x03abc\x00"]);
    let unpadded = join(&[b"\x00\x03\x00\x06\x21\x12\xa4\x42", &noise(12, 1), b"\x40\x00\x00\x02\x01\x00"]);
    let classic = vec![
        (ToServer, join(&[b"\x00\x01\x00\x00", &noise(16, 2)])),
        (ToClient, join(&[b"\x01\x01\x00\x0c", &noise(16, 2), b"\x00\x01\x00\x08\x00\x01\x12\x34\xc0\x00\x02\x01"])),
    ];
    vec![
        one(
            "tftp request",
            Protocol::Tftp,
            *b"\x00\x01boot/kernel\x00octet\x00blksize\x001428\x00",
            &[0, 1, 2, 14, 15],
        ),
        sample("tftp transfer", Protocol::Tftp, transfer, &[(0, 1), (1, 1), (1, 3)]),
        one("sip request", Protocol::Sip, invite, &[0, 6, 27, 33]),
        one("sip answer", Protocol::Sip, ok, &[0, 4, 8]),
        sample("rtp", Protocol::Rtp, calls, &[(0, 0), (1, 2), (2, 8)].map(|(at, byte)| (at, byte))),
        one("rtcp", Protocol::Rtp, reports, &[0, 2, 28, 30]),
        one("stun", Protocol::Stun, stun, &[3, 4, 5, 6, 7]),
        one("stun without padding", Protocol::Stun, unpadded, &[3, 4, 5, 6, 7]),
        sample("classic stun", Protocol::Stun, classic, &[(0, 3), (1, 2), (1, 3)]),
    ]
}

fn clocks_and_caches() -> Vec<Sample> {
    let mut asked = vec![0; 48];
    asked[0] = 0x23;
    asked[40..].copy_from_slice(&noise(8, 9));
    let mut answered = b"\x24\x02\x06\xe8\x00\x00\x04\x00\x00\x00\x02\x00\xc0\x00\x02\x01".to_vec();
    for _ in 0..4 {
        answered.extend(b"\xe8\x90\x00\x00\x11\x22\x33\x44");
    }
    let mut list = b"\x17\x00\x03\x2a\x00\x00\x00\x00".to_vec();
    list.resize(192, 0);
    vec![
        one("ntp request", Protocol::Ntp, asked, &[0, 1, 4, 8]),
        one("ntp answer", Protocol::Ntp, answered, &[1, 4, 8, 40]),
        one("ntp control", Protocol::Ntp, *b"\x16\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00", &[0, 10]),
        one("ntp monlist", Protocol::Ntp, list, &[2, 6, 100]),
        one("memcached get", Protocol::Memcached, *b"\x12\x34\x00\x00\x00\x01\x00\x00get key\r\n", &[5, 6, 8, 11]),
        one("memcached answer", Protocol::Memcached, *b"\x12\x34\x00\x00\x00\x01\x00\x00VALUE key 0 1\r\nx\r\nEND\r\n", &[6, 8]),
        one("memcached binary", Protocol::Memcached, *b"\x12\x34\x00\x00\x00\x01\x00\x00\x80\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00key", &[8, 10, 16]),
    ]
}

fn tunnels() -> Vec<Sample> {
    let initiation = join(&[b"\x01\x00\x00\x00", &noise(128, 4), &[0; 16]]);
    let sure = join(&[b"\x01\x00\x00\x00", &noise(144, 4)]);
    let response = join(&[b"\x02\x00\x00\x00", &noise(4, 6), &noise(4, 4), &noise(80, 7)]);
    let transport =
        |counter: u8| join(&[b"\x04\x00\x00\x00", &noise(4, 8), &[counter], &[0; 7], &noise(32, u32::from(counter))]);
    let session = noise(8, 10);
    let reset = join(&[b"\x38", &session, &[0; 5]]);
    let next = join(&[b"\x28", &session, b"\x01\x00\x00\x00\x00", &noise(8, 11)]);
    let late = (1..=3)
        .map(|at| {
            let head = [b"\x01\x00\x12\x34\x00\x00\x10", &[at][..], &noise(8, 16), b"\x5c", &[at], b"\x66\x00"];
            (ToServer, join(&[&join(&head), &noise(30, 19)]))
        })
        .collect();
    let reset_answer = join(&[b"\x40", &noise(8, 11), b"\x01\x00\x00\x00\x00", &session, &[0; 4]]);
    let signed = join(&[b"\x38", &session, &noise(20, 12), b"\x00\x00\x00\x01\x66\x00\x00\x00", &[0; 5]]);
    let signed_answer = join(&[
        b"\x40",
        &noise(8, 11),
        &noise(20, 13),
        b"\x00\x00\x00\x01\x66\x00\x00\x02\x01\x00\x00\x00\x00",
        &session,
        &[0; 4],
    ]);
    let crypt = join(&[b"\x38", &session, b"\x00\x00\x00\x01\x66\x00\x00\x00", &noise(37, 14)]);
    let crypt_answer = join(&[b"\x40", &noise(8, 11), b"\x00\x00\x00\x01\x66\x00\x00\x02", &noise(49, 15)]);
    let utp = |kind: u8, sequence: u8, acknowledged: u8| {
        join(&[&[kind, 0, 0x12, 0x34], &noise(8, 16), b"\x00\x00\xf0\x00\x00", &[sequence], b"\x00", &[acknowledged]])
    };
    let mut hello =
        join(&[b"\xfe\xfd", &noise(32, 17), b"\x00\x00\x00\x04\xc0\x2b\xc0\x2f\x01\x00\x00\x04\x00\x17\x00\x00"]);
    let length = hello.len() as u8;
    hello = join(&[
        b"\x16\xfe\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        &[length + 12],
        b"\x01\x00\x00",
        &[length],
        b"\x00\x00\x00\x00\x00\x00\x00",
        &[length],
        &hello,
    ]);
    let sealed =
        |number: u8| join(&[b"\x17\xfe\xfd\x00\x01\x00\x00\x00\x00\x00", &[number], b"\x00\x20", &noise(32, 18)]);
    let frames = quic::frame(0, &quic::bytes(quic::HELLO));
    vec![
        one("wireguard", Protocol::Wireguard, initiation, &[0, 1, 2, 3]),
        sample(
            "wireguard with a cookie",
            Protocol::Wireguard,
            vec![(ToServer, sure), (ToClient, response)],
            &[(0, 0), (1, 1), (1, 8)],
        ),
        sample(
            "wireguard late",
            Protocol::Wireguard,
            vec![(ToServer, transport(1)), (ToServer, transport(2))],
            &[(0, 1), (1, 4)],
        ),
        sample(
            "openvpn",
            Protocol::Openvpn,
            vec![(ToServer, reset.clone()), (ToClient, reset_answer)],
            &[(0, 0), (0, 9), (1, 0), (1, 14)],
        ),
        sample(
            "openvpn of one side",
            Protocol::Openvpn,
            vec![(ToServer, reset.clone()), (ToServer, next)],
            &[(0, 0), (1, 0), (1, 1)],
        ),
        sample("utp late", Protocol::Bittorrent, late, &[(0, 0), (1, 0), (2, 3)]),
        sample(
            "openvpn signed",
            Protocol::Openvpn,
            vec![(ToServer, signed), (ToClient, signed_answer)],
            &[(0, 0), (0, 37), (1, 0), (1, 33), (1, 42)],
        ),
        sample(
            "openvpn encrypted",
            Protocol::Openvpn,
            vec![(ToServer, crypt), (ToClient, crypt_answer)],
            &[(0, 0), (0, 10), (1, 0), (1, 10)],
        ),
        one(
            "bittorrent table",
            Protocol::Bittorrent,
            *b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
            &[0, 1, 54, 55],
        ),
        one(
            "bittorrent tracker",
            Protocol::Bittorrent,
            *b"\x00\x00\x04\x17\x27\x10\x19\x80\x00\x00\x00\x00\x12\x34\x56\x78",
            &[2, 3, 4, 5, 6, 7],
        ),
        sample(
            "utp",
            Protocol::Bittorrent,
            vec![(ToServer, utp(0x41, 1, 0)), (ToClient, utp(0x21, 9, 1))],
            &[(0, 0), (0, 2), (1, 3), (1, 19)],
        ),
        one("dtls", Protocol::Dtls, hello, &[0, 1, 11, 13, 25]),
        one("dtls late", Protocol::Dtls, sealed(5), &[0, 1, 11]),
        one("quic 1", Protocol::Quic, quic::initial(1, &quic::ID, &[], 2, &frames), &[0, 1, 4, 5, 40, 1199]),
        one("quic 2", Protocol::Quic, quic::initial(0x6b33_43cf, &quic::ID, &[], 2, &frames), &[0, 1, 4, 5, 40, 1199]),
        one(
            "quic draft 29",
            Protocol::Quic,
            quic::initial(0xff00_001d, &quic::ID, &[], 2, &frames),
            &[0, 1, 4, 5, 40, 1199],
        ),
    ]
}

pub fn all() -> Vec<Sample> {
    [names(), management(), files_and_calls(), clocks_and_caches(), tunnels()].into_iter().flatten().collect()
}
