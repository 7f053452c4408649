//! What the inspector tells, as EVE events.

use dropgate_abi::{
    reason::Reason,
    walk::{Walk, action},
};

use super::{Clock, Names, convert, eve, signatures, told};
use crate::{
    inspect::{self, About, Finding},
    policy::model::Reaction,
    protocol::{self, Candidates, Datagrams, Direction, Protocol, Spoken, Stream},
};

const UDP: u8 = 17;

/// The events of a held packet that ended with the inspector.
pub fn dropped(about: &About, reason: Reason, now_ns: u64, names: &Names, clock: &Clock) -> Vec<eve::Event> {
    let mut events = convert::packet(&judged(about, reason, now_ns), names, clock);
    for event in &mut events {
        let base = told::base(about, reason, now_ns, names, clock);
        if let Some(drop) = &mut event.drop {
            told::headers(about, drop);
            event.verdict = told::verdict(about, names);
            if let Some(rule) = &about.dropped_by {
                // Suricata's word for it
                drop.reason = "rules";
                event.alert = Some(signatures::header(rule, true, &base).into());
            }
        }
        add_flow(event, base);
    }
    events
}

/// Adds to the event of a packet what is told of its flow.
fn add_flow(event: &mut eve::Event, base: eve::Event) {
    (event.metadata, event.traffic, event.ether) = (base.metadata, base.traffic, base.ether);
}

/// The event of a held packet that is odd, whatever becomes of it.
pub fn odd(about: &About, reason: Reason, now_ns: u64, names: &Names, clock: &Clock) -> Vec<eve::Event> {
    let walk = Walk { action: action::PASS, ..judged(about, reason, now_ns) };
    let mut events = convert::packet(&walk, names, clock);
    for event in &mut events {
        add_flow(event, told::base(about, reason, now_ns, names, clock));
    }
    events
}

/// The alert about what a flow speaks. The action is `blocked` where the flow ends, else `allowed`.
pub fn found(about: &About, finding: &Finding, now_ns: u64, names: &Names, clock: &Clock) -> eve::Event {
    let mut alert = alert(&judged(about, finding.reason, now_ns), finding, names, clock);
    add_flow(&mut alert, told::base(about, finding.reason, now_ns, names, clock));
    alert
}

/// The alert about a packet that ended for its first byte, before anyone was asked. What it says tells by itself, or nothing.
pub fn first_byte(walk: &Walk, said: &[u8], names: &Names, clock: &Clock) -> eve::Event {
    let udp = walk.protocol == UDP;
    let spoken = if udp {
        protocol::datagrams(Datagrams { said: &[(Direction::ToServer, said)] }, &mut Candidates::default())
    } else {
        protocol::stream(Stream { to_server: said, to_client: &[] }, &mut Candidates::default())
    };
    let found = match spoken {
        Spoken::Known(protocol, ..) => Some(protocol),
        Spoken::Pending | Spoken::Unknown => None,
    };
    let expect = names.service(walk.service).map(|service| service.expect.clone()).unwrap_or_default();
    let finding = Finding {
        reason: walk.reason,
        reaction: Reaction::Drop,
        expected: inspect::expected(&expect, udp, walk.dport),
        found,
        evidence: Some((Direction::ToServer, said.to_vec())),
        server_port: walk.dport,
        within: None,
        asked: None,
    };
    alert(walk, &finding, names, clock)
}

fn alert(walk: &Walk, finding: &Finding, names: &Names, clock: &Clock) -> eve::Event {
    let reason = finding.reason.info();
    let spoken = finding.found.map_or("failed", Protocol::name);
    let proxy = finding.asked.as_ref().map(|asked| asked.request.name());
    let target = finding.asked.as_ref().map(|asked| asked.target.to_string());
    let mut signature = match finding.reason {
        Reason::app_unknown => format!("an unknown protocol where {} is expected", list(&finding.expected)),
        Reason::app_mismatch | Reason::first_byte_impossible if finding.found.is_none() => {
            format!("something else where {} is expected", list(&finding.expected))
        }
        Reason::app_mismatch | Reason::first_byte_impossible => {
            format!("{spoken} where {} is expected", list(&finding.expected))
        }
        Reason::app_pending => format!("no protocol has shown where {} is expected", list(&finding.expected)),
        reason => {
            let meaning = reason.info().map_or("", |info| info.meaning);
            target.as_ref().map_or(meaning.to_owned(), |target| format!("{meaning}: {target}"))
        }
    };
    let (outermost, within) = finding.within.clone().map_or((None, None), |(app, within)| (app, Some(within)));
    if let Some(within) = &within {
        signature += &format!(" ({within})");
    }
    eve::Event {
        event_type: "alert",
        app_proto: Some(spoken),
        app_proto_orig: outermost.map(Protocol::name),
        alert: Some(Box::new(eve::Alert {
            action: if finding.reaction == Reaction::Alert { "allowed" } else { "blocked" },
            gid: 1,
            signature_id: 0,
            rev: 0,
            signature,
            category: if reason.is_some_and(|info| info.attack == "T1090") { "Proxy" } else { "Non-Standard Port" }
                .to_owned(),
            severity: 1,
            source: None,
            target: None,
            metadata: reason
                .map(|info| info.attack)
                .filter(|id| !id.is_empty())
                .map(|id| ("mitre_technique_id".to_owned(), vec![id.to_owned()]))
                .into_iter()
                .collect(),
        })),
        inspection: Some(Box::new(eve::Inspection {
            expected: finding.expected.clone(),
            found: spoken,
            reaction: match finding.reaction {
                Reaction::Alert => "alert",
                Reaction::Drop => "drop",
                Reaction::Reset => "reset",
            },
            server_port: finding.server_port,
            within,
            proxy,
            target,
            said_by: finding.evidence.as_ref().map(|(direction, _)| match direction {
                Direction::ToServer => "client",
                Direction::ToClient => "server",
            }),
            evidence: finding.evidence.as_ref().map(|(_, bytes)| hex(bytes)),
        })),
        ..convert::base(walk, reason, names, clock)
    }
}

/// The walk of a packet as the inspector knows it.
pub(super) fn judged(about: &About, reason: Reason, now_ns: u64) -> Walk {
    let About { held, walk, .. } = about;
    Walk {
        now_ns,
        generation: held.generation,
        zone: held.zone,
        service: held.service,
        flow_id: held.flow,
        direction: held.direction,
        reason,
        action: action::DROP,
        ..*walk
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names.join(" or "),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
