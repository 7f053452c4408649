//! Packets held in userspace and released: AF_XDP sockets on the protected interfaces, and the thread that serves them.
//!
//! A held packet that came in by an interface is released into that same interface, as if it had never left it; one on its
//! way out is released onto it. `xdp/src/hold.rs` is the other half.

mod announce;
mod device;
mod flows;
mod fragments;
mod inspector;
mod port;
mod socket;
mod target;
mod tell;
mod totals;
mod work;

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use aya::maps::{HashMap, MapData, MapError, XskMap};
use crossbeam::channel::Sender;
use dropgate_abi::{
    control::Control,
    hold::{Credit, HoldPort, MAX_SOCKETS},
};

use self::{
    announce::Announcer,
    inspector::{Inspector, Order},
    port::{Port, SLOTS_A_PORT},
};
pub use self::{
    device::{is_device, remove, strays},
    target::Allowlist,
    tell::{Tell, Told},
    totals::Totals,
};
use crate::{
    datapath::{Mapped, Object, ObjectError, Raw, program},
    inspect::Rules,
    policy::compile::Attachment,
};

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
    #[error("the inspector's thread")]
    Thread(#[source] io::Error),
    #[error("hold devices that an earlier daemon left")]
    Strays(#[source] io::Error),
}

/// What becomes of held packets: the sockets by interface, and the thread that inspects.
pub struct Holder {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
    /// By interface index: its place among the ports.
    places: BTreeMap<u32, u32>,
    ports: HashMap<MapData, u32, Raw<HoldPort>>,
    sockets: XskMap<MapData>,
    totals: Arc<Totals>,
}

impl Holder {
    /// Starts the inspector, with no interface yet.
    pub fn start(object: &Object, tell: Tell) -> Result<Self, HoldError> {
        let ports = object.share("HOLD_PORTS")?;
        let ports = HashMap::try_from(ports).map_err(|error| map("HOLD_PORTS", error))?;
        let sockets = XskMap::try_from(object.share("SOCKETS")?).map_err(|error| map("SOCKETS", error))?;
        let credits = object.mapped::<Credit>("CREDITS", MAX_SOCKETS)?;
        nobody(&credits);
        let settle: OwnedFd =
            object.program_fd(program::SETTLE)?.as_fd().try_clone_to_owned().map_err(HoldError::Thread)?;
        let announcer = Arc::new(Announcer::new(object)?);
        let (orders, inbox) = crossbeam::channel::unbounded();
        let totals = Arc::new(Totals::default());
        let inspector = Inspector::new(credits, settle, inbox, Arc::clone(&totals), tell, announcer);
        let thread = std::thread::Builder::new()
            .name("inspector".to_owned())
            .spawn(move || inspector.run())
            .map_err(HoldError::Thread)?;
        // pairs that a daemon left which was killed
        for index in strays().map_err(HoldError::Strays)? {
            remove(index).map_err(HoldError::Strays)?;
        }
        let mut holder = Self { orders, thread: Some(thread), places: BTreeMap::new(), ports, sockets, totals };
        holder.forget_all();
        Ok(holder)
    }

    /// Serves the interfaces of a plan: those that are new are taken on, those that are gone are let go.
    pub fn follow(
        &mut self,
        object: &mut Object,
        control: &Control,
        plan: &[Attachment],
        (generation, rules): (u32, Rules),
    ) -> Result<(), HoldError> {
        let inspection = rules.inspection;
        let _ = self.orders.send(Order::Rules(generation, Arc::new(rules)));
        let gone: Vec<u32> =
            self.places.keys().copied().filter(|index| plan.iter().all(|at| at.index != *index)).collect();
        for index in gone {
            self.places.remove(&index);
            let _ = self.ports.remove(&index);
            let _ = self.orders.send(Order::Leave(index));
        }
        for at in plan {
            if self.places.contains_key(&at.index) {
                continue;
            }
            let taken: Vec<u32> = self.places.values().copied().collect();
            let place = (0..MAX_SOCKETS / SLOTS_A_PORT).find(|place| !taken.contains(place));
            let Some(place) = place else {
                return Err(HoldError::TooMany { interfaces: plan.len(), room: MAX_SOCKETS / SLOTS_A_PORT });
            };
            let (port, entries) = Port::open(object, control, at, place, &inspection)?;
            for (socket, descriptor) in port.sockets() {
                self.sockets.set(socket, descriptor, 0).map_err(|error| map("SOCKETS", error))?;
            }
            for (index, entry) in entries {
                self.ports.insert(index, Raw(entry), 0).map_err(|error| map("HOLD_PORTS", error))?;
            }
            self.places.insert(at.index, place);
            let _ = self.orders.send(Order::Serve(Box::new(port)));
        }
        Ok(())
    }

    /// What the inspector has done so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
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
        self.totals.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.forget_all();
        for index in self.places.keys() {
            let _ = remove(*index);
        }
    }
}

fn map(name: &'static str, source: MapError) -> HoldError {
    HoldError::Map { name, source: Box::new(source) }
}

/// No socket is served.
fn nobody(credits: &Mapped<Credit>) {
    for index in 0..credits.len() {
        if let Some(credit) = credits.at(index) {
            // SAFETY: inside the mapping; an aligned word that only the daemon writes.
            unsafe { (&raw mut (*credit).limit).write_volatile(0) };
        }
    }
}

/// Longest that the inspector waits for packets before it gives a sign of life.
const PATIENCE: Duration = Duration::from_millis(10);
