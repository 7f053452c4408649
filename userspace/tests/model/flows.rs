//! Flows, in a vector that is scanned.

use std::net::IpAddr;

use super::{
    bridge::Link,
    decode::{Packet, Query},
    policy::Timeouts,
    tunnels::Realm,
};

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The gateway sent it.
    Gateway,
    /// It came in by this interface, with these VLANs.
    Port(u32, [u16; 2]),
    /// Seen as it leaves; it came in by this interface and was judged there.
    Forwarded(u32),
}

/// A party, as the policy names it. Zones by their place in the policy; by name where a policy may change in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    Zone(String),
    Gateway,
    Outside,
    /// Anyone, towards a published host after translation.
    Published,
    /// A host that has no address of its zone yet: link-local or unspecified.
    Nameless,
}

impl Party {
    /// As the policy names it.
    pub fn name(&self) -> Option<String> {
        match self {
            Party::Zone(name) => Some(name.clone()),
            Party::Gateway => Some("self".into()),
            Party::Outside => Some("outside".into()),
            Party::Published | Party::Nameless => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tcp {
    #[default]
    SynSent,
    SynReceived,
    Established,
    Closing,
    TimeWait,
    Closed,
}

#[derive(Clone, Debug)]
pub struct Flow {
    /// After translation (masquerade, at an outside interface).
    pub translated: bool,
    /// The tunnel that it is in.
    pub realm: Option<Realm>,
    pub link: Link,
    pub protocol: u8,
    /// ICMP: the query's type, and whether a reply was the first thing seen (of a translated flow).
    pub query: Option<Query>,
    /// ICMP other than queries: the type. Such a flow has one direction.
    pub message: Option<u8>,
    pub client: (IpAddr, u16),
    pub server: (IpAddr, u16),
    pub generation: u32,
    pub came_in: Place,
    pub party: Party,
    pub peer: Party,
    pub service: Option<String>,
    pub state: Tcp,
    pub fins: [bool; 2],
    pub replied: bool,
    pub revoked: bool,
    pub loose: bool,
    /// Recorded as it left an outside interface; judged elsewhere.
    pub ledger: bool,
    pub last_seen: u64,
    pub timeout: u64,
}

/// Whether a packet, or a quoted one, travels in a flow, and in which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

impl Flow {
    pub fn direction(&self, packet: &Packet, translated: bool) -> Option<Direction> {
        if (self.translated, &self.realm, self.link) != (translated, &packet.realm, packet.link) {
            return None;
        }
        if self.protocol != packet.protocol || packet.later_fragment() {
            return None;
        }
        let (from, to) = ((packet.src, packet.sport), (packet.dst, packet.dport));
        let direction = if (self.client, self.server) == (from, to) {
            Direction::ToServer
        } else if (self.client, self.server) == (to, from) {
            Direction::ToClient
        } else {
            return None;
        };
        if !packet.is_icmp() {
            return Some(direction);
        }
        // An echo flow is requests one way and replies the other. A timestamp request with the same identifier, or a
        // request from the other side, is another flow: no line allowed it.
        match packet.query {
            Some((kind, reply)) => {
                let begun_by = self.query.filter(|(query, _)| *query == kind)?.1;
                ((reply != begun_by) == (direction == Direction::ToClient)).then_some(direction)
            }
            None => (self.query.is_none() && self.message == packet.icmp_type && direction == Direction::ToServer)
                .then_some(direction),
        }
    }

    pub fn expired(&self, now: u64) -> bool {
        now - self.last_seen > self.timeout
    }

    /// A packet passed.
    pub fn update(&mut self, direction: Direction, packet: &Packet, times: &Timeouts, now: u64) {
        self.replied |= direction == Direction::ToClient;
        let was = self.state;
        if let Some(flags) = packet.tcp_flags {
            self.update_tcp(direction, flags, times);
        }
        self.last_seen = now;
        // Decided: a connection closed by one side alone may stay as long as an open one.
        if self.protocol != 6 || (was != self.state && self.state != Tcp::Closing) {
            self.timeout = self.idle_ms(times) * 1_000_000;
        }
    }

    fn update_tcp(&mut self, direction: Direction, flags: u8, times: &Timeouts) {
        let (fin, syn, rst, ack) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0, flags & 16 != 0);
        if rst {
            self.state = Tcp::Closed;
        }
        if self.state == Tcp::Closed {
            return;
        }
        // the other side's SYN+ACK, or its SYN when both open at once
        if self.state == Tcp::SynSent && direction == Direction::ToClient && syn {
            self.state = Tcp::SynReceived;
        } else if self.state == Tcp::SynSent && self.loose && !syn {
            // the other direction takes another path
            self.state = Tcp::Established;
            self.timeout = times.tcp_established * 1_000_000;
        } else if self.state == Tcp::SynReceived && direction == Direction::ToServer && ack && !syn {
            self.state = Tcp::Established;
            // a FIN in the same segment does not shorten it
            self.timeout = times.tcp_established * 1_000_000;
        }
        let fin = fin && [Tcp::SynReceived, Tcp::Established, Tcp::Closing].contains(&self.state);
        if fin {
            self.fins[usize::from(direction == Direction::ToClient)] = true;
        }
        if self.fins == [true, true] {
            self.state = Tcp::TimeWait;
        } else if fin {
            self.state = Tcp::Closing;
        }
    }

    pub fn idle_ms(&self, times: &Timeouts) -> u64 {
        match (self.protocol, self.state) {
            (6, Tcp::SynSent | Tcp::SynReceived) => times.tcp_new,
            (6, Tcp::Established) => times.tcp_established,
            (6, _) => times.tcp_closing,
            (17, _) if self.replied => times.udp,
            (17, _) => times.udp_new,
            (1, _) if self.client.0.is_ipv4() => times.icmp,
            (58, _) if self.client.0.is_ipv6() => times.icmp,
            _ => times.other,
        }
    }

    /// Closed: a SYN with the same tuple is a new connection.
    pub fn over(&self) -> bool {
        self.protocol == 6 && matches!(self.state, Tcp::TimeWait | Tcp::Closed)
    }
}
