//! What is looked for in held packets: their streams put in order, the protocol identified, and compared with what the flow's
//! service expects. No I/O: frames in, answers out; the sockets are `hold`'s, captures will be `replay`'s.

mod about;
mod conclude;
mod expect;
mod follow;
mod inner;
mod layer;
mod packet;
mod peers;
mod proxy;
mod recall;
mod reject;
mod related;
mod talk;
#[cfg(test)]
mod tests;
mod upgrade;
mod watch;

use std::sync::Arc;

use dropgate_abi::{
    hold::Held,
    reason::Reason,
    walk::{Walk, parsed},
};

pub use self::{
    about::{About, Metadata, Note},
    expect::{Expected, Generations, Rules, expected},
    inner::shown,
    packet::Packet,
    peers::Peers,
    proxy::{Access, Asked, Host, Request, Target, Targets},
    reject::Replies,
    related::Announced,
    talk::{Beginning, Talk, Waiting},
    watch::{Alerted, Candidate, Logged, Signatures, Watched, dropped, event_names, finish, noticed_names},
};
use self::{
    conclude::{conclude, settle},
    packet::{TCP, UDP},
};
use crate::{
    policy::model::{self, Reaction},
    protocol::{Direction, Protocol},
    reassembly::{self, Checksum, Segment, flag},
};

/// What becomes of a held packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Release,
    /// It waits, and [`Judged::let_go`] behind it, until it is known what is spoken: in [`Talk::waiting`].
    Wait,
    /// It is kept until its turn comes, now or later: see [`Judged::let_go`].
    Keep,
    Drop(Reason),
}

/// What else follows. Reused from one packet to the next.
#[derive(Default, Debug)]
pub struct Judged {
    /// Frames that were kept and leave now, the same way as the one that was judged, and after it if it leaves.
    pub let_go: Vec<Box<[u8]>>,
    /// What its ends are told: its receiver and its sender.
    pub replies: Replies,
    /// What was found out about the flow, in order.
    pub found: Vec<Finding>,
    /// Nothing more is wanted of the flow. With [`dropgate_abi::flow::Flow::app`].
    pub finished: Option<u8>,
    /// That, but for packets that rules may match.
    pub sieved: bool,
    /// Nothing more will be wanted of it as soon as the packets of this direction are acknowledged, by this number.
    pub awaited: Option<Awaited>,
    /// The flow ends here. With `app`, too.
    pub condemned: Option<(Reason, u8)>,
    /// There was no memory to look into what it says, and the flow passes.
    pub uninspected: bool,
    /// Flows that are to come, because of this packet: to be known before it leaves.
    pub announced: Vec<Announced>,
    /// What the flow is, as is known now, though it stays under inspection: [`dropgate_abi::flow::Flow::app`].
    pub noted: Option<u8>,
    /// Frames that were with us and end here, and why.
    pub discarded: Vec<(Reason, Box<[u8]>)>,
    /// The packet, for who tells of it.
    pub walk: Walk,
    /// What is odd about it, whatever becomes of it.
    pub odd: Option<Reason>,
    /// What rules say of it.
    pub watched: Watched,
    /// What events tell of its flow has changed.
    pub noticed: Option<Arc<Note>>,
    stream: reassembly::Outcome,
}

/// What a flow waits for before it may leave inspection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Awaited {
    /// Whose bytes are to be acknowledged.
    pub direction: Direction,
    /// The number that acknowledges all that was said until now.
    pub number: u32,
    /// [`dropgate_abi::flow::Flow::app`].
    pub app: u8,
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
    /// What the flow as a whole is, where it was said inside of that, and inside of what: `STARTTLS`.
    pub within: Option<(Option<Protocol>, String)>,
    /// What a proxy was asked for.
    pub asked: Option<Asked>,
}

/// What a packet is judged by, besides what was said on its flow.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Of the generation that held it.
    pub rules: &'a Rules,
    pub peers: &'a Peers,
    /// Flows under inspection take as much memory as they may.
    pub full: bool,
    /// Any clock that goes on.
    pub now_ns: u64,
    /// The time of day, s since 1970.
    pub unix_s: i64,
}

/// Judges a packet of a flow. `talk`: what is known of the flow so far.
pub fn judge(held: &Held, frame: &[u8], talk: &mut Talk, context: &Context<'_>, out: &mut Judged) -> Answer {
    judge_parts(held, (frame, &[frame]), talk, context, out)
}

/// Judges a packet of a flow that came in several frames: [`crate::defragment`] has put it together. They are what is kept
/// of it, and what comes out in [`Judged::let_go`].
pub fn judge_parts(
    held: &Held,
    (frame, parts): (&[u8], &[&[u8]]),
    talk: &mut Talk,
    context: &Context<'_>,
    out: &mut Judged,
) -> Answer {
    let rules = context.rules;
    out.clear();
    let Some(packet) = Packet::read(frame) else { return Answer::Release };
    out.see(held, &packet);
    if let Some(reason) = talk.condemned {
        return Answer::Drop(reason);
    }
    if packet.walk.protocol != TCP {
        talk.resume(held, &packet, context);
    }
    talk.watching = rules.signatures.is_some() && !talk.watch.is_over();
    if talk.settled && !talk.watching && !talk.keeps() && talk.is_confirmed(rules) {
        // nothing more is looked for; it is held only to be counted out, or because everything is
        out.finished = (!rules.inspection.everything).then_some(talk.app);
        return Answer::Release;
    }
    let direction = Direction::numbered(held.direction);
    let established = talk.is_established();
    let answer = if context.full && (talk.footprint() == 0 || !packet.payload().is_empty()) {
        exhausted(direction, talk, context, out)
    } else if packet.walk.protocol == UDP {
        talk.datagram(direction, packet.payload(), rules);
        Answer::Release
    } else if packet.walk.protocol != TCP {
        Answer::Release
    } else {
        match Segment::read(direction, packet.source(), packet.destination(), packet.transport(), Checksum::Verify) {
            Ok(segment) => {
                if !segment.payload.is_empty() {
                    talk.refused_ns = None;
                }
                let answer = talk.segment((&segment, &held.opened), parts, rules, out);
                out.odd = out.odd.or(out.stream.odd);
                answer
            }
            Err(reason) => Answer::Drop(reason),
        }
    };
    // a packet that says nothing new about the stream decides nothing
    let answer = if answer == Answer::Release && !talk.settled {
        let recalled = recall::recall(held, &packet, talk, context, out);
        recalled.unwrap_or_else(|| {
            let answer = conclude(held, &packet, talk, context, out);
            recall::remember(held, &packet, talk, context, out);
            answer
        })
    } else {
        answer
    };
    if rules.tells.ethernet {
        talk.see(frame, held.direction == 1, out);
    }
    let answer = match &rules.signatures {
        Some(signatures) if talk.watching && talk.condemned.is_none() => {
            let established =
                (established || !packet.payload().is_empty() || packet.walk.protocol != TCP) && talk.is_established();
            let answer = watch::watch(held, &packet, talk, signatures, (context.now_ns, established, answer), out);
            if talk.watch.is_over() {
                talk.unwatch();
            }
            answer
        }
        _ => answer,
    };
    talk.announce(held, &packet, &mut out.announced);
    if talk.settled && !talk.watching && talk.is_confirmed(rules) {
        talk.leave();
        out.finished = (!rules.inspection.everything).then_some(talk.app);
    }
    if packet.walk.protocol != TCP && talk.is_sieved() && !rules.inspection.everything {
        (out.finished, out.sieved) = (Some(talk.app), true);
    }
    if talk.settled && !talk.watching && out.finished.is_none() && !rules.inspection.everything {
        let awaits = talk.awaits();
        out.awaited = awaits.map(|(direction, number)| Awaited { direction, number, app: talk.app });
    }
    if stays(held, talk, rules) {
        out.noted = talk.note();
    }
    if held.tunnel != 0 {
        // nobody writes the tunnel's headers before them
        out.replies = Replies::default();
    }
    let carries = !packet.payload().is_empty() || packet.walk.protocol != UDP && packet.walk.tcp_flags & flag::FIN != 0;
    match answer {
        Answer::Release if carries && talk.makes_wait() => Answer::Wait,
        // In the order in which they came: timestamps say so, and of those that seem to go back a receiver takes none (RFC
        // 7323, 5.3).
        Answer::Release if !out.let_go.is_empty() => {
            out.let_go.extend(parts.iter().map(|part| Box::from(*part)));
            Answer::Keep
        }
        answer => answer,
    }
}

/// Judges an ICMP error about a packet of a flow: rules are asked about it by itself, and what they say concerns nothing else.
pub fn judge_error(held: &Held, frame: &[u8], context: &Context<'_>, out: &mut Judged) -> Answer {
    out.clear();
    let Some(packet) = Packet::read(frame) else { return Answer::Release };
    out.see(held, &packet);
    match &context.rules.signatures {
        Some(signatures) => watch::alone(held, &packet, signatures, context.now_ns, out),
        None => Answer::Release,
    }
}

/// Judges a fragment before its datagram is put together: rules are asked about it by itself, which see no ports and nothing of what it
/// carries. One that they drop is missing from its datagram.
pub fn judge_fragment(held: &Held, frame: &[u8], context: &Context<'_>, out: &mut Judged) -> Answer {
    out.clear();
    let Some(signatures) = &context.rules.signatures else { return Answer::Release };
    out.walk = inner::walk(held, frame);
    watch::fragment(held, frame, signatures, context.now_ns, out)
}

impl Judged {
    /// Empty, for the next packet.
    fn clear(&mut self) {
        self.let_go.clear();
        self.announced.clear();
        self.discarded.clear();
        self.noted = None;
        self.found.clear();
        self.replies = Replies::default();
        (self.finished, self.awaited, self.condemned) = (None, None, None);
        (self.uninspected, self.sieved) = (false, false);
        self.watched.clear();
        (self.noticed, self.odd) = (None, None);
    }

    /// The packet that is judged.
    fn see(&mut self, held: &Held, packet: &Packet<'_>) {
        self.walk = packet.walk;
        (self.walk.tunnel, self.walk.network) = (held.tunnel, held.network);
        self.odd = (packet.walk.parsed & parsed::ODD != 0).then(|| packet.walk.odd());
    }

    /// Whether there is anything to tell of the packet, but that it is dropped.
    pub const fn tells(&self) -> bool {
        !self.found.is_empty()
            || self.odd.is_some()
            || !self.watched.alerts.is_empty()
            || !self.watched.logged.is_empty()
            || !self.watched.limited.is_empty()
    }

    /// What goes with whatever is told of the packet that was judged, a `frame` of a flow of which events tell this.
    pub fn about(&mut self, held: &Held, frame: &[u8], note: Arc<Note>, answer: Answer, rules: &Rules) -> Arc<About> {
        let dropped = match answer {
            Answer::Drop(reason) => Some(reason),
            Answer::Release | Answer::Wait | Answer::Keep => None,
        };
        let whole = (rules.tells.packet || rules.tells.payload) && !self.watched.alerts.is_empty();
        Arc::new(About {
            note,
            verdict: self.watched.verdict,
            dropped,
            dropped_by: self.watched.dropped_by.take(),
            captured: std::mem::take(&mut self.watched.captured),
            ..About::packet(held, &self.walk, frame, whole)
        })
    }
}

/// Whether a flow stays under inspection for more than the time until its receivers have what was inspected. Of a flow that was
/// announced its entry says as what, for as long as it does.
fn stays(held: &Held, talk: &Talk, rules: &Rules) -> bool {
    held.announced == 0 && talk.condemned.is_none() && (!talk.settled || talk.watching || rules.inspection.everything)
}

/// For how long there may be no memory for what a flow says, before it ends and gives back what it has, ns: else many that
/// have said half of what they have to say would keep each other from saying the rest.
const REFUSED_NS: u64 = 1_000_000_000;

/// There is no memory left to look into what a flow says.
fn exhausted(direction: Direction, talk: &mut Talk, context: &Context<'_>, out: &mut Judged) -> Answer {
    if context.rules.failure.memory == model::Answer::Drop {
        let since_ns = *talk.refused_ns.get_or_insert(context.now_ns);
        if context.now_ns.saturating_sub(since_ns) >= REFUSED_NS {
            talk.condemn(Reason::inspector_memory, out);
        }
        return Answer::Drop(Reason::inspector_memory);
    }
    out.uninspected = true;
    talk.give_up(direction, Reason::inspector_memory, out);
    settle(talk)
}
