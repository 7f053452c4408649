//! Real clients and real proxies: what is asked for is held to the client's allowlist, and so is what passes through.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, address::*};

use crate::{
    daemon::Daemon,
    setup,
    traffic::{client, fails, host, works},
};

/// Proxies, pages and one other host; nothing else.
const LINES: &str = r#"
[[zone.office.egress]]
name = "http-proxy"
tcp = 3128
expect = "http"

[[zone.office.egress]]
name = "socks"
tcp = 1080

[[zone.office.egress]]
name = "anything"
tcp = 9999
expect = "any"

[[zone.office.egress]]
name = "web"
tcp = [80, 443]

[[zone.office.egress]]
name = "alternative"
tcp = 8088
to = ["203.0.113.9", "2001:db8:113::9"]

[blocklist]
to = ["198.51.100.0/24"]

[inspection]
"#;

/// A gateway, its servers, and proxies beyond it.
fn proxied(kind: Kind, lines: &str) -> (Gateway, Daemon) {
    let (mut lab, daemon) = setup::guarded(kind, lines);
    lab.start_proxies().unwrap();
    (lab, daemon)
}

/// A client that must fail, for this reason.
fn fails_for(lab: &Gateway, daemon: &Daemon, line: &str, reason: &str) {
    let before = daemon.count(reason);
    fails(&lab.office, line);
    assert!(daemon.count(reason) > before, "`{line}`: `{reason}` was not counted: {}", daemon.status());
}

#[test]
fn clients_of_proxies() {
    // what is refused ends at once
    let lines = LINES.replace("[inspection]", "[inspection]\nproxied = \"reset\"\nmismatch = \"reset\"");
    for kind in [Kind::Masquerade, Kind::Route] {
        let (lab, daemon) = proxied(kind, &lines);
        for (server, other) in [(SERVER, SERVER_B), (SERVER6, SERVER_B6)] {
            let (server, other) = (host(server), host(other));
            for (proxy, named) in [
                (format!("-x http://{server}:3128"), true),
                (format!("-p -x http://{server}:3128"), true),
                (format!("--socks5 {server}:1080"), false),
                (format!("--socks5-hostname {server}:1080"), true),
            ] {
                let curl = format!("curl -skf -m 4 {proxy} --noproxy none");
                assert_eq!(works(&lab.office, &format!("{curl} http://{other}/")), "this is servers\n");
                assert_eq!(works(&lab.office, &format!("{curl} https://{other}/")), "this is servers\n");
                // several requests on one connection
                works(&lab.office, &format!("{curl} http://{other}/ http://{other}/ http://{other}/"));
                works(&lab.office, &format!("{curl} http://{server}:8088/"));
                fails_for(&lab, &daemon, &format!("{curl} https://{other}:8088/"), "proxy_target_denied");
                fails_for(&lab, &daemon, &format!("{curl} https://{other}:8443/"), "proxy_target_denied");
                fails_for(&lab, &daemon, &format!("{curl} http://{other}:22/"), "proxy_target_denied");
                fails_for(&lab, &daemon, &format!("{curl} http://{FAR}/"), "proxy_target_blocked");
                if named {
                    fails_for(&lab, &daemon, &format!("{curl} http://www.example.test:8088/"), "proxy_target_name");
                    fails_for(&lab, &daemon, &format!("{curl} https://www.example.test:22/"), "proxy_target_name");
                }
                // through a tunnel, what the target's port is not for
                if !proxy.starts_with("-x") {
                    fails_for(&lab, &daemon, &format!("{curl} http://{other}:443/"), "app_mismatch");
                }
            }
        }
        let alert = |reason: &str| daemon.events.alert(0, reason);
        let denied = alert("proxy_target_denied");
        assert_eq!(denied["alert"]["metadata"]["mitre_technique_id"][0], "T1090", "{denied}");
        assert_eq!(denied["inspection"]["target"], format!("{SERVER_B}:8088"), "{denied}");
        assert_eq!(denied["inspection"]["proxy"], "http-connect", "{denied}");
        assert_eq!((&denied["app_proto"], &denied["alert"]["action"]), (&"http".into(), &"blocked".into()), "{denied}");
        let inner = alert("app_mismatch");
        assert_eq!((&inner["app_proto"], &inner["app_proto_orig"]), (&"http".into(), &"http".into()), "{inner}");
        assert_eq!(inner["inspection"]["within"], format!("http-connect {SERVER_B}:443"), "{inner}");
        for reason in ["proxy_target_unseen", "proxy_nested", "app_unknown", "app_pending"] {
            assert_eq!(daemon.count(reason), 0, "{}", daemon.status());
        }
    }
}

/// A proxy that writes down what it was asked, and connects to nothing.
fn asked(lab: &Gateway, port: u16, parts: &[&[u8]], answers: &[&[u8]]) -> Vec<u8> {
    let listener = lab.servers.enter(|| TcpListener::bind((SERVER_B, port)).unwrap()).unwrap();
    std::thread::scope(|scope| {
        let far = scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
            let (mut got, mut part) = (Vec::new(), [0; 4096]);
            let mut answers = answers.iter();
            while let Ok(length @ 1..) = stream.read(&mut part) {
                got.extend(&part[..length]);
                if got.ends_with(b"\r\n\r\n")
                    && let Some(answer) = answers.next()
                {
                    let _ = stream.write_all(answer);
                }
            }
            got
        });
        let mut stream = lab.office.enter(|| TcpStream::connect((SERVER_B, port)).unwrap()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        for part in parts {
            let _ = stream.write_all(part);
            let _ = stream.read(&mut [0; 4096]);
        }
        drop(stream);
        far.join().unwrap()
    })
}

/// The proxy does not see the end of a request that it must not be asked, nor a byte of what must not pass through it.
#[test]
fn what_a_proxy_sees() {
    let (lab, daemon) = setup::guarded(Kind::Masquerade, LINES);
    let tunnel: &[u8] = b"CONNECT 203.0.113.9:443 HTTP/1.1\r\n\r\n";
    let granted: &[u8] = b"HTTP/1.1 200 ok\r\n\r\n";
    let evil: &[u8] = b"CONNECT 203.0.113.9:22 HTTP/1.1\r\n\r\n";
    assert_eq!(asked(&lab, 3128, &[evil], &[granted]), b"");
    let (half, rest) = evil.split_at(20);
    assert_eq!(asked(&lab, 3128, &[half, rest], &[granted]), half);
    assert_eq!(asked(&lab, 3128, &[tunnel, b"SSH-2.0-OpenSSH_9.9\r\n"], &[granted]), tunnel);
    // refused first, and asked for something else then
    let refused: &[u8] = b"HTTP/1.1 407 login\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(asked(&lab, 3128, &[tunnel, evil], &[refused]), tunnel);
    assert!(daemon.count("app_mismatch") > 0, "{}", daemon.status());
    assert!(daemon.count("proxy_target_denied") >= 3, "{}", daemon.status());
    // SOCKS 4, where anything may be spoken
    let (denied, allowed): (&[u8], &[u8]) =
        (b"\x04\x01\0\x16\xcb\0\x71\x09me\0", b"\x04\x01\x01\xbb\xcb\0\x71\x09me\0");
    assert_eq!(asked(&lab, 9999, &[denied], &[]), b"");
    assert_eq!(asked(&lab, 9999, &[&denied[..9], &denied[9..]], &[]), denied[..9]);
    assert_eq!(asked(&lab, 9999, &[allowed], &[]), allowed);
}

#[test]
fn reactions() {
    let line = format!("curl -sSf -m 4 -p -x http://{SERVER}:3128 http://{FAR}/");
    let with = |reaction: &str| {
        proxied(Kind::Masquerade, &LINES.replace("[inspection]", &format!("[inspection]\nproxied = \"{reaction}\"")))
    };
    let (lab, daemon) = with("alert");
    works(&lab.office, &line);
    assert_eq!(daemon.events.alert(0, "proxy_target_blocked")["alert"]["action"], "allowed");
    drop((lab, daemon));

    let (lab, daemon) = with("ignore");
    works(&lab.office, &line);
    fails_for(&lab, &daemon, &format!("curl -skf -m 1 http://{SERVER_B}:8088/"), "not_allowed");
    let told = daemon.events.since(0);
    assert!(told.iter().all(|event| event["event_type"] != "alert"), "{told:?}");
    drop((lab, daemon));

    let (lab, _daemon) = with("reset");
    let finished = client(&lab.office, &line);
    // CURLE_RECV_ERROR: the connection was reset, not timed out
    assert_eq!(finished.status.and_then(|status| status.code()), Some(56), "{finished:?}");
}
