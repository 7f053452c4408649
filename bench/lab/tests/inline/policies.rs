//! Policies of the laboratory's gateway.

use dropgate_lab::Kind;

/// What the clients' tests put in force.
pub fn clients(kind: Kind) -> String {
    match kind {
        Kind::Route => format!("[gateway]\nkind = \"route\"\n{HEAD}{CLIENTS}{ROUTED}"),
        Kind::Masquerade => format!("[gateway]\nkind = \"masquerade\"\n{HEAD}{CLIENTS}{PUBLISHED}"),
        Kind::Bridge => format!("{BRIDGE}{CLIENTS}{ROUTED}").replace("\"self\"", "\"zone:router\""),
    }
}

/// A gateway whose `office` has these lines of a policy besides its prefixes; `iot` may reach nothing.
pub fn office(kind: Kind, lines: &str) -> String {
    let head = match kind {
        Kind::Route => format!("[gateway]\nkind = \"route\"\n{HEAD}"),
        Kind::Masquerade => format!("[gateway]\nkind = \"masquerade\"\n{HEAD}"),
        Kind::Bridge => BRIDGE.to_owned(),
    };
    format!("{head}{OFFICE_ZONE}{lines}\n{IOT_ZONE}")
}

/// The same of a bridge, whose zones' router stands on the other side: a zone of its own, for its addresses lie in theirs.
const BRIDGE: &str = r#"[gateway]
kind = "bridge"
outside = ["wan0", "wan1"]
pairs = [["lan0", "wan0"], ["lan1", "wan1"]]
adopt = "0s"

[events]
rate = 10000

[zone.router]
interface = "wan0"
prefixes = ["10.10.0.1/32", "fd00:10::1/128"]

[zone.router1]
interface = "wan1"
prefixes = ["10.20.0.1/32", "fd00:20::1/128"]

"#;

/// No adoption: what belongs to no flow is dropped from the first packet.
const HEAD: &str = r#"outside = "wan0"
adopt = "0s"

[events]
rate = 10000

"#;

const OFFICE_ZONE: &str = r#"[zone.office]
interface = "lan0"
prefixes = ["10.10.0.0/24", "fd00:10::/64"]
"#;

const IOT_ZONE: &str = r#"
[zone.iot]
interface = "lan1"
prefixes = ["10.20.0.0/24", "fd00:20::/64"]
"#;

const CLIENTS: &str = r#"[zone.office]
interface = "lan0"
prefixes = ["10.10.0.0/24", "fd00:10::/64"]

[[zone.office.egress]]
name = "web"
tcp = [80, 443]

[[zone.office.egress]]
name = "dns"
udp = [53]

[[zone.office.egress]]
name = "diagnosis"
icmp = ["echo-request"]
icmpv6 = ["echo-request"]
udp = ["33434-33534"]

[[zone.office.egress]]
name = "admin"
tcp = [22]
to = ["self"]

[[zone.office.egress]]
name = "device"
tcp = [8080]
to = ["zone:iot/10.20.0.8", "zone:iot/fd00:20::8"]

[zone.iot]
interface = "lan1"
prefixes = ["10.20.0.0/24", "fd00:20::/64"]

[[zone.iot.egress]]
name = "cloud"
tcp = [443]
to = ["203.0.113.9", "2001:db8:113::9"]

[[self.egress]]
name = "resolver"
udp = [53]
"#;

const ROUTED: &str = r#"
[[outside.egress]]
name = "device"
tcp = [80]
to = ["zone:iot/10.20.0.8"]
"#;

const PUBLISHED: &str = r#"
[[publish]]
name = "www"
tcp = [80]
address = "203.0.113.1"
to = "10.20.0.8"
"#;
