//! What is looked for in held packets: their streams put in order, the protocol identified, and compared with what the flow's
//! service expects. No I/O: frames in, answers out; the sockets are `hold`'s, captures will be `replay`'s.

mod expect;
mod packet;
mod reset;
mod talk;

use std::sync::Arc;

use dropgate_abi::{flow::app, hold::Held, reason::Reason, walk::Walk};

pub use self::{
    expect::{Generations, Rules, expected},
    packet::Packet,
    talk::{Beginning, Talk, Waiting},
};
use self::{packet::UDP, reset::resets};
use crate::{
    policy::model::Reaction,
    protocol::{Direction, Protocol, Spoken},
    reassembly::{self, Checksum, Segment},
};

/// What becomes of a held packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Release,
    /// It waits, and [`Judged::let_go`] behind it, until it is known what is spoken: in [`Talk::waiting`].
    Wait,
    /// It is kept until its turn comes: see [`Judged::let_go`].
    Keep,
    Drop(Reason),
}

/// What else follows. Reused from one packet to the next.
#[derive(Default, Debug)]
pub struct Judged {
    /// Frames kept earlier that leave now, after the one that was judged, the same way.
    pub let_go: Vec<Box<[u8]>>,
    /// Frames that end the connection: for its receiver and for its sender.
    pub resets: Option<(Vec<u8>, Vec<u8>)>,
    /// Something was found out about the flow.
    pub found: Option<Finding>,
    /// Nothing more is wanted of the flow. With [`dropgate_abi::flow::Flow::app`].
    pub finished: Option<u8>,
    /// The flow ends here. With `app`, too.
    pub condemned: Option<(Reason, u8)>,
    /// The packet, for who tells of it.
    pub walk: Walk,
    stream: reassembly::Outcome,
}

/// What a flow speaks, and that it should not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub reason: Reason,
    pub reaction: Reaction,
    pub expected: Vec<&'static str>,
    /// `None`: nothing that is known.
    pub found: Option<Protocol>,
    /// Who said it, and the first bytes of that.
    pub evidence: Option<(Direction, Vec<u8>)>,
    pub server_port: u16,
}

const FIN: u8 = 1;
/// Bytes of evidence that an event shows.
const EVIDENCE: usize = 32;

/// Judges a packet of a flow. `talk`: what is known of the flow so far; `now_ns`: any clock that goes on.
pub fn judge(held: &Held, frame: &[u8], talk: &mut Talk, rules: &Arc<Rules>, now_ns: u64, out: &mut Judged) -> Answer {
    out.let_go.clear();
    (out.resets, out.found, out.finished, out.condemned) = (None, None, None, None);
    let Some(packet) = Packet::read(frame) else { return Answer::Release };
    out.walk = packet.walk;
    if let Some(reason) = talk.condemned {
        return Answer::Drop(reason);
    }
    if talk.settled && !talk.keeps() {
        // nothing more is looked for; it is held only to be counted out, or because everything is
        out.finished = (!rules.inspection.everything).then_some(talk.app);
        return Answer::Release;
    }
    let direction = if held.direction == 0 { Direction::ToServer } else { Direction::ToClient };
    let answer = if packet.walk.protocol == UDP {
        talk.datagram(direction, packet.payload(), rules);
        Answer::Release
    } else {
        match Segment::read(direction, packet.source(), packet.destination(), packet.transport(), Checksum::Verify) {
            Ok(segment) => talk.segment(&segment, frame, rules, &mut out.stream, &mut out.let_go),
            Err(reason) => Answer::Drop(reason),
        }
    };
    // a packet that says nothing new about the stream decides nothing
    let answer = if answer == Answer::Release && !talk.settled {
        conclude(held, &packet, talk, rules, now_ns, out)
    } else {
        answer
    };
    if talk.settled && !rules.inspection.everything {
        out.finished = Some(talk.app);
    }
    let carries = !packet.payload().is_empty() || packet.walk.protocol != UDP && packet.walk.tcp_flags & FIN != 0;
    if answer == Answer::Release && carries && talk.makes_wait() { Answer::Wait } else { answer }
}

/// Compares what is spoken with what is expected.
fn conclude(held: &Held, packet: &Packet<'_>, talk: &mut Talk, rules: &Rules, now_ns: u64, out: &mut Judged) -> Answer {
    let walk = &packet.walk;
    let udp = walk.protocol == UDP;
    let port = if held.direction == 0 { walk.dport } else { walk.sport };
    let inspection = &rules.inspection;
    let (reason, reaction, found) = match talk.spoken {
        // it was known once, and has been forgotten: nothing that is said now can tell any more
        _ if talk.beginning == Beginning::Forgotten => (Reason::app_pending, inspection.pending, None),
        _ if talk.beginning == Beginning::Before => return settle(talk, 0, rules, out),
        Spoken::Known(protocol, ..) if rules.fits(held.service, udp, port, Some(protocol)) == Some(true) => {
            return settle(talk, protocol.number(), rules, out);
        }
        Spoken::Known(protocol, ..) => (Reason::app_mismatch, inspection.mismatch, Some(protocol)),
        Spoken::Unknown => (Reason::app_unknown, inspection.unknown, None),
        Spoken::Pending => {
            let since_ns = *talk.since_ns.get_or_insert(now_ns);
            let late = u128::from(now_ns.saturating_sub(since_ns)) >= inspection.patience.as_nanos();
            if talk.bytes == 0 {
                talk.since_ns = None;
            }
            if talk.bytes == 0 || talk.bytes < inspection.depth && !late {
                return Answer::Release;
            }
            (Reason::app_pending, inspection.pending, None)
        }
    };
    let app = found.map_or(app::UNKNOWN, Protocol::number);
    if rules.fits(held.service, udp, port, None) == Some(true) {
        // anything may be spoken here
        return settle(talk, app, rules, out);
    }
    let evidence = match talk.spoken {
        Spoken::Known(_, direction, bytes) => Some((direction, bytes)),
        _ => [Direction::ToServer, Direction::ToClient]
            .map(|way| (way, EVIDENCE))
            .into_iter()
            .find(|(way, _)| !talk.said(*way).is_empty()),
    };
    let evidence = evidence.map(|(way, bytes)| {
        let said = talk.said(way);
        (way, said[..said.len().min(bytes).min(EVIDENCE)].to_vec())
    });
    let expected = rules.expected(held.service, udp, port);
    out.found = Some(Finding { reason, reaction, expected, found, evidence, server_port: port });
    if reaction == Reaction::Alert {
        return settle(talk, app, rules, out);
    }
    if reaction == Reaction::Reset {
        out.resets = resets(packet);
    }
    out.let_go.clear();
    out.condemned = Some((reason, app));
    talk.condemn(reason);
    Answer::Drop(reason)
}

/// Nothing more is wanted of the flow.
fn settle(talk: &mut Talk, app: u8, rules: &Rules, out: &mut Judged) -> Answer {
    talk.settle(app);
    if !rules.inspection.everything {
        out.finished = Some(app);
    }
    Answer::Release
}
