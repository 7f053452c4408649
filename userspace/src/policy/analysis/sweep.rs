//! Every packet that lines hold, in the order of precedence: whose it is, and who else would have had it.

use std::{collections::HashMap, convert::Infallible, ops::ControlFlow, sync::Arc};

use dropgate_abi::policy::{ZONE_OUTSIDE, ZONE_SELF};

use super::{
    Analysis, Contradiction, Takers,
    addresses::Set,
    decided::Decided,
    ground::{Ground, first_asked},
    lines::{Cell, Claim},
};
use crate::policy::{
    compile::cuts::cut,
    model::{PortRange, protocol},
};

/// Lines that are remembered as those that take the packets of another one.
const MOST_TAKERS: usize = 64;

/// Claims that are open on some ports of a cell.
struct Stretch<'s> {
    ground: &'s Ground,
    ports: PortRange,
    /// All of the cell's.
    cell: &'s [Claim],
    /// Some of them have something else done with a packet than others.
    mixed: bool,
}

impl Analysis<'_> {
    pub(super) fn sweep(&mut self) {
        let mut cells = std::mem::take(&mut self.lines.cells);
        let published = std::mem::take(&mut self.lines.published);
        // the outside first: what it does not reach of a published line, a zone seldom does
        let mut parties = self.lines.parties.clone();
        parties.sort_by_key(|party| *party != ZONE_OUTSIDE);
        for party in parties.into_iter().filter(|party| *party != ZONE_SELF) {
            for (protocol, claims) in &published {
                let cell = (party, ZONE_SELF, *protocol);
                let unseen = claims.iter().any(|claim| !self.alive[claim.line as usize]);
                match cells.get_mut(&cell) {
                    Some(own) => {
                        own.splice(0..0, claims.iter().copied());
                    }
                    None if party == ZONE_OUTSIDE || unseen => self.cell(cell, claims),
                    None => {}
                }
            }
        }
        for (cell, claims) in &cells {
            self.cell(*cell, claims);
        }
        self.lines.cells = cells;
    }

    fn cell(&mut self, cell: Cell, claims: &[Claim]) {
        let ground = self.grounds.of(cell);
        if ground.families.is_empty() {
            return;
        }
        let mut ranges: Vec<PortRange> = claims.iter().map(|claim| claim.ports).collect();
        ranges.extend(self.treatments.ports(cell.2));
        let Ok(()) = cut(ranges.into_iter(), |ports, open| {
            if let Some(first) = first_asked(cell.2, ports).filter(|_| !self.budget.is_spent()) {
                let open: Vec<Claim> = open.iter().filter_map(|at| claims.get(*at)).copied().collect();
                let stretch =
                    Stretch { ground: &ground, ports: PortRange { first, ..ports }, cell: claims, mixed: false };
                self.stretch(stretch, &open);
            }
            Ok::<(), Infallible>(())
        });
    }

    fn stretch(&mut self, stretch: Stretch<'_>, open: &[Claim]) {
        self.budget.take(1 + open.len() / 16);
        let first = open.first().map(|claim| self.treatment(&stretch, claim.line));
        let mixed = open.iter().any(|claim| Some(self.treatment(&stretch, claim.line)) != first);
        let stretch = Stretch { mixed, ..stretch };
        let Some(last) = open.iter().rposition(|claim| self.is_open(&stretch, claim)) else { return };
        let mut decided = Decided::default();
        let mut named = [false; 2];
        for claim in &open[..=last] {
            let set = Arc::clone(self.lines.addresses(claim.set));
            if self.is_open(&stretch, claim) {
                self.look(&stretch, (claim, &set), &decided);
            }
            self.name(&stretch, claim, &mut named);
            decided.give(claim.line, &set, &self.budget);
        }
    }

    /// Whether there is anything to find out about a claim.
    fn is_open(&self, stretch: &Stretch<'_>, claim: &Claim) -> bool {
        !self.alive[claim.line as usize] || (stretch.mixed && !self.contradictions.contains_key(&claim.line))
    }

    fn treatment(&self, stretch: &Stretch<'_>, line: u32) -> u32 {
        let (_, peer, protocol) = stretch.ground.cell;
        self.treatments.of(line, protocol, stretch.ports, peer == ZONE_SELF)
    }

    /// A target that a proxy is asked for by name is an outside address that no prefix names: the first line that holds all
    /// of a family has it.
    fn name(&mut self, stretch: &Stretch<'_>, claim: &Claim, named: &mut [bool; 2]) {
        let (_, peer, protocol) = stretch.ground.cell;
        if (peer, protocol) != (ZONE_OUTSIDE, protocol::TCP) || self.policy.inspection.is_none() {
            return;
        }
        for v6 in &stretch.ground.families {
            let named = &mut named[usize::from(*v6)];
            if !*named && self.lines.holds_names(claim.set, *v6, self.policy) {
                *named = true;
                self.alive[claim.line as usize] = true;
            }
        }
    }

    /// Looks for packets that a claim is left with, and for those of others that it would treat otherwise.
    fn look(&mut self, stretch: &Stretch<'_>, (claim, set): (&Claim, &Set), decided: &Decided) {
        let (line, protocol) = (claim.line, stretch.ground.cell.2);
        let own = self.treatment(stretch, line);
        let mut alive = self.alive[line as usize];
        let mut takers = self.takers.remove(&line).unwrap_or_default();
        let mut contradiction = self.contradictions.get(&line).copied();
        let mut compared: HashMap<u32, Option<u16>> = HashMap::new();
        for v6 in &stretch.ground.families {
            decided.walk(*v6, (set, &stretch.ground.to), &self.budget, |taker, run| {
                match taker {
                    None => alive = true,
                    Some(taker) => {
                        let other = self.treatment(stretch, taker);
                        let differs = *compared
                            .entry(taker)
                            .or_insert_with(|| self.treatments.differ(other, own, protocol, stretch.ports));
                        if !alive {
                            let witness = || stretch.ground.witness(*v6, run, stretch.ports.first);
                            takers.add(taker, differs.is_some(), witness);
                        }
                        if let (Some(port), None) = (differs, &contradiction) {
                            if self.is_exception(stretch, taker, claim) {
                                compared.insert(taker, None);
                            } else if let Some(witness) = stretch.ground.witness(*v6, run, port) {
                                contradiction = Some(Contradiction { by: taker, witness, treatments: [other, own] });
                            }
                        }
                    }
                }
                let done = alive && (contradiction.is_some() || !stretch.mixed);
                if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
        self.alive[line as usize] = alive;
        if !alive {
            self.takers.insert(line, takers);
        }
        if let Some(contradiction) = contradiction {
            self.contradictions.insert(line, contradiction);
        }
    }

    /// Whether an earlier line holds nothing in this cell but what a later one holds too: it was put in front as an exception.
    ///
    /// Published lines have none: what is translated to where is not decided by their order here.
    fn is_exception(&self, stretch: &Stretch<'_>, earlier: u32, later: &Claim) -> bool {
        if self.lines.is_published(earlier) {
            return false;
        }
        let of = |line: u32| {
            let start = stretch.cell.partition_point(|claim| claim.line < line);
            stretch.cell[start..].iter().take_while(move |claim| claim.line == line)
        };
        let ports = |claim: &Claim| {
            let holds = |other: &Claim| other.ports.first <= claim.ports.first && claim.ports.last <= other.ports.last;
            of(later.line).any(holds)
        };
        let Some(set) = of(earlier).next().map(|claim| claim.set) else { return false };
        of(earlier).all(ports) && self.grounds.lies_within(stretch.ground, [set, later.set], &self.lines, &self.budget)
    }
}

impl Takers {
    fn add(&mut self, line: u32, differs: bool, witness: impl FnOnce() -> Option<super::Witness>) {
        self.differ |= differs;
        if self.lines.len() < MOST_TAKERS {
            self.lines.insert(line);
        } else {
            self.more |= !self.lines.contains(&line);
        }
        if self.witness.is_none() {
            self.witness = witness().map(|witness| (line, witness));
        }
    }
}
