//! Random policies: what the tables answer is what the text means.

use std::{fmt::Write, net::IpAddr, path::Path};

use dropgate::policy::{
    self, Environment, Ids, Image, Policy, Prefix, Source,
    compile::Interface,
    model::{Addresses, Peer, Service},
    prefix::address_words,
};
use dropgate_abi::{
    policy::{BLOCK_FROM, BLOCK_TO, PortKey, ZONE_BROADCAST, ZONE_NONE, ZONE_OUTSIDE, ZONE_PUBLISHED, ZONE_SELF},
    tuple::{V4, V6},
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::look_up::{self, Packet};

const PREFIXES: [&str; 16] = [
    "10.0.0.0/24",
    "10.0.0.0/25",
    "10.0.0.128/25",
    "10.0.0.252/30",
    "10.0.0.254/31",
    "10.0.0.255",
    "10.0.0.7",
    "10.0.1.0/24",
    "10.0.0.0/16",
    "192.0.2.0/24",
    "192.0.2.9",
    "0.0.0.0/0",
    "2001:db8::/32",
    "2001:db8:0:1::/64",
    "2001:db8::9",
    "::/0",
];
const ADDRESSES: [&str; 20] = [
    "10.0.0.0",
    "10.0.0.7",
    "10.0.0.127",
    "10.0.0.128",
    "10.0.0.253",
    "10.0.0.254",
    "10.0.0.255",
    "10.0.1.1",
    "10.0.1.255",
    "10.0.255.255",
    "192.0.2.1",
    "192.0.2.9",
    "192.0.2.255",
    "10.0.0.1",
    "203.0.113.1",
    "2001:db8::9",
    "2001:db8::1",
    "2001:db8:0:1::5",
    "2001:db9::1",
    "fe80::5",
];
const OWN: [&str; 3] = ["10.0.0.1", "203.0.113.1", "2001:db8::1"];
const PORTS: [u16; 12] = [1, 2, 31, 32, 33, 80, 100, 131, 132, 133, 443, 65535];
const SIDES: [(&str, u16); 5] = [("lan0", 0), ("lan0", 7), ("lan1", 0), ("wan0", 0), ("wan0", 7)];

#[derive(Clone, Debug)]
struct ZoneText {
    side: usize,
    prefixes: Vec<&'static str>,
    egress: Vec<ServiceText>,
}

#[derive(Clone, Debug)]
struct ServiceText {
    matches: Vec<String>,
    to: Vec<String>,
    except: Vec<&'static str>,
}

fn ports() -> impl Strategy<Value = String> {
    let bound = || select(&PORTS[..]);
    vec((bound(), bound()), 1..4).prop_map(|ranges| {
        let words = ranges.iter().map(|(a, b)| format!("\"{}-{}\"", a.min(b), a.max(b)));
        words.collect::<Vec<_>>().join(", ")
    })
}

fn service(peers: Vec<&'static str>) -> impl Strategy<Value = ServiceText> {
    let other = select(vec!["icmp = [8, 0]", "icmpv6 = [128]", "protocol = [47, 6]", "protocol = [17]"]);
    let matches = prop_oneof![
        4 => ports().prop_map(|ports| vec![format!("tcp = [{ports}]")]),
        2 => (ports(), ports()).prop_map(|(a, b)| vec![format!("tcp = [{a}]"), format!("udp = [{b}]")]),
        1 => other.prop_map(|line| vec![line.to_owned()]),
    ];
    let to = vec((select(peers), select(&PREFIXES[..])), 1..4).prop_map(|targets| {
        let word = |(peer, prefix): (&str, &str)| match peer {
            "prefix" => prefix.to_owned(),
            peer => peer.replace('*', prefix),
        };
        targets.into_iter().map(word).collect()
    });
    (matches, to, vec(select(&PREFIXES[..]), 0..3)).prop_map(|(matches, to, except)| ServiceText {
        matches,
        to,
        except,
    })
}

fn peers() -> Vec<&'static str> {
    vec!["any", "prefix", "prefix", "prefix", "self", "zone:z0", "zone:z0/*", "zone:z1/*"]
}

fn zone() -> impl Strategy<Value = ZoneText> {
    (0..SIDES.len(), vec(select(&PREFIXES[..]), 1..4), vec(service(peers()), 0..6))
        .prop_map(|(side, prefixes, egress)| ZoneText { side, prefixes, egress })
}

prop_compose! {
    fn text()(
        zones in vec(zone(), 2..5),
        own in vec(service(vec!["any", "prefix", "zone:z0"]), 0..3),
        outside in vec(service(vec!["self"]), 0..3),
        published in vec((select(&PORTS[..]), select(&["10.0.0.7", "10.0.0.127", "192.0.2.9"][..]), any::<bool>()), 0..3),
        blocked in vec(select(&PREFIXES[..11]), 0..3),
    ) -> String {
        let mut text = String::from("[gateway]\nkind = \"masquerade\"\noutside = [\"wan0\"]\n");
        let mut held = Vec::new();
        for (n, zone) in zones.iter().enumerate() {
            let (interface, vlan) = SIDES[zone.side];
            let mut prefixes = zone.prefixes.clone();
            // a side cannot hold a prefix twice
            prefixes.retain(|prefix| {
                let new = !held.contains(&(zone.side, *prefix));
                held.push((zone.side, *prefix));
                new
            });
            if prefixes.is_empty() {
                prefixes.push(["172.16.0.0/24", "172.16.1.0/24", "172.16.2.0/24", "172.16.3.0/24", "172.16.4.0/24"][n]);
            }
            writeln!(text, "[zone.z{n}]\ninterface = \"{interface}\"\nprefixes = {prefixes:?}").unwrap();
            if vlan != 0 {
                writeln!(text, "vlan = {vlan}").unwrap();
            }
            write_services(&mut text, &format!("zone.z{n}"), &zone.egress);
        }
        write_services(&mut text, "self", &own);
        write_services(&mut text, "outside", &outside);
        for (n, (port, to, translated)) in published.iter().enumerate() {
            writeln!(text, "[[publish]]\nname = \"p{n}\"\ntcp = [{port}]\naddress = \"203.0.113.1\"\nto = \"{to}\"").unwrap();
            if *translated {
                text.push_str("to_port = 8080\n");
            }
        }
        writeln!(text, "[blocklist]\nfrom = {blocked:?}\nto = {:?}", blocked.iter().rev().take(1).collect::<Vec<_>>()).unwrap();
        text
    }
}

fn write_services(text: &mut String, owner: &str, services: &[ServiceText]) {
    for (n, service) in services.iter().enumerate() {
        let ServiceText { matches, to, except } = service;
        writeln!(text, "[[{owner}.egress]]\nname = \"s{n}\"\n{}\nto = {to:?}\nexcept = {except:?}", matches.join("\n"))
            .unwrap();
    }
}

fn environment() -> Environment {
    let mut environment = Environment::default();
    for (index, name) in (1..).zip(["lan0", "lan1", "wan0"]) {
        let addresses = OWN.iter().map(|address| (address.parse().unwrap(), 24)).collect();
        environment.interfaces.insert(name.to_owned(), Interface { index, addresses, ..Interface::default() });
    }
    environment
}

/// The meaning of a policy, read off the model line by line.
struct Meaning<'a> {
    policy: &'a Policy,
    ids: &'a Ids,
}

impl Meaning<'_> {
    fn number(&self, zone: &str) -> u16 {
        self.ids.zones.get(zone).unwrap() as u16
    }

    fn own(address: IpAddr) -> bool {
        OWN.contains(&address.to_string().as_str())
    }

    /// The zone, among those whose side `here` takes, that holds an address most narrowly; the first one if several do.
    fn holder(&self, address: IpAddr, here: impl Fn(&str, u16) -> bool) -> Option<(u16, Prefix)> {
        let mut best: Option<(u16, Prefix)> = None;
        for zone in &self.policy.zones {
            for (prefix, _) in &zone.prefixes {
                let holds = here(&zone.interface.name, zone.vlan[0]) && prefix.holds(Prefix::host(address));
                if holds && best.is_none_or(|(_, other)| other.length() < prefix.length()) {
                    best = Some((self.number(&zone.name), *prefix));
                }
            }
        }
        best
    }

    /// The last address of a network that a zone of these sides holds is no host, unless a narrower one says it is.
    fn is_broadcast(&self, address: IpAddr, here: impl Fn(&str, u16) -> bool) -> bool {
        let narrowest = self.holder(address, &here).map_or(32, |(_, prefix)| prefix.length());
        narrowest <= 30
            && self.policy.zones.iter().filter(|zone| here(&zone.interface.name, zone.vlan[0])).any(|zone| {
                zone.prefixes
                    .iter()
                    .any(|(prefix, _)| !prefix.is_v6() && prefix.length() <= 30 && prefix.last() == address)
            })
    }

    fn source(&self, side: (&str, u16), address: IpAddr) -> u16 {
        let here = |interface: &str, vlan: u16| (interface, vlan) == side;
        if Self::own(address) {
            return ZONE_SELF;
        }
        if self.is_broadcast(address, here) {
            return ZONE_BROADCAST;
        }
        let local = self.holder(address, here);
        if side == ("wan0", 0) {
            let any = self.holder(address, |_, _| true);
            return match (local, any) {
                (Some((zone, own)), Some((_, any))) if own.length() >= any.length() => zone,
                (_, Some(_)) => ZONE_NONE,
                (_, None) => ZONE_OUTSIDE,
            };
        }
        if let Some((zone, _)) = local {
            return zone;
        }
        let zones: Vec<_> = self.policy.zones.iter().filter(|zone| here(&zone.interface.name, zone.vlan[0])).collect();
        match zones.as_slice() {
            [zone] if Prefix::LINK_LOCAL.holds(Prefix::host(address)) => self.number(&zone.name),
            _ => ZONE_NONE,
        }
    }

    fn peer(&self, address: IpAddr) -> u16 {
        let everywhere = |_: &str, _: u16| true;
        if Self::own(address) {
            ZONE_SELF
        } else if self.is_broadcast(address, everywhere) {
            ZONE_BROADCAST
        } else {
            self.holder(address, everywhere).map_or(ZONE_OUTSIDE, |(zone, _)| zone)
        }
    }

    /// The name of the line that allows a packet from `zone`.
    fn allowed(&self, zone: u16, address: IpAddr, protocol: u8, port: u16) -> Option<String> {
        let peer = self.peer(address);
        let published = |line: &&policy::model::Publish| {
            let ports_hold = line.ports.iter().any(|range| range.holds(port));
            let (to, port_holds) = match (zone, line.to_port) {
                (ZONE_PUBLISHED, Some(to_port)) => (line.to, to_port == port),
                (ZONE_PUBLISHED, None) => (line.to, ports_hold),
                _ => (line.address, ports_hold),
            };
            line.protocol == protocol && port_holds && to == address
        };
        if [ZONE_NONE, ZONE_BROADCAST].contains(&zone) {
            return None;
        }
        if zone != ZONE_SELF
            && let Some(line) = self.policy.publish.iter().find(published)
        {
            return Some(format!("publish/{}", line.name));
        }
        let (owner, services): (&str, &[Service]) = match zone {
            ZONE_SELF => ("self", &self.policy.self_egress),
            ZONE_OUTSIDE => ("outside", &self.policy.outside_egress),
            _ => {
                let zone = self.policy.zones.iter().find(|z| self.number(&z.name) == zone)?;
                (&zone.name, &zone.egress)
            }
        };
        let holds = |set: &Addresses| match set {
            Addresses::All => true,
            Addresses::Prefix(prefix) => prefix.holds(Prefix::host(address)),
            Addresses::List(_) => unreachable!("no lists here"),
        };
        let found = services.iter().find(|service| {
            let to = service.to.iter().any(|target| {
                let same = match &target.peer {
                    Peer::Outside => peer == ZONE_OUTSIDE,
                    Peer::Gateway => peer == ZONE_SELF,
                    Peer::Zone(name) => peer == self.number(name),
                };
                same && holds(&target.addresses)
            });
            let ranges: &[_] = match protocol {
                6 => &service.matches.tcp,
                17 => &service.matches.udp,
                1 => &service.matches.icmp,
                58 => &service.matches.icmpv6,
                _ => &[],
            };
            let port_holds =
                ranges.iter().any(|range| range.holds(port)) || service.matches.protocols.contains(&protocol);
            to && port_holds && !service.except.iter().any(holds)
        });
        found.map(|service| format!("{owner}/{}", service.name))
    }

    fn blocked(set: &[Addresses], address: IpAddr) -> bool {
        set.iter().any(|set| matches!(set, Addresses::Prefix(p) if p.holds(Prefix::host(address))))
    }
}

fn compare(policy: &Policy, image: &Image, ids: &Ids, packets: &[[usize; 5]]) {
    let meaning = Meaning { policy, ids };
    for [side, source, destination, port, kind] in packets {
        let source: IpAddr = ADDRESSES[*source].parse().unwrap();
        let destination: IpAddr = ADDRESSES[*destination].parse().unwrap();
        if source.is_ipv4() != destination.is_ipv4() {
            continue;
        }
        let (interface, vlan) = SIDES[*side];
        let (protocol, port) = [(6, PORTS[*port]), (17, PORTS[*port]), (1, 8), (58, 128), (47, 0), (6, 8080)][*kind];
        let ifindex = ["lan0", "lan1", "wan0"].iter().position(|name| *name == interface).unwrap() as u32 + 1;
        let packet = Packet {
            at: PortKey { ifindex, outer: vlan, inner: 0 },
            family: if source.is_ipv4() { V4 } else { V6 },
            source: address_words(source),
            destination: address_words(destination),
            protocol,
            port,
        };
        let peer = look_up::peer(image, &packet);
        assert_eq!(peer, meaning.peer(destination), "peer {destination}");
        let zone = look_up::source(image, &packet);
        let known = policy.zones.iter().any(|z| (z.interface.name.as_str(), z.vlan[0]) == SIDES[*side]);
        assert_eq!(zone.is_some(), known || SIDES[*side] == ("wan0", 0));
        if let Some(zone) = zone {
            assert_eq!(zone, meaning.source(SIDES[*side], source), "source {source} at {interface}.{vlan}");
        }
        for zone in [zone.unwrap_or(ZONE_NONE), ZONE_SELF, ZONE_OUTSIDE, ZONE_PUBLISHED] {
            let found = look_up::service(image, zone, peer, &packet).map(|counter| {
                let name = &image.names.services[&counter];
                format!("{}/{}", name.owner, name.name)
            });
            let expected = meaning.allowed(zone, destination, protocol, port);
            assert_eq!(found, expected, "zone {zone} to {destination}, {protocol}/{port}");
        }
        let blocked = look_up::blocked(image, BLOCK_FROM, packet.family, packet.source);
        assert_eq!(blocked, Meaning::blocked(&policy.blocklist.from, source));
        let blocked = look_up::blocked(image, BLOCK_TO, packet.family, packet.destination);
        assert_eq!(blocked, Meaning::blocked(&policy.blocklist.to, destination));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tables_mean_what_the_text_means(
        text in text(),
        packets in vec([0..SIDES.len(), 0..ADDRESSES.len(), 0..ADDRESSES.len(), 0..PORTS.len(), 0..6usize], 200),
    ) {
        let (policy, diagnostics) = policy::parse(Source::new("random.toml", text.as_str()), Path::new("."));
        // the only mistake that the generator makes: publishing a host that no zone holds
        let only_unheld = diagnostics.iter().all(|d| !d.is_error() || d.code == "DG024");
        prop_assert!(only_unheld, "{text}\n{}", policy::render(&diagnostics, false));
        prop_assume!(policy.is_some());
        let policy = policy.unwrap();
        let mut ids = Ids::default();
        let image = policy::compile(&policy, &environment(), &mut ids);
        // a published host may be a broadcast address
        prop_assume!(image.is_ok());
        compare(&policy, &image.unwrap(), &ids, &packets);
    }
}
