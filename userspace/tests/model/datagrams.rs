//! Datagrams in fragments, as RFC 815 keeps them: by the holes that are left.

use std::net::IpAddr;

use dropgate_abi::reason::Reason;

use super::{
    At, Hook, Model, Verdict,
    decode::{Fragment, Packet},
    policy::Fragments,
    tunnels::{Carrier, Realm},
};

/// Milliseconds in nanoseconds.
const NS: u64 = 1_000_000;
/// Parts of a datagram that anybody has reason to send.
const PARTS: usize = 128;

/// What became of a first fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Passed,
    Dropped,
    /// Passed, and others contradicted it, in one of these ways.
    Condemned(Vec<Reason>),
}

/// A datagram whose first fragment was seen and that is not whole.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub id: u32,
    /// IPv4 only: RFC 8200 identifies a datagram by addresses and identification alone.
    pub protocol: Option<u8>,
    /// Hook, interface and tags it was seen at.
    pub seen_at: (Hook, u32, [u16; 2]),
    /// What carries it.
    pub within: (Option<Carrier>, Option<Realm>),
    pub generation: u32,
    pub seen: u64,
    pub fate: Fate,
    /// What has come: from where, to before where, and whether it said that more follows.
    came: Vec<(usize, usize, bool)>,
    /// What has not, from where to before where.
    holes: Vec<(usize, usize)>,
}

/// What a fragment is to its datagram.
enum Fit {
    Fits,
    Repeats,
    Contradicts(Vec<Reason>),
}

impl Datagram {
    fn fit(&self, fragment: &Fragment) -> Fit {
        let (from, to) = (fragment.offset, fragment.offset + fragment.length);
        if self.came.contains(&(from, to, fragment.more)) {
            return Fit::Repeats;
        }
        let mut wrong = Vec::new();
        let end = self.came.iter().find(|(_, _, more)| !more).map(|(_, to, _)| *to);
        let farthest = self.came.iter().map(|(_, to, _)| *to).max().unwrap_or(0);
        let length = match end {
            Some(end) => to > end || (to == end) == fragment.more,
            None => !fragment.more && farthest > to,
        };
        if length {
            wrong.push(Reason::datagram_length);
        }
        if !self.holes.iter().any(|(hole, behind)| *hole <= from && to <= *behind) {
            wrong.push(Reason::datagram_overlap);
        }
        if wrong.is_empty() && self.came.len() == PARTS {
            wrong.push(Reason::datagram_pieces);
        }
        if wrong.is_empty() { Fit::Fits } else { Fit::Contradicts(wrong) }
    }

    fn add(&mut self, fragment: &Fragment) {
        let (from, to) = (fragment.offset, fragment.offset + fragment.length);
        self.came.push((from, to, fragment.more));
        let at = self.holes.iter().position(|(hole, behind)| *hole <= from && to <= *behind).expect("it fits");
        let (hole, behind) = self.holes.remove(at);
        if hole < from {
            self.holes.push((hole, from));
        }
        if fragment.more && to < behind {
            self.holes.push((to, behind));
        }
    }

    /// A fragment of what passed.
    ///
    /// Decided: a second copy is told by its place (RFC 8200, 4.5, lets receivers ignore one); it is dropped, and its
    /// datagram goes on.
    fn next(&mut self, fragment: &Fragment) -> Result<(), Verdict> {
        match self.fit(fragment) {
            Fit::Fits => {
                self.add(fragment);
                Ok(())
            }
            Fit::Repeats => Err(Verdict::drop(Reason::fragment_repeated)),
            Fit::Contradicts(reasons) => {
                let verdict = Verdict::drop(reasons[0]).or(&reasons);
                self.fate = Fate::Condemned(reasons);
                Err(verdict)
            }
        }
    }
}

impl Model {
    /// Decided: later fragments of IPv6 may name any protocol, and receivers believe the first one. So nobody can ask for a
    /// policy that lets them by.
    fn fragment_policy(&self, packet: &Packet) -> Fragments {
        let policy = &self.policy;
        let named = match packet.protocol {
            17 => policy.udp_fragments,
            6 => policy.tcp_fragments,
            _ if packet.is_icmp() => policy.icmp_fragments,
            _ => policy.other_fragments,
        };
        let all = [policy.udp_fragments, policy.tcp_fragments, policy.icmp_fragments, policy.other_fragments];
        if packet.src.is_ipv6() && named == Fragments::Pass && all.contains(&Fragments::Track) {
            return Fragments::Track;
        }
        named
    }

    /// What is wrong with a fragment by itself.
    pub(super) fn wrong_fragment(packet: &Packet, fragment: &Fragment) -> Vec<Reason> {
        let mut wrong = Vec::new();
        if fragment.length == 0 || fragment.more && !fragment.length.is_multiple_of(8) {
            wrong.push(Reason::fragment_bad_length);
        }
        if fragment.offset + fragment.length > 65_535 {
            wrong.push(Reason::fragment_too_long);
        }
        if packet.tiny {
            wrong.push(Reason::fragment_tiny);
        }
        let header = match packet.protocol {
            6 => 20,
            132 => 12,
            _ => 8,
        };
        if (1..header).contains(&fragment.offset) {
            wrong.push(Reason::fragment_overlap);
        }
        wrong
    }

    /// A decision about a fragment by the policy of its protocol; none for what is judged by its ports.
    pub(super) fn fragment_by_policy(&mut self, at: At, packet: &Packet) -> Option<Verdict> {
        let fragment = packet.fragment.as_ref()?;
        let first = fragment.offset == 0;
        match self.fragment_policy(packet) {
            Fragments::Drop => return Some(Verdict::drop(Reason::fragment_denied)),
            Fragments::Pass => return None,
            Fragments::Track => {}
        }
        let Some(known) = self.datagram_of(at, packet) else {
            return (!first).then(|| Verdict::drop(Reason::fragment_first_missing));
        };
        let datagram = &mut self.datagrams[known];
        match &datagram.fate {
            Fate::Condemned(reasons) => return Some(Verdict::drop(reasons[0]).or(&reasons.clone())),
            // Decided: what never reached anybody does not stand in the way of another one.
            Fate::Dropped if first => return None,
            Fate::Dropped => return Some(Verdict::drop(Reason::fragment_of_dropped)),
            Fate::Passed => {}
        }
        if let Err(verdict) = datagram.next(fragment) {
            return Some(verdict);
        }
        assert!(!first, "a second beginning is no part of what is missing");
        if datagram.holes.is_empty() {
            self.datagrams.remove(known);
        }
        Some(Verdict::pass(Reason::fragment_tracked))
    }

    /// Where a fragment's datagram is remembered.
    ///
    /// Decided: it lives from its first fragment on (RFC 791), whatever follows; and what an older policy said about a
    /// first fragment is no verdict of this one.
    fn datagram_of(&self, at: At, packet: &Packet) -> Option<usize> {
        let id = packet.fragment.as_ref()?.id;
        let key = (packet.src, packet.dst, id, identity(packet), (at.hook, at.ifindex, at.tags));
        self.datagrams.iter().rposition(|known| {
            (known.src, known.dst, known.id, known.protocol, known.seen_at) == key
                && known.within == (packet.carried, packet.realm.clone())
                && known.generation == self.generation
                && at.now - known.seen <= self.policy.timeouts.fragment * NS
        })
    }

    /// A first fragment that was dropped before its ports were looked at.
    ///
    /// Decided: it says nothing about one of the same datagram that passed. Otherwise anybody who can guess an
    /// identification could end datagrams of others.
    pub(super) fn remember_malformed(&mut self, at: At, packet: &Packet) {
        let known = self.datagram_of(at, packet).map(|known| &self.datagrams[known].fate);
        if matches!(known, None | Some(Fate::Dropped)) {
            self.remember_first(at, packet, &Verdict::drop(Reason::internal));
        }
    }

    pub(super) fn remember_first(&mut self, at: At, packet: &Packet, verdict: &Verdict) {
        let Some(fragment) = &packet.fragment else { return };
        if fragment.offset != 0 || self.fragment_policy(packet) != Fragments::Track {
            return;
        }
        if let Some(known) = self.datagram_of(at, packet) {
            self.datagrams.remove(known);
        }
        let mut datagram = Datagram {
            src: packet.src,
            dst: packet.dst,
            id: fragment.id,
            protocol: identity(packet),
            seen_at: (at.hook, at.ifindex, at.tags),
            within: (packet.carried, packet.realm.clone()),
            generation: self.generation,
            seen: at.now,
            fate: if verdict.pass { Fate::Passed } else { Fate::Dropped },
            came: Vec::new(),
            holes: vec![(0, usize::MAX)],
        };
        if verdict.pass {
            datagram.add(fragment);
        }
        self.datagrams.push(datagram);
    }
}

fn identity(packet: &Packet) -> Option<u8> {
    packet.src.is_ipv4().then_some(packet.protocol)
}
