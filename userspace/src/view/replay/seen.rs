//! What a capture shows of flows and the programs do not: when exactly they began and ended, and tags that the replay has taken off.

use std::collections::HashMap;

use dropgate_abi::walk::Walk;

use crate::events::{Clock, eve::Event};

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

/// The flows of a capture, by identity.
#[derive(Debug, Default)]
pub struct Seen(HashMap<u64, Flow>);

impl Seen {
    /// A packet of a flow. `retagged`: the programs are shown others than the tags of its `frame`.
    pub fn packet(&mut self, walk: &Walk, now_ns: u64, frame: &[u8], retagged: bool) {
        let vlan = || if retagged { tags(frame) } else { Vec::new() };
        let new = || Flow { vlan: vlan(), first_ns: now_ns, ..Flow::default() };
        let flow = self.0.entry(walk.flow_id).or_insert_with(new);
        flow.last_ns = flow.last_ns.max(now_ns);
        let way = usize::from(walk.direction & 1);
        flow.packets[way] += 1;
        flow.bytes[way] += frame.len() as u64;
    }

    /// Puts into an event what is known better here.
    pub fn correct(&self, event: &mut Event, clock: &Clock) {
        let Some(flow) = event.flow_id.and_then(|id| self.0.get(&id)) else { return };
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
        self.0.remove(&flow);
    }
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
    use crate::events::eve;

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
