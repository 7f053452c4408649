//! Application protocols as rules name them.

macro_rules! protocols {
    ($($variant:ident $name:literal $(or $alias:literal)*),+ $(,)?) => {
        /// An application protocol, by Suricata's name for it.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub enum App {
            $(#[doc = $name] $variant,)+
            /// `unknown`: not known yet.
            #[default]
            Unknown,
        }

        impl App {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+ Self::Unknown];

            /// Its name in rules.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Unknown => "unknown",
                }
            }

            /// Its name in events: both versions of HTTP that rules tell apart have one.
            pub const fn told(self) -> &'static str {
                match self {
                    Self::Http1 => Self::Http.name(),
                    app => app.name(),
                }
            }

            /// The protocol of a name in a rule. [`App::Http`] is both versions of HTTP.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name $(| $alias)* => Some(Self::$variant),)+
                    "unknown" => Some(Self::Unknown),
                    _ => None,
                }
            }
        }
    };
}

protocols! {
    Http "http",
    Http1 "http1",
    Http2 "http2",
    Doh2 "doh2",
    Tls "tls" or "ssl",
    Ssh "ssh",
    Dns "dns",
    Mdns "mdns",
    Llmnr "llmnr",
    Smtp "smtp",
    Imap "imap",
    Pop3 "pop3",
    Ftp "ftp",
    FtpData "ftp-data",
    Smb "smb",
    Dcerpc "dcerpc",
    Nfs "nfs",
    Tftp "tftp",
    Krb5 "krb5",
    Ntp "ntp",
    Dhcp "dhcp",
    Snmp "snmp",
    Sip "sip",
    Sdp "sdp",
    Rdp "rdp",
    Rfb "rfb",
    Telnet "telnet",
    Websocket "websocket",
    Mqtt "mqtt",
    Pgsql "pgsql",
    Mysql "mysql",
    Ldap "ldap",
    Ike "ike" or "ikev2",
    Quic "quic",
    Modbus "modbus",
    Dnp3 "dnp3",
    Enip "enip",
    BittorrentDht "bittorrent-dht",
    Bittorrent "bittorrent",
    Irc "irc",
    Redis "redis",
    Memcached "memcached",
    Socks "socks",
    Stun "stun",
    Rtp "rtp",
    Dtls "dtls",
    Wireguard "wireguard",
    Openvpn "openvpn",
    Mssql "mssql",
    Failed "failed",
}

impl App {
    /// Whether what is said in it is read here. Others are told apart at most: what only a parser tells is never known of them.
    pub const fn is_read(self) -> bool {
        matches!(
            self,
            Self::Http
                | Self::Http1
                | Self::Http2
                | Self::Doh2
                | Self::Tls
                | Self::Dns
                | Self::Mdns
                | Self::Llmnr
                | Self::Ssh
                | Self::Smtp
                | Self::Ftp
                | Self::FtpData
                | Self::Pop3
                | Self::Websocket
                | Self::Quic
                | Self::Mqtt
                | Self::Sip
                | Self::Krb5
                | Self::Snmp
                | Self::Ntp
                | Self::Dhcp
                | Self::Rfb
                | Self::Ldap
        )
    }
}
