//! The real object, asked one packet at a time: action, reason and counter.

use crate::object;
use std::{path::Path, sync::Arc};

use dropgate::{
    datapath::Bench,
    policy::{self, Environment, Ids, Source},
};
use dropgate_abi::{
    control::Counter,
    reason::{Kind, REASONS, Reason, Stage},
    walk::{Walk, action, hook},
};
use dropgate_signatures::datagrams::Sieve;

use crate::table::net::INTERFACES;

/// A directory without files.
const NOWHERE: &str = "/nowhere";
/// Nanoseconds between two cases: beyond every memory that is not emptied.
const PAUSE: u64 = 3_600_000_000_000;

pub struct Real {
    pub bench: Bench,
    ids: Ids,
    generation: u32,
    pub now: u64,
    /// What rules can match of datagrams.
    pub sieve: Option<Arc<Sieve>>,
}

/// Compiles a policy whose files are in a directory.
fn compile(text: &str, ids: &mut Ids, directory: &Path) -> dropgate::policy::Image {
    let (parsed, found) = policy::parse(Source::new("table", text), directory);
    let parsed = parsed.unwrap_or_else(|| panic!("the policy is refused: {found:#?}\n{text}"));
    let mut environment = Environment::synthetic(&parsed);
    for (name, interface) in &mut environment.interfaces {
        interface.index = INTERFACES.iter().find(|(other, _)| other == name).expect("a known interface").1;
    }
    policy::compile(&parsed, &environment, ids).expect("the policy compiles")
}

/// A reason by its name.
pub fn reason(name: &str) -> Reason {
    REASONS.iter().find(|info| info.name == name).unwrap_or_else(|| panic!("no reason `{name}`")).reason
}

impl Real {
    pub fn new(text: &str) -> Self {
        let mut ids = Ids::default();
        let image = compile(text, &mut ids, Path::new(NOWHERE));
        let bench = object::bench(&image);
        Self { bench, ids, generation: 1, now: PAUSE, sieve: image.datagrams }
    }

    /// Puts another policy in force.
    pub fn commit(&mut self, text: &str) {
        self.commit_in(text, Path::new(NOWHERE));
    }

    /// The same, with rules beside the policy that it names as `table.rules`.
    pub fn commit_with(&mut self, text: &str, rules: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("table.rules"), rules).expect("a file");
        self.commit_in(text, directory.path());
    }

    /// The same, with whatever files of a directory it names.
    pub fn commit_in(&mut self, text: &str, directory: &Path) {
        let image = compile(text, &mut self.ids, directory);
        self.generation += 1;
        self.bench.commit(&image, self.generation).expect("commit");
        self.sieve = image.datagrams;
    }

    /// Empties every memory.
    pub fn fresh(&mut self) {
        self.bench.forget().expect("the tables can be emptied");
        self.now += PAUSE;
    }

    /// Holds the count of live flows of each zone, and what groups of buckets say of them, against the table.
    pub fn agree(&self) {
        assert_eq!(self.bench.flows().misnoted(), [0u32; 0], "buckets of which their group says otherwise");
        assert_eq!(self.bench.miscounted_zones(), [], "zones whose live flows are miscounted");
    }

    pub fn counter(&self, name: &str) -> Counter {
        self.bench.reason_counter(reason(name)).expect("a counter")
    }

    /// Judges a packet and holds action, reason and counter against the reason's line in the list.
    pub fn expect(&mut self, what: &str, hook: u8, ifindex: u32, from: u32, frame: &[u8], name: &str) -> Walk {
        let before = self.counter(name);
        let walk = self.bench.run(hook, ifindex, from, self.now, frame).expect("test run");
        assert_eq!(walk.reason.name(), name, "{what}: reason");
        let info = walk.reason.info().expect("a line of the list");
        let wanted = match (info.reason, info.kind) {
            (Reason::held, _) => action::HOLD,
            (_, Kind::Pass) => action::PASS,
            _ => action::DROP,
        };
        assert_eq!(walk.action, wanted, "{what}: action");
        let after = self.counter(name);
        assert_eq!(after.packets - before.packets, 1, "{what}: packets counted");
        let bytes = after.bytes - before.bytes;
        let wanted = size(frame, info.stage);
        assert!(wanted.contains(&bytes), "{what}: {bytes} bytes counted, not one of {wanted:?}");
        walk
    }

    pub fn ingress(&mut self, what: &str, ifindex: u32, frame: &[u8], name: &str) -> Walk {
        self.expect(what, hook::INGRESS, ifindex, 0, frame, name)
    }

    pub fn egress(&mut self, what: &str, ifindex: u32, from: u32, frame: &[u8], name: &str) -> Walk {
        self.expect(what, hook::EGRESS, ifindex, from, frame, name)
    }
}

/// What a packet counts as: the IP packet as its header says, the frame where there is none. For a header that lies either
/// will do.
fn size(frame: &[u8], stage: Stage) -> Vec<u64> {
    let mut at = 12;
    while matches!(frame[at..at + 2], [0x81, 0] | [0x88, 0xa8]) && frame.len() >= at + 6 {
        at += 4;
    }
    let rest = &frame[at + 2..];
    let number = |at: usize| u64::from(rest[at]) << 8 | u64::from(rest[at + 1]);
    let ip = match frame[at..at + 2] {
        [0x08, 0x00] if rest.len() >= 20 => number(2),
        [0x86, 0xdd] if rest.len() >= 40 => number(4) + 40,
        _ => return vec![frame.len() as u64],
    };
    match stage {
        Stage::Frame | Stage::Parse => vec![ip, frame.len() as u64],
        _ => vec![ip],
    }
}
