//! Both ends of a conversation.

use std::{
    collections::{HashMap, HashSet},
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use dropgate_lab::Namespace;

use super::rows::{Row, Says};
use crate::traffic::host;

/// What a server's answer to a request says.
pub const PAGE: &str = "at your service";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\nat your service";

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long a server waits for what its client says, the client's end included.
const SILENCE: Duration = Duration::from_secs(6);

/// A TLS record header that announces a hello, and something else behind it.
const FAKE_TLS: &[u8] =
    b"\x16\x03\x01\x00\x2a\x9c\x01\xde\xad\xbe\xef\x17\x2b\x80\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\
    \x10\x21\x32\x43\x54\x65\x76\x87\x98\xa9\xba\xcb\xdc\xed\xfe\x0f\x1f\x2f\x3f\x4f\x5f\x6f\x7f\x8f";
/// An X.224 connection request with a negotiation request (MS-RDPBCGR, 2.2.1.1).
const RDP: &[u8] =
    b"\x03\x00\x00\x2b\x26\xe0\x00\x00\x00\x00\x00Cookie: mstshash=admin\r\n\x01\x00\x08\x00\x03\x00\x00\x00";
const VNC: &[u8] = b"RFB 003.008\n";
const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.9\r\n";
/// A length in the machine's own order, a command, and what looks random.
const BINARY: &[u8] =
    b"\x34\x00\x00\x00\xa7\x11\x00\x00\x9e\x37\x79\xb9\x7f\x4a\x7c\x15\xf3\x9c\xc0\x60\x5c\xed\xc8\x34\x10\x82\x27\x6b\
    \xf8\x6a\x8f\xe1\xd2\x33\x9b\x04\x77\xc5\x58\x9a\xe6\x3d\x41\xbb\x0c\x92\xae\x71\x1b\xd8\x66\xf4";
const RANDOM: &[u8] =
    b"\xe7\x9d\x52\xb1\xc4\x08\xfa\x6e\x93\x2d\xd7\x84\xab\x19\x60\xcf\x75\xbe\x31\x0a\x48\xf6\x9c\xe3\x27\xd0\x8b\x5f\
    \xa2\x14\xee\x39\x86\x7d\xc1\x50\xfb\x22\x98\x6c\xb5\x0e\x43\xda\x91\xf7\x2c\x68\xbf\x05\xe8\x7a";
const TEXT: &[u8] = b"@@id|7f3a91|host|WS-0042|user|jdoe|os|10.0.19045|up|86400@@\n@@task|none|sleep|60|jitter|20@@\n";
/// Machine code of a stage, with a position-independent beginning.
const SHELLCODE: &[u8] =
    b"\xfc\x48\x83\xe4\xf0\xe8\xc8\x00\x00\x00\x41\x51\x41\x50\x52\x51\x56\x48\x31\xd2\x65\x48\x8b\x52\x60\x48\x8b\x52\
    \x18\x48\x8b\x52\x20\x48\x8b\x72\x50\x48\x0f\xb7\x4a\x4a\x4d\x31\xc9\x48\x31\xc0";

/// What a server says before its client has said anything.
fn greeting(says: Says) -> &'static [u8] {
    match says {
        Says::Vnc => VNC,
        Says::Ssh => SSH,
        Says::Shellcode => SHELLCODE,
        _ => b"",
    }
}

/// Connects and says what the row says; what came back.
pub fn converse(from: &Namespace, server: IpAddr, row: &Row) -> Vec<u8> {
    let address = server.to_string();
    let port = row.port.to_string();
    let line = match row.says {
        Says::Http => format!("curl -s -m 2 http://{}:{port}/gate.php", host(&address)),
        Says::WebSocket => format!(
            "curl -s -m 2 -H Connection:Upgrade -H Upgrade:websocket -H Sec-WebSocket-Version:13 \
             -H Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ== http://{}:{port}/ws",
            host(&address)
        ),
        Says::Tls => format!("openssl s_client -brief -connect {}:{port} -servername c2.example", host(&address)),
        Says::Ssh => format!(
            "ssh -v -F none -p {port} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
             -o ConnectTimeout=2 root@{address} true"
        ),
        Says::FakeTls => return by_hand(from, server, row, FAKE_TLS),
        Says::Rdp => return by_hand(from, server, row, RDP),
        Says::Binary => return by_hand(from, server, row, BINARY),
        Says::Random => return by_hand(from, server, row, RANDOM),
        Says::Text => return by_hand(from, server, row, TEXT),
        Says::Vnc | Says::Shellcode => return by_hand(from, server, row, b""),
        Says::Datagram => return in_a_datagram(from, server, row),
    };
    let mut words = line.split_whitespace();
    let mut command: Command = from.command(words.next().unwrap());
    let finished = dropgate_lab::run(command.args(words), PATIENCE * 2).unwrap();
    match row.says {
        // It says so when it has read the server's greeting.
        Says::Ssh if finished.stderr.contains("remote software version") => SSH.to_vec(),
        Says::Ssh => Vec::new(),
        // Its standard output has nothing to do with what the server says until the handshake is over.
        Says::Tls => Vec::new(),
        _ => finished.stdout.into_bytes(),
    }
}

fn by_hand(from: &Namespace, server: IpAddr, row: &Row, bytes: &[u8]) -> Vec<u8> {
    from.enter(|| {
        let Ok(mut stream) = TcpStream::connect_timeout(&(server, row.port).into(), PATIENCE) else {
            return Vec::new();
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut got = [0; 256];
        let length = stream.read(&mut got).unwrap_or(0);
        got[..length].to_vec()
    })
    .unwrap()
}

fn in_a_datagram(from: &Namespace, server: IpAddr, row: &Row) -> Vec<u8> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = from.enter(|| UdpSocket::bind((any, 0)).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(BINARY, (server, row.port)).unwrap();
    let mut got = [0; 256];
    let length = socket.recv(&mut got).unwrap_or(0);
    got[..length].to_vec()
}

type Got = Arc<Mutex<HashMap<IpAddr, Vec<u8>>>>;

/// Servers on every port of a host's rows. They write down what arrives, by the address that it was sent to.
pub struct Ears {
    got: Got,
    done: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Ears {
    pub fn open(place: &Namespace, rows: impl Iterator<Item = (IpAddr, &'static Row)>) -> Self {
        let mut ears = Self { got: Got::default(), done: Arc::default(), threads: Vec::new() };
        let mut ports = HashSet::new();
        let rows: HashMap<IpAddr, &'static Row> = rows.collect();
        let rows = Arc::new(rows);
        for (address, row) in rows.iter() {
            if row.says == Says::Datagram {
                let socket = place.enter(|| UdpSocket::bind((*address, row.port)).unwrap()).unwrap();
                ears.take_datagrams(*address, socket);
            } else if ports.insert(row.port) {
                let listener = place.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, row.port)).unwrap()).unwrap();
                ears.accept(listener, Arc::clone(&rows));
            }
        }
        ears
    }

    /// Waits until the last connection is over; what arrived.
    pub fn close(self) -> HashMap<IpAddr, Vec<u8>> {
        self.done.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        std::mem::take(&mut *self.got.lock().unwrap())
    }

    fn accept(&mut self, listener: TcpListener, rows: Arc<HashMap<IpAddr, &'static Row>>) {
        let (got, done) = (Arc::clone(&self.got), Arc::clone(&self.done));
        listener.set_nonblocking(true).unwrap();
        self.threads.push(std::thread::spawn(move || {
            let mut talks = Vec::new();
            // What is in the queue when the last client is done is taken still.
            while let Some(stream) = next(&listener, &done) {
                let local = stream.local_addr().unwrap().ip().to_canonical();
                let says = rows[&local].says;
                let got = Arc::clone(&got);
                talks.push(std::thread::spawn(move || attend(stream, local, says, &got)));
            }
            for talk in talks {
                talk.join().unwrap();
            }
        }));
    }

    fn take_datagrams(&mut self, address: IpAddr, socket: UdpSocket) {
        let (got, done) = (Arc::clone(&self.got), Arc::clone(&self.done));
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        self.threads.push(std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let mut part = [0; 2048];
                if let Ok((length, from)) = socket.recv_from(&mut part) {
                    got.lock().unwrap().entry(address).or_default().extend(&part[..length]);
                    let _ = socket.send_to(BINARY, from);
                }
            }
        }));
    }
}

/// The next connection; nothing when there is none and the clients are done.
fn next(listener: &TcpListener, done: &AtomicBool) -> Option<TcpStream> {
    loop {
        let last = done.load(Ordering::Relaxed);
        match listener.accept() {
            Ok((stream, _)) => return Some(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock && !last => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(_) => return None,
        }
    }
}

/// A server's side: its greeting, and one answer to the first bytes that come.
fn attend(mut stream: TcpStream, local: IpAddr, says: Says, got: &Got) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    // A client that has gone away is no fault.
    let _ = stream.write_all(greeting(says));
    let mut part = [0; 4096];
    let mut answered = false;
    while let Ok(length @ 1..) = stream.read(&mut part) {
        got.lock().unwrap().entry(local).or_default().extend(&part[..length]);
        if !answered {
            let _ = stream.write_all(ANSWER.as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Write);
            answered = true;
        }
    }
}
