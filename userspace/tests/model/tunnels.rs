//! Packets in tunnels, as `docs/policy.md` has them: where the packet inside begins and ends, and what becomes of it.

use std::net::{IpAddr, Ipv4Addr};

use dropgate_abi::reason::Reason;

use super::{
    At, Model, Verdict,
    decode::{self, Packet},
    flows::{Party, Place},
    policy::Service,
};

/// What carries a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// IP in IP, whichever versions.
    Ip,
    Gre,
    Vxlan,
    /// PPPoE.
    Session,
}

/// A tunnel, the same for both directions: flows in it are its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm {
    ends: [IpAddr; 2],
    carrier: Carrier,
    /// Key of GRE, VNI.
    network: u32,
    /// Of a frame inside.
    tags: [u16; 2],
}

/// What stands behind the headers of a tunnel.
struct Inside<'a> {
    carrier: Carrier,
    network: u32,
    tags: [u16; 2],
    ethertype: u16,
    packet: &'a [u8],
}

fn number(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn truncated() -> Verdict {
    Verdict::drop(Reason::tunnel_truncated)
}

/// Reads the headers of the tunnel in a packet; the error is what becomes of one that holds nothing to be judged.
fn open(packet: &Packet) -> Result<Inside<'_>, Verdict> {
    let bytes = &packet.transport[..];
    let plain = |ethertype| Inside { carrier: Carrier::Ip, network: 0, tags: [0; 2], ethertype, packet: bytes };
    match packet.protocol {
        4 => Ok(plain(0x0800)),
        41 => Ok(plain(0x86dd)),
        47 => gre(bytes),
        _ => vxlan(&bytes[8..]),
    }
}

/// RFC 2784 and RFC 2890.
fn gre(bytes: &[u8]) -> Result<Inside<'_>, Verdict> {
    if bytes.len() < 4 {
        return Err(truncated());
    }
    let (flags, ethertype) = (number(bytes), number(&bytes[2..]));
    let [checksum, route, key, sequence] = [0x8000, 0x4000, 0x2000, 0x1000].map(|bit| flags & bit != 0);
    match flags & 7 {
        0 => {}
        1 => return Err(Verdict::drop(Reason::tunnel_unreadable)),
        _ => return Err(Verdict::drop(Reason::tunnel_malformed)),
    }
    if route || flags & 0x0ff8 != 0 {
        return Err(Verdict::drop(Reason::tunnel_malformed));
    }
    let header = 4 + 4 * [checksum, key, sequence].into_iter().filter(|field| *field).count();
    if bytes.len() < header {
        return Err(truncated());
    }
    let network = if key { word(&bytes[if checksum { 8 } else { 4 }..]) } else { 0 };
    let packet = &bytes[header..];
    match ethertype {
        0x0800 | 0x86dd => Ok(Inside { carrier: Carrier::Gre, network, tags: [0; 2], ethertype, packet }),
        0x6558 => ethernet(packet, Carrier::Gre, network),
        _ => Err(Verdict::drop(Reason::tunnel_payload)),
    }
}

/// RFC 7348.
fn vxlan(bytes: &[u8]) -> Result<Inside<'_>, Verdict> {
    if bytes.len() < 8 {
        return Err(truncated());
    }
    let (flags, network) = (word(bytes), word(&bytes[4..]));
    if flags & 0x0800_0000 == 0 {
        return Err(Verdict::drop(Reason::tunnel_malformed));
    }
    // extensions have other flags, and something in what is reserved
    if flags != 0x0800_0000 || network & 0xff != 0 {
        return Err(Verdict::drop(Reason::tunnel_unreadable));
    }
    ethernet(&bytes[8..], Carrier::Vxlan, network >> 8)
}

fn ethernet(bytes: &[u8], carrier: Carrier, network: u32) -> Result<Inside<'_>, Verdict> {
    // behind the end may stand what looks like a third tag
    let short = || truncated().or(&[Reason::vlan_too_deep]);
    if bytes.len() < 14 {
        return Err(short());
    }
    let (mut ethertype, mut packet) = (number(&bytes[12..]), &bytes[14..]);
    let mut tags = Vec::new();
    while [0x8100, 0x88a8, 0x9100].contains(&ethertype) {
        if tags.len() == 2 {
            return Err(Verdict::drop(Reason::vlan_too_deep));
        }
        if packet.len() < 4 {
            return Err(short());
        }
        tags.push(number(packet) & 0x0fff);
        (ethertype, packet) = (number(&packet[2..]), &packet[4..]);
    }
    tags.resize(2, 0);
    Ok(Inside { carrier, network, tags: [tags[0], tags[1]], ethertype, packet })
}

/// RFC 2516, and what PPP carries in it (RFC 1661). The packet, and what stands behind its session in the frame.
fn session(bytes: &[u8]) -> Result<(Inside<'_>, &[u8]), Verdict> {
    if bytes.len() < 8 {
        return Err(truncated());
    }
    let (id, length) = (number(&bytes[2..]), usize::from(number(&bytes[4..])));
    if bytes[..2] != [0x11, 0] || [0, 0xffff].contains(&id) || length < 2 {
        return Err(Verdict::drop(Reason::tunnel_malformed));
    }
    if bytes.len() < 6 + length {
        return Err(truncated());
    }
    let (packet, beyond) = bytes[8..].split_at(length - 2);
    let ethertype = match number(&bytes[6..]) {
        0x0021 => 0x0800,
        0x0057 => 0x86dd,
        0xc021 | 0x8021 | 0x8057 | 0xc023 | 0xc223 => return Err(Verdict::pass(Reason::ppp_control)),
        _ => return Err(Verdict::drop(Reason::tunnel_payload)),
    };
    Ok((Inside { carrier: Carrier::Session, network: id.into(), tags: [0; 2], ethertype, packet }, beyond))
}

impl Model {
    /// What becomes of the packets in a service's flows of a protocol to a port: nothing where there are none that could be read.
    /// What a line does not say is dropped.
    pub fn tunnel(&self, service: &Service, protocol: u8, port: u16) -> Option<&'static str> {
        let readable = matches!(protocol, 4 | 41 | 47) || protocol == 17 && self.policy.vxlan.contains(&port);
        readable.then(|| service.tunnel.unwrap_or("drop"))
    }

    /// Whether the packet inside of one is judged too, which a service of this party lets through to a port of the server; or why
    /// it is dropped.
    pub(super) fn tunnelled(
        &self,
        (party, service): (&Party, Option<&str>),
        port: u16,
        packet: &Packet,
    ) -> Result<bool, Reason> {
        let services: &[Service] = match party {
            Party::Zone(name) => self.zone_named(name).map_or(&[], |zone| &zone.egress),
            Party::Gateway => &self.policy.gateway_egress,
            Party::Outside => &self.policy.outside_egress,
            Party::Published | Party::Nameless => &[],
        };
        let silent = Service::default();
        let named = services.iter().find(|other| Some(other.name.as_str()) == service).unwrap_or(&silent);
        let Some(said) = self.tunnel(named, packet.protocol, port) else { return Ok(false) };
        match (said, packet.carried) {
            ("opaque", None | Some(Carrier::Session)) => Ok(false),
            (_, Some(_)) => Err(Reason::tunnel_nested),
            ("judge", None) if packet.fragment.is_some() => Err(Reason::tunnel_fragment),
            ("judge", None) => Ok(true),
            _ if named.tunnel.is_none() => Err(Reason::tunnel_unasked),
            _ => Err(Reason::tunnel_denied),
        }
    }

    /// The packet inside of one that its line lets through.
    pub(super) fn inside(&mut self, at: At, place: Place, outer: &Packet) -> Verdict {
        let inside = match open(outer) {
            Ok(inside) => inside,
            Err(verdict) => return verdict,
        };
        let mut ends = [outer.src, outer.dst];
        ends.sort_unstable();
        let realm = Realm { ends, carrier: inside.carrier, network: inside.network, tags: inside.tags };
        self.carried(at, place, (&inside, &outer.beyond), Some(realm))
    }

    /// A frame of a PPPoE session.
    pub(super) fn session(&mut self, at: At, bytes: &[u8]) -> Verdict {
        let place = self.ingress(at, at.tags);
        if !matches!(self.policy.pppoe, Some("judge" | "opaque")) {
            let also = place.err().map(|verdict| verdict.reason);
            return Verdict::drop(Reason::pppoe_unasked).or(also.as_slice());
        }
        let place = match place {
            Ok(place) => place,
            Err(verdict) => return verdict,
        };
        if self.policy.pppoe == Some("opaque") {
            return Verdict::pass(Reason::pppoe_opaque);
        }
        match session(bytes) {
            // it ends at the gateway and is a link: flows that come out of it are those of its interface. Across a bridge both
            // of its ends are elsewhere.
            Ok((inside, beyond)) => {
                let ends = [Ipv4Addr::UNSPECIFIED.into(); 2];
                let realm = Realm { ends, carrier: inside.carrier, network: inside.network, tags: [0; 2] };
                self.carried(at, place, (&inside, beyond), self.bridges().then_some(realm))
            }
            Err(verdict) => verdict,
        }
    }

    /// Judges the packet inside as if it had come by itself where the tunnel's came in.
    fn carried(&mut self, at: At, place: Place, (inside, beyond): (&Inside, &[u8]), realm: Option<Realm>) -> Verdict {
        let read = |bytes: &[u8]| match inside.ethertype {
            0x0800 => decode::ip4(bytes).map_err(Some),
            0x86dd => decode::ip6(bytes).map_err(Some),
            _ => Err(None),
        };
        let (carried, link) = (Some(inside.carrier), self.link(at));
        let told = |packet: Packet| Packet { carried, realm: realm.clone(), link, ..packet };
        let packet = match read(inside.packet) {
            Ok(packet) => told(packet),
            Err(None) => return self.ethertype(inside.ethertype),
            // Decided: of a packet that ends behind what carries it that is said, if all else of it is in order.
            Err(Some(reason)) => match read(&[inside.packet, beyond].concat()) {
                Ok(longer) => {
                    let longer = told(longer);
                    self.remember_malformed(at, &longer);
                    return truncated().or(longer.wrong.as_slice());
                }
                Err(other) => return Verdict::drop(reason).or(other.as_slice()),
            },
        };
        if let Some(reason) = packet.wrong {
            self.remember_malformed(at, &packet);
            return Verdict::drop(reason);
        }
        Verdict { carried: true, ..self.packet(at, place, &packet) }
    }
}
