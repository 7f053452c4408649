//! SMTP (RFC 5321), with pipelining (RFC 2920), BDAT (RFC 3030) and what STARTTLS (RFC 3207) ends.
//!
//! A transaction is a mail with its envelope: from the first command to the reply to its last line, to RSET, or to another
//! greeting. Commands wait for their replies in a queue. What follows DATA is taken for the mail before the server has agreed:
//! it may have arrived by the time that it does. If it refuses, what was said meanwhile is read again, as commands.

mod mail;
mod reply;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use dropgate_signatures::subject::Direction::{self, ToClient, ToServer};

use self::mail::Mail;
use super::{
    Exchange, Limits, Parser,
    held::Held,
    lines::{Line, Lines},
};

/// Longest line that is read, as Suricata has it; what is behind that is ignored.
const LINE_MAX: usize = 4096;
/// Commands that wait for their reply.
const DUE_MAX: usize = 1024;

/// What a reply that is due answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    Other,
    StartTls,
    Data,
    /// The end of a mail.
    End,
    /// RSET, or another greeting behind the beginning of a mail.
    Reset,
}

/// A reply that is due, and the transaction that it belongs to.
#[derive(Clone, Copy, Debug)]
struct Due {
    asked: Asked,
    mail: Option<u64>,
}

/// What the client says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Commands,
    /// Lines of a mail.
    Data,
    /// So many bytes of a mail, and whether it ends with them.
    Chunk(u64, bool),
}

/// A conversation.
#[derive(Debug)]
pub struct Smtp {
    limits: Limits,
    lines: [Lines; 2],
    mode: Mode,
    due: VecDeque<Due>,
    /// What was said behind DATA while its reply is due, if all of that is there.
    early: Option<Vec<u8>>,
    /// How often that was read again.
    replays: u8,
    /// The server has spoken.
    welcomed: bool,
    /// The reply, of this code, has further lines.
    open: Option<u16>,
    pipelining: bool,
    helo: Option<Vec<u8>>,
    mails: Held<Mail>,
    /// The transaction that commands go to.
    current: Option<u64>,
    /// The latest one.
    latest: Option<u64>,
    encrypted: bool,
}

impl Smtp {
    /// A conversation of which nothing was said.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            lines: [Lines::new(LINE_MAX), Lines::new(LINE_MAX)],
            mode: Mode::Commands,
            due: VecDeque::new(),
            early: None,
            replays: 0,
            welcomed: false,
            open: None,
            pipelining: false,
            helo: None,
            mails: Held::new(limits.transactions),
            current: None,
            latest: None,
            encrypted: false,
        }
    }

    fn mail(&mut self, id: Option<u64>) -> Option<&mut Mail> {
        let id = id?;
        self.mails.iter_mut().rev().find(|mail| mail.id == id)
    }

    /// The transaction that a command goes to; one begins if there is none.
    fn begin(&mut self) -> u64 {
        if let Some(id) = self.current {
            return id;
        }
        let helo = self.helo.clone();
        let mut made = 0;
        self.mails.add(|id| {
            made = id;
            Mail::new(id, helo)
        });
        (self.current, self.latest) = (Some(made), Some(made));
        made
    }

    fn notice(&mut self, event: &'static str) {
        let id = self.current.or(self.latest);
        if let Some(mail) = self.mail(id) {
            mail.notice(event);
        }
    }

    fn expect(&mut self, asked: Asked) {
        if self.due.back().is_some_and(|due| matches!(due.asked, Asked::Data | Asked::StartTls)) {
            self.notice("invalid_pipelined_sequence");
        }
        // nobody waits for so many
        if self.due.len() == DUE_MAX {
            self.due.clear();
        }
        self.due.push_back(Due { asked, mail: self.current.or(self.latest) });
    }

    fn hear_client(&mut self, mut said: &[u8]) {
        if let Some(early) = &mut self.early {
            if early.len() + said.len() <= self.limits.header {
                early.extend_from_slice(said);
            } else {
                self.early = None;
            }
        }
        let mut lines = std::mem::replace(&mut self.lines[0], Lines::new(LINE_MAX));
        while !said.is_empty() {
            if let Mode::Chunk(left, last) = self.mode {
                said = self.chunk(said, left, last);
                continue;
            }
            let Some(line) = lines.next(&mut said) else { break };
            if self.mode == Mode::Data {
                self.data(line);
            } else if line.starts {
                self.command(line);
                if self.mode == Mode::Data && self.due.iter().filter(|due| due.asked == Asked::Data).count() == 1 {
                    self.early = (said.len() <= self.limits.header).then(|| said.to_vec());
                }
            }
        }
        self.lines[0] = lines;
    }

    fn command(&mut self, line: Line<'_>) {
        // who goes on has taken the reply for complete
        if let Some(code) = self.open.take_if(|_| self.due.len() == 1 && !self.pipelining)
            && let Some(due) = self.due.pop_front()
        {
            self.answered(due, code);
        }
        let verb = Verb::of(line.bytes);
        if self.latest.is_none() || !matches!(verb, Verb::Reset | Verb::Quit) {
            self.begin();
        }
        if !self.welcomed {
            self.notice("no_server_welcome_message");
        }
        if line.ending.is_empty() {
            self.notice("truncated_line");
            self.notice("max_command_line_len_exceeded");
        }
        let current = self.current;
        let asked = match verb {
            Verb::Helo => self.helo(argument(line.bytes, 4)),
            Verb::MailFrom => {
                let from = argument(line.bytes, 9).to_vec();
                if let Some(mail) = self.mail(current)
                    && !mail.set_from(from)
                {
                    mail.notice("duplicate_fields");
                }
                Asked::Other
            }
            Verb::RcptTo => {
                let (to, most) = (argument(line.bytes, 7).to_vec(), self.limits.header);
                if let Some(mail) = self.mail(current) {
                    mail.add_to(to, most);
                }
                Asked::Other
            }
            Verb::Data => return self.begin_data(),
            Verb::Bdat => self.begin_chunk(line.bytes),
            Verb::StartTls => Asked::StartTls,
            Verb::Reset => Asked::Reset,
            Verb::Quit | Verb::Other => Asked::Other,
        };
        self.expect(asked);
        match asked {
            Asked::Reset if self.mail(current).is_some_and(|mail| mail.has_begun()) => self.finish(false),
            // a chunk of no bytes
            Asked::End if self.mode == Mode::Commands => self.finish(true),
            _ => {}
        }
    }

    /// HELO or EHLO. A second one does what RSET does (RFC 5321, section 4.1.4).
    fn helo(&mut self, name: &[u8]) -> Asked {
        if self.helo.is_some() {
            self.notice("duplicate_fields");
            let current = self.current;
            return if self.mail(current).is_some_and(|mail| mail.has_begun()) { Asked::Reset } else { Asked::Other };
        }
        self.helo = Some(name.to_vec());
        let (current, helo) = (self.current, self.helo.clone());
        if let Some(mail) = self.mail(current) {
            mail.set_helo(helo);
        }
        Asked::Other
    }

    fn begin_data(&mut self) {
        let current = self.current;
        if self.mail(current).is_some_and(|mail| mail.has_message()) {
            // the end of an earlier one was not seen
            self.notice("unparsable_content");
            self.finish(false);
            self.begin();
        }
        let (current, limits) = (self.current, self.limits);
        if let Some(mail) = self.mail(current) {
            mail.begin_message(limits);
        }
        self.expect(Asked::Data);
        self.mode = Mode::Data;
    }

    /// A line behind DATA.
    fn data(&mut self, line: Line<'_>) {
        let waits = self.due.back().is_some_and(|due| due.asked == Asked::Data);
        if waits && !self.pipelining {
            self.notice("invalid_pipelined_sequence");
        }
        if line.is_whole() && line.bytes == b"." {
            self.expect(Asked::End);
            return self.finish(true);
        }
        let stuffed = line.bytes.strip_prefix(b".").filter(|_| line.starts);
        let current = self.current;
        if let Some(mail) = self.mail(current) {
            mail.line(Line { bytes: stuffed.unwrap_or(line.bytes), ..line }, stuffed.is_some());
        }
    }

    /// `BDAT length [LAST]`.
    fn begin_chunk(&mut self, line: &[u8]) -> Asked {
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).skip(1);
        let length = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse::<u64>().ok());
        let last = match words.next() {
            None => Some(false),
            Some(word) => (word.eq_ignore_ascii_case(b"last") && words.next().is_none()).then_some(true),
        };
        let Some((length, last)) = length.zip(last) else {
            self.notice("invalid_bdat");
            return Asked::Other;
        };
        let (current, limits) = (self.current, self.limits);
        if let Some(mail) = self.mail(current)
            && !mail.has_message()
        {
            mail.begin_message(limits);
        }
        if length > 0 {
            self.mode = Mode::Chunk(length, last);
        }
        if last { Asked::End } else { Asked::Other }
    }

    /// Bytes of a chunk; gives back what is behind it.
    fn chunk<'a>(&mut self, said: &'a [u8], left: u64, last: bool) -> &'a [u8] {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(said.len());
        let (bytes, rest) = said.split_at(length);
        let current = self.current;
        if let Some(mail) = self.mail(current) {
            mail.bytes(bytes);
        }
        let left = left - length as u64;
        self.mode = if left > 0 { Mode::Chunk(left, last) } else { Mode::Commands };
        if left == 0 && last {
            self.finish(true);
        }
        rest
    }

    /// The client says nothing more of the current transaction. With `false`, its mail is not complete.
    fn finish(&mut self, complete: bool) {
        self.mode = Mode::Commands;
        if let Some(id) = self.current.take()
            && let Some(mail) = self.mail(Some(id))
        {
            mail.finish(complete);
        }
    }
}

impl Parser for Smtp {
    fn hear(&mut self, direction: Direction, said: &[u8]) {
        match direction {
            _ if self.encrypted => {}
            ToServer => self.hear_client(said),
            ToClient => self.hear_server(said),
        }
    }

    fn lost(&mut self, direction: Direction, bytes: u64) {
        self.lines[direction as usize].reset();
        self.early = None;
        match (direction, self.mode) {
            (ToClient, _) => {
                self.due.clear();
                self.open = None;
            }
            (ToServer, Mode::Chunk(left, last)) => {
                self.chunk_lost(left, last, bytes);
            }
            (ToServer, _) => {
                let current = self.current;
                if let Some(mail) = self.mail(current) {
                    mail.lost(bytes);
                }
            }
        }
    }

    fn end(&mut self, direction: Direction) {
        if direction == ToServer {
            self.finish(false);
        }
        for mail in self.mails.iter_mut() {
            mail.end(direction);
        }
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.mails.iter().map(|mail| mail as &dyn Exchange).collect()
    }

    fn forget(&mut self, id: u64) {
        self.mails.forget(id);
    }

    fn is_opaque(&self) -> bool {
        self.encrypted
    }

    fn footprint(&self) -> usize {
        let lines: usize = self.lines.iter().map(Lines::footprint).sum();
        let mails: usize = self.mails.iter().map(Mail::footprint).sum();
        let early = self.early.as_ref().map_or(0, Vec::capacity);
        size_of::<Self>() + lines + mails + early + self.due.capacity() * size_of::<Due>()
    }
}

impl Smtp {
    fn chunk_lost(&mut self, left: u64, last: bool, bytes: u64) {
        let current = self.current;
        if let Some(mail) = self.mail(current) {
            mail.lost(bytes.min(left));
        }
        let left = left.saturating_sub(bytes);
        self.mode = if left > 0 { Mode::Chunk(left, last) } else { Mode::Commands };
        if left == 0 && last {
            self.finish(false);
        }
    }
}

/// Commands that mean something here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verb {
    Helo,
    MailFrom,
    RcptTo,
    Data,
    Bdat,
    StartTls,
    Reset,
    Quit,
    Other,
}

impl Verb {
    fn of(line: &[u8]) -> Self {
        const VERBS: [(&[u8], Verb); 9] = [
            (b"helo", Verb::Helo),
            (b"ehlo", Verb::Helo),
            (b"mail from", Verb::MailFrom),
            (b"rcpt to", Verb::RcptTo),
            (b"data", Verb::Data),
            (b"bdat", Verb::Bdat),
            (b"starttls", Verb::StartTls),
            (b"rset", Verb::Reset),
            (b"quit", Verb::Quit),
        ];
        let is = |name: &[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        VERBS.iter().find(|(name, _)| is(name)).map_or(Self::Other, |(_, verb)| *verb)
    }
}

/// What stands behind a verb of this length and the character after it, up to the next space.
fn argument(line: &[u8], verb: usize) -> &[u8] {
    let rest = line.get(verb + 1..).unwrap_or_default();
    let start = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
    let rest = rest.get(start..).unwrap_or_default();
    rest.split(|byte| *byte == b' ').next().unwrap_or_default()
}
