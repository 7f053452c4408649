//! Packets that carry other packets.

/// Values of [`crate::walk::Walk::tunnel`].
pub mod kind {
    /// An IP packet is the payload of another (RFC 2003, RFC 2473, RFC 4213).
    pub const IP: u8 = 1;
    /// RFC 2784, RFC 2890.
    pub const GRE: u8 = 2;
    /// RFC 7348.
    pub const VXLAN: u8 = 3;
    /// RFC 2516.
    pub const PPPOE: u8 = 4;

    /// For people and events; empty: none.
    pub const fn name(kind: u8) -> &'static str {
        match kind {
            IP => "ip",
            GRE => "gre",
            VXLAN => "vxlan",
            PPPOE => "pppoe",
            _ => "",
        }
    }
}

/// Values of [`crate::walk::Walk::inside`] and, of what is no TCP, of [`crate::flow::Flow::tcp_state`].
pub mod inside {
    /// It carries no packet that could be read.
    pub const NOTHING: u8 = 0;
    /// Judged as a packet of its own.
    pub const JUDGE: u8 = 1;
    /// Passes unread.
    pub const OPAQUE: u8 = 2;
    /// Dropped: the service says so.
    pub const DENIED: u8 = 3;
    /// Dropped: the service says nothing.
    pub const UNASKED: u8 = 4;
}

/// PPPoE sessions, as an ethertype (RFC 2516).
pub const PPPOE_SESSION: u16 = 0x8864;
/// Where VXLAN is expected where the policy does not say: what IANA has, and what Linux has by default.
pub const VXLAN_PORTS: [u16; 2] = [4789, 8472];

/// IP protocols whose payload is a packet that can be read: IPv4 and IPv6 in IP, GRE (IANA, Protocol Numbers).
#[inline(always)]
pub const fn is_carrier(protocol: u8) -> bool {
    matches!(protocol, 4 | 41 | 47)
}
