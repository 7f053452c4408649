//! Tunnels from a client behind the gateway to a host outside: the packets inside are judged, pass unread or are dropped. VXLAN by the
//! kernel's own devices, which this kernel has; the others by raw frames, because it has none of them.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, address::*};

use crate::{
    daemon::Daemon,
    frames::Path,
    policies,
    setup::{Wire, with_servers},
    signatures::alert,
    traffic::works,
};

/// Addresses in the tunnel: of the client, which its zone holds, and of the server.
const CLIENT: &str = "10.10.9.5";
const SERVED: &str = "10.99.0.9";
const LIMIT: Duration = Duration::from_secs(3);
/// For what must not come.
const PATIENCE: Duration = Duration::from_millis(700);
const NETWORK: u32 = 7;

/// A gateway whose `office` has a tunnel to the server, and one port in it; the server may answer.
fn vxlan(tunnel: &str, more: &str) -> String {
    let lines = format!(
        "\n[[zone.office.egress]]\nname = \"tunnel\"\nudp = [4789]\nto = [\"{SERVER}\"]\n{tunnel}\n\
         \n[[zone.office.egress]]\nname = \"inside\"\ntcp = [8080]\nto = [\"{SERVED}\"]\n{more}\n\
         \n[[outside.egress]]\nname = \"tunnel-back\"\nudp = [4789]\nto = [\"zone:office/{OFFICE}\"]\n{tunnel}\n"
    );
    policies::office(Kind::Route, &lines).replace("10.10.0.0/24", "10.10.0.0/24\", \"10.10.9.0/24")
}

/// A VXLAN device at each end, and servers behind it that answer a line with a page.
fn with_devices() -> Gateway {
    let lab = with_servers(Kind::Route);
    for (node, own, other, inner) in [(&lab.office, OFFICE, SERVER, CLIENT), (&lab.servers, SERVER, OFFICE, SERVED)] {
        works(node, &format!("ip link add vx0 type vxlan id {NETWORK} local {own} remote {other} dstport 4789"));
        works(node, &format!("ip address add {inner}/32 dev vx0"));
        works(node, "ip link set vx0 mtu 1450 up");
    }
    works(&lab.office, &format!("ip route add {SERVED}/32 dev vx0 src {CLIENT}"));
    works(&lab.servers, &format!("ip route add {CLIENT}/32 dev vx0 src {SERVED}"));
    for port in [8080, 8081] {
        let listener = lab.servers.enter(|| TcpListener::bind((SERVED, port)).unwrap()).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut asked = [0; 512];
                let _ = stream.set_read_timeout(Some(LIMIT));
                if stream.read(&mut asked).is_ok_and(|length| length > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npage\n");
                }
            }
        });
    }
    lab
}

/// Whether a client gets a page through the tunnel.
fn asks(lab: &Gateway, port: u16, request: &[u8], limit: Duration) -> bool {
    let address = format!("{SERVED}:{port}").parse().unwrap();
    let Ok(mut stream) = lab.office.enter(|| TcpStream::connect_timeout(&address, limit)).unwrap() else {
        return false;
    };
    stream.set_read_timeout(Some(limit)).unwrap();
    let mut got = [0; 512];
    stream.write_all(request).is_ok() && stream.read(&mut got).is_ok_and(|length| length > 0)
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: server\r\n\r\n";

#[test]
fn vxlan_by_the_kernel() {
    let lab = with_devices();
    let daemon = Daemon::start(&lab, &vxlan("tunnel = \"judge\"", ""));
    assert!(asks(&lab, 8080, GET, LIMIT), "{}", daemon.status());
    let mark = daemon.events.mark();
    assert!(!asks(&lab, 8081, GET, PATIENCE), "{}", daemon.status());
    daemon.events.dropped(mark, CLIENT, SERVED, "not_allowed");
    let status = daemon.status();
    let services = &status["counters"]["services"];
    for service in ["office/tunnel", "office/inside", "outside/tunnel-back"] {
        assert!(services[service]["packets"].as_u64() > Some(0), "{service}: {services}");
    }
    for (tunnel, through) in [("tunnel = \"opaque\"", true), ("tunnel = \"drop\"", false), ("", false)] {
        let policy = lab.write("next.toml", &vxlan(tunnel, "")).unwrap();
        daemon.apply(&policy);
        let limit = if through { LIMIT } else { PATIENCE };
        for port in [8080, 8081] {
            assert_eq!(asks(&lab, port, GET, limit), through, "{tunnel}, port {port}: {}", daemon.status());
        }
    }
    assert!(daemon.count("tunnel_denied") > 0 && daemon.count("tunnel_unasked") > 0, "{}", daemon.status());
}

/// What is inside is held, inspected and released with what carries it.
#[test]
fn vxlan_inspected() {
    let lab = with_devices();
    let inspection = "\n[inspection]\nmismatch = \"drop\"\nunknown = \"drop\"\n";
    let daemon = Daemon::start(&lab, &(vxlan("tunnel = \"judge\"", "expect = \"http\"") + inspection));
    assert!(asks(&lab, 8080, GET, LIMIT), "{}", daemon.status());
    let held = daemon.status()["inspection"]["held"]["packets"].as_u64();
    assert!(held > Some(0), "{}", daemon.status());
    let mark = daemon.events.mark();
    assert!(!asks(&lab, 8080, b"SSH-2.0-OpenSSH_9.6\r\n", PATIENCE), "{}", daemon.status());
    assert!(!asks(&lab, 8080, b"GARBAGE that begins like GET\r\n\r\n", PATIENCE), "{}", daemon.status());
    let _ = mark;
    // a flow in the tunnel is told of with its own ends
    assert!(daemon.flow(SERVED, 8080).is_some(), "{:?}", daemon.flows());
}

/// Datagrams in fragments inside are put together and judged, and leave in the frames that they came in.
#[test]
fn fragments_in_vxlan() {
    let lab = with_devices();
    let rule = "drop udp any any -> any any (msg:\"across fragments\"; content:\"forbidden\"; sid:71;)\n";
    lab.write("own.rules", rule).unwrap();
    let more = format!(
        "\n[[zone.office.egress]]\nname = \"talk\"\nudp = [7001]\nto = [\"{SERVED}\"]\n\
         \n[fragments]\nudp = \"track\"\n\n[inspection]\n\n[signatures]\nfiles = [\"own.rules\"]\n"
    );
    let daemon = Daemon::start(&lab, &(vxlan("tunnel = \"judge\"", "") + &more));
    let server = lab.servers.enter(|| UdpSocket::bind((SERVED, 7001)).unwrap()).unwrap();
    let asks = |question: &[u8], limit| {
        let client = lab.office.enter(|| UdpSocket::bind((CLIENT, 0)).unwrap()).unwrap();
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(limit)).unwrap();
        }
        client.send_to(question, (SERVED, 7001)).unwrap();
        let mut got = [0; 8000];
        let (length, from) = server.recv_from(&mut got).ok()?;
        assert_eq!(&got[..length], question);
        // the answer comes in fragments, too
        server.send_to(&got[..length], from).unwrap();
        let length = client.recv(&mut got).ok()?;
        Some(got[..length] == *question)
    };
    let mut question: Vec<u8> = (0..4000).map(|at| (at % 251) as u8).collect();
    assert_eq!(asks(&question, LIMIT), Some(true), "{}", daemon.status());
    // six fragments, three each way
    assert!(daemon.count("held") >= 6, "{}", daemon.status());
    // the device's 1,450 bytes take 1,416 of them behind the headers
    question[1412..1421].copy_from_slice(b"forbidden");
    let mark = daemon.events.mark();
    assert_eq!(asks(&question, PATIENCE), None, "{}", daemon.status());
    let told = alert(&daemon, mark, 71);
    assert_eq!((&told["src_ip"], &told["dest_ip"]), (&CLIENT.into(), &SERVED.into()), "{told}");
    assert_eq!(told["tunnel"]["depth"], 1, "{told}");
}

/// Of each carrier: the protocol, and its payload around an inner packet.
fn carriers(inner: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let v4 = inner[0] >> 4 == 4;
    let ethertype: [u8; 2] = if v4 { [0x08, 0] } else { [0x86, 0xdd] };
    let gre = |flags: [u8; 2], options: &[u8]| [&flags[..], &ethertype, options, inner].concat();
    vec![(if v4 { 4 } else { 41 }, inner.to_vec()), (47, gre([0, 0], &[])), (47, gre([0x20, 0], &[0, 0, 0, 9]))]
}

/// Fragments inside wait for each other in whatever order they come, those of each tunnel for their own.
#[test]
fn raw_fragments() {
    let wire = Wire::new(
        "\n[[zone.office.egress]]\nname = \"tunnel\"\nprotocol = [\"gre\", \"ipip\", \"ipv6\"]\ntunnel = \"judge\"\n\
         \n[[zone.office.egress]]\nname = \"inside\"\nudp = [7001]\n\
         \n[fragments]\nudp = \"track\"\n\n[inspection]\n",
    );
    let mut number = 0u64;
    for (from, to) in [(OFFICE, SERVER), (OFFICE6, SERVER6)] {
        let outer = Path::new(from, to, (0, 0));
        for (source, destination) in [(OFFICE, FAR), (OFFICE6, FAR6)] {
            let inner = Path::new(source, destination, (4000, 7001));
            let carried = |packet: &[u8], tunnel: usize| {
                let (protocol, payload) = &carriers(packet)[tunnel];
                outer.packet(*protocol, payload)
            };
            // a datagram of the same identification in each tunnel
            let datagrams = [0, 1, 2].map(|tunnel| {
                number += 1;
                let payload: Vec<u8> = (0..9).flat_map(|at| (number << 8 | at).to_be_bytes()).collect();
                inner.fragments(9, &payload, 32).iter().map(|part| carried(part, tunnel)).collect::<Vec<_>>()
            });
            for part in [2, 0] {
                datagrams.iter().for_each(|parts| wire.send(&[], &parts[part]));
            }
            assert!(!wire.arrives(&datagrams[0][0], PATIENCE), "{from}, {source}: {}", wire.daemon.status());
            for (tunnel, parts) in datagrams.iter().enumerate() {
                wire.send(&[], &parts[1]);
                for part in parts {
                    assert!(wire.arrives(part, LIMIT), "{from}, {source}, {tunnel}: {}", wire.daemon.status());
                }
            }
        }
    }
}

#[test]
fn raw_tunnels() {
    let lines = |tunnel: &str| {
        format!(
            "\n[[zone.office.egress]]\nname = \"tunnel\"\nprotocol = [\"gre\", \"ipip\", \"ipv6\"]\n{tunnel}\n\
             \n[[zone.office.egress]]\nname = \"inside\"\nudp = [7001]\n"
        )
    };
    let wire = Wire::new(&lines("tunnel = \"judge\""));
    let outers = [(OFFICE, SERVER), (OFFICE6, SERVER6)];
    let ends = [(OFFICE, FAR), (OFFICE6, FAR6)];
    let mut number = 0u32;
    let mut each = |port: u16, check: &mut dyn FnMut(&Path, &Path, &[u8])| {
        for (from, to) in outers {
            for (source, destination) in ends {
                number += 16;
                let inner = Path::new(source, destination, (4000, port));
                let packet = inner.udp(format!("in a tunnel {number:08x}").as_bytes());
                for (protocol, payload) in carriers(&packet) {
                    let outer = Path::new(from, to, (0, 0));
                    check(&outer, &inner, &outer.packet(protocol, &payload));
                }
            }
        }
    };
    each(7001, &mut |_, _, packet| wire.passes(&[], packet));
    each(7002, &mut |_, inner, packet| wire.dropped(&[], packet, inner, "not_allowed"));
    for (tunnel, reason) in
        [("tunnel = \"opaque\"", ""), ("tunnel = \"drop\"", "tunnel_denied"), ("", "tunnel_unasked")]
    {
        let policy = wire.lab.write("next.toml", &policies::office(Kind::Route, &lines(tunnel))).unwrap();
        wire.daemon.apply(&policy);
        for port in [7001, 7002] {
            each(port, &mut |outer, _, packet| match reason {
                "" => wire.passes(&[], packet),
                reason => wire.dropped(&[], packet, outer, reason),
            });
        }
    }
}

/// Both layers are shown, with the line that let each of them through.
#[test]
fn both_layers_are_explained() {
    let lines = "\n[[zone.office.egress]]\nname = \"tunnel\"\nprotocol = [\"gre\"]\ntunnel = \"judge\"\n\
                 \n[[zone.office.egress]]\nname = \"inside\"\nudp = [7001]\n";
    let wire = Wire::new(lines);
    let inner = Path::new(OFFICE, FAR, (4000, 7001)).udp(b"in a tunnel");
    let outer = Path::new(OFFICE, SERVER, (0, 0)).packet(47, &carriers(&inner)[2].1);
    let frame = wire.cable.frame(&outer);
    let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
    let head = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
    let capture = [&head[..], &[0; 8], &length, &length, &frame].concat();
    let path = wire.lab.dir().join("tunnel.pcap");
    std::fs::write(&path, capture).unwrap();
    let explained = wire.daemon.call(&["explain", "--pcap", path.to_str().unwrap(), "--frame", "1"]);
    assert!(explained.success(), "{explained:?}");
    let text = explained.stdout;
    for part in [
        &format!("carried by GRE {OFFICE} -> {SERVER}"),
        "to `outside` by service `tunnel` of `office`",
        "what is inside is judged as a packet of its own",
        &format!("UDP {OFFICE}:4000 -> {FAR}:7001 in gre 9"),
        "to `outside` by service `inside` of `office`",
        "reason      allowed",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}
