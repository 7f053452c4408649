//! A policy as the model sees it, and its text for the product's compiler (`docs/policy.md`).

use std::{fmt::Write, net::IpAddr};

/// An address prefix. Nothing is precomputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub address: IpAddr,
    pub bits: u32,
}

impl Prefix {
    /// From text, `10.0.0.0/8` or a lone address.
    pub fn new(text: &str) -> Self {
        match text.split_once('/') {
            Some((address, bits)) => {
                Self { address: address.parse().expect("address"), bits: bits.parse().expect("bits") }
            }
            None => Self::host(text.parse().expect("address")),
        }
    }

    pub fn host(address: IpAddr) -> Self {
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether an address of the same family lies in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && (0..self.bits).all(|at| bit(self.address, at) == bit(address, at))
    }

    /// The highest address of an IPv4 prefix that has room for a broadcast address (RFC 3021: not /31).
    pub fn broadcast(&self) -> Option<IpAddr> {
        match self.address {
            IpAddr::V4(address) if self.bits <= 30 => {
                let hosts = if self.bits == 0 { u32::MAX } else { (1 << (32 - self.bits)) - 1 };
                Some(IpAddr::V4((u32::from(address) | hosts).into()))
            }
            _ => None,
        }
    }

    fn text(&self) -> String {
        format!("{}/{}", self.address, self.bits)
    }
}

fn bit(address: IpAddr, at: u32) -> u8 {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    octets[at as usize / 8] >> (7 - at % 8) & 1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Route,
    Masquerade,
    Bridge,
}

/// An entry of `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    Any,
    Prefix(Prefix),
    Zone(String),
    ZonePrefix(String, Prefix),
    Gateway,
}

/// One service. Ports are ranges, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    pub tcp: Vec<(u16, u16)>,
    pub udp: Vec<(u16, u16)>,
    pub sctp: Vec<(u16, u16)>,
    pub icmp: Vec<u8>,
    pub icmpv6: Vec<u8>,
    pub protocol: Vec<u8>,
    /// Empty: left out, which means `any`.
    pub to: Vec<To>,
    pub except: Vec<Prefix>,
    /// `inspect = false`
    pub uninspected: bool,
    /// `expect`; none: what is registered for the port.
    pub expect: Option<Expect>,
    /// `tunnel`: what becomes of the packets in its tunnels.
    pub tunnel: Option<&'static str>,
}

/// What is to be spoken on a service's flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    Any,
    Only(Vec<&'static str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    pub name: String,
    pub interface: String,
    /// None, one or two tags, outer first.
    pub vlan: Vec<u16>,
    pub prefixes: Vec<Prefix>,
    pub loose: bool,
    /// 0: no cap.
    pub max_flows: u32,
    pub dhcp: bool,
    pub egress: Vec<Service>,
}

/// A `[[publish]]` line. `transport` is an IP protocol number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub name: String,
    pub transport: u8,
    pub ports: Vec<(u16, u16)>,
    pub address: IpAddr,
    pub to: IpAddr,
    pub to_port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragments {
    Drop,
    Track,
    Pass,
}

/// Milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub tcp_new: u64,
    pub tcp_established: u64,
    pub tcp_closing: u64,
    pub udp_new: u64,
    pub udp: u64,
    pub icmp: u64,
    pub other: u64,
    pub fragment: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_new: 30_050,
            tcp_established: 7_200_050,
            tcp_closing: 20_050,
            udp_new: 10_050,
            udp: 60_050,
            icmp: 15_050,
            other: 90_050,
            fragment: 5_050,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub kind: Kind,
    pub outside: Vec<String>,
    /// Of a bridge: the interfaces between which frames go on.
    pub pairs: Vec<[String; 2]>,
    pub addresses: Vec<IpAddr>,
    pub ethertypes: Vec<u16>,
    pub drop_unsolicited: bool,
    /// UDP ports of VXLAN.
    pub vxlan: Vec<u16>,
    /// `pppoe`: what becomes of sessions.
    pub pppoe: Option<&'static str>,
    pub zones: Vec<Zone>,
    pub gateway_egress: Vec<Service>,
    pub outside_egress: Vec<Service>,
    pub publish: Vec<Publish>,
    pub block_from: Vec<Prefix>,
    pub block_to: Vec<Prefix>,
    pub udp_fragments: Fragments,
    pub tcp_fragments: Fragments,
    pub icmp_fragments: Fragments,
    pub other_fragments: Fragments,
    pub timeouts: Timeouts,
    /// `[inspection]`
    pub inspection: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            kind: Kind::Route,
            outside: vec!["wan0".into()],
            pairs: Vec::new(),
            addresses: Vec::new(),
            ethertypes: vec![0x0806],
            drop_unsolicited: false,
            vxlan: vec![4789, 8472],
            pppoe: None,
            zones: Vec::new(),
            gateway_egress: Vec::new(),
            outside_egress: Vec::new(),
            publish: Vec::new(),
            block_from: Vec::new(),
            block_to: Vec::new(),
            udp_fragments: Fragments::Drop,
            tcp_fragments: Fragments::Track,
            icmp_fragments: Fragments::Track,
            other_fragments: Fragments::Track,
            timeouts: Timeouts::default(),
            inspection: false,
        }
    }
}

impl Policy {
    /// Whether some zone has a cap.
    pub fn capped(&self) -> bool {
        self.zones.iter().any(|zone| zone.max_flows > 0)
    }

    /// The policy file.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("a string takes everything");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let kind = format!("{:?}", self.kind).to_lowercase();
        writeln!(out, "[gateway]\nkind = \"{kind}\"")?;
        writeln!(out, "outside = {}", strings(&self.outside))?;
        if !self.pairs.is_empty() {
            writeln!(out, "pairs = {:?}", self.pairs)?;
        }
        writeln!(out, "addresses = {}", strings(&self.addresses))?;
        let ethertypes: Vec<String> = self
            .ethertypes
            .iter()
            .map(|number| match number {
                0x0806 => "arp".into(),
                0 => "llc".into(),
                _ => format!("0x{number:04x}"),
            })
            .collect();
        writeln!(out, "ethertypes = {}", strings(&ethertypes))?;
        writeln!(out, "unsolicited = \"{}\"", if self.drop_unsolicited { "drop" } else { "count" })?;
        writeln!(out, "vxlan = {:?}", self.vxlan)?;
        if let Some(pppoe) = self.pppoe {
            writeln!(out, "pppoe = \"{pppoe}\"")?;
        }
        for zone in &self.zones {
            writeln!(out, "\n[zone.{}]\ninterface = \"{}\"", zone.name, zone.interface)?;
            match zone.vlan[..] {
                [] => {}
                [one] => writeln!(out, "vlan = {one}")?,
                _ => writeln!(out, "vlan = {:?}", zone.vlan)?,
            }
            writeln!(out, "prefixes = {}", prefixes(&zone.prefixes))?;
            if zone.loose {
                writeln!(out, "state = \"loose\"")?;
            }
            if zone.max_flows > 0 {
                writeln!(out, "max_flows = {}", zone.max_flows)?;
            }
            if zone.dhcp {
                writeln!(out, "dhcp = true")?;
            }
            for service in &zone.egress {
                write_service(out, &format!("zone.{}.egress", zone.name), service)?;
            }
        }
        for service in &self.gateway_egress {
            write_service(out, "self.egress", service)?;
        }
        for service in &self.outside_egress {
            write_service(out, "outside.egress", service)?;
        }
        for line in &self.publish {
            writeln!(out, "\n[[publish]]\nname = \"{}\"", line.name)?;
            writeln!(out, "{} = {}", if line.transport == 6 { "tcp" } else { "udp" }, ports(&line.ports))?;
            writeln!(out, "address = \"{}\"\nto = \"{}\"", line.address, line.to)?;
            if let Some(port) = line.to_port {
                writeln!(out, "to_port = {port}")?;
            }
        }
        if !self.block_from.is_empty() || !self.block_to.is_empty() {
            writeln!(out, "\n[blocklist]")?;
            writeln!(out, "from = {}\nto = {}", prefixes(&self.block_from), prefixes(&self.block_to))?;
        }
        if self.inspection {
            writeln!(out, "\n[inspection]")?;
        }
        writeln!(out, "\n[fragments]")?;
        for (name, what) in [
            ("udp", self.udp_fragments),
            ("tcp", self.tcp_fragments),
            ("icmp", self.icmp_fragments),
            ("other", self.other_fragments),
        ] {
            writeln!(out, "{name} = \"{}\"", format!("{what:?}").to_lowercase())?;
        }
        let times = &self.timeouts;
        writeln!(out, "\n[timeouts]")?;
        for (name, ms) in [
            ("tcp_new", times.tcp_new),
            ("tcp_established", times.tcp_established),
            ("tcp_closing", times.tcp_closing),
            ("udp_new", times.udp_new),
            ("udp", times.udp),
            ("icmp", times.icmp),
            ("other", times.other),
            ("fragment", times.fragment),
        ] {
            writeln!(out, "{name} = \"{ms}ms\"")?;
        }
        Ok(())
    }
}

fn write_service(out: &mut String, table: &str, service: &Service) -> std::fmt::Result {
    writeln!(out, "\n[[{table}]]\nname = \"{}\"", service.name)?;
    for (key, ranges) in [("tcp", &service.tcp), ("udp", &service.udp), ("sctp", &service.sctp)] {
        if !ranges.is_empty() {
            writeln!(out, "{key} = {}", ports(ranges))?;
        }
    }
    for (key, numbers) in [("icmp", &service.icmp), ("icmpv6", &service.icmpv6), ("protocol", &service.protocol)] {
        if !numbers.is_empty() {
            writeln!(out, "{key} = {numbers:?}")?;
        }
    }
    if !service.to.is_empty() {
        let to: Vec<String> = service
            .to
            .iter()
            .map(|entry| match entry {
                To::Any => "any".into(),
                To::Prefix(prefix) => prefix.text(),
                To::Zone(zone) => format!("zone:{zone}"),
                To::ZonePrefix(zone, prefix) => format!("zone:{zone}/{}", prefix.text()),
                To::Gateway => "self".into(),
            })
            .collect();
        writeln!(out, "to = {}", strings(&to))?;
    }
    if !service.except.is_empty() {
        writeln!(out, "except = {}", prefixes(&service.except))?;
    }
    if service.uninspected {
        writeln!(out, "inspect = false")?;
    }
    match &service.expect {
        None => {}
        Some(Expect::Any) => writeln!(out, "expect = \"any\"")?,
        Some(Expect::Only(names)) => writeln!(out, "expect = {}", strings(names))?,
    }
    service.tunnel.map_or(Ok(()), |tunnel| writeln!(out, "tunnel = \"{tunnel}\""))
}

fn strings(items: &[impl std::fmt::Display]) -> String {
    format!("[{}]", items.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", "))
}

fn prefixes(items: &[Prefix]) -> String {
    strings(&items.iter().map(Prefix::text).collect::<Vec<_>>())
}

fn ports(ranges: &[(u16, u16)]) -> String {
    let texts: Vec<String> = ranges
        .iter()
        .map(|(low, high)| if low == high { low.to_string() } else { format!("\"{low}-{high}\"") })
        .collect();
    format!("[{}]", texts.join(", "))
}
