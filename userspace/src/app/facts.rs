//! Transactions of protocols whose messages are short: all that rules and events may want of one is gathered when it is read.

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{Direction, Field, Transaction},
    words::words,
};
use serde_json::{Map, Value};

use super::{Exchange, Record, events::Events, held::Held};

/// Values that have names in rules, by keyword.
pub type Names = fn(&str) -> &'static [(&'static str, u64)];

/// How a message belongs to others, by a number that they share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tie {
    /// Answers are awaited.
    Opens(u64),
    /// An answer; with `true`: the last one.
    Answers(u64, bool),
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub tie: Option<Tie>,
    /// In the order in which they were said; of the same buffer there may be several.
    pub buffers: Vec<(Buffer, Vec<u8>)>,
    /// By keyword.
    pub numbers: Vec<(&'static str, u64)>,
    /// What is told of it.
    pub object: Map<String, Value>,
}

impl Facts {
    pub fn buffer(&mut self, buffer: Buffer, bytes: &[u8]) {
        self.buffers.push((buffer, bytes.to_vec()));
    }

    pub fn number(&mut self, keyword: &'static str, number: impl Into<u64>) {
        self.numbers.push((keyword, number.into()));
    }

    pub fn tell(&mut self, name: &str, value: impl Into<Value>) {
        self.object.insert(name.to_owned(), value.into());
    }

    /// Adds what an answer says. Lists that both tell become one, and counts a sum.
    pub fn join(&mut self, answer: Self) {
        self.buffers.extend(answer.buffers);
        for (keyword, number) in answer.numbers {
            let count = self.numbers.iter_mut().find(|(named, _)| *named == keyword && keyword.ends_with(".count"));
            match count {
                Some((_, count)) => *count += number,
                None => self.numbers.push((keyword, number)),
            }
        }
        for (name, value) in answer.object {
            match (self.object.get_mut(&name), value) {
                (Some(Value::Array(all)), Value::Array(more)) => all.extend(more),
                (_, value) => _ = self.object.insert(name, value),
            }
        }
    }

    fn footprint(&self) -> usize {
        // the object repeats what the buffers have
        let buffers: usize = self.buffers.iter().map(|(_, bytes)| 64 + 3 * bytes.len()).sum();
        buffers + 16 * self.numbers.len() + 256 * (1 + self.object.len())
    }
}

/// A transaction made of them.
#[derive(Debug)]
pub struct Plain {
    pub id: u64,
    pub app: App,
    /// Who says it; `None`: both do.
    pub direction: Option<Direction>,
    pub facts: Facts,
    pub events: Events,
    pub complete: bool,
    pub revision: u32,
    pub names: Names,
}

impl Plain {
    /// One that is complete.
    pub fn new(id: u64, app: App, direction: Direction, facts: Facts, events: Events) -> Self {
        Self { id, app, direction: Some(direction), facts, events, complete: true, revision: 1, names: words }
    }

    pub fn footprint(&self) -> usize {
        size_of::<Self>() + self.facts.footprint()
    }

    fn is_said(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|said| said == direction)
    }
}

impl Held<Plain> {
    /// No more answers will come: whatever waits for one is complete.
    pub fn end(&mut self) {
        self.iter_mut().filter(|one| !one.complete).for_each(|one| {
            one.complete = true;
            one.revision += 1;
        });
    }
}

impl Transaction for Plain {
    fn id(&self) -> u64 {
        self.id
    }

    fn app(&self) -> App {
        self.app
    }

    fn revision(&self, direction: Direction) -> u32 {
        if self.is_said(direction) { self.revision } else { 0 }
    }

    fn is_complete(&self, direction: Direction) -> bool {
        self.complete || !self.is_said(direction)
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        let mut all = self.facts.buffers.iter().filter(|(named, _)| *named == buffer && self.is_said(direction));
        match all.nth(instance) {
            Some((_, bytes)) => Field::whole(bytes),
            None if self.complete || !self.is_said(direction) => Field::Absent,
            None => Field::Pending,
        }
    }

    fn number(&self, keyword: &str, direction: Direction, instance: usize) -> Option<u64> {
        let all = self.facts.numbers.iter().filter(|(named, _)| *named == keyword && self.is_said(direction));
        all.map(|(_, number)| *number).nth(instance)
    }

    fn test(&self, keyword: &str, argument: &str, direction: Direction) -> Option<bool> {
        let names = (self.names)(keyword);
        let numbers: Vec<u64> = (0..).map_while(|instance| self.number(keyword, direction, instance)).collect();
        let holds = |argument, number: &u64| holds(argument, *number, names);
        let held = match which(keyword, argument) {
            None => numbers.iter().any(|number| holds(argument, number)),
            Some((argument, "any")) => numbers.iter().any(|number| holds(argument, number)),
            Some((argument, "all")) => numbers.iter().all(|number| holds(argument, number)),
            Some((argument, at)) => at.parse().is_ok_and(|at: isize| {
                let at = if at < 0 { numbers.len().checked_add_signed(at) } else { usize::try_from(at).ok() };
                at.and_then(|at| numbers.get(at)).is_some_and(|number| holds(argument, number))
            }),
        };
        if held {
            return Some(true);
        }
        if self.complete { Some(false) } else { None }
    }

    fn events(&self) -> &[&'static str] {
        self.events.names()
    }
}

impl Exchange for Plain {
    fn records(&self) -> Vec<Record> {
        if self.facts.object.is_empty() {
            return Vec::new();
        }
        vec![Record::of(event_type(self.app), &self.facts.object)]
    }
}

/// Events have no hyphens in their types.
const fn event_type(app: App) -> &'static str {
    match app {
        App::BittorrentDht => "bittorrent_dht",
        App::FtpData => "ftp_data",
        other => other.name(),
    }
}

/// A value, and which of several numbers must have it: a place, from the end if it is negative, `any` or `all`.
fn which<'a>(keyword: &str, argument: &'a str) -> Option<(&'a str, &'a str)> {
    let several = keyword.starts_with("ldap.responses.") || matches!(keyword, "mqtt.type" | "mqtt.reason_code");
    let (argument, place) = argument.rsplit_once(',').filter(|_| several)?;
    Some((argument, place.trim()))
}

/// Whether a number is what an argument says: names or numbers, any of those joined by `,` (flags, which are named behind a `+`: all of them, or with `!` none), or a
/// comparison: `<5`, `>=5`, `2-5`, `!5`.
pub fn holds(argument: &str, number: u64, names: &[(&str, u64)]) -> bool {
    let argument = argument.trim().trim_matches('"');
    let flags = names.iter().any(|(name, _)| name.starts_with('+'));
    if flags {
        return argument.split(',').all(|flag| {
            let flag = flag.trim();
            let (not, flag) = flag.strip_prefix('!').map_or((false, flag), |flag| (true, flag));
            let bit = names.iter().find(|(name, _)| name[1..].eq_ignore_ascii_case(flag)).map_or(0, |(_, bit)| *bit);
            (number & bit != 0) != not
        });
    }
    if argument.contains(',') {
        return argument.split(',').any(|one| holds(one, number, names));
    }
    let (not, rest) = argument.strip_prefix('!').map_or((false, argument), |rest| (true, rest.trim()));
    let read = |text: &str| {
        let text = text.trim();
        let named = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        named.map(|(_, value)| *value).or_else(|| text.parse().ok())
    };
    let compared =
        [(">=", u64::ge as fn(&u64, &u64) -> bool), ("<=", u64::le), (">", u64::gt), ("<", u64::lt), ("=", u64::eq)];
    let found = compared.iter().find_map(|(sign, compare)| rest.strip_prefix(sign).map(|value| (compare, value)));
    let answer = if let Some((compare, value)) = found {
        read(value).is_some_and(|value| compare(&number, &value))
    } else if let Some(value) = read(rest) {
        value == number
    } else if let Some((from, to)) = rest.split_once("<>").or_else(|| rest.split_once('-')) {
        read(from).zip(read(to)).is_some_and(|(from, to)| from < number && number < to)
    } else {
        return false;
    };
    answer != not
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn arguments() {
        let names = [("ok", 0), ("rc4-hmac", 23)];
        for (argument, number, answer) in [
            ("ok", 0, true),
            ("OK", 1, false),
            ("!ok", 1, true),
            ("!0", 0, false),
            ("rc4-hmac", 23, true),
            (">3", 4, true),
            (">=4", 4, true),
            ("<3", 4, false),
            ("2-5", 4, true),
            ("2-5", 5, false),
            ("none", 0, false),
            ("!none", 0, false),
            ("17,23", 23, true),
            ("17,18", 23, false),
        ] {
            assert_eq!(holds(argument, number, &names), answer, "{argument} {number}");
        }
        let flags = [("+retain", 1), ("+dup", 8)];
        for (argument, number, answer) in
            [("retain", 9, true), ("retain,dup", 1, false), ("!retain,!dup", 0, true), ("!retain,!dup", 8, false)]
        {
            assert_eq!(holds(argument, number, &flags), answer, "{argument} {number}");
        }
    }
}
