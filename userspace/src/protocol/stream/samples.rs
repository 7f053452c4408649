//! What each protocol says first, made by hand from its specification.

use std::ops::Range;

use crate::protocol::{
    Direction::{self, ToClient, ToServer},
    Protocol,
};

/// A conversation's start.
pub struct Sample {
    pub name: &'static str,
    pub protocol: Protocol,
    /// Who said what, in order.
    pub turns: Vec<(Direction, Vec<u8>)>,
    /// Bytes of the first turn of which each bit matters.
    pub magic: Range<usize>,
}

fn sample(name: &'static str, protocol: Protocol, turns: &[(Direction, &[u8])], magic: Range<usize>) -> Sample {
    let turns = turns.iter().map(|(direction, bytes)| (*direction, bytes.to_vec())).collect();
    Sample { name, protocol, turns, magic }
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A ClientHello without its record header.
pub fn client_hello() -> Vec<u8> {
    let name = b"gateway.example";
    let mut sni =
        join(&[&[0, 0, 0], &[name.len() as u8 + 5], &[0], &[name.len() as u8 + 3], &[0, 0], &[name.len() as u8], name]);
    sni[4] = 0;
    let versions = [0, 43, 0, 3, 2, 3, 4];
    let extensions = join(&[&sni, &versions, &[0, 23, 0, 0]]);
    let body = join(&[
        &[3, 3],
        &[0x5a; 32],
        &[32],
        &[0xa5; 32],
        &[0, 4, 0x13, 1, 0x13, 2],
        &[1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ]);
    join(&[&[1], &(body.len() as u32).to_be_bytes()[1..], &body])
}

fn server_hello() -> Vec<u8> {
    let body = join(&[&[3, 3], &[0x77; 32], &[0], &[0x13, 1], &[0], &[0, 6, 0, 43, 0, 2, 3, 4]]);
    join(&[&[2], &(body.len() as u32).to_be_bytes()[1..], &body])
}

/// In records of at most so many bytes.
pub fn records(handshake: &[u8], most: usize) -> Vec<u8> {
    handshake.chunks(most).flat_map(|part| join(&[&[22, 3, 1], &(part.len() as u16).to_be_bytes(), part])).collect()
}

fn dns(flags: u16, answers: u16) -> Vec<u8> {
    let message = join(&[
        &[0x12, 0x34],
        &flags.to_be_bytes(),
        &[0, 1],
        &answers.to_be_bytes(),
        &[0, 0, 0, 0],
        b"\x07example\x03com\x00",
        &[0, 1, 0, 1],
        if answers > 0 { &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1] } else { &[] },
    ]);
    join(&[&(message.len() as u16).to_be_bytes(), &message])
}

fn kerberos(kind: u8, first: u8) -> Vec<u8> {
    let fields = join(&[&[0xa0 + first, 3, 2, 1, 5, 0xa1 + first, 3, 2, 1, kind], &[0xa4, 0x81, 0x80], &[0; 128]]);
    let sequence = join(&[&[0x30, 0x81, fields.len() as u8], &fields]);
    let message = join(&[&[0x60 + kind, 0x81, sequence.len() as u8], &sequence]);
    join(&[&(message.len() as u32).to_be_bytes(), &message])
}

fn openvpn(code: usize, crypt: bool) -> Vec<u8> {
    let head = join(&[&[0x38], &[0x42; 8]]);
    let replay = [0, 0, 0, 1, 0x60, 0, 0, 0];
    let message = match (code, crypt) {
        (0, _) => join(&[&head, &[0; 5]]),
        (_, false) => join(&[&head, &vec![0x99; code], &replay, &[0; 5]]),
        (_, true) => join(&[&head, &replay, &vec![0x99; code], &[0x31; 5]]),
    };
    join(&[&(message.len() as u16).to_be_bytes(), &message])
}

const UPGRADE: &[u8] = b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const GREETING_MYSQL: &[u8] =
    b"\x4a\0\0\0\x0a8.0.36\0\x0b\0\0\0saltsalt\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0\
    moresaltmore\0caching_sha2_pw\0";
const PRELOGIN: &[u8] =
    &[18, 1, 0, 29, 0, 0, 0, 0, 0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// All of them.
pub fn samples() -> Vec<Sample> {
    use Protocol as P;
    let sip = b"OPTIONS sip:carol@example.com SIP/2.0\r\nVia: SIP/2.0/TCP host\r\n";
    // a voice, 20 ms each
    let calls: Vec<u8> = (1..=3u8)
        .flat_map(|at| join(&[&[0, 32, 0x80, 8, 0x61, at], &[0, 0, 0, at * 80], b"\x0a\x0b\x0c\x0d", &[0xd5; 20]]))
        .collect();
    let rdp = b"\x03\0\0\x2b\x26\xe0\0\0\0\0\0Cookie: mstshash=someone\r\n\x01\0\x08\0\x03\0\0\0";
    let smb1 = join(&[&[0, 0, 0, 47, 0xff], b"SMB\x72", &[0; 42]]);
    let smb3 = join(&[&[0, 0, 0, 102, 0xfd], b"SMB", &[0x5a; 98]]);
    let smb2 = join(&[&[0, 0, 0, 102, 0xfe], b"SMB", &[64, 0], &[0; 96]]);
    let session = join(&[&[0x81, 0, 0, 68, 32], &[b'C'; 32], &[0, 32], &[b'A'; 32], &[0]]);
    let bind = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0";
    let search = b"\x30\x25\x02\x01\x01\x63\x20\x04\0\x0a\x01\0\x0a\x01\0\x02\x01\0\x02\x01\0\x01\x01\0\x87\x0bobjectClass\x30\0";
    let start_tls = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
    let startup = b"\0\0\0\x16\0\x03\0\0user\0postgres\0\0";
    let login_mysql = join(&[&[40, 0, 0, 1], &[0x85, 0xa6, 0xff, 1], &[0, 0, 0, 1, 33], &[0; 23], b"root\0\0\0\0"]);
    let mqtt = b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04unit";
    let mqtt3 = b"\x10\x12\0\x06MQIsdp\x03\x02\0\x3c\0\x04unit";
    let memcached = join(&[&[0x80, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3], &[0; 12], b"key"]);
    let ssl2 = join(&[&[0x80, 46, 1, 3, 1, 0, 21, 0, 0, 0, 16], &[0, 0, 4].repeat(7), &[0x33; 16]]);
    let stun = join(&[&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42], &[7; 12]]);
    let handshake = join(&[b"\x13BitTorrent protocol", &[0; 8], &[0x31; 40]]);
    vec![
        sample("GET", P::Http, &[(ToServer, b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")], 6..11),
        sample("a method of its own", P::Http, &[(ToServer, b"BREW pot-1 HTTP/1.1\r\nHost: a\r\n\r\n")], 11..16),
        sample("CONNECT", P::Http, &[(ToServer, b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n")], 24..29),
        sample("spaces in the target", P::Http, &[(ToServer, b"GET /?q=1 or 1 HTTP/1.0\r\n\r\n")], 15..20),
        sample("version 0.9", P::Http, &[(ToServer, b"GET /index.html\r\n")], 3..4),
        sample("many spaces", P::Http, &[(ToServer, b"GET        /a HTTP/1.1\r\n")], 14..19),
        sample("response", P::Http, &[(ToClient, b"HTTP/1.1 200 OK\r\n\r\n")], 0..5),
        sample(
            "refused upgrade",
            P::Http,
            &[(ToServer, UPGRADE), (ToClient, b"HTTP/1.1 403 Forbidden\r\n\r\n")],
            10..15,
        ),
        sample(
            "upgrade",
            P::WebSocket,
            &[(ToServer, UPGRADE), (ToClient, b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello")],
            10..18,
        ),
        sample("preface", P::Http2, &[(ToServer, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")], 15..24),
        sample("settings", P::Http2, &[(ToClient, b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64")], 3..9),
        sample("hello", P::Tls, &[(ToServer, &records(&client_hello(), 4096))], 0..2),
        sample("hello in two records", P::Tls, &[(ToServer, &records(&client_hello(), 60))], 0..2),
        sample("hello in records of a byte", P::Tls, &[(ToServer, &records(&client_hello(), 1))], 0..2),
        sample("server's hello", P::Tls, &[(ToClient, &records(&server_hello(), 4096))], 0..2),
        sample("alert", P::Tls, &[(ToClient, &[21, 3, 1, 0, 2, 2, 40])], 0..2),
        sample("hello of SSL 2", P::Tls, &[(ToServer, &ssl2)], 0..3),
        sample("something in a handshake record", P::FakeTls, &[(ToServer, &[22, 3, 1, 0, 200, 9, 9, 9, 9, 9])], 1..2),
        sample("application data at once", P::FakeTls, &[(ToServer, &[23, 3, 3, 0, 32, 1, 2, 3, 4])], 1..2),
        sample("banner", P::Ssh, &[(ToClient, b"SSH-2.0-OpenSSH_9.6\r\n")], 0..4),
        sample("client's banner", P::Ssh, &[(ToServer, b"SSH-2.0-Go\r\n")], 0..4),
        sample("query", P::Dns, &[(ToServer, &dns(0x0100, 0))], 6..8),
        sample("encrypted", P::Smb, &[(ToServer, &smb3)], 5..8),
        sample("unbind", P::Ldap, &[(ToServer, b"\x30\x05\x02\x01\x03\x42\x00")], 0..3),
        sample(
            "STARTTLS",
            P::Irc,
            &[(ToServer, b"STARTTLS\r\n"), (ToClient, b":irc.example.org 670 * :go ahead with TLS\r\n")],
            8..9,
        ),
        sample("in frames", P::Rtp, &[(ToServer, &calls)], 2..3),
        sample("response", P::Dns, &[(ToClient, &dns(0x8180, 1))], 6..8),
        sample("greeting", P::Smtp, &[(ToClient, b"220 mail.example.com ESMTP ready\r\n")], 0..3),
        sample(
            "greeting that does not tell",
            P::Smtp,
            &[(ToClient, b"220-mail.example.com\r\n220 welcome\r\n"), (ToServer, b"ehlo client.example\r\n")],
            0..3,
        ),
        sample("greeting", P::Ftp, &[(ToClient, b"220-Hello\r\n220 ProFTPD Server\r\n")], 0..3),
        sample(
            "greeting that does not tell",
            P::Ftp,
            &[(ToClient, b"220 welcome\r\n"), (ToServer, b"AUTH TLS\r\n"), (ToClient, b"234 go\r\n")],
            0..3,
        ),
        sample("user", P::Ftp, &[(ToClient, b"220 welcome\r\n"), (ToServer, b"USER anonymous\r\n")], 0..3),
        sample("greeting", P::Imap, &[(ToClient, b"* OK [CAPABILITY IMAP4rev1] ready\r\n")], 0..2),
        sample("login", P::Imap, &[(ToServer, b"a001 LOGIN user secret\r\n")], 4..5),
        sample("greeting", P::Pop3, &[(ToClient, b"+OK POP3 ready <1.2@example.com>\r\n")], 0..3),
        sample("bare greeting", P::Pop3, &[(ToClient, b"+OK\r\n"), (ToServer, b"USER someone\r\n")], 0..3),
        sample("request with cookie", P::Rdp, &[(ToServer, rdp)], 0..8),
        sample("request", P::Rdp, &[(ToServer, b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x0b\0\0\0")], 0..8),
        sample("confirm", P::Rdp, &[(ToClient, b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\x1f\x08\0\x02\0\0\0")], 0..6),
        sample("version 1", P::Smb, &[(ToServer, &smb1)], 5..8),
        sample("version 2", P::Smb, &[(ToServer, &smb2)], 5..8),
        sample("session over NetBIOS", P::Smb, &[(ToServer, &session), (ToClient, &[0x82, 0, 0, 0])], 0..5),
        sample("bind", P::Ldap, &[(ToServer, bind)], 0..1),
        sample("search", P::Ldap, &[(ToServer, search)], 0..1),
        sample("add", P::Ldap, &[(ToServer, b"\x30\x0c\x02\x01\x01\x68\x07\x04\x03o=a\x30\0")], 0..1),
        sample("start of TLS", P::Ldap, &[(ToServer, start_tls)], 0..1),
        sample("bind response", P::Ldap, &[(ToClient, b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\0\x04\0\x04\0")], 0..1),
        sample("AS-REQ", P::Kerberos, &[(ToServer, &kerberos(10, 1))], 0..20),
        sample("KRB-ERROR", P::Kerberos, &[(ToClient, &kerberos(30, 0))], 0..20),
        sample("command", P::Redis, &[(ToServer, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")], 0..1),
        sample("inline ping", P::Redis, &[(ToServer, b"PING\r\n"), (ToClient, b"+PONG\r\n")], 4..5),
        sample("inline config", P::Redis, &[(ToServer, b"CONFIG SET maxmemory 1\r\n")], 6..7),
        sample("inline publish", P::Redis, &[(ToServer, b"PUBLISH a \"b c\"\r\n"), (ToClient, b":1\r\n")], 7..8),
        sample("inline auth", P::Redis, &[(ToServer, b"AUTH secret\r\n"), (ToClient, b"+OK\r\n")], 4..5),
        sample("set", P::Memcached, &[(ToServer, b"set key 0 60 5\r\nvalue\r\n")], 3..4),
        sample("get", P::Memcached, &[(ToServer, b"get key\r\n"), (ToClient, b"VALUE key 0 5\r\nvalue\r\n")], 3..4),
        sample("binary", P::Memcached, &[(ToServer, &memcached)], 0..1),
        sample("greeting", P::Mysql, &[(ToClient, GREETING_MYSQL)], 2..5),
        sample("refusal", P::Mysql, &[(ToClient, b"\x1f\0\0\0\xff\x6a\x04Host '192.0.2.1' is blocked")], 2..5),
        sample("login", P::Mysql, &[(ToServer, &login_mysql)], 2..4),
        sample("request for TLS", P::Postgresql, &[(ToServer, &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f])], 0..7),
        sample("startup", P::Postgresql, &[(ToServer, startup)], 4..6),
        sample("pre-login", P::Mssql, &[(ToServer, PRELOGIN)], 7..9),
        sample("version 3.1.1", P::Mqtt, &[(ToServer, mqtt)], 2..8),
        sample("version 3.1", P::Mqtt, &[(ToServer, mqtt3)], 2..10),
        sample("request", P::Sip, &[(ToServer, sip)], 29..37),
        sample("response", P::Sip, &[(ToClient, b"SIP/2.0 200 OK\r\n")], 0..8),
        sample("binding request", P::Stun, &[(ToServer, &stun)], 4..8),
        sample("in a frame", P::Stun, &[(ToServer, &join(&[&[0, 20], &stun]))], 6..10),
        sample("version 5", P::Socks, &[(ToServer, &[5, 1, 0]), (ToClient, &[5, 0])], 0..1),
        sample(
            "version 4",
            P::Socks,
            &[(ToServer, &[4, 1, 0, 80, 192, 0, 2, 1, 0]), (ToClient, &[0, 0x5a, 0, 0, 0, 0, 0, 0])],
            0..1,
        ),
        sample("greeting", P::Vnc, &[(ToClient, b"RFB 003.008\n")], 0..4),
        sample(
            "negotiation",
            P::Telnet,
            &[(ToClient, &[255, 253, 24, 255, 253, 32]), (ToServer, &[255, 251, 24])],
            0..1,
        ),
        sample(
            "text before negotiation",
            P::Telnet,
            &[(ToClient, b"Welcome\r\n\xff\xfd\x18\xff\xfb\x01"), (ToServer, &[255, 251, 24])],
            9..10,
        ),
        sample("nick", P::Irc, &[(ToServer, b"NICK someone\r\nUSER a 0 * :A Name\r\n")], 4..5),
        sample("user first", P::Irc, &[(ToServer, b"USER a 0 * :A Name\r\nNICK someone\r\n")], 4..5),
        sample("short user", P::Irc, &[(ToServer, b"USER a\r\nNICK someone\r\n")], 4..5),
        sample("notice", P::Irc, &[(ToClient, b":irc.example.com NOTICE * :*** Looking up\r\n")], 0..1),
        sample("plain", P::Openvpn, &[(ToServer, &openvpn(0, false))], 11..16),
        sample("tls-auth", P::Openvpn, &[(ToServer, &openvpn(20, false))], 31..35),
        sample("tls-crypt", P::Openvpn, &[(ToServer, &openvpn(32, true))], 2..3),
        sample("handshake", P::Bittorrent, &[(ToServer, &handshake)], 0..20),
    ]
}
