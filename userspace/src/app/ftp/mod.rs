//! FTP (RFC 959, RFC 2428), its data connections, and what AUTH TLS (RFC 4217) ends.
//!
//! A transaction is a command with its replies, or a reply that nobody asked for: the greeting, most of all.

mod command;
mod data;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use dropgate_signatures::subject::Direction::{self, ToClient, ToServer};

use self::command::Command;
pub use self::data::Data;
use super::{
    Exchange, Limits, Parser,
    held::Held,
    lines::{Line, Lines},
};

/// Longest line that is read, as Suricata has it; what is behind that is ignored.
const LINE_MAX: usize = 4096;

/// A file that is asked for: what a data connection to this port transfers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// Where the one who waits for the connection waits.
    pub port: u16,
    /// The client waits for it, and the server begins it.
    pub active: bool,
    /// `RETR`, `STOR` and so on.
    pub command: Vec<u8>,
    /// Empty: it is a list, or the server names it.
    pub name: Vec<u8>,
}

/// A control conversation.
#[derive(Debug)]
pub struct Ftp {
    limits: Limits,
    lines: [Lines; 2],
    commands: Held<Command>,
    /// Code of a reply that has further lines.
    open: Option<[u8; 3]>,
    /// Where the next data connection goes, and whether the client waits for it.
    data: Option<(u16, bool)>,
    transfers: Vec<Transfer>,
    client: Option<IpAddr>,
    encrypted: bool,
}

impl Ftp {
    /// A conversation of which nothing was said.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            lines: [Lines::new(LINE_MAX), Lines::new(LINE_MAX)],
            commands: Held::new(limits.transactions),
            open: None,
            data: None,
            transfers: Vec::new(),
            client: None,
            encrypted: false,
        }
    }

    fn request(&mut self, line: Line<'_>) {
        // of telnet's urgent signals (RFC 854) in front of a command nothing is needed
        let start = line.bytes.iter().position(u8::is_ascii_alphabetic).unwrap_or(line.bytes.len());
        let bytes = line.bytes.get(start..).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        let (data, client, mut transfer) = (&mut self.data, self.client, None);
        let full = self.commands.add(|id| {
            let mut command = Command::asked(id, bytes, line.ending.is_empty(), client);
            transfer = command.transfer(data);
            command
        });
        // nobody may have asked for them
        if self.transfers.len() == self.limits.transactions {
            self.transfers.remove(0);
        }
        self.transfers.extend(transfer);
        if full && let Some(command) = self.commands.iter_mut().next_back() {
            command.notice("too_many_transactions");
        }
    }

    fn reply(&mut self, line: Line<'_>) {
        if line.bytes.is_empty() {
            return;
        }
        let code = line.bytes.first_chunk::<3>().filter(|code| code.iter().all(u8::is_ascii_digit)).copied();
        let goes_on = line.bytes.get(3) == Some(&b'-');
        self.open = match self.open {
            Some(open) if code == Some(open) && !goes_on => None,
            Some(open) => Some(open),
            None => code.filter(|_| goes_on),
        };
        let last = self.open.is_none() && code.is_none_or(|[class, ..]| class != b'1');
        if !self.commands.iter().any(Command::waits) {
            self.commands.add(Command::new);
        }
        let Some(command) = self.commands.iter_mut().find(|command| command.waits()) else { return };
        command.reply(line, self.limits.header, last);
        if last {
            self.data = command.negotiated(code).or(self.data);
            self.encrypted |= command.begins_tls(code);
        }
    }
}

impl Parser for Ftp {
    fn between(&mut self, client: IpAddr, _server: IpAddr) {
        self.client = Some(client);
    }

    fn hear(&mut self, direction: Direction, mut said: &[u8]) {
        let way = direction as usize;
        let mut lines = std::mem::replace(&mut self.lines[way], Lines::new(LINE_MAX));
        while !self.encrypted
            && let Some(line) = lines.next(&mut said)
        {
            match direction {
                _ if !line.starts => {}
                ToServer => self.request(line),
                ToClient => self.reply(line),
            }
        }
        self.lines[way] = lines;
        if self.encrypted {
            self.commands.iter_mut().for_each(Command::end);
        }
    }

    fn lost(&mut self, direction: Direction, _bytes: u64) {
        self.lines[direction as usize].reset();
        if direction == ToClient {
            self.open = None;
        }
    }

    fn end(&mut self, direction: Direction) {
        if direction == ToClient {
            self.commands.iter_mut().for_each(Command::end);
        }
    }

    fn take_transfers(&mut self) -> Vec<Transfer> {
        std::mem::take(&mut self.transfers)
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
