//! Segments as read from packets.

use std::net::IpAddr;

use etherparse::{PacketBuilder, TcpOptionElement};

use super::*;
use crate::reassembly::Checksum;

const ENDS: [(&str, &str); 2] = [("192.0.2.1", "198.51.100.7"), ("2001:db8::1", "2001:db8::2")];

/// A segment between these addresses, with a right checksum.
fn packet(source: IpAddr, destination: IpAddr, options: &[TcpOptionElement], payload: &[u8]) -> Vec<u8> {
    let (builder, skip) = match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (PacketBuilder::ipv4(from.octets(), to.octets(), 64), 20),
        (IpAddr::V6(from), IpAddr::V6(to)) => (PacketBuilder::ipv6(from.octets(), to.octets(), 64), 40),
        _ => unreachable!("one family"),
    };
    let builder = builder.tcp(40_000, 443, 0x0102_0304, 500).ack(0x0506_0708).psh().options(options).unwrap();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes.split_off(skip)
}

#[test]
fn header_is_read() {
    let options = [
        TcpOptionElement::MaximumSegmentSize(1460),
        TcpOptionElement::Noop,
        TcpOptionElement::WindowScale(7),
        TcpOptionElement::Timestamp(0x0a0b_0c0d, 9),
    ];
    for (source, destination) in ENDS {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        for payload in [&b"abc"[..], b"abcd", b"", b"a"] {
            let tcp = packet(source, destination, &options, payload);
            let segment = Segment::read(ToServer, source, destination, &tcp, Checksum::Verify).unwrap();
            assert_eq!((segment.seq, segment.ack), (0x0102_0304, 0x0506_0708));
            assert_eq!((segment.flags, segment.window, segment.urgent), (ACK | PSH, 500, 0));
            assert_eq!(segment.options, Options { scale: Some(7), timestamp: Some(0x0a0b_0c0d), echo: Some(9) });
            assert_eq!(segment.payload, payload);
        }
    }
}

#[test]
fn wrong_checksum_is_dropped() {
    for (source, destination) in ENDS {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let tcp = packet(source, destination, &[], b"abc");
        for bit in (0..tcp.len() * 8).filter(|bit| bit / 8 != 12) {
            let mut tcp = tcp.clone();
            tcp[bit / 8] ^= 1 << (bit % 8);
            let read = Segment::read(ToServer, source, destination, &tcp, Checksum::Verify);
            assert_eq!(read.err(), Some(Reason::tcp_checksum), "bit {bit}");
            assert!(Segment::read(ToServer, source, destination, &tcp, Checksum::Ignore).is_ok());
        }
    }
}

#[test]
fn cut_short_anywhere() {
    for (source, destination) in ENDS {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let tcp = packet(source, destination, &[TcpOptionElement::Timestamp(1, 2)], b"abc");
        for length in 0..tcp.len() {
            let expected = match length {
                0..20 => Reason::tcp_truncated,
                20..32 => Reason::tcp_bad_header_length,
                _ => Reason::tcp_checksum,
            };
            assert_eq!(
                Segment::read(ToServer, source, destination, &tcp[..length], Checksum::Verify).err(),
                Some(expected)
            );
        }
        for offset in 0..5 {
            let mut tcp = tcp.clone();
            tcp[12] = offset << 4;
            let read = Segment::read(ToServer, source, destination, &tcp, Checksum::Verify);
            assert_eq!(read.err(), Some(Reason::tcp_bad_header_length));
        }
    }
}

#[test]
fn options_that_make_no_sense() {
    for options in
        [&[3, 0, 0, 0][..], &[3, 1, 7, 0], &[3], &[8, 10, 1, 2, 3], &[3, 4, 1, 1], &[0, 3, 3, 7], &[255, 255]]
    {
        assert_eq!(Options::read(options), Options::default(), "{options:?}");
    }
    assert_eq!(Options::read(&[1, 1, 5, 2, 3, 3, 9]), Options { scale: Some(9), ..Options::default() });
}
