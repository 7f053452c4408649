//! From the ring buffer to EVE: a thread of its own, so that a long compile costs no event.

use std::{
    io::Write as _,
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::notes::Notes;
use crate::{
    events::{self, Clock, EveWriter, Names, eve::Event, inspection, signatures},
    hold::Told,
    inspect::{Signatures, Watched},
    view::filter::Filter,
};
use anyhow::Context as _;
use arc_swap::{ArcSwap, ArcSwapOption};
use aya::maps::{MapData, RingBuf};
use crossbeam::channel::{Receiver, Sender, bounded};
use dropgate_abi::{event::FlowEnd, walk::Walk};

/// A listener that does not read is cut off after this many bytes could not be written for it.
const PATIENCE: Duration = Duration::from_millis(100);

/// Words that may wait: an inspector whose word finds no room goes on, and its event is lost and counted.
const WORDS: usize = 1 << 15;

/// Words that are heard by one reading of the clocks.
const AT_ONCE: usize = 1 << 10;

/// What the thread is told.
pub enum Word {
    /// A made event, of the daemon's own.
    Event(Box<Event>),
    /// What an inspector tells, at this time (ns).
    Told(Box<Told>, u64),
    /// Send what the filter lets through to this listener.
    Listen(UnixStream, Filter),
    /// Open the file again: it was rotated away.
    Reopen,
}

/// The thread that writes events.
pub struct Ring {
    pub words: Sender<Word>,
    pub unwritten: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ring {
    /// Starts it on a ring buffer. Without a file, events only go to listeners.
    pub fn start(
        map: MapData,
        file: Option<PathBuf>,
        (names, signatures): (Arc<ArcSwap<Names>>, Arc<ArcSwapOption<Signatures>>),
    ) -> anyhow::Result<Self> {
        let ring = RingBuf::try_from(aya::maps::Map::RingBuf(map)).context("the ring buffer")?;
        let writer = match file {
            Some(path) => Some(EveWriter::open(&path).with_context(|| format!("`{}`", path.display()))?),
            None => None,
        };
        let (words, heard) = bounded(WORDS);
        let (unwritten, done) = (Arc::default(), Arc::<AtomicBool>::default());
        let thread = {
            let (unwritten, done) = (Arc::clone(&unwritten), Arc::clone(&done));
            let work = Work {
                ring,
                writer,
                names,
                signatures,
                watched: Watched::default(),
                heard,
                listeners: Vec::new(),
                notes: Notes::default(),
                unwritten,
                done,
            };
            std::thread::Builder::new().name("events".into()).spawn(move || work.run()).context("a thread")?
        };
        Ok(Self { words, unwritten, done, thread: Some(thread) })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    ring: RingBuf<MapData>,
    writer: Option<EveWriter>,
    names: Arc<ArcSwap<Names>>,
    signatures: Arc<ArcSwapOption<Signatures>>,
    /// Reused from one packet to the next.
    watched: Watched,
    heard: Receiver<Word>,
    listeners: Vec<(UnixStream, Filter)>,
    notes: Notes,
    unwritten: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
}

impl Work {
    fn run(mut self) {
        loop {
            let last = self.done.load(Ordering::Acquire);
            self.drain();
            let clock = Clock::system();
            let mut words = 0;
            while words < AT_ONCE
                && let Ok(word) = self.heard.try_recv()
            {
                words += 1;
                match word {
                    Word::Event(event) => self.publish(&event),
                    Word::Told(told, now_ns) => {
                        let names = self.names.load_full();
                        self.made(*told, now_ns, &names, &clock);
                    }
                    Word::Listen(stream, filter) => {
                        let _ = stream.set_write_timeout(Some(PATIENCE));
                        self.listeners.push((stream, filter));
                    }
                    Word::Reopen => {
                        if let Some(writer) = &mut self.writer {
                            writer.reopen();
                        }
                    }
                }
            }
            if let Some(writer) = &mut self.writer {
                if last {
                    writer.flush();
                } else {
                    writer.tick();
                }
                self.unwritten.store(writer.counters().lost, Ordering::Relaxed);
            }
            if last {
                return;
            }
            let mut poll = libc::pollfd { fd: self.ring.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            if words == AT_ONCE {
                continue;
            }
            // SAFETY: one valid entry.
            unsafe { libc::poll(&raw mut poll, 1, 50) };
        }
    }

    fn drain(&mut self) {
        let names = self.names.load_full();
        let clock = Clock::system();
        loop {
            let Some(item) = self.ring.next() else { return };
            let record = events::Record::read(&item);
            drop(item);
            match record {
                Some(events::Record::Packet(event, frame)) => {
                    let made = events::of_packet(&event, &names, &clock);
                    made.iter().for_each(|event| self.publish(event));
                    self.noticed((&event.walk, &frame), &names, &clock);
                }
                Some(events::Record::Ended(FlowEnd { flow, now_ns, .. })) => {
                    let note = self.notes.take(flow.id).unwrap_or_default();
                    self.publish(&events::ended(&flow, now_ns, ("forced", &note), &names, &clock));
                }
                None => {}
            }
        }
    }

    /// The events of what an inspector tells.
    fn made(&mut self, told: Told, now_ns: u64, names: &Names, clock: &Clock) {
        match told {
            Told::Dropped(about, reason) => {
                let events = inspection::dropped(&about, reason, now_ns, names, clock);
                events.iter().for_each(|event| self.publish(event));
            }
            Told::Odd(about, reason) => {
                let events = inspection::odd(&about, reason, now_ns, names, clock);
                events.iter().for_each(|event| self.publish(event));
            }
            Told::Finding(about, finding) => {
                self.publish(&inspection::found(&about, &finding, now_ns, names, clock));
            }
            Told::Alert(about, alert) => self.publish(&signatures::alert(&about, &alert, now_ns, names, clock)),
            Told::Limited(about, rule, times) => {
                self.publish(&signatures::limited(&about, (&rule, times), now_ns, names, clock));
            }
            Told::Said(about, said) => self.publish(&signatures::said(&about, said, now_ns, names, clock)),
            Told::Noticed(flow, note) => self.notes.keep(flow, &note),
        }
    }

    /// What rules say of a packet that the programs have told of.
    fn noticed(&mut self, packet: (&Walk, &[u8]), names: &Names, clock: &Clock) {
        let signatures = self.signatures.load();
        let Some(signatures) = &*signatures else { return };
        let asked = (&**signatures, &mut self.watched);
        let alerts = signatures::noticed(packet, asked, names, clock);
        alerts.iter().for_each(|alert| self.publish(alert));
    }

    fn publish(&mut self, event: &Event) {
        if let Some(writer) = &mut self.writer {
            writer.write(event);
        }
        if self.listeners.is_empty() {
            return;
        }
        let Ok(value) = serde_json::to_value(event) else { return };
        let line = format!("{value}\n");
        self.listeners
            .retain_mut(|(stream, filter)| !filter.matches(&value) || stream.write_all(line.as_bytes()).is_ok());
    }
}
