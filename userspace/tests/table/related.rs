//! Flows that another flow has announced.

use aya::maps::HashMap;
use dropgate::view::text::abi_address;
use dropgate_abi::{
    bytes_of,
    related::{Related, RelatedKey, flag},
    tuple::realm::INSIDE,
};
use std::net::IpAddr;

use super::{
    bench::Real,
    net::{ALL, LAN0, Net, WAN0, policy},
};
use crate::{
    packets::{self, ACK, SYN, TCP, UDP},
    syn,
};

/// A minute, ns.
const MINUTE: u64 = 60_000_000_000;
/// The same in ticks, rounded up.
const TICKS: u32 = 57_221;

/// What the inspector writes: `src` may reach `dst` at a port within a minute, as 443 at the server was allowed to `zone`.
/// `place`: the port, its protocol, and where the flow is ([`RelatedKey::realm`]).
pub(super) fn announce(real: &Real, (src, dst): (IpAddr, IpAddr), place: (u16, u8, u16), value: Related) {
    let (port, protocol, realm) = place;
    let map = real.bench.object().share("RELATED").expect("a map");
    let mut related: HashMap<_, [u8; 40], [u8; 16]> = map.try_into().expect("a hash map");
    let ((family, src), (_, dst)) = (abi_address(src), abi_address(dst));
    let key = RelatedKey { src, dst, port, protocol, family, realm, _pad: 0 };
    let expires = (real.now >> 20) as u32 + TICKS;
    let value = Related { expires, port: 443, protocol: TCP, ..value };
    let (key, value) = (bytes_of(&key).first_chunk().expect("40 bytes"), bytes_of(&value).first_chunk().expect("16"));
    related.insert(key, value, 0).expect("room");
}

fn from_client(net: &Net, from: u16, to: u16, flags: u8) -> Vec<u8> {
    net.out().frame(net.tags, TCP, &packets::tcp(from, to, flags, &[]))
}

fn from_server(net: &Net, from: u16, to: u16) -> Vec<u8> {
    net.back().frame(&[], UDP, &packets::udp(from, to, &[0; 12]))
}

#[test]
fn what_another_flow_announced() {
    let with = policy() + "\n[inspection]\nmismatch = \"drop\"\nunknown = \"drop\"\npending = \"drop\"\n";
    let without = with.replace("tcp = [80, 443, \"8000-8010\"]", "tcp = [80]");
    for net in &ALL {
        let mut real = Real::new(&with);
        let zone = real.ingress(net.name, LAN0, &syn(net), "held").zone;
        let parties = (net.client(), net.server());
        let once = Related { zone, flags: flag::ONCE, ..Related::default() };

        // from the client, one flow, which nobody looks into
        real.ingress(net.name, LAN0, &from_client(net, 1000, 5000, SYN), "not_allowed");
        announce(&real, parties, (5000, TCP, INSIDE), once);
        real.ingress(net.name, LAN0, &from_client(net, 1000, 5001, SYN), "not_allowed");
        real.ingress(net.name, LAN0, &from_client(net, 1000, 5000, ACK), "tcp_no_flow");
        let walk = real.ingress(net.name, LAN0, &from_client(net, 1000, 5000, SYN), "related");
        assert_eq!(walk.zone, zone);
        let answer = net.back().frame(&[], TCP, &packets::tcp(5000, 1000, SYN | ACK, &[]));
        real.ingress(net.name, WAN0, &answer, "flow");
        real.ingress(net.name, LAN0, &from_client(net, 1000, 5000, ACK), "flow");
        real.ingress(net.name, LAN0, &from_client(net, 1001, 5000, SYN), "not_allowed");
        let said = net.out().frame(net.tags, TCP, &packets::tcp(1000, 5000, ACK, b"anything"));
        real.ingress(net.name, LAN0, &said, "flow");

        // from the server, several, which are looked into; what begins them need not be what the service expects
        let media = Related { zone, flags: flag::FROM_SERVER, app: 3, ..Related::default() };
        real.ingress(net.name, WAN0, &from_server(net, 2000, 6000), "not_allowed");
        announce(&real, parties, (6000, UDP, INSIDE), media);
        real.ingress(net.name, WAN0, &from_server(net, 2000, 6000), "not_allowed");
        announce(&real, (parties.1, parties.0), (6000, UDP, INSIDE), media);
        for port in [2000, 2001] {
            real.ingress(net.name, WAN0, &from_server(net, port, 6000), "held");
        }
        let back = net.out().frame(net.tags, UDP, &packets::udp(6000, 2000, &[0; 12]));
        real.ingress(net.name, LAN0, &back, "held");
        real.ingress(net.name, WAN0, &from_server(net, 2000, 6001), "not_allowed");

        // of another zone, or no more
        announce(&real, parties, (7000, TCP, INSIDE), Related { zone: zone + 1, ..once });
        real.ingress(net.name, LAN0, &from_client(net, 1000, 7000, SYN), "not_allowed");
        announce(&real, parties, (7001, TCP, INSIDE), once);
        real.now += MINUTE + 2_000_000;
        real.ingress(net.name, LAN0, &from_client(net, 1000, 7001, SYN), "not_allowed");

        // a commit: what was announced stands or falls with the service that allowed the flow which did
        announce(&real, parties, (8100, TCP, INSIDE), once);
        real.ingress(net.name, LAN0, &from_client(net, 1000, 8100, SYN), "related");
        real.now += MINUTE + 2_000_000;
        real.commit(&with);
        real.ingress(net.name, LAN0, &from_client(net, 1000, 5000, ACK), "flow");
        announce(&real, parties, (8101, TCP, INSIDE), once);
        real.commit(&without);
        real.ingress(net.name, LAN0, &from_client(net, 1000, 5000, ACK), "flow_revoked");
        real.ingress(net.name, LAN0, &from_client(net, 1000, 8101, SYN), "not_allowed");
        real.commit(&with);
        real.ingress(net.name, LAN0, &from_client(net, 1000, 5000, ACK), "flow");
        real.ingress(net.name, LAN0, &from_client(net, 1000, 8101, SYN), "related");
        real.agree();
    }
}

/// The service of the flow that announced another one does not say how that one begins.
#[test]
fn what_is_announced_begins_as_it_likes() {
    let ports = "tcp = [80, 443, \"8000-8010\"]";
    let strict = policy().replace(ports, &format!("{ports}\nexpect = [\"tls\"]"))
        + "\n[inspection]\nmismatch = \"drop\"\nunknown = \"drop\"\npending = \"drop\"\n";
    for net in &ALL {
        let mut real = Real::new(&strict);
        let zone = real.ingress(net.name, LAN0, &syn(net), "held").zone;
        let says = |from, to| net.out().frame(net.tags, TCP, &packets::tcp(from, to, ACK, b"\0said"));
        real.ingress(net.name, LAN0, &from_client(net, 1000, 443, SYN), "held");
        real.ingress(net.name, LAN0, &says(1000, 443), "first_byte_impossible");
        let parties = (net.client(), net.server());
        announce(&real, parties, (5000, TCP, INSIDE), Related { zone, app: 3, ..Related::default() });
        real.ingress(net.name, LAN0, &from_client(net, 1000, 5000, SYN), "held");
        real.ingress(net.name, LAN0, &says(1000, 5000), "held");
    }
}
