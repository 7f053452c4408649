//! The thread that serves the sockets: takes what was held, decides, releases, and gives credits back.

use std::{
    collections::VecDeque,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crossbeam::channel::Receiver;
use dropgate_abi::hold::{Credit, Settle, settled};

use super::{
    PATIENCE,
    announce::Announcer,
    flows::Flows,
    port::{Port, SLOTS_A_PORT, Served},
    socket::Hands,
    tell::{Limiter, Tell},
    totals::Totals,
    work::{Work, ask},
};
use crate::{
    clock::now_ns,
    datapath::Mapped,
    defragment::Defragment,
    inspect::{Generations, Judged, Rules, Waiting},
};

/// After this long without a packet a flow is forgotten, at the latest after twice that.
const IDLE: Duration = Duration::from_secs(60);
/// For this long an inspector meets flows that were held by one before it.
const NEW: Duration = Duration::from_secs(60);
/// Between two looks at the sockets' own statistics.
const LOOK: Duration = Duration::from_millis(500);

/// What the daemon tells the inspector.
pub enum Order {
    Serve(Box<Port>),
    /// An interface is gone, by index.
    Leave(u32),
    /// What a generation says, before its first packet.
    Rules(u32, Arc<Rules>),
}

/// The thread's own.
pub struct Inspector {
    credits: Mapped<Credit>,
    settle: OwnedFd,
    inbox: Receiver<Order>,
    totals: Arc<Totals>,
    ports: Vec<Port>,
    flows: Flows,
    defragment: Defragment,
    /// Flows of this batch that may leave inspection once it has left, and what they speak.
    finished: Vec<(u64, u8)>,
    /// Flows whose packets have waited long enough.
    due: Vec<u64>,
    /// Flows whose packets wait, and until when (ns); in order of time.
    deadlines: VecDeque<(u64, u64)>,
    started: Instant,
    rules: Generations,
    tell: Tell,
    limiter: Limiter,
    announcer: Arc<Announcer>,
    /// Drops at sockets that are closed now.
    dropped_before: u64,
}

impl Inspector {
    /// Serves no socket yet.
    pub fn new(
        credits: Mapped<Credit>,
        settle: OwnedFd,
        inbox: Receiver<Order>,
        totals: Arc<Totals>,
        tell: Tell,
        announcer: Arc<Announcer>,
    ) -> Self {
        Self {
            credits,
            settle,
            inbox,
            totals,
            ports: Vec::new(),
            flows: Flows::default(),
            defragment: Defragment::default(),
            finished: Vec::new(),
            due: Vec::new(),
            deadlines: VecDeque::new(),
            started: Instant::now(),
            rules: Generations::default(),
            tell,
            limiter: Limiter::default(),
            announcer,
            dropped_before: 0,
        }
    }

    /// Until told to end. What is held then is released.
    pub fn run(mut self) {
        let (mut hands, mut judged) = (Hands::new(), Judged::default());
        let (mut aged, mut looked) = (Instant::now(), Instant::now());
        loop {
            let end = self.orders();
            self.sign_of_life();
            let mut any = self.expire(end, &mut hands);
            for at in 0..self.ports.len() {
                any |= self.serve(at, &mut hands, &mut judged);
            }
            if end && !any {
                break;
            }
            if !any {
                self.wait();
            }
            if aged.elapsed() > IDLE {
                aged = Instant::now();
                self.flows.age();
            }
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                self.look();
            }
        }
        self.look();
    }

    /// Takes the daemon's orders; whether the end is among them.
    fn orders(&mut self) -> bool {
        while let Ok(order) = self.inbox.try_recv() {
            match order {
                Order::Serve(port) => {
                    for (place, _) in port.sockets() {
                        self.open_credit(place, port.held);
                    }
                    self.ports.push(*port);
                }
                Order::Leave(index) => {
                    for port in self.ports.iter().filter(|port| port.index == index) {
                        for (place, _) in port.sockets() {
                            self.close_credit(place);
                        }
                        self.dropped_before += dropped(port);
                    }
                    self.ports.retain(|port| port.index != index);
                    let _ = super::remove(index);
                }
                Order::Rules(generation, rules) => self.rules.add(generation, rules),
            }
        }
        let end = self.totals.stopping.load(Ordering::Relaxed);
        if end {
            for at in 0..self.credits.len() {
                self.close_credit(at as u32);
            }
        }
        end
    }

    /// Serves the sockets of a port once; whether there was anything.
    fn serve(&mut self, at: usize, hands: &mut Hands, judged: &mut Judged) -> bool {
        let mut any = false;
        let Some(port) = self.ports.get_mut(at) else { return false };
        let Port { queues, device, .. } = port;
        let mut work = Work {
            flows: &mut self.flows,
            defragment: &mut self.defragment,
            finished: &mut self.finished,
            due: &mut self.due,
            deadlines: &mut self.deadlines,
            totals: &self.totals,
            rules: &self.rules,
            tell: &self.tell,
            limiter: &mut self.limiter,
            announcer: &self.announcer,
            settle: self.settle.as_fd(),
            now_ns: now_ns(),
            new: self.started.elapsed() < NEW,
        };
        for Served { place, socket } in queues.iter_mut() {
            let count = work.pass((*place, socket), &mut device.socket, hands, judged);
            give_back(&self.credits, *place, count);
            any |= count > 0;
        }
        if let Some(queue) = queues.first_mut() {
            let count = work.pass((device.place, &mut device.socket), &mut queue.socket, hands, judged);
            give_back(&self.credits, device.place, count);
            any |= count > 0;
        }
        work.late_fragments();
        self.let_go(hands);
        self.settle_finished();
        any
    }

    /// Packets that have waited in vain leave; `all`: every one that waits. Whether there were any.
    fn expire(&mut self, all: bool, hands: &mut Hands) -> bool {
        let now = now_ns();
        while let Some((_, id)) = self.deadlines.pop_front_if(|(deadline, _)| all || *deadline <= now) {
            self.due.push(id);
        }
        let any = !self.due.is_empty();
        self.let_go(hands);
        any
    }

    /// What waited of the flows that are due leaves, each packet the way it would have gone.
    fn let_go(&mut self, hands: &mut Hands) {
        for id in std::mem::take(&mut self.due) {
            let Some(flow) = self.flows.get_mut(id) else { continue };
            for Waiting { place, frame } in flow.talk.let_go() {
                let port = self.ports.iter_mut().find(|port| port.device.place / SLOTS_A_PORT == place / SLOTS_A_PORT);
                // an interface that is gone has no more need of it
                let Some(port) = port else { continue };
                let outward = place == port.device.place;
                let Some(queue) = port.queues.first_mut() else { continue };
                let to = if outward { &mut queue.socket } else { &mut port.device.socket };
                self.totals.sent(to.send(hands, &frame));
                let _ = to.flush();
            }
        }
    }

    /// Lets the flows of the last batch leave inspection, whose packets have all left.
    fn settle_finished(&mut self) {
        for (id, app) in std::mem::take(&mut self.finished) {
            let Some(flow) = self.flows.get(id) else { continue };
            let Some(held) = flow.complete().filter(|_| !flow.talk.keeps()) else { continue };
            let request = Settle { hash: flow.hash, flow: id, held, app, ..Settle::default() };
            match ask(self.settle.as_fd(), &request) {
                settled::DONE => {
                    self.totals.settled.fetch_add(1, Ordering::Relaxed);
                    self.flows.forget(id);
                }
                settled::GONE => self.flows.forget(id),
                // more of it was held meanwhile, and will be seen
                _ => {}
            }
        }
    }

    /// Waits for a packet, for as long as a sign of life may take.
    fn wait(&self) {
        let sockets = self.ports.iter().flat_map(Port::sockets);
        let mut polled: Vec<libc::pollfd> = sockets
            .map(|(_, descriptor)| libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 })
            .collect();
        // SAFETY: valid entries, as many as said.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, PATIENCE.as_millis() as i32) };
    }

    fn sign_of_life(&self) {
        let now = now_ns();
        for port in &self.ports {
            for (place, _) in port.sockets() {
                if let Some(credit) = self.credits.at(place as usize) {
                    // SAFETY: inside the mapping; an aligned word that only this thread writes.
                    unsafe { (&raw mut (*credit).alive_ns).write_volatile(now) };
                }
            }
        }
    }

    /// Looks at what the sockets themselves count.
    fn look(&self) {
        let dropped = self.dropped_before + self.ports.iter().map(dropped).sum::<u64>();
        self.totals.dropped.store(dropped, Ordering::Relaxed);
        self.totals.flows.store(self.flows.len() as u64, Ordering::Relaxed);
    }

    /// All credits of a socket are there again: what an earlier one held is gone.
    fn open_credit(&self, place: u32, limit: u32) {
        if let Some(credit) = self.credits.at(place as usize) {
            // SAFETY: inside the mapping; aligned words that only this thread writes, and one that it reads.
            unsafe {
                let taken = (&raw const (*credit).taken).read_volatile();
                (&raw mut (*credit).returned).write_volatile(taken);
                (&raw mut (*credit).alive_ns).write_volatile(now_ns());
                (&raw mut (*credit).limit).write_volatile(limit);
            }
        }
    }

    fn close_credit(&self, place: u32) {
        if let Some(credit) = self.credits.at(place as usize) {
            // SAFETY: inside the mapping; an aligned word that only this thread writes.
            unsafe { (&raw mut (*credit).limit).write_volatile(0) };
        }
    }
}

/// Returns the credits of packets that have left, and whose memory the kernel has again.
fn give_back(credits: &Mapped<Credit>, place: u32, count: usize) {
    if count == 0 {
        return;
    }
    if let Some(credit) = credits.at(place as usize) {
        // SAFETY: inside the mapping; an aligned word that only this thread writes.
        unsafe {
            let returned = &raw mut (*credit).returned;
            returned.write_volatile(returned.read_volatile().wrapping_add(count as u32));
        }
    }
}

fn dropped(port: &Port) -> u64 {
    port.queues.iter().chain([&port.device]).map(|Served { socket, .. }| socket.dropped()).sum()
}
