//! RTP over TCP, in the frames of RFC 4571: two bytes of length before each packet.

use crate::protocol::{Answer, Datagrams, Direction, Stream, datagram::rtp};

/// Shortest packet: RTP's header without further sources (RFC 3550 section 5.1).
const SHORTEST: usize = 12;
/// Longest packet of a sender that keeps to what a datagram may carry.
const LONGEST: usize = 1500;
/// Packets that are looked at.
const MOST: usize = 16;

/// As over UDP, by packets that agree with each other.
pub fn detect(said: Stream<'_>) -> Answer {
    let mut packets = Vec::new();
    for (direction, mut rest) in [(Direction::ToServer, said.to_server), (Direction::ToClient, said.to_client)] {
        if rest.first().is_some_and(|high| usize::from(*high) > LONGEST >> 8) {
            return Answer::No;
        }
        while packets.len() < MOST
            && let Some((length, behind)) = rest.split_first_chunk()
        {
            let length = usize::from(u16::from_be_bytes(*length));
            if !(SHORTEST..=LONGEST).contains(&length) || !rtp::may_begin(behind) {
                return Answer::No;
            }
            let Some((packet, next)) = behind.split_at_checked(length) else { break };
            packets.push((direction, packet));
            rest = next;
        }
    }
    match rtp::framed(Datagrams { said: &packets }) {
        // the frames' own bytes come on top
        Answer::Yes(direction, bytes) => Answer::Yes(direction, bytes + 2),
        answer => answer,
    }
}
