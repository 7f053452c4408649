//! The thread that serves the sockets: takes what was held, decides, releases, and gives credits back.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam::channel::Receiver;
use dropgate_abi::{
    bytes_of,
    hold::{Credit, Settle, settled},
};
use xdp::slab::Slab as _;

use super::{
    PATIENCE,
    flows::Flows,
    port::{Port, Served},
    socket::{Hands, Socket},
};
use crate::{
    clock::now_ns,
    datapath::{Mapped, test_run},
    policy::model::Inspection,
};

/// After this long without a packet a flow is forgotten, at the latest after twice that.
const IDLE: Duration = Duration::from_secs(60);
/// Between two looks at the sockets' own statistics.
const LOOK: Duration = Duration::from_millis(500);

/// What the daemon tells the inspector.
pub enum Order {
    Serve(Box<Port>),
    /// An interface is gone, by index.
    Leave(u32),
    Inspection(Inspection),
    End,
}

/// What the inspector has done so far.
#[derive(Default, Debug)]
pub struct Totals {
    /// Packets and bytes of frames that came to userspace.
    pub packets: AtomicU64,
    pub bytes: AtomicU64,
    pub released: AtomicU64,
    /// Packets that could not be released, because the kernel did not take them.
    pub lost: AtomicU64,
    /// Flows that left inspection.
    pub settled: AtomicU64,
    /// Flows under inspection.
    pub flows: AtomicU64,
    /// Packets that the kernel dropped at the sockets; credits are there to keep this at zero.
    pub dropped: AtomicU64,
    pub(super) stopping: AtomicBool,
}

/// The thread's own.
pub struct Inspector {
    credits: Mapped<Credit>,
    settle: OwnedFd,
    inbox: Receiver<Order>,
    totals: Arc<Totals>,
    ports: Vec<Port>,
    flows: Flows,
    /// Flows of this batch that may leave inspection once it has left.
    finished: Vec<u64>,
    inspection: Inspection,
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
    ) -> io::Result<Self> {
        Ok(Self {
            credits,
            settle,
            inbox,
            totals,
            ports: Vec::new(),
            flows: Flows::default(),
            finished: Vec::new(),
            inspection: Inspection::default(),
            dropped_before: 0,
        })
    }

    /// Until told to end. What is held then is released.
    pub fn run(mut self) {
        let mut hands = Hands::new();
        let (mut aged, mut looked) = (Instant::now(), Instant::now());
        loop {
            let end = self.orders();
            self.sign_of_life();
            let mut any = false;
            for at in 0..self.ports.len() {
                any |= self.serve(at, &mut hands);
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
                        self.open_credit(place, self.inspection.held);
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
                Order::Inspection(inspection) => self.inspection = inspection,
                Order::End => {}
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
    fn serve(&mut self, at: usize, hands: &mut Hands) -> bool {
        let mut any = false;
        let Some(port) = self.ports.get_mut(at) else { return false };
        let Port { queues, device, .. } = port;
        let mut work = Work {
            flows: &mut self.flows,
            finished: &mut self.finished,
            totals: &self.totals,
            depth: self.inspection.depth,
        };
        for queue in 0..queues.len() {
            let count = work.pass(&mut queues[queue].socket, &mut device.socket, hands);
            give_back(&self.credits, queues[queue].place, count);
            any |= count > 0;
        }
        if let Some(queue) = queues.first_mut() {
            let count = work.pass(&mut device.socket, &mut queue.socket, hands);
            give_back(&self.credits, device.place, count);
            any |= count > 0;
        }
        self.settle_finished();
        any
    }

    /// Lets the flows of the last batch leave inspection, whose packets have all left.
    fn settle_finished(&mut self) {
        for id in std::mem::take(&mut self.finished) {
            let Some(flow) = self.flows.get(id) else { continue };
            let Some(held) = flow.complete() else { continue };
            let request = Settle { hash: flow.hash, flow: id, held, ..Settle::default() };
            let answer = test_run(self.settle.as_fd(), bytes_of(&request), 1, None);
            match answer.map(|ran| ran.action) {
                Ok(settled::DONE) => {
                    self.totals.settled.fetch_add(1, Ordering::Relaxed);
                    self.flows.forget(id);
                }
                Ok(settled::GONE) => self.flows.forget(id),
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

/// What a batch of packets is decided with.
struct Work<'a> {
    flows: &'a mut Flows,
    finished: &'a mut Vec<u64>,
    totals: &'a Totals,
    depth: Option<u64>,
}

impl Work<'_> {
    /// Moves what one socket received out by another; how many packets there were. Of each flow they leave in the order in
    /// which they came.
    fn pass(&mut self, from: &mut Socket, to: &mut Socket, hands: &mut Hands) -> usize {
        let count = from.receive(hands, to.room());
        if count == 0 {
            return 0;
        }
        let (mut bytes, mut released, mut lost) = (0, 0, 0);
        while let Some(mut packet) = hands.received.pop_back() {
            if let Some((held, frame)) = Socket::read(&mut packet) {
                let len = frame.len();
                bytes += len as u64;
                let flow = self.flows.seen(&held, len);
                if self.depth.is_some_and(|depth| flow.bytes >= depth) {
                    self.finished.push(held.flow);
                }
                if to.send(hands, frame) {
                    released += 1;
                } else {
                    lost += 1;
                }
            }
            from.free(packet);
        }
        // what the kernel did not take now stays in the ring, and goes first the next time
        let _ = to.flush();
        from.refill();
        self.finished.dedup();
        let totals = self.totals;
        totals.packets.fetch_add(count as u64, Ordering::Relaxed);
        totals.bytes.fetch_add(bytes, Ordering::Relaxed);
        totals.released.fetch_add(released, Ordering::Relaxed);
        totals.lost.fetch_add(lost, Ordering::Relaxed);
        count
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
