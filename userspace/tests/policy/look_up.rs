//! A packet looked up in an image, as the ABI describes it: slow, plain, and without a line in common with the compiler.

use dropgate::policy::{Image, compile::PrefixEntry};
use dropgate_abi::{
    bytes_of,
    policy::{
        DESTINATIONS_SCOPE, NO_SERVICE, PortKey, PrefixKey, ServiceKey, ServiceList, ZONE_OUTSIDE, setting, side, table,
    },
    tuple::Address,
};

/// What a look-up needs to know of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub at: PortKey,
    pub family: u8,
    pub source: Address,
    pub destination: Address,
    pub protocol: u8,
    pub port: u16,
}

/// The source's zone by the tables of its side.
pub fn source(image: &Image, packet: &Packet) -> Option<u16> {
    let side = image.sides.iter().find(|(port, _)| *port == packet.at)?.1;
    if side.kind == side::DEVICE {
        return None;
    }
    let key = PrefixKey::new(side.scope, packet.family, packet.source);
    let found = longest(&image.prefixes[table::SOURCES as usize], PrefixKey::full(packet.family), key);
    Some(found.map_or(side.fallback, |zone| zone as u16))
}

/// Whose the destination is.
pub fn peer(image: &Image, packet: &Packet) -> u16 {
    let key = PrefixKey::new(DESTINATIONS_SCOPE, packet.family, packet.destination);
    let found = longest(&image.prefixes[table::PEERS as usize], PrefixKey::full(packet.family), key);
    found.map_or(ZONE_OUTSIDE, |zone| zone as u16)
}

/// Whether an address is on the blocklist of one direction.
pub fn blocked(image: &Image, scope: u32, family: u8, address: Address) -> bool {
    let key = PrefixKey::new(scope, family, address);
    longest(&image.blocklist, PrefixKey::full(family), key).is_some()
}

/// The counter of the service that allows a packet from `zone` to `peer`.
pub fn service(image: &Image, zone: u16, peer: u16, packet: &Packet) -> Option<u32> {
    let Packet { protocol, port, family, destination, .. } = *packet;
    let key = ServiceKey { zone, peer, port, protocol, _pad: 0 };
    let list = image.services.iter().find(|(other, _)| *other == key).map(|(_, list)| *list);
    let list = list.or_else(|| range(image, zone, peer, protocol, port))?;
    let ordinal = if list.group == 0 {
        0
    } else {
        let key = PrefixKey::new(list.group, family, destination);
        longest(&image.prefixes[table::GROUPS as usize], PrefixKey::full(family), key)?
    };
    if ordinal == NO_SERVICE {
        return None;
    }
    Some(image.candidates[(list.first + ordinal) as usize].counter)
}

fn range(image: &Image, zone: u16, peer: u16, protocol: u8, port: u16) -> Option<ServiceList> {
    if image.settings.flags & setting::RANGES == 0 {
        return None;
    }
    let key = PrefixKey::range(zone, peer, protocol, port);
    let found = longest(&image.prefixes[table::RANGES as usize], 64, key)?;
    Some(image.lists[found as usize])
}

fn longest(entries: &[PrefixEntry], full: u32, key: PrefixKey) -> Option<u32> {
    let holding = entries
        .iter()
        .filter(|entry| entry.length <= full && agree(bytes_of(&entry.key), bytes_of(&key), entry.length));
    holding.max_by_key(|entry| entry.length).map(|entry| entry.value)
}

/// Whether two keys agree in their first bits.
fn agree(a: &[u8], b: &[u8], bits: u32) -> bool {
    let (whole, rest) = ((bits / 8) as usize, bits % 8);
    a[..whole] == b[..whole] && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0)
}
