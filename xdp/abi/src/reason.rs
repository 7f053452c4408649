//! The one list of reasons. Counters, events, the command line and `docs/reasons.md` are generated from it.
//!
//! A number is never reused. Groups leave room; the order within a group has no meaning.

/// Why a packet got its verdict. A number, so that a byte from a map never becomes a Rust enum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Reason(pub u16);

/// What a reason says about the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The packet went on.
    Pass,
    /// The packet was dropped.
    Drop,
    /// The packet was dropped as malformed, forged or an attack; reported as an `anomaly` event besides the drop.
    AnomalyDrop,
    /// Odd, counted, not decisive; the packet got another reason as its verdict.
    Anomaly,
    /// Our own fault or limit; the packet was dropped or passed as configured.
    Error,
}

/// One line of the list.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// The number, as it stands in maps.
    pub reason: Reason,
    /// Stable name, used in EVE, JSON and metrics.
    pub name: &'static str,
    /// The stage that gives it.
    pub stage: Stage,
    /// What it says.
    pub kind: Kind,
    /// One line for people.
    pub meaning: &'static str,
    /// ATT&CK technique, or empty.
    pub attack: &'static str,
}

/// The stages of a packet's life, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Stage {
    Frame = 1,
    Parse,
    Ingress,
    Anomaly,
    Fragment,
    Flow,
    Zone,
    Policy,
    State,
    Content,
    Tunnel,
    Verdict,
}

impl Stage {
    /// All stages, in packet order.
    pub const ALL: [Self; 12] = [
        Self::Frame,
        Self::Parse,
        Self::Ingress,
        Self::Anomaly,
        Self::Fragment,
        Self::Flow,
        Self::Zone,
        Self::Policy,
        Self::State,
        Self::Content,
        Self::Tunnel,
        Self::Verdict,
    ];

    /// Lower-case name, as in the file of the stage.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Parse => "parse",
            Self::Ingress => "ingress",
            Self::Anomaly => "anomaly",
            Self::Fragment => "fragment",
            Self::Flow => "flow",
            Self::Zone => "zone",
            Self::Policy => "policy",
            Self::State => "state",
            Self::Content => "content",
            Self::Tunnel => "tunnel",
            Self::Verdict => "verdict",
        }
    }
}

macro_rules! reasons {
    ($($number:literal $name:ident $stage:ident $kind:ident $attack:literal $meaning:literal)+) => {
        #[allow(non_upper_case_globals, missing_docs)]
        impl Reason {
            $(#[doc = $meaning] pub const $name: Reason = Reason($number);)+
        }
        /// Every reason, by ascending number.
        pub const REASONS: &[Info] = &[$(Info {
            reason: Reason($number), name: stringify!($name), stage: Stage::$stage, kind: Kind::$kind,
            meaning: $meaning, attack: $attack,
        }),+];
    };
}

/// Room in the counter maps: numbers are below this.
pub const REASON_SLOTS: u32 = 256;

reasons! {
    1   frame_truncated          Frame Drop "" "the Ethernet header is incomplete"
    2   vlan_too_deep            Frame Drop "" "more than two VLAN tags"
    3   vlan_truncated           Frame Drop "" "a VLAN tag is incomplete"
    4   ethertype_denied         Frame Drop "" "a non-IP frame whose ethertype the policy does not list"
    5   ethertype_allowed        Frame Pass "" "a non-IP frame whose ethertype the policy lists"
    6   arp                      Frame Pass "" "ARP"
    7   arp_unsolicited          Frame Anomaly "T1557.002" "an ARP reply that nobody asked for"
    8   arp_unsolicited_dropped  Frame AnomalyDrop "T1557.002" "an ARP reply that nobody asked for, dropped as configured"
    9   arp_malformed            Frame AnomalyDrop "" "an ARP packet that is cut short or not for IPv4 over Ethernet"
    10  bridge_peer_absent       Ingress Drop "" "bridged, and the interface on the other side is not there"

    20  ip4_truncated            Parse AnomalyDrop "" "the IPv4 header is incomplete"
    21  ip4_bad_version          Parse AnomalyDrop "" "ethertype IPv4, but another version in the header"
    22  ip4_bad_header_length    Parse AnomalyDrop "" "IPv4 header length below 20 bytes, or longer than the packet"
    23  ip4_bad_total_length     Parse AnomalyDrop "" "IPv4 total length shorter than its header or longer than the frame"
    24  ip6_truncated            Parse AnomalyDrop "" "the IPv6 header is incomplete"
    25  ip6_bad_version          Parse AnomalyDrop "" "ethertype IPv6, but another version in the header"
    26  ip6_bad_payload_length   Parse AnomalyDrop "" "IPv6 payload length longer than the frame"
    27  ip6_ext_truncated        Parse AnomalyDrop "" "an IPv6 extension header is cut short"
    28  ip6_ext_too_many         Parse AnomalyDrop "" "more IPv6 extension headers than any use needs"
    29  ip6_ext_order            Parse AnomalyDrop "" "IPv6 hop-by-hop options anywhere but first, or a header repeated (RFC 8200, 4.1)"
    30  ip6_routing_type0        Parse AnomalyDrop "" "IPv6 routing header of type 0 (RFC 5095)"
    31  tcp_truncated            Parse AnomalyDrop "" "the TCP header is incomplete"
    32  tcp_bad_header_length    Parse AnomalyDrop "" "TCP data offset below 20 bytes, or beyond the packet"
    33  udp_truncated            Parse AnomalyDrop "" "the UDP header is incomplete"
    34  udp_bad_length           Parse AnomalyDrop "" "UDP length contradicts the IP length"
    35  icmp_truncated           Parse AnomalyDrop "" "the ICMP header is incomplete"
    36  sctp_truncated           Parse AnomalyDrop "" "the SCTP header is incomplete"
    37  ip6_jumbogram            Parse Drop "" "IPv6 payload length zero with a payload behind it (RFC 2675)"
    38  icmp_type_unknown        Parse Anomaly "" "an ICMP message of a type that nothing defines"
    39  icmp_code_unknown        Parse Anomaly "" "an ICMP message with a code that its type does not have"
    40  ip6_fragment_useless     Parse Anomaly "" "an IPv6 packet that is whole, with a fragment header (RFC 6946)"
    41  icmp_other_version       Parse AnomalyDrop "" "ICMP of IPv6 in IPv4, or of IPv4 in IPv6"

    50  vlan_unknown             Ingress Drop "" "a VLAN on which the policy knows no zone"
    51  interface_unknown        Ingress Drop "" "a packet from an interface that the policy does not name"
    52  routed                   Ingress Pass "" "already judged where it came in"

    60  tcp_flags_none           Anomaly AnomalyDrop "" "TCP without any flag"
    61  tcp_flags_all            Anomaly AnomalyDrop "" "TCP with FIN, SYN, RST, PSH, ACK and URG all set"
    62  tcp_syn_fin              Anomaly AnomalyDrop "" "TCP with SYN and FIN"
    63  tcp_syn_rst              Anomaly AnomalyDrop "" "TCP with SYN and RST"
    64  tcp_fin_without_ack      Anomaly AnomalyDrop "" "TCP with FIN but without ACK"
    65  port_zero                Anomaly AnomalyDrop "" "source or destination port zero"
    66  land                     Anomaly AnomalyDrop "" "source and destination are the same"
    67  source_multicast         Anomaly AnomalyDrop "" "a multicast address as source"
    68  source_broadcast         Anomaly AnomalyDrop "" "a broadcast address as source"
    69  source_loopback          Anomaly AnomalyDrop "" "a loopback address as source"
    70  source_unspecified       Anomaly AnomalyDrop "" "the unspecified address as source, where nothing allows it"
    71  destination_loopback     Anomaly AnomalyDrop "" "a loopback address as destination"
    72  ttl_zero                 Anomaly Anomaly "" "TTL or hop limit zero: a router drops it, a host takes it (RFC 1812, 5.3.1; RFC 1122, 3.2.1.7)"
    73  destination_unspecified  Anomaly AnomalyDrop "" "the unspecified address as destination"

    80  fragment_denied          Fragment Drop "T1599" "a fragment of a protocol whose fragments the policy drops"
    81  fragment_tiny            Fragment AnomalyDrop "" "a first fragment too small for its transport header (RFC 1858)"
    82  fragment_overlap         Fragment AnomalyDrop "" "a fragment that would overwrite the transport header (RFC 3128)"
    83  fragment_too_long        Fragment AnomalyDrop "" "a fragment that ends beyond 65,535 bytes"
    84  fragment_bad_length      Fragment AnomalyDrop "" "a fragment with more to come whose length is no multiple of 8"
    85  fragment_first_missing   Fragment Drop "" "a later fragment whose first one has not been seen"
    86  fragment_table_full      Fragment Error "" "no room to remember a datagram in fragments"
    87  fragment_of_dropped      Fragment Drop "" "a later fragment of a datagram whose first one was dropped"
    88  fragment_tracked         Fragment Pass "" "a later fragment of a datagram whose first one passed"
    89  fragment_passed          Fragment Pass "" "a fragment of a protocol whose fragments the policy passes"
    90  fragment_repeated        Fragment Drop "" "a second copy of a fragment that passed"
    91  fragment_source_limit    Fragment Error "" "one source has as many incomplete datagrams as it may"

    100 flow                     Flow Pass "" "part of a flow that was allowed"
    101 wrong_side               Flow AnomalyDrop "" "a packet of a known flow that came in where that flow cannot"
    102 flow_revoked             Flow Drop "" "the policy in force no longer allows this flow"
    103 icmp_error               Flow Pass "" "an ICMP error about a packet of a known flow"
    104 icmp_error_unrelated     Flow Drop "" "an ICMP error about no known flow"
    105 icmp_error_malformed     Flow AnomalyDrop "" "an ICMP error whose quoted packet is cut short or unreadable"
    106 forwarded                Flow Pass "" "part of a flow that was allowed, and forwarded without the kernel's stack"

    110 source_not_in_zone       Zone AnomalyDrop "" "a source that cannot be where the packet came in"
    111 source_is_self           Zone AnomalyDrop "" "the gateway's own address as source of a packet that came in"
    112 source_of_zone           Zone AnomalyDrop "" "a zone's address as source of a packet from the outside"

    120 allowed                  Policy Pass "" "a service of the zone allows it"
    121 not_allowed              Policy Drop "" "no service of the zone allows it"
    122 blocked_source           Policy Drop "" "the source is on the blocklist"
    123 blocked_destination      Policy Drop "" "the destination is on the blocklist"
    124 chatter                  Policy Drop "" "link-local chatter that no service allows"
    125 neighbour_discovery      Policy Pass "" "IPv6 neighbour discovery"
    126 multicast_listener       Policy Pass "" "IPv6 multicast listener discovery"
    127 nd_hop_limit             Policy AnomalyDrop "" "neighbour discovery with a hop limit other than 255 (RFC 4861)"
    128 nd_rogue_router          Policy AnomalyDrop "T1557" "a router advertisement or redirect from inside a zone"
    129 na_unsolicited           Policy Anomaly "T1557" "a neighbour advertisement that nobody asked for"
    130 na_unsolicited_dropped   Policy AnomalyDrop "T1557" "a neighbour advertisement that nobody asked for, dropped as configured"
    131 dhcp                     Policy Pass "" "DHCP of a zone that may use it"
    132 dhcp_denied              Policy Drop "" "DHCP where the policy does not allow it"
    133 dns_unsolicited          Policy Drop "" "a DNS answer that nobody asked for"
    134 not_published            Policy Drop "" "from the outside to an address or port that nothing is published on"
    135 icmp_redirect            Policy Drop "T1557" "an ICMP redirect"
    136 reply_unsolicited        Policy Drop "" "an echo or timestamp reply that nobody asked for"
    137 nd_code                  Policy AnomalyDrop "" "neighbour discovery with an ICMP code other than 0 (RFC 4861)"
    138 pppoe_unasked            Frame Drop "T1572" "a PPPoE session, of which the policy says nothing"
    139 pppoe_opaque             Frame Pass "" "a PPPoE session, which the policy lets pass unread"
    140 tunnel_unasked           Policy Drop "T1572" "a tunnel, of whose packets its service says nothing"
    141 tunnel_denied            Policy Drop "T1572" "a tunnel, which its service drops"
    142 tunnel_nested            Policy Drop "T1572" "a tunnel in a tunnel: one level is judged"
    143 tunnel_fragment          Policy Drop "" "a fragment of a tunnel's packet, whose inner packet cannot be judged"
    144 tunnel_truncated         Tunnel AnomalyDrop "" "a tunnel's header is incomplete, or its packet longer than what carries it"
    145 tunnel_malformed         Tunnel AnomalyDrop "" "a tunnel's header with a version, flags, code or length that are not of its protocol"
    146 tunnel_unreadable        Tunnel Drop "" "a variant of a tunnel that is not read: PPTP, VXLAN with extensions"
    147 tunnel_payload           Tunnel Drop "" "a tunnel carries something that is neither IP nor Ethernet, nor PPP's control"
    148 tunnel_uninspected       Content Drop "" "in a tunnel, and to be inspected in a way that is not possible there"
    149 ppp_control              Tunnel Pass "" "a control protocol of PPP, in a PPPoE session"

    150 tcp_no_flow              State Drop "" "a TCP segment that belongs to no flow and starts none"
    151 syn_ack_unsolicited      State Drop "" "a SYN+ACK that nobody asked for"
    152 rst_unsolicited          State Drop "" "a RST that belongs to no flow"
    153 flow_table_full          State Error "" "no room for another flow"
    154 flow_table_busy          State Error "" "the flow table's lock was held for too long"
    155 zone_flow_cap            State Drop "" "the zone has as many live flows as it may"
    156 adopted                  State Pass "" "a TCP flow taken in mid-stream after first attach"
    157 translated               State Pass "" "leaves translated; recorded for its replies"
    158 loose                    State Pass "" "mid-stream, in a zone whose state is loose"

    170 held                     Content Pass "" "handed to the inspector, which releases or drops it"
    171 inspector_absent         Content Error "" "to be inspected, and no inspector is running"
    172 inspector_late           Content Error "" "to be inspected, and the inspector has given no sign of life"
    173 hold_credits             Content Error "" "to be inspected, and as many packets are held as may be"
    174 hold_too_long            Content Error "" "to be inspected, and longer than what can be held"
    175 app_mismatch             Content Drop "T1571" "speaks another protocol than its service expects"
    176 app_unknown              Content Drop "T1571" "speaks nothing that is known"
    177 app_pending              Content Drop "T1571" "has not shown what it speaks in the bytes or the time it may take"

    180 tcp_checksum             Content AnomalyDrop "" "a wrong TCP checksum, in a connection under inspection"
    181 tcp_mid_stream           Content Drop "" "to be inspected, and the connection's beginning was not seen"
    182 tcp_syn_conflict         Content AnomalyDrop "" "a second beginning of a TCP connection: another number, or data that came with it"
    183 tcp_without_ack          Content AnomalyDrop "" "a TCP segment without ACK that is neither SYN nor RST (RFC 9293, 3.10.7.4)"
    184 tcp_ack_invalid          Content AnomalyDrop "" "acknowledges what was not sent, or what is long past (RFC 5961, 5.2)"
    185 tcp_out_of_window        Content AnomalyDrop "" "a TCP segment outside of what its receiver takes"
    186 tcp_timestamp_old        Content AnomalyDrop "" "a TCP timestamp older than one that was accepted (RFC 7323, 5.3), or in answer to a SYN that did not say it"
    187 tcp_bytes_differ         Content AnomalyDrop "" "other bytes than the first copy had in the same place"
    188 tcp_bytes_forgotten      Content Drop "" "a retransmission that can no longer be compared with what was inspected"
    189 tcp_after_fin            Content AnomalyDrop "" "data beyond the end of the stream"
    190 tcp_fin_moved            Content AnomalyDrop "" "a FIN elsewhere than the first one, or before data that was seen"
    191 tcp_after_reset          Content Drop "" "from the side that has reset the connection"
    192 tcp_reset_invalid        Content AnomalyDrop "" "a RST that its receiver would not obey (RFC 5961, 3.2)"
    193 tcp_already_held         Content Drop "" "a second copy of what is held until a gap before it is filled"
    194 tcp_held_limit           Content Error "" "out of order, and as much of the connection is held as may be"
    195 tcp_unacknowledged_limit Content Error "" "more unacknowledged bytes of a connection than can be remembered"
    196 tcp_urgent               Content Drop "" "TCP urgent data, which the policy drops"
    197 tcp_syn_flood            Content Anomaly "" "more beginnings of one TCP connection than a client has reason for, all different"

    200 datagram_overlap         Fragment AnomalyDrop "" "overlaps another fragment of its datagram (RFC 5722)"
    201 datagram_length          Fragment AnomalyDrop "" "contradicts another fragment on where their datagram ends"
    202 fragment_already_held    Content Drop "" "a second copy of a fragment that is held"
    203 datagram_incomplete      Content Drop "" "a fragment whose others did not come in time"
    204 datagram_pieces          Fragment AnomalyDrop "" "of a datagram in more fragments than any path needs"
    205 datagram_source_limit    Content Error "" "as many fragments of one source are held as may be"
    206 datagram_limit           Content Error "" "as many fragments are held as may be"
    207 datagram_again           Content Drop "" "with the identification of a datagram that was released, while its receiver may wait for a part of that"

    210 first_byte_impossible    Content Drop "T1571" "begins with what nothing that its service expects can begin with"

    215 related                  Policy Pass "" "announced by another flow, which the policy allows"

    220 inspector_memory         Content Error "" "flows under inspection take as much memory as they may"
    221 inspector_backlog        Content Error "" "the worker that inspects its flow has as many packets waiting as may be"

    230 proxy_target_denied      Content Drop "T1090" "asks a proxy for a target that the allowlist of its zone does not name"
    231 proxy_target_name        Content Drop "T1090" "asks a proxy for a name on a port that its zone may not reach on the whole outside"
    232 proxy_target_blocked     Content Drop "T1090" "asks a proxy for an address on the blocklist"
    233 proxy_target_unseen      Content Drop "T1090" "asks a proxy in a way that hides the target or lets it be read in two ways"
    234 proxy_nested             Content Drop "T1090" "a proxy through a proxy, deeper than is followed"

    240 signature                Content Drop "" "a signature matched that drops, in this packet or earlier in its flow"

    250 internal                 Verdict Error "" "a packet that no stage decided; a defect of Dropgate"
}

impl Reason {
    /// The line of the list with this number.
    pub fn info(self) -> Option<&'static Info> {
        REASONS.binary_search_by_key(&self.0, |info| info.reason.0).ok().map(|at| &REASONS[at])
    }

    /// The stable name, or `unknown`.
    pub fn name(self) -> &'static str {
        self.info().map_or("unknown", |info| info.name)
    }
}

/// Ascending and in range, checked when this crate is built.
const _: () = {
    let mut at = 1;
    while at < REASONS.len() {
        assert!(REASONS[at - 1].reason.0 < REASONS[at].reason.0);
        at += 1;
    }
    assert!((REASONS[REASONS.len() - 1].reason.0 as u32) < REASON_SLOTS);
};
