//! Interfaces that are not there when the daemon starts, that come, go and come again.

use std::time::Duration;

use dropgate_lab::{Gateway, Kind, Lab, address::*, run, wait_until};

use crate::{
    daemon::{Daemon, program},
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
