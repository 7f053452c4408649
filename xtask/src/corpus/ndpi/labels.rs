//! What nDPI calls a flow, and what Dropgate calls the same.

/// A flow as a result file of `ndpiReader -v 2` has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Labelled {
    /// `TCP` or `UDP`.
    pub transport: String,
    /// Address and port of either end.
    pub ends: [(String, u16); 2],
    /// The protocol, and what is carried by it: `TLS.Google`.
    pub label: String,
    /// Told by what was said, and not by port or address alone.
    pub read: bool,
}

impl Labelled {
    /// Reads a line such as `1 TCP 10.0.0.1:1024 <-> 10.0.0.2:80 [proto: 7/HTTP][..][Confidence: DPI]..`, or
    /// `UDP [::1]:5353 -> ..`. `None`: it is none of a flow with ports.
    pub fn read(line: &str) -> Option<Self> {
        let (_, line) = line.trim_start().split_once('\t')?;
        let mut words = line.split_whitespace();
        let transport = words.next().filter(|word| matches!(*word, "TCP" | "UDP"))?.to_owned();
        let first = end(words.next()?)?;
        words.next().filter(|arrow| matches!(*arrow, "<->" | "->"))?;
        let second = end(words.next()?)?;
        let label = field(line, "[proto: ")?.rsplit_once('/')?.1.to_owned();
        let read = field(line, "[Confidence: ").is_some_and(|how| how.starts_with("DPI"));
        Some(Self { transport, ends: [first, second], label, read })
    }
}

fn end(text: &str) -> Option<(String, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    Some((address.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(name)?;
    Some(rest.split_once(']')?.0)
}

/// Names of Dropgate that mean the same as a label; the first one counts it. Empty: a protocol that is not on Dropgate's
/// list, or an application that does not say by which protocol it speaks.
pub fn ours(transport: &str, label: &str) -> &'static [&'static str] {
    // by UDP it is the datagram service, which carries no SMB but mailslots
    if transport == "UDP" && label.starts_with("NetBIOS") {
        return &[];
    }
    // `TLS.Google` is TLS; of `NetBIOS.SMBv1` the second part is on the list
    label.split('.').map(part).find(|names| !names.is_empty()).unwrap_or_default()
}

fn part(name: &str) -> &'static [&'static str] {
    match name {
        // a WebSocket begins as HTTP
        "HTTP" | "HTTP_Connect" | "HTTP_Proxy" => &["http", "websocket"],
        "HTTP2" => &["http2"],
        "WebSocket" => &["websocket"],
        "TLS" => &["tls"],
        // at once, or after STARTTLS
        "SMTPS" => &["tls", "smtp"],
        "IMAPS" => &["tls", "imap"],
        "POPS" | "POP3S" => &["tls", "pop3"],
        "FTPS" => &["tls", "ftp"],
        "LDAPS" => &["tls", "ldap"],
        "DTLS" => &["dtls"],
        "QUIC" => &["quic"],
        "SSH" => &["ssh"],
        "DNS" | "MDNS" | "LLMNR" => &["dns"],
        "SMTP" => &["smtp"],
        "IMAP" => &["imap"],
        "POP3" => &["pop3"],
        "FTP_CONTROL" => &["ftp"],
        "RDP" => &["rdp"],
        "SMBv1" | "SMBv23" => &["smb"],
        "LDAP" | "CLDAP" => &["ldap"],
        "Kerberos" => &["krb5"],
        "Redis" | "RESP" => &["redis"],
        "Memcached" => &["memcached"],
        "MySQL" => &["mysql"],
        "PostgreSQL" => &["pgsql"],
        "MSSQL-TDS" => &["mssql"],
        "MQTT" => &["mqtt"],
        "SIP" => &["sip"],
        "RTP" | "SRTP" | "RTCP" => &["rtp"],
        "STUN" => &["stun"],
        "NTP" => &["ntp"],
        "SNMP" => &["snmp"],
        "DHCP" | "DHCPV6" => &["dhcp"],
        "TFTP" => &["tftp"],
        "SOCKS" => &["socks"],
        "VNC" => &["rfb"],
        "Telnet" => &["telnet"],
        "IRC" => &["irc"],
        "WireGuard" => &["wireguard"],
        "OpenVPN" => &["openvpn"],
        "BitTorrent" => &["bittorrent"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_result_files() {
        let line =
            "\t1\tTCP 10.0.0.1:1024 <-> 10.0.0.2:80 [proto: 7.1/HTTP.Some][IP: 0/Unknown][Confidence: DPI][cat: Web/5]";
        let flow = Labelled::read(line).unwrap();
        assert_eq!(flow.ends, [("10.0.0.1".to_owned(), 1024), ("10.0.0.2".to_owned(), 80)]);
        assert_eq!((flow.label.as_str(), flow.read), ("HTTP.Some", true));
        let line = "\t2\tUDP [fe80::1]:546 -> [ff02::1:2]:547 [proto: 103/DHCPV6][Confidence: Match by port]";
        let flow = Labelled::read(line).unwrap();
        assert_eq!(flow.ends[1], ("ff02::1:2".to_owned(), 547));
        assert!(!flow.read);
        for line in ["", "JA3 Host Stats: ", "\t3\tICMP 10.0.0.1:0 -> 10.0.0.2:0 [proto: 81/ICMP]", "\t4\tTCP x <-> y"]
        {
            assert_eq!(Labelled::read(line), None, "{line}");
        }
    }

    #[test]
    fn the_protocol_counts_and_not_the_application() {
        assert_eq!(ours("TCP", "TLS.Google"), ["tls"]);
        assert_eq!(ours("TCP", "NetBIOS.SMBv1"), ["smb"]);
        assert!(ours("UDP", "NetBIOS.SMBv1").is_empty());
        assert!(ours("UDP", "SSDP").is_empty() && ours("TCP", "Unknown").is_empty());
    }
}
