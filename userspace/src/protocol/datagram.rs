//! Detectors of protocols that are spoken over UDP.

pub(crate) mod ber;
mod bittorrent;
mod dhcp;
mod dns;
mod dtls;
mod kerberos;
mod ldap;
mod memcached;
mod ntp;
mod openvpn;
pub mod quic;
pub(super) mod rtp;
#[cfg(test)]
mod samples;
mod sip;
mod snmp;
mod stun;
mod tftp;
pub(crate) mod wire;
mod wireguard;

use super::{Answer, Candidates, Datagrams, Direction, MOST_DATAGRAMS, Protocol, Spoken, ask};

type Detector = fn(Datagrams<'_>) -> Answer;

/// In order of precedence: what carries a checksum, a cookie or a grammar comes before what is told by few bits. At most 64.
const DETECTORS: &[(Protocol, Detector)] = &[
    (Protocol::Quic, quic::detect),
    (Protocol::Stun, stun::detect),
    (Protocol::Dtls, dtls::detect),
    (Protocol::Dhcp, dhcp::detect),
    (Protocol::Snmp, snmp::detect),
    (Protocol::Kerberos, kerberos::detect),
    (Protocol::Ldap, ldap::detect),
    (Protocol::Sip, sip::detect),
    (Protocol::Dns, dns::detect),
    (Protocol::Tftp, tftp::detect),
    (Protocol::Wireguard, wireguard::detect),
    (Protocol::Bittorrent, bittorrent::detect),
    (Protocol::Memcached, memcached::detect),
    (Protocol::Openvpn, openvpn::detect),
    (Protocol::Ntp, ntp::detect),
    (Protocol::Rtp, rtp::detect),
];

/// What the datagrams of a flow speak. After [`MOST_DATAGRAMS`] of them it is no longer pending.
pub fn datagrams(said: Datagrams<'_>, candidates: &mut Candidates) -> Spoken {
    let spoken = ask(DETECTORS, said, candidates);
    if spoken != Spoken::Pending || said.said.len() < MOST_DATAGRAMS {
        return spoken;
    }
    // those that want more will not get it, and no longer stand before a yes
    for (at, (protocol, detector)) in DETECTORS.iter().enumerate() {
        if candidates.detectors >> at & 1 == 1
            && let Answer::Yes(direction, bytes) = detector(said)
        {
            return Spoken::Known(*protocol, direction, bytes);
        }
    }
    candidates.detectors = 0;
    Spoken::Unknown
}

/// Whether a datagram is a STUN message, by the byte that tells what shares a port with it (RFC 7983).
pub fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram, [0..=3, ..])
}

/// What two ends speak that found each other by STUN, from the datagrams that are none of its messages: bare, or in a channel of
/// TURN (RFC 8656, 12.4).
pub fn carried(said: Datagrams<'_>) -> Option<Protocol> {
    let bare: Vec<_> = said.said.iter().map(|(direction, datagram)| (*direction, out_of_channel(datagram))).collect();
    // keys are agreed on by DTLS, and the media comes beside it (RFC 5764)
    if bare.iter().any(|(_, datagram)| dtls::is_records(datagram)) {
        return Some(Protocol::Dtls);
    }
    rtp::is_media(Datagrams { said: &bare }).then_some(Protocol::Rtp)
}

fn out_of_channel(datagram: &[u8]) -> &[u8] {
    match datagram {
        [0x40..=0x4f, _, high, low, data @ ..] => {
            data.get(..usize::from(u16::from_be_bytes([*high, *low]))).unwrap_or(datagram)
        }
        _ => datagram,
    }
}

/// What one datagram says about a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    /// It cannot be part of it.
    Not,
    /// It may be part of it, but does not tell.
    May,
    /// It tells, with this many of its bytes.
    Is(usize),
}

impl Look {
    /// The whole datagram tells, if there is something in it.
    fn whole(datagram: &[u8], told: Option<()>) -> Self {
        if told.is_some() { Self::Is(datagram.len()) } else { Self::Not }
    }
}

/// Asks each datagram in turn until one contradicts or tells. Empty datagrams say nothing.
fn each<'a>(said: Datagrams<'a>, mut look: impl FnMut(Direction, &'a [u8]) -> Look) -> Answer {
    for (at, &(direction, datagram)) in said.said.iter().enumerate() {
        if datagram.is_empty() {
            continue;
        }
        match look(direction, datagram) {
            Look::Not => return Answer::No,
            Look::May => {}
            Look::Is(bytes) => return yes(said, at, bytes),
        }
    }
    Answer::More
}

/// Yes, by the first `bytes` of the datagram at `at`.
fn yes(said: Datagrams<'_>, at: usize, bytes: usize) -> Answer {
    let Some(&(direction, _)) = said.said.get(at) else { return Answer::No };
    let before: usize =
        said.said.iter().take(at).filter(|(who, _)| *who == direction).map(|(_, what)| what.len()).sum();
    Answer::Yes(direction, before + bytes)
}

#[cfg(test)]
mod tests;
