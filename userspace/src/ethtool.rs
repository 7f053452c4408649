//! Switches of network devices (ethtool(8)), by `SIOCETHTOOL`. Layouts and numbers from `include/uapi/linux/ethtool.h`.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// A switch that has a pair of commands of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// `tx`: checksums are left to the device.
    TxChecksum,
    /// `tso`: TCP segmentation is left to the device.
    Tso,
    /// `gso`: segmentation is put off until the device.
    Gso,
    /// `gro`: received packets are merged.
    Gro,
}

impl Feature {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::TxChecksum, Self::Tso, Self::Gso, Self::Gro];

    /// Numbers of the commands that read and that set it.
    const fn commands(self) -> (u32, u32) {
        match self {
            Self::TxChecksum => (0x16, 0x17),
            Self::Tso => (0x1e, 0x1f),
            Self::Gso => (0x23, 0x24),
            Self::Gro => (0x2b, 0x2c),
        }
    }
}

/// Whether a switch is on; `None` where the device has no such switch.
pub fn get(interface: &str, feature: Feature) -> Option<bool> {
    value(interface, feature.commands().0, 0).ok().map(|value| value != 0)
}

/// Sets a switch.
pub fn set(interface: &str, feature: Feature, on: bool) -> io::Result<()> {
    value(interface, feature.commands().1, on.into()).map(drop)
}

/// Switches VLAN stripping off (`rxvlan`); whether it is off now. A device without the switch strips nothing.
pub fn keep_vlan_tags(interface: &str) -> bool {
    const GET_FLAGS: u32 = 0x25;
    const SET_FLAGS: u32 = 0x26;
    const RXVLAN: u32 = 1 << 8;
    match value(interface, GET_FLAGS, 0) {
        Ok(flags) if flags & RXVLAN != 0 => {
            let _ = value(interface, SET_FLAGS, flags & !RXVLAN);
            !matches!(value(interface, GET_FLAGS, 0), Ok(flags) if flags & RXVLAN != 0)
        }
        _ => true,
    }
}

/// Receive queues of a device, from `struct ethtool_channels`: combined ones and those for receiving alone. 1 where the
/// driver does not say.
pub fn receive_queues(interface: &str) -> u32 {
    const GET_CHANNELS: u32 = 0x3c;
    let mut channels = [GET_CHANNELS, 0, 0, 0, 0, 0, 0, 0, 0];
    match command(interface, &mut channels) {
        Ok(()) => (channels[5] + channels[8]).max(1),
        Err(_) => 1,
    }
}

/// One `struct ethtool_value` command.
fn value(interface: &str, number: u32, value: u32) -> io::Result<u32> {
    let mut data = [number, value];
    command(interface, &mut data).map(|()| data[1])
}

/// One command, whose structure starts with its number.
fn command<const N: usize>(interface: &str, data: &mut [u32; N]) -> io::Result<()> {
    const SIOCETHTOOL: u64 = 0x8946;
    let name = CString::new(interface)?;
    // SAFETY: all-zero is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes().iter().take(libc::IFNAMSIZ - 1)) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
    // SAFETY: plain socket(2).
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just made.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the request points to room for the answer.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
