//! The daemon's life: pushes that fail, the machine changing under it, its end.

use std::{fs, path::Path, time::Duration};

use dropgate_lab::{Gateway, Kind, address::*, run, wait_until};

use crate::{
    daemon::{Daemon, program},
    policies,
    setup::{guarded, with_policy},
    traffic::*,
};

const WEB: &str = "\n[[zone.office.egress]]\nname = \"web\"\ntcp = [80]\n";
const ALTERNATIVE: &str = "\n[[zone.office.egress]]\nname = \"web\"\ntcp = [8088]\n";
const LIMIT: Duration = Duration::from_secs(10);

fn reaches(lab: &Gateway, port: u16) -> bool {
    client(&lab.office, &format!("curl -sf -m 1 http://{SERVER}:{port}/")).success()
}

#[test]
fn a_push_that_fails_changes_nothing() {
    let (lab, daemon) = guarded(Kind::Route, WEB);
    let good = policies::office(Kind::Route, ALTERNATIVE);
    let list = lab.dir().join("missing.txt");
    let cases = [
        (good.replace("tcp = [8088]", "tcp = [8088"), "DG002", "array"),
        (good.replace("tcp = [8088]", "tpc = [8088]"), "DG003", "tcp"),
        (format!("{good}[lists]\nbad = \"{}\"\n", list.display()), "DG001", "missing.txt"),
    ];
    for (text, code, word) in cases {
        let file = lab.write("bad.toml", &text).unwrap();
        let finished = daemon.call(&["apply", file.to_str().unwrap()]);
        assert_eq!(finished.code(), Some(1), "{code}: {finished:?}");
        let said = &finished.stderr;
        assert!(said.contains(code) && said.contains(word) && said.contains("bad.toml"), "{code}: {said}");
        assert!(finished.stdout.is_empty(), "{finished:?}");
        assert_eq!(daemon.status()["generation"], 1, "{code}");
        assert!(reaches(&lab, 80) && !reaches(&lab, 8088), "{code}");
    }
    let missing = daemon.call(&["apply", "/nowhere/policy.toml"]);
    assert_eq!(missing.code(), Some(1), "{missing:?}");
    let file = lab.write("good.toml", &good).unwrap();
    assert_eq!(daemon.apply(&file), 2);
    assert!(!reaches(&lab, 80) && reaches(&lab, 8088));
}

#[test]
fn hang_up_reads_the_file_again() {
    let (lab, mut daemon) = guarded(Kind::Route, WEB);
    fs::write(daemon.policy(), policies::office(Kind::Route, ALTERNATIVE)).unwrap();
    assert!(reaches(&lab, 80), "a file that was changed is not in force yet");
    daemon.signal(libc::SIGHUP);
    wait_until("the second generation", LIMIT, || Ok(daemon.status()["generation"] == 2)).unwrap();
    assert!(!reaches(&lab, 80) && reaches(&lab, 8088));
    // One that is wrong is refused, and the daemon lives.
    fs::write(daemon.policy(), "nonsense").unwrap();
    daemon.signal(libc::SIGHUP);
    wait_until("a refusal", LIMIT, || Ok(daemon.said().contains("the policy in force stays"))).unwrap();
    assert_eq!(daemon.status()["generation"], 2);
    assert!(reaches(&lab, 8088));
    // The event file is opened again, as after a rotation.
    let rotated = lab.dir().join("eve.1.json");
    fs::rename(daemon.events.path(), &rotated).unwrap();
    daemon.signal(libc::SIGHUP);
    wait_until("a new event file", LIMIT, || Ok(daemon.events.path().exists())).unwrap();
    let mark = daemon.events.mark();
    assert!(!reaches(&lab, 80));
    daemon.events.dropped(mark, OFFICE, SERVER, "not_allowed");
}

#[test]
fn auto_follows_addresses() {
    let policy = policies::office(Kind::Route, WEB)
        .replace("prefixes = [\"10.10.0.0/24\", \"fd00:10::/64\"]", "prefixes = [\"auto\"]");
    let (lab, daemon) = with_policy(Kind::Route, &policy);
    assert!(reaches(&lab, 80));
    lab.servers.ip("route add 10.30.0.0/24 via 203.0.113.1").unwrap();
    lab.office.ip("addr add 10.30.0.5/24 dev eth0").unwrap();
    let other = format!("curl -sf -m 1 --interface 10.30.0.5 http://{SERVER}/");
    fails(&lab.office, &other);
    daemon.events.dropped(0, "10.30.0.5", SERVER, "source_not_in_zone");
    lab.gw.ip("addr add 10.30.0.1/24 dev lan0").unwrap();
    wait_until("the new prefix", LIMIT, || Ok(client(&lab.office, &other).success())).unwrap();
    assert!(reaches(&lab, 80));
    lab.gw.ip("addr del 10.30.0.1/24 dev lan0\nroute add 10.30.0.0/24 dev lan0").unwrap();
    wait_until("its end", LIMIT, || Ok(!client(&lab.office, &other).success())).unwrap();
    assert!(reaches(&lab, 80));
}

#[test]
fn an_interface_that_returns_is_guarded_again() {
    let (lab, daemon) = guarded(Kind::Route, WEB);
    lab.gw.ip("link del lan0").unwrap();
    let gone = || Ok(!attached(&daemon).contains(&"lan0".to_owned()));
    wait_until("word of its end", LIMIT, gone).unwrap();
    lab.veth((&lab.gw, "lan0"), (&lab.office, "eth0")).unwrap();
    lab.office.check("ethtool", ["-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"]).unwrap();
    lab.gw.ip("addr add 10.10.0.1/24 dev lan0").unwrap();
    lab.office.ip("addr add 10.10.0.5/24 dev eth0\nroute add default via 10.10.0.1").unwrap();
    wait_until("word of its return", LIMIT, || Ok(attached(&daemon).contains(&"lan0".to_owned()))).unwrap();
    wait_until("what is allowed", LIMIT, || Ok(reaches(&lab, 80))).unwrap();
    let mark = daemon.events.mark();
    assert!(!reaches(&lab, 8088));
    daemon.events.dropped(mark, OFFICE, SERVER, "not_allowed");
}

fn attached(daemon: &Daemon) -> Vec<String> {
    let status = daemon.status();
    let at = status["attached"].as_array().unwrap().iter();
    at.map(|at| at["interface"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_second_daemon_is_refused_and_detach_takes_all_off() {
    let (lab, mut daemon) = guarded(Kind::Route, WEB);
    let second = |policy: &Path| {
        let mut command = lab.gw.command(program());
        run(command.args(["run", "--policy"]).arg(policy), LIMIT).unwrap()
    };
    let refused = second(daemon.policy());
    assert!(matches!(refused.code(), Some(1 | 3)), "{refused:?}");
    assert!(refused.stderr.contains("a daemon already runs"), "{refused:?}");
    assert_eq!(daemon.status()["generation"], 1);
    assert!(reaches(&lab, 80) && !reaches(&lab, 8088));

    // SIGTERM ends the daemon, not enforcement.
    daemon.signal(libc::SIGTERM);
    assert!(daemon.ended().success());
    assert!(reaches(&lab, 80) && !reaches(&lab, 8088));
    let silent = daemon.call(&["status"]);
    assert_eq!(silent.code(), Some(3), "{silent:?}");
    daemon.restart();
    assert_eq!(daemon.status()["generation"], 2);
    assert!(reaches(&lab, 80) && !reaches(&lab, 8088));

    assert!(works(&lab.gw, "ip link show lan0").contains("xdp"));
    daemon.detach();
    assert!(daemon.ended().success());
    for interface in ["lan0", "lan1", "wan0"] {
        let link = works(&lab.gw, &format!("ip -d link show {interface}"));
        assert!(!link.contains("xdp"), "{link}");
    }
    assert!(reaches(&lab, 80) && reaches(&lab, 8088));
    assert_eq!(pins(&lab), [""; 0], "left pinned");
    // After which the place is free for the first attach of another one.
    daemon.restart();
    assert_eq!(daemon.status()["generation"], 1);
    // Nobody need be there to take it off.
    daemon.kill();
    daemon.detach();
    assert!(reaches(&lab, 8088));
    assert_eq!(pins(&lab), [""; 0], "left pinned");
}

/// What is pinned for the gateway's namespace.
fn pins(lab: &Gateway) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let place = format!("/sys/fs/bpf/dropgate/net-{}", lab.gw.path().metadata().unwrap().ino());
    fs::read_dir(place)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default()
}
