//! What is in scope, as data: the lists that [`super::scope`] goes by. They name general things and never a test.

/// The version whose behaviour is Dropgate's: any release of 8.0.
pub const VERSION: [u32; 3] = [8, 0, u32::MAX];

/// Features of a build that Dropgate has.
pub const FEATURES: &[&str] = &["HAVE_JA3", "HAVE_JA4", "LIBNET1.1"];

/// An application protocol of the rule language and the event format.
pub struct Protocol {
    /// In rule headers, `app_proto` and `app-layer-event`.
    pub names: &'static [&'static str],
    /// Its event types.
    pub events: &'static [&'static str],
    /// How its keywords begin.
    pub keywords: &'static [&'static str],
    /// Dropgate parses it, so that tests of it are in scope.
    pub parsed: bool,
}

const fn protocol(
    parsed: bool,
    names: &'static [&'static str],
    events: &'static [&'static str],
    keywords: &'static [&'static str],
) -> Protocol {
    Protocol { names, events, keywords, parsed }
}

/// Every protocol that tests are about. A parser that is added is switched on here.
pub const PROTOCOLS: &[Protocol] = &[
    protocol(
        true,
        &["http", "http1", "http2", "http_any"],
        &["http"],
        &["http.", "http_", "http2.", "urilen", "uricontent"],
    ),
    protocol(true, &["websocket"], &["websocket"], &["websocket."]),
    protocol(true, &["tls", "ssl"], &["tls"], &["tls.", "tls_", "ssl_", "ja3", "ja4"]),
    protocol(true, &["dns", "mdns", "llmnr"], &["dns", "mdns", "llmnr"], &["dns.", "dns_", "mdns.", "llmnr."]),
    protocol(true, &["ssh"], &["ssh"], &["ssh.", "ssh_"]),
    protocol(true, &["smtp"], &["smtp", "email"], &["smtp.", "email.", "mime_"]),
    protocol(true, &["ftp", "ftp-data"], &["ftp", "ftp_data"], &["ftp.", "ftpdata_", "ftpbounce"]),
    protocol(true, &["quic"], &["quic"], &["quic."]),
    protocol(true, &["pop3"], &["pop3"], &["pop3."]),
    protocol(true, &["imap"], &["imap"], &["imap."]),
    protocol(true, &["mqtt"], &["mqtt"], &["mqtt."]),
    protocol(true, &["sip", "sdp"], &["sip", "sdp"], &["sip.", "sdp."]),
    protocol(true, &["krb5"], &["krb5"], &["krb5"]),
    protocol(true, &["snmp"], &["snmp"], &["snmp."]),
    protocol(true, &["ntp"], &["ntp"], &["ntp."]),
    protocol(true, &["dhcp"], &["dhcp"], &["dhcp."]),
    protocol(false, &["rfb"], &["rfb"], &["rfb."]),
    protocol(true, &["tftp"], &["tftp"], &["tftp."]),
    protocol(false, &["ldap"], &["ldap"], &["ldap."]),
    protocol(false, &["pgsql"], &["pgsql"], &["pgsql."]),
    protocol(false, &["mysql"], &["mysql"], &["mysql."]),
    protocol(false, &["smb"], &["smb"], &["smb."]),
    protocol(false, &["dcerpc"], &["dcerpc"], &["dcerpc.", "dce_"]),
    protocol(false, &["nfs", "rpc"], &["nfs", "rpc"], &["nfs"]),
    protocol(false, &["modbus"], &["modbus"], &["modbus"]),
    protocol(false, &["dnp3"], &["dnp3"], &["dnp3"]),
    protocol(false, &["enip"], &["enip"], &["enip", "cip_"]),
    protocol(false, &["ike", "ikev1", "ikev2"], &["ike"], &["ike."]),
    protocol(false, &["rdp"], &["rdp"], &["rdp."]),
    protocol(false, &["telnet"], &["telnet"], &[]),
    protocol(false, &["irc"], &["irc"], &[]),
    protocol(false, &["bittorrent-dht"], &["bittorrent_dht"], &["bittorrent"]),
    protocol(false, &["doh2"], &["doh2"], &[]),
    protocol(false, &["igmp"], &["igmp"], &["igmp"]),
    protocol(false, &["arp"], &["arp"], &["arp."]),
];

/// Protocols of rule headers below the application.
pub const TRANSPORTS: &[&str] = &[
    "tcp",
    "tcp-pkt",
    "tcp-stream",
    "udp",
    "icmp",
    "icmpv4",
    "icmpv6",
    "ip",
    "ipv4",
    "ip4",
    "ipv6",
    "ip6",
    "sctp",
    "pkthdr",
];

/// Actions of rules.
pub const ACTIONS: &[&str] = &["alert", "drop", "pass", "reject", "rejectsrc", "rejectdst", "rejectboth"];

/// Event types that belong to no single protocol.
pub const EVENTS: &[&str] = &["alert", "drop", "flow", "anomaly", "fileinfo"];

/// Keywords (`*` stands for any letters) of rules that are out of scope, and why.
pub const KEYWORDS: &[(&str, &str)] = &[
    ("lua*", "scripts in Lua"),
    ("frame", "frames"),
    ("config", "logging that rules switch"),
    ("iprep", "reputation lists"),
    ("datarep", "reputation lists"),
    ("geoip", "places of addresses"),
    ("filemagic", "libmagic"),
    ("file.magic", "libmagic"),
    ("replace", "packets that are rewritten"),
    ("app-layer-state", "states of transactions as a condition"),
    ("tls.store", "certificates kept on disk"),
    ("tls_store", "certificates kept on disk"),
];

/// Arguments of `dataset` that make it another thing.
pub const DATASETS: &[(&str, &str)] = &[("context_key", "datasets of JSON"), ("format", "datasets of JSON")];

/// Which values of a setting count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Whatever stands there.
    Set,
    /// It is given on the command line; files repeat the defaults.
    Argument,
    /// It is switched on.
    On,
    /// It is switched off.
    Off,
    /// Anything but these, which are what happens without it.
    Not(&'static [&'static str]),
    /// A smaller number, of bytes or of anything.
    Below(u64),
}

/// Settings (`*` stands for any letters) that put Suricata into a mode which Dropgate has no such thing as, and what that
/// mode is.
pub const MODES: &[(&str, When, &str)] = &[
    ("firewall*", When::Set, "Suricata's firewall mode"),
    ("multi-detect*", When::Set, "several tenants"),
    ("exception-policy", When::Not(&["auto", "ignore"]), "exception policies"),
    ("*-policy", When::Not(&["auto", "ignore"]), "exception policies"),
    ("reputation*", When::Set, "reputation lists"),
    ("geoip-database", When::Set, "places of addresses"),
    ("engine-analysis*", When::On, "reports about rules"),
    ("security.lua*", When::On, "scripts in Lua"),
    ("pcap-file.delete-when-done", When::Not(&["false", "no"]), "captures that are deleted"),
    ("stream.async-oneside", When::On, "one direction alone"),
    ("stream.reassembly.urgent*", When::Not(&["oob"]), "a choice of meanings for urgent data"),
    ("stream.drop-invalid", When::Off, "a choice for invalid segments"),
    ("decoder.recursion-level*", When::Off, "a choice of keys for tunnels"),
    ("decoder.ipv6.ipip*", When::Set, "a choice of keys for tunnels"),
    ("vlan.use-for-tracking", When::Off, "a choice of keys for VLANs"),
    ("flow-timeouts*", When::Argument, "other times than the default ones"),
    ("packet-alert-max", When::Set, "a limit of Suricata's queue"),
    ("detect.guess-applayer-tx", When::On, "transactions that are guessed"),
    ("detect.flowbits*", When::Set, "a limit of Suricata's rules"),
    ("*memcap", When::Below(1 << 20), "a limit of Suricata's memory"),
    ("*hash-size", When::Below(1 << 10), "a limit of Suricata's memory"),
    ("*max-tx", When::Below(1 << 8), "a limit of Suricata's memory"),
    ("*time-limit", When::Argument, "a limit in time"),
    ("*swf-decompression.enabled", When::On, "Flash files that are unpacked"),
    ("*lzma-enabled", When::On, "LZMA"),
    ("*encryption-handling", When::Not(&["default", "track-only", "bypass"]), "a choice for what is encrypted"),
    ("app-layer.protocols.dns.enabled", When::Off, "protocols that are switched off"),
    ("app-layer.protocols.ftp.enabled", When::Off, "protocols that are switched off"),
    ("app-layer.protocols.http.enabled", When::Off, "protocols that are switched off"),
    ("app-layer.protocols.http2.enabled", When::Off, "protocols that are switched off"),
    ("app-layer.protocols.quic.enabled", When::Off, "protocols that are switched off"),
    ("app-layer.protocols.smtp.enabled", When::Off, "protocols that are switched off"),
    ("app-layer.protocols.ssh.enabled", When::Off, "protocols that are switched off"),
    ("app-layer.protocols.tls.enabled", When::Off, "protocols that are switched off"),
    ("app-layer.protocols.websocket.enabled", When::Off, "protocols that are switched off"),
    ("app-layer.protocols.*.ja4-fingerprints", When::Off, "protocols that are switched off"),
];

/// Options of an output that add what Dropgate does not tell, if they are switched on.
pub const OPTIONS: &[(&str, &str)] = &[("xff.enabled", "addresses that proxies name")];

/// Outputs whose presence alone says what a test is about.
pub const OUTPUTS: &[(&str, &str)] = &[("lua", "scripts in Lua"), ("pcap-log", "captures that are written")];

/// Link types that are read: Ethernet, BSD's loopback, raw IP, Linux' cooked captures.
pub const LINK_TYPES: &[u32] = &[0, 1, 12, 14, 101, 108, 113, 228, 229, 276];

/// What wraps packets, none of which Dropgate unwraps: by ethertype,
pub const ETHERTYPES: &[(u16, &str)] = &[
    (0x6558, "Ethernet in another protocol"),
    (0x8847, "MPLS"),
    (0x8848, "MPLS"),
    (0x8863, "PPPoE"),
    (0x8864, "PPPoE"),
    (0x88e7, "provider backbone bridging"),
    (0x8926, "VN-Tag"),
    (0x893f, "E-Tag"),
    (0x894f, "NSH"),
    (0x8903, "Fabric Path"),
];

/// by IP protocol,
pub const IP_PROTOCOLS: &[(u8, &str)] = &[(4, "IP in IP"), (41, "IP in IP"), (47, "GRE")];

/// What UDP wraps.
pub struct Tunnel {
    /// As Suricata is set by default.
    pub port: u16,
    /// A byte of the datagram, and the values of it that the wrapping has.
    pub byte: (usize, &'static [u8]),
    pub name: &'static str,
}

/// and by port of UDP.
pub const TUNNELS: &[Tunnel] = &[
    Tunnel { port: 3544, byte: (0, &[0x60, 0x00]), name: "Teredo" },
    Tunnel { port: 4789, byte: (0, &[0x08]), name: "VXLAN" },
    Tunnel { port: 6081, byte: (2, &[0x65, 0x08, 0x86]), name: "GENEVE" },
];
