//! A checked policy: what the file says, with every name resolved and every number in range.

mod inspection;
mod signatures;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use super::{
    prefix::Prefix,
    source::{Location, Source},
};

pub use self::{
    inspection::{Answer, Expect, Failure, Inspection, Midstream, Proxied, Reaction},
    signatures::{FileName, Signatures},
};

/// Most zones a policy may have.
pub const MAX_ZONES: usize = 4096;
/// Most services a policy may have, the published ones included.
pub const MAX_SERVICES: usize = 100_000;

/// A whole policy file with its lists.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Text of the policy file, for diagnostics that come later.
    pub source: Arc<Source>,
    pub gateway: Gateway,
    /// In file order.
    pub zones: Vec<Zone>,
    /// What the gateway itself may reach.
    pub self_egress: Vec<Service>,
    /// What hosts on the outside may reach.
    pub outside_egress: Vec<Service>,
    pub publish: Vec<Publish>,
    pub blocklist: Blocklist,
    pub lists: BTreeMap<String, List>,
    pub fragments: Fragments,
    /// Keys of `[fragments]` that say `"pass"`, and where.
    pub fragments_passed: Vec<(String, Location)>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub events: Events,
    /// `None`: nothing is inspected.
    pub inspection: Option<Inspection>,
    pub failure: Failure,
    /// `None`: there are no rules, and what is said is not told of.
    pub signatures: Option<Signatures>,
}

/// What the gateway does with addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Route,
    Masquerade,
    Bridge,
}

/// An interface the policy names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceName {
    pub name: String,
    pub location: Location,
}

/// `[gateway]`.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub kind: Kind,
    pub outside: Vec<InterfaceName>,
    /// Of a bridge: the two interfaces between which frames go on.
    pub pairs: Vec<[InterfaceName; 2]>,
    /// Of a bridge: where the link of one side is down, the other one's is taken down.
    pub link_follows: bool,
    /// `"auto"`: every address of the machine's interfaces is the gateway's own.
    pub auto_addresses: bool,
    /// The gateway's addresses that the file names.
    pub addresses: Vec<IpAddr>,
    /// How long mid-stream TCP is taken in after the first attach.
    pub adopt: Duration,
    /// Non-IP ethertypes that pass; at most 16. 0: frames that have none.
    pub ethertypes: Vec<u16>,
    pub drop_unsolicited: bool,
    pub quiet_chatter: bool,
    /// The gateway gets its outside addresses by DHCP.
    pub dhcp: bool,
    /// Packets of settled flows are forwarded in the programs, without the kernel's stack.
    pub fast_forward: bool,
    /// What becomes of PPPoE sessions. `None`: nobody has said, and they are dropped.
    pub pppoe: Option<Tunnel>,
    /// UDP ports of VXLAN; at most 8.
    pub vxlan: Vec<u16>,
    /// Interfaces where packets come in by tcx, whatever their drivers can do.
    pub tcx: Vec<InterfaceName>,
}

/// `[zone.NAME]`.
#[derive(Clone, Debug)]
pub struct Zone {
    pub name: String,
    pub location: Location,
    pub interface: InterfaceName,
    /// VLAN identifiers, outer first; zero: no tag.
    pub vlan: [u16; 2],
    /// `"auto"`, or no `prefixes` at all: the prefixes of the interface's addresses are the zone's.
    pub auto_prefixes: bool,
    /// The prefixes that the file names.
    pub prefixes: Vec<(Prefix, Location)>,
    /// Flows may start in either direction, at any packet.
    pub loose: bool,
    /// Cap on live flows; `None`: [`Limits::zone_flows`].
    pub max_flows: Option<u32>,
    pub dhcp: bool,
    /// The allowlist, in file order.
    pub egress: Vec<Service>,
}

/// One line of an allowlist: `[[zone.NAME.egress]]`, `[[self.egress]]` or `[[outside.egress]]`.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    pub location: Location,
    pub matches: Matches,
    /// Never empty.
    pub to: Vec<Target>,
    /// Where `to` stands; the line itself when it is left out.
    pub to_location: Location,
    pub except: Vec<Addresses>,
    /// Its flows are inspected, if anything is.
    pub inspect: bool,
    pub expect: Expect,
    /// Its servers are proxies. `None`: the file does not say so.
    pub proxied: Option<Proxied>,
    /// What becomes of the packets in tunnels that it lets through. `None`: nobody has said, and those that could be read are dropped.
    pub tunnel: Option<Tunnel>,
}

/// What becomes of the packets in a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Tunnel {
    /// They are judged as packets of their own.
    Judge,
    /// They pass unread.
    Opaque,
    Drop,
}

/// The protocols and ports of a service. Sorted and merged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub struct Matches {
    pub tcp: Vec<PortRange>,
    pub udp: Vec<PortRange>,
    pub sctp: Vec<PortRange>,
    /// ICMP types.
    pub icmp: Vec<PortRange>,
    /// ICMPv6 types.
    pub icmpv6: Vec<PortRange>,
    /// Other IP protocols.
    pub protocols: Vec<u8>,
}

/// Ports, or ICMP types, from one to another, both included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

/// Whose host a destination is, and which of them.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Target {
    pub peer: Peer,
    pub addresses: Addresses,
}

/// What stands at the other end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Peer {
    Outside,
    Gateway,
    /// A zone, by name; [`Policy::zones`] has it.
    Zone(String),
}

/// A set of addresses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Addresses {
    All,
    Prefix(Prefix),
    /// A list, by name; [`Policy::lists`] has it.
    List(String),
}

/// `[[publish]]`.
#[derive(Clone, Debug)]
pub struct Publish {
    pub name: String,
    pub location: Location,
    /// IP protocol number: TCP, UDP or SCTP.
    pub protocol: u8,
    pub expect: Expect,
    /// As [`Service::tunnel`].
    pub tunnel: Option<Tunnel>,
    /// As the outside sees them.
    pub ports: Vec<PortRange>,
    /// Before translation: the gateway's.
    pub address: IpAddr,
    /// After translation: a host in a zone.
    pub to: IpAddr,
    pub to_location: Location,
    /// After translation; `None`: the port stays.
    pub to_port: Option<u16>,
}

/// `[blocklist]`.
#[derive(Clone, Debug, Default)]
pub struct Blocklist {
    pub from: Vec<Addresses>,
    pub to: Vec<Addresses>,
}

/// One entry of `[lists]`, read.
#[derive(Clone, Debug)]
pub struct List {
    /// As the policy file names it.
    pub path: String,
    /// Sorted, without duplicates.
    pub prefixes: Arc<[Prefix]>,
}

/// What is done with fragments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fragment {
    Drop,
    Track,
    Pass,
}

/// `[fragments]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragments {
    pub udp: Fragment,
    pub tcp: Fragment,
    pub icmp: Fragment,
    pub other: Fragment,
}

impl Default for Fragments {
    fn default() -> Self {
        Self { udp: Fragment::Drop, tcp: Fragment::Track, icmp: Fragment::Track, other: Fragment::Track }
    }
}

/// `[timeouts]`: how long an idle flow lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    pub tcp_new: Duration,
    pub tcp_established: Duration,
    pub tcp_closing: Duration,
    pub udp_new: Duration,
    pub udp: Duration,
    pub icmp: Duration,
    pub other: Duration,
    pub fragment: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            tcp_new: seconds(30),
            tcp_established: seconds(7200),
            tcp_closing: seconds(30),
            udp_new: seconds(30),
            udp: seconds(180),
            icmp: seconds(30),
            other: seconds(600),
            fragment: seconds(15),
        }
    }
}

/// `[limits]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Flows the table has room for.
    pub flows: u32,
    /// Cap for zones without their own; 0: none.
    pub zone_flows: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { flows: 1_000_000, zone_flows: 0 }
    }
}

/// `[events]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Events {
    /// Events a second for each reason.
    pub rate: u32,
    pub tells: Tells,
}

impl Default for Events {
    fn default() -> Self {
        Self { rate: 100, tells: Tells::default() }
    }
}

/// What events tell beside what they are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tells {
    /// `verdict`: what was done with the packet of an alert, or one that was dropped.
    pub verdict: bool,
    /// `community_id`, with this seed.
    pub community_id: Option<u16>,
    /// `ether`: the hardware addresses.
    pub ethernet: bool,
    /// `payload` and `payload_printable` of alerts.
    pub payload: bool,
    /// `packet` and `packet_info` of alerts.
    pub packet: bool,
    /// `certificate` and `chain` of TLS, and what the client has shown.
    pub certificates: bool,
}

impl Default for Tells {
    fn default() -> Self {
        Self { verdict: true, community_id: None, ethernet: false, payload: false, packet: false, certificates: false }
    }
}

impl Policy {
    /// The zone of that name.
    pub fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.name == name)
    }

    /// Every allowlist with its owner's name: the zones, `self`, `outside`.
    pub fn allowlists(&self) -> impl Iterator<Item = (&str, &[Service])> {
        let zones = self.zones.iter().map(|zone| (zone.name.as_str(), zone.egress.as_slice()));
        zones.chain([("self", self.self_egress.as_slice()), ("outside", &self.outside_egress)])
    }

    /// Names of all interfaces, each once, in name order.
    pub fn interfaces(&self) -> BTreeMap<&str, &InterfaceName> {
        let zones = self.zones.iter().map(|zone| &zone.interface);
        let mut all = BTreeMap::new();
        for interface in self.gateway.outside.iter().chain(zones) {
            all.entry(interface.name.as_str()).or_insert(interface);
        }
        all
    }

    /// The interface where frames go on that come in by this one.
    pub fn peer(&self, interface: &str) -> Option<&InterfaceName> {
        self.gateway.pairs.iter().find_map(|[one, other]| match interface {
            name if name == one.name => Some(other),
            name if name == other.name => Some(one),
            _ => None,
        })
    }

    /// Whether an interface faces the outside.
    pub fn is_outside(&self, interface: &str) -> bool {
        self.gateway.outside.iter().any(|outside| outside.name == interface)
    }

    /// The prefixes of a set; both families' default routes for [`Addresses::All`].
    pub fn prefixes<'a>(&'a self, addresses: &'a Addresses) -> &'a [Prefix] {
        match addresses {
            Addresses::All => &[Prefix::ALL_V4, Prefix::ALL_V6],
            Addresses::Prefix(prefix) => std::slice::from_ref(prefix),
            Addresses::List(name) => self.lists.get(name).map_or(&[], |list| &list.prefixes),
        }
    }
}

impl Zone {
    /// Whether frames of this zone carry a tag.
    pub fn is_tagged(&self) -> bool {
        self.vlan[0] != 0
    }
}

impl Matches {
    /// Whether nothing at all is matched.
    pub fn is_empty(&self) -> bool {
        self.ranges().next().is_none()
    }

    /// Every protocol number with its ports, ICMP types, or port 0 where the protocol has neither.
    pub fn ranges(&self) -> impl Iterator<Item = (u8, PortRange)> {
        let with =
            |protocol, ranges: &'_ [PortRange]| ranges.iter().map(move |range| (protocol, *range)).collect::<Vec<_>>();
        let others = self.protocols.iter().map(|n| (*n, PortRange { first: 0, last: 0 }));
        [
            with(protocol::TCP, &self.tcp),
            with(protocol::UDP, &self.udp),
            with(protocol::SCTP, &self.sctp),
            with(protocol::ICMP, &self.icmp),
            with(protocol::ICMPV6, &self.icmpv6),
        ]
        .into_iter()
        .flatten()
        .chain(others)
    }
}

impl PortRange {
    /// Whether a port lies within.
    pub fn holds(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// IP protocol numbers (IANA, Protocol Numbers).
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;
}
