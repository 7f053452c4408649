//! What goes with everything that is told of a packet: the packet, and what is known of its flow.

use std::{borrow::Cow, sync::Arc};

use dropgate_abi::{hold::Held, reason::Reason, walk::Walk};
use dropgate_signatures::{
    engine::{Names, Variables, Verdict},
    protocol::App,
    rule::Rule,
    subject::Direction,
};

use super::inner::{shown, walk};

/// Bytes of a frame that events show of every packet: its headers.
const HEADERS: usize = 128;
/// Hardware addresses of each end that are remembered.
const MOST_MACS: usize = 10;

/// A packet that is told of, and its flow as of then.
#[derive(Clone, Debug, Default)]
pub struct About {
    pub held: Held,
    pub walk: Walk,
    /// Its first bytes, as many as events show.
    pub frame: Box<[u8]>,
    pub note: Arc<Note>,
    /// What rules say of it.
    pub verdict: Verdict,
    /// Why it is dropped, and by which rule.
    pub dropped: Option<Reason>,
    pub dropped_by: Option<Arc<Rule>>,
    /// What `pcre` has captured of it (`pkt:name`).
    pub captured: Vec<(Arc<str>, Box<[u8]>)>,
    /// There is none: the flow has ended, and `walk` is that of its latest.
    pub ended: bool,
}

impl About {
    /// A packet of which no more is known.
    pub fn new(held: &Held, walk: &Walk, frame: &[u8]) -> Self {
        let frame = frame[..frame.len().min(HEADERS)].into();
        Self { held: *held, walk: *walk, frame, ..Self::default() }
    }

    /// A held frame that ends before it is judged.
    pub fn of(held: &Held, frame: &[u8]) -> Self {
        let shown = shown(held, frame).unwrap_or(Cow::Borrowed(frame));
        Self::new(held, &walk(held, &shown), &shown)
    }

    /// The same, with all of it if `whole`.
    pub fn packet(held: &Held, walk: &Walk, frame: &[u8], whole: bool) -> Self {
        if whole {
            return Self { held: *held, walk: *walk, frame: frame.into(), ..Self::default() };
        }
        Self::new(held, walk, frame)
    }
}

/// What events tell of a flow, beside its account.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Note {
    /// A rule has told something of it.
    pub alerted: bool,
    /// A `pass` rule lets it through, or one with `bypass`.
    pub passed: bool,
    pub bypassed: bool,
    /// One end speaks something else than the flow's protocol.
    pub mismatch: Option<(Direction, App)>,
    pub metadata: Metadata,
    /// Hardware addresses of the client's side and of the server's, in the order in which they were seen.
    pub macs: [Vec<[u8; 6]>; 2],
}

impl Note {
    /// Takes in the hardware addresses of a frame; whether there is a new one.
    pub(super) fn see(&mut self, frame: &[u8], to_client: bool) -> bool {
        let (Some(destination), Some(source)) = (frame.first_chunk::<6>(), frame.get(6..12)) else { return false };
        let mut source_mac = [0; 6];
        source_mac.copy_from_slice(source);
        let (client, server) = if to_client { (*destination, source_mac) } else { (source_mac, *destination) };
        let mut any = false;
        for (known, seen) in self.macs.iter_mut().zip([client, server]) {
            if known.len() < MOST_MACS && !known.contains(&seen) {
                known.push(seen);
                any = true;
            }
        }
        any
    }
}

/// What rules have set of a flow, by name.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Metadata {
    pub flowbits: Vec<Arc<str>>,
    pub flowints: Vec<(Arc<str>, u32)>,
    pub flowvars: Vec<(String, Vec<u8>)>,
    /// By buffer.
    pub entropies: Vec<(&'static str, f64)>,
}

impl Metadata {
    /// As of now.
    pub(super) fn of(variables: &Variables, names: &Names) -> Self {
        Self {
            flowbits: variables.bits(names).cloned().collect(),
            flowints: variables.numbers(names).map(|(name, number)| (Arc::clone(name), number)).collect(),
            flowvars: variables.captured().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect(),
            entropies: variables.entropies().iter().map(|(buffer, entropy)| (buffer.name(), *entropy)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_stand_by_their_side() {
        let mut note = Note::default();
        let frame = |to: u8, from: u8| [[to; 6], [from; 6]].concat();
        assert!(note.see(&frame(2, 1), false));
        assert!(!note.see(&frame(1, 2), true));
        assert!(note.see(&frame(1, 3), true));
        assert!(!note.see(&[0; 11], true));
        assert_eq!(note.macs, [vec![[1; 6]], vec![[2; 6], [3; 6]]]);
        (0..50).for_each(|number| _ = note.see(&frame(2, 100 + number), false));
        assert_eq!(note.macs[0].len(), MOST_MACS);
    }
}
