//! A client made by hand: its segments are what a case wants them to be, its server is a real one.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use dropgate_lab::{Gateway, RawSocket};

use super::packet::{PSH, RST, Segment};
use crate::frames::{ACK, Cable, Path, SYN};

/// Addresses of `office` that its own kernel does not have, so that it does not answer what comes for them.
pub const FROM: [&str; 2] = ["10.10.0.77", "fd00:10::77"];

/// How long the other side's answer to a segment is waited for before it is sent again.
const AGAIN: Duration = Duration::from_millis(300);
/// How often it is.
const TIMES: usize = 5;
/// TTL or hop limit with which a packet passes the gateway, and ends before the server.
pub const EXPIRES: u8 = 2;

pub struct Hand {
    raw: RawSocket,
    cable: Cable,
    pub path: Path,
    /// The number of the SYN.
    pub isn: u32,
    /// What the server is to say next.
    expects: Option<u32>,
    /// What the server said.
    pub heard: Vec<u8>,
    /// The number that the server expects next.
    acked: u32,
    /// Our clock of timestamps, and the server's last.
    clock: u32,
    echo: u32,
    /// The server has reset the connection.
    pub reset: bool,
    pub window: u16,
}

impl Hand {
    pub fn new(lab: &Gateway, server: IpAddr, ports: (u16, u16)) -> Self {
        let from = FROM[usize::from(server.is_ipv6())].parse().unwrap();
        let raw = RawSocket::open(&lab.office, "eth0").unwrap();
        let cable = Cable::new(lab, &lab.office, "lan0");
        let isn = 0x1571_0000 ^ u32::from(ports.0);
        Self {
            raw,
            cable,
            path: Path { from, to: server, ports },
            isn,
            expects: None,
            heard: Vec::new(),
            acked: isn,
            clock: 1_000_000,
            echo: 0,
            reset: false,
            window: 0xf000,
        }
    }

    /// The sequence number of a byte of the stream.
    pub const fn seq(&self, at: usize) -> u32 {
        self.isn.wrapping_add(1).wrapping_add(at as u32)
    }

    /// Bytes that the server has acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acked.wrapping_sub(self.isn).saturating_sub(1) as usize
    }

    /// A segment with these bytes of the stream from this place on.
    pub fn at(&mut self, at: usize, bytes: &[u8]) -> Segment {
        self.clock += 1;
        Segment {
            seq: self.seq(at),
            ack: self.expects.unwrap_or(0),
            flags: ACK | if bytes.is_empty() { 0 } else { PSH },
            window: self.window,
            urgent: 0,
            timestamp: Some((self.clock, self.echo)),
            options: Vec::new(),
            bytes: bytes.to_vec(),
            ttl: 64,
            ip_options: Vec::new(),
            extensions: Vec::new(),
            wrong_checksum: false,
            wrong_ip_checksum: false,
        }
    }

    /// A SYN with the options that Linux has: segment size, selective acknowledgements, timestamps, window scale 0.
    pub fn syn(&mut self) -> Segment {
        let mut segment = self.at(0, b"").flags(SYN).seq(self.isn).ack(0);
        segment.options = vec![2, 4, 2, 0, 1, 3, 3, 0];
        segment
    }

    pub fn send(&self, segment: &Segment) {
        self.send_packet(&segment.packet(&self.path));
    }

    pub fn send_packet(&self, packet: &[u8]) {
        self.send_tagged(&[], packet);
    }

    pub fn send_tagged(&self, tags: &[u16], packet: &[u8]) {
        self.raw.send(&self.cable.tagged(tags, packet)).unwrap();
    }

    /// Sends these bytes of the stream as any client would.
    pub fn say(&mut self, at: usize, bytes: &[u8]) {
        let segment = self.at(at, bytes);
        self.send(&segment);
    }

    /// Begins with another number.
    pub fn begin_at(&mut self, isn: u32) {
        (self.isn, self.acked) = (isn, isn);
    }

    /// The handshake.
    pub fn open(&mut self) {
        let syn = self.syn();
        self.send(&syn);
        self.opened(&syn);
    }

    /// Waits for the answer to a SYN that was sent, and acknowledges it.
    pub fn opened(&mut self, syn: &Segment) {
        for _ in 0..TIMES {
            self.listen(AGAIN, |hand| hand.expects.is_some());
            if self.expects.is_some() {
                self.say(0, b"");
                return;
            }
            self.send(syn);
        }
    }

    /// Waits for the answer to a SYN that was sent; what is said next acknowledges it.
    pub fn opened_silently(&mut self) {
        self.listen(AGAIN * 4, |hand| hand.expects.is_some());
    }

    /// Takes in what the server says for so long, or until this holds.
    pub fn listen(&mut self, limit: Duration, until: impl Fn(&Self) -> bool) {
        let end = Instant::now() + limit;
        while !until(self) {
            let left = end.saturating_duration_since(Instant::now());
            let path = self.path;
            let ours = |frame: &[u8]| incoming(&path, frame).is_some();
            match self.raw.receive(left, ours).unwrap() {
                Some(frame) => self.take(incoming(&path, &frame).unwrap_or_default()),
                None => return,
            }
        }
    }

    /// A segment of the server.
    fn take(&mut self, tcp: &[u8]) {
        let word = |at: usize| u32::from_be_bytes(*tcp[at..].first_chunk().unwrap());
        let (seq, ack, flags) = (word(4), word(8), tcp[13]);
        let header = usize::from(tcp[12] >> 4) * 4;
        if flags & RST != 0 {
            self.reset = true;
            return;
        }
        if let Some(at) = tcp[20..header].windows(2).position(|option| option == [8, 10]) {
            self.echo = word(20 + at + 2);
        }
        if flags & ACK != 0 && ack.wrapping_sub(self.acked) < 1 << 30 {
            self.acked = ack;
        }
        if flags & SYN != 0 {
            self.expects.get_or_insert(seq.wrapping_add(1));
            return;
        }
        let Some(expects) = self.expects else { return };
        let (bytes, fin) = (&tcp[header..], flags & 1);
        if bytes.is_empty() && fin == 0 {
            return;
        }
        if seq == expects {
            self.heard.extend(bytes);
            self.expects = Some(expects.wrapping_add(bytes.len() as u32).wrapping_add(u32::from(fin)));
        }
        let place = self.acknowledged();
        self.say(place, b"");
    }

    /// Whether the server has answered, if not within `patience`.
    pub fn answered(&mut self, patience: Duration) -> bool {
        self.listen(patience, |hand| hand.reset || hand.heard.ends_with(super::server::PAGE));
        self.heard.ends_with(super::server::PAGE)
    }

    /// Says what the server has not acknowledged again and again, as any client would, until it has answered.
    pub fn insist(&mut self, truth: &[u8]) {
        for _ in 0..TIMES {
            if self.answered(AGAIN) || self.reset {
                return;
            }
            let at = self.acknowledged().min(truth.len());
            self.say(at, &truth[at..]);
        }
        self.answered(AGAIN);
    }

    /// Ends the connection for the server.
    pub fn abort(&mut self, length: usize) {
        let place = self.acknowledged().min(length);
        let segment = self.at(place, b"").flags(RST | ACK);
        self.send(&segment);
    }
}

/// The TCP segment of a frame that comes from the other end of a path.
fn incoming<'a>(path: &Path, frame: &'a [u8]) -> Option<&'a [u8]> {
    let ip = frame.get(14..)?;
    let (source, protocol, l4, end) = match (frame.get(12..14)?, path.to) {
        ([8, 0], IpAddr::V4(_)) => {
            let end = usize::from(u16::from_be_bytes(*ip.get(2..)?.first_chunk()?));
            (ip.get(12..16)?, *ip.get(9)?, usize::from(*ip.first()? & 15) * 4, end)
        }
        ([0x86, 0xdd], IpAddr::V6(_)) => {
            let end = 40 + usize::from(u16::from_be_bytes(*ip.get(4..)?.first_chunk()?));
            (ip.get(8..24)?, *ip.get(6)?, 40, end)
        }
        _ => return None,
    };
    let from = match path.to {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let tcp = ip.get(l4..end)?;
    let ports = [path.ports.1.to_be_bytes(), path.ports.0.to_be_bytes()].concat();
    (source == from && protocol == 6 && tcp.len() >= 20 && tcp[..4] == ports).then_some(tcp)
}
