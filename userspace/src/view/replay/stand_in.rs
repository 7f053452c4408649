//! Addresses that no wire carries, for the time that the programs look at a packet.
//!
//! With `--initiator-inside` a capture of a loopback interface stands for two hosts: of its addresses, and of those that are
//! the same at both ends, the programs are shown others. Everything else sees the packet as it is.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use dropgate_abi::{
    tuple::{Address, FlowKey},
    walk::Walk,
};

use crate::view::{peek::Peek, text};

/// First bytes of the addresses that stand in for those of the sender's side and the other one, by whether the sender is inside.
const INSIDE: u8 = 25;
const OUTSIDE: u8 = 26;

/// Which addresses stand in for which, in one capture.
#[derive(Default)]
pub struct StandIns {
    real: HashMap<Address, Address>,
}

impl StandIns {
    /// The frame as the programs are to see it, if that is another one. `inside`: whether the sender is.
    pub fn show(&mut self, frame: &[u8], seen: &Peek, inside: bool) -> Option<Vec<u8>> {
        let (src, dst) = (seen.src?, seen.dst?);
        let same = src == dst;
        if !same && !src.is_loopback() && !dst.is_loopback() {
            return None;
        }
        let mut shown = frame.to_vec();
        let (walk, _) = dropgate_xdp::read(frame);
        let start = usize::from(walk.l3) + if src.is_ipv4() { 12 } else { 8 };
        let (mine, theirs) = if inside { (INSIDE, OUTSIDE) } else { (OUTSIDE, INSIDE) };
        for (at, address, first) in [(0, src, mine), (1, dst, theirs)] {
            if !same && !address.is_loopback() {
                continue;
            }
            let other = stand_in(address, first);
            self.real.insert(text::abi_address(other).1, text::abi_address(address).1);
            match other {
                IpAddr::V4(other) => put(&mut shown, start + at * 4, &other.octets())?,
                IpAddr::V6(other) => put(&mut shown, start + at * 16, &other.octets())?,
            }
        }
        Some(shown)
    }

    /// The initiator and the responder of a flow to come, as the programs will see them.
    pub fn ends(initiator: IpAddr, responder: IpAddr) -> (IpAddr, IpAddr) {
        let shown = |address: IpAddr, first| {
            if initiator == responder || address.is_loopback() { stand_in(address, first) } else { address }
        };
        (shown(initiator, INSIDE), shown(responder, OUTSIDE))
    }

    /// What a walk says of the packet as it is.
    pub fn restore(&self, walk: &mut Walk) {
        self.address(&mut walk.src);
        self.address(&mut walk.dst);
    }

    /// What a key says of the flow as it is.
    pub fn restore_key(&self, key: &mut FlowKey) {
        self.address(&mut key.low);
        self.address(&mut key.high);
    }

    fn address(&self, address: &mut Address) {
        if let Some(real) = self.real.get(address) {
            *address = *real;
        }
    }
}

fn stand_in(address: IpAddr, first: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [_, b, c, d] = address.octets();
            Ipv4Addr::new(first, b, c, d).into()
        }
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[..2].copy_from_slice(&[0x2a, first]);
            Ipv6Addr::from(octets).into()
        }
    }
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    frame.get_mut(at..)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{inspect::Packet, view::peek::peek};
    use etherparse::PacketBuilder;

    fn frame() -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64)
            .udp(40_000, 53)
            .write(&mut bytes, b"question")
            .expect("room");
        bytes
    }

    #[test]
    fn both_ends_of_a_loopback_are_hosts_of_their_own() {
        let mut stand_ins = StandIns::default();
        let shown = stand_ins.show(&frame(), &peek(&frame()), true).unwrap();
        let mut walk = Packet::read(&shown).unwrap().walk;
        assert_eq!(text::address(walk.family, walk.src), "25.0.0.1");
        assert_eq!(text::address(walk.family, walk.dst), "26.0.0.1");
        stand_ins.restore(&mut walk);
        assert_eq!(text::address(walk.family, walk.src), "127.0.0.1");
        assert_eq!(walk.src, walk.dst);
        // a flow that is announced between them
        let (initiator, responder) = StandIns::ends("127.0.0.1".parse().unwrap(), "127.0.0.1".parse().unwrap());
        assert_eq!((initiator.to_string(), responder.to_string()), ("25.0.0.1".into(), "26.0.0.1".into()));
        // the answer comes from where the question went
        let back = stand_ins.show(&frame(), &peek(&frame()), false).unwrap();
        let walk = Packet::read(&back).unwrap().walk;
        assert_eq!(text::address(walk.family, walk.src), "26.0.0.1");
    }

    #[test]
    fn other_addresses_stay() {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([0xfd; 16], [0xfe; 16], 64).udp(1, 2);
        builder.write(&mut bytes, b"x").expect("room");
        assert_eq!(StandIns::default().show(&bytes, &peek(&bytes), true), None);
    }
}
