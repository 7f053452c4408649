//! The captures of the cases.

use std::net::Ipv6Addr;

use crate::{
    packets::{self, ACK, ARP, Ext, FIN, GRE, ICMP, ICMPV6, Ip, PSH, RST, SYN, TCP, UDP, ethernet, tcp, udp},
    pcap::{ETHERNET, Packet, every_ms, pcap, pcapng},
};

const CLIENT: &str = "10.10.0.5";
const SERVER: &str = "198.51.100.7";

/// One direction between two hosts.
fn ip(src: &str, dst: &str) -> Ip {
    Ip::from(src, dst)
}

/// A TCP connection: handshake, a request, an answer, the end.
fn connection(client: &str, server: &str, ports: (u16, u16), tags: &[u16]) -> Vec<Vec<u8>> {
    let (there, back) = (ip(client, server), ip(server, client));
    let (cport, sport) = ports;
    vec![
        there.frame(tags, TCP, &tcp(cport, sport, SYN, b"")),
        back.frame(tags, TCP, &tcp(sport, cport, SYN | ACK, b"")),
        there.frame(tags, TCP, &tcp(cport, sport, ACK, b"")),
        there.frame(tags, TCP, &tcp(cport, sport, PSH | ACK, b"GET / HTTP/1.1\r\n\r\n")),
        back.frame(tags, TCP, &tcp(sport, cport, PSH | ACK, b"HTTP/1.1 200 OK\r\n\r\n")),
        there.frame(tags, TCP, &tcp(cport, sport, FIN | ACK, b"")),
        back.frame(tags, TCP, &tcp(sport, cport, FIN | ACK, b"")),
        there.frame(tags, TCP, &tcp(cport, sport, ACK, b"")),
    ]
}

/// Datagrams in fragments, where they are tracked and inspected.
pub fn fragments() -> Vec<u8> {
    let there = || ip(CLIENT, SERVER);
    let query = [&[0x13, 0x57, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x03www\x07example\x04test\0\0\x01\0\x01"].concat();
    let parts = |id, bytes: &[u8]| -> Vec<Vec<u8>> {
        let cut = |from: usize| {
            let to = bytes.len().min(from + 16);
            there().fragment(from as u16, to < bytes.len(), id).frame(&[], UDP, &bytes[from..to])
        };
        (0..bytes.len()).step_by(16).map(cut).collect()
    };
    let in_order = |id, bytes: &[u8], order: [usize; 3]| order.map(|at| parts(id, bytes)[at].clone());
    let [asks, nonsense] = [(40_000, &query[..]), (40_001, &[0x55; 32][..])].map(|(port, said)| udp(port, 53, said));
    let mut frames = Vec::new();
    // DNS, last fragment first; and what is none, in order
    frames.extend(in_order(1, &asks, [2, 0, 1]));
    frames.extend(in_order(2, &nonsense, [0, 1, 2]));
    // one fragment over another
    let mut over = in_order(3, &udp(40_002, 53, &query), [0, 1, 2]).to_vec();
    over.insert(2, there().fragment(24, true, 3).frame(&[], UDP, &[0x55; 8]));
    frames.extend(over);
    // a copy, which is none; and a first fragment that is dropped, after one that waits for it
    frames.extend(in_order(4, &udp(40_003, 53, &query), [1, 1, 0]));
    frames.push(parts(4, &udp(40_003, 53, &query))[2].clone());
    frames.extend(in_order(5, &udp(40_004, 54, &query), [2, 0, 1]));
    // a datagram that is never complete hides nothing that comes behind its first fragment
    frames.push(parts(6, &udp(40_005, 53, &query))[0].clone());
    frames.push(there().frame(&[], UDP, &udp(40_005, 53, &[0x55; 32])));
    pcap(ETHERNET, &every_ms(frames))
}

/// A segment of a stream.
pub fn segment(ports: (u16, u16), flags: u8, (seq, ack): (u32, u32), payload: &[u8]) -> Vec<u8> {
    let mut segment = tcp(ports.0, ports.1, flags, payload);
    segment[4..8].copy_from_slice(&seq.to_be_bytes());
    segment[8..12].copy_from_slice(&ack.to_be_bytes());
    segment
}

/// A connection in which the client says something, in two segments of which the second comes first, and the server answers.
fn exchange(client: &str, server: &str, ports: (u16, u16), asks: (&[u8], &[u8]), answers: &[u8]) -> Vec<Vec<u8>> {
    let (there, back) = (ip(client, server), ip(server, client));
    let turned = (ports.1, ports.0);
    let (first, second) = asks;
    let middle = 101 + first.len() as u32;
    let end = middle + second.len() as u32;
    vec![
        there.frame(&[], TCP, &segment(ports, SYN, (100, 0), b"")),
        back.frame(&[], TCP, &segment(turned, SYN | ACK, (500, 101), b"")),
        there.frame(&[], TCP, &segment(ports, ACK, (101, 501), b"")),
        there.frame(&[], TCP, &segment(ports, PSH | ACK, (middle, 501), second)),
        there.frame(&[], TCP, &segment(ports, PSH | ACK, (101, 501), first)),
        back.frame(&[], TCP, &segment(turned, PSH | ACK, (501, end), answers)),
        there.frame(&[], TCP, &segment(ports, ACK, (end, 501 + answers.len() as u32), b"")),
        there.frame(&[], TCP, &segment(ports, PSH | ACK, (end, 501 + answers.len() as u32), b"more")),
    ]
}

/// A web site, SSH where one is expected, a call that STUN arranges, a segment whose predecessor never comes.
pub fn inspected() -> Vec<u8> {
    let mut frames = exchange(
        CLIENT,
        SERVER,
        (40_000, 80),
        (b"GET / HTTP/1.1\r\n", b"Host: a.example\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\n\r\n",
    );
    frames.extend(exchange(CLIENT, SERVER, (40_001, 80), (b"SSH-2.0-", b"client\r\n"), b"SSH-2.0-server\r\n"));
    let mut binding = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    binding.extend([7; 12]);
    let voice = |number: u8| [&[0x80, 0, 0, number, 0, 0, number, 0, 1, 2, 3, 4][..], &[0x55; 160]].concat();
    let call = ip(CLIENT, SERVER);
    frames.push(call.frame(&[], UDP, &udp(40_002, 3478, &binding)));
    frames.extend((1..=4).map(|number| call.frame(&[], UDP, &udp(40_002, 3478, &voice(number)))));
    let gap = exchange(CLIENT, SERVER, (40_003, 80), (b"GET /", b" HTTP/1.1\r\n"), b"");
    frames.extend(gap.into_iter().take(4));
    pcap(ETHERNET, &every_ms(frames))
}

/// What servers say to clients that were not captured: from the start of a connection, in the middle of one, in datagrams.
pub fn answers() -> Vec<u8> {
    let said = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let there = ip("192.0.2.7", "192.0.2.5");
    let answer = b"\x13\x57\x81\x80\0\x01\0\0\0\0\0\0\x03www\x07example\x04test\0\0\x01\0\x01";
    let frames = vec![
        there.frame(&[], TCP, &segment((80, 40_000), SYN | ACK, (500, 101), b"")),
        there.frame(&[], TCP, &segment((80, 40_000), PSH | ACK, (501, 101), said)),
        there.frame(&[], TCP, &segment((80, 40_001), PSH | ACK, (700, 900), said)),
        there.frame(&[], UDP, &udp(53, 40_002, answer)),
        there.frame(&[], UDP, &udp(53, 40_002, answer)),
        // no service has anything to do with it
        there.frame(&[], UDP, &udp(161, 40_003, answer)),
    ];
    pcap(ETHERNET, &every_ms(frames))
}

/// A web site on this host.
pub fn loopback() -> Vec<u8> {
    let asks: (&[u8], &[u8]) = (b"GET / HTTP/1.1\r\n", b"\r\n");
    pcap(ETHERNET, &every_ms(exchange("127.0.0.1", "127.0.0.1", (40_000, 80), asks, b"HTTP/1.1 200 OK\r\n\r\n")))
}

/// What a routing gateway sees of an office and a tagged zone.
pub fn route() -> Vec<u8> {
    let (there, back) = (ip(CLIENT, SERVER), ip(SERVER, CLIENT));
    let mut frames = connection(CLIENT, SERVER, (40_000, 80), &[]);
    let query = there.frame(&[], UDP, &udp(40_001, 53, b"a query."));
    frames.extend([
        query.clone(),
        back.frame(&[], UDP, &udp(53, 40_001, b"an answer")),
        back.frame(&[], UDP, &udp(53, 40_009, b"an answer")),
        there.frame(&[], TCP, &tcp(40_002, 8088, SYN, b"")),
        there.frame(&[], TCP, &tcp(40_002, 8088, ACK, b"")),
        back.frame(&[], TCP, &tcp(80, 40_003, SYN | ACK, b"")),
        back.frame(&[], TCP, &tcp(80, 40_003, RST, b"")),
        there.frame(&[], ICMP, &packets::icmp(8, 0, 7)),
        back.frame(&[], ICMP, &packets::icmp(0, 0, 7)),
        back.frame(&[], ICMP, &packets::icmp(0, 0, 8)),
        // a router on the way about the query, and about nothing
        ip("192.0.2.1", CLIENT).frame(&[], ICMP, &packets::icmp_error(3, 3, &query[14..])),
        ip("192.0.2.1", CLIENT).frame(&[], ICMP, &packets::icmp_error(11, 0, &there.packet(UDP, &udp(1, 2, b"")))),
        ip("192.0.2.1", CLIENT).frame(&[], ICMP, &packets::icmp_error(3, 3, &query[14..30])),
        ip("192.0.2.1", CLIENT).frame(&[], ICMP, &packets::icmp(5, 1, 0)),
        // an address that is not the office's, from hardware that is
        ip("10.10.1.5", SERVER).frame(&[], TCP, &tcp(1, 80, SYN, b"")),
        ip("203.0.113.1", CLIENT).frame(&[], TCP, &tcp(22, 1024, ACK, b"")),
    ]);
    // fragments: TCP tracked, UDP dropped, one whose first is missing
    let segment = tcp(40_004, 80, SYN, &[0; 12]);
    frames.extend([
        there.clone().fragment(0, true, 77).frame(&[], TCP, &segment),
        there.clone().fragment(32, false, 77).frame(&[], TCP, &[0; 16]),
        there.clone().fragment(32, false, 78).frame(&[], TCP, &[0; 16]),
        there.clone().fragment(0, true, 79).frame(&[], UDP, &udp(40_005, 53, &[0; 8])),
        there.clone().fragment(8, false, 80).frame(&[], TCP, &[0; 16]),
        there.clone().fragment(0, true, 81).frame(&[], TCP, &segment[..16]),
    ]);
    // VLANs: the zone's own, somebody else's, two tags, three
    let vlan = ip("10.20.0.8", SERVER);
    let syn = tcp(40_006, 443, SYN, b"");
    frames.extend([
        vlan.frame(&[20], TCP, &syn),
        vlan.frame(&[], TCP, &tcp(40_007, 443, SYN, b"")),
        vlan.frame(&[21], TCP, &syn),
        ip("10.30.0.8", SERVER).frame(&[100, 30], TCP, &syn),
        vlan.frame(&[0, 20, 20], TCP, &syn),
    ]);
    // what is no IP, or no honest one
    let arp = packets::arp(1, CLIENT.parse().unwrap(), "10.10.0.1".parse().unwrap());
    frames.extend([
        ethernet(&[], ARP, &arp),
        ethernet(&[], ARP, &arp[..20]),
        ethernet(&[], 0x88cc, &[0; 46]),
        ethernet(&[], 0x8864, &[0x11, 0, 0, 1, 0, 6, 0xc0, 0x21, 1, 1, 0, 4]),
        there.frame(&[], TCP, &tcp(1, 80, SYN | FIN, b"")),
        there.frame(&[], TCP, &tcp(0, 80, SYN, b"")),
        there.clone().ttl(0).frame(&[], TCP, &syn),
        there.clone().length(400).frame(&[], TCP, &syn),
        there.frame(&[], UDP, &packets::udp_length(1, 53, 30, b"query")),
        ip("127.0.0.1", SERVER).frame(&[], UDP, &udp(1, 53, b"")),
        ip(CLIENT, CLIENT).frame(&[], TCP, &syn),
        ip(CLIENT, "224.0.0.251").frame(&[], UDP, &udp(5353, 5353, b"")),
        ip("0.0.0.0", "255.255.255.255").frame(&[], UDP, &udp(68, 67, &[0; 240])),
        there.frame(&[], GRE, &[0; 8]),
    ]);
    frames.extend(six());
    pcap(ETHERNET, &every_ms(frames))
}

/// IPv6: a connection, neighbour discovery, a router where none is, extension headers.
fn six() -> Vec<Vec<u8>> {
    let (client, server) = ("2001:db8:10::5", "2001:db8:ffff::7");
    let mut frames = connection(client, server, (41_000, 443), &[]);
    let solicited = "2001:db8:10::1".parse::<Ipv6Addr>().unwrap();
    let there = ip(client, server);
    let syn = tcp(41_001, 443, SYN, b"");
    frames.extend([
        ip(client, "ff02::1:ff00:1").ttl(255).frame(&[], ICMPV6, &packets::neighbour(135, solicited)),
        ip(client, "ff02::1:ff00:1").ttl(64).frame(&[], ICMPV6, &packets::neighbour(135, solicited)),
        ip(client, "ff02::1").ttl(255).frame(&[], ICMPV6, &packets::router(134)),
        ip("fe80::5", "ff02::16").frame(&[], ICMPV6, &packets::listener(143)),
        there.clone().ext(&[Ext::HopByHop(0), Ext::Destination(0)]).frame(&[], TCP, &syn),
        there.clone().ext(&[Ext::Destination(0), Ext::HopByHop(0)]).frame(&[], TCP, &syn),
        there.clone().ext(&[Ext::Routing(0, 0)]).frame(&[], TCP, &syn),
        there.clone().ext(&[Ext::Fragment(0, false, 9)]).frame(&[], UDP, &udp(41_002, 53, b"query")),
        there.frame(&[], packets::NO_NEXT, b""),
    ]);
    frames
}

/// What a translating gateway sees on the inside, and from the outside.
pub fn masquerade() -> Vec<u8> {
    let mut frames = connection(CLIENT, SERVER, (40_000, 80), &[]);
    frames.extend([
        // to a published host, before and after translation
        ip("198.51.100.9", "203.0.113.1").frame(&[], TCP, &tcp(50_000, 80, SYN, b"")),
        ip("198.51.100.9", "10.20.0.8").frame(&[], TCP, &tcp(50_000, 8080, SYN, b"")),
        ip("10.20.0.8", "198.51.100.9").frame(&[], TCP, &tcp(8080, 50_000, SYN | ACK, b"")),
        ip("198.51.100.9", "10.20.0.8").frame(&[], TCP, &tcp(50_000, 22, SYN, b"")),
        ip("198.51.100.9", "203.0.113.1").frame(&[], TCP, &tcp(50_001, 22, SYN, b"")),
        // the gateway's own question, and its answer
        ip("203.0.113.1", SERVER).frame(&[], UDP, &udp(42_000, 53, b"query")),
        ip(SERVER, "203.0.113.1").frame(&[], UDP, &udp(53, 42_000, b"answer")),
        ip(SERVER, "203.0.113.1").frame(&[], UDP, &udp(53, 42_001, b"answer")),
        // merged by the capturing machine: larger than the kernel's test run of the egress program takes
        ip(CLIENT, SERVER).frame(&[], TCP, &tcp(40_010, 80, SYN, b"")),
        ip(SERVER, CLIENT).frame(&[], TCP, &tcp(80, 40_010, SYN | ACK, b"")),
        ip(SERVER, CLIENT).frame(&[], TCP, &tcp(80, 40_010, ACK, &[b'x'; 20_000])),
        ip(SERVER, CLIENT).frame(&[], TCP, &tcp(80, 40_011, ACK, &[b'x'; 20_000])),
    ]);
    let mut packets = every_ms(frames);
    // the same tuple after all has expired, and a clock that goes backwards
    let late = ip(SERVER, CLIENT).frame(&[], TCP, &tcp(80, 40_010, ACK, b"late"));
    packets.push(Packet { at: 3 * 3600 * 1_000_000, bytes: late.clone(), wire: None });
    packets.push(Packet { at: 0, bytes: late, wire: None });
    // the snap length has cut it: the rest is zeros, and the lengths agree
    let long = ip(CLIENT, SERVER).frame(&[], UDP, &udp(42_002, 53, &[b'x'; 1000]));
    packets.push(Packet { at: 0, wire: Some(long.len() as u32), bytes: long[..60].to_vec() });
    pcap(ETHERNET, &packets)
}

/// Addresses and VLANs that no policy knows.
pub fn anywhere() -> Vec<u8> {
    let mut frames = connection("192.0.2.5", "192.0.2.7", (40_000, 80), &[300]);
    frames.extend(connection("192.0.2.5", "192.0.2.7", (40_001, 8088), &[]));
    frames.extend([
        // in mid-stream the well-known port serves
        ip("192.0.2.7", "192.0.2.6").frame(&[], UDP, &udp(53, 40_002, b"answer")),
        ip("192.0.2.6", "192.0.2.7").frame(&[], UDP, &udp(40_002, 53, b"query")),
        ip("192.0.2.7", "192.0.2.6").frame(&[], UDP, &udp(53, 40_002, b"answer")),
        // a split handshake
        ip("192.0.2.5", "192.0.2.8").frame(&[7, 8], TCP, &tcp(40_003, 80, SYN, b"")),
        ip("192.0.2.8", "192.0.2.5").frame(&[7, 8], TCP, &tcp(80, 40_003, SYN, b"")),
        ip("192.0.2.5", "192.0.2.8").frame(&[7, 8], TCP, &tcp(40_003, 80, SYN | ACK, b"")),
        ip("192.0.2.8", "192.0.2.5").frame(&[7, 8], TCP, &tcp(80, 40_003, ACK, b"")),
        // link-local hosts
        ip("fe80::5", "fe80::7").frame(&[], TCP, &tcp(40_004, 80, SYN, b"")),
        ip("fe80::7", "fe80::5").frame(&[], TCP, &tcp(80, 40_004, SYN | ACK, b"")),
        ip("192.0.2.9", "192.0.2.7").frame(&[], ICMP, &packets::icmp(8, 0, 7)),
        ip("192.0.2.7", "192.0.2.9").frame(&[], ICMP, &packets::icmp(0, 0, 7)),
        ip("192.0.2.5", "192.0.2.7").frame(&[1, 2, 3], TCP, &tcp(40_005, 80, SYN, b"")),
    ]);
    pcap(ETHERNET, &every_ms(frames))
}

/// One packet in every link type that is read, and some that are not.
pub fn links() -> Vec<(&'static str, Vec<u8>)> {
    let packet = ip(CLIENT, SERVER).packet(TCP, &tcp(40_000, 80, SYN, b""));
    let six = ip("2001:db8:10::5", "2001:db8:ffff::7").packet(TCP, &tcp(40_000, 80, SYN, b""));
    let cooked = [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0, 8, 0][..], &packet].concat();
    let tagged = [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0, 0x81, 0, 0, 21, 8, 0][..], &packet].concat();
    let netlink = [&[0, 0, 3, 0x38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0; 20]].concat();
    let cooked2 = [&[0x86, 0xdd, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0][..], &six].concat();
    let many = [
        (1, ethernet(&[], packets::IPV4, &packet)),
        (101, packet.clone()),
        (12, six.clone()),
        (228, packet.clone()),
        (229, six.clone()),
        (113, cooked),
        (113, tagged),
        (113, netlink),
        (276, cooked2),
        (0, [&[2, 0, 0, 0][..], &packet].concat()),
        (0, [&[30, 0, 0, 0][..], &six].concat()),
        (108, [&[0, 0, 0, 2][..], &packet].concat()),
        (0, [&[7, 0, 0, 0][..], &packet].concat()),
        (127, vec![0; 60]),
        (1, vec![2; 13]),
        (1, vec![]),
    ];
    vec![("links.pcapng", pcapng(&many)), ("raw.pcap", pcap(101, &every_ms([packet, six])))]
}

/// A file that ends in the middle of its second packet.
pub fn cut_file() -> Vec<u8> {
    let mut file = pcap(ETHERNET, &every_ms(connection(CLIENT, SERVER, (40_000, 80), &[])));
    file.truncate(24 + 2 * 16 + 54 + 20);
    file
}

/// Packets of many shapes, some of them bent: `count` of them, the same in every run.
pub fn many(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    let hosts = [CLIENT, "10.10.0.6", "10.20.0.8", "203.0.113.1", SERVER, "224.0.0.1", "192.0.2.66"];
    let hosts6 = ["2001:db8:10::5", "2001:db8:ffff::7", "fe80::5", "ff02::1"];
    let ports = [53, 80, 443, 8088, 40_000, 40_001, 0];
    let frames = (0..count).map(|_| {
        let ends = if next(4) == 0 { ip(hosts6[next(4)], hosts6[next(4)]) } else { ip(hosts[next(7)], hosts[next(7)]) };
        let ends = if next(9) == 0 { ends.fragment(next(4) as u16 * 16, next(2) == 0, next(5) as u16) } else { ends };
        let tags: &[u16] = [&[][..], &[20], &[100, 30]][next(20).saturating_sub(17)];
        let (from, to) = (ports[next(7)], ports[next(7)]);
        let body = vec![0; next(8) * 8];
        let mut frame = match next(6) {
            0 | 1 => ends.frame(tags, TCP, &tcp(from, to, [SYN, SYN | ACK, ACK, FIN | ACK, RST, 0][next(6)], &body)),
            2 | 3 => ends.frame(tags, UDP, &udp(from, to, &body)),
            4 => ends.frame(tags, packets::icmp_of(ends.src), &packets::icmp(next(256) as u8, 0, next(4) as u16)),
            _ => ends.frame(tags, next(256) as u8, &body),
        };
        if next(5) == 0 {
            let at = 12 + next(frame.len() - 12);
            frame[at] = next(256) as u8;
        }
        if next(15) == 0 {
            frame.truncate(14 + next(frame.len() - 14));
        }
        frame
    });
    pcap(ETHERNET, &every_ms(frames))
}
