//! Packets at a steady pace, and probes: numbered packets of a flow of their own, whose sending and arrival are noted.
//!
//! The sender notes the time before it hands a probe to the kernel, the sink notes it when the frame reaches the servers'
//! driver (`count` in `bench/xdp`); both read `CLOCK_MONOTONIC`, and the receiver's own wake-up is no part of it.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, anyhow};
use dropgate::datapath::Mapped;
use dropgate_lab::{Gateway, Namespace};

use crate::{
    forward,
    frames::{self, CLIENT, FLOWS, PAYLOAD, PORT},
    packet::PROBES,
};

/// Begins the payload of a probe: the same as in `bench/xdp/src/programs.rs`.
const MAGIC: u32 = 0x6472_6f70;
/// The port that probes come from; those of the load are other ones.
const PROBE_PORT: u16 = 30_000;
/// A sender of many packets a second sleeps so long between two handfuls, ns.
const PAUSE_NS: u64 = 50_000;
/// Packets that are made up for at most after the sender did not get to run.
const BEHIND: u64 = 256;

/// What is sent.
pub enum Content {
    /// 64 flows of 60-byte packets that the policy allows.
    Load,
    /// Probes of one such flow, to this port.
    Probes(u16),
}

/// A thread that sends until it is told to stop.
pub struct Paced {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Sent>>,
}

/// What was sent.
#[derive(Default)]
pub struct Sent {
    pub packets: u64,
    /// Of probes, by number: when each was sent (`CLOCK_MONOTONIC`, ns).
    pub times: Vec<u64>,
}

impl Paced {
    /// Sends from `office` to the servers, `rate` packets a second, on this CPU (or another, if there are not so many).
    pub fn start(lab: &Gateway, content: &Content, rate: f64, cpu: usize) -> Result<Self> {
        let ends = forward::ends(lab)?;
        let socket = open(&lab.office).context("a packet socket in the zone")?;
        let frames: Vec<Vec<u8>> = match content {
            Content::Load => (0..FLOWS).map(|flow| frames::udp(ends, (CLIENT, PORT + flow), 443)).collect(),
            Content::Probes(port) => vec![frames::udp(ends, (CLIENT, PROBE_PORT), *port)],
        };
        let probes = matches!(content, Content::Probes(_));
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            pin(cpu);
            if probes { probe(&socket, frames, rate, &told) } else { load(&socket, &frames, rate, &told) }
        });
        Ok(Self { stop, thread })
    }

    /// Ends it.
    pub fn stop(self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("a sender panicked"))?.context("sending")
    }
}

/// `CLOCK_MONOTONIC`, ns: what `bpf_ktime_get_ns` reads.
pub fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills in the structure that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// How long each probe that arrived was under way, ns, shortest first.
pub fn latencies(sent: &Sent, arrived: &Mapped<u64>) -> Vec<u64> {
    let times = sent.times.iter().enumerate();
    let mut all: Vec<u64> = times
        .filter_map(|(number, at)| arrived.get(number).filter(|arrived| *arrived != 0)?.checked_sub(*at))
        .collect();
    all.sort_unstable();
    all
}

/// The value below which this part of them lies (nearest rank); 0 of none.
pub fn percentile(sorted: &[u64], part: f64) -> u64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

fn probe(socket: &OwnedFd, frames: Vec<Vec<u8>>, rate: f64, stop: &AtomicBool) -> io::Result<Sent> {
    let mut sent = Sent::default();
    let Some(mut frame) = frames.into_iter().next() else { return Ok(sent) };
    let pause = (1e9 / rate) as u64;
    let mut due = now_ns();
    while !stop.load(Ordering::Relaxed) && sent.times.len() < PROBES {
        due = (due + pause).max(now_ns());
        sleep_until(due);
        let number = sent.times.len() as u32;
        frame[PAYLOAD..PAYLOAD + 4].copy_from_slice(&MAGIC.to_be_bytes());
        frame[PAYLOAD + 4..PAYLOAD + 8].copy_from_slice(&number.to_be_bytes());
        let at = now_ns();
        // what finds no room is lost like any other
        send(socket, std::slice::from_ref(&frame))?;
        sent.times.push(at);
        sent.packets += 1;
    }
    Ok(sent)
}

fn load(socket: &OwnedFd, frames: &[Vec<u8>], rate: f64, stop: &AtomicBool) -> io::Result<Sent> {
    let mut sent = Sent::default();
    let start = now_ns();
    let mut given_up = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = ((now_ns() - start) as f64 * rate / 1e9) as u64;
        let mut now = due.saturating_sub(sent.packets + given_up);
        if now > BEHIND {
            given_up += now - BEHIND;
            now = BEHIND;
        }
        while now > 0 {
            let first = sent.packets as usize % frames.len();
            let some = &frames[first..frames.len().min(first + now as usize)];
            send(socket, some)?;
            sent.packets += some.len() as u64;
            now -= some.len() as u64;
        }
        sleep_until(now_ns() + PAUSE_NS);
    }
    Ok(sent)
}

fn open(host: &Namespace) -> Result<OwnedFd> {
    let opened = host.enter(|| -> io::Result<OwnedFd> {
        // protocol zero: it receives nothing
        // SAFETY: plain system call.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and belongs to nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: all zeroes is a valid value of this plain structure.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        // SAFETY: a string that ends with zero.
        address.sll_ifindex = unsafe { libc::if_nametoindex(c"eth0".as_ptr()) }.cast_signed();
        let bypass: libc::c_int = 1;
        // SAFETY: pointers and lengths describe the values.
        let done = unsafe {
            libc::bind(fd, (&raw const address).cast(), size_of_val(&address) as libc::socklen_t) == 0
                && libc::setsockopt(
                    fd,
                    libc::SOL_PACKET,
                    libc::PACKET_QDISC_BYPASS,
                    (&raw const bypass).cast(),
                    size_of_val(&bypass) as libc::socklen_t,
                ) == 0
        };
        if done { Ok(socket) } else { Err(io::Error::last_os_error()) }
    })?;
    Ok(opened?)
}

/// Sends frames with one call. Those that find no room are dropped.
fn send(socket: &OwnedFd, frames: &[Vec<u8>]) -> io::Result<()> {
    const MOST: usize = FLOWS as usize;
    // SAFETY: all zeroes is a valid value of these plain structures.
    let (mut parts, mut messages): ([libc::iovec; MOST], [libc::mmsghdr; MOST]) = unsafe { std::mem::zeroed() };
    let count = frames.len().min(MOST);
    for ((part, message), frame) in parts.iter_mut().zip(&mut messages).zip(frames) {
        *part = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
    }
    let mut done = 0;
    while done < count {
        // SAFETY: as many messages, each of one part that describes a frame.
        let sent =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), messages[done..].as_mut_ptr(), (count - done) as u32, 0) };
        if sent < 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                // the first one found no room
                Some(libc::ENOBUFS | libc::EAGAIN) => done += 1,
                Some(libc::EINTR) => {}
                _ => return Err(error),
            }
        } else {
            done += sent as usize;
        }
    }
    Ok(())
}

fn sleep_until(at: u64) {
    let time = libc::timespec { tv_sec: (at / 1_000_000_000) as libc::time_t, tv_nsec: (at % 1_000_000_000) as i64 };
    // SAFETY: the call reads the structure. Woken early, the caller sends a little early.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &raw const time, std::ptr::null_mut()) };
}

/// Keeps this thread on one CPU, and its sleeps short.
pub fn pin(cpu: usize) {
    let cpus = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // SAFETY: plain values; a refusal leaves the thread where it is.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu % cpus, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
        libc::prctl(libc::PR_SET_TIMERSLACK, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn nearest_rank() {
        let all: Vec<u64> = (1..=100).collect();
        assert_eq!([0.5, 0.9, 0.99, 0.999, 1.0].map(|part| percentile(&all, part)), [50, 90, 99, 100, 100]);
        assert_eq!(percentile(&[7], 0.5), 7);
        assert_eq!(percentile(&[], 0.5), 0);
    }
}
