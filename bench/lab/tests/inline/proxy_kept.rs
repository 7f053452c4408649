//! Connections to a proxy that are used again and again: whatever is asked first, what is asked later is judged too.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, address::*, wait_until};

use crate::setup::{self, LIMIT};

/// A proxy by its port, one by what its service says, and one of which the policy knows nothing.
const LINES: &str = r#"
[[zone.office.egress]]
name = "usual"
tcp = 3128
expect = "http"

[[zone.office.egress]]
name = "named"
tcp = 8118
expect = "http"
proxied = "reset"

[[zone.office.egress]]
name = "unnamed"
tcp = 8119
expect = "http"

[[zone.office.egress]]
name = "web"
tcp = [80, 443]

[inspection]
"#;

const STATUS: &[u8] = b"GET /status HTTP/1.1\r\nHost: proxy\r\n\r\n";
const PAGE: &[u8] = b"GET http://203.0.113.9/ HTTP/1.1\r\nHost: 203.0.113.9\r\n\r\n";
const TUNNEL: &[u8] = b"CONNECT 203.0.113.9:443 HTTP/1.1\r\n\r\n";
const DENIED: &[u8] = b"CONNECT 203.0.113.9:22 HTTP/1.1\r\n\r\n";
/// The end of every answer of the proxy that is not a page of another server.
const END: &[u8] = b"\r\n\r\n";

/// Serves one connection as a proxy, request after request (RFC 9112, 9.3); what it was asked for.
fn proxy(listener: &TcpListener) -> Vec<String> {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut asked = Vec::new();
    loop {
        let mut line = String::new();
        if !matches!(reader.read_line(&mut line), Ok(1..)) {
            return asked;
        }
        let mut field = String::new();
        while matches!(reader.read_line(&mut field), Ok(1..)) && field != "\r\n" {
            field.clear();
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        asked.push(format!("{method} {target}"));
        if method == "CONNECT" {
            let Ok(far) = TcpStream::connect(target) else { return asked };
            let _ = stream.write_all(b"HTTP/1.1 200 connected\r\n\r\n");
            carry(&mut stream, far);
            return asked;
        }
        let answer = match target.strip_prefix("http://").and_then(|rest| rest.split_once('/')) {
            Some((host, path)) => fetch(host, path),
            None => b"HTTP/1.1 404 not here\r\nContent-Length: 0\r\n\r\n".to_vec(),
        };
        let _ = stream.write_all(&answer);
    }
}

/// A page of another server, whose answer has its length.
fn fetch(host: &str, path: &str) -> Vec<u8> {
    let mut far = TcpStream::connect((host, 80)).unwrap();
    write!(far, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = far.read_to_end(&mut answer);
    answer
}

/// Passes on what both sides say, until one of them ends.
fn carry(near: &mut TcpStream, mut far: TcpStream) {
    let (mut from, mut to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let _ = std::io::copy(&mut far, near);
        let _ = near.shutdown(Shutdown::Both);
    });
}

/// What a client got for each of its messages, and what the proxy was asked for.
fn conversation(lab: &Gateway, port: u16, said: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<String>) {
    let listener = lab.servers.enter(|| TcpListener::bind((SERVER, port)).unwrap()).unwrap();
    std::thread::scope(|scope| {
        let far = scope.spawn(|| lab.servers.enter(|| proxy(&listener)).unwrap());
        let mut stream = lab.office.enter(|| TcpStream::connect((SERVER, port)).unwrap()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        let mut got = Vec::new();
        for said in said {
            let (mut answer, mut part) = (Vec::new(), [0; 4096]);
            let _ = stream.write_all(said);
            // a page ends with a line, a head with an empty one, and what comes through the tunnel with silence
            while let Ok(length @ 1..) = stream.read(&mut part) {
                answer.extend(&part[..length]);
                if answer.ends_with(END) || answer.ends_with(b"this is servers\n") {
                    break;
                }
            }
            got.push(answer);
        }
        drop(stream);
        (got, far.join().unwrap())
    })
}

fn texts(got: &[Vec<u8>]) -> Vec<String> {
    got.iter().map(|answer| String::from_utf8_lossy(answer).into_owned()).collect()
}

#[test]
fn whatever_comes_first() {
    let hello: &[u8] = &setup::hello();
    for kind in [Kind::Masquerade, Kind::Route] {
        let (lab, daemon) = setup::guarded(kind, LINES);
        for port in [3128, 8118] {
            // its own page, another one's, and what is not allowed
            let (got, asked) = conversation(&lab, port, &[STATUS, PAGE, DENIED]);
            let texts = texts(&got);
            assert!(texts[0].starts_with("HTTP/1.1 404"), "{port}: {texts:?}");
            assert!(texts[1].ends_with("this is servers\n"), "{port}: {texts:?}");
            assert_eq!(
                (&*texts[2], asked),
                ("", vec!["GET /status".into(), "GET http://203.0.113.9/".into()]),
                "{port}"
            );
            // in one packet: the proxy sees nothing of it
            let both = [STATUS, DENIED].concat();
            let (_, asked) = conversation(&lab, port, &[&both]);
            assert!(asked.is_empty(), "{port}: {asked:?}");
            // a tunnel, and what its target expects
            let (got, asked) = conversation(&lab, port, &[STATUS, TUNNEL, hello]);
            assert_eq!(asked, ["GET /status", "CONNECT 203.0.113.9:443"], "{port}");
            assert!(matches!(got[2].first(), Some(21 | 22)), "{port}: no TLS came through: {:?}", got[2]);
            // and what it does not expect
            let (got, _) = conversation(&lab, port, &[STATUS, TUNNEL, b"SSH-2.0-OpenSSH_9.9\r\n"]);
            assert!(got[2].is_empty(), "{port}: {:?}", got[2]);
        }
        assert!(daemon.count("proxy_target_denied") > 0, "{}", daemon.status());
        assert!(daemon.count("app_mismatch") >= 2, "{}", daemon.status());
        assert_eq!(daemon.count("proxy_target_unseen"), 0, "{}", daemon.status());

        // where nobody says that it is a proxy, it leaves inspection with the first request for a path
        let settled = || daemon.status()["inspection"]["settled"].as_u64().unwrap();
        let before = settled();
        let (_, asked) = conversation(&lab, 8119, &[STATUS, DENIED]);
        assert_eq!(asked, ["GET /status", "CONNECT 203.0.113.9:22"]);
        wait_until("a settled flow", LIMIT, || Ok(settled() > before)).unwrap();
    }
}
