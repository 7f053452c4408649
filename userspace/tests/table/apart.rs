//! What one tunnel has nothing to do with: the same flow in another one, and outside.

use dropgate_abi::{
    related::{Related, flag},
    tuple::realm,
};

use super::{
    bench::Real,
    net::{LAN0, Net, V4, V6},
    related::announce,
    tunnels::{about, segment, vxlan},
};
use crate::packets::{self, ACK, SYN, TCP};

/// What makes VXLAN's header one.
const NETWORK: u32 = 0x0800_0000;

/// A packet from the client in one network of a tunnel.
fn carried(net: &Net, network: u32, tags: &[u16], packet: &[u8]) -> Vec<u8> {
    let frame = packets::ethernet(tags, net.out().ethertype(), packet);
    let (protocol, payload) = vxlan(NETWORK, network << 8, &frame);
    net.out().frame(net.tags, protocol, &payload)
}

/// Networks and tags that fold into one number under exclusive or are as far apart as any others.
#[test]
fn networks_of_one_tunnel() {
    let mut real = Real::new(&about("tunnel = \"judge\""));
    let of = |network, tags: &[u16], flags| carried(&V4, network, tags, &segment(&V4.out(), 443, flags));
    let networks: [(u32, &[u16]); 5] = [(7, &[5]), (2, &[]), (7, &[]), (0x50_007, &[]), (7, &[5, 5])];
    for (network, tags) in networks {
        real.fresh();
        real.inside("a start", LAN0, &of(network, tags, SYN), "allowed");
        for other in networks {
            let reason = if other == (network, tags) { "flow" } else { "tcp_no_flow" };
            let what = format!("{other:?} after {network} {tags:?}");
            real.inside(&what, LAN0, &of(other.0, other.1, ACK), reason);
        }
    }
}

/// So are datagrams in fragments that have the same addresses and identification.
#[test]
fn datagrams() {
    let mut real = Real::new(&about("tunnel = \"judge\""));
    let payload = packets::tcp(40_000, 443, SYN, &[0; 12]);
    for net in [V4, V6] {
        real.fresh();
        let part = |network, offset: u16, more, bytes: &[u8]| {
            carried(&net, network, &[], &net.out().fragment(offset, more, 9).packet(TCP, bytes))
        };
        real.inside("a start", LAN0, &part(1, 0, true, &payload[..24]), "allowed");
        for other in 2..200 {
            real.inside("another's end", LAN0, &part(other, 24, false, &payload[24..]), "fragment_first_missing");
        }
        real.inside("its end", LAN0, &part(1, 24, false, &payload[24..]), "fragment_tracked");
    }
}

/// And what is announced in one is so for flows in it alone.
#[test]
fn announcements() {
    let mut real = Real::new(&(about("tunnel = \"judge\"") + "\n[inspection]\n"));
    for net in [V4, V6] {
        real.fresh();
        let inside = |network, port| carried(&net, network, &[], &segment(&net.out(), port, SYN));
        let outside = |port| net.out().frame(net.tags, TCP, &packets::tcp(40_000, port, SYN, &[]));
        let control = real.inside("a control flow", LAN0, &inside(1, 443), "held");
        let held = real.bench.hold(&control).expect("its flow");
        assert!(held.realm & realm::TUNNEL != 0 && held.realm == control.realm, "{}", net.name);

        let once = Related { zone: control.zone, flags: flag::ONCE, ..Related::default() };
        announce(&real, (net.client(), net.server()), (5000, TCP, held.realm), once);
        real.ingress(net.name, LAN0, &outside(5000), "not_allowed");
        real.inside(net.name, LAN0, &inside(2, 5000), "not_allowed");
        let begun = real.inside(net.name, LAN0, &inside(1, 5000), "related");
        // it stands as long as what allowed its control flow
        real.commit(&(about("tunnel = \"judge\"") + "\n[inspection]\n"));
        let again = real.inside(net.name, LAN0, &inside(1, 5000), "flow");
        assert_eq!(again.flow_id, begun.flow_id, "{}", net.name);

        announce(&real, (net.client(), net.server()), (5001, TCP, realm::INSIDE), once);
        real.inside(net.name, LAN0, &inside(1, 5001), "not_allowed");
        real.ingress(net.name, LAN0, &outside(5001), "related");
    }
}
