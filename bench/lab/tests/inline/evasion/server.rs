//! A web server on a real TCP stack, which writes down every byte that its socket gives it.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use dropgate_lab::Namespace;

/// What its answers end with.
pub const PAGE: &[u8] = b"this is the page";

/// Bytes by client port.
type Got = Arc<Mutex<HashMap<u16, Vec<u8>>>>;

pub struct Server {
    got: Got,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on this port of every address; `early`: takes data on a SYN (RFC 7413).
    pub fn start(place: &Namespace, port: u16, early: bool) -> Self {
        let listener = place.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap()).unwrap();
        if early {
            let (queue, size) = (16i32, size_of::<i32>() as libc::socklen_t);
            // SAFETY: pointer and length describe `queue`, which the kernel only reads.
            let set = unsafe {
                let value = (&raw const queue).cast();
                libc::setsockopt(listener.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN, value, size)
            };
            assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
        }
        listener.set_nonblocking(true).unwrap();
        let (got, done) = (Got::default(), Arc::new(AtomicBool::new(false)));
        let (copy, over) = (Arc::clone(&got), Arc::clone(&done));
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                };
                let (got, over) = (Arc::clone(&copy), Arc::clone(&over));
                std::thread::spawn(move || attend(stream, &got, &over));
            }
        });
        Self { got, done, thread: Some(thread) }
    }

    /// What came from this port of a client.
    pub fn got(&self, port: u16) -> Vec<u8> {
        self.got.lock().unwrap().get(&port).cloned().unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn attend(mut stream: TcpStream, got: &Got, over: &AtomicBool) {
    let Ok(port) = stream.peer_addr().as_ref().map(SocketAddr::port) else { return };
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let mut part = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        let length = match stream.read(&mut part) {
            Ok(length @ 1..) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            _ => return,
        };
        let mut got = got.lock().unwrap();
        let all = got.entry(port).or_default();
        all.extend(&part[..length]);
        if all.ends_with(b"\r\n\r\n") {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PAGE.len());
            // A client that is gone has no more need of it.
            let _ = stream.write_all(&[head.as_bytes(), PAGE].concat());
        }
    }
}
