//! Rules about streams. Bytes are scanned once: the automaton goes on where it stood. What it finds is verified on what is
//! remembered of the stream, and asked again with every byte that is added, until it holds or is forgotten.

use super::{
    explain::Failed,
    flow::MOST_WAITING,
    groups::Carrier,
    inspect::STREAM,
    round::Round,
    verify::{Ending, Hay},
};

/// What is remembered of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    bytes: &'a [u8],
    offset: u64,
}

impl Window<'_> {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl<'a> Round<'a> {
    /// Finds the candidates of what was added to the stream.
    pub fn stream(&mut self) -> Option<Window<'a>> {
        let stream = self.subject.stream.as_ref()?;
        let window = Window { bytes: stream.bytes, offset: stream.offset };
        let direction = self.direction as usize;
        let state = &mut self.flow.streams[direction];
        let fresh = window.end() - (stream.new.min(stream.bytes.len())) as u64;
        // what was not seen yet, as far as it is remembered; behind bytes that were missed, matchers begin anew
        let from =
            if state.seen < window.offset || state.seen > window.end() { window.offset.max(fresh) } else { state.seen };
        if from != state.seen {
            state.cursors.clear();
        }
        state.seen = window.end();
        state.waiting.retain(|(_, end)| *end > window.offset);
        state.matched.retain(|(_, from)| *from > window.offset);
        let new = &window.bytes[(from - window.offset) as usize..];
        let waiting = std::mem::take(&mut self.flow.streams[direction].waiting);
        waiting.iter().for_each(|(rule, _)| self.candidate(*rule, STREAM));
        self.flow.streams[direction].waiting = waiting;
        let (ruleset, packet) = (self.ruleset, &self.subject.packet);
        let table = &ruleset.index.tables[Carrier::TcpStream as usize][direction];
        for number in table.groups(packet.source_port, packet.destination_port) {
            let group = &ruleset.index.groups[number as usize];
            group.always.iter().for_each(|rule| self.candidate(*rule, STREAM));
            let Some(matcher) = &group.matcher else { continue };
            let cursors = &mut self.flow.streams[direction].cursors;
            let at = cursors.iter().position(|(of, _)| *of == number);
            let Some(mut cursor) = at.map(|at| cursors[at].1).or_else(|| matcher.start()) else { continue };
            matcher.scan(&mut cursor, new, from, |rule, end| {
                self.candidate(rule, STREAM);
                wait(&mut self.flow.streams[direction].waiting, rule, end);
            });
            let cursors = &mut self.flow.streams[direction].cursors;
            match at {
                Some(at) => cursors[at].1 = cursor,
                None => cursors.push((number, cursor)),
            }
        }
        Some(window)
    }

    /// Asks a rule about the stream: whether it matches. Bytes in which it has matched are not shown to it again.
    pub fn ask_stream(&mut self, rule: u32, window: &Window<'_>) -> bool {
        let direction = self.direction as usize;
        let state = &self.flow.streams[direction];
        let from = state.matched.iter().find(|(of, _)| *of == rule).map_or(window.offset, |(_, from)| *from);
        let bytes = &window.bytes[((from - window.offset) as usize).min(window.bytes.len())..];
        let hay = Hay { bytes, base: from, ending: Ending::Open };
        let holds = self.contents(rule, Some(hay)).and_then(|()| self.tests(rule, None));
        if let Err(failed) = holds {
            // what alone is looked for was there, so that more of the stream changes nothing
            let compiled = self.compiled(rule);
            let tested = matches!(failed, Failed::Condition(at) if compiled.tests.contains(&at));
            if tested && compiled.contents.iter().all(|contents| contents.steps.steps.len() == 1) {
                self.flow.streams[direction].waiting.retain(|(of, _)| *of != rule);
            }
            return self.failed(rule, None, failed);
        }
        let state = &mut self.flow.streams[direction];
        state.waiting.retain(|(of, _)| *of != rule);
        state.matched.retain(|(of, _)| *of != rule);
        state.matched.push((rule, window.end()));
        self.matched(rule, None, true);
        true
    }

    /// Gives up those that have waited longest, if there are too many.
    pub fn stream_ends(&mut self, _window: &Window<'_>) {
        let waiting = &mut self.flow.streams[self.direction as usize].waiting;
        if waiting.len() > MOST_WAITING {
            waiting.sort_unstable_by_key(|(_, end)| *end);
            let given_up = waiting.len() - MOST_WAITING;
            let given_up = waiting.drain(..given_up).map(|(rule, _)| rule);
            self.scratch.limited.extend(given_up);
        }
    }
}

/// A rule's fast pattern was seen.
fn wait(waiting: &mut Vec<(u32, u64)>, rule: u32, end: u64) {
    match waiting.iter_mut().find(|(of, _)| *of == rule) {
        Some((_, last)) => *last = end,
        None => waiting.push((rule, end)),
    }
}
