//! What is wrong with each line, once every packet has been looked at.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    ops::ControlFlow,
};

use super::{
    Analysis, Contradiction, Witness,
    decided::Decided,
    ground::{belongs, first_asked},
    lines::{Cell, Claim, Text},
    tell::Findings,
};
use crate::policy::compile::{cuts::cut, targets};

/// Of so many lines that take the packets of another one, those that are not needed are left out.
const MOST_COMPARED: usize = 16;

/// What is wrong with a line.
#[derive(Clone)]
pub enum Fault {
    Never(Never),
    /// Others take all of its packets.
    Shadowed(Shadowed),
    /// One line takes them, and no others in its place.
    Duplicate(Shadowed),
    Contradicted(Contradiction),
}

/// A line of which others take all packets.
#[derive(Clone)]
pub struct Shadowed {
    /// All of these are needed for that, in order; where there were many, all that take some.
    pub by: Vec<u32>,
    /// There are more than are named.
    pub more: bool,
    /// Some of them have something else done with the packets.
    pub differ: bool,
    /// A packet, and whose it is.
    pub witness: Option<(u32, Witness)>,
}

/// Why no packet matches a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Never {
    /// Nobody is where its packets come from.
    Sender,
    /// Its ICMP types are decided before any line is asked.
    Before,
    /// It holds no destination.
    Excepted,
    /// None of its destinations is where it says.
    Elsewhere,
    /// Its protocol or its sender is not of the family of its destinations.
    Family,
    /// Its destinations are blocked, or can be sent to by nobody.
    Blocked,
}

impl<'p> Analysis<'p> {
    pub(super) fn findings(&mut self) -> Findings {
        let spent = self.budget.is_spent();
        let lines = || 0..self.lines.all.len() as u32;
        let dead: Vec<u32> = lines().filter(|line| !self.alive[*line as usize]).collect();
        let mut found = Findings::default();
        self.parts(&mut found);
        for (line, contradiction) in &self.contradictions {
            if self.alive[*line as usize] {
                self.tell(&mut found, *line, &Fault::Contradicted(*contradiction));
            }
        }
        if spent {
            found.left_out = dead.len();
            found.sort();
            return found;
        }
        // what is left to do is about few lines, unless there is something wrong with most
        let cells = self.cells_of(&dead);
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for line in dead {
            let fault = match self.takers.remove(&line) {
                Some(takers) if !takers.lines.is_empty() => {
                    let by = takers.lines.iter().copied().collect();
                    let shadowed = Shadowed { by, more: takers.more, differ: takers.differ, witness: takers.witness };
                    self.needed(line, shadowed, &cells)
                }
                _ => Fault::Never(self.never(line)),
            };
            let owner = self.lines.all[line as usize].owner;
            // one word about a zone is enough
            if matches!(fault, Fault::Never(Never::Sender)) && !told.insert(owner) {
                continue;
            }
            self.tell(&mut found, line, &fault);
        }
        found.sort();
        found
    }

    /// The cells of some lines and of those that take their packets.
    fn cells_of(&self, dead: &[u32]) -> HashMap<u32, Vec<Cell>> {
        let few = dead.iter().filter_map(|line| self.takers.get(line)).filter(|takers| takers.lines.len() == 1);
        let mut cells: HashMap<u32, Vec<Cell>> =
            dead.iter().chain(few.flat_map(|takers| &takers.lines)).map(|line| (*line, Vec::new())).collect();
        for (cell, claims) in &self.lines.cells {
            for claim in claims {
                if let Some(of) = cells.get_mut(&claim.line)
                    && of.last() != Some(cell)
                {
                    of.push(*cell);
                }
            }
        }
        cells
    }

    /// Leaves out the lines that others of them make unnecessary.
    fn needed(&self, line: u32, mut shadowed: Shadowed, cells: &HashMap<u32, Vec<Cell>>) -> Fault {
        // published lines are seen in more places than are kept
        let is_service = |line: u32| !self.lines.is_published(line);
        if !is_service(line) || shadowed.by.len() > MOST_COMPARED {
            return Fault::Shadowed(shadowed);
        }
        let mut at = shadowed.by.len();
        while shadowed.by.len() > 1 && at > 0 {
            at -= 1;
            let mut others = shadowed.by.clone();
            others.remove(at);
            if self.hold_all(line, &others, cells) {
                shadowed.by = others;
            }
        }
        if let Some((taker, _)) = shadowed.witness
            && !shadowed.by.contains(&taker)
        {
            shadowed.witness = None;
        }
        match shadowed.by.as_slice() {
            [taker] if is_service(*taker) && self.hold_all(*taker, &[line], cells) => Fault::Duplicate(shadowed),
            _ => Fault::Shadowed(shadowed),
        }
    }

    /// Whether some lines together hold every packet of another one.
    fn hold_all(&self, line: u32, others: &[u32], cells: &HashMap<u32, Vec<Cell>>) -> bool {
        let Some(cells) = cells.get(&line) else { return false };
        cells.iter().all(|cell| {
            let Some(claims) = self.lines.cells.get(cell) else { return false };
            let ground = self.grounds.of(*cell);
            let claims: Vec<Claim> =
                claims.iter().filter(|claim| claim.line == line || others.contains(&claim.line)).copied().collect();
            let mut all = true;
            let Ok(()) = cut(claims.iter().map(|claim| claim.ports), |ports, open| {
                let own = open.iter().map(|at| &claims[*at]).find(|claim| claim.line == line);
                if let (Some(own), Some(_), true) = (own, first_asked(cell.2, ports), all) {
                    let mut decided = Decided::default();
                    for claim in open.iter().map(|at| &claims[*at]).filter(|claim| claim.line != line) {
                        decided.give(claim.line, self.lines.addresses(claim.set), &self.budget);
                    }
                    for v6 in &ground.families {
                        let set = self.lines.addresses(own.set);
                        decided.walk(*v6, (set, &ground.to), &self.budget, |taker, _| {
                            all &= taker.is_some();
                            if all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                        });
                    }
                }
                Ok::<(), Infallible>(())
            });
            all && !self.budget.is_spent()
        })
    }

    /// Why no packet matches a line that nothing is taken from.
    fn never(&self, line: u32) -> Never {
        let service = match self.lines.all[line as usize].text {
            Text::Service(service) => service,
            Text::Publish(_) => return Never::Blocked,
        };
        let party = self.lines.party(self.lines.all[line as usize].owner);
        let places = &self.grounds.places;
        let sources = places.sources(party);
        let sends = |v6| sources.next(v6, 0).is_some();
        if !sends(false) && !sends(true) {
            return Never::Sender;
        }
        let ranges: Vec<_> = service.matches.ranges().collect();
        if ranges.iter().all(|(protocol, ports)| first_asked(*protocol, *ports).is_none()) {
            return Never::Before;
        }
        let (mut some, mut there, mut family) = (false, false, false);
        for (peer, destinations) in targets(service, |zone| self.lines.party(zone)) {
            let set = places.set(&destinations);
            some |= [false, true].into_iter().any(|v6| set.next(v6, 0).is_some());
            for v6 in [false, true] {
                let mut meets = false;
                Decided::default().walk(v6, (&set, &places.held(peer)), &self.budget, |_, _| {
                    meets = true;
                    ControlFlow::Break(())
                });
                there |= meets;
                family |= meets && sends(v6) && ranges.iter().any(|(protocol, _)| belongs(*protocol, v6));
            }
        }
        match (some, there, family) {
            (false, ..) => Never::Excepted,
            (_, false, _) => Never::Elsewhere,
            (.., false) => Never::Family,
            _ => Never::Blocked,
        }
    }
}
