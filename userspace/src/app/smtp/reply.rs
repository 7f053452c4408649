//! What the server says.

use dropgate_signatures::subject::Direction::ToClient;

use super::{Asked, Due, LINE_MAX, Mode, Smtp};
use crate::app::lines::{Line, Lines};

/// What a client says behind DATA before the reply is read again so many times.
const REPLAYS_MAX: u8 = 4;

/// Reply codes of RFC 5321, 3207, 4954, 5248 and 7504.
const CODES: &[u16] = &[
    211, 214, 220, 221, 235, 250, 251, 252, 334, 354, 421, 422, 431, 432, 450, 451, 452, 453, 454, 455, 458, 459, 500,
    501, 502, 503, 504, 521, 523, 525, 530, 534, 535, 538, 550, 551, 552, 553, 554, 555,
];

impl Smtp {
    pub(super) fn hear_server(&mut self, mut said: &[u8]) {
        let mut lines = std::mem::replace(&mut self.lines[1], Lines::new(LINE_MAX));
        while let Some(line) = lines.next(&mut said) {
            if line.ending.is_empty() && line.starts {
                self.notice("truncated_line");
                self.notice("max_reply_line_len_exceeded");
            }
            if line.starts {
                self.reply(line);
            }
            if self.encrypted {
                break;
            }
        }
        self.lines[1] = lines;
    }

    fn reply(&mut self, line: Line<'_>) {
        if line.bytes.is_empty() {
            return;
        }
        let Some(code) = code(line.bytes) else {
            return self.notice("invalid_reply");
        };
        if !CODES.contains(&code) {
            self.notice("invalid_reply");
        }
        let goes_on = line.bytes.get(3) == Some(&b'-');
        let text = line.bytes.get(4..).unwrap_or_default().trim_ascii();
        self.pipelining |= code == 250 && text.eq_ignore_ascii_case(b"pipelining");
        self.open = goes_on.then_some(code);
        if !self.welcomed {
            self.welcomed = !goes_on;
            let upgrade = self.due.front().is_some_and(|due| due.asked == Asked::StartTls);
            if code == 220 && !upgrade {
                return;
            }
            if self.due.is_empty() {
                return self.notice("invalid_reply");
            }
        }
        if goes_on {
            return;
        }
        // that answers DATA and nothing else: what was asked before it got no answer of its own
        if code == 354
            && let Some(data) = self.due.iter().position(|due| due.asked == Asked::Data)
        {
            self.due.drain(..data);
        }
        if let Some(due) = self.due.pop_front() {
            self.answered(due, code);
        }
    }

    /// The last line of a reply.
    pub(super) fn answered(&mut self, due: Due, code: u16) {
        match due.asked {
            Asked::Other => {}
            Asked::Data if code == 354 => self.early = None,
            Asked::Data => self.refused(due),
            Asked::End => self.finished(due),
            Asked::Reset if code / 100 == 2 => {
                // what the client has said since belongs to it, if it was not over with the command
                let idle = self.mail(due.mail).is_some_and(|mail| !mail.has_begun());
                if idle && self.current == due.mail {
                    self.finish(false);
                }
                self.finished(due);
            }
            Asked::Reset => {}
            Asked::StartTls if code == 220 => {
                self.finish(false);
                self.mails.iter_mut().for_each(|mail| mail.end(ToClient));
                self.encrypted = true;
            }
            Asked::StartTls => self.notice("tls_rejected"),
        }
    }

    fn finished(&mut self, due: Due) {
        if let Some(mail) = self.mail(due.mail) {
            mail.end(ToClient);
        }
    }

    /// The server does not want a mail: what was said behind DATA are commands.
    fn refused(&mut self, due: Due) {
        let Some(mail) = self.mail(due.mail) else { return };
        mail.notice("data_command_rejected");
        mail.refuse();
        let early = self.early.take().unwrap_or_default();
        self.mode = Mode::Commands;
        self.lines[0].reset();
        if early.is_empty() || self.replays == REPLAYS_MAX {
            return;
        }
        // what was made of it goes
        self.replays += 1;
        self.due.clear();
        let later: Vec<u64> = self.mails.iter().map(|mail| mail.id).filter(|id| Some(*id) > due.mail).collect();
        later.into_iter().for_each(|id| self.mails.forget(id));
        (self.current, self.latest) = (due.mail, due.mail);
        self.hear_client(&early);
    }
}

/// Of a line of a reply.
fn code(line: &[u8]) -> Option<u16> {
    let digits = line.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
