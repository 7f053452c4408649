//! Captures of control channels and of the flows that they announce.

use crate::{
    captures::segment,
    packets::{ACK, FIN, Ip, PSH, SYN, TCP, UDP, udp},
    pcap::{ETHERNET, every_ms, pcap},
};

const CLIENT: &str = "10.10.0.5";
const SERVER: &str = "198.51.100.7";

/// A TCP connection, from its handshake on, whose frames go to `frames`.
pub struct Connection {
    there: Ip,
    back: Ip,
    ports: (u16, u16),
    /// Next number of each side.
    next: (u32, u32),
}

impl Connection {
    pub fn open(client: &str, server: &str, ports: (u16, u16), frames: &mut Vec<Vec<u8>>) -> Self {
        let next = (101, 501);
        let new = Self { there: Ip::from(client, server), back: Ip::from(server, client), ports, next };
        let turned = (ports.1, ports.0);
        frames.extend([
            new.there.frame(&[], TCP, &segment(ports, SYN, (100, 0), b"")),
            new.back.frame(&[], TCP, &segment(turned, SYN | ACK, (500, 101), b"")),
            new.there.frame(&[], TCP, &segment(ports, ACK, next, b"")),
        ]);
        new
    }

    pub fn client(&mut self, said: impl AsRef<[u8]>, frames: &mut Vec<Vec<u8>>) {
        let said = said.as_ref();
        frames.push(self.there.frame(&[], TCP, &segment(self.ports, PSH | ACK, self.next, said)));
        self.next.0 += said.len() as u32;
    }

    pub fn server(&mut self, said: impl AsRef<[u8]>, frames: &mut Vec<Vec<u8>>) {
        let said = said.as_ref();
        let (ports, numbers) = ((self.ports.1, self.ports.0), (self.next.1, self.next.0));
        frames.push(self.back.frame(&[], TCP, &segment(ports, PSH | ACK, numbers, said)));
        self.next.1 += said.len() as u32;
    }

    pub fn end(self, frames: &mut Vec<Vec<u8>>) {
        frames.push(self.there.frame(&[], TCP, &segment(self.ports, FIN | ACK, self.next, b"")));
    }
}

/// A conversation with a web server, of which rules have something to say, and a look-up of a name.
pub fn web() -> Vec<u8> {
    let mut frames = Vec::new();
    let mut web = Connection::open(CLIENT, SERVER, (40_000, 80), &mut frames);
    let answer = "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\nok";
    for method in ["GET", "DELETE"] {
        web.client(format!("{method} /admin HTTP/1.1\r\nHost: a.example\r\n\r\n"), &mut frames);
        web.server(answer, &mut frames);
    }
    web.end(&mut frames);
    let query = b"\x13\x57\x01\0\0\x01\0\0\0\0\0\0\x03www\x04Evil\x07example\0\0\x01\0\x01";
    frames.push(Ip::from(CLIENT, SERVER).frame(&[], UDP, &udp(40_001, 53, query)));
    pcap(ETHERNET, &every_ms(frames))
}

fn file(client: &str, server: &str, ports: (u16, u16), frames: &mut Vec<Vec<u8>>) {
    let mut data = Connection::open(client, server, ports, frames);
    data.server("a file\n", frames);
    data.end(frames);
}

/// FTP between two hosts, its data passive, then active; and connections that nobody announced.
fn transfers(client: &str, server: &str) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut control = Connection::open(client, server, (40_000, 21), &mut frames);
    for (asks, answers) in
        [("", "220 ready\r\n"), ("USER anonymous\r\n", "331 password\r\n"), ("PASS -\r\n", "230 in\r\n")]
    {
        if !asks.is_empty() {
            control.client(asks, &mut frames);
        }
        control.server(answers, &mut frames);
    }
    control.client("PASV\r\n", &mut frames);
    control.server("227 Entering Passive Mode (198,51,100,7,195,80).\r\n", &mut frames);
    control.client("RETR a\r\n", &mut frames);
    // another port than the one announced, that one, and that one again
    frames.push(Ip::from(client, server).frame(&[], TCP, &segment((40_001, 50_001), SYN, (100, 0), b"")));
    file(client, server, (40_001, 50_000), &mut frames);
    frames.push(Ip::from(client, server).frame(&[], TCP, &segment((40_002, 50_000), SYN, (100, 0), b"")));
    control.client(format!("PORT {},195,90\r\n", client.replace('.', ",")), &mut frames);
    control.server("200 well\r\n", &mut frames);
    control.client("RETR b\r\n", &mut frames);
    frames.push(Ip::from(server, client).frame(&[], TCP, &segment((20, 50_011), SYN, (100, 0), b"")));
    file(server, client, (20, 50_010), &mut frames);
    frames
}

/// FTP with an office.
pub fn ftp() -> Vec<u8> {
    pcap(ETHERNET, &every_ms(transfers(CLIENT, SERVER)))
}

/// FTP within one host.
pub fn loopback() -> Vec<u8> {
    pcap(ETHERNET, &every_ms(transfers("127.0.0.1", "127.0.0.1")))
}

/// A transfer by TFTP, and a call whose media go where its signalling said.
pub fn calls() -> Vec<u8> {
    let (there, back) = (Ip::from(CLIENT, SERVER), Ip::from(SERVER, CLIENT));
    let datagram = |way: &Ip, from, to, said: &[u8]| way.frame(&[], UDP, &udp(from, to, said));
    let media = |port: u16, host: &str| {
        format!("v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n")
    };
    let message = |start: &str, body: &str| {
        format!(
            "{start}\r\nVia: SIP/2.0/UDP {CLIENT}:5060;branch=z9hG4bK1\r\nFrom: <sip:a@example>;tag=1\r\nTo: <sip:b@example>\r\n\
             Call-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let voice = |number: u8| [&[0x80, 0, 0, number, 0, 0, number, 0, 1, 2, 3, 4][..], &[0x55; 160]].concat();
    let mut frames = vec![
        datagram(&there, 40_000, 69, b"\0\x01a\0octet\0"),
        datagram(&back, 50_000, 40_000, b"\0\x03\0\x01some bytes"),
        datagram(&there, 40_000, 50_000, b"\0\x04\0\x01"),
        datagram(&back, 50_001, 40_001, b"\0\x03\0\x01some bytes"),
        datagram(&there, 5060, 5060, message("INVITE sip:b@example SIP/2.0", &media(50_002, CLIENT)).as_bytes()),
        datagram(&back, 5060, 5060, message("SIP/2.0 200 OK", &media(50_004, SERVER)).as_bytes()),
    ];
    frames.extend((1..=3).map(|number| datagram(&there, 50_002, 50_004, &voice(number))));
    frames.push(datagram(&there, 50_002, 50_006, &voice(1)));
    pcap(ETHERNET, &every_ms(frames))
}
