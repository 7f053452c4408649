//! Findings in words.

use std::slice::from_ref;

use super::{
    Analysis, Witness,
    faults::{Fault, Never, Shadowed},
    lines::Line,
};
use crate::policy::{
    codes::{self, Code},
    describe::joined,
    diagnostic::{Diagnostic, Place, quoted},
    model::Policy,
    source::Location,
};

/// Lines that a message names.
const MOST_NAMED: usize = 5;

/// What is wrong with the lines of a policy.
#[derive(Debug, Default)]
pub struct Findings {
    /// In the order of the file.
    pub found: Vec<Finding>,
    /// Lines of which it is not known whether a packet reaches them: the policy is beyond what is analysed.
    pub left_out: usize,
}

/// What is wrong with one line.
#[derive(Clone, Debug)]
pub struct Finding {
    pub code: &'static Code,
    /// A zone, `self`, `outside` or `publish`.
    pub owner: String,
    pub name: String,
    pub location: Location,
    pub message: String,
    pub help: Option<String>,
    /// Other lines that have to do with it, and how: as many as a message names.
    pub related: Vec<(Location, String)>,
    /// All of those lines: owner and name.
    pub others: Vec<(String, String)>,
    /// A packet that shows it. The first of the others that holds it has it.
    pub witness: Option<Witness>,
}

impl Findings {
    pub(super) fn sort(&mut self) {
        self.found.sort_by_key(|finding| (finding.location.start, finding.code.id));
    }

    /// As diagnostics of the policy.
    pub fn diagnostics(&self, policy: &Policy) -> Vec<Diagnostic> {
        let place = |at| Place::new(&policy.source, at);
        let mut all: Vec<Diagnostic> = Vec::new();
        for finding in &self.found {
            let mut diagnostic = Diagnostic::new(finding.code, place(finding.location), &finding.message);
            diagnostic.help.clone_from(&finding.help);
            for (at, message) in &finding.related {
                diagnostic = diagnostic.related(place(*at), message);
            }
            all.push(diagnostic);
        }
        if self.left_out > 0 {
            let message = format!("of {} lines it is not known whether a packet reaches them", self.left_out);
            let help = "the lines overlap in more ways than are looked at; what else is told is certain";
            let file = Place::file(&policy.source.name);
            all.push(Diagnostic::new(&codes::NOT_ANALYSED, file, message).help(help));
        }
        all
    }
}

impl Analysis<'_> {
    pub(super) fn tell(&self, found: &mut Findings, line: u32, fault: &Fault) {
        let own = &self.lines.all[line as usize];
        let name = quoted(own.name);
        let named = |line: u32| self.named(line, own.owner);
        let at = |line: u32| self.lines.all[line as usize].location;
        let mut location = own.location;
        let (mut help, mut related) = (None, Vec::new());
        let (others, witness) = match fault {
            Fault::Never(_) => (&[][..], None),
            Fault::Shadowed(shadowed) | Fault::Duplicate(shadowed) => {
                (shadowed.by.as_slice(), shadowed.witness.map(|(_, packet)| packet))
            }
            Fault::Contradicted(contradiction) => (from_ref(&contradiction.by), Some(contradiction.witness)),
        };
        let key = |line: &Line<'_>| (line.owner.to_owned(), line.name.to_owned());
        let others = others.iter().map(|line| key(&self.lines.all[*line as usize])).collect();
        let (code, message) = match fault {
            Fault::Never(Never::Sender) => {
                let (who, at) = self.sender(own.owner);
                location = at.unwrap_or(location);
                (&codes::DEAD, format!("no packet matches the services of {who}: it has no source that is not blocked"))
            }
            Fault::Never(why) => {
                help = Some(why.help().to_owned());
                (&codes::DEAD, format!("no packet matches {name}: {}", why.words()))
            }
            Fault::Duplicate(shadowed) => {
                let first = shadowed.by[0];
                related.push((at(first), self.takes(shadowed, "the first one takes them all")));
                let message = format!("services {} and {name} match the same packets", named(first));
                (&codes::DUPLICATE_SERVICE, message)
            }
            Fault::Shadowed(shadowed) => {
                let shown = shadowed.by.iter().take(MOST_NAMED);
                let names = joined(shown.clone().map(|line| named(*line)));
                let rest = shadowed.by.len().saturating_sub(MOST_NAMED);
                let message = match (shadowed.by.as_slice(), rest, shadowed.more) {
                    (_, _, true) => format!("no packet reaches {name}: {names} and many others take them all"),
                    (_, 1.., _) => format!("no packet reaches {name}: {names} and {rest} more take them all"),
                    ([_], ..) => format!("no packet reaches {name}: {names} takes them all"),
                    _ => format!("no packet reaches {name}: {names} take them all together"),
                };
                related.extend(shown.map(|line| (at(*line), "it takes some of them".to_owned())));
                if let ([_], [(_, only)]) = (shadowed.by.as_slice(), related.as_mut_slice()) {
                    "it takes them all".clone_into(only);
                }
                help = shadowed.witness.map(|(taker, packet)| {
                    let differ = if shadowed.differ { ", and something else is done with it" } else { "" };
                    format!("{packet} is decided by {}{differ}", named(taker))
                });
                (&codes::SHADOWED, message)
            }
            Fault::Contradicted(contradiction) => {
                let [first, second] = self.treatments.words(contradiction.treatments);
                let by = named(contradiction.by);
                help = Some(format!(
                    "{by} has {first}, {name} has {second}; name the packets in one of them only, or put the narrower one first"
                ));
                related.push((at(contradiction.by), format!("{by} is asked first, and has them")));
                let message = format!(
                    "{by} and {name} hold the same packets and contradict each other, such as {}",
                    contradiction.witness
                );
                (&codes::CONTRADICTION, message)
            }
        };
        let (owner, name) = key(own);
        found.found.push(Finding { code, owner, name, location, message, help, related, others, witness });
    }

    fn takes(&self, shadowed: &Shadowed, words: &str) -> String {
        if shadowed.differ { format!("{words}, and has something else done with them") } else { words.to_owned() }
    }

    /// A line as a line of `owner` calls it.
    fn named(&self, line: u32, owner: &str) -> String {
        let line = &self.lines.all[line as usize];
        if line.owner == owner { quoted(line.name) } else { quoted(&format!("{}/{}", line.owner, line.name)) }
    }

    /// Whose allowlist it is, and where it begins.
    fn sender(&self, owner: &str) -> (String, Option<Location>) {
        match self.policy.zone(owner) {
            Some(zone) => (format!("zone {}", quoted(owner)), Some(zone.location)),
            None => (format!("`{owner}`"), None),
        }
    }
}

impl Never {
    fn words(self) -> &'static str {
        match self {
            Self::Sender => "nobody is where its packets come from",
            Self::Before => "these ICMP types are decided before any service is asked",
            Self::Excepted => "its exceptions take every destination",
            Self::Elsewhere => "none of its destinations is where it says",
            Self::Family => "its protocol or its sender is not of its destinations' address family",
            Self::Blocked => "its destinations are blocked, or such that nothing can be sent to them",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Sender => "give the zone a prefix that no narrower one of its side and no blocklist takes",
            Self::Before => {
                "leave the line out: ICMP errors pass with the flows they are about, neighbour discovery passes by itself, redirects never do"
            }
            Self::Excepted => {
                "`except` takes its addresses from every destination of its line, whatever the lengths of the prefixes"
            }
            Self::Elsewhere => "a prefix alone is the outside's; a host of a zone is `zone:NAME/PREFIX`",
            Self::Family => "`icmp` is IPv4, `icmpv6` IPv6, and a zone reaches only families of its prefixes",
            Self::Blocked => "leave the line out, or take them off the blocklist",
        }
    }
}
