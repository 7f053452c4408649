//! One generation of policy, as it lies in the maps of a slot.

use crate::{plain, tuple::Address};

/// Slots: one in force, one idle.
pub const SLOTS: u32 = 2;

/// Highest number of zones, the reserved ones included.
pub const MAX_ZONES: u32 = 4096 + FIRST_ZONE as u32;
/// No zone.
pub const ZONE_NONE: u16 = 0;
/// The gateway itself.
pub const ZONE_SELF: u16 = 1;
/// Everything that is no zone.
pub const ZONE_OUTSIDE: u16 = 2;
/// Source of what reaches a published host after translation, whoever sent it.
pub const ZONE_PUBLISHED: u16 = 3;
/// In a source scope: a broadcast address of the side.
pub const ZONE_BROADCAST: u16 = 4;
/// First number given to a zone of the policy. Numbers are stable: a zone keeps its own over pushes.
pub const FIRST_ZONE: u16 = 16;

/// A port of the gateway: interface and VLAN tags. Key of `SIDES`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(C, align(8))]
pub struct PortKey {
    pub ifindex: u32,
    /// VLAN identifier of the outer tag, 0 for none (and for a priority tag).
    pub outer: u16,
    /// VLAN identifier of the inner tag, 0 for none.
    pub inner: u16,
}

impl PortKey {
    /// As one word, the form flows keep.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.ifindex as u64 | (self.outer as u64) << 32 | (self.inner as u64) << 48
    }
}

/// What lies at a port. Value of `SIDES`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Side {
    /// Scope of this side's sources in [`table::SOURCES`].
    pub scope: u32,
    /// What a source is that no prefix there holds: [`ZONE_NONE`] (it is dropped) or [`ZONE_OUTSIDE`].
    pub fallback: u16,
    /// 0: a zone side; 1: an outside side; 2: a device of the gateway that is known but carries no side itself.
    pub kind: u8,
    /// See [`side`]: some zone at this port has the flag.
    pub flags: u8,
    /// On a bridge: index of the interface where frames go on that come in here; 0: it is not there. Elsewhere 0.
    pub peer: u32,
    /// What flows seen at this side have in common with no others of the same addresses and ports: see [`crate::tuple::realm`].
    pub realm: u16,
    /// The interface's hardware address, as it stands in frames to it; zero: not needed, or there is none.
    pub mac: [u16; 3],
    pub _pad: u32,
}

/// Values of [`Side::kind`], bits of [`Side::flags`].
pub mod side {
    pub const ZONE: u8 = 0;
    pub const OUTSIDE: u8 = 1;
    pub const DEVICE: u8 = 2;
    /// Hosts at this port may speak DHCP to the gateway.
    pub const DHCP: u8 = 1;
    /// The gateway may ask for its own address at this port by DHCP.
    pub const DHCP_CLIENT: u8 = 2;
    /// On a bridge: the other end of what [`DHCP`] and [`DHCP_CLIENT`] say is not the gateway but a host on the other side.
    pub const DHCP_ACROSS: u8 = 4;
}

/// The prefix tries of a slot. `PREFIXES` holds that of slot `s` and table `t` at `s * TABLES + t`.
pub mod table {
    /// Scope: a side's; address: source; value: its zone.
    pub const SOURCES: u32 = 0;
    /// Scope: [`super::DESTINATIONS_SCOPE`]; address: destination; value: zone, [`super::ZONE_SELF`].
    pub const PEERS: u32 = 1;
    /// Scope: a destination group; address: destination; value: the service's place in its list, or [`super::NO_SERVICE`].
    pub const GROUPS: u32 = 2;
    /// Scope: `zone << 16 | peer`; address word 0: `protocol << 16 | port`, big endian; value: index into `LISTS`.
    pub const RANGES: u32 = 3;
    pub const TABLES: u32 = 4;
}

pub const DESTINATIONS_SCOPE: u32 = 0;
pub const BLOCK_FROM: u32 = 0;
pub const BLOCK_TO: u32 = 1;
pub const NO_SERVICE: u32 = u32::MAX;

/// Key of the prefix tries, after the prefix length: a scope, then an address. IPv4 and IPv6 of one scope differ in
/// `scope_be`, which is `(scope << 1 | is_v6)` in network order, so that the trie reads its bits from the top.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(C)]
pub struct PrefixKey {
    pub scope_be: u32,
    pub address: Address,
}

impl PrefixKey {
    #[inline(always)]
    pub const fn new(scope: u32, family: u8, address: Address) -> Self {
        Self { scope_be: (scope << 1 | (family == crate::tuple::V6) as u32).to_be(), address }
    }

    /// Prefix length of a full address of `family`, in bits: what a look-up uses.
    #[inline(always)]
    pub const fn full(family: u8) -> u32 {
        if family == crate::tuple::V6 { 32 + 128 } else { 32 + 32 }
    }

    /// Prefix length of no address at all: the scope alone.
    pub const NOTHING: u32 = 32;

    /// Key of [`table::RANGES`]; its full length is [`PrefixKey::full`] of IPv4.
    #[inline(always)]
    pub const fn range(zone: u16, peer: u16, protocol: u8, port: u16) -> Self {
        let scope = (zone as u32) << 16 | peer as u32;
        Self { scope_be: scope.to_be(), address: [((protocol as u32) << 16 | port as u32).to_be(), 0, 0, 0] }
    }
}

/// A key of the tries as the kernel takes it (`struct bpf_lpm_trie_key_u8`): the length in bits, then the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(C)]
pub struct TrieKey {
    pub length: u32,
    pub key: PrefixKey,
}

/// Key of `SERVICES`: a port that some service names alone. For ICMP the port is the type, for other protocols zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(C, align(8))]
pub struct ServiceKey {
    pub zone: u16,
    pub peer: u16,
    pub port: u16,
    pub protocol: u8,
    pub _pad: u8,
}

impl ServiceKey {
    /// A key, made as one word: the kernel's hash reads it in words, and a processor that is asked for a word it wrote in
    /// parts just now waits.
    #[inline(always)]
    pub const fn packed(zone: u16, peer: u16, port: u16, protocol: u8) -> Self {
        let word = zone as u64 | (peer as u64) << 16 | (port as u64) << 32 | (protocol as u64) << 48;
        let key = Self { zone, peer, port, protocol, _pad: 0 };
        if cfg!(target_endian = "little") {
            // SAFETY: the same bytes: fields of eight bytes in all without padding, in this order.
            return unsafe { core::mem::transmute::<u64, Self>(word) };
        }
        key
    }
}

/// The services that speak about one zone, peer, protocol and port, in file order. Value of `SERVICES` and of `LISTS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(C, align(8))]
pub struct ServiceList {
    /// Index of the first one's entry in `CANDIDATES`.
    pub first: u32,
    /// Scope in [`table::GROUPS`] that chooses among them by destination; 0: the first one takes every destination.
    pub group: u32,
}

/// One service, as an entry of `CANDIDATES`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(C, align(8))]
pub struct Service {
    /// Index of its counter; stable over pushes.
    pub counter: u32,
    /// Line of the policy file, for people.
    pub line: u32,
    /// See [`service`].
    pub flags: u32,
    pub _pad: u32,
}

/// Bits of [`Service::flags`].
pub mod service {
    /// Packets of its flows are held and inspected.
    pub const INSPECT: u32 = 1;
    /// What becomes of the packets in the tunnels that it lets through: judged, passed unread, dropped. None: nobody has said.
    pub const TUNNEL_JUDGE: u32 = 2;
    pub const TUNNEL_OPAQUE: u32 = 4;
    pub const TUNNEL_DROP: u32 = 8;
}

/// Key of `FIRST_BYTES`: a service that says what is spoken there or, for all others, a port that something is registered for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
#[repr(C, align(8))]
pub struct FirstKey {
    /// Counter of the service, or [`NO_SERVICE`].
    pub service: u32,
    /// The server's port, or 0 for every port of the service.
    pub port: u16,
    /// 6 or 17.
    pub protocol: u8,
    pub _pad: u8,
}

/// The bytes that a client can begin with, one bit each. Value of `FIRST_BYTES`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(C, align(8))]
pub struct FirstBytes {
    pub bits: [u64; 4],
}

impl FirstBytes {
    pub const NONE: Self = Self { bits: [0; 4] };
    pub const ANY: Self = Self { bits: [u64::MAX; 4] };

    /// Whether it can begin with this one.
    #[inline(always)]
    pub const fn has(&self, byte: u8) -> bool {
        self.bits[(byte >> 6) as usize & 3] >> (byte & 63) & 1 != 0
    }

    /// With one more.
    pub const fn with(mut self, byte: u8) -> Self {
        self.bits[(byte >> 6) as usize] |= 1 << (byte & 63);
        self
    }
}

/// What the tables of a slot cannot hold, told without a look-up: a bit that is off says that no entry matches, one that is
/// on says nothing. `SIEVES`, one entry a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(8))]
pub struct Sieve {
    /// For [`table::PEERS`] and [`table::SOURCES`] of whatever scope, by [`sieve::address`]. IPv6 link-local addresses are
    /// never sieved: their prefix is too wide.
    pub addresses4: [u64; sieve::WORDS],
    pub addresses6: [u64; sieve::WORDS],
    /// For `SERVICES` and [`table::RANGES`] of whatever zone and peer, by [`sieve::port`].
    pub ports: [[u64; sieve::WORDS]; sieve::PORT_PLANES],
}

/// Places in a [`Sieve`].
pub mod sieve {
    use crate::tuple::{Address, V4};

    /// Words of a plane: one bit for each 16-bit number.
    pub const WORDS: usize = 1024;
    /// TCP, UDP, everything else.
    pub const PORT_PLANES: usize = 3;

    /// The bit of an address. IPv4: the first 16 bits. IPv6: the first 32, folded, because most of the first 16 are alike.
    #[inline(always)]
    pub const fn address(family: u8, address: &Address) -> u32 {
        let first = u32::from_be(address[0]);
        let folded = if family == V4 { first >> 16 } else { first >> 16 ^ first };
        folded & 0xffff
    }

    /// The plane and the bit of a port; for ICMP of the type, for other protocols of the protocol's number.
    #[inline(always)]
    pub const fn port(protocol: u8, port: u16) -> (usize, u32) {
        match protocol {
            6 => (0, port as u32),
            17 => (1, port as u32),
            _ => (2, (port ^ (protocol as u16) << 8) as u32),
        }
    }

    /// Whether a bit of a plane is on.
    #[inline(always)]
    pub const fn has(plane: &[u64; WORDS], bit: u32) -> bool {
        plane[(bit >> 6) as usize & (WORDS - 1)] >> (bit & 63) & 1 != 0
    }
}

impl Sieve {
    /// Whether a prefix may hold an address.
    #[inline(always)]
    pub const fn may_hold(&self, family: u8, address: &Address) -> bool {
        if family == crate::tuple::V4 {
            return sieve::has(&self.addresses4, sieve::address(family, address));
        }
        sieve::has(&self.addresses6, sieve::address(family, address)) || u32::from_be(address[0]) >> 22 == 0xfe80 >> 6
    }

    /// Whether a service may name a port (see [`ServiceKey`]).
    #[inline(always)]
    pub const fn may_serve(&self, protocol: u8, port: u16) -> bool {
        let (plane, bit) = sieve::port(protocol, port);
        sieve::has(&self.ports[plane], bit)
    }

    /// Tables that hold nothing.
    pub const EMPTY: Self = Self {
        addresses4: [0; sieve::WORDS],
        addresses6: [0; sieve::WORDS],
        ports: [[0; sieve::WORDS]; sieve::PORT_PLANES],
    };
}

/// What one generation decides for the whole gateway. `SETTINGS`, one entry a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(8))]
pub struct Settings {
    pub generation: u32,
    /// See [`kind`].
    pub kind: u32,
    /// See [`setting`].
    pub flags: u32,
    /// Entries of `ethertypes` in use.
    pub ethertype_count: u32,
    /// Non-IP ethertypes that pass; 0: frames that have none, but a length (IEEE 802.3).
    pub ethertypes: [u16; 16],
    /// Of IPv4, then of IPv6, by [`class`]: see [`fragments`].
    pub fragments: [[u8; 4]; 2],
    /// In ticks of the flow clock, by [`timeout`].
    pub timeouts: [u32; 8],
    /// Events a second for each reason and CPU.
    pub event_rate: u32,
    /// UDP ports of VXLAN; 0: none.
    pub vxlan: [u16; 8],
    pub _pad: u32,
    /// The inspector is late when its last sign of life is older, ns.
    pub late_ns: u64,
}

/// Values of [`Settings::kind`].
pub mod kind {
    pub const ROUTE: u32 = 0;
    pub const MASQUERADE: u32 = 1;
    pub const BRIDGE: u32 = 2;
}

/// Bits of [`Settings::flags`].
pub mod setting {
    /// Some prefix is on the blocklist, as source or as destination.
    pub const BLOCK_FROM: u32 = 1;
    pub const BLOCK_TO: u32 = 2;
    /// Unasked ARP replies and neighbour advertisements are dropped.
    pub const DROP_UNSOLICITED: u32 = 4;
    /// Denied chatter makes no events.
    pub const QUIET_CHATTER: u32 = 8;
    /// Some service has a port range.
    pub const RANGES: u32 = 16;
    /// Packets that would be held pass when nobody inspects, or too late.
    pub const OPEN_INSPECTOR: u32 = 32;
    /// Packets that would be held pass when as many are held as may be.
    pub const OPEN_CREDITS: u32 = 64;
    /// Packets that would be held pass when they are too long for it.
    pub const OPEN_LONG: u32 = 128;
    /// There is inspection at all.
    pub const INSPECTION: u32 = 256;
    /// What cannot be what is expected is dropped at its first byte.
    pub const FIRST_BYTES: u32 = 512;
    /// How connections begin is noted, and those segments are not held.
    pub const OPENINGS: u32 = 1024;
    /// There are rules, and `DATAGRAMS` says what they can match.
    pub const DATAGRAMS: u32 = 2048;
    /// Packets of settled flows are forwarded where they come in.
    pub const FAST_FORWARD: u32 = 4096;
    /// Packets in PPPoE sessions are judged; sessions pass unread. Neither: they are dropped.
    pub const PPPOE_JUDGE: u32 = 1 << 16;
    pub const PPPOE_OPAQUE: u32 = 1 << 17;
}

/// Classes of fragments: index into [`Settings::fragments`].
pub mod class {
    pub const UDP: usize = 0;
    pub const TCP: usize = 1;
    pub const ICMP: usize = 2;
    pub const OTHER: usize = 3;
}

/// What is done with fragments: values of [`Settings::fragments`].
pub mod fragments {
    pub const DROP: u8 = 0;
    pub const TRACK: u8 = 1;
    pub const PASS: u8 = 2;
}

/// Index into [`Settings::timeouts`].
pub mod timeout {
    pub const TCP_NEW: usize = 0;
    pub const TCP_ESTABLISHED: usize = 1;
    pub const TCP_CLOSING: usize = 2;
    pub const UDP_NEW: usize = 3;
    pub const UDP: usize = 4;
    pub const ICMP: usize = 5;
    pub const OTHER: usize = 6;
    pub const FRAGMENT: usize = 7;
}

/// What one generation decides for one zone. `ZONES`, entry `slot * MAX_ZONES + zone`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Zone {
    /// Cap on live flows; 0: none.
    pub max_flows: u32,
    /// See [`zone`].
    pub flags: u32,
}

/// Bits of [`Zone::flags`].
pub mod zone {
    pub const LOOSE: u32 = 1;
    pub const DHCP: u32 = 2;
}

plain!(
    PortKey = 8,
    Side = 24,
    PrefixKey = 20,
    TrieKey = 24,
    ServiceKey = 8,
    ServiceList = 8,
    Service = 16,
    FirstKey = 8,
    FirstBytes = 32,
    Sieve = 40960,
    Settings = 120,
    Zone = 8,
);
