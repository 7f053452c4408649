//! Rules about transactions: which buffers are looked through, and for what.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    compile::{Compiled, FieldAsk, is_spoken},
    kind::Kind,
    matcher::{Matcher, Pattern},
    transform::Prepared,
};
use crate::{buffer::Buffer, protocol::App, rule::Condition};

/// A buffer, and what is done to it before anything is looked for.
#[derive(Clone, Debug)]
pub struct Selector {
    pub buffer: Buffer,
    pub transforms: Box<[Prepared]>,
}

/// A buffer that is looked through.
#[derive(Debug)]
pub struct List {
    pub selector: u16,
    pub matcher: Matcher,
}

/// What is asked of transactions of a protocol.
#[derive(Clone, Debug, Default)]
pub struct OfApp {
    /// Lists, by number.
    pub lists: Vec<u16>,
    /// Rules about events, by name.
    pub events: HashMap<Arc<str>, Vec<u32>>,
    /// Other rules without a fast pattern.
    pub always: Vec<u32>,
}

impl OfApp {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.events.is_empty() && self.always.is_empty()
    }
}

/// What is asked of transactions.
#[derive(Debug, Default)]
pub struct Fields {
    pub selectors: Vec<Selector>,
    pub lists: Vec<List>,
    /// By protocol and direction.
    apps: Vec<[OfApp; 2]>,
}

impl Fields {
    /// Puts rules about transactions into lists, one for each buffer and direction.
    pub fn new(selectors: Vec<Selector>, compiled: &[Compiled]) -> Self {
        let mut patterns: BTreeMap<(u16, usize), Vec<Pattern>> = BTreeMap::new();
        let mut found = vec![false; compiled.len()];
        for (number, rule) in compiled.iter().enumerate() {
            if let Some((selector, directions, pattern)) = place(rule) {
                found[number] = true;
                for direction in (0..2).filter(|direction| directions[*direction]) {
                    patterns.entry((selector, direction)).or_default().push(pattern.clone());
                }
            }
        }
        let mut out = Self { selectors, lists: Vec::new(), apps: vec![Default::default(); App::ALL.len()] };
        for ((selector, direction), patterns) in patterns {
            let Some(matcher) = Matcher::new(&patterns) else {
                patterns.iter().for_each(|pattern| found[pattern.rule as usize] = false);
                continue;
            };
            let list = out.lists.len() as u16;
            for app in App::ALL {
                let asked = |pattern: &Pattern| is_spoken(&compiled[pattern.rule as usize].rule.apps, *app);
                let has = is_spoken(out.selectors[usize::from(selector)].buffer.apps(), *app);
                if has && patterns.iter().any(asked) {
                    out.apps[*app as usize][direction].lists.push(list);
                }
            }
            out.lists.push(List { selector, matcher });
        }
        for (number, rule) in compiled.iter().enumerate() {
            if rule.kind != Kind::Transaction || found[number] {
                continue;
            }
            for app in App::ALL.iter().filter(|app| is_spoken(&rule.rule.apps, **app)) {
                for direction in (0..2).filter(|direction| rule.directions[*direction]) {
                    let of = &mut out.apps[*app as usize][direction];
                    match event(rule) {
                        Some(event) => of.events.entry(event).or_default().push(number as u32),
                        None => of.always.push(number as u32),
                    }
                }
            }
        }
        out
    }

    /// What is asked of transactions of a protocol.
    pub fn of(&self, app: App, direction: usize) -> Option<&OfApp> {
        self.apps.get(app as usize).map(|directions| &directions[direction])
    }
}

/// The event without which a rule cannot match.
fn event(rule: &Compiled) -> Option<Arc<str>> {
    rule.rule.conditions.iter().find_map(|condition| match condition {
        Condition::AppEvent(event) => Some(event.clone()),
        _ => None,
    })
}

/// Where a rule's fast pattern is looked for.
fn place(rule: &Compiled) -> Option<(u16, [bool; 2], &Pattern)> {
    let pattern = rule.pattern.as_ref().filter(|_| rule.kind == Kind::Transaction)?;
    let condition = super::fast::fast(&rule.rule, true)?.condition;
    rule.fields.iter().find_map(|field| match &field.ask {
        FieldAsk::Buffer { selector, .. } if usize::from(field.condition) == condition => {
            let directions = match field.direction {
                None => rule.directions,
                Some(direction) => [0, 1].map(|way| way == direction as usize),
            };
            Some((*selector, directions, pattern))
        }
        _ => None,
    })
}
