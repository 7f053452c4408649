//! Which byte a client can begin with, by protocol: what the kernel's side looks at before anything is held.
//!
//! Nothing that a detector could still take for its protocol may be missing here, and nothing that a client may say after
//! a greeting that told already.

use std::ops::RangeInclusive;

use dropgate_abi::policy::FirstBytes;

use super::Protocol::{self, *};

type Ranges = &'static [RangeInclusive<u8>];

/// A length, a number, or whatever is typed.
const ANY: Ranges = &[0..=0xff];
/// Commands of text, and the empty lines before them.
const TEXT: Ranges = &[b'\t'..=b'\t', b'\n'..=b'\n', b'\r'..=b'\r', b' '..=b'~'];

/// Over TCP. What is not listed is not spoken there.
const STREAMS: &[(Protocol, Ranges)] = &[
    // the last: a hello in the form of SSL 2
    (Tls, &[0x16..=0x16, 0x80..=0xff]),
    (FakeTls, &[0x14..=0x18]),
    (Ssh, &[b'S'..=b'S']),
    (Http2, &[b'P'..=b'P']),
    (Http, TEXT),
    (WebSocket, TEXT),
    (Smb, &[0x00..=0x00, 0x81..=0x85]),
    (Rdp, &[0x03..=0x03]),
    (Bittorrent, &[0x13..=0x13]),
    (Socks, &[0x04..=0x05]),
    (Kerberos, &[0x00..=0x00]),
    (Ldap, &[0x30..=0x30]),
    (Postgresql, &[0x00..=0x00]),
    (Mssql, &[0x10..=0x10, 0x12..=0x12]),
    (Mqtt, &[0x10..=0x10]),
    // the length of a packet, or of a message of STUN before it
    (Rtp, &[0x00..=0x05]),
    (Vnc, &[b'R'..=b'R']),
    (Sip, TEXT),
    (Smtp, TEXT),
    // and the Telnet commands before ABOR (RFC 959, 4.1.3)
    (Ftp, &[b'\t'..=b'\t', b'\n'..=b'\n', b'\r'..=b'\r', b' '..=b'~', 0xf0..=0xff]),
    (Redis, TEXT),
    (Memcached, &[b'\t'..=b'\t', b'\n'..=b'\n', b'\r'..=b'\r', b' '..=b'~', 0x80..=0x80]),
    (Imap, TEXT),
    (Pop3, TEXT),
    (Irc, TEXT),
    (Dns, ANY),
    (Stun, ANY),
    (Mysql, ANY),
    (Openvpn, ANY),
    (Telnet, ANY),
];

/// Over UDP, likewise.
const DATAGRAMS: &[(Protocol, Ranges)] = &[
    // DTLS 1.3 has a header of its own (RFC 9147, 4)
    (Dtls, &[0x14..=0x1a, 0x20..=0x3f]),
    // the last: channel data (RFC 8656, 12.4)
    (Stun, &[0x00..=0x3f, 0x40..=0x4f]),
    (Dhcp, &[0x01..=0x0d]),
    (Snmp, &[0x30..=0x30]),
    (Kerberos, &[0x60..=0x7f]),
    (Ldap, &[0x30..=0x30]),
    // keep-alives (RFC 5626, 3.5.1, and the zeros some send) come before a request
    (Sip, &[0x00..=0x00, b'\n'..=b'\n', b'\r'..=b'\r', b' '..=b'~']),
    (Tftp, &[0x00..=0x00]),
    (Wireguard, &[0x01..=0x04]),
    (Rtp, &[0x80..=0xbf]),
    (Dns, ANY),
    // short headers too: a session that was idle goes on as another flow
    (Quic, ANY),
    (Ntp, ANY),
    (Memcached, ANY),
    (Openvpn, ANY),
    (Bittorrent, ANY),
];

/// What a client can begin with that speaks one of these. Nothing at all where none of them is spoken.
pub fn first_bytes(udp: bool, protocols: &[Protocol]) -> FirstBytes {
    let table = if udp { DATAGRAMS } else { STREAMS };
    let spoken = table.iter().filter(|(protocol, _)| protocols.contains(protocol));
    spoken.flat_map(|(_, ranges)| ranges.iter().cloned().flatten()).fold(FirstBytes::NONE, FirstBytes::with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few() {
        let web = first_bytes(false, &[Http, Http2, WebSocket]);
        assert!(web.has(b'G') && web.has(b'\r') && !web.has(0x16) && !web.has(0) && !web.has(0xff));
        let tls = first_bytes(false, &[Tls]);
        assert!(tls.has(0x16) && tls.has(0x80) && !tls.has(b'S') && !tls.has(0x17));
        assert_eq!(first_bytes(true, &[Dns]), FirstBytes::ANY);
        assert_eq!(first_bytes(false, &[Tls, Dns]), FirstBytes::ANY);
        assert_eq!(first_bytes(false, &[Quic]), FirstBytes::NONE);
    }
}
