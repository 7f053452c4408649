//! A protected interface: a socket on each of its receive queues, and one at the far end of its hold device.

use std::os::fd::BorrowedFd;

use aya::programs::{
    SchedClassifier, TcAttachType, Xdp, XdpMode,
    links::FdLink,
    tc::TcAttachOptions,
    xdp::{XdpLink, XdpLinkId},
};
use dropgate_abi::{
    control::Control,
    hold::{HoldPort, token},
};

use super::{HoldError, device::Device, socket::Socket};
use crate::{
    datapath::{Object, find, program},
    ethtool, netlink,
    policy::{compile::Attachment, model::Inspection},
};

/// Places in the maps of sockets that belong to one interface: the last one is the hold device's.
pub const SLOTS_A_PORT: u32 = 128;
/// Bytes before the IP packet: Ethernet and two VLAN tags.
const LINK_HEADER: u32 = 22;
/// Bytes of the longest frame that fits into one page of an AF_XDP socket's memory.
const PAGE: u32 = 4096 - 256 - 64;

/// An interface whose packets are held.
pub struct Port {
    pub index: u32,
    /// The sockets on its receive queues: packets that came in are received here, packets on their way out released.
    pub queues: Vec<Served>,
    /// Most packets held at once on each socket.
    pub held: u32,
    /// The socket behind the hold device: the other way round.
    pub device: Served,
    // the programs of the hold device end with these
    _links: (XdpLink, FdLink),
}

/// A socket and its place in `SOCKETS` and `CREDITS`.
pub struct Served {
    pub place: u32,
    pub socket: Socket,
}

impl Port {
    /// Opens the sockets of an interface; with the entries of `HOLD_PORTS` that make the programs use them.
    pub fn open(
        object: &mut Object,
        control: &Control,
        at: &Attachment,
        place: u32,
        inspection: &Inspection,
    ) -> Result<(Self, Vec<(u32, HoldPort)>), HoldError> {
        let broken = |source| HoldError::Device { interface: at.name.clone(), source };
        let longest = (netlink::mtu(&at.name).map_err(broken)? + LINK_HEADER).min(PAGE);
        let mark = token(&control.secret) as u32;
        // what goes before a frame counts as part of it there
        let device = Device::make(at.index, longest + LINK_HEADER + size_of::<dropgate_abi::hold::Held>() as u32)
            .map_err(broken)?;
        let first = place * SLOTS_A_PORT;
        let last = first + SLOTS_A_PORT - 1;
        let open = |index: u32, name: &str, queue: u32, place: u32| {
            let socket = Socket::open(index, queue, inspection.held, longest, mark);
            let socket = socket.map_err(|source| HoldError::Socket { interface: name.to_owned(), queue, source })?;
            Ok::<_, HoldError>(Served { place, socket })
        };
        let count = ethtool::receive_queues(&at.name);
        if count >= SLOTS_A_PORT {
            return Err(HoldError::Queues { interface: at.name.clone(), queues: count, most: SLOTS_A_PORT - 1 });
        }
        let queues: Vec<Served> =
            (0..count).map(|queue| open(at.index, &at.name, queue, first + queue)).collect::<Result<_, _>>()?;
        let behind = open(device.far_index, &device.far, 0, last)?;
        let links = programs(object, &device)?;
        let entries = vec![
            (
                at.index,
                HoldPort {
                    socket: first,
                    queues: count,
                    device: device.near_index,
                    release_into: 0,
                    device_socket: last,
                    longest,
                },
            ),
            (device.near_index, HoldPort { release_into: at.index, ..HoldPort::default() }),
            (device.far_index, HoldPort { socket: last, queues: 1, longest, ..HoldPort::default() }),
        ];
        Ok((Self { index: at.index, held: inspection.held, queues, device: behind, _links: links }, entries))
    }

    /// The sockets with their places.
    pub fn sockets(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        self.queues.iter().chain([&self.device]).map(|served| (served.place, served.socket.descriptor()))
    }
}

/// XDP at the far end, tcx at the near end.
fn programs(object: &mut Object, device: &Device) -> Result<(XdpLink, FdLink), HoldError> {
    let fault = |device: &str, source| HoldError::Program { device: device.to_owned(), source: Box::new(source) };
    let hold: &mut Xdp = find(&mut object.ebpf, program::HOLD)?;
    let id: XdpLinkId =
        hold.attach_to_if_index(device.far_index, XdpMode::Driver).map_err(|error| fault(&device.far, error))?;
    let far = hold.take_link(id).map_err(|error| fault(&device.far, error))?;
    let release: &mut SchedClassifier = find(&mut object.ebpf, program::RELEASE)?;
    let id = release
        .attach_with_options(&device.near, TcAttachType::Ingress, TcAttachOptions::TcxOrder(Default::default()))
        .map_err(|error| fault(&device.near, error))?;
    let near = release.take_link(id).map_err(|error| fault(&device.near, error))?;
    let near = FdLink::try_from(near).map_err(|_| HoldError::Device {
        interface: device.near.clone(),
        source: std::io::Error::other("a tcx link was expected; Linux 6.6 or newer is needed"),
    })?;
    Ok((far, near))
}
