//! What is spoken: application protocols told apart by the structure of their bytes, never by ports.
//!
//! Each protocol has a file with one detector: a function of what was said so far that answers yes, no, or that more must
//! be said. Detectors keep nothing between calls, allocate nothing in proportion to what they are shown, and answer within
//! work linear in it.

mod datagram;
mod first;
mod registered;
mod stream;

pub(crate) use self::datagram::{ber, wire};
#[cfg(test)]
pub(crate) use self::stream::samples;
pub use dropgate_signatures::subject::Direction;

pub use self::{
    datagram::{carried, datagrams, is_stun, quic},
    first::first_bytes,
    registered::{registered, registrations},
    stream::{midstream, socks_request, stream},
};

/// A detector's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// This is not what is spoken, whatever comes next.
    No,
    /// It may be, with what was said so far.
    More,
    /// It is, by the bytes from the start of this direction up to this many.
    Yes(Direction, usize),
}

/// What a flow speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Spoken {
    /// More must be said.
    #[default]
    Pending,
    /// With the direction and the number of bytes from its start that told.
    Known(Protocol, Direction, usize),
    /// Nothing that is known here.
    Unknown,
}

/// A byte stream so far: what each side said, in order and without gaps, from the start of the connection. Either may be
/// empty; both may be cut off at a bound.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    pub to_server: &'a [u8],
    pub to_client: &'a [u8],
}

/// Datagrams of a flow so far, oldest first, at most [`MOST_DATAGRAMS`].
#[derive(Clone, Copy, Debug)]
pub struct Datagrams<'a> {
    pub said: &'a [(Direction, &'a [u8])],
}

/// Datagrams of a flow that are looked at before it is called unknown.
pub const MOST_DATAGRAMS: usize = 8;

macro_rules! protocols {
    ($($variant:ident $name:literal $title:literal)+) => {
        /// An application protocol.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
        pub enum Protocol {
            $(#[doc = $title] #[serde(rename = $name)] $variant),+
        }

        impl Protocol {
            /// Every protocol.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Name in policies and events: Suricata's `app_proto` where it has one.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

protocols! {
    Http "http" "HTTP/1 (RFC 9112)"
    Http2 "http2" "HTTP/2 (RFC 9113)"
    WebSocket "websocket" "WebSocket (RFC 6455)"
    Tls "tls" "TLS (RFC 8446)"
    FakeTls "fake-tls" "a TLS record header with something else behind it"
    Dtls "dtls" "DTLS (RFC 9147)"
    Quic "quic" "QUIC (RFC 9000)"
    Ssh "ssh" "SSH (RFC 4253)"
    Dns "dns" "DNS (RFC 1035)"
    Smtp "smtp" "SMTP (RFC 5321)"
    Imap "imap" "IMAP (RFC 9051)"
    Pop3 "pop3" "POP3 (RFC 1939)"
    Ftp "ftp" "FTP (RFC 959)"
    Rdp "rdp" "RDP (MS-RDPBCGR)"
    Smb "smb" "SMB (MS-SMB2)"
    Ldap "ldap" "LDAP (RFC 4511)"
    Kerberos "krb5" "Kerberos (RFC 4120)"
    Redis "redis" "Redis (RESP)"
    Memcached "memcached" "Memcached"
    Mysql "mysql" "MySQL"
    Postgresql "pgsql" "PostgreSQL"
    Mssql "mssql" "Microsoft SQL Server (MS-TDS)"
    Mqtt "mqtt" "MQTT"
    Sip "sip" "SIP (RFC 3261)"
    Rtp "rtp" "RTP (RFC 3550)"
    Stun "stun" "STUN (RFC 8489)"
    Ntp "ntp" "NTP (RFC 5905)"
    Snmp "snmp" "SNMP (RFC 3416)"
    Dhcp "dhcp" "DHCP (RFC 2131)"
    Tftp "tftp" "TFTP (RFC 1350)"
    Socks "socks" "SOCKS (RFC 1928)"
    Vnc "rfb" "RFB, as VNC speaks it (RFC 6143)"
    Telnet "telnet" "Telnet (RFC 854)"
    Irc "irc" "IRC (RFC 2812)"
    Wireguard "wireguard" "WireGuard"
    Openvpn "openvpn" "OpenVPN"
    Bittorrent "bittorrent" "BitTorrent"
}

impl Protocol {
    /// Number in [`dropgate_abi::flow::Flow::app`].
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The protocol of this number.
    pub fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// What [`dropgate_abi::flow::Flow::app`] says, in Suricata's words: what is unknown has `failed`. `None` while nobody
    /// has said.
    pub fn app_proto(number: u8) -> Option<&'static str> {
        if number == dropgate_abi::flow::app::UNKNOWN {
            return Some("failed");
        }
        Self::numbered(number).map(Self::name)
    }
}

/// What may still be found; at first everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidates {
    /// Detectors that have not said no, one bit each.
    detectors: u64,
    /// Protocols that may yet be what is spoken, by [`Protocol::number`].
    possible: u64,
    /// A detector has said yes, and one that has precedence over it has not spoken yet.
    likely: Option<(Protocol, Direction, usize)>,
}

impl Default for Candidates {
    fn default() -> Self {
        Self { detectors: u64::MAX, possible: u64::MAX, likely: None }
    }
}

impl Candidates {
    /// Whether this may yet be what is spoken.
    pub const fn may_be(&self, protocol: Protocol) -> bool {
        self.possible >> protocol.number() & 1 == 1
    }

    /// What is spoken, unless something that has precedence turns out to be: as in [`Spoken::Known`]. While that is pending.
    pub const fn likely(&self) -> Option<(Protocol, Direction, usize)> {
        self.likely
    }
}

/// Detectors in order of precedence, at most 64.
type Detectors<T> = [(Protocol, fn(T) -> Answer)];

/// Asks the detectors that are still candidates. The first one that says yes is believed; when all say no, it is unknown.
fn ask<T: Copy>(detectors: &Detectors<T>, said: T, candidates: &mut Candidates) -> Spoken {
    (candidates.possible, candidates.likely) = (0, None);
    for (at, (protocol, detector)) in detectors.iter().enumerate() {
        if candidates.detectors >> at & 1 == 0 {
            continue;
        }
        match detector(said) {
            Answer::No => candidates.detectors &= !(1 << at),
            Answer::More => candidates.possible |= 1 << protocol.number(),
            Answer::Yes(direction, bytes) => {
                let pending = candidates.possible != 0;
                candidates.possible |= 1 << protocol.number();
                if !pending {
                    return Spoken::Known(*protocol, direction, bytes);
                }
                // one before it in the list may still say yes, and has precedence
                candidates.likely = Some((*protocol, direction, bytes));
                return Spoken::Pending;
            }
        }
    }
    if candidates.possible != 0 { Spoken::Pending } else { Spoken::Unknown }
}

/// Numbers of protocols are bits of [`Candidates`].
const _: () = assert!(Protocol::ALL.len() < 64);
