//! Any segmentation, order, duplication and overlap, with losses behind the device and with forged segments before it: each
//! receiver has a beginning of what was inspected, and without forgeries, in the end, all of it.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    receiver::{Prefers, Receiver},
    *,
};
use crate::reassembly::{
    Ahead,
    flag::{FIN, RST},
};

const WINDOW: u16 = 300;

/// Something that comes along the wire.
#[derive(Clone, Debug)]
struct Event {
    direction: Direction,
    kind: Kind,
    /// Whether it reaches its receiver, when it is let through.
    arrives: bool,
    /// How far its acknowledgement is behind.
    late: u32,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A piece of the true stream, with the FIN if it reaches the end.
    Piece { at: Index, length: usize },
    /// Only an acknowledgement.
    Acknowledge,
    /// Some other bytes there.
    Forged { at: Index, bytes: Vec<u8>, fin: bool },
    /// A few other bytes at a distance from what is expected.
    Near { distance: i32, bytes: Vec<u8> },
    /// At a distance from what is expected.
    Reset { distance: i32 },
    /// Far from anything.
    Astray { seq: u32, bytes: Vec<u8> },
    /// Acknowledges anything.
    Acknowledges { ack: u32, bytes: Vec<u8> },
    /// A SYN with data or without, or an answer to one that was never sent.
    Syn { seq: u32, bytes: Vec<u8>, ack: bool },
}

fn honest() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Kind::Piece { at, length }),
        2 => Just(Kind::Acknowledge),
    ]
}

fn hostile() -> impl Strategy<Value = Kind> {
    let bytes = || vec(any::<u8>(), 0..30);
    prop_oneof![
        8 => honest(),
        3 => (any::<Index>(), bytes(), any::<bool>()).prop_map(|(at, bytes, fin)| Kind::Forged { at, bytes, fin }),
        3 => (-3..4_i32, vec(any::<u8>(), 1..4)).prop_map(|(distance, bytes)| Kind::Near { distance, bytes }),
        1 => prop_oneof![Just(0), -50..400_i32].prop_map(|distance| Kind::Reset { distance }),
        1 => (any::<u32>(), bytes()).prop_map(|(seq, bytes)| Kind::Astray { seq, bytes }),
        1 => (any::<u32>(), bytes()).prop_map(|(ack, bytes)| Kind::Acknowledges { ack, bytes }),
        1 => (any::<u32>(), bytes(), any::<bool>()).prop_map(|(seq, bytes, ack)| Kind::Syn { seq, bytes, ack }),
    ]
}

fn events(kinds: impl Strategy<Value = Kind>) -> impl Strategy<Value = Vec<Event>> {
    let direction = prop_oneof![Just(ToServer), Just(ToClient)];
    let event = (direction, kinds, prop::bool::weighted(0.8), prop_oneof![3 => Just(0), 1 => 0..20_u32])
        .prop_map(|(direction, kind, arrives, late)| Event { direction, kind, arrives, late });
    vec(event, 0..120)
}

fn limits() -> impl Strategy<Value = Limits> {
    let ahead = prop_oneof![Just(Ahead::Hold), Just(Ahead::Release)];
    (ahead, 40..400_usize, 0..100_usize, 20..200_usize, 1..10_usize).prop_map(
        |(ahead, unacknowledged, acknowledged, ahead_bytes, ahead_packets)| Limits {
            unacknowledged,
            acknowledged,
            ahead_bytes,
            ahead_packets,
            ahead,
            adopt: false,
            ..Limits::default()
        },
    )
}

fn initial() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), u32::MAX - 300..=u32::MAX, (1_u32 << 31) - 300..1 << 31]
}

/// A packet on its way.
#[derive(Clone, Debug)]
struct Packet {
    direction: Direction,
    flags: u8,
    seq: u32,
    ack: u32,
    bytes: Vec<u8>,
    arrives: bool,
}

/// Two ends with the device between them.
struct World {
    wire: Wire,
    streams: [Vec<u8>; 2],
    initial: [u32; 2],
    /// By the direction that they receive; of each the one that prefers the first copy, and the one that prefers the last.
    receivers: [[Receiver; 2]; 2],
    /// Packets that the device holds.
    held: HashMap<u32, Packet>,
}

impl World {
    fn new(limits: &Limits, streams: [Vec<u8>; 2], initial: [u32; 2]) -> Self {
        let receiver =
            |initial| [Prefers::First, Prefers::Last].map(|prefers| Receiver::new(prefers, initial, u32::from(WINDOW)));
        let mut wire = Wire::open_with(limits, initial[0], initial[1]);
        wire.window = WINDOW;
        Self { wire, streams, initial, receivers: initial.map(receiver), held: HashMap::new() }
    }

    /// What the end that gets this direction acknowledges: what both kinds of receiver have.
    fn expected(&self, direction: Direction) -> u32 {
        let [first, last] = &self.receivers[direction as usize];
        if first.stream.len() <= last.stream.len() { first.expects() } else { last.expects() }
    }

    fn number(&self, direction: Direction, at: usize) -> u32 {
        self.initial[direction as usize].wrapping_add(1 + at as u32)
    }

    fn send(&mut self, packet: Packet) -> Answer {
        let Packet { direction, flags, seq, ack, bytes, .. } = &packet;
        let answer = self.wire.send(*direction, *flags, *seq, *ack, bytes);
        match answer {
            Answer::Release => self.deliver(&packet),
            Answer::Hold => assert!(self.held.insert(self.wire.token, packet).is_none()),
            Answer::Drop(reason) => assert!(reason != Reason::internal),
        }
        assert!(!self.wire.out.restarted);
        for token in std::mem::take(&mut self.wire.out.let_go) {
            let packet = self.held.remove(&token).expect("let go once, after it was held");
            self.deliver(&packet);
        }
        for (token, _) in std::mem::take(&mut self.wire.out.discard) {
            assert!(self.held.remove(&token).is_some());
        }
        assert_eq!(self.held.len(), self.wire.connection.held().count());
        for direction in [ToServer, ToClient] {
            let seen = self.wire.seen(direction);
            for receiver in &self.receivers[direction as usize] {
                assert!(seen.starts_with(&receiver.stream), "{direction:?}: {seen:?} and {receiver:?}");
            }
        }
        answer
    }

    fn deliver(&mut self, packet: &Packet) {
        if packet.arrives && packet.flags & SYN == 0 {
            for receiver in &mut self.receivers[packet.direction as usize] {
                let (fin, rst) = (packet.flags & FIN != 0, packet.flags & RST != 0);
                receiver.take(packet.seq, &packet.bytes, fin, rst);
            }
        }
    }

    fn piece(&self, direction: Direction, at: usize, length: usize) -> Packet {
        let stream = &self.streams[direction as usize];
        let end = stream.len().min(at + length);
        let flags = if end == stream.len() { ACK | FIN } else { ACK };
        Packet {
            direction,
            flags,
            seq: self.number(direction, at),
            ack: self.expected(direction.opposite()),
            bytes: stream[at..end].to_vec(),
            arrives: true,
        }
    }

    fn event(&mut self, event: Event) {
        let Event { direction, kind, arrives, late } = event;
        let length = self.streams[direction as usize].len();
        let mut packet = self.piece(direction, length, 0);
        packet.flags = ACK;
        // the number of a FIN is not used before it was said
        packet.seq = self.expected(direction);
        let behind = self.receivers[direction.opposite() as usize].iter().map(|end| end.stream.len()).min();
        packet.ack = packet.ack.wrapping_sub(late.min(behind.unwrap_or(0) as u32));
        let ack = packet.ack;
        match kind {
            Kind::Piece { at, length: piece } => packet = self.piece(direction, at.index(length + 1), piece),
            Kind::Acknowledge => {}
            Kind::Forged { at, bytes, fin } => {
                packet.seq = self.number(direction, at.index(length + 1));
                packet.bytes = bytes;
                packet.flags |= if fin { FIN } else { 0 };
            }
            Kind::Near { distance, bytes } => {
                packet.seq = packet.seq.wrapping_add_signed(distance);
                packet.bytes = bytes;
            }
            Kind::Reset { distance } => {
                packet.seq = packet.seq.wrapping_add_signed(distance);
                packet.flags = RST;
            }
            Kind::Astray { seq, bytes } => (packet.seq, packet.bytes) = (seq, bytes),
            Kind::Acknowledges { ack, bytes } => {
                self.send(Packet { ack, bytes, arrives, ..packet });
                return;
            }
            Kind::Syn { seq, bytes, ack } => {
                packet.flags = if ack { SYN | ACK } else { SYN };
                (packet.seq, packet.bytes) = (seq, bytes);
            }
        }
        self.send(Packet { ack, arrives, ..packet });
    }

    /// Both ends say again what the other has not got, one piece after the other, each acknowledged.
    fn finish(&mut self, piece: usize) {
        for direction in [ToServer, ToClient] {
            let length = self.streams[direction as usize].len();
            for _ in 0..=length + 1 {
                let back = direction.opposite();
                let packet = Packet {
                    direction: back,
                    flags: ACK,
                    seq: self.expected(back),
                    ack: self.expected(direction),
                    bytes: Vec::new(),
                    arrives: true,
                };
                assert_eq!(self.send(packet.clone()), Answer::Release, "{packet:?}");
                let [first, last] = &self.receivers[direction as usize];
                if first.ended && last.ended {
                    break;
                }
                let at = first.stream.len().min(last.stream.len());
                let packet = self.piece(direction, at, piece);
                let answer = self.send(packet.clone());
                assert_eq!(answer, Answer::Release, "{packet:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn all_of_it_arrives(
        limits in limits(),
        streams in [vec(any::<u8>(), 0..200), vec(any::<u8>(), 0..200)],
        initial in [initial(), initial()],
        events in events(honest()),
        piece in 1..20_usize,
    ) {
        let mut world = World::new(&limits, streams.clone(), initial);
        for event in events {
            world.event(event);
        }
        world.finish(piece);
        for direction in [ToServer, ToClient] {
            let stream = &streams[direction as usize];
            prop_assert_eq!(world.wire.seen(direction), &stream[..]);
            for receiver in &world.receivers[direction as usize] {
                prop_assert_eq!(&receiver.stream, stream);
                prop_assert!(receiver.ended);
            }
        }
        prop_assert!(world.held.is_empty());
        prop_assert!(world.wire.connection.over());
    }

    #[test]
    fn what_was_inspected_or_nothing(
        limits in limits(),
        streams in [vec(any::<u8>(), 0..200), vec(any::<u8>(), 0..200)],
        initial in [initial(), initial()],
        events in events(hostile()),
    ) {
        let mut world = World::new(&limits, streams, initial);
        for event in events {
            world.event(event);
            prop_assert!(world.held.len() <= 2 * limits.ahead_packets);
        }
    }
}
