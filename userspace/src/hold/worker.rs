//! A thread that serves sockets: takes what was held, decides, releases, and gives credits back.
//!
//! There are as many workers as the policy says, by default as many as there are receive queues. Each receives by sockets of
//! its own and inspects the flows whose hash names it, both directions; what is another's is handed over. With one worker
//! nothing is.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crossbeam::channel::Receiver;

use super::{
    flows::Flows,
    port::{Port, Way},
    shared::{Handed, Shared},
    tell::Limiter,
};
use crate::{
    clock::now_ns,
    defragment::Defragment,
    inspect::{Awaited, Judged},
    xsk::Received,
};

/// Longest that a worker waits for packets before it gives a sign of life.
const PATIENCE: Duration = Duration::from_millis(10);
/// After this long without a packet a flow is forgotten, at the latest after twice that.
const IDLE: Duration = Duration::from_secs(60);
/// For this long an inspector meets flows that were held by one before it.
const NEW: Duration = Duration::from_secs(60);
/// Between two looks at the sockets' own statistics.
const LOOK: Duration = Duration::from_millis(500);
/// How long a worker that ends waits for those that may hand it something.
const LAST: Duration = Duration::from_secs(1);

/// A flow of which nothing more is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Finished {
    pub id: u64,
    /// [`dropgate_abi::flow::Flow::app`].
    pub app: u8,
    /// But for packets that rules may match.
    pub sieved: bool,
}

/// The thread's own.
pub struct Worker {
    pub(super) number: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Receiver<Handed>,
    /// Taken out of `inbox`, in its order.
    pub(super) backlog: VecDeque<Handed>,
    /// What one socket has received, while it is inspected.
    pub(super) received: Vec<Received>,
    pub(super) judged: Judged,
    pub(super) flows: Flows,
    pub(super) defragment: Defragment,
    /// Flows of this round that may leave inspection once it has left, and what they speak.
    pub(super) finished: Vec<Finished>,
    /// Flows of this round that may leave once it is acknowledged.
    pub(super) awaited: Vec<(u64, Awaited)>,
    /// Flows that the programs let go when it is, and when to look whether they have (ns); in order of time.
    pub(super) watched: VecDeque<(u64, u64)>,
    /// Flows whose packets have waited long enough.
    pub(super) due: Vec<u64>,
    /// Flows whose packets wait, and until when (ns); in order of time.
    pub(super) deadlines: VecDeque<(u64, u64)>,
    /// Where the kernel has yet to take what was released.
    pub(super) unsent: Vec<(Arc<Port>, Way)>,
    pub(super) limiter: Limiter,
    started: Instant,
    /// Of [`Totals::flows`](super::Totals::flows), this worker's.
    counted: u64,
}

impl Worker {
    /// Has nothing yet.
    pub fn new(number: usize, shared: Arc<Shared>, inbox: Receiver<Handed>) -> Self {
        Self {
            number,
            inbox,
            backlog: VecDeque::new(),
            received: Vec::new(),
            judged: Judged::default(),
            flows: Flows::new(Arc::clone(&shared.memory)),
            defragment: Defragment::default(),
            finished: Vec::new(),
            awaited: Vec::new(),
            watched: VecDeque::new(),
            due: Vec::new(),
            deadlines: VecDeque::new(),
            unsent: Vec::new(),
            limiter: Limiter::default(),
            started: Instant::now(),
            counted: 0,
            shared,
        }
    }

    /// Until told to end. What is held then is released.
    pub fn run(mut self) {
        let (mut aged, mut looked) = (Instant::now(), Instant::now());
        let mut dry = None;
        loop {
            let end = self.shared.stopping.load(Ordering::Relaxed);
            let any = self.round(end);
            if end && !any && self.ends(&mut dry) {
                break;
            }
            if !any {
                self.wait();
            }
            if aged.elapsed() > IDLE {
                aged = Instant::now();
                self.flows.age();
                self.tell_ends();
            }
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                self.look();
            }
        }
        self.look();
        self.flows.age();
        self.flows.age();
        self.tell_ends();
    }

    /// Serves every socket once; whether there was anything. `all`: nothing is to wait any longer.
    fn round(&mut self, all: bool) -> bool {
        let ports = self.shared.ports.load_full();
        self.sign_of_life(&ports);
        let mut any = self.flush_again();
        any |= self.expire(all, &ports);
        for port in ports.iter() {
            for receiver in port.receivers_of(self.number, self.shared.workers.len()) {
                any |= self.receive(port, receiver);
                self.let_go(&ports);
            }
        }
        any |= self.take_over();
        self.late_fragments();
        self.let_go(&ports);
        self.settle_finished();
        self.forget_settled();
        any
    }

    /// For this long an inspector meets flows that were held by one before it.
    pub(super) fn is_new(&self) -> bool {
        self.started.elapsed() < NEW
    }

    /// Nothing is left here. Whether nothing more will be handed over either.
    fn ends(&self, dry: &mut Option<Instant>) -> bool {
        let since = dry.get_or_insert_with(|| {
            self.shared.dry.fetch_add(1, Ordering::AcqRel);
            Instant::now()
        });
        let all = self.shared.dry.load(Ordering::Acquire) >= self.shared.workers.len();
        all && self.inbox.is_empty() || since.elapsed() > LAST
    }

    /// Waits for a packet, until one that is here has waited long enough or a sign of life is due.
    fn wait(&self) {
        let left = self.deadlines.front().map(|(deadline, _)| Duration::from_nanos(deadline.saturating_sub(now_ns())));
        // rounded up, so that it has passed then
        let patience = left.map_or(PATIENCE, |left| PATIENCE.min(left + Duration::from_millis(1)));
        let Some(door) = self.shared.workers.get(self.number) else { return };
        let ports = self.shared.ports.load();
        let mine = ports.iter().flat_map(|port| port.receivers_of(self.number, self.shared.workers.len()));
        let descriptors = mine.map(|receiver| receiver.descriptor).chain([door.bell.descriptor()]);
        let mut polled: Vec<libc::pollfd> =
            descriptors.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
        door.bell.falls_asleep();
        if self.inbox.is_empty() {
            // SAFETY: valid entries, as many as said.
            unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, patience.as_millis() as i32) };
        }
        door.bell.wakes();
    }

    fn sign_of_life(&self, ports: &[Arc<Port>]) {
        let Some(door) = self.shared.workers.get(self.number) else { return };
        door.alive_ns.store(now_ns(), Ordering::Relaxed);
        let all_ns = self.shared.alive_ns();
        for port in ports {
            for receiver in port.receivers_of(self.number, self.shared.workers.len()) {
                self.shared.credits.alive(receiver.place, all_ns);
            }
        }
    }

    /// Looks at what the sockets themselves count, and at its own flows.
    fn look(&mut self) {
        let totals = &self.shared.totals;
        let flows = self.flows.len() as u64;
        totals.flows.fetch_add(flows.wrapping_sub(self.counted), Ordering::Relaxed);
        self.counted = flows;
        totals.discarded.fetch_add(std::mem::take(&mut self.flows.discarded), Ordering::Relaxed);
        if self.number == 0 {
            let ports = self.shared.ports.load();
            totals.dropped.fetch_add(ports.iter().map(|port| port.dropped()).sum(), Ordering::Relaxed);
        }
    }
}
