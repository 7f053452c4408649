//! `dropgate replay` and `dropgate explain`, as people run them: the built program, the real object, captures made here.
//!
//! A case is a directory: `policy.toml`, and `expected.txt`, a transcript whose lines that start with `$ ` are the commands
//! that are run. `DROPGATE_BLESS=1 cargo test` writes what came of them anew. It takes root (CAP_BPF, CAP_NET_ADMIN).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "replay/announced.rs"]
mod announced;
#[path = "replay/captures.rs"]
mod captures;
mod packets;
#[path = "replay/pcap.rs"]
mod pcap;
#[path = "replay/rules.rs"]
mod rules;
#[path = "replay/transcript.rs"]
mod transcript;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use transcript::run;

#[test]
fn route() {
    run("route", &[("capture.pcap", captures::route())]);
}

#[test]
fn masquerade() {
    run("masquerade", &[("capture.pcap", captures::masquerade())]);
}

#[test]
fn initiator_inside() {
    run("initiator_inside", &[("capture.pcap", captures::anywhere())]);
}

/// Servers alone, in a zone that takes flows of which it sees one direction, and in one that does not.
#[test]
fn answers() {
    let strict = fs::read_to_string(transcript::case("answers").join("policy.toml")).unwrap();
    let strict = strict.replace("state = \"loose\"\n", "").into_bytes();
    run("answers", &[("answers.pcap", captures::answers()), ("strict.toml", strict)]);
}

#[test]
fn inspection() {
    let captures = [("capture.pcap", captures::inspected()), ("loopback.pcap", captures::loopback())];
    run("inspection", &captures);
}

#[test]
fn signatures() {
    let rules = fs::read(transcript::case("signatures").join("local.rules")).unwrap();
    run("signatures", &[("capture.pcap", announced::web()), ("local.rules", rules)]);
}

#[test]
fn related() {
    let captures =
        [("ftp.pcap", announced::ftp()), ("calls.pcap", announced::calls()), ("loopback.pcap", announced::loopback())];
    run("related", &captures);
}

#[test]
fn links() {
    run("links", &captures::links());
}

#[test]
fn fragments() {
    run("fragments", &[("capture.pcap", captures::fragments())]);
}

#[test]
fn mistakes() {
    run(
        "mistakes",
        &[
            ("capture.pcap", captures::masquerade()),
            ("cut.pcap", captures::cut_file()),
            ("text.pcap", b"not a capture, and long enough to tell".to_vec()),
            ("bad.toml", b"[gateway]\nkind = \"rout\"\noutside = \"wan0\"\nadopted = \"60s\"\n".to_vec()),
        ],
    );
}

fn dropgate(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dropgate")).args(arguments).current_dir(directory).output().unwrap()
}

/// Every pass of a long capture of many shapes has a reason and, if the policy allowed it, a line.
#[test]
fn thousands_of_packets_each_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(transcript::case("route").join("policy.toml"), directory.path().join("policy.toml")).unwrap();
    fs::write(directory.path().join("many.pcap"), captures::many(20_000)).unwrap();
    let out = dropgate(directory.path(), &["replay", "--policy", "policy.toml", "--json", "many.pcap"]);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{errors}");
    let text = String::from_utf8(out.stdout).unwrap();
    let mut numbers = 0;
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    for (at, line) in lines.filter(|line| line["type"] == "packet").enumerate() {
        assert_eq!(line["frame"].as_u64(), Some(at as u64 + 1));
        assert!(matches!(line["action"].as_str(), Some("pass" | "drop")), "{line}");
        assert_ne!(line["reason"], "internal");
        if line["reason"] == "allowed" {
            assert!(line["line"].as_u64().is_some() && line["service"].is_string(), "{line}");
        }
        numbers += 1;
    }
    assert_eq!(numbers, 20_000);
    assert!(errors.contains(" 0 errors, 0 unexplained"), "{errors}");
}

/// A run over several captures starts each with empty tables: the same verdicts in any order.
#[test]
fn captures_have_nothing_to_do_with_one_another() {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(transcript::case("route").join("policy.toml"), directory.path().join("policy.toml")).unwrap();
    fs::write(directory.path().join("a.pcap"), captures::route()).unwrap();
    fs::write(directory.path().join("b.pcap"), captures::route()).unwrap();
    let out = dropgate(directory.path(), &["replay", "--policy", "policy.toml", "--json", "a.pcap", "b.pcap"]);
    assert_eq!(out.status.code(), Some(0));
    let text = String::from_utf8(out.stdout).unwrap();
    let of = |name: &str| -> Vec<(String, String)> {
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mine = lines.filter(|line| line["file"] == name);
        mine.map(|line| (line["action"].to_string(), line["reason"].to_string())).collect()
    };
    assert!(!of("a.pcap").is_empty());
    assert_eq!(of("a.pcap"), of("b.pcap"));
}

/// The events that the daemon would have written, none left out for its rate: a drop for each packet dropped, what was odd
/// about those that passed, and each flow.
#[test]
fn events_are_those_of_a_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let policy = fs::read_to_string(transcript::case("route").join("policy.toml")).unwrap();
    assert!(!policy.contains("[events]"));
    let policy = policy.replace("[gateway]\n", "[gateway]\nchatter = \"log\"\n") + "\n[events]\nrate = 1\n";
    fs::write(directory.path().join("policy.toml"), policy).unwrap();
    fs::write(directory.path().join("route.pcap"), captures::route()).unwrap();
    fs::write(directory.path().join("many.pcap"), captures::many(5_000)).unwrap();
    for capture in ["route.pcap", "many.pcap"] {
        let eve = format!("{capture}.eve");
        let arguments = ["replay", "--policy", "policy.toml", "--json", "--eve", &eve, capture];
        let out = dropgate(directory.path(), &arguments);
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        let parse = |text: String| -> Vec<serde_json::Value> {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let lines = parse(String::from_utf8(out.stdout).unwrap());
        let events = parse(fs::read_to_string(directory.path().join(&eve)).unwrap());
        let of = |kind: &str| events.iter().filter(|event| event["event_type"] == kind).collect::<Vec<_>>();
        let drops: Vec<_> = lines.iter().filter(|line| line["action"] == "drop").collect();
        let told: Vec<_> = of("drop").iter().map(|event| event["drop"]["reason"].clone()).collect();
        assert_eq!(told, drops.iter().map(|line| line["reason"].clone()).collect::<Vec<_>>(), "{capture}");
        let times: Vec<_> = of("drop").iter().map(|event| event["timestamp"].clone()).collect();
        assert_eq!(times, drops.iter().map(|line| line["time"].clone()).collect::<Vec<_>>(), "{capture}");
        // every flow is told of once, and no packet of it is missing
        let mut flows = std::collections::BTreeMap::<u64, u64>::new();
        for line in lines.iter().filter(|line| line["action"] == "pass" && line["reason"] != "icmp_error") {
            if let Some(flow) = line["flow"].as_u64() {
                *flows.entry(flow).or_default() += 1;
            }
        }
        let mut ended = std::collections::BTreeMap::new();
        for event in of("flow") {
            let packets = ["pkts_toserver", "pkts_toclient"].map(|key| event["flow"][key].as_u64().unwrap());
            let twice = ended.insert(event["flow_id"].as_u64().unwrap(), packets[0] + packets[1]);
            assert_eq!(twice, None, "{event}");
            let reason = event["flow"]["reason"].as_str().unwrap();
            assert!(["timeout", "forced", "shutdown"].contains(&reason), "{event}");
            assert!(event["flow"]["start"].as_str().unwrap().starts_with("2023-11-1"), "{event}");
        }
        assert!(!flows.is_empty());
        assert_eq!(ended, flows, "{capture}");
    }
    // a packet that passed, though odd
    let reply = packets::arp(2, "10.10.0.5".parse().unwrap(), "10.10.0.1".parse().unwrap());
    let reply = pcap::every_ms([packets::ethernet(&[], packets::ARP, &reply)]);
    fs::write(directory.path().join("arp.pcap"), pcap::pcap(pcap::ETHERNET, &reply)).unwrap();
    let out = dropgate(directory.path(), &["replay", "--policy", "policy.toml", "--eve", "arp.eve", "arp.pcap"]);
    assert_eq!(out.status.code(), Some(0));
    let event = fs::read_to_string(directory.path().join("arp.eve")).unwrap();
    let event: serde_json::Value = serde_json::from_str(&event).unwrap();
    assert_eq!((&event["event_type"], &event["anomaly"]["event"]), (&"anomaly".into(), &"arp_unsolicited".into()));
    assert_eq!((&event["in_iface"], &event["timestamp"]), (&"lan0".into(), &"2023-11-14T22:13:20.000000+0000".into()));
}

/// `replay | head` is no error.
#[test]
fn a_reader_that_has_seen_enough() {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(transcript::case("route").join("policy.toml"), directory.path().join("policy.toml")).unwrap();
    fs::write(directory.path().join("many.pcap"), captures::many(20_000)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_dropgate"))
        .args(["replay", "--policy", "policy.toml", "many.pcap"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Without the right to load programs the answer is 3, and says what is missing.
#[test]
fn without_privilege_the_environment_cannot() {
    use std::os::unix::process::CommandExt as _;
    let directory = tempfile::tempdir().unwrap();
    fs::copy(transcript::case("route").join("policy.toml"), directory.path().join("policy.toml")).unwrap();
    fs::write(directory.path().join("capture.pcap"), captures::masquerade()).unwrap();
    // the program itself, where anyone may read it
    let program = directory.path().join("dropgate");
    fs::copy(env!("CARGO_BIN_EXE_dropgate"), &program).unwrap();
    let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    fs::set_permissions(directory.path(), open).unwrap();
    let out = Command::new(&program)
        .args(["replay", "--policy", "policy.toml", "capture.pcap"])
        .current_dir(directory.path())
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{errors}");
    assert!(errors.contains("CAP_BPF"), "{errors}");
}
