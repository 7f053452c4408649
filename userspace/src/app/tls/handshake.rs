//! The transaction of a connection: its handshake.

use dropgate_signatures::subject::Direction;

use super::{
    certificate::{self, Certificate},
    hello::{Hello, Side},
    index,
    ja3::Ja3,
    ja4::ja4,
    record::{ALERT, HEARTBEAT, Said},
};
use crate::{app::events::Events, protocol::wire::Bytes};

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const CLIENT_KEY_EXCHANGE: u8 = 16;

/// Bits of `ssl_state`.
pub(super) const STATES: [(&str, u8); 5] =
    [("client_hello", 1), ("server_hello", 2), ("client_keyx", 4), ("server_keyx", 8), ("unknown", 16)];
const UNKNOWN: u8 = 16;

/// What one side has said.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    pub(super) hello: Option<Hello>,
    /// What it is taken to speak: what its records say, until a hello says more.
    pub(super) version: u16,
    pub(super) ja3: Option<Ja3>,
    pub(super) ja4: Option<String>,
    /// In DER, its own first.
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) certificate: Option<Certificate>,
    pub(super) fingerprint: Option<String>,
    /// Handshake messages that were seen, bits of [`STATES`].
    pub(super) states: u8,
    /// Length of the last heartbeat.
    pub(super) heartbeat: Option<usize>,
    pub(super) encrypted: bool,
    pub(super) closed: bool,
    pub(super) revision: u32,
}

/// A handshake.
#[derive(Debug, Default)]
pub struct Handshake {
    pub(super) sides: [Spoken; 2],
    pub(super) events: Events,
    pub(super) now: i64,
    /// Events show certificates as they are, and those of clients.
    pub(super) shows: bool,
    broken: bool,
}

impl Handshake {
    /// s since 1970
    pub fn now(&mut self, unix_s: i64) {
        self.now = unix_s;
    }

    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Nothing more is said by this direction.
    pub fn close(&mut self, direction: Direction) {
        let side = &mut self.sides[index(direction)];
        if !side.closed {
            side.closed = true;
            side.revision += 1;
        }
    }

    /// Takes in what was said; nothing more once it is broken, in the same segment as in later ones.
    pub fn hear(&mut self, direction: Direction, said: Said<'_>) {
        if self.broken {
            return;
        }
        match said {
            Said::Version(version) => {
                let side = self.side(direction);
                if side.hello.is_none() {
                    side.version = version;
                }
            }
            Said::Handshake(kind, body) => self.message(direction, kind, body),
            Said::Ssl2(message) => self.ssl2(direction, message),
            Said::Other(ALERT, body) => self.alert(body),
            Said::Other(HEARTBEAT, body) => self.heartbeat(direction, body),
            Said::Other(..) => {}
            Said::Encrypted => {
                self.side(direction).encrypted = true;
                self.close(direction);
            }
            Said::Broken(event) => {
                self.events.note(event);
                self.broken = true;
            }
        }
        self.side(direction).revision += 1;
    }

    fn side(&mut self, direction: Direction) -> &mut Spoken {
        &mut self.sides[index(direction)]
    }

    fn message(&mut self, direction: Direction, kind: u8, body: &[u8]) {
        let [client, server] = &mut self.sides;
        let state = match (kind, direction) {
            (CLIENT_HELLO, Direction::ToServer) => {
                // a second one answers a request to try again; the first one is the client's own
                if client.hello.is_none() {
                    client.hello = Hello::read(Side::Client, body, &mut self.events);
                    match &client.hello {
                        None => _ = self.events.note("invalid_handshake_message"),
                        Some(hello) => {
                            client.version = hello.version();
                            client.ja3 = Some(Ja3::of_client(hello));
                            client.ja4 = Some(ja4(hello, false));
                        }
                    }
                }
                1
            }
            (SERVER_HELLO, Direction::ToClient) => {
                let hello = Hello::read(Side::Server, body, &mut self.events);
                match hello {
                    None => _ = self.events.note("invalid_handshake_message"),
                    Some(hello) => {
                        server.version = hello.version();
                        if server.hello.is_none() {
                            server.ja3 = Some(Ja3::of_server(&hello));
                            server.hello = Some(hello);
                        }
                    }
                }
                2
            }
            (CERTIFICATE, _) => {
                self.certificates(direction, body);
                UNKNOWN
            }
            (CLIENT_KEY_EXCHANGE, Direction::ToServer) => 4,
            (SERVER_KEY_EXCHANGE, Direction::ToClient) => 8,
            (CLIENT_HELLO | SERVER_HELLO | CLIENT_KEY_EXCHANGE | SERVER_KEY_EXCHANGE, _) => {
                self.events.note("invalid_handshake_message");
                UNKNOWN
            }
            // RFC 8446 section 4, RFC 5246 section 7.4, and those that were given out since
            (0 | 3..=10 | 13..=15 | 17..=26 | 67 | 254, _) => UNKNOWN,
            _ => {
                self.events.note("invalid_handshake_message");
                UNKNOWN
            }
        };
        self.side(direction).states |= state;
    }

    fn certificates(&mut self, direction: Direction, body: &[u8]) {
        let side = &mut self.sides[index(direction)];
        if !side.chain.is_empty() {
            return;
        }
        let mut list = Bytes::new(body);
        let length = list.u24().and_then(|length| usize::try_from(length).ok());
        if length.is_none_or(|length| length > list.rest.len()) {
            self.events.note("certificate_invalid_length");
        }
        while !list.is_empty() {
            let length = list.u24().and_then(|length| usize::try_from(length).ok());
            let Some(der) = length.and_then(|length| list.take(length)) else {
                self.events.note("certificate_invalid_length");
                break;
            };
            if der.is_empty() {
                continue;
            }
            side.chain.push(der.to_vec());
        }
        let Some(first) = side.chain.first() else { return };
        side.fingerprint = Some(certificate::fingerprint(first));
        match Certificate::read(first) {
            Ok(certificate) => side.certificate = Some(certificate),
            // as in Suricata, nothing is read behind it
            Err(event) => {
                for event in ["invalid_certificate", event, "invalid_handshake_message", "invalid_ssl_record"] {
                    self.events.note(event);
                }
                self.broken = true;
            }
        }
    }

    /// Hellos of SSL 2; those of a client may offer later versions in that form.
    fn ssl2(&mut self, direction: Direction, message: &[u8]) {
        let mut bytes = Bytes::new(message);
        let read = match (bytes.u8(), direction) {
            (Some(1), Direction::ToServer) => bytes.u16().map(|version| (version, 1)),
            // session id hit and certificate type come before the version
            (Some(4), Direction::ToClient) => bytes.u16().and(bytes.u16()).map(|version| (version, 2)),
            _ => None,
        };
        let Some((version, state)) = read else {
            self.events.note("invalid_sslv2_header");
            self.broken = true;
            return;
        };
        let side = self.side(direction);
        side.version = version;
        side.states |= state;
        if version < 0x0300 && direction == Direction::ToClient {
            // what comes behind it is encrypted, in SSL 2's own records
            self.broken = true;
        }
    }

    fn alert(&mut self, body: &[u8]) {
        const FATAL: u8 = 2;
        match body {
            [FATAL, _] => self.broken = true,
            [1, _] => {}
            _ => _ = self.events.note("invalid_alert_message"),
        }
    }

    /// RFC 6520, in clear: what was called Heartbleed asks for more than it says.
    fn heartbeat(&mut self, direction: Direction, body: &[u8]) {
        const PADDING: usize = 16;
        self.events.note("heartbeat_message");
        let mut bytes = Bytes::new(body);
        let Some((kind, length)) = bytes.u8().zip(bytes.u16()) else {
            self.events.note("invalid_heartbeat_message");
            return;
        };
        if !matches!(kind, 1 | 2) {
            self.events.note("invalid_heartbeat_message");
        } else if usize::from(length) + PADDING > bytes.rest.len() {
            self.events.note("overflow_heartbeat_message");
        }
        let asked = self.side(direction.opposite()).heartbeat;
        if kind == 2 && asked.is_some_and(|asked| body.len() > asked) {
            self.events.note("dataleak_heartbeat_mismatch");
        }
        self.side(direction).heartbeat = Some(body.len());
    }

    pub fn footprint(&self) -> usize {
        let side = |side: &Spoken| {
            let chain: usize = side.chain.iter().map(|der| der.capacity() + size_of::<Vec<u8>>()).sum();
            let hello = side.hello.as_ref().map_or(0, |hello| size_of::<Hello>() + 8 * hello.footprint());
            chain + hello + 1024
        };
        self.sides.iter().map(side).sum()
    }
}
