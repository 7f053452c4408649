//! What is tried under the first policy, `docs/examples/office.toml`.

use anyhow::Result;
use dropgate_lab::address::*;

use super::{
    frames::{self, Cable},
    stage::{Happened, Packet, Stage, client, judge},
    table::Expect::{Allowed, Dropped},
};

/// Answers at once or not at all: two seconds are for a busy machine.
const CURL: &str = "curl -skS --connect-timeout 2 --max-time 5";

/// Services that a zone has, and those it has not.
pub fn services(stage: &mut Stage) -> Result<()> {
    let office = |to, port| Packet::tcp("office", OFFICE, to, port);
    let office6 = |to, port| Packet::tcp("office", OFFICE6, to, port);
    let curl = |url: &str| format!("curl {url}");
    for (url, packet, service) in [
        (format!("http://{SERVER}/"), office(SERVER, 80), "web"),
        (format!("https://{SERVER}/"), office(SERVER, 443), "web"),
        (format!("http://[{SERVER6}]/"), office6(SERVER6, 80), "web"),
        (format!("https://{SERVER}:8443/"), office(SERVER, 8443), "updates"),
    ] {
        stage.attempt(&curl(&url), &packet, Allowed(service), |lab| {
            client(&lab.office, &format!("{CURL} {url}"), "this is servers")
        })?;
    }
    let secure = format!("openssl s_client -brief -connect {SERVER}:443");
    stage.attempt(&secure, &office(SERVER, 443), Allowed("web"), |lab| {
        client(&lab.office, &secure, "CONNECTION ESTABLISHED")
    })?;
    let dig = format!("dig @{SERVER} www.example.test");
    let dns = Packet::udp("office", OFFICE, SERVER, 53);
    stage.attempt(&dig, &dns, Allowed("dns"), |lab| client(&lab.office, &format!("{dig} +short +tries=1"), SERVER))?;
    let redis = format!("redis-cli -h {SERVER} ping");
    stage.attempt(&redis, &office(SERVER, 6379), Allowed("redis"), |lab| client(&lab.office, &redis, "PONG"))?;
    stage.attempt(&format!("ssh {SERVER} echo hello"), &office(SERVER, 22), Allowed("ssh"), |lab| {
        judge(lab.ssh(&lab.office).args([SERVER, "echo", "hello"]), "hello")
    })?;
    for (url, packet) in [
        (format!("http://{SERVER}:8088/"), office(SERVER, 8088)),
        (format!("https://{SERVER_B}:8088/"), office(SERVER_B, 8088)),
        (format!("https://{SERVER}:587/"), office(SERVER, 587)),
        (format!("http://[{SERVER6}]:8088/"), office6(SERVER6, 8088)),
    ] {
        stage.attempt(&curl(&url), &packet, Dropped("not_allowed"), |lab| {
            client(&lab.office, &format!("{CURL} {url}"), "this is servers")
        })?;
    }
    let secure = format!("openssl s_client -brief -connect {SERVER}:587");
    stage.attempt(&secure, &office(SERVER, 587), Dropped("not_allowed"), |lab| {
        client(&lab.office, &format!("timeout 2 {secure}"), "CONNECTION ESTABLISHED")
    })
}

/// A zone with one service, and the way between zones.
pub fn zones(stage: &mut Stage) -> Result<()> {
    let iot = |to, port| Packet::tcp("iot", IOT, to, port);
    for (url, packet, expect) in [
        (format!("https://{SERVER}/"), iot(SERVER, 443), Allowed("cloud")),
        (format!("http://{SERVER}/"), iot(SERVER, 80), Dropped("not_allowed")),
        (format!("https://{SERVER_B}/"), iot(SERVER_B, 443), Dropped("not_allowed")),
    ] {
        stage.attempt(&format!("curl {url}"), &packet, expect, |lab| {
            client(&lab.iot, &format!("{CURL} {url}"), "this is servers")
        })?;
    }
    let dig = format!("dig @{SERVER} www.example.test");
    stage.attempt(&dig, &Packet::udp("iot", IOT, SERVER, 53), Dropped("not_allowed"), |lab| {
        client(&lab.iot, &format!("{dig} +short +tries=1 +time=1"), SERVER)
    })?;
    let url = format!("http://{IOT}:8080/");
    stage.attempt(
        &format!("curl {url} (zone iot)"),
        &Packet::tcp("office", OFFICE, IOT, 8080),
        Dropped("not_allowed"),
        |lab| client(&lab.office, &format!("{CURL} {url}"), "this is iot"),
    )
}

/// The gateway itself, and what the outside may do.
pub fn outside(stage: &mut Stage) -> Result<()> {
    let (office, iot) = (Packet::tcp("office", OFFICE, GW_OFFICE, 22), Packet::tcp("iot", IOT, GW_IOT, 22));
    stage.attempt(&format!("ssh {GW_OFFICE} echo hello (the gateway)"), &office, Allowed("admin"), |lab| {
        judge(lab.ssh(&lab.office).args([GW_OFFICE, "echo", "hello"]), "hello")
    })?;
    stage.attempt(&format!("ssh {GW_IOT} echo hello (the gateway)"), &iot, Dropped("not_allowed"), |lab| {
        judge(lab.ssh(&lab.iot).args([GW_IOT, "echo", "hello"]), "hello")
    })?;
    let dig = format!("dig @{SERVER} www.example.test");
    stage.attempt(&dig, &Packet::udp("self", WAN, SERVER, 53), Allowed("resolver"), |lab| {
        client(&lab.gw, &format!("{dig} +short +tries=1"), SERVER)
    })?;
    let url = format!("http://{SERVER}/");
    stage.attempt(&format!("curl {url}"), &Packet::tcp("self", WAN, SERVER, 80), Dropped("not_allowed"), |lab| {
        client(&lab.gw, &format!("{CURL} {url}"), "this is servers")
    })?;
    let published = format!("http://{WAN}/");
    stage.attempt(
        &format!("curl {published} (published)"),
        &Packet::tcp("outside", SERVER, WAN, 80),
        Allowed("www"),
        |lab| client(&lab.servers, &format!("{CURL} {published}"), "this is iot"),
    )?;
    stage.attempt(
        &format!("curl {published} (hairpin)"),
        &Packet::tcp("office", OFFICE, WAN, 80),
        Allowed("www"),
        |lab| client(&lab.office, &format!("{CURL} {published}"), "this is iot"),
    )?;
    let closed = format!("http://{WAN}:8080/");
    stage.attempt(
        &format!("curl {closed}"),
        &Packet::tcp("outside", SERVER, WAN, 8080),
        Dropped("not_published"),
        |lab| client(&lab.servers, &format!("{CURL} {closed}"), "this is iot"),
    )?;
    let cable = Cable::new(&stage.lab, &stage.lab.servers, "wan0")?;
    let frame = cable.udp(None, [203, 0, 113, 9], [203, 0, 113, 1], (53, 40000))?;
    let packet = Packet::udp("outside", SERVER, WAN, 40000);
    stage.attempt("a DNS answer nobody asked for", &packet, Dropped("dns_unsolicited"), |lab| {
        // It is addressed to the gateway: what counts is that no client behind it gets it.
        arrived(frames::send(&[frame], &lab.servers, &lab.office, 40000)?)
    })
}

/// Path MTU discovery, traceroute, fragments, tags and frames that no client sends.
pub fn frames(stage: &mut Stage) -> Result<()> {
    let body = stage.lab.write("body", &"x".repeat(300_000))?;
    let upload = format!("http://{FAR}/upload");
    let packet = Packet::tcp("office", OFFICE, FAR, 80);
    stage.attempt(&format!("curl -T 300 kB {upload} (path MTU {FAR_MTU})"), &packet, Allowed("web"), |lab| {
        client(&lab.office, &format!("{CURL} -T {} {upload}", body.display()), "300000")
    })?;
    let trace = Packet::udp("office", OFFICE, FAR, 33440);
    stage.attempt(&format!("traceroute {FAR}"), &trace, Allowed("traceroute"), |lab| {
        let seen = client(&lab.office, &format!("traceroute -n -q 1 -w 2 -m 5 {FAR}"), &format!("2  {SERVER}"))?;
        Ok(if seen.worked {
            client(&lab.office, &format!("traceroute -n -q 1 -w 2 -m 5 {FAR}"), &format!("3  {FAR}"))?
        } else {
            seen
        })
    })?;
    let ping = Packet { zone: "office", from: OFFICE, to: SERVER, protocol: "icmp", port: None };
    let line = format!("ping -c 1 -W 2 -s 3000 {SERVER}");
    stage.attempt(&format!("{line} (ICMP fragments)"), &ping, Allowed("ping"), |lab| {
        client(&lab.office, &line, " 0% packet loss")
    })?;

    let cable = Cable::new(&stage.lab, &stage.lab.office, "lan0")?;
    let (office, server) = ([10, 10, 0, 5], [203, 0, 113, 9]);
    let packet = Packet::udp("office", OFFICE, SERVER, 53);
    let spoofed = Packet::udp("office", "10.99.0.1", SERVER, 53);
    let odd = Packet::tcp("office", OFFICE, SERVER, 80);
    let cases = [
        ("UDP in two fragments", &packet, "fragment_denied", cable.fragments(office, server, (40001, 53))?.to_vec()),
        ("UDP in VLAN 10", &packet, "vlan_unknown", vec![cable.udp(Some(10), office, server, (40002, 53))?]),
        (
            "UDP from a spoofed source",
            &spoofed,
            "source_not_in_zone",
            vec![cable.udp(None, [10, 99, 0, 1], server, (40003, 53))?],
        ),
        ("TCP with SYN and FIN", &odd, "tcp_syn_fin", vec![cable.tcp(office, server, (40004, 80), true)?]),
    ];
    for (tried, packet, reason, frames) in cases {
        stage.attempt(tried, packet, Dropped(reason), |lab| {
            arrived(frames::send(&frames, &lab.office, &lab.servers, packet.port.unwrap_or(0))?)
        })?;
    }
    Ok(())
}

fn arrived(worked: bool) -> Result<Happened> {
    Ok(Happened { worked, note: if worked { "arrived" } else { "did not arrive" }.to_owned() })
}
