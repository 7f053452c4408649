//! Whole Ethernet frames, sent and received on one interface (packet(7)).

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::{Duration, Instant},
};

use crate::{Error, Namespace, Result};

/// Longest frame received: what a 64 KiB super-packet needs, with tags.
const FRAME: usize = 65_536 + 64;

/// A packet socket bound to one interface. It sees every frame that comes in, whatever its address, and none that
/// the host itself sends. VLAN tags are where they were on the wire.
#[derive(Debug)]
pub struct RawSocket {
    socket: OwnedFd,
    interface: String,
}

impl RawSocket {
    /// Opens `interface` of `namespace`.
    ///
    /// # Errors
    /// There is no such interface, or the socket is refused.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        let opened = namespace.enter(|| open(interface))?;
        let socket = opened.map_err(Error::io("open a packet socket on", interface))?;
        Ok(Self { socket, interface: interface.to_owned() })
    }

    /// Sends one frame, starting with its Ethernet header.
    ///
    /// # Errors
    /// The kernel refuses it (too long for the interface, shorter than an Ethernet header, link down).
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        // SAFETY: pointer and length describe `frame`, which outlives the call.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(self.error("send on", io::Error::last_os_error())) } else { Ok(()) }
    }

    /// The next frame for which `wanted` holds, or nothing if none came within `limit`. Frames queue from the moment the
    /// socket was opened, so open it before the traffic starts.
    ///
    /// # Errors
    /// The interface went away.
    pub fn receive(&self, limit: Duration, mut wanted: impl FnMut(&[u8]) -> bool) -> Result<Option<Vec<u8>>> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.next(left).map_err(|source| self.error("receive on", source))? {
                Some(frame) if wanted(&frame) => return Ok(Some(frame)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Throws away what is queued.
    ///
    /// # Errors
    /// The interface went away.
    pub fn drain(&self) -> Result<()> {
        while self.next(Duration::ZERO).map_err(|source| self.error("receive on", source))?.is_some() {}
        Ok(())
    }

    fn error(&self, action: &'static str, source: io::Error) -> Error {
        Error::io(action, &self.interface)(source)
    }

    fn next(&self, left: Duration) -> io::Result<Option<Vec<u8>>> {
        let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // Rounded up, or the last millisecond would be spent in a tight loop.
        let milliseconds = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        // SAFETY: one pollfd, on the stack, for the time of the call.
        match unsafe { libc::poll(&mut poll, 1, milliseconds) } {
            0 => Ok(None),
            ready if ready > 0 => receive(self.socket.as_raw_fd()).map(Some),
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(Some(Vec::new())),
                error => Err(error),
            },
        }
    }
}

fn open(interface: &str) -> io::Result<OwnedFd> {
    let every_protocol = (libc::ETH_P_ALL as u16).to_be();
    // Protocol zero receives nothing until bind, so that no frame of another interface gets in.
    // SAFETY: plain system call.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let name = std::ffi::CString::new(interface)?;
    // SAFETY: a string that ends with zero.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    set(fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1)?;
    set(fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1)?;
    set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &(8 << 20))?;
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut member: libc::packet_mreq = unsafe { std::mem::zeroed() };
    member.mr_ifindex = index.cast_signed();
    member.mr_type = libc::PACKET_MR_PROMISC as u16;
    set(fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &member)?;
    // SAFETY: as above.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = every_protocol;
    address.sll_ifindex = index.cast_signed();
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: pointer and length describe `address`.
    match unsafe { libc::bind(fd, (&raw const address).cast(), length) } {
        0 => Ok(socket),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set<T>(fd: RawFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: pointer and length describe `value`, which the kernel only reads.
    match unsafe { libc::setsockopt(fd, level, name, std::ptr::from_ref(value).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Room for control messages, aligned as they need it.
#[repr(align(8))]
struct Control([u8; 128]);

fn receive(fd: RawFd) -> io::Result<Vec<u8>> {
    let mut frame = vec![0u8; FRAME];
    let mut control = Control([0; 128]);
    let mut part = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: every pointer in `message` is to a local that outlives the call, with its true length.
    let length = unsafe { libc::recvmsg(fd, &mut message, libc::MSG_DONTWAIT) };
    if length < 0 {
        return match io::Error::last_os_error() {
            // Another reader, or a bad checksum found late: nothing there after all.
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            error => Err(error),
        };
    }
    frame.truncate(length.cast_unsigned());
    if let Some((protocol, tag)) = stripped_tag(&message)
        && frame.len() >= 12
    {
        // The kernel takes the outer tag out of the frame (skb_vlan_untag); it goes back where it was.
        let [a, b] = protocol.to_be_bytes();
        let [c, d] = tag.to_be_bytes();
        frame.splice(12..12, [a, b, c, d]);
    }
    Ok(frame)
}

/// The VLAN tag that the kernel took out: its ethertype and its control word.
fn stripped_tag(message: &libc::msghdr) -> Option<(u16, u16)> {
    // SAFETY: `message` was filled in by recvmsg, and the CMSG functions stay within its control buffer.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so it points at a whole header within the control buffer; auxiliary data is read only where the
        // kernel says it lies, unaligned if need be.
        unsafe {
            if (*header).cmsg_level == libc::SOL_PACKET && (*header).cmsg_type == libc::PACKET_AUXDATA {
                let auxiliary: libc::tpacket_auxdata = std::ptr::read_unaligned(libc::CMSG_DATA(header).cast());
                if auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
                    let named = auxiliary.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
                    let protocol = if named { auxiliary.tp_vlan_tpid } else { 0x8100 };
                    return Some((protocol, auxiliary.tp_vlan_tci));
                }
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    None
}
