//! Where the packets of a capture come in: the gateway's ports as the policy describes them.
//!
//! A capture does not say by which interface a packet would have come. The addresses do: a source that lies in a zone's
//! prefixes came in at that zone's interface and VLAN, any other from the outside.

use super::peek::Peek;
use dropgate_abi::walk::hook;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    pub address: IpAddr,
    /// Bits.
    pub length: u8,
}

impl Prefix {
    /// Whether an address of the same family lies in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.length.min(32));
                u32::from(net).checked_shr(shift).unwrap_or(0) == u32::from(ip).checked_shr(shift).unwrap_or(0)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.length.min(128));
                u128::from(net).checked_shr(shift).unwrap_or(0) == u128::from(ip).checked_shr(shift).unwrap_or(0)
            }
            _ => false,
        }
    }
}

/// A zone and its port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZonePort {
    pub name: String,
    pub ifindex: u32,
    /// VLAN identifiers, outer first; 0: none.
    pub tags: [u16; 2],
    pub prefixes: Vec<Prefix>,
}

/// The gateway's ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// Address translation between zones and outside: what enters a zone is judged where it leaves the gateway.
    pub masquerade: bool,
    /// In file order.
    pub zones: Vec<ZonePort>,
    /// Interfaces of the outside. May be empty.
    pub outside: Vec<u32>,
    /// The gateway's own addresses.
    pub own: Vec<IpAddr>,
    /// On a bridge: where frames go on, by interface. Files of earlier versions have none.
    #[serde(default)]
    pub peers: BTreeMap<u32, u32>,
}

/// One side of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Index into [`Ports::zones`].
    Zone(usize),
    Outside,
    Own,
}

/// Where a packet is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// See [`dropgate_abi::walk::hook`].
    pub hook: u8,
    /// Where it comes in; at egress: where it leaves.
    pub ifindex: u32,
    /// At egress: where it came in; 0: from the gateway itself.
    pub from_ifindex: u32,
    /// Tags of the zone's port, for frames without any.
    pub tags: [u16; 2],
}

impl Ports {
    /// The side an address belongs to. Among zones the longest prefix wins; among equals the one whose VLAN the frame
    /// shows, then the first one.
    pub fn side_of(&self, address: IpAddr, tags: [u16; 2]) -> Side {
        if self.own.contains(&address) {
            return Side::Own;
        }
        let mut best: Option<((u8, bool), usize)> = None;
        for (at, zone) in self.zones.iter().enumerate() {
            for prefix in zone.prefixes.iter().filter(|prefix| prefix.holds(address)) {
                let rank = (prefix.length, zone.tags == tags);
                if best.is_none_or(|(found, _)| rank > found) {
                    best = Some((rank, at));
                }
            }
        }
        best.map_or(Side::Outside, |(_, zone)| Side::Zone(zone))
    }

    /// The place at which a packet between two sides is judged; `None` when the policy has no such port.
    pub fn place(&self, from: Side, to: Option<Side>) -> Option<Place> {
        let outside = self.outside.first().copied();
        let zone = |at: usize| self.zones.get(at).map(|zone| (zone.ifindex, zone.tags));
        let ingress = |(ifindex, tags)| Place { hook: hook::INGRESS, ifindex, from_ifindex: 0, tags };
        let egress = |(ifindex, tags), from_ifindex| Place { hook: hook::EGRESS, ifindex, from_ifindex, tags };
        match (from, to) {
            (Side::Zone(at), _) => zone(at).map(ingress),
            (Side::Own, Some(Side::Zone(to))) => Some(egress(zone(to)?, 0)),
            (Side::Own, _) => Some(egress((outside?, [0, 0]), 0)),
            (Side::Outside, Some(Side::Zone(to))) if self.masquerade => {
                let port = zone(to)?;
                if self.outside.contains(&port.0) {
                    return Some(ingress((outside?, [0, 0])));
                }
                Some(egress(port, outside?))
            }
            (Side::Outside, Some(Side::Zone(to))) if !self.peers.is_empty() => {
                let (index, tags) = zone(to)?;
                let beyond = self.peers.get(&index).filter(|peer| self.outside.contains(peer));
                Some(ingress(beyond.map_or((outside?, [0, 0]), |peer| (*peer, tags))))
            }
            (Side::Outside, _) => Some(ingress((outside?, [0, 0]))),
        }
    }
}

/// Puts the packets of one capture at ports. Remembers which side hardware addresses stand on, for packets whose
/// addresses do not say (link-local, unspecified, not IP).
#[derive(Debug, Default)]
pub struct Placer {
    /// `None`: seen on both sides, so it says nothing.
    seen: HashMap<[u8; 6], Option<Side>>,
}

/// Hardware addresses remembered at most; a capture of forged ones must not eat the memory.
const SEEN_MAX: usize = 1 << 16;

impl Placer {
    /// The side a packet comes from. `synthetic`: its hardware addresses say nothing.
    pub fn from(&mut self, ports: &Ports, packet: &Peek, synthetic: bool) -> Side {
        let telling = packet.src.filter(|ip| !vague(*ip));
        if let Some(address) = telling {
            let side = ports.side_of(address, packet.tags);
            if !synthetic && (self.seen.len() < SEEN_MAX || self.seen.contains_key(&packet.source_mac)) {
                let known = self.seen.entry(packet.source_mac).or_insert(Some(side));
                if *known != Some(side) {
                    *known = None;
                }
            }
            return side;
        }
        if let (false, Some(Some(side))) = (synthetic, self.seen.get(&packet.source_mac)) {
            return *side;
        }
        if packet.tags != [0, 0]
            && let Some(at) = ports.zones.iter().position(|zone| zone.tags == packet.tags)
        {
            return Side::Zone(at);
        }
        // someone who has no address yet wants one: a host, not the world
        match packet.src {
            Some(address) if address.is_unspecified() && !ports.zones.is_empty() => Side::Zone(0),
            _ => Side::Outside,
        }
    }

    /// The side a packet goes to, as far as its address says.
    pub fn to(ports: &Ports, packet: &Peek) -> Option<Side> {
        packet.dst.filter(|ip| !vague(*ip)).map(|ip| ports.side_of(ip, packet.tags))
    }
}

/// Addresses that may stand on any side.
fn vague(address: IpAddr) -> bool {
    address.is_unspecified()
        || address.is_multicast()
        || match address {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
}

/// The frame as it would lie on a zone's wire: one without any tag gets the port's. Frames with a tag are left alone, so
/// that a tag that is not the zone's is seen by the datapath.
pub fn tagged<'a>(frame: &'a [u8], packet: &Peek, place: &Place, room: &'a mut Vec<u8>) -> &'a [u8] {
    let (Some(addresses), Some(rest)) = (frame.get(..12), frame.get(12..)) else {
        return frame;
    };
    if packet.tagged || place.tags == [0, 0] {
        return frame;
    }
    tag(addresses, place.tags, rest, room);
    room
}

/// As [`tagged`], but a tag of the capture's own (or two) gives way to the port's: for packets that are placed at a port
/// whatever their addresses and tags say.
pub fn retagged<'a>(frame: &'a [u8], place: &Place, room: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(addresses) = frame.get(..12) else { return frame };
    let mut at = 12;
    while is_tag(frame, at) && frame.len() >= at + 4 {
        at += 4;
    }
    // what the datapath has a reason of its own for is left for it to name
    if at > 12 + 2 * 4 || is_tag(frame, at) {
        return frame;
    }
    tag(addresses, place.tags, frame.get(at..).unwrap_or_default(), room);
    room
}

/// Whether a VLAN tag stands at `at` (IEEE 802.1Q, 802.1ad).
fn is_tag(frame: &[u8], at: usize) -> bool {
    matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8] | [0x91, 0x00]))
}

/// Makes a frame in `room`: the addresses, the tags, the rest.
fn tag(addresses: &[u8], tags: [u16; 2], rest: &[u8], room: &mut Vec<u8>) {
    room.clear();
    room.extend_from_slice(addresses);
    let [outer, inner] = tags;
    // 802.1ad outside of 802.1Q when there are two
    let kinds: [u16; 2] = if inner == 0 { [0x8100, 0] } else { [0x88a8, 0x8100] };
    for (tag, kind) in [outer, inner].into_iter().zip(kinds).filter(|(tag, _)| *tag != 0) {
        room.extend_from_slice(&kind.to_be_bytes());
        room.extend_from_slice(&tag.to_be_bytes());
    }
    room.extend_from_slice(rest);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix { address: address.parse().unwrap(), length: length.parse().unwrap() }
    }

    fn zone(name: &str, ifindex: u32, tags: [u16; 2], prefixes: &[&str]) -> ZonePort {
        ZonePort { name: name.into(), ifindex, tags, prefixes: prefixes.iter().map(|p| prefix(p)).collect() }
    }

    pub(crate) fn ports(masquerade: bool) -> Ports {
        Ports {
            masquerade,
            zones: vec![
                zone("office", 2, [0, 0], &["10.10.0.0/16", "2001:db8:1::/48"]),
                zone("iot", 3, [20, 0], &["10.20.0.0/24"]),
                zone("lab", 4, [100, 10], &["10.10.9.0/24"]),
            ],
            outside: vec![9],
            own: vec!["10.10.0.1".parse().unwrap()],
            peers: BTreeMap::new(),
        }
    }

    #[test]
    fn prefixes_hold() {
        assert!(prefix("0.0.0.0/0").holds("255.1.1.1".parse().unwrap()));
        assert!(prefix("::/0").holds("::1".parse().unwrap()));
        assert!(!prefix("::/0").holds("1.1.1.1".parse().unwrap()));
        assert!(prefix("10.0.0.0/9").holds("10.127.0.1".parse().unwrap()));
        assert!(!prefix("10.0.0.0/9").holds("10.128.0.1".parse().unwrap()));
        assert!(prefix("2001:db8::/32").holds("2001:db8:ffff::1".parse().unwrap()));
        assert!(!prefix("10.0.0.1/32").holds("10.0.0.2".parse().unwrap()));
    }

    #[test]
    fn sides_by_longest_prefix() {
        let ports = ports(false);
        let side = |text: &str| ports.side_of(text.parse().unwrap(), [0, 0]);
        assert_eq!(side("10.10.0.5"), Side::Zone(0));
        assert_eq!(side("10.10.9.5"), Side::Zone(2));
        assert_eq!(side("10.10.0.1"), Side::Own);
        assert_eq!(side("198.51.100.1"), Side::Outside);
        assert_eq!(side("2001:db8:1::5"), Side::Zone(0));
    }

    #[test]
    fn places_by_kind_of_gateway() {
        let at = |masquerade, from, to| {
            ports(masquerade).place(from, Some(to)).map(|place| (place.hook, place.ifindex, place.from_ifindex))
        };
        let (zone, iot) = (Side::Zone(0), Side::Zone(1));
        for masquerade in [false, true] {
            assert_eq!(at(masquerade, zone, Side::Outside), Some((hook::INGRESS, 2, 0)));
            assert_eq!(at(masquerade, zone, iot), Some((hook::INGRESS, 2, 0)));
            assert_eq!(at(masquerade, Side::Own, iot), Some((hook::EGRESS, 3, 0)));
            assert_eq!(at(masquerade, Side::Own, Side::Outside), Some((hook::EGRESS, 9, 0)));
            assert_eq!(at(masquerade, Side::Outside, Side::Own), Some((hook::INGRESS, 9, 0)));
        }
        assert_eq!(at(false, Side::Outside, zone), Some((hook::INGRESS, 9, 0)));
        assert_eq!(at(true, Side::Outside, zone), Some((hook::EGRESS, 2, 9)));
        let none = Ports { outside: Vec::new(), ..ports(true) };
        assert_eq!(none.place(Side::Outside, Some(zone)), None);
    }

    #[test]
    fn hardware_addresses_tell_what_addresses_do_not() {
        let ports = ports(false);
        let mut placer = Placer::default();
        let from =
            |mac: u8, src: &str| Peek { source_mac: [mac; 6], src: Some(src.parse().unwrap()), ..Peek::default() };
        assert_eq!(placer.from(&ports, &from(1, "fe80::1"), false), Side::Outside);
        assert_eq!(placer.from(&ports, &from(1, "10.20.0.7"), false), Side::Zone(1));
        assert_eq!(placer.from(&ports, &from(1, "fe80::1"), false), Side::Zone(1));
        assert_eq!(placer.from(&ports, &from(1, "fe80::1"), true), Side::Outside);
        assert_eq!(placer.from(&ports, &from(1, "198.51.100.1"), false), Side::Outside);
        // now the address has been seen on both sides
        assert_eq!(placer.from(&ports, &from(1, "0.0.0.0"), false), Side::Zone(0));
        let tagged = Peek { tags: [20, 0], tagged: true, ..from(7, "0.0.0.0") };
        assert_eq!(placer.from(&ports, &tagged, false), Side::Zone(1));
    }

    #[test]
    fn only_untagged_frames_get_a_tag() {
        let frame = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 8, 0, 0x45];
        let place = |tags| Place { hook: hook::INGRESS, ifindex: 2, from_ifindex: 0, tags };
        let mut room = Vec::new();
        assert_eq!(tagged(&frame, &Peek::default(), &place([0, 0]), &mut room), frame);
        assert_eq!(tagged(&frame, &Peek::default(), &place([20, 0]), &mut room)[12..], [0x81, 0, 0, 20, 8, 0, 0x45]);
        let two = tagged(&frame, &Peek::default(), &place([100, 10]), &mut room);
        assert_eq!(two[12..], [0x88, 0xa8, 0, 100, 0x81, 0, 0, 10, 8, 0, 0x45]);
        let already = Peek { tagged: true, ..Peek::default() };
        assert_eq!(tagged(&frame, &already, &place([20, 0]), &mut room), frame);
        assert_eq!(tagged(&frame[..5], &Peek::default(), &place([20, 0]), &mut room), &frame[..5]);
    }

    #[test]
    fn a_capture_s_own_tags_give_way() {
        let addresses = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2];
        let place = |tags| Place { hook: hook::INGRESS, ifindex: 2, from_ifindex: 0, tags };
        let mut room = Vec::new();
        let tags: [&[u8]; 3] = [&[], &[0x81, 0, 0, 9], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9]];
        for own in tags {
            let frame = [&addresses, own, &[8, 0, 0x45]].concat();
            assert_eq!(retagged(&frame, &place([0, 0]), &mut room)[12..], [8, 0, 0x45]);
            assert_eq!(retagged(&frame, &place([20, 0]), &mut room)[12..], [0x81, 0, 0, 20, 8, 0, 0x45]);
        }
        // three tags, a tag cut short: for the datapath to name
        let three = [&addresses[..], &[0x81, 0, 0, 9, 0x81, 0, 0, 9, 0x81, 0, 0, 9, 8, 0]].concat();
        assert_eq!(retagged(&three, &place([20, 0]), &mut room), three);
        for length in 0..18 {
            let cut = &three[..length.min(three.len())];
            let again = retagged(cut, &place([0, 0]), &mut room);
            assert!(again == cut || length >= 16, "{length}");
        }
    }
}
