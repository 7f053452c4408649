//! Rules about streams. Bytes are scanned once. What is found is verified on what is remembered of the stream, and asked
//! again with every byte that may change the answer, until it holds or is forgotten.

use super::{
    compile::asked_of,
    explain::Failed,
    flow::{MOST_WAITING, Missing, WaitingForMore},
    groups::Carrier,
    matcher::{PACKET, STREAM, Scanned},
    round::Round,
    verify::{Answer, Ending, Hay},
};
use crate::rule::Selected;

/// What is remembered of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    bytes: &'a [u8],
    offset: u64,
}

impl Window<'_> {
    const fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Where a place is in the bytes.
    fn index(&self, place: u64) -> usize {
        usize::try_from(place.saturating_sub(self.offset)).map_or(self.bytes.len(), |at| at.min(self.bytes.len()))
    }
}

impl<'a> Round<'a> {
    /// Whether what the packet carries is what it adds to the stream: it is scanned once for both.
    pub fn is_said(&self) -> bool {
        let payload = self.headers.payload.len();
        payload > 0 && self.subject.stream.as_ref().is_some_and(|stream| stream.new == payload)
    }

    /// Finds the candidates of what was added to the stream.
    pub fn stream(&mut self) -> Option<Window<'a>> {
        let stream = self.subject.stream.as_ref()?;
        let window = Window { bytes: stream.bytes, offset: stream.offset };
        let direction = self.direction as usize;
        let state = &mut self.flow.streams[direction];
        let fresh = window.end() - stream.new.min(stream.bytes.len()) as u64;
        // what was not seen yet, as far as it is remembered
        let missed = state.seen < window.offset || state.seen > window.end();
        let from = if missed { window.offset } else { state.seen };
        state.seen = window.end();
        state.waiting.retain(|waiting| waiting.end > window.offset);
        state.matched.retain(|(_, from)| *from > window.offset);
        self.again(&window);
        let real = !self.subject.packet.network.is_empty();
        let what = if real && self.is_said() { Scanned::Both(fresh) } else { Scanned::Stream };
        let (ruleset, packet) = (self.ruleset, &self.subject.packet);
        let table = &ruleset.index.tables[Carrier::TcpStream as usize][direction];
        for number in table.groups(packet.source_port, packet.destination_port) {
            let group = &ruleset.index.groups[number as usize];
            let asked = if what == Scanned::Stream { STREAM } else { STREAM | PACKET };
            for rule in &group.always {
                let of = asked_of(self.compiled(*rule).kind) & asked;
                if of != 0 {
                    self.candidate(*rule, of);
                }
            }
            let Some(matcher) = &group.matcher else { continue };
            matcher.scan(window.bytes, window.index(from), window.offset, what, |rule, end, of| {
                self.candidate(rule, of);
                if of & STREAM != 0 {
                    self.wait(rule, end);
                }
            });
        }
        Some(window)
    }

    /// Rules that wait, and for which what was added may change anything.
    fn again(&mut self, window: &Window<'_>) {
        let direction = self.direction as usize;
        let mut waiting = std::mem::take(&mut self.flow.streams[direction].waiting);
        for of in &mut waiting {
            if let Some(missing) = &mut of.missing {
                let contents = &self.compiled(of.rule).contents[usize::from(missing.condition)];
                let seen = window.index(missing.seen);
                if !contents.steps.stands_behind(missing.step, window.bytes, seen) {
                    missing.seen = window.end();
                    continue;
                }
            }
            self.candidate(of.rule, STREAM);
        }
        self.flow.streams[direction].waiting = waiting;
    }

    /// A rule's fast pattern was seen. If too many wait, the one that has waited longest is given up.
    fn wait(&mut self, rule: u32, end: u64) {
        let waiting = &mut self.flow.streams[self.direction as usize].waiting;
        match waiting.binary_search_by_key(&rule, |waiting| waiting.rule) {
            Ok(at) => waiting[at].end = end,
            Err(mut at) => {
                if waiting.len() >= MOST_WAITING
                    && let Some(oldest) = (0..waiting.len()).min_by_key(|at| waiting[*at].end)
                {
                    self.scratch.limited.push(waiting.remove(oldest).rule);
                    at -= usize::from(oldest < at);
                }
                waiting.insert(at, WaitingForMore { rule, end, missing: None });
            }
        }
    }

    /// A rule waits no more.
    fn give_up(&mut self, rule: u32) {
        let waiting = &mut self.flow.streams[self.direction as usize].waiting;
        if let Ok(at) = waiting.binary_search_by_key(&rule, |waiting| waiting.rule) {
            waiting.remove(at);
        }
    }

    /// Asks a rule about the stream: whether it matches. Bytes in which it has matched are not shown to it again.
    pub fn ask_stream(&mut self, rule: u32, window: &Window<'_>) -> bool {
        let direction = self.direction as usize;
        let state = &self.flow.streams[direction];
        let from = state.matched.iter().find(|(of, _)| *of == rule).map_or(window.offset, |(_, from)| *from);
        let hay = Hay { bytes: &window.bytes[window.index(from)..], base: from, ending: Ending::Open };
        let compiled = self.compiled(rule);
        if let Err((at, verified)) = self.contents(rule, Some(hay)) {
            let contents = &compiled.contents[at];
            let of_stream = contents.selected == Selected::Payload && contents.transforms.is_empty();
            let missing = verified.missing.filter(|_| of_stream).zip(u8::try_from(at).ok());
            let missing = missing.map(|(step, condition)| Missing { condition, step, seen: window.end() });
            if verified.answer == Answer::Never && of_stream {
                self.give_up(rule);
            } else {
                let waiting = &mut self.flow.streams[direction].waiting;
                if let Ok(at) = waiting.binary_search_by_key(&rule, |waiting| waiting.rule) {
                    waiting[at].missing = missing;
                }
            }
            return self.failed(rule, None, Failed::Condition(contents.condition));
        }
        if let Err(failed) = self.tests(rule, None) {
            // what alone is looked for was there, so that more of the stream changes nothing
            if compiled.contents.iter().all(|contents| contents.steps.steps.len() == 1) {
                self.give_up(rule);
            }
            return self.failed(rule, None, failed);
        }
        self.give_up(rule);
        let state = &mut self.flow.streams[direction];
        state.matched.retain(|(of, _)| *of != rule);
        state.matched.push((rule, window.end()));
        self.matched(rule, None, true);
        true
    }
}
