//! Compares what is spoken with what is expected, and says what follows for the flow.

use dropgate_abi::{
    flow::app,
    hold::Held,
    policy::{FIRST_ZONE, NO_SERVICE, ZONE_SELF},
    reason::Reason,
};

use dropgate_signatures::rule::Ends;

use super::{
    Answer, Context, Finding, Judged,
    expect::{Expected, Rules},
    follow::{Change, Follow, Step},
    layer::{Layer, Parties, Stage},
    packet::{Packet, UDP},
    proxy::{Access, Asked, Host},
    reject::replies,
    talk::{Beginning, Talk},
};
use crate::{
    policy::model::Reaction,
    protocol::{self, Direction, Protocol, Spoken},
};

/// Bytes of evidence that an event shows.
const EVIDENCE: usize = 32;

/// Proxies within one another that are followed.
const NESTED: usize = 3;
/// Faults of one flow that are told of.
const TOLD: u8 = 16;

/// What is known besides what was said.
#[derive(Clone, Copy)]
struct Flow<'a> {
    rules: &'a Rules,
    /// What is expected of the flow as a whole.
    own: Expected,
    /// Zone of the initiator.
    zone: u16,
    parties: Parties,
    now_ns: u64,
    unix_s: i64,
}

impl Flow<'_> {
    const fn is_udp(&self) -> bool {
        matches!(self.own, Expected::Service { udp: true, .. })
    }

    /// What is done about what its host asks of proxies; `None`: it is not judged. Only the gateway and the zones of the policy
    /// have an allowlist of their own; what others reach is given by published lines.
    fn proxied(&self, expected: Expected) -> Option<Reaction> {
        self.rules.proxied(expected).filter(|_| self.zone == ZONE_SELF || self.zone >= FIRST_ZONE)
    }

    /// Whether the server is a proxy, and what it is asked for is judged.
    fn is_proxy(&self, expected: Expected) -> bool {
        self.proxied(expected).is_some() && self.rules.is_proxy(expected)
    }
}

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
    asked: Option<Asked>,
}

impl Fault {
    /// With no name for what was found.
    const fn new(reason: Reason, reaction: Reaction) -> Self {
        Self { reason, reaction, found: None, evidence: None, asked: None }
    }

    /// That is spoken, by this evidence, and it is not expected.
    fn mismatch(rules: &Rules, found: Protocol, evidence: (Direction, usize)) -> Self {
        let fault = Self::new(Reason::app_mismatch, rules.inspection.mismatch);
        Self { found: Some(found), evidence: Some(evidence), ..fault }
    }
}

/// Takes a flow as far as what was said allows.
pub(super) fn conclude(
    held: &Held,
    packet: &Packet<'_>,
    talk: &mut Talk,
    context: &Context<'_>,
    out: &mut Judged,
) -> Answer {
    let Context { rules, now_ns, unix_s, .. } = *context;
    let walk = &packet.walk;
    let parties = Parties::of(held, packet);
    let service = Expected::Service { counter: held.service, udp: walk.protocol == UDP, port: parties.port };
    let own = Protocol::numbered(held.announced).map_or(service, Expected::Announced);
    let flow = Flow { rules, own, zone: held.zone, parties, now_ns, unix_s };
    loop {
        let fault = match next(talk, &flow) {
            Next::More => return Answer::Release,
            Next::Again => continue,
            Next::Settle => return settle(talk),
            Next::Fault(fault) => fault,
        };
        let alert = fault.reaction == Reaction::Alert;
        if !alert || talk.told < TOLD {
            talk.told += 1;
            out.found.push(finding(&fault, talk, &flow));
        }
        if alert {
            continue;
        }
        if fault.reaction == Reaction::Reset {
            out.replies = replies(packet, Ends::Both);
        }
        talk.condemn(fault.reason, out);
        return Answer::Drop(fault.reason);
    }
}

/// One step of the conversation that is held now. After a fault the next step goes on as if there were none.
fn next(talk: &mut Talk, flow: &Flow<'_>) -> Next {
    let (outermost, stalled) = (talk.layers().len() < 2, talk.has_stalled());
    // what begins within it was seen from there on
    let beginning = if outermost { talk.beginning } else { Beginning::Seen };
    let layer = talk.layer();
    if outermost {
        layer.expected = flow.own;
    }
    match &layer.stage {
        Stage::Identify => match beginning {
            // see `recall`
            Beginning::Before => Next::Settle,
            // it was known once, and has been forgotten: nothing that is said now can tell any more
            Beginning::Forgotten => {
                layer.stage = Stage::Over;
                talk.app = app::UNKNOWN;
                pending(talk.layer(), flow)
            }
            Beginning::Seen => {
                let next = compare(layer, flow, stalled);
                if matches!(layer.stage, Stage::Compared) {
                    talk.begin(flow.rules, flow.is_udp(), flow.parties, flow.unix_s);
                }
                let layer = talk.layer();
                if let (Stage::Compared, true) = (&layer.stage, outermost) {
                    talk.app = match layer.spoken {
                        Spoken::Known(protocol, ..) => protocol.number(),
                        Spoken::Unknown | Spoken::Pending => app::UNKNOWN,
                    };
                }
                next
            }
        },
        Stage::Compared if flow.is_udp() && matches!(layer.spoken, Spoken::Known(Protocol::Stun, ..)) => {
            talk.carries();
            Next::Again
        }
        Stage::Compared if flow.is_udp() && layer.spoken == Spoken::Unknown => {
            talk.begin_anew();
            Next::More
        }
        // what it is asked for by HTTP/2 is not read
        Stage::Compared
            if flow.is_proxy(layer.expected) && matches!(layer.spoken, Spoken::Known(Protocol::Http2, ..)) =>
        {
            layer.stage = Stage::Over;
            proxied(layer, flow, Reason::proxy_target_unseen, None)
        }
        Stage::Compared => {
            layer.stage = match Follow::of(layer, flow.rules, flow.proxied(layer.expected).is_some()) {
                Some(follow) => Stage::Follow(follow),
                None => Stage::Over,
            };
            Next::Again
        }
        Stage::Follow(_) => follow(talk, flow),
        Stage::Carry => carry(talk, flow),
        Stage::Anew => anew(talk, flow),
        Stage::Over => Next::Settle,
    }
}

/// What two ends speak that found each other by STUN is the flow's name. They agreed on it there, so it is not compared.
fn carry(talk: &mut Talk, flow: &Flow<'_>) -> Next {
    let (carried, all) = talk.carried();
    if let Some(protocol) = carried {
        talk.app = protocol.number();
    }
    let over = carried.is_some() || all || talk.layer().bytes >= flow.rules.inspection.depth;
    if over { Next::Settle } else { Next::More }
}

/// A flow that begins with something else, as those do that first open the way through a translating gateway.
fn anew(talk: &mut Talk, flow: &Flow<'_>) -> Next {
    let layer = talk.layer();
    match layer.spoken {
        Spoken::Pending if layer.bytes < flow.rules.inspection.depth => Next::More,
        Spoken::Pending => Next::Settle,
        Spoken::Unknown => {
            if talk.begin_anew() {
                Next::More
            } else {
                Next::Settle
            }
        }
        Spoken::Known(protocol, direction, bytes) => {
            let next = fits(layer, flow.rules, Fault::mismatch(flow.rules, protocol, (direction, bytes)));
            talk.app = protocol.number();
            next
        }
    }
}

/// Reads on.
fn follow(talk: &mut Talk, flow: &Flow<'_>) -> Next {
    let layer = talk.layer();
    let (overflowed, bytes) = (layer.has_overflowed(), layer.bytes);
    let Some((follow, unread)) = layer.follow() else { return Next::Settle };
    let (proxy, bounded) = (follow.is_proxy(), follow.is_bounded());
    // nobody reads what was not kept
    let step = if overflowed { Step::Unreadable } else { follow.step(unread) };
    match step {
        Step::More if !bounded || bytes < flow.rules.inspection.depth => Next::More,
        Step::More | Step::Over => match Follow::control(layer, flow.rules) {
            Some(control) => {
                layer.stage = Stage::Follow(control);
                Next::Again
            }
            None => Next::Settle,
        },
        Step::Unreadable if proxy => {
            layer.stage = Stage::Over;
            proxied(layer, flow, Reason::proxy_target_unseen, None)
        }
        Step::Unreadable => Next::Settle,
        Step::Asked(asked) => target(layer, flow, asked),
        Step::Changed(Change::Tls) => {
            let anything = flow.rules.fits(layer.expected, None);
            let expected = if anything { layer.expected } else { Expected::Tls };
            let said = layer.rest();
            talk.enter(Layer::within("STARTTLS".to_owned(), expected, said, flow.rules));
            Next::Again
        }
        Step::Changed(Change::Upgrade) => {
            let (said, expected) = (layer.rest(), layer.expected);
            talk.enter(Layer::within("HTTP upgrade".to_owned(), expected, said, flow.rules));
            Next::Again
        }
        Step::Changed(Change::Tunnel) => tunnel(talk, flow),
    }
}

/// A proxy is asked for something: whether the client might go there itself.
fn target(layer: &mut Layer, flow: &Flow<'_>, asked: Asked) -> Next {
    let access = match &flow.rules.targets {
        Some(targets) if !asked.target.host.is_nowhere() => targets.access(flow.zone, &asked.target),
        _ => Access::Denied,
    };
    layer.asked = Some((asked.clone(), access));
    let reason = match (access, &asked.target.host) {
        (Access::Allowed { .. }, _) => return Next::Again,
        (Access::Blocked, _) => Reason::proxy_target_blocked,
        (Access::Denied, Host::Name(_)) => Reason::proxy_target_name,
        (Access::Denied, Host::Address(_)) => Reason::proxy_target_denied,
    };
    proxied(layer, flow, reason, Some(asked))
}

/// What is asked of a proxy is not to be.
fn proxied(layer: &Layer, flow: &Flow<'_>, reason: Reason, asked: Option<Asked>) -> Next {
    let Some(reaction) = flow.proxied(layer.expected) else { return Next::Again };
    let found = match layer.spoken {
        Spoken::Known(protocol, ..) => Some(protocol),
        Spoken::Unknown | Spoken::Pending => None,
    };
    Next::Fault(Fault { reason, reaction, found, evidence: None, asked })
}

/// A proxy passes on what follows: a conversation as with the target itself.
fn tunnel(talk: &mut Talk, flow: &Flow<'_>) -> Next {
    let nested = talk.layers().iter().filter(|layer| layer.asked.is_some()).count();
    let layer = talk.layer();
    let Some((asked, access)) = layer.asked.clone() else { return Next::Settle };
    let counter = match access {
        Access::Allowed { inspected: false, .. } => return Next::Settle,
        Access::Allowed { service, .. } => service,
        // it was told of, and goes on: what is registered for the port is expected
        Access::Denied | Access::Blocked => NO_SERVICE,
    };
    if nested > NESTED {
        layer.stage = Stage::Over;
        return proxied(layer, flow, Reason::proxy_nested, Some(asked));
    }
    // where it is nobody's concern what is asked for, neither is what is spoken then
    let judged = flow.proxied(layer.expected).is_some();
    let expected =
        if judged { Expected::Service { counter, udp: false, port: asked.target.port } } else { layer.expected };
    let within = format!("{} {}", asked.request.name(), asked.target);
    let said = layer.rest();
    talk.enter(Layer::within(within, expected, said, flow.rules));
    Next::Again
}

/// What is spoken, against what is expected. `stalled`: what was said has waited in vain for it to show.
fn compare(layer: &mut Layer, flow: &Flow<'_>, stalled: bool) -> Next {
    let (rules, inspection) = (flow.rules, &flow.rules.inspection);
    if layer.spoken == Spoken::Pending {
        layer.spoken = early(layer, flow).unwrap_or_default();
    }
    let wrong =
        layer.spoken == Spoken::Pending && layer.bytes > 0 && rules.rules_out(layer.expected, &layer.candidates);
    if let (true, Some((protocol, direction, bytes))) = (wrong, layer.candidates.likely()) {
        // whatever it is in the end, it is not what is expected
        layer.spoken = Spoken::Known(protocol, direction, bytes);
    }
    layer.hopeless = wrong && inspection.mismatch != Reaction::Alert && inspection.unknown != Reaction::Alert;
    let fault = match layer.spoken {
        Spoken::Known(protocol, direction, bytes) => Fault::mismatch(rules, protocol, (direction, bytes)),
        Spoken::Unknown => Fault::new(Reason::app_unknown, inspection.unknown),
        Spoken::Pending => {
            if layer.bytes == 0 {
                return Next::More;
            }
            let since_ns = *layer.since_ns.get_or_insert(flow.now_ns);
            let late = u128::from(flow.now_ns.saturating_sub(since_ns)) >= inspection.patience.as_nanos();
            if layer.hopeless && (stalled || late || layer.bytes >= inspection.depth) {
                layer.stage = Stage::Compared;
                return Next::Fault(nameless(rules, layer.expected));
            }
            if layer.bytes < inspection.depth && !late {
                return Next::More;
            }
            layer.stage = Stage::Compared;
            return pending(layer, flow);
        }
    };
    fits(layer, rules, fault)
}

/// It was compared: whether what was found may be spoken, or is at fault.
fn fits(layer: &mut Layer, rules: &Rules, fault: Fault) -> Next {
    layer.stage = Stage::Compared;
    if rules.fits(layer.expected, fault.found) { Next::Again } else { Next::Fault(fault) }
}

/// It has not shown what is spoken, but that it is not what is expected.
fn nameless(rules: &Rules, expected: Expected) -> Fault {
    let (reason, reaction) = match rules.expected(expected).as_slice() {
        [] => (Reason::app_unknown, rules.inspection.unknown),
        _ => (Reason::app_mismatch, rules.inspection.mismatch),
    };
    Fault::new(reason, reaction)
}

/// What is asked of a proxy is known before it is certain what is spoken: the answer that would make it certain says that the
/// proxy has connected already.
fn early(layer: &Layer, flow: &Flow<'_>) -> Option<Spoken> {
    let judged = flow.proxied(layer.expected).is_some();
    if judged || flow.rules.expects(layer.expected, Protocol::Socks) {
        let request = protocol::socks_request(layer.said(Direction::ToServer));
        if let Some(bytes) = request {
            return Some(Spoken::Known(Protocol::Socks, Direction::ToServer, bytes));
        }
    }
    // HTTP that asks for WebSocket, and may ask for anything behind that
    let likely = layer.candidates.likely().filter(|(protocol, ..)| *protocol == Protocol::Http);
    let (protocol, direction, bytes) = likely.filter(|_| flow.is_proxy(layer.expected))?;
    Some(Spoken::Known(protocol, direction, bytes))
}

/// It has not shown in time what is spoken.
fn pending(layer: &Layer, flow: &Flow<'_>) -> Next {
    if flow.is_proxy(layer.expected) && layer.may_ask_a_proxy() {
        return proxied(layer, flow, Reason::proxy_target_unseen, None);
    }
    if flow.rules.fits(layer.expected, None) {
        return Next::Settle;
    }
    Next::Fault(Fault::new(Reason::app_pending, flow.rules.inspection.pending))
}

/// What is told of a fault.
fn finding(fault: &Fault, talk: &Talk, flow: &Flow<'_>) -> Finding {
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
    // a target says it all
    let evidence = evidence.filter(|_| fault.asked.is_none());
    let expected = talk.layers().last().map_or(flow.own, |layer| layer.expected);
    Finding {
        reason: fault.reason,
        reaction: fault.reaction,
        expected: flow.rules.expected(expected),
        found: fault.found,
        evidence,
        server_port: flow.parties.port,
        within: within(talk),
        asked: fault.asked.clone(),
    }
}

/// What the flow is, and what of it leads to the conversation that is held now.
fn within(talk: &Talk) -> Option<(Option<Protocol>, String)> {
    let names: Vec<&str> = talk.layers().iter().filter_map(|layer| layer.within.as_deref()).collect();
    (!names.is_empty()).then(|| (Protocol::numbered(talk.app), names.join(", ")))
}

/// Nothing more is wanted of the flow.
pub(super) fn settle(talk: &mut Talk) -> Answer {
    talk.settle();
    Answer::Release
}
