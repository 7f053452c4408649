//! Compares what is spoken with what is expected, and says what follows for the flow.

use dropgate_abi::{flow::app, hold::Held, reason::Reason};

use super::{
    Answer, Finding, Judged,
    expect::{Expected, Rules},
    follow::{Change, Follow, Step},
    layer::{Layer, Stage},
    packet::{Packet, UDP},
    reset::resets,
    talk::{Beginning, Talk},
};
use crate::{
    policy::model::Reaction,
    protocol::{Direction, Protocol, Spoken},
};

/// Bytes of evidence that an event shows.
const EVIDENCE: usize = 32;

/// What comes next for a flow.
enum Next {
    /// More must be said.
    More,
    /// Look again: the conversation is one step on.
    Again,
    /// Nothing more is wanted of it.
    Settle,
    /// It says what it should not.
    Fault(Fault),
}

/// What is wrong with what was said.
struct Fault {
    reason: Reason,
    reaction: Reaction,
    /// `None`: nothing that is known.
    found: Option<Protocol>,
    evidence: Option<(Direction, usize)>,
}

/// Takes a flow as far as what was said allows.
pub(super) fn conclude(
    held: &Held,
    packet: &Packet<'_>,
    talk: &mut Talk,
    rules: &Rules,
    now_ns: u64,
    out: &mut Judged,
) -> Answer {
    let walk = &packet.walk;
    let port = if held.direction == 0 { walk.dport } else { walk.sport };
    let own = Protocol::numbered(held.announced)
        .map_or(Expected::Service { counter: held.service, udp: walk.protocol == UDP, port }, Expected::Announced);
    loop {
        let fault = match next(talk, own, rules, now_ns) {
            Next::More => return Answer::Release,
            Next::Again => continue,
            Next::Settle => return settle(talk, rules, out),
            Next::Fault(fault) => fault,
        };
        out.found = Some(finding(&fault, talk, own, rules, port));
        if fault.reaction == Reaction::Alert {
            continue;
        }
        if fault.reaction == Reaction::Reset {
            out.resets = resets(packet);
        }
        out.let_go.clear();
        out.condemned = Some((fault.reason, talk.app));
        talk.condemn(fault.reason);
        return Answer::Drop(fault.reason);
    }
}

/// One step of the conversation that is held now.
fn next(talk: &mut Talk, own: Expected, rules: &Rules, now_ns: u64) -> Next {
    let (outermost, beginning) = (talk.layers().len() < 2, talk.beginning);
    let layer = talk.layer();
    if outermost {
        layer.expected = own;
    }
    match &layer.stage {
        Stage::Identify => match beginning {
            Beginning::Before => Next::Settle,
            // it was known once, and has been forgotten: nothing that is said now can tell any more
            Beginning::Forgotten => {
                layer.stage = Stage::Over;
                talk.app = app::UNKNOWN;
                pending(rules, own)
            }
            Beginning::Seen => {
                let next = compare(layer, rules, now_ns);
                if let (Stage::Compared, true) = (&layer.stage, outermost) {
                    talk.app = match layer.spoken {
                        Spoken::Known(protocol, ..) => protocol.number(),
                        Spoken::Unknown | Spoken::Pending => app::UNKNOWN,
                    };
                }
                next
            }
        },
        Stage::Compared => {
            // nobody reads what was not kept
            let follow = if layer.has_overflowed() { None } else { Follow::of(layer, rules) };
            layer.stage = match follow {
                Some(follow) => Stage::Follow(follow),
                None => Stage::Over,
            };
            Next::Again
        }
        Stage::Follow(_) => follow(talk, rules),
        Stage::Over => Next::Settle,
    }
}

/// Reads on.
fn follow(talk: &mut Talk, rules: &Rules) -> Next {
    let layer = talk.layer();
    let Some((follow, unread)) = layer.follow() else { return Next::Settle };
    match follow.step(unread) {
        Step::More if !follow.is_bounded() || layer.bytes < rules.inspection.depth => Next::More,
        Step::More | Step::Over => match Follow::control(layer, rules) {
            Some(control) => {
                layer.stage = Stage::Follow(control);
                Next::Again
            }
            None => Next::Settle,
        },
        Step::Changed(Change::Tls) => {
            let said = layer.rest();
            talk.enter(Layer::within("STARTTLS".to_owned(), Expected::Tls, said, rules));
            Next::Again
        }
    }
}

/// What is spoken, against what is expected.
fn compare(layer: &mut Layer, rules: &Rules, now_ns: u64) -> Next {
    let inspection = &rules.inspection;
    let fault = match layer.spoken {
        Spoken::Known(protocol, direction, bytes) => {
            let evidence = Some((direction, bytes));
            Fault { reason: Reason::app_mismatch, reaction: inspection.mismatch, found: Some(protocol), evidence }
        }
        Spoken::Unknown => {
            Fault { reason: Reason::app_unknown, reaction: inspection.unknown, found: None, evidence: None }
        }
        Spoken::Pending => {
            if layer.bytes == 0 {
                return Next::More;
            }
            let since_ns = *layer.since_ns.get_or_insert(now_ns);
            let late = u128::from(now_ns.saturating_sub(since_ns)) >= inspection.patience.as_nanos();
            if layer.bytes < inspection.depth && !late {
                return Next::More;
            }
            layer.stage = Stage::Compared;
            return pending(rules, layer.expected);
        }
    };
    layer.stage = Stage::Compared;
    if rules.fits(layer.expected, fault.found) { Next::Again } else { Next::Fault(fault) }
}

/// It has not shown in time what is spoken.
fn pending(rules: &Rules, expected: Expected) -> Next {
    if rules.fits(expected, None) {
        return Next::Settle;
    }
    Next::Fault(Fault { reason: Reason::app_pending, reaction: rules.inspection.pending, found: None, evidence: None })
}

/// What is told of a fault.
fn finding(fault: &Fault, talk: &Talk, own: Expected, rules: &Rules, server_port: u16) -> Finding {
    let evidence = fault.evidence.or_else(|| {
        [Direction::ToServer, Direction::ToClient]
            .map(|way| (way, EVIDENCE))
            .into_iter()
            .find(|(way, _)| !talk.said(*way).is_empty())
    });
    let evidence = evidence.map(|(way, bytes)| {
        let said = talk.said(way);
        (way, said[..said.len().min(bytes).min(EVIDENCE)].to_vec())
    });
    let expected = talk.layers().last().map_or(own, |layer| layer.expected);
    Finding {
        reason: fault.reason,
        reaction: fault.reaction,
        expected: rules.expected(expected),
        found: fault.found,
        evidence,
        server_port,
        within: within(talk),
    }
}

/// What the flow is, and what of it leads to the conversation that is held now.
fn within(talk: &Talk) -> Option<(Option<Protocol>, String)> {
    let names: Vec<&str> = talk.layers().iter().filter_map(|layer| layer.within.as_deref()).collect();
    (!names.is_empty()).then(|| (Protocol::numbered(talk.app), names.join(", ")))
}

/// Nothing more is wanted of the flow.
fn settle(talk: &mut Talk, rules: &Rules, out: &mut Judged) -> Answer {
    talk.settle();
    if !rules.inspection.everything {
        out.finished = Some(talk.app);
    }
    Answer::Release
}
