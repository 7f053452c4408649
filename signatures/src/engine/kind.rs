//! What a rule is asked about, as Suricata sorts rules by what they hold.

use crate::rule::{Arrow, Check, Condition, Effect, Inspect, PacketTest, Protocol, Rule, Selected};

/// What a rule is asked about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Packets of which something was noticed.
    Event,
    /// Addresses and ports alone: the first packet of each direction.
    Addresses,
    /// Addresses, some of them excluded: every packet.
    LikeAddresses,
    /// What is spoken: once for each direction, when that is known.
    Spoken,
    /// Packets.
    Packet,
    /// Packets, and what was said on the stream.
    PacketAndStream,
    /// What was said on the stream.
    Stream,
    /// Packets of a flow on which something is spoken.
    Application,
    /// Transactions.
    Transaction,
}

impl Kind {
    /// What Suricata calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "de_only",
            Self::Addresses => "ip_only",
            Self::LikeAddresses => "like_ip_only",
            Self::Spoken => "pd_only",
            Self::Packet => "pkt",
            Self::PacketAndStream => "pkt_stream",
            Self::Stream => "stream",
            Self::Application => "app_layer",
            Self::Transaction => "app_tx",
        }
    }

    /// Whether what a match says holds for the whole flow.
    pub const fn is_of_flow(self, in_stream: bool) -> bool {
        match self {
            Self::Event | Self::Packet => false,
            Self::PacketAndStream | Self::Stream => in_stream,
            _ => true,
        }
    }

    /// The kind of a rule.
    pub fn of(rule: &Rule) -> Self {
        let any = |of: fn(&Condition) -> bool| rule.conditions.iter().any(of);
        let all = |of: fn(&Condition) -> bool| !rule.conditions.is_empty() && rule.conditions.iter().all(of);
        if rule.header.arrow == Arrow::Transaction || any(is_of_transaction) {
            return Self::Transaction;
        }
        if any(is_payload) {
            return of_payload(rule);
        }
        if all(|condition| matches!(condition, Condition::Event(event) if !event.starts_with("stream."))) {
            return Self::Event;
        }
        let flow = &rule.flow;
        let bare = rule.conditions.is_empty() && !flow.established && !flow.not_established && !flow.stateless;
        let unnamed =
            rule.apps.is_empty() && !flow.only_stream && !flow.no_stream && !flow.only_fragments && !flow.no_fragments;
        if bare && !rule.apps.is_empty() {
            return Self::Application;
        }
        if all(|condition| matches!(condition, Condition::App(..) | Condition::AppBy(..) | Condition::OriginalApp(..)))
            && !flow.established
            && !flow.not_established
        {
            return Self::Spoken;
        }
        let header = &rule.header;
        let transport = matches!(header.protocol, Protocol::TcpPacket | Protocol::TcpStream | Protocol::PacketHeader);
        let one_way = flow.to_server != flow.to_client;
        let counts = rule.effects.iter().any(|effect| matches!(effect, Effect::Flowint(_)));
        if bare && unnamed && !transport && !one_way && !counts {
            let excluded = !header.source.none_of.is_empty() || !header.destination.none_of.is_empty();
            return if excluded { Self::LikeAddresses } else { Self::Addresses };
        }
        Self::Packet
    }
}

/// Whether a condition is asked of a transaction.
pub fn is_of_transaction(condition: &Condition) -> bool {
    match condition {
        Condition::Inspect(inspect) => matches!(inspect.selected, Selected::Buffer(_)),
        Condition::Number { .. }
        | Condition::Test { .. }
        | Condition::AppEvent(_)
        | Condition::FileSize(_)
        | Condition::FileExtension(..)
        | Condition::FileHash(..)
        | Condition::FileStore => true,
        _ => false,
    }
}

fn is_payload(condition: &Condition) -> bool {
    matches!(condition, Condition::Inspect(Inspect { selected: Selected::Payload, .. }))
}

/// A rule about contents: of TCP they are looked for in the stream, unless it asks for packets, or says where in a packet.
fn of_payload(rule: &Rule) -> Kind {
    let tcp = match rule.header.protocol {
        Protocol::TcpPacket => return Kind::Packet,
        Protocol::TcpStream => return Kind::Stream,
        Protocol::Tcp | Protocol::App(_) | Protocol::Ip | Protocol::Ipv4 | Protocol::Ipv6 | Protocol::PacketHeader => {
            true
        }
        Protocol::Number(number) => number == 6,
        _ => false,
    };
    let about_packets = |condition: &Condition| match condition {
        Condition::Packet(test) => !matches!(test, PacketTest::StreamSize { .. }),
        Condition::Event(_) => true,
        Condition::Inspect(inspect) => matches!(inspect.selected, Selected::PacketHeader(_)),
        _ => false,
    };
    let (packet, stream) = (rule.flow.no_stream || rule.conditions.iter().any(about_packets), rule.flow.only_stream);
    match (tcp, packet, stream) {
        (false, ..) | (_, true, false) => Kind::Packet,
        (_, false, true) => Kind::Stream,
        (_, true, true) => Kind::PacketAndStream,
        (true, false, false) if rule.conditions.iter().any(says_where) => Kind::PacketAndStream,
        (true, false, false) => Kind::Stream,
    }
}

/// Whether a content counts from the beginning.
fn says_where(condition: &Condition) -> bool {
    let Condition::Inspect(Inspect { selected: Selected::Payload, checks, .. }) = condition else { return false };
    checks.iter().any(|check| {
        let Check::Content(content) = check else { return false };
        content.place.offset.is_some() || content.place.depth.is_some() || content.place.at_start
    })
}
