//! A link without Ethernet between two namespaces: a tun device in each (`Documentation/networking/tuntap.rst`), and two threads
//! that carry packets from one to the other.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::fd::AsRawFd,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use crate::{Error, Namespace, Result};

/// How often a thread looks whether it is to end, ms.
const LOOKS: libc::c_int = 50;
/// Longest packet.
const PACKET: usize = 65_536;

/// The link. Both devices go with it.
#[derive(Debug)]
pub struct Tunnel {
    ends: [Arc<File>; 2],
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Tunnel {
    /// Joins two namespaces, both ends up.
    ///
    /// # Errors
    /// The kernel has no tun devices, or `ip` fails.
    pub fn new(one: (&Namespace, &str), other: (&Namespace, &str)) -> Result<Self> {
        let ends = [Arc::new(open(one)?), Arc::new(open(other)?)];
        let stop = Arc::new(AtomicBool::new(false));
        let carry = |from: &Arc<File>, to: &Arc<File>| {
            let (from, to, stop) = (Arc::clone(from), Arc::clone(to), Arc::clone(&stop));
            std::thread::spawn(move || carry(&from, &to, &stop))
        };
        let threads = vec![carry(&ends[0], &ends[1]), carry(&ends[1], &ends[0])];
        Ok(Self { ends, stop, threads })
    }

    /// Has a packet come in by the first namespace's end, as if the other one had sent it.
    ///
    /// # Errors
    /// The device does not take it.
    pub fn inject(&self, packet: &[u8]) -> Result<()> {
        (&*self.ends[0]).write_all(packet).map_err(Error::io("write", Path::new(DEVICE)))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

const DEVICE: &str = "/dev/net/tun";

fn open((namespace, name): (&Namespace, &str)) -> Result<File> {
    // only what enters a device is read from it: packets, without anything before them
    let end = namespace.enter(|| attach(name))?.map_err(Error::io("open", Path::new(DEVICE)))?;
    namespace.ip(&format!("link set {name} up"))?;
    Ok(end)
}

fn attach(name: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(DEVICE)?;
    // SAFETY: all-zero is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes().iter().take(libc::IFNAMSIZ - 1)) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the kernel reads and writes the request, which lives as long as the call.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// Carries packets until it is told to stop, or an end is gone. What the other end does not take is lost, as on any link.
fn carry(mut from: &File, mut to: &File, stop: &AtomicBool) {
    let mut packet = vec![0; PACKET];
    while !stop.load(Ordering::Relaxed) {
        let mut wait = libc::pollfd { fd: from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, for the time of the call.
        if unsafe { libc::poll(&raw mut wait, 1, LOOKS) } <= 0 {
            continue;
        }
        match from.read(&mut packet) {
            Ok(length) => drop(to.write(&packet[..length])),
            Err(_) => return,
        }
    }
}
