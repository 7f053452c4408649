//! Services that carry other packets: what can be read is judged, passed or dropped by their word; what cannot is not judged.

use super::{
    codes,
    diagnostic::{Diagnostic, Diagnostics, Place, quoted},
    model::{Policy, PortRange, Service, Tunnel},
};

/// Protocols whose payload is another packet, which the programs can read (IANA, Protocol Numbers).
const READABLE: [(u8, &str); 3] = [(4, "IPv4 in IP"), (41, "IPv6 in IP"), (47, "GRE")];
/// The same, which they cannot read.
const PROTOCOLS: [(u8, &str); 4] = [(50, "ESP"), (97, "Ethernet in IP"), (115, "L2TPv3"), (137, "MPLS in IP")];
/// Ports of tunnels over UDP that the programs cannot read (IANA, Service Names and Port Numbers; 51820 is what WireGuard's
/// documentation names).
const UDP: [(u16, &str); 10] = [
    (1194, "OpenVPN"),
    (1701, "L2TP"),
    (2152, "GTP-U"),
    (3544, "Teredo"),
    (4500, "IPsec over UDP"),
    (4754, "GRE over UDP"),
    (4790, "VXLAN-GPE"),
    (6081, "Geneve"),
    (6635, "MPLS over UDP"),
    (51820, "WireGuard"),
];
/// Ports of tunnels over TCP.
const TCP: [(u16, &str); 2] = [(1194, "OpenVPN"), (1723, "PPTP")];

/// Warns when a service lets a tunnel through that nobody can look into, or names one that is dropped because it does not say what
/// becomes of its packets.
pub(super) fn warn(policy: &Policy, service: &Service, diagnostics: &mut Diagnostics) {
    let matches = &service.matches;
    unasked(policy, service, diagnostics);
    if service.tunnel == Some(Tunnel::Opaque) {
        return;
    }
    let protocols = PROTOCOLS.iter().filter(|(number, _)| matches.protocols.contains(number));
    let mut names: Vec<&str> = protocols.map(|(_, name)| *name).collect();
    let over = |known: &[(u16, &'static str)], ranges: &[PortRange]| -> Vec<&'static str> {
        let open = |port: u16| ranges.iter().any(|range| range.holds(port));
        known.iter().filter(|(port, _)| open(*port)).map(|(_, name)| *name).collect()
    };
    names.extend(over(&UDP, &matches.udp));
    names.extend(over(&TCP, &matches.tcp));
    names.dedup();
    if names.is_empty() {
        return;
    }
    tell(policy, service, &names, diagnostics);
}

fn tell(policy: &Policy, service: &Service, names: &[&str], diagnostics: &mut Diagnostics) {
    diagnostics.add(&codes::TUNNEL, || {
        let message = format!(
            "{} lets tunnels through ({}): the packets inside are not judged",
            quoted(&service.name),
            names.join(", ")
        );
        Diagnostic::new(&codes::TUNNEL, Place::new(&policy.source, service.location), message)
            .help("name in `to` the one host at the other end")
    });
}

/// Of a range of ports that holds one of VXLAN's among others, VXLAN is not what it is about.
fn unasked(policy: &Policy, service: &Service, diagnostics: &mut Diagnostics) {
    let matches = &service.matches;
    let protocols = READABLE.iter().filter(|(number, _)| matches.protocols.contains(number));
    let mut names: Vec<&str> = protocols.map(|(_, name)| *name).collect();
    let vxlan = &policy.gateway.vxlan;
    let alone = |range: &PortRange| vxlan.iter().any(|port| range.holds(*port)) && range.last - range.first < 2;
    if matches.udp.iter().any(alone) {
        names.push("VXLAN");
    }
    if names.is_empty() || service.tunnel.is_some() {
        return;
    }
    diagnostics.add(&codes::TUNNEL_UNASKED, || {
        let message = format!(
            "{} names a tunnel ({}) and does not say what becomes of the packets inside: they are dropped",
            quoted(&service.name),
            names.join(", ")
        );
        Diagnostic::new(&codes::TUNNEL_UNASKED, Place::new(&policy.source, service.location), message)
            .help("write `tunnel = \"judge\"`, or `\"opaque\"` to let them pass unread")
    });
}
