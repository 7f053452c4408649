//! STARTTLS with a real client: OpenSSL speaks to a mail server that changes to TLS, or to something else.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, address::*};

use crate::{setup, traffic::works};

const LINES: &str = r#"
[[zone.office.egress]]
name = "mail"
tcp = [25, 110, 143]

[inspection]
unknown = "drop"
"#;

/// A server's part of a conversation up to the change: the greeting, then a command's start and its answer.
struct Script {
    port: u16,
    name: &'static str,
    greeting: &'static str,
    answers: &'static [(&'static str, &'static str)],
}

const SCRIPTS: [Script; 3] = [
    Script {
        port: 25,
        name: "smtp",
        greeting: "220 mail.example.test ESMTP\r\n",
        answers: &[("EHLO", "250-mail.example.test\r\n250 STARTTLS\r\n"), ("STARTTLS", "220 ready\r\n")],
    },
    Script { port: 110, name: "pop3", greeting: "+OK POP3 ready\r\n", answers: &[("STLS", "+OK begin\r\n")] },
    Script {
        port: 143,
        name: "imap",
        greeting: "* OK IMAP4rev1 ready\r\n",
        answers: &[(". CAPABILITY", "* CAPABILITY IMAP4rev1 STARTTLS\r\n. OK\r\n"), (". STARTTLS", ". OK begin\r\n")],
    },
];

/// Serves one connection: the script, and then what the laboratory's TLS server on 443 says.
fn serve(lab: &Gateway, script: &Script, listener: &TcpListener) -> Vec<u8> {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    stream.write_all(script.greeting.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for (command, answer) in script.answers {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.to_ascii_uppercase().starts_with(command), "{line:?} where {command} is due");
        stream.write_all(answer.as_bytes()).unwrap();
    }
    let mut first = vec![0; 4096];
    let length = reader.read(&mut first).unwrap_or(0);
    first.truncate(length);
    if length == 0 {
        return first;
    }
    let mut tls = lab.servers.enter(|| TcpStream::connect((SERVER, 443)).unwrap()).unwrap();
    tls.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    tls.write_all(&first).unwrap();
    std::thread::scope(|scope| {
        let (mut back, mut out) = (tls.try_clone().unwrap(), stream.try_clone().unwrap());
        scope.spawn(move || {
            let _ = std::io::copy(&mut back, &mut out);
            let _ = out.shutdown(Shutdown::Write);
        });
        let _ = std::io::copy(&mut reader, &mut tls);
        let _ = tls.shutdown(Shutdown::Both);
    });
    first
}

#[test]
fn tls_after_the_upgrade() {
    for kind in [Kind::Masquerade, Kind::Route] {
        let (lab, daemon) = setup::guarded(kind, LINES);
        for script in &SCRIPTS {
            let listener = lab.servers.enter(|| TcpListener::bind((SERVER, script.port)).unwrap()).unwrap();
            let lab = &lab;
            let (line, name) = (format!("{SERVER}:{}", script.port), script.name);
            let said = std::thread::scope(|scope| {
                let far = scope.spawn(move || serve(lab, script, &listener));
                let said = works(&lab.office, &format!("openssl s_client -starttls {name} -connect {line} -brief"));
                assert_eq!(far.join().unwrap().first(), Some(&0x16), "a handshake record");
                said
            });
            drop(said);
            let flows = daemon.flows();
            let flow = flows.iter().find(|flow| flow["dport"] == script.port && flow["translated"] == false);
            assert_eq!(flow.map(|flow| &flow["app_proto"]), Some(&script.name.into()), "{flows:?}");
        }
        for reason in ["app_mismatch", "app_unknown", "app_pending"] {
            assert_eq!(daemon.count(reason), 0, "{}", daemon.status());
        }
    }
}

/// What agrees to TLS, and then speaks something else.
#[test]
fn something_else_after_the_upgrade() {
    let (lab, daemon) = setup::guarded(Kind::Masquerade, LINES);
    let fake = b"\x16\x03\x01\x00\x20\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\x00\x01";
    for (said, reason) in [
        (b"SSH-2.0-OpenSSH_9.9\r\n".as_slice(), "app_mismatch"),
        (fake, "app_mismatch"),
        (b"MAIL FROM:<me@example.test>\r\n", "app_mismatch"),
        (b"\x00\x01\x02\x03 raw and binary, and nothing that is known", "app_unknown"),
    ] {
        for script in &SCRIPTS {
            let before = daemon.count(reason);
            let listener = lab.servers.enter(|| TcpListener::bind((SERVER, script.port)).unwrap()).unwrap();
            let lab = &lab;
            std::thread::scope(|scope| {
                let far = scope.spawn(move || serve(lab, script, &listener));
                let stream = lab.office.enter(|| TcpStream::connect((SERVER, script.port)).unwrap()).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                let mut reader = BufReader::new(stream);
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                for (command, answer) in script.answers {
                    reader.get_mut().write_all(format!("{command} x\r\n").as_bytes()).unwrap();
                    let mut got = vec![0; answer.len()];
                    reader.read_exact(&mut got).unwrap();
                }
                reader.get_mut().write_all(said).unwrap();
                assert_eq!(far.join().unwrap(), b"", "{}: the server saw it", script.name);
            });
            assert!(daemon.count(reason) > before, "{}: `{reason}`: {}", script.name, daemon.status());
        }
    }
    let events = daemon.events.since(0);
    let alert = events.iter().find(|event| event["event_type"] == "alert").expect("an alert");
    assert_eq!((&alert["app_proto"], &alert["app_proto_orig"]), (&"ssh".into(), &"smtp".into()), "{alert}");
    assert_eq!(
        (&alert["inspection"]["within"], &alert["inspection"]["expected"][0]),
        (&"STARTTLS".into(), &"tls".into())
    );
}
