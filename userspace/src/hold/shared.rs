//! What the workers and the daemon share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use crossbeam::channel::Sender;
use dropgate_abi::{
    control::Control,
    hold::{Held, part},
};

use super::{
    announce::Announcer,
    bell::Bell,
    credits::Credits,
    kernel::Kernel,
    memory::Memory,
    port::{Port, Way},
    tell::Tell,
    totals::Totals,
};
use crate::{
    datapath::Mapped,
    inspect::{Generations, Peers},
};

/// Shared by all workers. Who writes what stands with each.
pub struct Shared {
    /// The interfaces that are served. The daemon writes.
    pub ports: ArcSwap<Vec<Arc<Port>>>,
    /// What the last few generations say: there before the first packet that one of them judges. The daemon writes.
    pub rules: ArcSwap<Generations>,
    /// The daemon opens and closes them, workers give them back.
    pub credits: Credits,
    pub control: Mapped<Control>,
    pub kernel: Kernel,
    pub announcer: Announcer,
    pub totals: Totals,
    pub memory: Arc<Memory>,
    pub peers: Peers,
    pub tell: Tell,
    /// By number.
    pub workers: Vec<Door>,
    /// The end has come. The daemon writes.
    pub stopping: AtomicBool,
    /// Workers that have nothing left to hand to others.
    pub dry: AtomicUsize,
}

/// How a worker is reached by the others.
pub struct Door {
    pub frames: Sender<Handed>,
    pub bell: Bell,
    /// Its last sign of life.
    pub alive_ns: AtomicU64,
}

/// What one worker has received and another is to inspect.
pub enum Handed {
    /// A frame as it was received, with its credits.
    Frame {
        port: Arc<Port>,
        place: u32,
        held: Held,
        frame: Box<[u8]>,
    },
    /// A packet that was put together, and the frames that it came in; their credits are given back already.
    Whole {
        port: Arc<Port>,
        place: u32,
        held: Held,
        frame: Box<[u8]>,
        parts: Vec<Box<[u8]>>,
    },
    /// A packet of the flow is on its way, in fragments; or one that was has ended.
    Expected(Held),
    Ended(Held),
}

impl Handed {
    /// Credits that are due when it has gone.
    pub fn credits(&self) -> usize {
        if let Self::Frame { held, .. } = self { held.buffers.into() } else { 0 }
    }

    /// What is to leave of it, if it does.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let (frame, parts) = match self {
            Self::Frame { frame, .. } => (Some(frame), &[][..]),
            Self::Whole { parts, .. } => (None, parts.as_slice()),
            Self::Expected(_) | Self::Ended(_) => (None, &[][..]),
        };
        frame.into_iter().chain(parts).map(|frame| &**frame)
    }
}

impl Shared {
    /// The worker that has a flow: always the same one, for both directions.
    pub fn owner(&self, held: &Held) -> usize {
        (held.hash % self.workers.len().max(1) as u64) as usize
    }

    /// The worker that is to have a frame. Of a datagram in fragments only one tells its flow: the first worker puts them
    /// together, and hands on what comes of it.
    pub fn receiver(&self, held: &Held) -> usize {
        if held.part == part::WHOLE { self.owner(held) } else { 0 }
    }

    /// Index of the interface that a packet came in by which was held on the socket at `place`; 0: it was on its way out.
    pub fn interface(&self, place: u32) -> u32 {
        let ports = self.ports.load();
        let port = ports.iter().find(|port| port.has(place)).filter(|port| port.way(place) == Way::In);
        port.map_or(0, |port| port.index)
    }

    /// The last time at which all workers were alive.
    pub fn alive_ns(&self) -> u64 {
        alive_ns(&self.workers)
    }

    /// The generation in force.
    pub fn generation(&self) -> u32 {
        // SAFETY: an aligned word inside the mapping, written at once by a commit.
        self.control.at(0).map_or(0, |control| unsafe { (&raw const (*control).active).read_volatile() >> 32 } as u32)
    }
}

/// The last time at which all of these were alive. One that is stuck makes all of them late: any of the packets that come may
/// be for it.
fn alive_ns(workers: &[Door]) -> u64 {
    workers.iter().map(|worker| worker.alive_ns.load(Ordering::Relaxed)).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_late_as_the_latest() {
        let door = |alive_ns| {
            let (frames, _) = crossbeam::channel::bounded(1);
            Door { frames, bell: Bell::new().unwrap(), alive_ns: AtomicU64::new(alive_ns) }
        };
        let workers = [door(70), door(50), door(90)];
        assert_eq!(alive_ns(&workers), 50);
        workers[1].alive_ns.store(80, Ordering::Relaxed);
        assert_eq!(alive_ns(&workers), 70);
    }
}
