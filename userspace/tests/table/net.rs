//! The network of the table, in each of its forms: the same parties as IPv4 and IPv6, untagged, tagged and double-tagged.

use std::net::IpAddr;

use crate::packets::{self, Ip, ip};

/// The policy that every case is judged by, unless it names a part of its own.
pub const POLICY: &str = r#"
[gateway]
kind = "route"
outside = ["wan0"]
addresses = ["10.10.0.1", "10.20.0.1", "10.30.0.1", "203.0.113.1", "fd10::1", "fd20::1", "fd30::1", "2001:db8:ffff::1"]
ethertypes = ["arp", "0x88cc"]

[zone.plain]
interface = "lan0"
prefixes = ["10.10.0.0/24", "fd10::/64"]
dhcp = true

[zone.tagged]
interface = "lan0"
vlan = 2580
prefixes = ["10.20.0.0/24", "fd20::/64"]
dhcp = true

[zone.double]
interface = "lan0"
vlan = [100, 30]
prefixes = ["10.30.0.0/24", "fd30::/64"]
dhcp = true

[zone.small]
interface = "lan1"
prefixes = ["10.40.0.0/24", "fd40::/64"]
max_flows = 1

[zone.loose]
interface = "lan2"
prefixes = ["10.50.0.0/24", "fd50::/64"]
state = "loose"

[zone.trunk]
interface = "lan3"
vlan = 40
prefixes = ["10.60.0.0/24", "fd60::/64"]
SERVICES
[[self.egress]]
name = "resolver"
udp = [53]

[[outside.egress]]
name = "ssh-in"
tcp = [22]
to = ["self"]

[blocklist]
from = ["10.10.0.66", "10.20.0.66", "10.30.0.66", "fd10::66", "fd20::66", "fd30::66"]
to = ["192.0.2.0/24", "2001:db8:bad::/48"]

[fragments]
udp = "drop"
tcp = "track"
icmp = "track"
other = "pass"
"#;

const SERVICES: &str = r#"
[[zone.NAME.egress]]
name = "web"
tcp = [80, 443, "8000-8010"]
udp = [53]
sctp = [3868]
except = ["198.51.100.9", "2001:db8:1::9"]

[[zone.NAME.egress]]
name = "ping"
icmp = ["echo-request"]
icmpv6 = ["echo-request"]

[[zone.NAME.egress]]
name = "vpn"
protocol = ["gre"]
tunnel = "opaque"

[[zone.NAME.egress]]
name = "admin"
tcp = [22]
to = ["self"]
"#;

/// The policy file.
pub fn policy() -> String {
    let zones = ["plain", "tagged", "double", "small", "loose"];
    POLICY.replace("SERVICES", &zones.map(|zone| SERVICES.replace("NAME", zone)).concat())
}

pub const LAN0: u32 = 11;
pub const LAN1: u32 = 12;
pub const LAN2: u32 = 13;
pub const LAN3: u32 = 14;
pub const WAN0: u32 = 21;
pub const INTERFACES: [(&str, u32); 5] =
    [("lan0", LAN0), ("lan1", LAN1), ("lan2", LAN2), ("lan3", LAN3), ("wan0", WAN0)];

/// One form: a family and the tags of the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    pub name: &'static str,
    pub v4: bool,
    pub tags: &'static [u16],
    /// Third part of the client's prefix.
    part: u8,
}

pub const V4: Net = Net { name: "v4", v4: true, tags: &[], part: 10 };
pub const V6: Net = Net { name: "v6", v4: false, tags: &[], part: 10 };
/// Every form a packet comes in.
pub const ALL: [Net; 6] = [
    V4,
    Net { name: "v4, VLAN", tags: &[2580], part: 20, ..V4 },
    // priority bits in the tag are no part of the VLAN's number
    Net { name: "v4, VLAN in VLAN", tags: &[0x6064, 30], part: 30, ..V4 },
    V6,
    Net { name: "v6, VLAN", tags: &[0xea14], part: 20, ..V6 },
    Net { name: "v6, VLAN in VLAN", tags: &[100, 30], part: 30, ..V6 },
];

impl Net {
    /// A host of the client's side.
    pub fn local(&self, host: u8) -> IpAddr {
        let part = self.part;
        ip(&if self.v4 { format!("10.{part}.0.{host}") } else { format!("fd{part}::{host}") })
    }

    pub fn client(&self) -> IpAddr {
        self.local(5)
    }

    pub fn gateway(&self) -> IpAddr {
        self.local(1)
    }

    /// A host on the outside.
    pub fn server(&self) -> IpAddr {
        self.outside(7)
    }

    pub fn outside(&self, host: u8) -> IpAddr {
        ip(&if self.v4 { format!("198.51.100.{host}") } else { format!("2001:db8:1::{host}") })
    }

    /// An address of the form's family.
    pub fn pick(&self, v4: &str, v6: &str) -> IpAddr {
        ip(if self.v4 { v4 } else { v6 })
    }

    /// From the client to the server.
    pub fn out(&self) -> Ip {
        Ip::new(self.client(), self.server())
    }

    /// From the server to the client.
    pub fn back(&self) -> Ip {
        Ip::new(self.server(), self.client())
    }

    pub fn icmp(&self) -> u8 {
        if self.v4 { packets::ICMP } else { packets::ICMPV6 }
    }

    /// Echo request and reply.
    pub fn echo(&self, reply: bool) -> Vec<u8> {
        let kind = match (self.v4, reply) {
            (true, false) => 8,
            (true, true) => 0,
            (false, false) => 128,
            (false, true) => 129,
        };
        packets::icmp(kind, 0, 7)
    }

    /// An unreachable message that quotes `quoted`.
    pub fn unreachable(&self, quoted: &[u8]) -> Vec<u8> {
        let (kind, code) = if self.v4 { (3, 3) } else { (1, 4) };
        packets::icmp_error(kind, code, quoted)
    }
}
