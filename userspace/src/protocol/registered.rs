//! Which protocols belong on which ports.

use super::Protocol::{self, *};

/// Ports and what may be spoken there: the Service Name and Transport Protocol Port Number Registry (IANA), and the defaults
/// of servers that registered none. BitTorrent has no port: its clients choose theirs. What upgrades in the course of a
/// connection (STARTTLS, WebSocket) is what it starts as.
const TCP: &[(u16, &[Protocol])] = &[
    (21, &[Ftp]),
    (22, &[Ssh]),
    (23, &[Telnet]),
    (25, &[Smtp]),
    (53, &[Dns]),
    (80, &[Http, Http2, WebSocket]),
    (88, &[Kerberos]),
    (110, &[Pop3]),
    (139, &[Smb]),
    (143, &[Imap]),
    (389, &[Ldap]),
    (443, &[Tls]),
    (445, &[Smb]),
    (465, &[Tls]),
    (587, &[Smtp]),
    (636, &[Tls]),
    (853, &[Tls]),
    (989, &[Tls]),
    (990, &[Tls]),
    (993, &[Tls]),
    (995, &[Tls]),
    (1080, &[Socks]),
    (1194, &[Openvpn]),
    (1433, &[Mssql]),
    (1883, &[Mqtt]),
    (3268, &[Ldap]),
    (3269, &[Tls]),
    (3306, &[Mysql]),
    (3389, &[Rdp]),
    (3478, &[Stun]),
    (5060, &[Sip]),
    (5061, &[Tls]),
    (5349, &[Tls]),
    (5432, &[Postgresql]),
    (5900, &[Vnc]),
    (5901, &[Vnc]),
    (6379, &[Redis]),
    (6380, &[Tls]),
    (6667, &[Irc]),
    (6697, &[Tls]),
    (8000, &[Http, WebSocket]),
    (8080, &[Http, Http2, WebSocket]),
    (8088, &[Http, WebSocket]),
    (8883, &[Tls]),
    (11211, &[Memcached]),
];

const UDP: &[(u16, &[Protocol])] = &[
    (53, &[Dns]),
    (67, &[Dhcp]),
    (68, &[Dhcp]),
    (69, &[Tftp]),
    (88, &[Kerberos]),
    (123, &[Ntp]),
    (161, &[Snmp]),
    (162, &[Snmp]),
    (443, &[Quic]),
    (546, &[Dhcp]),
    (547, &[Dhcp]),
    (853, &[Quic, Dtls]),
    (1194, &[Openvpn]),
    (3478, &[Stun]),
    (5060, &[Sip]),
    (5349, &[Dtls]),
    (5353, &[Dns]),
    (5355, &[Dns]),
    (11211, &[Memcached]),
    (51820, &[Wireguard]),
];

/// What belongs on a server's port; empty: nothing that is known here.
pub fn registered(udp: bool, port: u16) -> &'static [Protocol] {
    let table = if udp { UDP } else { TCP };
    table.binary_search_by_key(&port, |(port, _)| *port).map_or(&[], |at| table[at].1)
}

/// Every port that something belongs on: whether it is one of UDP, its number, and what.
pub fn registrations() -> impl Iterator<Item = (bool, u16, &'static [Protocol])> {
    [(false, TCP), (true, UDP)]
        .into_iter()
        .flat_map(|(udp, table)| table.iter().map(move |(port, protocols)| (udp, *port, *protocols)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(TCP.is_sorted_by_key(|(port, _)| *port) && UDP.is_sorted_by_key(|(port, _)| *port));
        assert_eq!(registered(false, 8088), [Http, WebSocket]);
        assert_eq!(registered(true, 443), [Quic]);
        assert!(registered(false, 14146).is_empty());
    }
}
