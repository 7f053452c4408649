//! DHCP with a real client and a real server: of a zone, and of the gateway's own outside address.

use std::{path::PathBuf, process::Command};

use dropgate_lab::{Gateway, Kind, Namespace, Process, address::*, wait_until};
use serde_json::Value;

use crate::{
    daemon::Daemon,
    policies,
    setup::{LIMIT, bare, with_servers},
    traffic::*,
};

/// Sets what a lease says on the interface, and nothing else of the machine (busybox, `udhcpc` script).
const SCRIPT: &str = "\
#!/bin/sh
case $1 in
bound | renew)
    ip address replace $ip/$mask dev $interface
    for one in $router; do ip route replace default via $one; done
    echo $1 $ip >&2
    ;;
esac
";

/// `udhcpc` on an interface: two attempts, a second apart.
fn udhcpc(lab: &Gateway, host: &Namespace, interface: &str) -> Command {
    use std::os::unix::fs::PermissionsExt;
    let script = lab.dir().join("udhcpc.sh");
    if !script.exists() {
        lab.write("udhcpc.sh", SCRIPT).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = host.command("udhcpc");
    command.args(["-f", "-n", "-t", "2", "-T", "1", "-i", interface, "-s"]).arg(script);
    command
}

/// Whether a client gets a lease; it goes away then.
fn gets_a_lease(lab: &Gateway, host: &Namespace, interface: &str) -> bool {
    let finished = dropgate_lab::run(udhcpc(lab, host, interface).arg("-q"), LIMIT).unwrap();
    assert!(finished.stderr.contains("sending discover") || finished.stderr.contains("broadcasting"), "{finished:?}");
    finished.success()
}

/// `dnsmasq` that gives addresses on one interface, and does nothing else.
fn dnsmasq(lab: &mut Gateway, name: &str, host: &Namespace, interface: &str, range: &str) -> PathBuf {
    let mut command = host.command("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=root", "--pid-file="]);
    command.args([
        "--port=0",
        "--log-facility=-",
        "--log-dhcp",
        "--no-ping",
        "--dhcp-authoritative",
        "--bind-interfaces",
    ]);
    command.arg(format!("--interface={interface}")).arg(format!("--dhcp-range={range},10m"));
    command.arg(format!("--dhcp-leasefile={}", lab.dir().join(format!("{name}.leases")).display()));
    lab.serve(name, &mut command).unwrap();
    let log = lab.log(name);
    let ready = || Ok(std::fs::read_to_string(&log).unwrap_or_default().contains("DHCP, IP range"));
    wait_until("the DHCP server", LIMIT, ready).unwrap();
    log
}

fn has_address(host: &Namespace, interface: &str, prefix: &str) -> bool {
    works(host, &format!("ip -4 -o address show dev {interface}")).contains(&format!(" {prefix}"))
}

fn dhcp_drops(daemon: &Daemon, mark: u64, reason: &str) -> Vec<Value> {
    let wanted = |event: &Value| event["event_type"] == "drop" && event["dropgate"]["reason"] == reason;
    daemon.events.since(mark).into_iter().filter(wanted).collect()
}

#[test]
fn a_zone_that_may_gets_a_lease_and_one_that_may_not_gets_none() {
    let mut lab = with_servers(Kind::Route);
    let lines = "dhcp = true\n\n[[zone.office.egress]]\nname = \"web\"\ntcp = [80]\n";
    let gw = lab.gw.clone();
    let log = dnsmasq(&mut lab, "dhcp-office", &gw, "lan0", "10.10.0.100,10.10.0.150");
    dnsmasq(&mut lab, "dhcp-iot", &gw, "lan1", "10.20.0.100,10.20.0.150");
    let daemon = Daemon::start(&lab, &policies::office(Kind::Route, lines));
    lab.office.ip(&format!("address delete {OFFICE}/24 dev eth0")).unwrap();
    lab.iot.ip(&format!("address delete {IOT}/24 dev eth0")).unwrap();

    // The client stays, so that it can be told to ask again: then it has an address and asks the server alone.
    let mut client = udhcpc(&lab, &lab.office, "eth0");
    let mut client = Process::spawn(&mut client).unwrap();
    wait_until("a lease", LIMIT, || Ok(has_address(&lab.office, "eth0", "10.10.0.1"))).unwrap();
    assert_eq!(works(&lab.office, &format!("curl -sf -m 5 http://{SERVER}/")), "this is servers\n");
    let acknowledged = || std::fs::read_to_string(&log).unwrap().matches("DHCPACK").count();
    let (before, counted) = (acknowledged(), daemon.count("dhcp"));
    assert!(before >= 1 && counted >= 4, "discover, offer, request, acknowledgement: {counted}");
    client.signal(libc::SIGUSR1);
    wait_until("a renewal", LIMIT, || Ok(acknowledged() > before)).unwrap();
    assert!(daemon.count("dhcp") >= counted + 2, "{}", daemon.status());
    assert_eq!(daemon.count("dhcp_denied"), 0, "{}", daemon.status());
    drop(client);

    let mark = daemon.events.mark();
    assert!(!gets_a_lease(&lab, &lab.iot, "eth0"), "a lease in a zone without `dhcp`");
    assert!(!has_address(&lab.iot, "eth0", "10.20.0.1"));
    assert_eq!(daemon.count("dhcp_denied"), 2, "{}", daemon.status());
    let event = daemon.events.dropped(mark, "0.0.0.0", "255.255.255.255", "dhcp_denied");
    assert_eq!((event["src_port"].as_u64(), event["dest_port"].as_u64()), (Some(68), Some(67)), "{event}");
    let leases = std::fs::read_to_string(lab.log("dhcp-iot")).unwrap();
    assert!(!leases.contains("DHCPDISCOVER"), "it came through: {leases}");
}

/// The gateway has no outside address but the one that a server beyond gives it.
#[test]
fn the_gateway_gets_its_own_address() {
    let allowed = policies::office(Kind::Route, "").replace("outside =", "dhcp = true\noutside =");
    let (mut lab, daemon) = bare(&policies::office(Kind::Route, ""));
    let servers = lab.servers.clone();
    let log = dnsmasq(&mut lab, "dhcp-outside", &servers, "eth0", "203.0.113.100,203.0.113.150");
    lab.gw.ip(&format!("address delete {WAN}/24 dev wan0")).unwrap();
    wait_until("word of it", LIMIT, || Ok(!has_address(&lab.gw, "wan0", "203"))).unwrap();

    let mark = daemon.events.mark();
    assert!(!gets_a_lease(&lab, &lab.gw, "wan0"), "a lease without `[gateway] dhcp`");
    assert_eq!(daemon.count("dhcp_denied"), 2, "{}", daemon.status());
    daemon.events.dropped(mark, "0.0.0.0", "255.255.255.255", "dhcp_denied");
    assert!(!std::fs::read_to_string(&log).unwrap().contains("DHCPDISCOVER"), "it came through");

    let file = lab.write("dhcp.toml", &allowed).unwrap();
    daemon.apply(&file);
    let mark = daemon.events.mark();
    let got = gets_a_lease(&lab, &lab.gw, "wan0");
    assert!(got, "{}\n{}", daemon.status(), std::fs::read_to_string(&log).unwrap());
    assert!(has_address(&lab.gw, "wan0", "203.0.113.1"));
    assert!(daemon.count("dhcp") >= 4, "{}", daemon.status());
    assert!(dhcp_drops(&daemon, mark, "dhcp_denied").is_empty());
}
