//! Paths of which the gateway sees one direction only: a zone whose state is loose lives with them, a strict one does not.

use std::time::Duration;

use dropgate_lab::{Gateway, Kind, Namespace, address::*};

use crate::{
    daemon::Daemon,
    policies,
    setup::{Connection, with_policy, with_servers},
    traffic::*,
};

/// A web service of `office` on a gateway that routes.
fn policy(state: &str) -> String {
    let lines = format!("state = \"{state}\"\n\n[[zone.office.egress]]\nname = \"web\"\ntcp = [80]\n");
    policies::office(Kind::Route, &lines)
}

/// A second link between `office` and the servers, around the gateway. Nothing is routed over it yet.
fn bypass(lab: &Gateway) {
    let (office, servers) = ((&lab.office, "eth1"), (&lab.servers, "eth2"));
    lab.veth(office, servers).unwrap();
    for (host, interface) in [office, servers] {
        host.check("ethtool", ["-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off"]).unwrap();
        // Each end takes what comes by the other way.
        for scope in ["all", "default", "eth0", interface] {
            host.sysctl(&[(&format!("net/ipv4/conf/{scope}/rp_filter"), "0")]).unwrap();
        }
    }
    lab.office.ip("addr add 192.0.2.1/30 dev eth1\naddr add 2001:db8:2::1/64 dev eth1 nodad").unwrap();
    lab.servers.ip("addr add 192.0.2.2/30 dev eth2\naddr add 2001:db8:2::2/64 dev eth2 nodad").unwrap();
}

/// Routes what `from` sends to the other end around the gateway.
fn around(from: &Namespace, to: [&str; 2], via: [&str; 2]) {
    let own = if via[0] == "192.0.2.2" { [OFFICE, OFFICE6] } else { [SERVER, SERVER6] };
    for at in 0..2 {
        let length = if at == 0 { 32 } else { 128 };
        from.ip(&format!("route replace {}/{length} via {} src {}", to[at], via[at], own[at])).unwrap();
    }
}

fn fetch(server: &str) -> String {
    format!("curl -sf -m 2 http://{}/", host(server))
}

fn in_force(lab: &Gateway, daemon: &Daemon, state: &str) {
    let file = lab.write(&format!("{state}.toml"), &policy(state)).unwrap();
    daemon.apply(&file);
}

/// The gateway sees nothing but what the servers send: a connection begins for it with a SYN+ACK.
#[test]
fn only_the_answers_come_this_way() {
    let (lab, daemon) = with_policy(Kind::Route, &policy("strict"));
    bypass(&lab);
    around(&lab.office, [SERVER, SERVER6], ["192.0.2.2", "2001:db8:2::2"]);
    for (client, server) in [(OFFICE, SERVER), (OFFICE6, SERVER6)] {
        let (mark, before) = (daemon.events.mark(), daemon.count("syn_ack_unsolicited"));
        fails(&lab.office, &format!("curl -sf -m 0.6 --local-port 40100-40199 http://{}/", host(server)));
        daemon.events.dropped_where(mark, server, client, "syn_ack_unsolicited", |event| event["src_port"] == 80);
        assert!(daemon.count("syn_ack_unsolicited") > before);
    }
    in_force(&lab, &daemon, "loose");
    let refused = daemon.count("syn_ack_unsolicited");
    for (client, server) in [(OFFICE, SERVER), (OFFICE6, SERVER6)] {
        let (mark, before) = (daemon.events.mark(), daemon.count("loose"));
        assert_eq!(works(&lab.office, &fetch(server)), "this is servers\n");
        assert!(daemon.count("loose") > before, "{}", daemon.status());
        // the server may still answer the connections above
        let ours = |drop: &serde_json::Value| drop["dest_port"].as_u64().is_none_or(|port| port / 100 != 401);
        let drops: Vec<_> = daemon.events.drops(mark, server, client).into_iter().filter(ours).collect();
        assert!(drops.is_empty(), "{drops:?}");
        let flow = daemon.flow(server, 80).expect("the flow, from its initiator's side");
        assert_eq!((flow["zone"].as_str(), flow["packets_to_server"].as_u64()), (Some("office"), Some(0)), "{flow}");
        // Loose is no way around the allowlist: the same connection to another port.
        fails(&lab.office, &format!("curl -sf -m 0.6 http://{}:8088/", host(server)));
        daemon.events.dropped_where(mark, server, client, "syn_ack_unsolicited", |event| event["src_port"] == 8088);
    }
    assert!(daemon.count("syn_ack_unsolicited") > refused);
}

/// The gateway sees nothing but what the zone sends.
#[test]
fn only_the_questions_go_this_way() {
    let (lab, daemon) = with_policy(Kind::Route, &policy("loose"));
    bypass(&lab);
    around(&lab.servers, [OFFICE, OFFICE6], ["192.0.2.1", "2001:db8:2::1"]);
    for server in [SERVER, SERVER6] {
        let _connection = Connection::open(&lab.office, server);
        let flow = daemon.flow(server, 80).unwrap();
        assert!(flow["packets_to_server"].as_u64() >= Some(3) && flow["packets_to_client"] == 0, "{flow}");
        // No longer half open, so that it keeps its place and an established flow's timeout.
        assert_eq!(flow["state"], "established", "{flow}");
        fails(&lab.office, &format!("curl -sf -m 0.6 http://{}:8088/", host(server)));
    }
    assert!(daemon.count("not_allowed") > 0);
}

/// Connections that began while they went around the gateway come to it in mid-stream.
#[test]
fn a_path_that_changes_under_a_connection() {
    let lab = with_servers(Kind::Route);
    let mut open = [SERVER, SERVER6].map(|server| Connection::open(&lab.office, server));
    let daemon = Daemon::start(&lab, &policy("strict"));
    for (connection, (client, server)) in open.iter_mut().zip([(OFFICE, SERVER), (OFFICE6, SERVER6)]) {
        let (mark, before) = (daemon.events.mark(), daemon.count("tcp_no_flow"));
        connection.request();
        assert!(!connection.answered(Duration::from_millis(500)), "strict, and in mid-stream");
        daemon.events.dropped(mark, client, server, "tcp_no_flow");
        assert!(daemon.count("tcp_no_flow") > before);
    }
    in_force(&lab, &daemon, "loose");
    // Sent again by the kernel.
    for connection in &mut open {
        assert!(connection.answered(Duration::from_secs(5)), "{}", daemon.status());
        connection.ask();
    }
    assert!(daemon.count("loose") >= 2, "{}", daemon.status());
}
