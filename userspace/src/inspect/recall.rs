//! Flows that cannot be told by their beginning: those met in mid-stream, and those that go on where an earlier one ended.

use dropgate_abi::{hold::Held, reason::Reason};

use super::{
    Answer, Context, Judged,
    conclude::settle,
    expect::Expected,
    layer::{Parties, Stage},
    packet::{Packet, UDP},
    peers::Peer,
    talk::{Beginning, Talk},
};
use crate::{
    policy::model::Midstream,
    protocol::{self, Direction, Protocol, Spoken, Stream},
};

/// What follows from that; `None`: the flow is to be compared like any other.
pub(super) fn recall(
    held: &Held,
    packet: &Packet<'_>,
    talk: &mut Talk,
    context: &Context<'_>,
    out: &mut Judged,
) -> Option<Answer> {
    if !matches!(talk.layer().stage, Stage::Identify) {
        return None;
    }
    let udp = packet.walk.protocol == UDP;
    // what begins within it begins here
    if talk.beginning == Beginning::Before && talk.layers().len() < 2 {
        match (context.rules.inspection.midstream, udp) {
            (Midstream::Pass, _) => return Some(settle(talk)),
            // a datagram tells what it is wherever it stands
            (_, true) => talk.beginning = Beginning::Seen,
            (Midstream::Drop, false) => return Some(refuse(talk, out)),
            (Midstream::Identify, false) => return identify(talk, context),
        }
    }
    if !udp || matches!(talk.layer().spoken, Spoken::Known(..)) {
        return None;
    }
    let peer = peer(held, packet);
    let protocol = context.peers.speaks(peer, context.now_ns)?;
    let expected = Expected::Service { counter: held.service, udp, port: peer.2 };
    context.rules.fits(expected, Some(protocol)).then(|| {
        talk.app = protocol.number();
        settle(talk)
    })
}

/// Remembers what is spoken on a flow that is as it should be.
pub(super) fn remember(held: &Held, packet: &Packet<'_>, talk: &Talk, context: &Context<'_>, out: &Judged) {
    if talk.settled
        && out.found.is_empty()
        && packet.walk.protocol == UDP
        && let Some(protocol) = Protocol::numbered(talk.app).filter(|protocol| is_session(*protocol))
    {
        context.peers.spoke(peer(held, packet), protocol, context.now_ns);
    }
}

/// Protocols whose later datagrams do not tell what they are. Of the others each one does, and is asked.
pub(super) const fn is_session(protocol: Protocol) -> bool {
    matches!(
        protocol,
        Protocol::Quic
            | Protocol::Wireguard
            | Protocol::Openvpn
            | Protocol::Dtls
            | Protocol::Rtp
            | Protocol::Bittorrent
    )
}

/// Looks for what can be told from the middle of a stream; what cannot be told passes.
fn identify(talk: &mut Talk, context: &Context<'_>) -> Option<Answer> {
    let said = Stream { to_server: talk.said(Direction::ToServer), to_client: talk.said(Direction::ToClient) };
    if said.to_server.is_empty() && said.to_client.is_empty() {
        return Some(Answer::Release);
    }
    let spoken = protocol::midstream(said);
    let inspection = &context.rules.inspection;
    let layer = talk.layer();
    let since_ns = *layer.since_ns.get_or_insert(context.now_ns);
    let late = u128::from(context.now_ns.saturating_sub(since_ns)) >= inspection.patience.as_nanos();
    layer.spoken = spoken;
    match spoken {
        Spoken::Known(..) => {
            talk.beginning = Beginning::Seen;
            None
        }
        Spoken::Pending if layer.bytes < inspection.depth && !late => Some(Answer::Release),
        Spoken::Pending | Spoken::Unknown => Some(settle(talk)),
    }
}

/// The connection ends here, because its beginning was not seen.
fn refuse(talk: &mut Talk, out: &mut Judged) -> Answer {
    let reason = Reason::tcp_mid_stream;
    talk.condemn(reason, out);
    Answer::Drop(reason)
}

fn peer(held: &Held, packet: &Packet<'_>) -> Peer {
    let Parties { client, server, port } = Parties::of(held, packet);
    (client, server, port)
}
