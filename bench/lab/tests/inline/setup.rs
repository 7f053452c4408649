//! What most tests begin with: the laboratory, its servers, and the daemon with a policy in force.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, Lab, Namespace, RawSocket, address::*};

use crate::{
    daemon::Daemon,
    frames::{Cable, Path},
    policies,
    traffic::works,
};

/// For what must come within a while.
pub const LIMIT: Duration = Duration::from_secs(15);
/// How long a frame that must not arrive is waited for.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long one that must is.
const ARRIVAL: Duration = Duration::from_secs(3);

/// Servers up, and a policy in force in which `office` has these lines and `iot` may reach nothing.
pub fn guarded(kind: Kind, lines: &str) -> (Gateway, Daemon) {
    with_policy(kind, &policies::office(kind, lines))
}

/// Servers up, and this policy in force.
pub fn with_policy(kind: Kind, policy: &str) -> (Gateway, Daemon) {
    let lab = with_servers(kind);
    let daemon = Daemon::start(&lab, policy);
    (lab, daemon)
}

/// Servers up, and nothing in force yet.
pub fn with_servers(kind: Kind) -> Gateway {
    let mut lab = Lab::gateway(kind).unwrap();
    lab.start_servers().unwrap();
    lab
}

/// No servers, and this policy in force on a gateway that routes.
pub fn bare(policy: &str) -> (Gateway, Daemon) {
    let lab = Lab::gateway(Kind::Route).unwrap();
    let daemon = Daemon::start(&lab, policy);
    (lab, daemon)
}

/// A ClientHello (RFC 8446, 4.1.2) with so many cipher suites that it takes several segments.
pub fn hello() -> Vec<u8> {
    const SUITES: u16 = 8000;
    let mut body = vec![3, 3];
    body.extend([0x5a; 32]);
    body.push(0);
    body.extend(SUITES.to_be_bytes());
    (0..SUITES / 2).for_each(|_| body.extend([0x13, 0x01]));
    body.extend([1, 0]);
    // supported versions: TLS 1.3
    body.extend([0, 7, 0, 43, 0, 3, 2, 3, 4]);
    let length = u16::try_from(body.len()).unwrap();
    let mut message = vec![1, 0];
    message.extend(length.to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((length + 4).to_be_bytes());
    record.extend(message);
    record
}

/// A connection to a web server of the laboratory, which has answered once.
pub struct Connection(TcpStream);

impl Connection {
    /// To port 80.
    pub fn open(from: &Namespace, server: &str) -> Self {
        Self::open_at(from, server, 80)
    }

    pub fn open_at(from: &Namespace, server: &str, port: u16) -> Self {
        let stream = from.enter(|| TcpStream::connect((server, port)).unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let mut connection = Self(stream);
        connection.ask();
        connection
    }

    /// One more request and its answer.
    pub fn ask(&mut self) {
        self.request();
        assert!(self.answered(Duration::from_secs(3)), "an established flow was cut");
    }

    /// One more request.
    pub fn request(&mut self) {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n").unwrap();
    }

    /// Whether an answer comes before nothing has for so long.
    pub fn answered(&mut self, patience: Duration) -> bool {
        self.0.set_read_timeout(Some(patience)).unwrap();
        let mut got = Vec::new();
        // A page is a line that follows the header.
        while !(got.windows(4).any(|part| part == b"\r\n\r\n") && got.ends_with(b"\n") && !got.ends_with(b"\r\n")) {
            let mut part = [0; 1024];
            let Ok(length) = self.0.read(&mut part) else { return false };
            assert!(length > 0, "closed after {}", String::from_utf8_lossy(&got));
            got.extend(&part[..length]);
        }
        true
    }
}

/// A raw sender in `office`, and a raw receiver on the outside.
pub struct Wire {
    pub daemon: Daemon,
    pub sender: RawSocket,
    pub receiver: RawSocket,
    pub cable: Cable,
    pub lab: Gateway,
}

impl Wire {
    /// On a gateway that routes, where `office` has these lines.
    pub fn new(lines: &str) -> Self {
        Self::with_policy(&policies::office(Kind::Route, lines))
    }

    /// On a gateway that routes.
    pub fn with_policy(policy: &str) -> Self {
        Self::with_files(policy, &[])
    }

    /// With files that the policy names.
    pub fn with_files(policy: &str, files: &[(&str, &str)]) -> Self {
        let lab = Lab::gateway(Kind::Route).unwrap();
        for (name, text) in files {
            lab.write(name, text).unwrap();
        }
        // Neighbours are known, so that nothing waits for them.
        for server in [SERVER, SERVER6] {
            works(&lab.office, &format!("ping -c 1 -W 3 {server}"));
        }
        let daemon = Daemon::start(&lab, policy);
        let sender = RawSocket::open(&lab.office, "eth0").unwrap();
        let receiver = RawSocket::open(&lab.servers, "eth0").unwrap();
        let cable = Cable::new(&lab, &lab.office, "lan0");
        Self { daemon, sender, receiver, cable, lab }
    }

    pub fn send(&self, tags: &[u16], packet: &[u8]) {
        self.sender.send(&self.cable.tagged(tags, packet)).unwrap();
    }

    /// Whether a packet that ends like this one arrives on the outside.
    pub fn arrives(&self, packet: &[u8], limit: Duration) -> bool {
        let tail = &packet[packet.len() - 8..];
        self.receiver.receive(limit, |frame| frame.windows(8).any(|part| part == tail)).unwrap().is_some()
    }

    pub fn passes(&self, tags: &[u16], packet: &[u8]) {
        self.send(tags, packet);
        assert!(self.arrives(packet, ARRIVAL), "{tags:?}: it did not arrive: {}", self.daemon.status());
    }

    pub fn dropped(&self, tags: &[u16], packet: &[u8], path: &Path, reason: &str) {
        let (mark, before) = (self.daemon.events.mark(), self.daemon.count(reason));
        self.send(tags, packet);
        self.daemon.events.dropped(mark, &path.from.to_string(), &path.to.to_string(), reason);
        assert_eq!(self.daemon.count(reason), before + 1, "{reason}");
        assert!(!self.arrives(packet, PATIENCE), "{reason}: it arrived all the same");
    }
}
