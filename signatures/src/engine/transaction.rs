//! Rules about transactions. All conditions of a rule hold in the same one, each as soon as what it asks for is there; a rule
//! matches each direction of a transaction once. What is not said by one direction may be by the other.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{
    compile::{Compiled, FieldAsk, FieldTest},
    explain::Failed,
    flow::{BOTH, Missing, Scan, TransactionState, Waiting},
    matcher::Scanned,
    parsers::{either, of_files, of_parser},
    round::Round,
    transform,
    verify::{Answer, Ending, Hay, Steps},
};
use crate::{
    protocol::App,
    subject::{Data, Direction, Field, Subject, Transaction},
};

/// Says in [`Waiting::met`] that the conditions about packets hold.
const PACKET_MET: u64 = 1 << 63;
/// Instances of a buffer that are looked through.
pub(super) const MOST_INSTANCES: usize = 1024;

/// What was asked of a transaction so far, so that it is made once.
struct Fields<'a> {
    of: &'a dyn Transaction,
    epoch: u64,
    /// Of most buffers there is one instance, and the word that there is no other.
    held: Vec<SmallVec<[Field<'a>; 2]>>,
}

impl<'a> Round<'a> {
    /// Rules about transactions in which something has changed.
    pub fn transactions(&mut self) {
        let all = self.subject.transactions;
        self.flow.transactions.retain(|state| all.binary_search_by_key(&state.id, |of| of.id()).is_ok());
        for transaction in all {
            let id = transaction.id();
            let states = &mut self.flow.transactions;
            let at = states.binary_search_by_key(&id, |state| state.id).unwrap_or_else(|at| {
                states.insert(at, TransactionState { id, ..TransactionState::default() });
                at
            });
            self.transaction(at, *transaction);
        }
    }

    /// Of transactions that are over, rules of the other direction: nothing more will be shown of them, and what this direction
    /// said may be what those wait for. `back`: the packet that there is not, of that direction.
    pub fn last_words(&mut self, back: &'a Subject<'a>) {
        let (here, there) = (self.direction, self.direction.opposite());
        let over = |of: &&dyn Transaction| of.is_complete(here) && of.is_complete(there);
        if !self.subject.transactions.iter().any(over) {
            return;
        }
        let front = self.subject;
        self.turn(back);
        for transaction in front.transactions.iter().filter(|of| over(of)) {
            let at = self.flow.transactions.binary_search_by_key(&transaction.id(), |state| state.id);
            if let Ok(at) = at {
                self.transaction(at, *transaction);
            }
        }
        self.turn(front);
    }

    fn transaction(&mut self, at: usize, of: &'a dyn Transaction) {
        let direction = self.direction as usize;
        let state = &mut self.flow.transactions[at];
        let revision = of.revision(self.direction);
        if revision == 0 {
            return;
        }
        let complete = of.is_complete(self.direction);
        let events = of.events();
        let first = state.revisions[direction].is_none();
        let same = state.revisions[direction] == Some(revision)
            && state.events[direction] == events.len()
            && state.complete[direction] == complete;
        if same {
            return;
        }
        state.revisions[direction] = Some(revision);
        let new = events.get(state.events[direction]..).unwrap_or_default();
        (state.events[direction], state.complete[direction]) = (events.len(), complete);
        let app = of.app();
        let ruleset = self.ruleset;
        let Some(asked) = ruleset.index.fields.of(app, direction) else { return };
        let ways = [direction, BOTH];
        if asked.is_empty() && ways.iter().all(|way| state.waiting[*way].is_empty()) {
            return;
        }
        self.scratch.epoch += 1;
        let epoch = self.scratch.epoch;
        for way in ways {
            let waiting = state.waiting[way].iter().map(|waiting| &waiting.rule);
            for rule in state.matched[way].iter().chain(waiting) {
                self.scratch.marks[*rule as usize] = (epoch, 0);
            }
        }
        let mut fields = Fields { of, epoch, held: Vec::with_capacity(asked.lists.len()) };
        let always = if first { &asked.always[..] } else { &[] };
        let of_events = new.iter().filter_map(|event| asked.events.get(*event)).flatten();
        always.iter().chain(of_events).for_each(|rule| self.found(at, *rule));
        for list in &asked.lists {
            self.scan(at, *list, &mut fields);
        }
        ways.into_iter().for_each(|way| self.ask_waiting(at, way, app, &mut fields));
    }

    /// A rule is to be asked about a transaction, unless it has matched or waits already.
    fn found(&mut self, at: usize, rule: u32) {
        let once = self.compiled(rule).once;
        let (epoch, mark) = (self.scratch.epoch, &mut self.scratch.marks[rule as usize]);
        if std::mem::replace(mark, (epoch, 0)).0 != epoch {
            let way = if once { BOTH } else { self.direction as usize };
            self.flow.transactions[at].waiting[way].push(Waiting { rule, met: 0, missing: None });
        }
    }

    /// Looks through what is new in a buffer.
    fn scan(&mut self, at: usize, list: u16, fields: &mut Fields<'a>) {
        let (word, bit) = (usize::from(list) / 64, 1_u64 << (list % 64));
        let state = &self.flow.transactions[at];
        if state.done.get(word).is_some_and(|done| done & bit != 0) {
            return;
        }
        let held = state.scans.iter().position(|scan| scan.list == list);
        let of = &self.ruleset.index.fields.lists[usize::from(list)];
        let mut scan = held.map_or(Scan { list, instance: 0, seen: 0 }, |held| state.scans[held]);
        let mut done = false;
        while scan.instance < MOST_INSTANCES {
            let field = self.field(fields, of.selector, self.direction, scan.instance);
            let (bytes, whole) = match field {
                Field::Pending => break,
                Field::Absent => {
                    done = true;
                    break;
                }
                Field::Part(data) => (&*data.bytes, false),
                Field::Whole(data) => (&*data.bytes, true),
            };
            of.matcher.scan(bytes, scan.seen.min(bytes.len()), 0, Scanned::Stream, |rule, _, _| self.found(at, rule));
            scan.seen = bytes.len().max(scan.seen);
            if !whole {
                break;
            }
            scan = Scan { list, instance: scan.instance + 1, seen: 0 };
        }
        let state = &mut self.flow.transactions[at];
        match held {
            Some(held) if done => {
                state.scans.swap_remove(held);
            }
            Some(held) => state.scans[held] = scan,
            None if done => {}
            None => state.scans.push(scan),
        }
        if done {
            if state.done.len() <= word {
                state.done.resize(word + 1, 0);
            }
            state.done[word] |= bit;
        }
    }

    /// A buffer's contents, made once.
    fn field<'f>(
        &mut self,
        fields: &'f mut Fields<'a>,
        selector: u16,
        direction: Direction,
        instance: usize,
    ) -> &'f Field<'a> {
        let slot = usize::from(selector) * 2 + direction as usize;
        let (epoch, place) = &mut self.scratch.slots[slot];
        if *epoch != fields.epoch {
            (*epoch, *place) = (fields.epoch, fields.held.len() as u32);
            fields.held.push(SmallVec::new());
        }
        let held = &mut fields.held[*place as usize];
        while held.len() <= instance {
            let of = &self.ruleset.index.fields.selectors[usize::from(selector)];
            let field = fields.of.buffer(of.buffer, direction, held.len());
            let field = settle(field, fields.of.is_complete(direction));
            held.push(match field {
                field if of.transforms.is_empty() => field,
                Field::Whole(data) => {
                    Field::Whole(Data { bytes: Cow::Owned(transform::apply(&of.transforms, &data.bytes)) })
                }
                // what more bytes do to it is not known
                Field::Part(_) => Field::Pending,
                field => field,
            });
        }
        &held[instance]
    }

    /// Asks the rules that were found, in order.
    fn ask_waiting(&mut self, at: usize, way: usize, app: App, fields: &mut Fields<'a>) {
        let mut waiting = std::mem::take(&mut self.flow.transactions[at].waiting[way]);
        waiting.sort_unstable_by_key(|waiting| waiting.rule);
        waiting.retain_mut(|waiting| {
            let compiled = self.compiled(waiting.rule);
            match self.ask_rule(at, app, compiled, waiting, fields) {
                Answer::Holds => {
                    let id = self.flow.transactions[at].id;
                    self.flow.transactions[at].matched[way].push(waiting.rule);
                    self.matched(waiting.rule, Some(id), false);
                    false
                }
                Answer::NotYet => true,
                Answer::Never => false,
            }
        });
        self.flow.transactions[at].waiting[way] = waiting;
    }

    fn ask_rule(
        &mut self,
        at: usize,
        app: App,
        compiled: &Compiled,
        waiting: &mut Waiting,
        fields: &mut Fields<'a>,
    ) -> Answer {
        let (rule, id) = (waiting.rule, self.flow.transactions[at].id);
        if !compiled.directions[self.direction as usize] {
            return Answer::NotYet;
        }
        if waiting.met & PACKET_MET == 0 {
            let header = self.header(rule, app);
            let failed = header.err();
            if let Some(failed) = failed {
                self.failed(rule, Some(id), failed);
                return if failed == Failed::Flow { Answer::NotYet } else { Answer::Never };
            }
            let bits = std::mem::take(&mut self.flow.transactions[at].bits);
            let tests = self.tests(rule, Some(&bits));
            self.flow.transactions[at].bits = bits;
            let said = self.said();
            let holds = tests.and_then(|()| {
                let of = |(at, _): (usize, _)| Failed::Condition(compiled.contents[at].condition);
                self.contents(rule, said).map_err(of)
            });
            if let Err(failed) = holds {
                self.failed(rule, Some(id), failed);
                return Answer::NotYet;
            }
            // what was remembered may be another when the rest holds: it is asked again then
            if compiled.tests.is_empty() {
                waiting.met |= PACKET_MET;
            }
        }
        self.scratch.variables.clear();
        let mut answer = Answer::Holds;
        for (number, field) in compiled.fields.iter().enumerate() {
            let bit = 1_u64 << number.min(62);
            if waiting.met & bit != 0 && number < 62 {
                continue;
            }
            match self.ask_field(waiting, number, compiled, field, fields) {
                Answer::Holds if !compiled.variables && number < 62 => waiting.met |= bit,
                Answer::Holds => {}
                failed => {
                    self.failed(rule, Some(id), Failed::Condition(field.condition));
                    if failed == Answer::Never {
                        return Answer::Never;
                    }
                    answer = Answer::NotYet;
                    if compiled.variables {
                        return answer;
                    }
                }
            }
        }
        answer
    }

    /// What a rule about transactions that also looks into payloads is shown: the stream where there is one.
    fn said(&self) -> Option<Hay<'a>> {
        let stream = self.subject.stream.as_ref()?;
        Some(Hay { bytes: stream.bytes, base: stream.offset, ending: Ending::Open })
    }

    fn ask_field(
        &mut self,
        waiting: &mut Waiting,
        number: usize,
        compiled: &Compiled,
        field: &FieldTest,
        fields: &mut Fields<'a>,
    ) -> Answer {
        let direction = field.direction.unwrap_or(self.direction);
        self.scratch.furthest = None;
        match &field.ask {
            FieldAsk::Buffer { selector, steps } => {
                self.ask_buffer(waiting, number, (*selector, direction), steps, fields)
            }
            FieldAsk::File(conditions) => of_files(&compiled.rule, conditions, direction, fields.of),
            FieldAsk::Condition => {
                let condition = &compiled.rule.conditions[usize::from(field.condition)];
                let answer = of_parser(condition, direction, fields.of);
                if compiled.once && answer != Answer::Holds {
                    return either(answer, of_parser(condition, direction.opposite(), fields.of));
                }
                answer
            }
        }
    }

    /// Whether any instance of a buffer has what is looked for.
    fn ask_buffer(
        &mut self,
        waiting: &mut Waiting,
        number: usize,
        (selector, direction): (u16, Direction),
        steps: &Steps,
        fields: &mut Fields<'a>,
    ) -> Answer {
        let mut growing = false;
        for instance in 0..MOST_INSTANCES {
            let (bytes, ending) = match self.field(fields, selector, direction, instance) {
                Field::Pending => return Answer::NotYet,
                Field::Absent if instance == 0 && steps.absent.is_some() => return Answer::Holds,
                Field::Absent => return if growing { Answer::NotYet } else { Answer::Never },
                Field::Part(data) => (&data.bytes, Ending::Growing),
                Field::Whole(data) => (&data.bytes, Ending::Whole),
            };
            if steps.absent == Some(false) {
                return Answer::Never;
            }
            let grows = instance == 0 && ending == Ending::Growing;
            if grows
                && let Some(missing) =
                    waiting.missing.as_mut().filter(|missing| usize::from(missing.condition) == number)
                && !steps.stands_behind(missing.step, bytes, missing.seen as usize)
            {
                missing.seen = bytes.len() as u64;
                return Answer::NotYet;
            }
            let seen = bytes.len() as u64;
            let verified = self.verify(waiting.rule, steps, Hay { bytes, base: 0, ending });
            if let Some(entropy) = self.budget.entropy.take() {
                let of = &self.ruleset.index.fields.selectors[usize::from(selector)];
                self.flow.variables.note_entropy(of.buffer, entropy);
            }
            match verified.answer {
                Answer::Holds => return Answer::Holds,
                Answer::NotYet => growing = true,
                Answer::Never => {}
            }
            if grows {
                let missing = verified.missing.zip(u8::try_from(number).ok());
                waiting.missing = missing.map(|(step, condition)| Missing { condition, step, seen });
            }
            if ending == Ending::Growing {
                return if verified.answer == Answer::Never { Answer::Never } else { Answer::NotYet };
            }
        }
        Answer::Never
    }
}

/// Of a direction that has ended, what is not there will not come, and what there is is all.
fn settle(field: Field<'_>, complete: bool) -> Field<'_> {
    match field {
        Field::Pending if complete => Field::Absent,
        Field::Part(data) if complete => Field::Whole(data),
        field => field,
    }
}
