//! POP3 (RFC 1939, RFC 2449), and what STLS (RFC 2595) ends.
//!
//! A transaction is a command with its answer, or the greeting. Mails that are fetched are not looked into.

mod command;
#[cfg(test)]
mod tests;

use dropgate_signatures::subject::Direction::{self, ToClient, ToServer};

use self::command::Command;
use super::{
    Exchange, Limits, Parser,
    held::Held,
    lines::{Line, Lines},
};

/// Longest line that is read; what is behind that is ignored.
const LINE_MAX: usize = 4096;

/// A conversation.
#[derive(Debug)]
pub struct Pop3 {
    limits: Limits,
    lines: [Lines; 2],
    commands: Held<Command>,
    /// The server has asked for a secret, which is the client's next line.
    secret: bool,
    /// The answer has further lines, up to a dot.
    open: bool,
    encrypted: bool,
}

impl Pop3 {
    /// A conversation of which nothing was said.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            lines: [Lines::new(LINE_MAX), Lines::new(LINE_MAX)],
            commands: Held::new(limits.transactions),
            secret: false,
            open: false,
            encrypted: false,
        }
    }

    fn request(&mut self, line: Line<'_>) {
        let secret = std::mem::take(&mut self.secret);
        let full = self.commands.add(|id| Command::asked(id, line, secret));
        if full && let Some(command) = self.commands.iter_mut().next_back() {
            command.notice("too_many_transactions");
        }
    }

    fn answer(&mut self, line: Line<'_>) {
        if self.open {
            let over = line.is_whole() && line.bytes == b".";
            let open = self.commands.iter_mut().find(|command| command.waits());
            if let Some(command) = open {
                command.line(line.bytes, self.limits.header, over);
            }
            self.open = !over;
            return;
        }
        if !self.commands.iter().any(Command::waits) {
            self.commands.add(Command::greeting);
        }
        let Some(command) = self.commands.iter_mut().find(|command| command.waits()) else { return };
        let goes_on = command.answer(line);
        self.open = goes_on;
        self.secret = command.asks_for_more();
        self.encrypted = command.begins_tls();
    }
}

impl Parser for Pop3 {
    fn hear(&mut self, direction: Direction, mut said: &[u8]) {
        let way = direction as usize;
        let mut lines = std::mem::replace(&mut self.lines[way], Lines::new(LINE_MAX));
        while !self.encrypted
            && let Some(line) = lines.next(&mut said)
        {
            match direction {
                _ if !line.starts => {}
                ToServer => self.request(line),
                ToClient => self.answer(line),
            }
        }
        self.lines[way] = lines;
        if self.encrypted {
            self.commands.iter_mut().for_each(Command::end);
        }
    }

    fn lost(&mut self, direction: Direction, _bytes: u64) {
        self.lines[direction as usize].reset();
    }

    fn end(&mut self, direction: Direction) {
        if direction == ToClient {
            self.commands.iter_mut().for_each(Command::end);
        }
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.commands.iter().map(|command| command as &dyn Exchange).collect()
    }

    fn forget(&mut self, id: u64) {
        self.commands.forget(id);
    }

    fn is_opaque(&self) -> bool {
        self.encrypted
    }

    fn footprint(&self) -> usize {
        let lines: usize = self.lines.iter().map(Lines::footprint).sum();
        let commands: usize = self.commands.iter().map(Command::footprint).sum();
        size_of::<Self>() + lines + commands
    }
}
