//! What was spoken between two hosts by UDP, remembered longer than their flow.
//!
//! A session of QUIC, WireGuard or RTP that was silent for longer than its flow lives goes on with packets that tell nothing: what
//! it speaks was said at its beginning. So a client's next flow to the same address and port is taken to speak what the last one
//! spoke, if its own bytes do not say otherwise.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use crate::protocol::Protocol;

/// For how long a peer is remembered at least, ns; at most for twice that.
const KEPT_NS: u64 = 10 * 60 * 1_000_000_000;
/// Peers that are remembered; with more, the older half is forgotten.
const MANY: usize = 1 << 14;

/// A client's address, a server's, and its port.
pub type Peer = (IpAddr, IpAddr, u16);

/// Peers in two generations by age. Shared by the workers, who ask for what is not known otherwise alone.
#[derive(Default, Debug)]
pub struct Peers(Mutex<Table>);

#[derive(Default, Debug)]
struct Table {
    young: HashMap<Peer, Protocol>,
    old: HashMap<Peer, Protocol>,
    /// When `young` was begun.
    since_ns: u64,
}

impl Peers {
    /// This was spoken, to be remembered.
    pub fn spoke(&self, peer: Peer, protocol: Protocol, now_ns: u64) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.age(now_ns);
        table.young.insert(peer, protocol);
    }

    /// What was spoken there of late; remembered anew.
    pub fn speaks(&self, peer: Peer, now_ns: u64) -> Option<Protocol> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.age(now_ns);
        let protocol = table.young.get(&peer).or_else(|| table.old.get(&peer)).copied()?;
        table.young.insert(peer, protocol);
        Some(protocol)
    }
}

impl Table {
    fn age(&mut self, now_ns: u64) {
        let periods = now_ns.saturating_sub(self.since_ns) / KEPT_NS;
        if periods > 0 || self.young.len() >= MANY / 2 {
            self.old = std::mem::take(&mut self.young);
            self.since_ns = now_ns;
        }
        if periods > 1 {
            self.old = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Peer {
        ([10, 10, 0, 5].into(), [203, 0, 113, 9].into(), port)
    }

    #[test]
    fn remembered_for_a_while() {
        let peers = Peers::default();
        let start = 1 << 50;
        peers.spoke(peer(443), Protocol::Quic, start);
        assert_eq!(peers.speaks(peer(443), start + 1), Some(Protocol::Quic));
        assert_eq!(peers.speaks(peer(444), start + 1), None);
        // asked for, it is remembered anew
        assert_eq!(peers.speaks(peer(443), start + KEPT_NS), Some(Protocol::Quic));
        assert_eq!(peers.speaks(peer(443), start + 2 * KEPT_NS), Some(Protocol::Quic));
        assert_eq!(peers.speaks(peer(443), start + 5 * KEPT_NS), None);
    }

    #[test]
    fn not_more_than_so_many() {
        let peers = Peers::default();
        for port in 0..=u16::MAX {
            peers.spoke(peer(port), Protocol::Quic, 1);
        }
        let table = peers.0.lock().unwrap();
        assert!(table.young.len() + table.old.len() <= MANY);
        assert_eq!(table.young.get(&peer(u16::MAX)), Some(&Protocol::Quic));
    }
}
