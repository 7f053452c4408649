//! Protocols of lines: SMTP (RFC 3207), FTP (RFC 4217), POP3 and IMAP (RFC 2595).

use std::collections::VecDeque;

use super::super::follow::{Change, Step};

/// Longest line that is read.
const LINE_MAX: usize = 4096;
/// Commands that wait for their reply.
const DUE_MAX: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    Smtp,
    Ftp,
    Pop3,
    Imap,
}

/// What a reply that is due answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    /// The greeting, or a command that is of no interest.
    Line,
    /// A POP3 command whose answer, if it is granted, has lines up to one with a dot alone.
    Lines,
    Upgrade,
}

/// What a client's line asks for.
enum Command {
    Other(Due),
    Upgrade,
    /// A login, or a message: it goes on without TLS.
    Plain,
}

/// What a server's line says.
enum Reply {
    /// Not the last one of its reply, or of a reply that is of no interest.
    Part,
    Granted,
    Refused,
}

/// A conversation in lines.
#[derive(Debug)]
pub struct Lines {
    dialect: Dialect,
    /// Replies that are still to come, in order. IMAP's have tags instead.
    due: VecDeque<Due>,
    /// The tag of an IMAP command that asks for the change.
    tag: Vec<u8>,
    /// The client has asked for the change, and what it says then belongs to what follows from the answer.
    asked: bool,
    /// The reply goes on for several lines: the code of an SMTP or FTP reply, a dot for POP3.
    open: Vec<u8>,
}

impl Lines {
    pub fn new(dialect: Dialect) -> Self {
        let greeting = (dialect != Dialect::Imap).then_some(Due::Line);
        Self { dialect, due: greeting.into_iter().collect(), tag: Vec::new(), asked: false, open: Vec::new() }
    }

    pub const fn has_asked(&self) -> bool {
        self.asked
    }

    pub fn step(&mut self, [to_server, to_client]: &mut [Vec<u8>; 2]) -> Step {
        loop {
            let reply = self.commands(to_server).and_then(|()| self.replies(to_client));
            match reply {
                None => return Step::Over,
                Some(Reply::Part) => return Step::More,
                Some(Reply::Granted) => return Step::Changed(Change::Tls),
                // it may say more in plain text, and ask again
                Some(Reply::Refused) => self.asked = false,
            }
        }
    }

    /// Reads commands up to one that asks for the change; `None`: it goes on without.
    fn commands(&mut self, said: &mut Vec<u8>) -> Option<()> {
        let mut read = 0;
        while !self.asked {
            let rest = said.get(read..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                if rest.len() > LINE_MAX {
                    return None;
                }
                break;
            };
            let line = rest.get(..end).unwrap_or_default().trim_ascii_end();
            read += end + 1;
            match self.command(line) {
                Command::Plain => return None,
                Command::Upgrade => {
                    self.asked = true;
                    self.due.push_back(Due::Upgrade);
                }
                Command::Other(_) if self.dialect == Dialect::Imap => {}
                Command::Other(due) => self.due.push_back(due),
            }
            if self.due.len() > DUE_MAX {
                return None;
            }
        }
        said.drain(..read);
        Some(())
    }

    fn command(&mut self, line: &[u8]) -> Command {
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let tag = if self.dialect == Dialect::Imap { words.next().unwrap_or_default() } else { &[] };
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        let argument = words.next().unwrap_or_default().to_ascii_uppercase();
        match (self.dialect, verb.as_slice()) {
            (Dialect::Smtp, b"STARTTLS") | (Dialect::Pop3, b"STLS") => Command::Upgrade,
            (Dialect::Imap, b"STARTTLS") => {
                self.tag = tag.to_vec();
                Command::Upgrade
            }
            (Dialect::Ftp, b"AUTH") if matches!(argument.as_slice(), b"TLS" | b"TLS-C" | b"TLS-P" | b"SSL") => {
                Command::Upgrade
            }
            (Dialect::Smtp, b"AUTH" | b"DATA" | b"BDAT")
            | (Dialect::Ftp, b"AUTH" | b"USER")
            | (Dialect::Pop3, b"USER" | b"APOP" | b"AUTH")
            | (Dialect::Imap, b"LOGIN" | b"AUTHENTICATE" | b"SELECT" | b"EXAMINE") => Command::Plain,
            (Dialect::Pop3, b"CAPA" | b"LIST" | b"UIDL") => Command::Other(Due::Lines),
            _ => Command::Other(Due::Line),
        }
    }

    /// Reads replies up to the one to the client's wish to change; `None`: it goes on without.
    fn replies(&mut self, said: &mut Vec<u8>) -> Option<Reply> {
        let (mut read, mut found) = (0, Reply::Part);
        while matches!(found, Reply::Part) {
            let rest = said.get(read..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                if rest.len() > LINE_MAX {
                    return None;
                }
                break;
            };
            // what the client said last may not be here yet, so that nothing is read beyond what is due
            if self.dialect != Dialect::Imap && self.due.is_empty() {
                break;
            }
            let line = rest.get(..end).unwrap_or_default().trim_ascii_end();
            read += end + 1;
            found = match self.dialect {
                Dialect::Smtp | Dialect::Ftp => self.coded(line),
                Dialect::Pop3 => self.signed(line),
                Dialect::Imap => self.tagged(line),
            };
        }
        said.drain(..read);
        Some(found)
    }

    /// `220 text`, or lines of `220-text` and whatever else up to one.
    fn coded(&mut self, line: &[u8]) -> Reply {
        let (code, rest) = line.split_at(line.len().min(3));
        let more = rest.first() == Some(&b'-');
        if !self.open.is_empty() {
            if code != self.open || more {
                return Reply::Part;
            }
            self.open.clear();
        } else if more {
            self.open = code.to_vec();
            return Reply::Part;
        }
        // a preliminary reply, behind which the real one comes
        if code.first() == Some(&b'1') {
            return Reply::Part;
        }
        match self.due.pop_front() {
            Some(Due::Upgrade) if code.first() == Some(&b'2') => Reply::Granted,
            Some(Due::Upgrade) => Reply::Refused,
            _ => Reply::Part,
        }
    }

    /// `+OK text`, and more lines where the command has such an answer, or `-ERR text`.
    fn signed(&mut self, line: &[u8]) -> Reply {
        if !self.open.is_empty() {
            if line == b"." {
                self.open.clear();
            }
            return Reply::Part;
        }
        let granted = line.starts_with(b"+OK");
        match self.due.pop_front() {
            Some(Due::Upgrade) if granted => return Reply::Granted,
            Some(Due::Upgrade) => return Reply::Refused,
            Some(Due::Lines) if granted => self.open = b".".to_vec(),
            _ => {}
        }
        Reply::Part
    }

    /// `tag OK text`, among lines that answer something else.
    fn tagged(&mut self, line: &[u8]) -> Reply {
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        if !self.asked || words.next() != Some(&self.tag) {
            return Reply::Part;
        }
        self.due.clear();
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"OK")) { Reply::Granted } else { Reply::Refused }
    }
}
