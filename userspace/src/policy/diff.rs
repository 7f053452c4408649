//! What a push would change.

mod rules;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::{self, Display, Formatter},
};

use super::{
    analysis,
    compile::Environment,
    describe::{duration, joined, proxied, sorted},
    model::{Failure, Inspection, List, Policy, Service, Signatures, Tunnel},
};

/// The changes from one policy to another, in the order of the policy file's tables.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Diff {
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// What changed: `gateway`, `zone`, `service`, `order`, `publish`, `blocklist`, `list`, `setting`,
    /// `finding` (something wrong with a line) or `rule`.
    pub what: &'static str,
    /// Its name; a service's after its owner's and a slash, a rule's `gid:sid`.
    pub name: String,
    /// Before, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// After, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// Changed rules that text shows.
const RULES_SHOWN: usize = 100;

/// How many rules have changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct RulesChanged {
    pub added: usize,
    pub removed: usize,
    pub changed: usize,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

/// Compares two policies by their meaning: lines that only moved within the file are no change, but services that
/// changed places are, because the first one that holds a packet has it.
pub fn diff(old: &Policy, new: &Policy) -> Diff {
    let mut diff = Diff::default();
    diff.compare("gateway", gateway(old), gateway(new));
    let zones =
        |policy: &Policy| -> Words { policy.zones.iter().map(|zone| (zone.name.clone(), zone.to_string())).collect() };
    diff.compare("zone", zones(old), zones(new));
    diff.compare("service", services(old), services(new));
    diff.compare_order(old, new);
    let publish = |policy: &Policy| -> Words {
        policy.publish.iter().map(|line| (line.name.clone(), line.to_string())).collect()
    };
    diff.compare("publish", publish(old), publish(new));
    let blocklist = |policy: &Policy| -> Words {
        let both = [("from", &policy.blocklist.from), ("to", &policy.blocklist.to)];
        let named = both.into_iter().filter(|(_, addresses)| !addresses.is_empty());
        named.map(|(name, addresses)| (name.to_owned(), sorted(addresses))).collect()
    };
    diff.compare("blocklist", blocklist(old), blocklist(new));
    diff.compare_lists(&old.lists, &new.lists);
    diff.compare("setting", settings(old), settings(new));
    diff.compare("finding", findings(old), findings(new));
    rules::compare(&mut diff, [old, new].map(|policy| policy.signatures.as_ref()));
    diff
}

/// The changes of rules alone.
pub fn rules(signatures: [Option<&Signatures>; 2]) -> Diff {
    let mut diff = Diff::default();
    rules::compare(&mut diff, signatures);
    diff
}

/// Parts by name, in words.
type Words = BTreeMap<String, String>;

impl Diff {
    /// How many rules have changed.
    pub fn rules(&self) -> RulesChanged {
        let mut counts = RulesChanged::default();
        for change in self.changes.iter().filter(|change| change.what == rules::WHAT) {
            match change.kind {
                ChangeKind::Added => counts.added += 1,
                ChangeKind::Removed => counts.removed += 1,
                ChangeKind::Changed => counts.changed += 1,
            }
        }
        counts
    }

    /// Whether the policies mean the same.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn compare(&mut self, what: &'static str, mut old: Words, new: Words) {
        for (name, new) in new {
            match old.remove(&name) {
                Some(old) if old == new => {}
                Some(old) => self.add(ChangeKind::Changed, what, name, Some(old), Some(new)),
                None => self.add(ChangeKind::Added, what, name, None, Some(new)),
            }
        }
        for (name, old) in old {
            self.add(ChangeKind::Removed, what, name, Some(old), None);
        }
    }

    fn add(&mut self, kind: ChangeKind, what: &'static str, name: String, old: Option<String>, new: Option<String>) {
        self.changes.push(Change { kind, what, name, old, new });
    }

    fn compare_order(&mut self, old: &Policy, new: &Policy) {
        let old: BTreeMap<&str, &[Service]> = old.allowlists().collect();
        for (owner, after) in new.allowlists() {
            let Some(before) = old.get(owner) else {
                continue;
            };
            let (before, after) = (kept(before, after), kept(after, before));
            if before != after {
                let (before, after) = (joined(before.iter()), joined(after.iter()));
                self.add(ChangeKind::Changed, "order", owner.to_owned(), Some(before), Some(after));
            }
        }
    }

    fn compare_lists(&mut self, old: &BTreeMap<String, List>, new: &BTreeMap<String, List>) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let size = |list: &List| format!("{} entries", list.prefixes.len());
            let (before, after) = (old.get(name), new.get(name));
            let kind = match (before, after) {
                (Some(before), Some(after)) if before.prefixes == after.prefixes => continue,
                (Some(_), Some(_)) => ChangeKind::Changed,
                (None, _) => ChangeKind::Added,
                (_, None) => ChangeKind::Removed,
            };
            let mut words = after.map(size);
            if let (Some(before), Some(after)) = (before, after) {
                let old: HashSet<_> = before.prefixes.iter().collect();
                let same = after.prefixes.iter().filter(|prefix| old.contains(prefix)).count();
                let (gone, come) = (old.len() - same, after.prefixes.len() - same);
                words = Some(format!("{} entries: {come} added, {gone} removed", after.prefixes.len()));
            }
            self.add(kind, "list", name.clone(), before.map(size), words);
        }
    }
}

/// Lines that no packet matches, that others shadow or that contradict one another, as `check` finds them on no machine in
/// particular.
fn findings(policy: &Policy) -> Words {
    let found = analysis::analyse(policy, &Environment::synthetic(policy)).found;
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for analysis::Finding { code, owner, name, message, .. } in found {
        all.entry(format!("{owner}/{name}")).or_default().push(format!("{} {message}", code.id));
    }
    all.into_iter().map(|(name, messages)| (name, messages.join("; "))).collect()
}

/// Names of the services of one list that the other has too, in order.
fn kept<'a>(list: &'a [Service], other: &[Service]) -> Vec<&'a str> {
    let names: HashSet<&str> = other.iter().map(|service| service.name.as_str()).collect();
    list.iter().map(|service| service.name.as_str()).filter(|name| names.contains(name)).collect()
}

fn services(policy: &Policy) -> Words {
    let all = policy.allowlists().flat_map(|(owner, services)| {
        services.iter().map(move |service| (format!("{owner}/{}", service.name), service.to_string()))
    });
    all.collect()
}

fn gateway(policy: &Policy) -> Words {
    let gateway = &policy.gateway;
    let mut outside: Vec<&str> = gateway.outside.iter().map(|name| name.name.as_str()).collect();
    outside.sort_unstable();
    let auto = gateway.auto_addresses.then(|| "auto".to_owned());
    let addresses = auto.into_iter().chain(gateway.addresses.iter().map(ToString::to_string));
    let ethertypes = gateway.ethertypes.iter().map(|number| format!("{number:#06x}"));
    words([
        ("kind", gateway.kind.to_string()),
        ("outside", joined(outside.iter())),
        ("pairs", joined(gateway.pairs.iter().map(|[one, other]| format!("{}-{}", one.name, other.name)))),
        ("link", if gateway.link_follows { "follow" } else { "leave" }.to_owned()),
        ("addresses", joined(addresses)),
        ("adopt", duration(gateway.adopt)),
        ("ethertypes", joined(ethertypes)),
        ("dhcp", gateway.dhcp.to_string()),
        ("pppoe", gateway.pppoe.map_or("drop", Tunnel::word).to_owned()),
        ("vxlan", joined(gateway.vxlan.iter())),
        ("tcx", joined(gateway.tcx.iter().map(|interface| &interface.name))),
        ("unsolicited", if gateway.drop_unsolicited { "drop" } else { "count" }.to_owned()),
        ("chatter", if gateway.quiet_chatter { "quiet" } else { "log" }.to_owned()),
    ])
}

fn settings(policy: &Policy) -> Words {
    let (fragments, timeouts, tells) = (&policy.fragments, &policy.timeouts, &policy.events.tells);
    let mut settings = words([
        ("fragments.udp", fragments.udp.to_string()),
        ("fragments.tcp", fragments.tcp.to_string()),
        ("fragments.icmp", fragments.icmp.to_string()),
        ("fragments.other", fragments.other.to_string()),
        ("timeouts.tcp_new", duration(timeouts.tcp_new)),
        ("timeouts.tcp_established", duration(timeouts.tcp_established)),
        ("timeouts.tcp_closing", duration(timeouts.tcp_closing)),
        ("timeouts.udp_new", duration(timeouts.udp_new)),
        ("timeouts.udp", duration(timeouts.udp)),
        ("timeouts.icmp", duration(timeouts.icmp)),
        ("timeouts.other", duration(timeouts.other)),
        ("timeouts.fragment", duration(timeouts.fragment)),
        ("limits.flows", policy.limits.flows.to_string()),
        ("limits.zone_flows", policy.limits.zone_flows.to_string()),
        ("events.rate", policy.events.rate.to_string()),
        ("events.verdict", tells.verdict.to_string()),
        ("events.ethernet", tells.ethernet.to_string()),
        ("events.payload", tells.payload.to_string()),
        ("events.packet", tells.packet.to_string()),
        ("events.certificates", tells.certificates.to_string()),
        ("events.community_id", tells.community_id.map_or("false".to_owned(), |seed| format!("true, seed {seed}"))),
    ]);
    settings.extend(policy.signatures.iter().flat_map(|signatures| {
        let order = signatures.order.words().join(", ");
        words([("signatures.log", signatures.log.to_string()), ("signatures.action_order", order)])
    }));
    settings.extend(policy.inspection.iter().flat_map(|inspection| inspected(inspection, &policy.failure)));
    settings
}

/// The look into flows, and what is done where it fails. Of a policy that inspects nothing neither is in force.
fn inspected(inspection: &Inspection, failure: &Failure) -> Words {
    let workers = if inspection.workers == 0 { "auto".to_owned() } else { inspection.workers.to_string() };
    words([
        ("inspection.depth", format!("{} bytes", inspection.depth)),
        ("inspection.patience", duration(inspection.patience)),
        ("inspection.everything", inspection.everything.to_string()),
        ("inspection.mismatch", inspection.mismatch.word().to_owned()),
        ("inspection.unknown", inspection.unknown.word().to_owned()),
        ("inspection.pending", inspection.pending.word().to_owned()),
        ("inspection.proxied", proxied(inspection.proxied).to_owned()),
        ("inspection.held", inspection.held.to_string()),
        ("inspection.late", duration(inspection.late)),
        ("inspection.workers", workers),
        ("inspection.memory", format!("{} bytes", inspection.memory)),
        ("inspection.midstream", inspection.midstream.word().to_owned()),
        ("failure.inspector", failure.inspector.word().to_owned()),
        ("failure.credits", failure.credits.word().to_owned()),
        ("failure.too_long", failure.too_long.word().to_owned()),
        ("failure.memory", failure.memory.word().to_owned()),
    ])
}

fn words<const N: usize>(parts: [(&str, String); N]) -> Words {
    parts.into_iter().map(|(name, words)| (name.to_owned(), words)).collect()
}

impl Display for Diff {
    /// One line a change: `+` added, `-` removed, `~` changed. Of rules the first ones, and how many there are.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (rules, others): (Vec<_>, Vec<_>) = self.changes.iter().partition(|change| change.what == rules::WHAT);
        for change in others.iter().chain(rules.iter().take(RULES_SHOWN)) {
            writeln!(f, "{change}")?;
        }
        if rules.len() > RULES_SHOWN {
            writeln!(f, "{} more rules; `--json` shows them", rules.len() - RULES_SHOWN)?;
        }
        if !rules.is_empty() {
            let RulesChanged { added, removed, changed } = self.rules();
            writeln!(f, "rules: {added} added, {removed} removed, {changed} changed")?;
        }
        Ok(())
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        write!(f, "{sign} {} {}: ", self.what, self.name)?;
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, "{old} -> {new}"),
            (one, other) => f.write_str(one.as_ref().or(other.as_ref()).map_or("", String::as_str)),
        }
    }
}
