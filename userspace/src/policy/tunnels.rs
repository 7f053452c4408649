//! Services that carry other packets: what is inside is not judged.

use super::{
    codes,
    diagnostic::{Diagnostic, Diagnostics, Place, quoted},
    model::{Policy, PortRange, Service},
};

/// Protocols whose payload is another packet (IANA, Protocol Numbers).
const PROTOCOLS: [(u8, &str); 7] = [
    (4, "IPv4 in IP"),
    (41, "IPv6 in IP"),
    (47, "GRE"),
    (50, "ESP"),
    (97, "Ethernet in IP"),
    (115, "L2TPv3"),
    (137, "MPLS in IP"),
];
/// Ports of tunnels over UDP (IANA, Service Names and Port Numbers; 8472 is what Linux uses for VXLAN by default, 51820
/// what WireGuard's documentation names).
const UDP: [(u16, &str); 12] = [
    (1194, "OpenVPN"),
    (1701, "L2TP"),
    (2152, "GTP-U"),
    (3544, "Teredo"),
    (4500, "IPsec over UDP"),
    (4754, "GRE over UDP"),
    (4789, "VXLAN"),
    (4790, "VXLAN-GPE"),
    (6081, "Geneve"),
    (6635, "MPLS over UDP"),
    (8472, "VXLAN"),
    (51820, "WireGuard"),
];
/// Ports of tunnels over TCP.
const TCP: [(u16, &str); 2] = [(1194, "OpenVPN"), (1723, "PPTP")];

/// Warns when a service lets a tunnel through.
pub(super) fn warn(policy: &Policy, service: &Service, diagnostics: &mut Diagnostics) {
    let matches = &service.matches;
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
