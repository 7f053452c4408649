//! Packets held in userspace and released: AF_XDP sockets on the protected interfaces, and the threads that serve them.
//!
//! A held packet that came in by an interface is released into that same interface, as if it had never left it; one on its
//! way out is released onto it. `xdp/src/hold.rs` is the other half.

mod announce;
mod bell;
mod card;
mod credits;
mod device;
mod flows;
mod fragments;
mod handing;
mod kernel;
mod leave;
mod memory;
mod port;
mod shared;
mod socket;
mod target;
mod tell;
mod totals;
mod work;
mod worker;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use arc_swap::ArcSwap;
use aya::maps::{HashMap, MapData, MapError, XskMap};
use dropgate_abi::{
    control::Control,
    hold::{HoldPort, MAX_SOCKETS},
};

pub use self::{
    announce::{Announcements, Announcer},
    device::{is_device, remove, strays},
    target::Allowlist,
    tell::{Tell, Told},
    totals::{Size, Totals},
};
use self::{
    bell::Bell,
    credits::Credits,
    kernel::Kernel,
    port::{Onward, Port, SLOTS_A_PORT},
    shared::{Door, Shared},
    worker::Worker,
};
use crate::{
    clock::now_ns,
    datapath::{Object, ObjectError, Raw},
    ethtool,
    inspect::{Generations, Peers, Rules},
    policy::compile::Attachment,
};

/// Interfaces whose packets can be held.
const PLACES: u32 = MAX_SOCKETS / SLOTS_A_PORT;
/// Packets that wait for one worker, at most. Credits bound them first, where at most this many are held on all sockets
/// together.
const BACKLOG: usize = 16_384;

/// Why packets cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    #[error("AF_XDP socket on queue {queue} of `{interface}`")]
    Socket {
        interface: String,
        queue: u32,
        #[source]
        source: io::Error,
    },
    #[error("hold device of `{interface}`")]
    Device {
        interface: String,
        #[source]
        source: io::Error,
    },
    #[error("the program of `{device}`")]
    Program {
        device: String,
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    #[error(
        "`{interface}` has {queues} receive queues, at most {most} can be served; `ethtool -L {interface} combined {most}`"
    )]
    Queues { interface: String, queues: u32, most: u32 },
    #[error("{interfaces} interfaces to hold packets on, room for {room}")]
    TooMany { interfaces: usize, room: u32 },
    #[error("map `{name}`")]
    Map {
        name: &'static str,
        #[source]
        source: Box<MapError>,
    },
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("a thread of the inspector")]
    Thread(#[source] io::Error),
    #[error("hold devices that an earlier daemon left")]
    Strays(#[source] io::Error),
}

/// What becomes of held packets: the sockets by interface, and the threads that inspect.
pub struct Holder {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// By interface index: its place among the ports.
    places: BTreeMap<u32, u32>,
    /// Where the next free one is looked for.
    next_place: u32,
    ports: HashMap<MapData, u32, Raw<HoldPort>>,
    sockets: XskMap<MapData>,
    /// Rules that were in force: some worker may yet read them.
    replaced: Vec<Arc<Generations>>,
}

impl Holder {
    /// Starts so many workers, with no interface yet.
    pub fn start(object: &Object, tell: Tell, workers: u32) -> Result<Self, HoldError> {
        let ports = HashMap::try_from(object.share("HOLD_PORTS")?).map_err(|error| map("HOLD_PORTS", error))?;
        let sockets = XskMap::try_from(object.share("SOCKETS")?).map_err(|error| map("SOCKETS", error))?;
        // pairs that a daemon left which was killed
        for index in strays().map_err(HoldError::Strays)? {
            remove(index).map_err(HoldError::Strays)?;
        }
        let (mut doors, mut inboxes) = (Vec::new(), Vec::new());
        for _ in 0..workers.max(1) {
            let (frames, inbox) = crossbeam::channel::bounded(BACKLOG);
            let bell = Bell::new().map_err(HoldError::Thread)?;
            doors.push(Door { frames, bell, alive_ns: AtomicU64::new(now_ns()) });
            inboxes.push(inbox);
        }
        let shared = Arc::new(Shared {
            ports: ArcSwap::default(),
            rules: ArcSwap::default(),
            credits: Credits::new(object.mapped("CREDITS", MAX_SOCKETS)?),
            control: object.mapped("CONTROL", 1)?,
            kernel: Kernel::new(object)?,
            announcer: Announcer::new(object)?,
            totals: Totals::default(),
            memory: Arc::default(),
            peers: Peers::default(),
            tell,
            workers: doors,
            stopping: AtomicBool::new(false),
            dry: AtomicUsize::new(0),
        });
        let (threads, places, replaced) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut holder = Self { shared, threads, places, next_place: 0, ports, sockets, replaced };
        holder.forget_all();
        for (number, inbox) in inboxes.into_iter().enumerate() {
            let shared = Arc::clone(&holder.shared);
            let thread = std::thread::Builder::new().name(format!("inspector-{number}"));
            let thread = thread.spawn(move || Worker::new(number, shared, inbox).run());
            holder.threads.push(thread.map_err(HoldError::Thread)?);
        }
        Ok(holder)
    }

    /// Serves the interfaces of a plan: those that are new are taken on, those that are gone are let go. What the next
    /// generation says is there before its first packet.
    pub fn follow(
        &mut self,
        object: &mut Object,
        control: &Control,
        plan: &[Attachment],
        (generation, rules): (u32, Rules),
    ) -> Result<(), HoldError> {
        let inspection = rules.inspection;
        let more = self.shared.rules.load().with(generation, rules, now_ns());
        self.replaced.push(self.shared.rules.swap(Arc::new(more)));
        let mut served: Vec<Arc<Port>> = self.shared.ports.load().to_vec();
        served.retain(|port| {
            let stays = plan.iter().any(|at| at.index == port.index && at.build == port.build);
            if !stays {
                self.places.remove(&port.index);
                let _ = self.ports.remove(&port.index);
                port.close_credits(&self.shared.credits);
                port.goes_on(Onward::Nowhere);
                self.shared.totals.dropped.fetch_add(port.dropped(), Ordering::Relaxed);
            }
            stays
        });
        self.shared.ports.store(Arc::new(served.clone()));
        for at in plan {
            if self.places.contains_key(&at.index) {
                continue;
            }
            let Some(place) = self.free_place() else {
                return Err(HoldError::TooMany { interfaces: plan.len(), room: PLACES });
            };
            let workers = self.shared.workers.len() as u32;
            let (port, entries) = Port::open(object, control, at, place, &inspection, workers)?;
            for receiver in port.receivers() {
                self.sockets.set(receiver.place, receiver.descriptor, 0).map_err(|error| map("SOCKETS", error))?;
            }
            for (index, entry) in entries {
                self.ports.insert(index, Raw(entry), 0).map_err(|error| map("HOLD_PORTS", error))?;
            }
            self.places.insert(at.index, place);
            served.push(Arc::new(port));
            self.shared.ports.store(Arc::new(served.clone()));
            if let Some(port) = served.last() {
                port.open_credits(&self.shared.credits);
            }
        }
        for port in &served {
            let there = |index: u32| served.iter().find(|port| port.index == index).cloned();
            port.goes_on(match plan.iter().find(|at| at.index == port.index).and_then(|at| at.peer) {
                None => Onward::Device,
                Some(peer) => there(peer).map_or(Onward::Nowhere, Onward::Peer),
            });
        }
        Ok(())
    }

    /// Forgets rules of generations of which nothing is held any more. Workers let go of what was replaced as they go on; it is
    /// freed here, because that takes as long as many packets do.
    pub fn forget(&mut self) {
        if let Some(fewer) = self.shared.rules.load().without_old(now_ns()) {
            self.replaced.push(self.shared.rules.swap(Arc::new(fewer)));
        }
        self.replaced.retain(|replaced| Arc::strong_count(replaced) > 1);
    }

    /// What the inspector has done so far.
    pub fn totals(&self) -> &Totals {
        &self.shared.totals
    }

    /// What became of the flows that others announced.
    pub fn announcements(&self) -> Announcements {
        self.shared.announcer.done(now_ns())
    }

    /// What it is made of, and what it takes.
    pub fn size(&self) -> Size {
        let ports = self.shared.ports.load();
        Size {
            workers: self.threads.len(),
            sockets: ports.iter().map(|port| port.receivers().len()).sum(),
            zero_copy: ports.iter().map(|port| port.zero_copy).sum(),
            memory: self.shared.memory.used(),
        }
    }

    /// A place among the ports that is free, and was for longest: a worker may have yet to hear that a port is gone.
    fn free_place(&mut self) -> Option<u32> {
        let mut places = (0..PLACES).map(|step| (self.next_place + step) % PLACES);
        let found = places.find(|place| self.places.values().all(|taken| taken != place))?;
        self.next_place = found + 1;
        Some(found)
    }

    /// Entries that an earlier daemon left.
    fn forget_all(&mut self) {
        let left: Vec<u32> = self.ports.keys().filter_map(Result::ok).collect();
        for index in left {
            let _ = self.ports.remove(&index);
        }
    }
}

impl Drop for Holder {
    /// What is held is released; from then on nobody inspects.
    fn drop(&mut self) {
        self.shared.credits.close_all();
        self.shared.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.forget_all();
        self.shared.ports.store(Arc::default());
    }
}

/// How many workers, where the policy does not say: as many as an interface has receive queues, at most the CPUs.
pub fn workers(plan: &[Attachment]) -> u32 {
    let queues = plan.iter().map(|at| ethtool::receive_queues(&at.name)).max().unwrap_or(1);
    queues.min(std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32)).max(1)
}

fn map(name: &'static str, source: MapError) -> HoldError {
    HoldError::Map { name, source: Box::new(source) }
}
