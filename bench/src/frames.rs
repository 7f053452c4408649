//! Frames of 60 bytes, the shortest on a wire without its checksum.

use std::net::Ipv4Addr;

use etherparse::PacketBuilder;

/// Bytes of every frame.
pub const LEN: usize = 60;
/// The client of a load, its ports, and the servers: as in `allowed.cfg`.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 5);
pub const FLOWS: u16 = 64;
pub const PORT: u16 = 20_000;
const SERVERS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// Where the payload of a datagram begins, and where its checksum stands.
pub const PAYLOAD: usize = 14 + 20 + 8;
const CHECKSUM: usize = 14 + 20 + 6;

/// Flags of a TCP segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segment {
    Syn,
    SynAck,
    Ack,
}

/// A TCP segment without payload, padded.
pub fn tcp(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), segment: Segment) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(source.0.octets(), destination.0.octets(), 64)
        .tcp(source.1, destination.1, 1, 64000);
    let builder = match segment {
        Segment::Syn => builder.syn(),
        Segment::SynAck => builder.syn().ack(1),
        Segment::Ack => builder.ack(1),
    };
    let mut frame = Vec::with_capacity(LEN);
    // writing to a vector does not fail
    let _ = builder.write(&mut frame, &[]);
    frame.resize(LEN, 0);
    frame
}

/// A datagram to a port of the servers. IPv4 lets its checksum be left out (RFC 768). `ends`: the frame's destination and source.
pub fn udp([to, from]: [[u8; 6]; 2], source: (Ipv4Addr, u16), port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(from, to).ipv4(source.0.octets(), SERVERS.octets(), 64).udp(source.1, port);
    let mut frame = Vec::with_capacity(LEN);
    // writing to a vector does not fail
    let _ = builder.write(&mut frame, &[0; LEN - PAYLOAD]);
    frame[CHECKSUM..CHECKSUM + 2].fill(0);
    frame
}
