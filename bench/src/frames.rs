//! Frames of 60 bytes, the shortest on a wire without its checksum.

use std::net::Ipv4Addr;

use etherparse::PacketBuilder;

/// Bytes of every frame.
pub const LEN: usize = 60;

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
