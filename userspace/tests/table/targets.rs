//! What the inspector asks about targets of proxies: the answer of the policy stage to the same flow, and nothing changes.

use dropgate::{
    hold::Allowlist,
    inspect::{Access, Host, Target, Targets as _},
};
use dropgate_abi::{
    policy::FIRST_ZONE,
    walk::{Walk, hook},
};

use super::{
    bench::Real,
    net::{ALL, LAN0, Net, policy},
};
use crate::packets::{self, SYN, TCP};

const ANY: &str = r#"
[gateway]
kind = "route"
outside = "wan0"

[zone.office]
interface = "lan0"
prefixes = ["10.10.0.0/24", "fd10::/64"]

[[zone.office.egress]]
name = "web"
tcp = 443
except = ["198.51.100.9"]

[[zone.office.egress]]
name = "one"
tcp = [22, "9000-9999"]
to = ["198.51.100.1", "2001:db8::1"]
inspect = false

[[zone.office.egress]]
name = "printer"
tcp = [631, 9100]
to = ["zone:iot"]

[[zone.office.egress]]
name = "v6"
tcp = 25
to = ["::/0"]

[zone.iot]
interface = "lan1"
prefixes = ["10.20.0.0/24"]

[blocklist]
to = ["192.0.2.0/24"]

[inspection]
"#;

fn target(text: &str) -> Target {
    let (host, port) = text.rsplit_once(' ').expect("a host and a port");
    let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
    Target { host, port: port.parse().expect("a port") }
}

#[test]
fn targets() {
    let real = Real::new(ANY);
    let allowlist = Allowlist::new(real.bench.object()).expect("the program is there");
    // zones are numbered in file order
    let access = |text: &str| match allowlist.access(FIRST_ZONE, &target(text)) {
        Access::Allowed { inspected, .. } => (true, inspected),
        Access::Denied => (false, false),
        Access::Blocked => (false, true),
    };
    let (allowed, quiet, denied, blocked) = ((true, true), (true, false), (false, false), (false, true));
    for (text, expected) in [
        ("203.0.113.9 443", allowed),
        ("2001:db8::7 443", allowed),
        ("203.0.113.9 80", denied),
        ("198.51.100.9 443", denied),
        ("198.51.100.1 22", quiet),
        ("198.51.100.1 9500", quiet),
        ("2001:db8::1 22", quiet),
        ("198.51.100.2 22", denied),
        ("192.0.2.7 443", blocked),
        ("192.0.2.7 80", blocked),
        ("10.20.0.9 631", allowed),
        ("10.20.0.9 443", denied),
        ("203.0.113.9 631", denied),
        ("203.0.113.9 25", denied),
        ("2001:db8::7 25", allowed),
        // names: what is open to the whole outside, of either family
        ("www.example 443", allowed),
        ("www.example 25", allowed),
        ("www.example 22", denied),
        ("www.example 631", denied),
        ("www.example 9500", denied),
    ] {
        assert_eq!(access(text), expected, "{text}");
    }
    assert_eq!(allowlist.access(FIRST_ZONE + 1, &target("203.0.113.9 443")), Access::Denied, "iot may reach nothing");
}

/// Whatever the port and the address: as for a packet.
#[test]
fn targets_are_judged_like_packets() {
    let mut real = Real::new(&policy());
    let allowlist = Allowlist::new(real.bench.object()).expect("the program is there");
    let mut seen = [0, 0, 0];
    for net in &ALL {
        let zone = real.walk(net, 443).zone;
        for port in [1, 22, 79, 80, 81, 443, 7999, 8000, 8005, 8010, 8011, 65_535] {
            let walk = real.walk(net, port);
            let found = allowlist.access(zone, &Target { host: Host::Address(net.server()), port });
            let expected = match walk.reason.name() {
                "allowed" | "held" => 0,
                "not_allowed" => 1,
                "blocked_destination" => 2,
                other => panic!("{}: {other}", net.name),
            };
            seen[expected] += 1;
            let found = match found {
                Access::Allowed { service, .. } => {
                    assert_eq!(service, walk.service, "{} {port}", net.name);
                    0
                }
                Access::Denied => 1,
                Access::Blocked => 2,
            };
            assert_eq!(found, expected, "{} {port}", net.name);
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

impl Real {
    /// A SYN to the server's port, as the programs judge it.
    fn walk(&mut self, net: &Net, port: u16) -> Walk {
        self.fresh();
        let frame = net.out().frame(net.tags, TCP, &packets::tcp(4000, port, SYN, &[]));
        self.bench.run(hook::INGRESS, LAN0, 0, self.now, &frame).expect("test run")
    }
}
