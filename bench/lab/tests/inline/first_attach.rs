//! The first attach finds sessions that are older than it: those that the policy allows live on, the others are cut.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, Namespace, Process, address::*, wait_until};

use crate::{daemon::Daemon, policies, setup::with_servers, traffic::fails};

const LINES: &str = r#"
[[zone.office.egress]]
name = "ssh"
tcp = [22]
to = ["203.0.113.9", "self"]
"#;

/// An SSH session that counts a line a tenth of a second, until it is told to stop.
struct Session {
    process: Process,
    lines: std::path::PathBuf,
}

impl Session {
    fn open(lab: &Gateway, name: &str, to: &str) -> Self {
        let lines = lab.dir().join(format!("ssh-{name}.lines"));
        let mut command = lab.ssh(&lab.office);
        // Its input goes to the far end, so that both directions carry data.
        command.args([to, "while read -t 60 line; do echo got $line; done"]);
        let out = std::fs::File::create(&lines).unwrap();
        let process = Process::spawn(command.stdin(Stdio::piped()).stdout(out).stderr(Stdio::inherit())).unwrap();
        let mut session = Self { process, lines };
        session.says("before");
        session
    }

    /// Sends a line and waits for its answer.
    fn says(&mut self, word: &str) {
        let pipe = self.process.child().stdin.as_mut().unwrap();
        writeln!(pipe, "{word}").unwrap();
        pipe.flush().unwrap();
        let answer = format!("got {word}\n");
        wait_until(&format!("an answer to `{word}`"), Duration::from_secs(10), || {
            Ok(std::fs::read_to_string(&self.lines).unwrap().ends_with(&answer))
        })
        .unwrap();
    }
}

fn connect(from: &Namespace, to: (&str, u16)) -> TcpStream {
    let stream = from.enter(|| TcpStream::connect(to).unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream
}

/// Asks Redis; whether it answered.
fn ping(stream: &mut TcpStream) -> bool {
    stream.write_all(b"PING\r\n").unwrap();
    matches!(stream.read(&mut [0; 64]), Ok(length) if length > 0)
}

#[test]
fn under_live_sessions_masqueraded() {
    under_live_sessions(Kind::Masquerade);
}

#[test]
fn under_live_sessions_routed() {
    under_live_sessions(Kind::Route);
}

fn under_live_sessions(kind: Kind) {
    let lab = with_servers(kind);
    let mut through = Session::open(&lab, "through", SERVER);
    let mut gateway = Session::open(&lab, "gateway", GW_OFFICE);
    let mut denied = connect(&lab.office, (SERVER, 6379));
    assert!(ping(&mut denied));

    let policy = policies::office(kind, LINES).replace("adopt = \"0s\"", "adopt = \"60s\"");
    let mut daemon = Daemon::start(&lab, &policy);
    for word in ["one", "two"] {
        through.says(word);
        gateway.says(word);
    }
    assert!(!ping(&mut denied), "a connection that no line allows goes on");
    daemon.events.dropped(0, OFFICE, SERVER, "tcp_no_flow");
    for server in [SERVER, GW_OFFICE] {
        assert_eq!(daemon.flow(server, 22).unwrap()["adopted"], true, "{server}");
    }
    // What nothing adopted is not let in, and a restart does not begin to adopt anew.
    fails(&lab.office, &format!("curl -sf -m 1 telnet://{SERVER}:6379"));
    daemon.kill();
    daemon.restart();
    through.says("three");
    gateway.says("three");
    assert!(!ping(&mut denied));
}
