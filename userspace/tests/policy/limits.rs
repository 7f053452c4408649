//! What needs a machine, or a large file.

use std::{fmt::Write, net::IpAddr, path::Path, time::Instant};

use dropgate::policy::{self, Diagnostic, Environment, Ids, Policy, Source, compile::Interface, diagnostic};
use dropgate_abi::policy::table;

fn parse(text: &str) -> (Option<Policy>, Vec<Diagnostic>) {
    policy::parse(Source::new("policy.toml", text), Path::new("."))
}

fn codes(diagnostics: &[Diagnostic]) -> Vec<&'static str> {
    diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}

fn interface(index: u32, addresses: &[(&str, u8)]) -> Interface {
    let addresses = addresses.iter().map(|(a, n)| (a.parse::<IpAddr>().unwrap(), *n)).collect();
    Interface { index, addresses, ..Interface::default() }
}

const AUTO: &str = r#"
[gateway]
kind = "masquerade"
outside = ["wan0"]

[zone.office]
interface = "lan0"
vlan = 10

[[zone.office.egress]]
name = "ssh"
tcp = [22]
to = ["self"]

[zone.iot]
interface = "lan0"

[[zone.iot.egress]]
name = "web"
tcp = [443]
"#;

#[test]
fn a_missing_interface_is_guarded_once_it_is_there() {
    let policy = parse(AUTO).0.unwrap();
    let mut environment = Environment::default();
    environment.interfaces.insert("wan0".to_owned(), interface(2, &[("203.0.113.1", 24)]));
    environment.interfaces.insert("lan1".to_owned(), interface(3, &[]));
    let mut ids = Ids::default();
    let image = policy::compile(&policy, &environment, &mut ids).unwrap();
    assert_eq!(codes(&image.warnings), ["DG023"]);
    assert!(!image.warnings[0].is_error());
    assert_eq!(image.warnings[0].help.as_deref(), Some("did you mean `lan1`?"));
    assert_eq!(image.interfaces.iter().map(|at| at.name.as_str()).collect::<Vec<_>>(), ["wan0"]);
    assert!(image.sides.iter().all(|(port, _)| port.ifindex == 2), "{:?}", image.sides);
    let there = ids.clone();
    environment.interfaces.insert("lan0".to_owned(), interface(4, &[("10.20.0.1", 24)]));
    let image = policy::compile(&policy, &environment, &mut ids).unwrap();
    assert!(image.sides.iter().any(|(port, _)| port.ifindex == 4), "{:?}", image.sides);
    assert_eq!(ids, there, "its zones keep their numbers");
}

/// What a zone holds is its own while its interface is away: it is neither the outside nor may it come from there.
#[test]
fn a_zone_without_its_interface_keeps_its_prefixes() {
    let policy =
        parse(&AUTO.replacen("interface = \"lan0\"", "interface = \"lan0\"\nprefixes = [\"10.99.0.0/24\"]", 1));
    let policy = policy.0.unwrap();
    let mut environment = Environment::default();
    environment.interfaces.insert("wan0".to_owned(), interface(2, &[]));
    let image = policy::compile(&policy, &environment, &mut Ids::default()).unwrap();
    let held = |table: u32| {
        let entries = &image.prefixes[table as usize];
        entries.iter().filter(|entry| entry.key.address[0] == u32::from_ne_bytes([10, 99, 0, 0])).count()
    };
    assert_eq!(held(table::PEERS), 1);
    assert_eq!(held(table::SOURCES), 1);
}

#[test]
fn automatic_prefixes_follow_the_vlan_device() {
    let policy = parse(AUTO).0.unwrap();
    let mut environment = Environment::default();
    environment.interfaces.insert("wan0".to_owned(), interface(2, &[("203.0.113.1", 24)]));
    environment.interfaces.insert("lan0".to_owned(), interface(3, &[]));
    let mut tagged = interface(4, &[("10.10.0.1", 24), ("fe80::1", 64)]);
    tagged.vlan_of = Some((3, 10));
    environment.interfaces.insert("lan0.10".to_owned(), tagged);
    let image = policy::compile(&policy, &environment, &mut Ids::default()).unwrap();
    assert_eq!(codes(&image.warnings), ["DG060"], "zone iot has no address");
    let sides: Vec<_> = image.sides.iter().map(|(port, side)| (port.ifindex, port.outer, side.kind)).collect();
    assert_eq!(sides, [(2, 0, 1), (3, 0, 0), (3, 10, 0), (4, 0, 2)]);
    let office = image.names.zones.iter().find(|(_, name)| *name == "office").unwrap().0;
    let scope = image.sides[2].1.scope;
    let sources: Vec<_> = image.prefixes[table::SOURCES as usize]
        .iter()
        .filter(|entry| u32::from_be(entry.key.scope_be) >> 1 == scope)
        .map(|entry| (entry.length - 32, entry.value))
        .collect();
    // 10.10.0.0/24, .1 is the gateway, .255 broadcast, 203.0.113.1, fe80::/10, fe80::1
    let office = u32::from(*office);
    assert_eq!(sources, [(24, office), (32, 1), (32, 4), (32, 1), (10, office), (128, 1)]);
}

#[test]
fn many_mistakes_are_bounded() {
    let mut text = String::from("[gateway]\nkind = \"route\"\noutside = []\n");
    for n in 0..5000 {
        writeln!(text, "key{n} = 1").unwrap();
    }
    let (policy, diagnostics) = parse(&text);
    assert!(policy.is_none());
    assert_eq!(diagnostics.len(), diagnostic::MAX_DIAGNOSTICS + 1);
    assert_eq!(diagnostics.last().unwrap().code, "DG049");
}

#[test]
fn too_many_zones_are_refused() {
    let mut text = String::from("[gateway]\nkind = \"route\"\noutside = []\n");
    for n in 0..4097 {
        writeln!(text, "[zone.z{n}]\ninterface = \"lan{n}\"\nprefixes = [\"10.{}.{}.0/24\"]", n / 256, n % 256)
            .unwrap();
    }
    let (policy, diagnostics) = parse(&text);
    assert!(policy.is_none());
    assert!(codes(&diagnostics).contains(&"DG022"));
}

#[test]
fn overlapping_ranges_without_end_are_refused() {
    let mut text = String::from(
        "[gateway]\nkind = \"route\"\noutside = []\n[zone.a]\ninterface = \"lan0\"\nprefixes = [\"10.0.0.0/8\"]\n",
    );
    for n in 0..20_000 {
        writeln!(
            text,
            "[[zone.a.egress]]\nname = \"s{n}\"\ntcp = [\"{}-{}\"]\nto = [\"192.{}.{}.0/24\"]",
            n + 1,
            65535 - n,
            n / 256,
            n % 256
        )
        .unwrap();
    }
    let policy = parse(&text).0.unwrap();
    let started = Instant::now();
    let errors = policy::compile(&policy, &Environment::synthetic(&policy), &mut Ids::default()).unwrap_err();
    assert_eq!(codes(&errors), ["DG022"]);
    println!("refused in {:?}", started.elapsed());
}

#[test]
fn a_large_policy_compiles() {
    let mut text = String::from("[gateway]\nkind = \"route\"\noutside = [\"wan0\"]\n");
    for zone in 0..256 {
        writeln!(text, "[zone.z{zone}]\ninterface = \"lan0\"\nvlan = {}\nprefixes = [\"10.{zone}.0.0/16\"]", zone + 1)
            .unwrap();
        for service in 0..40 {
            let to = match service % 4 {
                0 => "\"any\"".to_owned(),
                1 => format!("\"198.51.100.{service}\", \"203.0.113.0/24\""),
                2 => format!("\"zone:z{}\"", (zone + 1) % 256),
                _ => "\"self\"".to_owned(),
            };
            writeln!(
                text,
                "[[zone.z{zone}.egress]]\nname = \"s{service}\"\ntcp = [{}, \"{}-{}\"]\nto = [{to}]",
                service + 100,
                20_000 + service * 50,
                20_200 + service * 50
            )
            .unwrap();
        }
    }
    let started = Instant::now();
    let policy = parse(&text).0.unwrap();
    let parsed = started.elapsed();
    let image = policy::compile(&policy, &Environment::synthetic(&policy), &mut Ids::default()).unwrap();
    println!(
        "parsed in {parsed:?}, compiled in {:?}: {} services, {} ranges, {} group prefixes",
        started.elapsed() - parsed,
        image.services.len(),
        image.prefixes[table::RANGES as usize].len(),
        image.prefixes[table::GROUPS as usize].len()
    );
    assert_eq!(image.zones.len(), 256);
    assert_eq!(image.names.services.len(), 256 * 40);
}

/// What does not fit is refused with the place where it stops fitting.
#[test]
fn a_list_that_is_too_long() {
    let directory = tempfile::tempdir().unwrap();
    let mut list = String::new();
    for n in 0..2_000_001u32 {
        writeln!(list, "{}", std::net::Ipv4Addr::from_bits(1 << 24 | n)).unwrap();
    }
    std::fs::write(directory.path().join("bad.txt"), list).unwrap();
    let text = "[gateway]\nkind = \"route\"\noutside = [\"wan0\"]\n[blocklist]\nfrom = [\"@bad\"]\n[lists]\nbad = \"bad.txt\"\n";
    std::fs::write(directory.path().join("policy.toml"), text).unwrap();
    let (policy, found) = policy::load(&directory.path().join("policy.toml"));
    assert!(policy.is_none());
    assert_eq!(codes(&found), ["DG022"]);
    let said = policy::render(&found, false);
    assert!(said.contains("bad.txt:2000001:1") && said.contains("more than 2000000 entries"), "{said}");
}

#[test]
fn a_large_list_compiles_and_is_shared() {
    let directory = tempfile::tempdir().unwrap();
    let mut list = String::new();
    for n in 0..1_000_000u32 {
        writeln!(list, "{}", std::net::Ipv4Addr::from_bits(n.wrapping_mul(2_654_435_761))).unwrap();
    }
    std::fs::write(directory.path().join("bad.txt"), list).unwrap();
    let mut text = String::from("[gateway]\nkind = \"route\"\noutside = [\"wan0\"]\n");
    for zone in 0..10 {
        writeln!(
            text,
            "[zone.z{zone}]\ninterface = \"lan{zone}\"\nprefixes = [\"10.{zone}.0.0/16\"]\n\
             [[zone.z{zone}.egress]]\nname = \"web\"\ntcp = [80, 443]\nexcept = [\"@bad\"]"
        )
        .unwrap();
    }
    text.push_str("[blocklist]\nfrom = [\"@bad\"]\n[lists]\nbad = \"bad.txt\"\n");
    std::fs::write(directory.path().join("policy.toml"), text).unwrap();
    let started = Instant::now();
    let policy = policy::load(&directory.path().join("policy.toml")).0.unwrap();
    let parsed = started.elapsed();
    let image = policy::compile(&policy, &Environment::synthetic(&policy), &mut Ids::default()).unwrap();
    println!("read in {parsed:?}, compiled in {:?}", started.elapsed() - parsed);
    let entries = policy.lists["bad"].prefixes.len();
    assert_eq!(image.blocklist.len(), entries);
    // the default routes of both families and the exceptions, once for all zones
    assert_eq!(image.prefixes[table::GROUPS as usize].len(), entries + 2);
}

/// A gateway with an address on each of many VLANs: own addresses times sides must not fill the tables.
#[test]
fn many_vlan_devices_fit() {
    let mut text = String::from("[gateway]\nkind = \"route\"\noutside = [\"wan0\"]\n");
    let mut environment = Environment::default();
    environment.interfaces.insert("wan0".to_owned(), interface(1, &[("203.0.113.1", 24)]));
    environment.interfaces.insert("lan0".to_owned(), interface(2, &[]));
    for n in 1..4000u16 {
        writeln!(text, "[zone.z{n}]\ninterface = \"lan0\"\nvlan = {n}").unwrap();
        let address = format!("10.{}.{}.1", n / 256, n % 256);
        let mut device = interface(u32::from(n) + 10, &[(&address, 24)]);
        device.vlan_of = Some((2, n));
        environment.interfaces.insert(format!("lan0.{n}"), device);
    }
    let policy = parse(&text).0.unwrap();
    let started = Instant::now();
    let image = policy::compile(&policy, &environment, &mut Ids::default()).unwrap();
    println!("compiled in {:?}", started.elapsed());
    // a zone's network, its gateway, broadcast and link-local addresses; on the outside all networks and gateways
    assert_eq!(image.prefixes[0].len(), 3999 * 4 + 3999 * 2 + 1);
}

/// Without its VLAN device a tagged zone on an outside interface must not take the outside's network.
#[test]
fn the_outside_network_is_no_zone() {
    let text = AUTO.replace("interface = \"lan0\"\nvlan = 10", "interface = \"wan0\"\nvlan = 10");
    let policy = parse(&text).0.unwrap();
    let mut environment = Environment::default();
    environment.interfaces.insert("wan0".to_owned(), interface(2, &[("203.0.113.1", 24)]));
    environment.interfaces.insert("lan0".to_owned(), interface(3, &[("10.20.0.1", 24)]));
    let image = policy::compile(&policy, &environment, &mut Ids::default()).unwrap();
    assert_eq!(codes(&image.warnings), ["DG060"]);
    // 10.20.0.0/24 with its broadcast address, and two addresses of the gateway
    assert_eq!(image.prefixes[1].len(), 4);
}

#[test]
fn a_vlan_device_beside_its_interface_is_warned_of() {
    let text = AUTO.replace("interface = \"lan0\"\nvlan = 10", "interface = \"lan0.10\"");
    let policy = parse(&text).0.unwrap();
    let mut environment = Environment::default();
    environment.interfaces.insert("wan0".to_owned(), interface(2, &[("203.0.113.1", 24)]));
    environment.interfaces.insert("lan0".to_owned(), interface(3, &[("10.20.0.1", 24)]));
    let device = Interface { vlan_of: Some((3, 10)), ..interface(4, &[("10.10.0.1", 24)]) };
    environment.interfaces.insert("lan0.10".to_owned(), device);
    let image = policy::compile(&policy, &environment, &mut Ids::default()).unwrap();
    assert_eq!(codes(&image.warnings), ["DG061"]);
    assert_eq!(image.warnings[0].help.as_deref(), Some("write `interface = \"lan0\"` and `vlan = 10`"));
}

/// Elsewhere `"auto"` may be anything, here it is what the interfaces have.
#[test]
fn what_only_the_machine_knows_is_left_open() {
    let text = AUTO.replace(
        "name = \"web\"\ntcp = [443]",
        "name = \"web\"\ntcp = [443]\nto = [\"self\"]\nexcept = [\"10.20.0.0/16\"]",
    );
    let policy = parse(&text).0.unwrap();
    let found = policy::analysis::analyse(&policy, &Environment::synthetic(&policy)).found;
    assert!(found.is_empty(), "{found:?}");
    let mut environment = Environment::default();
    environment.interfaces.insert("wan0".to_owned(), interface(2, &[]));
    environment.interfaces.insert("lan0".to_owned(), interface(3, &[("10.20.0.1", 24)]));
    let found = policy::analysis::analyse(&policy, &environment).found;
    let told: Vec<_> = found.iter().map(|finding| (finding.code.id, finding.owner.as_str())).collect();
    assert_eq!(told, [("DG063", "iot")], "{found:?}");
}

/// As many zones, services and prefixes as fit: every line is looked at, in bounded time.
#[test]
fn the_largest_policy_is_analysed() {
    let directory = tempfile::tempdir().unwrap();
    let mut list = String::new();
    for n in 0..1_000_000u32 {
        writeln!(list, "{}", std::net::Ipv4Addr::from_bits(n.wrapping_mul(2_654_435_761))).unwrap();
    }
    std::fs::write(directory.path().join("bad.txt"), list).unwrap();
    let mut text = String::from(
        "[gateway]\nkind = \"route\"\noutside = \"wan0\"\naddresses = \"203.0.113.1\"\n[inspection]\n\
         [lists]\nbad = \"bad.txt\"\n[blocklist]\nfrom = \"@bad\"\nto = \"@bad\"\n",
    );
    let (mut services, mut wrong) = (0, 0);
    for zone in 0..4096 {
        writeln!(
            text,
            "[zone.z{zone}]\ninterface=\"l{}\"\nvlan={}\nprefixes=\"10.{}.{}.0/24\"",
            zone / 4000,
            zone % 4000 + 1,
            zone / 256,
            zone % 256
        )
        .unwrap();
        for n in 0..24 {
            let (ports, to) = match n {
                0 => ("22".to_owned(), "\"self\"".to_owned()),
                1 => ("443".to_owned(), "\"0.0.0.0/0\"\nexcept=\"@bad\"".to_owned()),
                2 => ("443".to_owned(), "\"::/0\"".to_owned()),
                // nothing is left to this one
                3 => ("443".to_owned(), format!("\"198.51.{}.0/24\"", zone % 256)),
                4..12 => {
                    (format!("\"{}-{}\"", 1000 + n * 50, 1200 + n * 50), format!("\"zone:z{}\"", (zone + n) % 4096))
                }
                12..20 => ("8443".to_owned(), format!("\"203.{}.{n}.0/24\"", zone % 256)),
                _ => (format!("{}", n * 100), "\"any\"\nexpect=\"any\"".to_owned()),
            };
            writeln!(text, "[[zone.z{zone}.egress]]\nname=\"s{n}\"\ntcp=[{ports}]\nto={to}").unwrap();
            services += 1;
            wrong += usize::from(n == 3);
        }
    }
    std::fs::write(directory.path().join("policy.toml"), &text).unwrap();
    let started = Instant::now();
    let policy = policy::load(&directory.path().join("policy.toml")).0.unwrap();
    let environment = Environment::synthetic(&policy);
    let (loaded, before) = (started.elapsed(), peak());
    let found = policy::analysis::analyse(&policy, &environment);
    println!(
        "{} bytes, {services} services: loaded in {loaded:?}, analysed in {:?}; {before} KiB, then {} KiB at most",
        text.len(),
        started.elapsed() - loaded,
        peak()
    );
    assert_eq!(found.left_out, 0);
    assert_eq!(found.found.iter().filter(|finding| finding.code.id == "DG052").count(), wrong);
    assert_eq!(found.found.len(), wrong);
}

/// The most memory that this process has had, KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// One allowlist of as many lines as fit, all for one port.
#[test]
fn many_lines_for_one_port_are_analysed() {
    let mut text = String::from(
        "[gateway]\nkind = \"route\"\noutside = \"wan0\"\n[inspection]\n[zone.a]\ninterface = \"lan0\"\nprefixes = \"10.0.0.0/8\"\n",
    );
    for n in 0..100_000u32 {
        let host = std::net::Ipv4Addr::from_bits((172 << 24) + n);
        let expect = if n % 2 == 0 { "expect=\"any\"\n" } else { "" };
        let to = if n < 99_999 { format!("\"{host}\"") } else { "\"any\"".to_owned() };
        writeln!(text, "[[zone.a.egress]]\nname=\"s{n}\"\ntcp=443\nto={to}\n{expect}").unwrap();
    }
    let policy = parse(&text).0.unwrap();
    let started = Instant::now();
    let found = policy::analysis::analyse(&policy, &Environment::synthetic(&policy));
    println!("analysed in {:?}", started.elapsed());
    assert_eq!((found.left_out, found.found.len()), (0, 0));
}

/// Beyond what can be looked at it is said so, and nothing that is not certain.
#[test]
fn what_is_not_analysed_is_told() {
    let mut text = String::from(
        "[gateway]\nkind = \"route\"\noutside = []\n[zone.a]\ninterface = \"lan0\"\nprefixes = [\"10.0.0.0/8\"]\n",
    );
    for n in 0..20_000 {
        writeln!(
            text,
            "[[zone.a.egress]]\nname = \"s{n}\"\ntcp = [\"{}-{}\"]\nto = [\"zone:a/10.{}.{}.0/24\"]",
            n + 1,
            65535 - n,
            n % 100,
            n % 256
        )
        .unwrap();
    }
    let policy = parse(&text).0.unwrap();
    let started = Instant::now();
    let found = policy::analysis::analyse(&policy, &Environment::synthetic(&policy));
    println!("gave up in {:?}; {} lines not known, {} findings", started.elapsed(), found.left_out, found.found.len());
    assert!(found.left_out > 0);
    let told = found.diagnostics(&policy);
    assert_eq!(told.last().unwrap().code, "DG065");
}

/// The sides of a pair on a machine where one of them takes shorter packets.
#[test]
fn sides_of_a_bridge_take_packets_of_one_length() {
    let text = "[gateway]\nkind = \"bridge\"\noutside = \"wan0\"\npairs = [[\"lan0\", \"wan0\"]]\n\
                [zone.office]\ninterface = \"lan0\"\nprefixes = [\"10.10.0.0/24\"]\n";
    let policy = parse(text).0.unwrap();
    let mut environment = Environment::default();
    for (name, index, mtu) in [("lan0", 3, 1500), ("wan0", 2, 1400)] {
        environment.interfaces.insert(name.to_owned(), Interface { mtu, ..interface(index, &[]) });
    }
    let found = policy::compile(&policy, &environment, &mut Ids::default()).unwrap_err();
    assert_eq!(codes(&found), ["DG027"]);
    assert_eq!(found[0].help.as_deref(), Some("`ip link set lan0 mtu 1400`"));
    environment.interfaces.values_mut().for_each(|interface| interface.mtu = 9000);
    let image = policy::compile(&policy, &environment, &mut Ids::default()).unwrap();
    let [lan, wan] = [3, 2].map(|index| image.sides.iter().find(|(port, _)| port.ifindex == index).unwrap().1);
    assert_eq!((lan.peer, wan.peer), (2, 3));
    assert!(lan.realm == wan.realm && lan.realm >= dropgate_abi::tuple::realm::LINKS);
}
