//! A packet on its way through the stages: what each has found out so far.

use crate::{
    plain,
    reason::Reason,
    tuple::{Address, V4, V6},
};

/// Filled in by the stages from top to bottom. In [`crate::control::mode::TRACE`] the verdict stage copies it to `TRACE`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub struct Walk {
    // frame
    /// Monotonic time, ns.
    pub now_ns: u64,
    /// Bytes of a frame that is no IP packet, else 0.
    pub frame_len: u32,
    /// Offset of the network header, and of the transport header (0: none, or not in this packet).
    pub l3: u16,
    pub l4: u16,
    pub ethertype: u16,
    /// VLAN identifiers, outer first; 0: none.
    pub vlan: [u16; 2],
    // parse
    /// IP header and all behind it, bytes, as the IP header says.
    pub ip_len: u16,
    pub src: Address,
    pub dst: Address,
    /// Host order. ICMP: the asker's is the identifier of a query, the other's is the type of the query; messages that
    /// are no queries have 0 and their type. Protocols without ports: 0.
    pub sport: u16,
    pub dport: u16,
    /// 4, 6, or 0 for a non-IP frame.
    pub family: u8,
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Flags byte of the TCP header.
    pub tcp_flags: u8,
    pub icmp_type: u8,
    pub icmp_code: u8,
    /// See [`parsed`].
    pub parsed: u8,
    /// See [`hook`].
    pub hook: u8,
    /// Offset of a fragment's payload in its datagram, bytes; identification.
    pub fragment_offset: u16,
    /// Bytes of payload this fragment carries behind the fragment header (IPv6) or IP header (IPv4).
    pub fragment_len: u16,
    pub fragment_id: u32,
    // ingress
    pub slot: u32,
    pub generation: u32,
    /// At egress: the interface it came in by, 0 for the gateway's own.
    pub from_ifindex: u32,
    /// Where it came in (at egress: where it leaves), as [`crate::policy::PortKey::word`].
    pub port: u64,
    pub scope: u32,
    pub side_kind: u8,
    /// [`crate::policy::Side::flags`].
    pub side_flags: u8,
    pub fallback: u16,
    pub realm: u16,
    // flow, zone, policy, state
    /// 0: to the server, 1: to the client.
    pub direction: u8,
    /// See [`found`].
    pub found: u8,
    pub zone: u16,
    pub peer: u16,
    /// Line of the policy file that allowed it; 0: none.
    pub line: u32,
    /// Index of the service's counter; `u32::MAX`: none.
    pub service: u32,
    pub flow_id: u64,
    // verdict
    pub reason: Reason,
    /// See [`action`].
    pub action: u8,
    /// Of what is held: see [`crate::hold::part`].
    pub part: u8,
    /// Where it goes on if it passes, an interface index; 0: to the kernel.
    pub onward: u32,
    // tunnel
    /// In what this packet was found: see [`crate::tunnel::kind`]; zero for the packet of the frame itself.
    pub tunnel: u8,
    /// What becomes of the packet in this one: see [`crate::tunnel::inside`].
    pub inside: u8,
    pub _pad: u16,
    /// Of a packet in a tunnel: which of its networks, the VNI of VXLAN, the key of GRE, the session of PPPoE; 0: it has none.
    pub network: u32,
}

impl Walk {
    /// What is odd about a packet that is [`parsed::ODD`].
    pub const fn odd(&self) -> Reason {
        if self.ttl == 0 {
            return Reason::ttl_zero;
        }
        match (self.family, self.protocol) {
            _ if self.l4 == 0 => Reason::ip6_fragment_useless,
            (V4, 1) | (V6, 58) => match icmp_oddity(self.family, self.icmp_type, self.icmp_code) {
                Some(reason) => reason,
                None => Reason::ip6_fragment_useless,
            },
            _ => Reason::ip6_fragment_useless,
        }
    }
}

/// What is odd about the type or the code of an ICMP message: neither RFC 792, RFC 950, RFC 1256 and RFC 1812 nor the registry of
/// RFC 4443 has it.
#[inline(always)]
pub const fn icmp_oddity(family: u8, kind: u8, code: u8) -> Option<Reason> {
    let most = match (family, kind) {
        (V4, 3) => 15,
        (V4, 5) => 3,
        (V4, 11) => 1,
        (V4, 9 | 10) => 16,
        (V4, 0 | 4 | 8 | 12..=18) => 0,
        (V6, 1) => 8,
        (V6, 3) => 1,
        (V6, 4) => 3,
        (V6, 138) => u8::MAX,
        (V6, 139 | 140) => 2,
        (V6, 2 | 128..=159) => 0,
        _ => return Some(Reason::icmp_type_unknown),
    };
    if code > most { Some(Reason::icmp_code_unknown) } else { None }
}

/// Values of [`Walk::hook`].
pub mod hook {
    /// XDP, where a frame comes in.
    pub const INGRESS: u8 = 0;
    /// tcx egress, where a packet leaves.
    pub const EGRESS: u8 = 1;
}

/// Bits of [`Walk::parsed`].
pub mod parsed {
    /// A fragment (not an atomic one).
    pub const FRAGMENT: u8 = 1;
    /// The first fragment.
    pub const FIRST: u8 = 2;
    /// More fragments follow.
    pub const MORE: u8 = 4;
    /// An ICMP error, which quotes a packet.
    pub const ICMP_ERROR: u8 = 8;
    /// Merged by the kernel from several packets (tcx only): lengths are not those of the wire.
    pub const MERGED: u8 = 16;
    /// Odd in a way that decides nothing: see [`Walk::odd`](super::Walk::odd).
    pub const ODD: u8 = 32;
}

/// Values of [`Walk::found`].
pub mod found {
    /// The flow table was not asked.
    pub const NOT_ASKED: u8 = 0;
    pub const MISS: u8 = 1;
    /// A live flow of the current generation.
    pub const HIT: u8 = 2;
    /// A live flow of an older generation: judged again.
    pub const OLDER: u8 = 3;
    /// A closed flow whose tuple is used again.
    pub const REUSED: u8 = 4;
    /// As [`HIT`], and for the first time in a while: it goes by the kernel even where others are forwarded without.
    pub const DUE: u8 = 5;
}

/// Values of [`Walk::action`].
pub mod action {
    pub const PASS: u8 = 1;
    pub const DROP: u8 = 2;
    /// Handed to userspace, which releases or drops it.
    pub const HOLD: u8 = 3;
    /// It passes if the packet inside does, which another program says. No verdict: no walk ends with it.
    pub const INSIDE: u8 = 4;
}

plain!(Walk = 144);
