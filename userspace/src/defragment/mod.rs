//! Held fragments put together. No I/O: fragments in; whole packets, and what ends, out.
//!
//! A datagram is judged when all of it is there, and its own fragments are released then, in their order, or all dropped.
//! Which fragments come here the programs decide (`xdp/src/fragment.rs`): those of what is held, and those that come before
//! their first one. Nothing is guessed: of fragments that overlap, or contradict each other on where the datagram ends, none
//! reaches the receiver (RFC 5722, 4; for IPv4 likewise). An exact copy of one that is there is dropped alone (RFC 8200, 4.5).
//! What follows with the identification of a datagram that has left is dropped while the receiver may wait for a part of that.

mod datagram;
mod fragment;
mod left;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use dropgate_abi::{
    hold::{Held, part},
    reason::Reason,
    tuple::Address,
};

pub use self::fragment::Fragment;
use self::{
    datagram::{Datagram, Fit, put_together},
    fragment::Key,
    left::Left,
};

/// What incomplete datagrams may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Datagrams at once.
    pub datagrams: usize,
    /// Fragments of one datagram.
    pub fragments: usize,
    /// Bytes of memory in all, and for datagrams of one source.
    pub bytes: usize,
    pub source_bytes: usize,
    /// How long a datagram waits for its fragments at most, whatever the policy says.
    pub longest: Duration,
    /// Datagrams that have left and are remembered.
    pub left: usize,
    /// How long they are: as long as a receiver waits for what it has not got of them.
    pub received: Duration,
}

impl Default for Limits {
    /// A datagram of 65,535 bytes comes in 119 fragments where the path takes 576 bytes, the least that it may (RFC 791). A
    /// receiver waits for 60 seconds (RFC 8200, 4.5; RFC 1122, 3.3.2).
    fn default() -> Self {
        Self {
            datagrams: 4096,
            fragments: 128,
            bytes: 16 << 20,
            source_bytes: 2 << 20,
            longest: Duration::from_secs(30),
            left: 8192,
            received: Duration::from_secs(60),
        }
    }
}

/// A datagram of which every fragment is there.
#[derive(Clone, Debug)]
pub struct Whole {
    /// What goes with its first fragment, and with `frame` in place of that.
    pub held: Held,
    /// The packet, as if it had come in one frame, and in no tunnel.
    pub frame: Vec<u8>,
    /// What it came in, the first one first.
    pub fragments: Vec<Fragment>,
}

/// A frame that ends here.
#[derive(Clone, Debug)]
pub struct Ended {
    pub held: Held,
    pub frame: Box<[u8]>,
    pub reason: Reason,
    /// It is the one at fault, and not one that ends with it.
    pub at_fault: bool,
}

/// Datagrams that are not complete.
#[derive(Debug, Default)]
pub struct Defragment {
    limits: Limits,
    waiting: HashMap<Key, Waiting>,
    /// By the order in which they began.
    order: BTreeMap<u64, Key>,
    /// Of those, the ones without a first fragment: they make room for others.
    early: BTreeMap<u64, Key>,
    begun: u64,
    bytes: usize,
    /// Bytes by source.
    sources: HashMap<(u8, Address), usize>,
    left: Left,
}

#[derive(Debug)]
struct Waiting {
    datagram: Datagram,
    /// Its place in the order.
    number: u64,
    until_ns: u64,
}

impl Defragment {
    /// Holds nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes a held frame, and what is shown of it ([`Fragment::read`]), that came by `origin` (any number that tells interfaces
    /// and their directions apart). `now_ns`: a clock that goes on; `lifetime`: how long its datagram may take, from its first
    /// fragment that comes. Answers with the packet once all of it is there; what ends instead goes into `ended`.
    pub fn take(
        &mut self,
        (held, frame, shown): (&Held, &[u8], Cow<'_, [u8]>),
        origin: u64,
        (now_ns, lifetime): (u64, Duration),
        ended: &mut Vec<Ended>,
    ) -> Option<Whole> {
        self.expire(now_ns, ended);
        let fragment = match Fragment::read(held, origin, frame, shown) {
            Ok(fragment) => fragment,
            Err(reason) => {
                ended.push(Ended { held: *held, frame: frame.into(), reason, at_fault: true });
                return None;
            }
        };
        let key = fragment.key;
        if let Some(reason) = self.refuses(&fragment) {
            ended.push(end(fragment, reason, false));
            return None;
        }
        if let Err(reason) = self.room(&fragment, ended) {
            self.condemn(&key, reason, ended);
            ended.push(end(fragment, reason, true));
            return None;
        }
        let lifetime = lifetime.min(self.limits.longest).as_nanos() as u64;
        let waiting = self.waiting.entry(key).or_insert_with(|| {
            self.begun += 1;
            self.order.insert(self.begun, key);
            self.early.insert(self.begun, key);
            Waiting { datagram: Datagram::default(), number: self.begun, until_ns: now_ns.saturating_add(lifetime) }
        });
        if let Some(reason) = waiting.datagram.refuses(&fragment, self.limits.fragments) {
            self.condemn(&key, reason, ended);
            ended.push(end(fragment, reason, true));
            return None;
        }
        let bytes = fragment.cost();
        let fit = waiting.datagram.add(fragment);
        if waiting.datagram.has_first() {
            self.early.remove(&waiting.number);
        }
        self.bytes += bytes;
        *self.sources.entry(source(&key)).or_default() += bytes;
        if fit == Fit::Complete { self.complete(&key, now_ns, ended) } else { None }
    }

    /// Ends what has waited for too long.
    pub fn expire(&mut self, now_ns: u64, ended: &mut Vec<Ended>) {
        self.left.expire(now_ns);
        while let Some((_, key)) = self.order.first_key_value() {
            let key = *key;
            if self.waiting.get(&key).is_some_and(|waiting| now_ns < waiting.until_ns) {
                return;
            }
            self.forget(&key, Reason::datagram_incomplete, ended);
        }
    }

    /// Datagrams that are not complete, those among them whose other fragments are dropped too.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Fragments that wait.
    pub fn fragments(&self) -> usize {
        self.waiting.values().map(|waiting| waiting.datagram.len()).sum()
    }

    /// Bytes of memory that their fragments take, about.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Why a fragment is dropped alone: its datagram is, or has left, or it is there already.
    fn refuses(&self, fragment: &Fragment) -> Option<Reason> {
        if self.left.holds(&fragment.key) {
            return Some(Reason::datagram_again);
        }
        let datagram = &self.waiting.get(&fragment.key)?.datagram;
        datagram.condemned.or_else(|| datagram.holds(fragment).then_some(Reason::fragment_already_held))
    }

    /// Makes room for a fragment, at the cost of datagrams without a first one if it belongs to one that has it.
    fn room(&mut self, fragment: &Fragment, ended: &mut Vec<Ended>) -> Result<(), Reason> {
        let known = self.waiting.get(&fragment.key);
        let judged = fragment.offset == 0 || known.is_some_and(|waiting| waiting.datagram.has_first());
        let new = known.is_none();
        let bytes = fragment.cost();
        let of_source = self.sources.get(&source(&fragment.key)).copied().unwrap_or_default();
        if of_source + bytes > self.limits.source_bytes {
            return Err(Reason::datagram_source_limit);
        }
        while self.bytes + bytes > self.limits.bytes || new && self.waiting.len() >= self.limits.datagrams {
            let oldest = self.early.first_key_value().map(|(_, key)| *key);
            match oldest.filter(|oldest| judged && *oldest != fragment.key) {
                Some(oldest) => self.forget(&oldest, Reason::datagram_limit, ended),
                None => return Err(Reason::datagram_limit),
            }
        }
        Ok(())
    }

    /// Every fragment is there.
    fn complete(&mut self, key: &Key, now_ns: u64, ended: &mut Vec<Ended>) -> Option<Whole> {
        let waiting = self.waiting.get(key)?;
        debug_assert!(waiting.datagram.has_first());
        let fragments = self.remove(key)?;
        let held = fragments.first()?.held;
        let answer = match held.part {
            // its first one is no first one to who held it
            part::LATER | part::WHOLE => Err(Reason::internal),
            _ => put_together(&fragments),
        };
        match answer {
            Ok(frame) => {
                self.left.add(*key, now_ns, &self.limits);
                Some(Whole { held: Held { inner: 0, ..held }, frame, fragments })
            }
            Err(reason) => {
                let numbered = fragments.into_iter().enumerate();
                ended.extend(numbered.map(|(at, fragment)| end(fragment, reason, at == 0)));
                None
            }
        }
    }

    /// Drops the fragments of a datagram, those to come too: it is remembered until its time is up.
    fn condemn(&mut self, key: &Key, reason: Reason, ended: &mut Vec<Ended>) {
        let Some(waiting) = self.waiting.get_mut(key) else { return };
        waiting.datagram.condemned.get_or_insert(reason);
        let bytes = waiting.datagram.bytes();
        let fragments = waiting.datagram.take();
        // it has nothing to lose to others any more
        self.early.insert(waiting.number, *key);
        self.release(key, bytes);
        ended.extend(fragments.into_iter().map(|fragment| end(fragment, reason, false)));
    }

    /// Drops the fragments of a datagram and forgets it.
    fn forget(&mut self, key: &Key, reason: Reason, ended: &mut Vec<Ended>) {
        let fragments = self.remove(key).unwrap_or_default();
        ended.extend(fragments.into_iter().map(|fragment| end(fragment, reason, false)));
    }

    /// Takes a datagram out.
    fn remove(&mut self, key: &Key) -> Option<Vec<Fragment>> {
        let mut waiting = self.waiting.remove(key)?;
        self.order.remove(&waiting.number);
        self.early.remove(&waiting.number);
        self.release(key, waiting.datagram.bytes());
        Some(waiting.datagram.take())
    }

    /// Bytes of a datagram's source are free again.
    fn release(&mut self, key: &Key, bytes: usize) {
        self.bytes -= bytes;
        if let Some(of_source) = self.sources.get_mut(&source(key)) {
            *of_source -= bytes;
            if *of_source == 0 {
                self.sources.remove(&source(key));
            }
        }
    }
}

fn end(fragment: Fragment, reason: Reason, at_fault: bool) -> Ended {
    Ended { held: fragment.held, frame: fragment.frame, reason, at_fault }
}

const fn source(key: &Key) -> (u8, Address) {
    (key.family, key.src)
}
