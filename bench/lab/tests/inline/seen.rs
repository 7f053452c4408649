//! What operators see of flows under inspection while it goes on.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
};

use dropgate_lab::{Gateway, Kind, Lab, address::*, wait_until};
use serde_json::{Value, json};

use crate::{daemon::Daemon, policies, setup::LIMIT};

const LINES: &str = r#"
[[zone.office.egress]]
name = "files"
tcp = [21]

[[zone.office.egress]]
name = "mail"
tcp = [25]

[inspection]
mismatch = "drop"
unknown = "drop"
pending = "alert"
"#;

/// Both ends of a connection of which each line that is said is read before the next one.
struct Talk {
    client: BufReader<TcpStream>,
    server: BufReader<TcpStream>,
}

impl Talk {
    fn begin(lab: &Gateway, port: u16) -> Self {
        let listener = lab.servers.enter(|| TcpListener::bind((SERVER, port)).unwrap()).unwrap();
        let client = lab.office.enter(|| TcpStream::connect((SERVER, port)).unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        for end in [&client, &server] {
            end.set_read_timeout(Some(LIMIT)).unwrap();
        }
        Self { client: BufReader::new(client), server: BufReader::new(server) }
    }

    fn client(&mut self, line: &str) {
        say(&mut self.client, &mut self.server, line);
    }

    fn server(&mut self, line: &str) {
        say(&mut self.server, &mut self.client, line);
    }
}

fn say(from: &mut BufReader<TcpStream>, to: &mut BufReader<TcpStream>, line: &str) {
    from.get_mut().write_all(line.as_bytes()).unwrap();
    let mut read = String::new();
    to.read_line(&mut read).unwrap();
    assert_eq!(read, line);
}

fn explain(daemon: &Daemon, to: &str) -> Value {
    let finished = daemon.call(&["explain", "--from", OFFICE, "--to", to, "--json"]);
    assert!(finished.success(), "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

/// A flow that is followed has its name as soon as that is known, and not only once nothing more is wanted of it.
#[test]
fn what_a_flow_that_is_followed_speaks() {
    let lab = Lab::gateway(Kind::Masquerade).unwrap();
    let daemon = Daemon::start(&lab, &policies::office(Kind::Masquerade, LINES));
    let mut mail = Talk::begin(&lab, 25);
    let seen = || daemon.flow(SERVER, 25).map(|flow| (flow["app_proto"].clone(), flow["inspected"].clone()));
    assert_eq!(seen(), Some((Value::Null, true.into())));
    mail.server("220 mail.example.test ESMTP ready\r\n");
    mail.client("EHLO office.example.test\r\n");
    wait_until("the name of the flow", LIMIT, || Ok(seen() == Some(("smtp".into(), true.into())))).unwrap();
    // it goes on as before
    mail.server("250 mail.example.test\r\n");
    mail.client("QUIT\r\n");
    assert_eq!(seen(), Some(("smtp".into(), true.into())));
}

/// Beside a live gateway: what is expected, and what was announced.
#[test]
fn what_is_expected_and_announced() {
    for kind in [Kind::Masquerade, Kind::Route] {
        let lab = Lab::gateway(kind).unwrap();
        let daemon = Daemon::start(&lab, &policies::office(kind, LINES));
        let mail = explain(&daemon, &format!("{SERVER}:25/tcp"));
        assert_eq!(mail["inspection"]["expected"], json!(["smtp"]), "{mail}");
        let reactions = json!({"mismatch": "drop", "unknown": "drop", "pending": "alert"});
        assert_eq!(mail["inspection"]["reactions"], reactions, "{mail}");

        let data = format!("{SERVER}:50000/tcp");
        let before = explain(&daemon, &data);
        assert_eq!((&before["reason"], before.get("related")), (&"not_allowed".into(), None), "{before}");

        let mut control = Talk::begin(&lab, 21);
        control.server("220 FTP server ready\r\n");
        control.client("USER anonymous\r\n");
        control.server("331 password\r\n");
        control.client("PASV\r\n");
        let port = [50_000 / 256, 50_000 % 256];
        control.server(&format!("227 Passive ({},{},{})\r\n", SERVER.replace('.', ","), port[0], port[1]));
        assert_eq!(daemon.flow(SERVER, 21).unwrap()["app_proto"], "ftp");
        // asked as often as one likes
        for _ in 0..2 {
            let announced = explain(&daemon, &data);
            assert_eq!((&announced["reason"], &announced["service"]), (&"related".into(), &"files".into()));
            let expected = json!({
                "admits": true,
                "refused": null,
                "control_port": 21,
                "control_proto": "TCP",
                "announced": null,
            });
            assert_eq!(announced["related"], expected);
            assert_eq!(related(&daemon), json!([1, 0]));
        }
        let _data = Talk::begin(&lab, 50_000);
        assert_eq!(related(&daemon), json!([1, 1]));
        let used = explain(&daemon, &data);
        assert_eq!((&used["reason"], &used["related"]["refused"]), (&"not_allowed".into(), &"used".into()), "{used}");
        let text = daemon.call(&["status"]).stdout;
        assert!(text.contains("1 flows announced, 1 of them begun; 0 refused"), "{text}");
    }
}

/// Announcements that were accepted, and those of them that were used.
fn related(daemon: &Daemon) -> Value {
    let status = daemon.status();
    let related = &status["inspection"]["related"];
    assert_eq!((&related["refused_zone"], &related["refused_kernel"]), (&0.into(), &0.into()));
    json!([related["accepted"], related["used"]])
}
