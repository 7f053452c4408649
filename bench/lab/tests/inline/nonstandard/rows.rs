//! The procedure examples of ATT&CK T1571 (Non-Standard Port), one line a port that an example names, and what is to become
//! of its traffic. Source of names, protocols and ports: ATT&CK T1571 description and procedure examples.
//!
//! Where an example names no protocol, binary messages that are nothing known stand for it, or, where it speaks of a
//! mismatch between port and protocol, some protocol that does not belong on the port. Where it names no port, or a random
//! one, the line says which was chosen.

use self::{Expected::*, Says::*};

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Says {
    /// A request by `curl`.
    Http,
    /// A request for a WebSocket by `curl`.
    WebSocket,
    /// A hello by `openssl s_client`.
    Tls,
    /// A record header of TLS, and no hello in it.
    FakeTls,
    /// `ssh`.
    Ssh,
    /// A connection request of RDP.
    Rdp,
    /// The greeting of a VNC server.
    Vnc,
    /// A length and bytes that look random.
    Binary,
    /// Bytes that look random from the first one on.
    Random,
    /// Lines of a protocol that nobody else has.
    Text,
    /// A stage of machine code, sent by the server.
    Shellcode,
    /// The same as [`Binary`], in a datagram.
    Datagram,
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// The port is not open.
    Denied,
    /// Identified as this, and cut.
    Mismatch(&'static str),
    /// Nothing known, and cut.
    Unknown,
    /// Registered for the port: it goes on.
    Allowed,
}

/// Who connects to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A host of the zone, to its server on the outside.
    Calls,
    /// Somebody on the outside, to a host of the zone.
    Listens,
}

/// A port of an example.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Campaign, group or software in ATT&CK.
    pub attack: &'static str,
    pub name: &'static str,
    pub role: Role,
    pub says: Says,
    pub port: u16,
    /// In a zone that reaches the ports it needs, and cannot be reached.
    pub narrow: Expected,
    /// In a zone where every port is open, both ways, to what is registered for it.
    pub open: Expected,
}

const fn calls(
    attack: &'static str,
    name: &'static str,
    says: Says,
    port: u16,
    narrow: Expected,
    open: Expected,
) -> Row {
    Row { attack, name, role: Role::Calls, says, port, narrow, open }
}

/// The narrow zone can never be reached.
const fn listens(attack: &'static str, name: &'static str, says: Says, port: u16, open: Expected) -> Row {
    Row { attack, name, role: Role::Listens, says, port, narrow: Denied, open }
}

/// Ports that the narrow zone reaches, and what is expected there in either zone. On other ports of the table nothing is,
/// but for those in [`REGISTERED`].
pub const NEEDED: &[(u16, &[&str])] = &[
    (22, &["ssh"]),
    (25, &["smtp"]),
    (53, &["dns"]),
    (80, &["http", "http2", "websocket"]),
    (143, &["imap"]),
    (443, &["tls"]),
    (587, &["smtp"]),
    (995, &["tls"]),
    (8000, &["http", "websocket"]),
    (8080, &["http", "http2", "websocket"]),
    (8088, &["http", "websocket"]),
    (8443, &["tls"]),
];

/// Those of them for which nothing is registered: the open zone expects nothing there.
pub const NAMED_ALONE: &[u16] = &[8443];

/// Other ports of the table for which something is registered.
pub const REGISTERED: &[(u16, &[&str])] = &[(110, &["pop3"])];

pub const ROWS: &[Row] = &[
    calls("T1571", "its description: APT33", Tls, 8088, Mismatch("tls"), Mismatch("tls")),
    calls("T1571", "its description: Agent Tesla", Tls, 587, Mismatch("tls"), Mismatch("tls")),
    calls("C0014", "Operation Wocao", Binary, 25667, Denied, Unknown),
    calls("C0014", "Operation Wocao", Random, 47000, Denied, Unknown),
    listens("C0018", "C0018", Rdp, 28035, Mismatch("rdp")),
    listens("C0018", "C0018", Rdp, 32467, Mismatch("rdp")),
    listens("C0018", "C0018", Rdp, 41578, Mismatch("rdp")),
    listens("C0018", "C0018", Rdp, 46892, Mismatch("rdp")),
    calls("C0032", "C0032", Ssh, 443, Mismatch("ssh"), Mismatch("ssh")),
    calls("C0032", "C0032", Tls, 4444, Denied, Mismatch("tls")),
    calls("C0032", "C0032", Http, 8531, Denied, Mismatch("http")),
    calls("C0032", "C0032", Ssh, 50501, Denied, Mismatch("ssh")),
    // A random port above 30000: this one was chosen.
    listens("C0035", "KV Botnet Activity", Random, 30123, Unknown),
    calls("C0043", "Indian Critical Infrastructure Intrusions", Http, 8080, Allowed, Allowed),
    calls("C0055", "Quad7 Activity", Binary, 7777, Denied, Unknown),
    calls("C0055", "Quad7 Activity", Random, 11288, Denied, Unknown),
    calls("C0055", "Quad7 Activity", Binary, 63256, Denied, Unknown),
    calls("C0055", "Quad7 Activity", Random, 63210, Denied, Unknown),
    calls("C0055", "Quad7 Activity", Binary, 3256, Denied, Unknown),
    calls("C0055", "Quad7 Activity", Text, 3556, Denied, Unknown),
    listens("C0056", "RedPenguin", Binary, 45678, Unknown),
    // From a list of ports that the example does not give: one of another well-known service was chosen.
    calls("G0032", "Lazarus Group", FakeTls, 110, Denied, Mismatch("fake-tls")),
    listens("G0034", "Sandworm Team", Ssh, 6789, Mismatch("ssh")),
    calls("G0046", "FIN7", Tls, 53, Mismatch("tls"), Mismatch("tls")),
    calls("G0046", "FIN7", Tls, 80, Mismatch("tls"), Mismatch("tls")),
    calls("G0046", "FIN7", Http, 443, Mismatch("http"), Mismatch("http")),
    calls("G0046", "FIN7", Ssh, 8080, Mismatch("ssh"), Mismatch("ssh")),
    listens("G0046", "FIN7", Random, 59999, Unknown),
    listens("G0046", "FIN7", Binary, 9898, Unknown),
    calls("G0047", "Gamaredon Group", Text, 6856, Denied, Unknown),
    calls("G0050", "APT32", Http, 14146, Denied, Mismatch("http")),
    calls("G0059", "Magic Hound", Http, 4443, Denied, Mismatch("http")),
    calls("G0059", "Magic Hound", Http, 10151, Denied, Mismatch("http")),
    calls("G0064", "APT33", Http, 808, Denied, Mismatch("http")),
    calls("G0064", "APT33", Http, 880, Denied, Mismatch("http")),
    calls("G0090", "WIRTE", Tls, 2083, Denied, Mismatch("tls")),
    calls("G0090", "WIRTE", Tls, 2087, Denied, Mismatch("tls")),
    calls("G0091", "Silence", Binary, 444, Denied, Unknown),
    calls("G0099", "APT-C-36", Random, 4050, Denied, Unknown),
    listens("G0105", "DarkVishnya", Shellcode, 5190, Unknown),
    listens("G0105", "DarkVishnya", Shellcode, 7900, Unknown),
    calls("G0105", "DarkVishnya", Shellcode, 4444, Denied, Unknown),
    calls("G0105", "DarkVishnya", Shellcode, 4445, Denied, Unknown),
    calls("G0105", "DarkVishnya", Shellcode, 31337, Denied, Unknown),
    calls("G0106", "Rocke", Text, 51640, Denied, Unknown),
    // Various ports, none of them named: this one was chosen.
    calls("G1003", "Ember Bear", Random, 8888, Denied, Unknown),
    calls("G1042", "RedEcho", Http, 8080, Allowed, Allowed),
    // A random high port: this one was chosen.
    listens("G1047", "Velvet Ant", Random, 49731, Unknown),
    calls("G1052", "Contagious Interview", Binary, 1224, Denied, Unknown),
    // A random high port: this one was chosen.
    listens("S0013", "PlugX", Random, 60417, Unknown),
    calls("S0021", "Derusbi", Http, 443, Mismatch("http"), Mismatch("http")),
    calls("S0148", "RTM", Vnc, 44443, Denied, Mismatch("rfb")),
    calls("S0149", "MoonWind", Binary, 80, Unknown, Unknown),
    calls("S0149", "MoonWind", Binary, 443, Unknown, Unknown),
    calls("S0149", "MoonWind", Random, 53, Unknown, Unknown),
    calls("S0149", "MoonWind", Random, 8080, Unknown, Unknown),
    calls("S0153", "RedLeaves", Http, 995, Mismatch("http"), Mismatch("http")),
    calls("S0237", "GravityRAT", Http, 46769, Denied, Mismatch("http")),
    listens("S0239", "Bankshot", Http, 1058, Mismatch("http")),
    calls("S0245", "BADCALL", FakeTls, 443, Mismatch("fake-tls"), Mismatch("fake-tls")),
    calls("S0245", "BADCALL", FakeTls, 8000, Mismatch("fake-tls"), Mismatch("fake-tls")),
    listens("S0246", "HARDRAIN", FakeTls, 443, Mismatch("fake-tls")),
    calls("S0262", "QuasarRAT", Binary, 4782, Denied, Unknown),
    calls("S0263", "TYPEFRAME", FakeTls, 443, Mismatch("fake-tls"), Mismatch("fake-tls")),
    calls("S0263", "TYPEFRAME", FakeTls, 8080, Mismatch("fake-tls"), Mismatch("fake-tls")),
    calls("S0263", "TYPEFRAME", FakeTls, 8443, Mismatch("fake-tls"), Mismatch("fake-tls")),
    calls("S0266", "TrickBot", Http, 447, Denied, Mismatch("http")),
    calls("S0266", "TrickBot", Http, 8082, Denied, Mismatch("http")),
    calls("S0266", "TrickBot", Text, 443, Unknown, Unknown),
    calls("S0352", "OSX_OCEANLOTUS.D", Binary, 443, Unknown, Unknown),
    calls("S0367", "Emotet", Http, 20, Denied, Mismatch("http")),
    calls("S0367", "Emotet", Http, 22, Mismatch("http"), Mismatch("http")),
    calls("S0367", "Emotet", Http, 443, Mismatch("http"), Mismatch("http")),
    calls("S0367", "Emotet", Http, 7080, Denied, Mismatch("http")),
    calls("S0367", "Emotet", Http, 50000, Denied, Mismatch("http")),
    calls("S0376", "HOPLIGHT", FakeTls, 443, Mismatch("fake-tls"), Mismatch("fake-tls")),
    calls("S0385", "njRAT", Http, 1177, Denied, Mismatch("http")),
    calls("S0412", "ZxShell", Http, 1985, Denied, Mismatch("http")),
    calls("S0412", "ZxShell", Tls, 1986, Denied, Mismatch("tls")),
    calls("S0428", "PoetRAT", Tls, 143, Mismatch("tls"), Mismatch("tls")),
    calls("S0455", "Metamorfo", Text, 9999, Denied, Unknown),
    calls("S0491", "StrongPity", Tls, 1402, Denied, Mismatch("tls")),
    calls("S0493", "GoldenSpy", Http, 9005, Denied, Mismatch("http")),
    calls("S0493", "GoldenSpy", Http, 9006, Denied, Mismatch("http")),
    calls("S0493", "GoldenSpy", Http, 8090, Denied, Mismatch("http")),
    calls("S0493", "GoldenSpy", Binary, 9002, Denied, Unknown),
    // A WebSocket starts as HTTP, and does not come further.
    calls("S0493", "GoldenSpy", WebSocket, 33666, Denied, Mismatch("http")),
    calls("S0515", "WellMail", Tls, 25, Mismatch("tls"), Mismatch("tls")),
    calls("S0574", "BendyBear", Random, 443, Unknown, Unknown),
    // No port is named: one that neither HTTP nor anything over TLS is registered for was chosen.
    calls("S0687", "Cyclops Blink", Tls, 994, Denied, Mismatch("tls")),
    calls("S1016", "MacMa", Binary, 5633, Denied, Unknown),
    calls("S1031", "PingPull", Tls, 8080, Mismatch("tls"), Mismatch("tls")),
    calls("S1049", "SUGARUSH", Binary, 4585, Denied, Unknown),
    calls("S1078", "RotaJakiro", Random, 443, Unknown, Unknown),
    calls("S1085", "Sardonic", Binary, 443, Unknown, Unknown),
    calls("S1130", "Raspberry Robin", Http, 8080, Allowed, Allowed),
    calls("S1145", "Pikabot", Tls, 2967, Denied, Mismatch("tls")),
    calls("S1145", "Pikabot", Tls, 2223, Denied, Mismatch("tls")),
    // Its ports are configured, and none is named: this one was chosen.
    calls("S1155", "Covenant", Tls, 7443, Denied, Mismatch("tls")),
    listens("S1211", "Hannotog", Datagram, 5900, Unknown),
    listens("S1217", "VIRTUALPITA", Binary, 2233, Unknown),
    listens("S1217", "VIRTUALPITA", Random, 7475, Unknown),
    listens("S1217", "VIRTUALPITA", Binary, 18098, Unknown),
    listens("S1218", "VIRTUALPIE", Binary, 546, Unknown),
    calls("S1245", "InvisibleFerret", Http, 1224, Denied, Mismatch("http")),
    calls("S1245", "InvisibleFerret", Http, 2245, Denied, Mismatch("http")),
    calls("S1245", "InvisibleFerret", Http, 8637, Denied, Mismatch("http")),
    calls("S1246", "BeaverTail", Binary, 1224, Denied, Unknown),
    calls("S1246", "BeaverTail", Random, 1244, Denied, Unknown),
];
