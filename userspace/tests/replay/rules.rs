//! The bundled rules: each hits what it is made for, and nothing that comes close (`signatures/rules/cases`).

use std::{collections::HashMap, fmt::Write as _, fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    announced::Connection,
    packets::{ICMP, ICMPV6, Ip, TCP, UDP, icmp, icmp_error, tcp, udp},
    pcap::{ETHERNET, every_ms, pcap},
};

/// What fits into a packet of Ethernet behind headers of IPv4 and TCP.
const SEGMENT: usize = 1460;
/// A fragment's share of a datagram.
const FRAGMENT: usize = 1480;

const POLICY: &str = r#"
[gateway]
kind = "route"
outside = "wan0"
addresses = []

[zone.inside]
interface = "lan0"
prefixes = ["10.0.0.0/8"]

[[zone.inside.egress]]
name = "everything"
tcp = ["1-65535"]
udp = ["1-65535"]
expect = "any"

[fragments]
udp = "track"

[inspection]
mismatch = "alert"
unknown = "alert"
pending = "alert"
everything = true

[signatures]
"#;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../signatures/rules"))
}

/// Files of a kind, in order.
fn files(folder: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = all.filter(|path| path.extension().is_some_and(|is| is == extension)).collect();
    files.sort();
    files
}

/// What a rule is shown, and whether it has to match.
#[derive(Debug)]
struct Case {
    name: String,
    hits: bool,
    sid: u64,
    udp: bool,
    port: u16,
    /// What is said in a row, by the client or not.
    turns: Vec<(bool, Vec<u8>)>,
}

impl Case {
    fn begin(file: &str, line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let [kind @ ("hit" | "near"), sid, transport @ ("tcp" | "udp"), port] = words[..] else {
            panic!("`{file}`: `{line}` begins no case");
        };
        Self {
            name: format!("{file}: {line}"),
            hits: kind == "hit",
            sid: sid.parse().unwrap(),
            udp: transport == "udp",
            port: port.parse().unwrap(),
            turns: Vec::new(),
        }
    }

    fn say(&mut self, line: &str) {
        let client = line.starts_with('>');
        let rest = &line[1..];
        let said = match rest.split_once(' ').unwrap_or((rest, "")) {
            ("", text) => format!("{text}\r\n").into_bytes(),
            ("-", text) => text.as_bytes().to_vec(),
            ("x", digits) => digits.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect(),
            ("*", repeated) => {
                let (count, byte) = repeated.split_once(' ').unwrap();
                vec![u8::from_str_radix(byte, 16).unwrap(); count.parse().unwrap()]
            }
            _ => panic!("`{}`: what is `{line}`?", self.name),
        };
        match self.turns.last_mut() {
            Some((by, before)) if *by == client => before.extend(said),
            _ => self.turns.push((client, said)),
        }
    }

    /// Packets between a client of its own and the server.
    fn frames(&self, client: &str, frames: &mut Vec<Vec<u8>>) {
        let server = "203.0.113.9";
        let ports = (40_000, self.port);
        if self.udp {
            for (number, (by_client, said)) in (1..).zip(&self.turns) {
                let (there, ports) =
                    if *by_client { ((client, server), ports) } else { ((server, client), (ports.1, ports.0)) };
                let datagram = udp(ports.0, ports.1, said);
                let pieces = datagram.chunks(FRAGMENT);
                let last = pieces.len() - 1;
                frames.extend(pieces.enumerate().map(|(at, piece)| {
                    let ip = Ip::from(there.0, there.1);
                    let offset = (at * FRAGMENT) as u16;
                    let ip = if last > 0 { ip.fragment(offset, at < last, number) } else { ip };
                    ip.frame(&[], UDP, piece)
                }));
            }
            return;
        }
        let mut connection = Connection::open(client, server, ports, frames);
        for (by_client, said) in &self.turns {
            for segment in said.chunks(SEGMENT) {
                if *by_client {
                    connection.client(segment, frames);
                } else {
                    connection.server(segment, frames);
                }
            }
        }
        connection.end(frames);
    }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for path in files(&folder().join("cases"), "txt") {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        for line in fs::read_to_string(&path).unwrap().lines() {
            match line.chars().next() {
                None | Some('#') => {}
                Some('>' | '<') => cases.last_mut().unwrap().say(line),
                Some(_) => cases.push(Case::begin(&file, line)),
            }
        }
    }
    cases
}

/// SIDs of the bundled rules.
fn sids() -> Vec<u64> {
    let text: String = files(folder(), "rules").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let rules = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rules.map(|rule| rule.rsplit_once("sid:").unwrap().1.split_once(';').unwrap().0.parse().unwrap()).collect()
}

#[test]
fn bundled_rules_hit_what_they_are_made_for() {
    let cases = cases();
    for sid in sids() {
        for hits in [true, false] {
            let has = cases.iter().any(|case| case.sid == sid && case.hits == hits);
            assert!(has, "rule {sid} has no case with hits: {hits}");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let mut policy = POLICY.to_owned();
    let rules = files(folder(), "rules");
    let names: Vec<String> = rules.iter().map(|path| format!("{:?}", path.canonicalize().unwrap())).collect();
    writeln!(policy, "files = [{}]", names.join(", ")).unwrap();
    fs::write(directory.path().join("policy.toml"), policy).unwrap();
    let mut frames = Vec::new();
    let client = |at: usize| format!("10.0.{}.{}", at / 200, at % 200 + 1);
    for (at, case) in cases.iter().enumerate() {
        case.frames(&client(at), &mut frames);
    }
    fs::write(directory.path().join("cases.pcap"), pcap(ETHERNET, &every_ms(frames))).unwrap();
    let replay = Command::new(env!("CARGO_BIN_EXE_dropgate"))
        .args([
            "replay",
            "--policy",
            "policy.toml",
            "--initiator-inside",
            "--summary",
            "--eve",
            "eve.json",
            "cases.pcap",
        ])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));

    let mut alerts: HashMap<String, Vec<u64>> = HashMap::new();
    for line in fs::read_to_string(directory.path().join("eve.json")).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let Some(sid) = event["alert"]["signature_id"].as_u64() else { continue };
        for end in ["src_ip", "dest_ip"] {
            alerts.entry(event[end].as_str().unwrap().to_owned()).or_default().push(sid);
        }
    }
    let wrong: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(at, case)| (case, alerts.get(&client(at)).cloned().unwrap_or_default()))
        .filter(|(case, alerts)| alerts.contains(&case.sid) != case.hits)
        .map(|(case, alerts)| format!("{} got {alerts:?}", case.name))
        .collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The alerts of a capture: SID, number of the packet, action.
fn alerts(rules: &str, capture: Vec<u8>) -> Vec<(u64, u64, String)> {
    let directory = tempfile::tempdir().unwrap();
    let icmp = "[[zone.inside.egress]]\nname = \"ping\"\nicmp = [8]\nicmpv6 = [128]\n\n[fragments]";
    let policy = POLICY.replace("[fragments]", icmp) + "files = [\"own.rules\"]\n";
    fs::write(directory.path().join("policy.toml"), policy).unwrap();
    fs::write(directory.path().join("own.rules"), rules).unwrap();
    fs::write(directory.path().join("own.pcap"), capture).unwrap();
    let replay = Command::new(env!("CARGO_BIN_EXE_dropgate"))
        .args(["replay", "--policy", "policy.toml", "--initiator-inside", "--summary", "--eve", "eve.json", "own.pcap"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    let eve = fs::read_to_string(directory.path().join("eve.json")).unwrap();
    let events = eve.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told = events.filter(|event| event["event_type"] == "alert").map(|event| {
        let action = event["alert"]["action"].as_str().unwrap().to_owned();
        (event["alert"]["signature_id"].as_u64().unwrap(), event["pcap_cnt"].as_u64().unwrap(), action)
    });
    told.collect()
}

/// Packets that belong to no flow of their own, that are dropped, or odd, are shown to rules as the others are.
#[test]
fn rules_see_every_kind_of_packet() {
    let rules = "alert udp any any -> any any (vlan.id:300; sid:1;)\n\
        alert udp any any -> any any (vlan.id:8,1; vlan.layers:2; sid:2;)\n\
        alert icmp any any -> any any (itype:3; icode:3; content:\"quoted\"; sid:3;)\n\
        alert icmp any any -> any any (itype:5; sid:4;)\n\
        drop icmp any any -> any any (itype:11; sid:5;)\n\
        alert pkthdr any any -> any any (decode-event:icmpv4.unknown_code; sid:6;)\n\
        alert pkthdr any any -> any any (decode-event:ipv6.exthdr_useless_fh; sid:7;)\n\
        alert tcp any any -> any any (flags:0; content:\"nothing\"; sid:8;)\n";
    let ip = |from: &str, to: &str| Ip::new(from.parse().unwrap(), to.parse().unwrap());
    let (out, back) = (ip("192.0.2.5", "192.0.2.7"), ip("192.0.2.7", "192.0.2.5"));
    let asked = udp(40_000, 9, b"quoted");
    let quoted = out.packet(UDP, &asked);
    let six = ip("2001:db8::5", "2001:db8::7");
    // one that is whole all the same
    let mut useless = vec![ICMPV6, 0, 0, 0, 0, 0, 0, 7];
    useless.extend(icmp(128, 0, 3));
    let frames = [
        out.frame(&[300], UDP, &asked),
        out.frame(&[7, 8], UDP, &udp(40_001, 9, b"two tags")),
        back.frame(&[], ICMP, &icmp_error(3, 3, &quoted)),
        // about nothing that was seen
        back.frame(&[], ICMP, &icmp_error(3, 3, &ip("192.0.2.5", "192.0.2.99").packet(UDP, &asked))),
        back.frame(&[], ICMP, &icmp_error(5, 1, &quoted)),
        back.frame(&[], ICMP, &icmp_error(11, 0, &quoted)),
        out.frame(&[], ICMP, &icmp(8, 9, 2)),
        six.frame(&[], 44, &useless),
        out.frame(&[], TCP, &tcp(40_000, 80, 0, b"nothing")),
        // it goes on where it did
        out.frame(&[300], UDP, &asked),
    ];
    let told = alerts(rules, pcap(ETHERNET, &every_ms(frames)));
    let expected = [
        (1, 1, "allowed"),
        (2, 2, "allowed"),
        (3, 3, "allowed"),
        (3, 4, "blocked"),
        (4, 5, "blocked"),
        (5, 6, "blocked"),
        (6, 7, "allowed"),
        (7, 8, "allowed"),
        (8, 9, "blocked"),
        (1, 10, "allowed"),
    ];
    assert_eq!(told, expected.map(|(sid, packet, action)| (sid, packet, action.to_owned())));
}
