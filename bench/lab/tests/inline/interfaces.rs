//! Interfaces that are not there when the daemon starts, that come, go and come again.

use std::time::Duration;

use dropgate_lab::{Gateway, Kind, Lab, RawSocket, address::*, run, wait_until};

use crate::{
    daemon::{Daemon, program},
    frames::{Cable, Path},
    policies,
    traffic::*,
};

const WEB: &str = "\n[[zone.office.egress]]\nname = \"web\"\ntcp = [80]\n";
const LIMIT: Duration = Duration::from_secs(10);

fn reaches(lab: &Gateway, port: u16) -> bool {
    client(&lab.office, &format!("curl -sf -m 1 http://{SERVER}:{port}/")).success()
}

fn missing(daemon: &Daemon) -> Vec<String> {
    let status = daemon.status();
    status["missing"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Makes `lan0` and what is behind it anew.
fn plug_in(lab: &Gateway) {
    lab.veth((&lab.gw, "lan0"), (&lab.office, "eth0")).unwrap();
    lab.office.check("ethtool", ["-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"]).unwrap();
    lab.gw.ip("addr add 10.10.0.1/24 dev lan0").unwrap();
    lab.office.ip("addr add 10.10.0.5/24 dev eth0\nroute add default via 10.10.0.1").unwrap();
}

#[test]
fn a_start_without_an_interface() {
    let mut lab = Lab::gateway(Kind::Route).unwrap();
    lab.start_servers().unwrap();
    lab.gw.ip("link del lan0").unwrap();
    let daemon = Daemon::start(&lab, &policies::office(Kind::Route, WEB));
    let said = daemon.said();
    assert!(said.contains("DG023") && said.contains("`lan0`"), "{said}");
    assert_eq!(missing(&daemon), ["lan0"]);
    // the others are guarded from the start
    fails(&lab.iot, &format!("curl -sf -m 1 http://{SERVER}/"));
    daemon.events.dropped(0, IOT, SERVER, "not_allowed");
    for round in 0..2 {
        plug_in(&lab);
        let there = || Ok(missing(&daemon).is_empty());
        wait_until("word of its coming", LIMIT, there).unwrap();
        wait_until("what is allowed", LIMIT, || Ok(reaches(&lab, 80))).unwrap();
        let mark = daemon.events.mark();
        assert!(!reaches(&lab, 8088), "round {round}");
        daemon.events.dropped(mark, OFFICE, SERVER, "not_allowed");
        lab.gw.ip("link del lan0").unwrap();
        wait_until("word of its end", LIMIT, || Ok(missing(&daemon) == ["lan0"])).unwrap();
        let mark = daemon.events.mark();
        fails(&lab.iot, &format!("curl -sf -m 1 http://{SERVER}/"));
        daemon.events.dropped(mark, IOT, SERVER, "not_allowed");
    }
}

#[test]
fn a_push_may_name_what_is_not_there_yet() {
    let mut lab = Lab::gateway(Kind::Route).unwrap();
    lab.start_servers().unwrap();
    let good = policies::office(Kind::Route, WEB);
    // not one of its interfaces is there: a policy for another machine
    let foreign = good.replace("lan0", "nope0").replace("lan1", "nope1").replace("wan0", "nope2");
    let foreign = lab.write("foreign.toml", &foreign).unwrap();
    let refused = run(lab.gw.command(program()).args(["run", "--policy"]).arg(&foreign), LIMIT).unwrap();
    assert_eq!(refused.code(), Some(3), "{refused:?}");
    assert!(refused.stderr.contains("nope0, nope1, nope2"), "{refused:?}");

    let daemon = Daemon::start(&lab, &good);
    let refused = daemon.call(&["apply", foreign.to_str().unwrap()]);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    let more = format!("{good}\n[zone.later]\ninterface = \"lan7\"\nprefixes = [\"10.70.0.0/24\"]\n");
    let file = lab.write("more.toml", &more).unwrap();
    let finished = daemon.call(&["apply", file.to_str().unwrap()]);
    assert!(finished.success(), "{finished:?}");
    assert!(finished.stderr.contains("DG023") && finished.stderr.contains("`lan7`"), "{finished:?}");
    assert_eq!(missing(&daemon), ["lan7"]);
    let human = daemon.call(&["status"]).stdout;
    assert!(human.lines().any(|line| line.split_whitespace().eq(["lan7", "missing"])), "{human}");
    assert!(reaches(&lab, 80) && !reaches(&lab, 8088));
}

/// Packets that nftables has dropped at interfaces without programs, by the name of its chain.
fn guarded(lab: &Gateway, chain: &str) -> u64 {
    let listed = works(&lab.gw, &format!("nft list chain inet dropgate {chain}"));
    listed.split("counter packets ").skip(1).filter_map(|part| part.split(' ').next()?.parse::<u64>().ok()).sum()
}

/// Sends what no line allows as fast as it goes, while `lan0` goes and returns; what of it arrives. `there`: whether it is to work.
fn flood(lab: &Gateway, servers: &RawSocket) -> usize {
    plug_in(lab);
    works(&lab.office, "ethtool -K eth0 gro on");
    let office = RawSocket::open(&lab.office, "eth0").unwrap();
    let cable = Cable::new(lab, &lab.office, "lan0");
    let frame = cable.frame(&Path::new(OFFICE, SERVER, (4000, 9999)).udp(b"what no line allows"));
    for _ in 0..3000 {
        let _ = office.send(&frame);
        std::thread::sleep(Duration::from_micros(100));
    }
    let mut arrived = 0;
    while servers.receive(Duration::from_millis(300), |got| got.ends_with(b"what no line allows")).unwrap().is_some() {
        arrived += 1;
    }
    arrived
}

/// Until programs are on an interface that has returned nothing is forwarded by it: not for a moment, and not while no daemon runs.
#[test]
fn what_returns_forwards_nothing_unjudged() {
    let mut lab = Lab::gateway(Kind::Route).unwrap();
    lab.start_servers().unwrap();
    let mut daemon = Daemon::start(&lab, &policies::office(Kind::Route, WEB));
    let servers = RawSocket::open(&lab.servers, "eth0").unwrap();
    assert!(reaches(&lab, 80));
    // a daemon that sees it come
    lab.gw.ip("link del lan0").unwrap();
    wait_until("word of its end", LIMIT, || Ok(missing(&daemon) == ["lan0"])).unwrap();
    assert_eq!(flood(&lab, &servers), 0);
    wait_until("what is allowed", LIMIT, || Ok(reaches(&lab, 80))).unwrap();
    // somebody takes all tables away
    works(&lab.gw, "nft flush ruleset");
    let there = || Ok(client(&lab.gw, "nft list table inet dropgate").success());
    wait_until("the table", Duration::from_secs(20), there).unwrap();
    // and one that is no more
    daemon.kill();
    lab.gw.ip("link del lan0").unwrap();
    assert_eq!(flood(&lab, &servers), 0);
    assert!(guarded(&lab, "forward") >= 1000);
    // nor does the gateway itself answer there, or send
    fails(&lab.office, &format!("ping -c 1 -W 1 {GW_OFFICE}"));
    assert!(guarded(&lab, "input") > 0);
    assert!(!reaches(&lab, 80));
    // what has its programs goes on: the servers still get no answer from `iot` but for its own reason
    daemon.restart();
    wait_until("what is allowed", LIMIT, || Ok(reaches(&lab, 80))).unwrap();
    assert!(!reaches(&lab, 8088));
    daemon.detach();
    assert!(!client(&lab.gw, "nft list table inet dropgate").success());
    assert!(reaches(&lab, 8088));
}
