//! What a capture shows of flows and the programs do not: when exactly they began and ended, and tags that the replay has taken off.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use dropgate_abi::walk::Walk;

use crate::{
    capture::{Packet, link},
    events::{
        Clock,
        eve::{self, Event},
    },
};

/// What was seen of one flow.
#[derive(Clone, Debug, Default)]
struct Flow {
    /// Tags of its first packet, where they are not those that the programs were shown.
    vlan: Vec<u16>,
    /// Monotonic times of its first and of its latest packet, ns.
    first_ns: u64,
    last_ns: u64,
    /// Packets and bytes of their frames, by direction.
    packets: [u64; 2],
    bytes: [u64; 2],
}

/// The flows of a capture, by identity, and the packet that is shown now.
#[derive(Debug, Default)]
pub struct Seen {
    flows: HashMap<u64, Flow>,
    link: Link,
}

/// What stands before the network header of a packet in its capture.
#[derive(Debug, Default)]
struct Link {
    kind: u16,
    header: Vec<u8>,
}

impl Seen {
    /// A packet of the capture is shown.
    pub fn show(&mut self, packet: &Packet) {
        let header = if packet.synthetic { &packet.link } else { &packet.frame[..behind_tags(&packet.frame)] };
        self.link.kind = packet.link_type;
        self.link.header.clear();
        self.link.header.extend_from_slice(header);
    }

    /// A packet of a flow. `retagged`: the programs are shown others than the tags of its `frame`.
    pub fn packet(&mut self, walk: &Walk, now_ns: u64, frame: &[u8], retagged: bool) {
        let vlan = || if retagged { tags(frame) } else { Vec::new() };
        let new = || Flow { vlan: vlan(), first_ns: now_ns, ..Flow::default() };
        let flow = self.flows.entry(walk.flow_id).or_insert_with(new);
        flow.last_ns = flow.last_ns.max(now_ns);
        let way = usize::from(walk.direction & 1);
        flow.packets[way] += 1;
        flow.bytes[way] += frame.len() as u64;
    }

    /// Puts into an event what is known better here.
    pub fn correct(&self, event: &mut Event, clock: &Clock) {
        if let Some(packet) = &mut event.packet {
            self.link.correct(packet);
        }
        let Some(flow) = event.flow_id.and_then(|id| self.flows.get(&id)) else { return };
        if !flow.vlan.is_empty() {
            event.vlan.clone_from(&flow.vlan);
        }
        let Some(account) = &mut event.flow else { return };
        account.start = clock.format(flow.first_ns);
        // a gateway counts neither what it drops nor fragments behind the first one
        let counted = [
            (account.pkts_toserver, &mut account.bytes_toserver),
            (account.pkts_toclient, &mut account.bytes_toclient),
        ];
        for (way, (packets, bytes)) in counted.into_iter().enumerate() {
            if packets == flow.packets[way] {
                *bytes = flow.bytes[way];
            }
        }
        if let Some(end) = &mut account.end {
            end.end = clock.format(flow.last_ns);
            // whole seconds of the day, as Suricata counts them
            let second = |ns| clock.unix_s(ns);
            end.age = u64::try_from(second(flow.last_ns) - second(flow.first_ns)).unwrap_or(0);
        }
    }

    /// A flow has ended and was told of.
    pub fn forget(&mut self, flow: u64) {
        self.flows.remove(&flow);
    }
}

impl Link {
    /// Events have the packet as it was captured, and not as the programs were shown it.
    fn correct(&self, told: &mut eve::Packet) {
        let Ok(frame) = BASE64_STANDARD.decode(&told.packet) else { return };
        let network = &frame[behind_tags(&frame)..];
        let (number, name) = link::told(self.kind);
        told.packet = BASE64_STANDARD.encode([&self.header, network].concat());
        told.packet_info = eve::PacketInfo { linktype: number.into(), linktype_name: name };
    }
}

/// Where the network header of an Ethernet frame begins, behind its tags.
fn behind_tags(frame: &[u8]) -> usize {
    (14 + 4 * tags(frame).len()).min(frame.len())
}

/// VLAN identifiers of a frame, outer first, at most three.
fn tags(frame: &[u8]) -> Vec<u16> {
    let word = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let tagged = |at: &usize| matches!(word(*at), Some(0x8100 | 0x88a8 | 0x9100));
    let places = (12..).step_by(4).take(3).take_while(tagged);
    places.filter_map(|at| Some(word(at + 2)? & 0xfff)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Capture, Record, sample};

    #[test]
    fn tags_are_read_from_the_outside_in() {
        let frame = |tags: &[u16]| {
            let tags = tags.iter().flat_map(|tag| [0x81, 0, (tag >> 8) as u8 | 0xe0, *tag as u8]);
            [0; 12].into_iter().chain(tags).chain([8, 0]).collect::<Vec<u8>>()
        };
        assert_eq!(super::tags(&frame(&[])), [0; 0]);
        assert_eq!(super::tags(&frame(&[6])), [6]);
        assert_eq!(super::tags(&frame(&[1, 10, 100, 7])), [1, 10, 100]);
        assert_eq!(super::tags(&frame(&[6])[..14]), [0; 0]);
    }

    #[test]
    fn events_have_packets_as_they_were_captured() {
        let shown = |seen: &Seen, frame: &[u8]| {
            let packet_info = eve::PacketInfo { linktype: 1, linktype_name: "EN10MB" };
            let packet = eve::Packet { packet: BASE64_STANDARD.encode(frame), packet_info };
            let mut event = Event { packet: Some(packet.into()), ..Event::default() };
            seen.correct(&mut event, &Clock::fixed(0, 0));
            let told = event.packet.unwrap();
            (BASE64_STANDARD.decode(told.packet).unwrap(), told.packet_info.linktype, told.packet_info.linktype_name)
        };
        let ip = [0x45, 0, 0, 20];
        let plain = [&[2; 12][..], &[8, 0], &ip].concat();
        let tagged = [&[2; 12][..], &[0x81, 0, 0, 6, 8, 0], &ip].concat();
        let cooked =
            sample::pcap(false, false, link::COOKED.into(), &[(0, 0, &[&[7; 14][..], &[8, 0], &ip].concat(), 20)]);
        let ethernet = sample::pcap(false, false, link::ETHERNET.into(), &[(0, 0, &tagged, 22)]);
        let mut seen = Seen::default();
        let first = |file: Vec<u8>| match Capture::new(std::io::Cursor::new(file)).unwrap().next() {
            Some(Ok(Record::Packet(packet))) => packet,
            other => panic!("{other:?}"),
        };
        seen.show(&first(cooked));
        let (bytes, number, name) = shown(&seen, &plain);
        assert_eq!(
            (&bytes[..14], &bytes[14..], number, name),
            (&[7; 14][..], &[8, 0, 0x45, 0, 0, 20][..], 113, "LINUX_SLL")
        );
        seen.show(&first(ethernet));
        assert_eq!(shown(&seen, &plain), (tagged, 1, "EN10MB"), "its tag is there again");
    }

    #[test]
    fn events_have_the_times_of_the_capture() {
        let mut seen = Seen::default();
        let walk = Walk { flow_id: 7, ..Walk::default() };
        seen.packet(&walk, 1_500_000_001, &[0; 60], true);
        seen.packet(&walk, 3_100_000_000, &[0; 64], true);
        seen.packet(&Walk { direction: 1, ..walk }, 3_000_000_000, &[0; 70], true);
        let mut event = Event {
            flow_id: Some(7),
            flow: Some(Box::new(eve::Flow {
                pkts_toserver: 2,
                pkts_toclient: 3,
                bytes_toclient: 5,
                end: Some(eve::FlowEnd {
                    end: eve::Short::new(),
                    age: 9,
                    state: "new",
                    bypass: None,
                    reason: "shutdown",
                    alerted: false,
                    action: None,
                }),
                ..eve::Flow::default()
            })),
            ..Event::default()
        };
        seen.correct(&mut event, &Clock::fixed(0, 0));
        let flow = event.flow.unwrap();
        assert!(flow.start.contains(":01.500000"), "{}", flow.start);
        assert_eq!((flow.bytes_toserver, flow.bytes_toclient), (124, 5));
        let end = flow.end.unwrap();
        assert!(end.end.contains(":03.100000") && end.age == 2, "{end:?}");
    }
}
