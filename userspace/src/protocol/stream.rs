//! Detectors of protocols that are spoken over TCP.
//!
//! Precedence: what has a magic number or a structure that nothing else has comes first, then text protocols by how much
//! their first line says, and last those that a few bytes of anything could resemble (IRC, Telnet). A detector says
//! no at the first byte that contradicts it, so one that stands earlier delays a later one only while both are possible.

mod ber;
mod bittorrent;
mod dns;
mod greeting;
mod http;
mod http2;
mod imap;
mod irc;
mod kerberos;
mod ldap;
mod memcached;
mod midway;
mod mqtt;
mod mssql;
mod mysql;
mod openvpn;
mod pop3;
mod postgresql;
mod rdp;
mod reader;
mod redis;
mod rtp;
#[cfg(test)]
pub mod samples;
mod sip;
mod smb;
mod socks;
mod ssh;
mod stun;
mod telnet;
#[cfg(test)]
mod tests;
mod tls;
mod vnc;

pub use self::socks::request as socks_request;
use super::{Answer, Candidates, Protocol, Spoken, Stream, ask};

type Detector = (Protocol, fn(Stream<'_>) -> Answer);

/// In order of precedence. At most 64.
const DETECTORS: &[Detector] = &[
    (Protocol::Tls, tls::tls),
    (Protocol::FakeTls, tls::fake),
    (Protocol::Ssh, ssh::detect),
    (Protocol::Http2, http2::detect),
    (Protocol::Smb, smb::detect),
    (Protocol::Rdp, rdp::detect),
    (Protocol::Bittorrent, bittorrent::detect),
    // before those that start with a length, which would wait for more than SOCKS says
    (Protocol::Socks, socks::detect),
    (Protocol::Stun, stun::detect),
    (Protocol::Kerberos, kerberos::detect),
    (Protocol::Ldap, ldap::detect),
    (Protocol::Postgresql, postgresql::detect),
    (Protocol::Mssql, mssql::detect),
    (Protocol::Mysql, mysql::detect),
    (Protocol::Mqtt, mqtt::detect),
    (Protocol::Vnc, vnc::detect),
    (Protocol::Openvpn, openvpn::detect),
    (Protocol::Dns, dns::detect),
    (Protocol::Rtp, rtp::detect),
    // HTTP first, and a WebSocket once the server has agreed
    (Protocol::WebSocket, http::websocket),
    (Protocol::Http, http::http),
    (Protocol::Sip, sip::detect),
    (Protocol::Smtp, greeting::smtp),
    (Protocol::Ftp, greeting::ftp),
    (Protocol::Redis, redis::detect),
    (Protocol::Memcached, memcached::detect),
    (Protocol::Imap, imap::detect),
    (Protocol::Pop3, pop3::detect),
    (Protocol::Irc, irc::detect),
    (Protocol::Telnet, telnet::detect),
];

/// Detectors at the start of the list that want a hello of TLS.
const WANT_HELLO: usize = 2;

/// What a byte stream speaks.
pub fn stream(said: Stream<'_>, candidates: &mut Candidates) -> Spoken {
    ask(DETECTORS, said, candidates)
}

/// Detectors that tell by the middle of a stream.
const MIDWAY: &[Detector] = &[(Protocol::Mqtt, midway::mqtt), (Protocol::WebSocket, midway::websocket)];

/// What a byte stream speaks that was met in its middle, where either side may have been taken for the server: as
/// [`stream`], but TLS by its records alone, so that nothing is called fake for want of a hello, and what a chain of
/// messages tells.
pub fn midstream(said: Stream<'_>) -> Spoken {
    let records: &[Detector] = &[(Protocol::Tls, tls::records)];
    let detectors = DETECTORS.get(WANT_HELLO..).unwrap_or_default();
    let exchanged = Stream { to_server: said.to_client, to_client: said.to_server };
    let tries = [(records, false), (detectors, false), (detectors, true), (MIDWAY, false), (MIDWAY, true)];
    let mut pending = false;
    for (detectors, swapped) in tries {
        // what has begun as something else may yet turn out to be a chain of messages, which both sides' bytes tell
        if pending && !std::ptr::eq(detectors, MIDWAY) {
            continue;
        }
        match ask(detectors, if swapped { exchanged } else { said }, &mut Candidates::default()) {
            Spoken::Known(protocol, direction, bytes) if swapped => {
                return Spoken::Known(protocol, direction.opposite(), bytes);
            }
            Spoken::Known(protocol, direction, bytes) => return Spoken::Known(protocol, direction, bytes),
            Spoken::Pending => pending = true,
            Spoken::Unknown => {}
        }
    }
    if pending { Spoken::Pending } else { Spoken::Unknown }
}
