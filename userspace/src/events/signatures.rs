//! What rules and parsers tell, as EVE events.

use std::collections::BTreeMap;

use dropgate_abi::{hold::Held, reason::Reason, walk::Walk};
use dropgate_signatures::{
    protocol::App,
    rule::{Rule, Target},
    subject::Direction,
};

use super::{Clock, Names, eve, told};
use crate::{
    app::{Record, Told},
    inspect::{self, About, Alerted, Logged, Signatures, Watched},
};

/// The alert of a rule that has matched.
pub fn alert(about: &About, alerted: &Alerted, now_ns: u64, names: &Names, clock: &Clock) -> eve::Event {
    let base = base(about, now_ns, names, clock);
    let rule = &alerted.rule;
    let (payload, packet) = told::bytes(about, alerted.said.as_deref(), names);
    let mut dropgate = base.dropgate.clone();
    if let Some(own) = &mut dropgate {
        own.attack = attack(rule);
        if !alerted.blocked {
            (own.reason, own.stage) = (None, None);
        }
    }
    eve::Event {
        event_type: "alert",
        tx_id: alerted.transaction,
        app_proto: app_proto(alerted.app),
        app_proto_orig: alerted.original_app.and_then(app_proto),
        direction: Some(direction(alerted.direction)),
        alert: Some(header(rule, alerted.blocked, &base).into()),
        verdict: told::verdict(about, names),
        flow: (about.held.flow != 0).then(|| told::flow(about, &base, now_ns, clock).into()),
        payload: payload.map(Box::new),
        packet: packet.map(Box::new),
        records: objects(None, alerted.context.clone()),
        dropgate,
        ..base
    }
}

/// The alerts of rules about a packet that the programs have dropped, or found odd. `frame`: all of it, or nothing.
pub fn noticed(
    (walk, frame): (&Walk, &[u8]),
    (signatures, watched): (&Signatures, &mut Watched),
    names: &Names,
    clock: &Clock,
) -> Vec<eve::Event> {
    inspect::dropped(walk, walk.reason, frame, signatures, walk.now_ns, watched);
    if watched.alerts.is_empty() {
        return Vec::new();
    }
    let about = About::packet(&Held::default(), walk, frame, names.tells.packet);
    watched.alerts.drain(..).map(|alerted| alert(&about, &alerted, walk.now_ns, names, clock)).collect()
}

/// What an alert says of its rule. `base`: the event, with the ends of its packet.
pub(super) fn header(rule: &Rule, blocked: bool, base: &eve::Event) -> eve::Alert {
    let ends = [(base.src_ip, base.src_port), (base.dest_ip, base.dest_port)]
        .map(|(ip, port)| eve::End { ip: ip.unwrap_or_default(), port });
    let [from, to] = ends;
    let (source, target) = match rule.target {
        None => (None, None),
        Some(Target::Source) => (Some(to), Some(from)),
        Some(Target::Destination) => (Some(from), Some(to)),
    };
    eve::Alert {
        action: if blocked { "blocked" } else { "allowed" },
        gid: rule.gid,
        signature_id: rule.sid,
        rev: rule.rev,
        signature: rule.message.to_string(),
        category: rule.class.as_ref().map(|class| class.description.to_string()).unwrap_or_default(),
        severity: rule.priority,
        source,
        target,
        metadata: metadata(rule),
    }
}

/// What was said, when it is complete.
pub fn said(about: &About, said: Logged, now_ns: u64, names: &Names, clock: &Clock) -> eve::Event {
    let mut base = base(about, now_ns, names, clock);
    if (said.record.by == Direction::ToServer) != (about.held.direction == 0) {
        std::mem::swap(&mut base.src_ip, &mut base.dest_ip);
        std::mem::swap(&mut base.src_port, &mut base.dest_port);
        if let Some(ether) = &mut base.ether {
            std::mem::swap(&mut ether.src_mac, &mut ether.dest_mac);
        }
    }
    let mut dropgate = base.dropgate.take();
    if let Some(own) = &mut dropgate {
        (own.reason, own.stage) = (None, None);
        own.attack.clear();
    }
    eve::Event {
        event_type: said.record.event_type,
        tx_id: said.transaction,
        app_proto: app_proto(said.app),
        app_proto_orig: said.original_app.and_then(app_proto),
        records: objects(Some(said.record), said.beside),
        dropgate,
        ..base
    }
}

/// A rule has hit its limits of work, so often since this was told last: what it says of such traffic may be missing.
pub fn limited(about: &About, (rule, times): (&Rule, u64), now_ns: u64, names: &Names, clock: &Clock) -> eve::Event {
    let base = base(about, now_ns, names, clock);
    let told = eve::Limited { gid: rule.gid, signature_id: rule.sid, rev: rule.rev, times };
    eve::Event {
        event_type: "anomaly",
        anomaly: Some(eve::Anomaly { kind: "detect", event: "rule_limited".into(), layer: "signatures" }),
        dropgate: base.dropgate.clone().map(|own| eve::Own {
            reason: None,
            stage: None,
            attack: Vec::new(),
            limited: Some(told),
            ..own
        }),
        ..base
    }
}

/// Objects by their names: the event's own and those beside it, files among which stand in a list.
fn objects(own: Option<Record>, beside: Vec<Record>) -> eve::Objects {
    let (files, beside): (Vec<_>, Vec<_>) = beside.into_iter().partition(|record| record.event_type == "fileinfo");
    let files: Vec<Told> = files.into_iter().map(|record| record.object).collect();
    let files = (!files.is_empty()).then(|| ("files", Told::list(&files)));
    let named = own.into_iter().chain(beside).map(|record| (record.event_type, record.object));
    eve::Objects::of(named.chain(files).collect())
}

fn base(about: &About, now_ns: u64, names: &Names, clock: &Clock) -> eve::Event {
    told::base(about, Reason::signature, now_ns, names, clock)
}

/// As Suricata has it: nothing while it is not known.
fn app_proto(app: App) -> Option<&'static str> {
    match app {
        App::Unknown => None,
        app => Some(app.told()),
    }
}

const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "to_server",
        Direction::ToClient => "to_client",
    }
}

fn metadata(rule: &Rule) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &rule.metadata {
        all.entry(name.to_string()).or_default().push(value.to_string());
    }
    all
}

/// ATT&CK techniques that a rule names in its metadata.
fn attack(rule: &Rule) -> Vec<String> {
    let named = rule.metadata.iter().filter(|(name, _)| &**name == "mitre_technique_id");
    named.map(|(_, id)| id.to_string()).collect()
}
