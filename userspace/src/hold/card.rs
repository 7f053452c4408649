//! What hosts leave to their network card, where there is none: on veth, and from guests of this machine.

use crate::{
    inspect::Packet,
    policy::model::protocol::{TCP, UDP},
    reassembly::{completed, partial},
};

/// Writes the checksum that a sender has left to its card. A packet that comes in by a real wire has its own already, and one
/// that has not is taken by its receiver as it was inspected.
pub fn complete(frame: &mut [u8]) {
    if let Some((at, sum)) = missing(frame)
        && let Some(field) = frame.get_mut(at..at + 2)
    {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

/// Where the checksum belongs, and what it is, if it was left to a card.
fn missing(frame: &[u8]) -> Option<(usize, u16)> {
    let packet = Packet::read(frame)?;
    let field = match packet.walk.protocol {
        TCP => 16,
        UDP => 6,
        _ => return None,
    };
    let transport = packet.transport();
    let written = u16::from_be_bytes(*transport.get(field..)?.first_chunk()?);
    let left = partial(packet.walk.protocol, packet.source(), packet.destination(), transport.len());
    if written != left {
        return None;
    }
    let sum = match completed(transport) {
        // of a datagram it would say that there is none (RFC 768)
        0 if packet.walk.protocol == UDP => 0xffff,
        sum => sum,
    };
    Some((usize::from(packet.walk.l4) + field, sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn frames() -> Vec<(Vec<u8>, usize)> {
        let (v4, v6) = (([10, 10, 0, 5], [203, 0, 113, 9]), ([0xfd; 16], [0x20; 16]));
        let link = || PacketBuilder::ethernet2([2; 6], [4; 6]);
        let four = || link().ipv4(v4.0, v4.1, 64);
        let six = || link().ipv6(v6.0, v6.1, 64);
        let mut frames = vec![
            (Vec::new(), 14 + 20 + 16),
            (Vec::new(), 14 + 20 + 6),
            (Vec::new(), 14 + 40 + 16),
            (Vec::new(), 14 + 40 + 6),
        ];
        four().tcp(40_000, 80, 1000, 8192).ack(7).write(&mut frames[0].0, b"GET / HTTP/1.1").unwrap();
        four().udp(40_000, 53).write(&mut frames[1].0, b"question!").unwrap();
        six().tcp(40_000, 80, 1000, 8192).ack(7).write(&mut frames[2].0, b"odd").unwrap();
        six().udp(40_000, 53).write(&mut frames[3].0, b"question").unwrap();
        frames
    }

    #[test]
    fn what_the_card_would_have_written() {
        for (right, at) in frames() {
            let packet = Packet::read(&right).unwrap();
            let left = partial(packet.walk.protocol, packet.source(), packet.destination(), packet.transport().len());
            let mut frame = right.clone();
            frame[at..at + 2].copy_from_slice(&left.to_be_bytes());
            assert_ne!(frame, right);
            complete(&mut frame);
            assert_eq!(frame, right);
            complete(&mut frame);
            assert_eq!(frame, right, "what is right stays so");
        }
    }

    #[test]
    fn what_is_wrong_stays_so() {
        for (right, at) in frames() {
            let mut frame = right.clone();
            frame[at] ^= 0x5a;
            let wrong = frame.clone();
            complete(&mut frame);
            assert_eq!(frame, wrong);
        }
        let mut none = frames()[1].0.clone();
        none[40..42].fill(0);
        complete(&mut none);
        assert_eq!(none[40..42], [0, 0], "a datagram without one");
    }
}
