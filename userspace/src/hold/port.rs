//! A protected interface: a socket on each of its receive queues, and those at the far end of its hold device.

use std::{
    os::fd::RawFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use aya::programs::{
    SchedClassifier, TcAttachType, Xdp, XdpMode,
    links::FdLink,
    tc::TcAttachOptions,
    xdp::{XdpLink, XdpLinkId},
};
use dropgate_abi::{
    control::Control,
    hold::{HoldPort, release, token},
};

use super::{
    HoldError,
    credits::Credits,
    device::{Device, Use},
    socket::{LONGEST, Socket, buffer},
};
use crate::{
    datapath::{Object, find, program},
    ethtool, netlink,
    policy::{
        compile::{Attachment, Build},
        model::Inspection,
    },
    xsk::Received,
};

/// Places in the maps of sockets that belong to one interface: the last one is the hold device's.
pub const SLOTS_A_PORT: u32 = 128;
/// Bytes before the IP packet: Ethernet and two VLAN tags.
const LINK_HEADER: u32 = 22;

/// Which way a held packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// It came in by the interface, and leaves by the hold device, as if it came in just now; on a bridge by the interface on the
    /// other side.
    In,
    /// It was on its way out and came by the hold device; it leaves by the interface.
    Out,
}

/// A socket that packets are held on.
#[derive(Clone, Copy, Debug)]
pub struct Receiver {
    /// In `SOCKETS` and `CREDITS`.
    pub place: u32,
    pub descriptor: RawFd,
    pub way: Way,
    /// Among those of its kind.
    at: usize,
}

/// An interface whose packets are held.
///
/// Each worker receives by sockets that are its own, and sends by sockets that are its own as long as there are enough of them.
/// The locks are there for the case that there are not; then, and only then, workers wait for each other.
pub struct Port {
    pub index: u32,
    /// How packets come in by it.
    pub build: Build,
    /// Of the first socket's, in `SOCKETS` and `CREDITS`.
    first: u32,
    /// Most chunks of each socket's memory in which packets are held at once.
    held: u32,
    /// On the interface's queues: packets that came in are received here, packets on their way out sent. Where they do not come in by
    /// native XDP: behind a second hold device, one for each worker to send, the first one to receive.
    queues: Vec<Mutex<Socket>>,
    /// Behind the hold device, one for each worker to send packets that came in; the first one receives those on their way out.
    device: Vec<Mutex<Socket>>,
    receivers: Vec<Receiver>,
    onward: ArcSwap<Onward>,
    /// Sockets whose memory the driver reads and writes itself.
    pub zero_copy: usize,
    gone: AtomicBool,
    // in this order: the programs of the hold device end before it does
    _links: Vec<(XdpLink, FdLink)>,
    _devices: Vec<Device>,
}

/// Where packets that came in by an interface leave.
#[derive(Default)]
pub enum Onward {
    /// By its hold device.
    #[default]
    Device,
    /// By the interface on the other side of the bridge.
    Peer(Arc<Port>),
    /// That interface is not there.
    Nowhere,
}

/// The sockets that a packet passes between: where it came from, and where it leaves.
pub struct Pair<'a> {
    from: MutexGuard<'a, Socket>,
    to: MutexGuard<'a, Socket>,
}

impl Pair<'_> {
    /// Both.
    pub fn ends(&mut self) -> (&mut Socket, &mut Socket) {
        (&mut self.from, &mut self.to)
    }
}

impl Port {
    /// Opens the sockets of an interface for so many workers; with the entries of `HOLD_PORTS` that make the programs use
    /// them.
    pub fn open(
        object: &mut Object,
        control: &Control,
        at: &Attachment,
        slot: u32,
        inspection: &Inspection,
        workers: u32,
    ) -> Result<(Self, Vec<(u32, HoldPort)>), HoldError> {
        let broken = |source| HoldError::Device { interface: at.name.clone(), source };
        let count = ethtool::receive_queues(&at.name);
        if count >= SLOTS_A_PORT {
            return Err(HoldError::Queues { interface: at.name.clone(), queues: count, most: SLOTS_A_PORT - 1 });
        }
        let longest = netlink::mtu(&at.name).map_err(broken)?.saturating_add(LINK_HEADER).min(LONGEST);
        let mark = token(&control.secret) as u32;
        // what goes before a frame counts as part of it there
        let room = longest + LINK_HEADER + size_of::<dropgate_abi::hold::Held>() as u32;
        let device = Device::make(at.index, Use::Out, room, workers).map_err(broken)?;
        let inward = (!at.build.is_native()).then(|| Device::make(at.index, Use::In, room, workers));
        let inward = inward.transpose().map_err(broken)?;
        let open = |index: u32, name: &str, queue: u32| {
            let socket = Socket::open(index, queue, inspection.held, longest, mark);
            socket.map_err(|source| HoldError::Socket { interface: name.to_owned(), queue, source })
        };
        let behind = |device: &Device| -> Result<Vec<Socket>, HoldError> {
            (0..workers).map(|queue| open(device.far_index, &device.far, queue)).collect()
        };
        let queues: Vec<Socket> = match &inward {
            None => (0..count).map(|queue| open(at.index, &at.name, queue)).collect::<Result<_, _>>()?,
            Some(inward) => behind(inward)?,
        };
        let behind = behind(&device)?;
        let links = [Some(&device), inward.as_ref()].into_iter().flatten();
        let links = links.map(|device| programs(object, device)).collect::<Result<_, _>>()?;
        let first = slot * SLOTS_A_PORT;
        let last = first + SLOTS_A_PORT - 1;
        let near = |release| HoldPort { release_into: at.index, release, ..HoldPort::default() };
        let far = |socket| HoldPort { socket, queues: 1, ..HoldPort::default() };
        let marked = if inward.is_some() { release::MARKED } else { 0 };
        let mut entries = vec![
            (
                at.index,
                HoldPort {
                    socket: first,
                    // none by itself, where packets come in by the second device
                    queues: if inward.is_some() { 0 } else { count },
                    device: device.near_index,
                    device_socket: last,
                    longest,
                    buffer: buffer(longest),
                    inward: inward.as_ref().map_or(0, |inward| inward.near_index),
                    ..HoldPort::default()
                },
            ),
            (device.near_index, near(marked)),
            (device.far_index, far(last)),
        ];
        if let Some(inward) = &inward {
            entries.push((inward.near_index, near(marked | release::OUTWARD)));
            entries.push((inward.far_index, far(first)));
        }
        // a device has one queue that it receives by
        let receiving = if inward.is_some() { 1 } else { queues.len() };
        let mut receivers: Vec<Receiver> = (0..)
            .zip(queues.iter().take(receiving))
            .map(|(at, socket)| {
                let descriptor = socket.descriptor();
                Receiver { place: first + at, descriptor, way: Way::In, at: at as usize }
            })
            .collect();
        receivers.extend(behind.first().map(|socket| {
            let descriptor = socket.descriptor();
            Receiver { place: last, descriptor, way: Way::Out, at: 0 }
        }));
        let port = Self {
            index: at.index,
            build: at.build,
            first,
            held: inspection.held,
            zero_copy: queues.iter().filter(|socket| socket.is_zero_copy()).count(),
            queues: queues.into_iter().map(Mutex::new).collect(),
            device: behind.into_iter().map(Mutex::new).collect(),
            receivers,
            onward: ArcSwap::default(),
            gone: AtomicBool::new(false),
            _links: links,
            _devices: [Some(device), inward].into_iter().flatten().collect(),
        };
        Ok((port, entries))
    }

    /// The sockets that packets are held on.
    pub fn receivers(&self) -> &[Receiver] {
        &self.receivers
    }

    /// Those that are this worker's to receive by.
    pub fn receivers_of(&self, worker: usize, workers: usize) -> impl Iterator<Item = &Receiver> {
        self.receivers.iter().filter(move |receiver| receiver.at % workers == worker)
    }

    /// Whether a place in `SOCKETS` belongs to it.
    pub const fn has(&self, place: u32) -> bool {
        place / SLOTS_A_PORT == self.first / SLOTS_A_PORT
    }

    /// Which way a packet goes that was held on the socket at `place`.
    pub const fn way(&self, place: u32) -> Way {
        if place == self.first + SLOTS_A_PORT - 1 { Way::Out } else { Way::In }
    }

    /// Packets that come in leave there from now on.
    pub fn goes_on(&self, onward: Onward) {
        self.onward.store(Arc::new(onward));
    }

    /// Where packets that come in leave.
    pub fn onward(&self) -> Arc<Onward> {
        self.onward.load_full()
    }

    /// The sockets between which a packet passes that a worker has; `by`: where it was received just now. `None`: it leaves nowhere.
    pub fn pair<'a>(&'a self, onward: &'a Onward, way: Way, by: Option<&Receiver>, worker: usize) -> Option<Pair<'a>> {
        let receives = |sockets: &'a [Mutex<Socket>]| &sockets[by.map_or(worker % sockets.len(), |by| by.at)];
        let sends = |sockets: &'a [Mutex<Socket>]| &sockets[worker % sockets.len()];
        let (from, to) = match (way, onward) {
            (Way::Out, _) => (receives(&self.device), sends(&self.queues)),
            (Way::In, Onward::Device) => (receives(&self.queues), sends(&self.device)),
            (Way::In, Onward::Peer(peer)) => (receives(&self.queues), sends(&peer.queues)),
            (Way::In, Onward::Nowhere) => return None,
        };
        // always in the same order, so that no two workers wait for each other
        Some(if std::ptr::from_ref(from) < std::ptr::from_ref(to) {
            let from = lock(from);
            Pair { from, to: lock(to) }
        } else {
            let to = lock(to);
            Pair { from: lock(from), to }
        })
    }

    /// Takes what came by a socket and leads nowhere; how many packets, and their credits.
    pub fn discard(&self, by: &Receiver, received: &mut Vec<Received>) -> (usize, usize) {
        let mut from = lock(if by.way == Way::In { &self.queues[by.at] } else { &self.device[by.at] });
        let memory = from.memory();
        from.receive(received, usize::MAX);
        let (count, mut credits) = (received.len(), 0);
        for mut packet in received.drain(..) {
            credits += Socket::credits(&mut packet, &memory);
            from.free(packet);
        }
        from.refill();
        (count, credits)
    }

    /// Packets may be held from now on.
    pub fn open_credits(&self, credits: &Credits) {
        self.receivers.iter().for_each(|receiver| credits.open(receiver.place, self.held));
    }

    /// No more packets are held, and what is held yet returns no credit: its place is somebody else's soon.
    pub fn close_credits(&self, credits: &Credits) {
        self.gone.store(true, Ordering::Relaxed);
        self.receivers.iter().for_each(|receiver| credits.close(receiver.place));
    }

    /// Whether it is served no more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Packets that the kernel dropped at the sockets since this was asked last.
    pub fn dropped(&self) -> u64 {
        self.queues.iter().chain(&self.device).map(|socket| lock(socket).dropped()).sum()
    }
}

/// A worker that died leaves its sockets as sound as the kernel keeps them.
fn lock(socket: &Mutex<Socket>) -> MutexGuard<'_, Socket> {
    socket.lock().unwrap_or_else(PoisonError::into_inner)
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
