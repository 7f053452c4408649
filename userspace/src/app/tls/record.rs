//! Records (RFC 8446 section 5.1) and the messages in them, of one direction.
//!
//! Bytes are taken as they come. A message may be spread over records, and a record over segments; only the message that is
//! being read is kept, at most [`MESSAGE_MAX`] bytes of it.

/// Longest handshake message that is read: no chain of certificates in use comes near.
pub const MESSAGE_MAX: usize = 1 << 17;
/// What a record may have, with what ciphers add (RFC 5246 section 6.2.3).
const RECORD_MAX: usize = (1 << 14) + 2048;
const HEADER: usize = 5;

/// What a direction has said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said<'a> {
    /// A record's header: its version.
    Version(u16),
    /// A handshake message: its type, its body.
    Handshake(u8, &'a [u8]),
    /// A message of SSL 2, its type first.
    Ssl2(&'a [u8]),
    /// An alert or a heartbeat: the record's type, and what is in it.
    Other(u8, &'a [u8]),
    /// From here on it is encrypted.
    Encrypted,
    /// It is not TLS, by this event; nothing behind it is read.
    Broken(&'static str),
}

pub const CHANGE_CIPHER_SPEC: u8 = 20;
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const APPLICATION_DATA: u8 = 23;
pub const HEARTBEAT: u8 = 24;

/// Reads one direction.
#[derive(Debug, Default)]
pub struct Records {
    header: [u8; HEADER],
    /// Bytes of the header that are there.
    have: usize,
    /// Bytes of the record that are to come.
    left: usize,
    /// The message that is being read, or the record if it has no messages.
    message: Vec<u8>,
    /// A record was read: SSL 2 has to come first.
    started: bool,
    /// It is one of SSL 2 that is being read.
    ssl2: bool,
    over: bool,
}

impl Records {
    /// Takes bytes in and tells what they say.
    pub fn hear(&mut self, mut bytes: &[u8], tell: &mut impl FnMut(Said<'_>)) {
        while !self.over && !bytes.is_empty() {
            if self.left == 0 {
                let (&byte, rest) = match bytes.split_first() {
                    Some(first) => first,
                    None => return,
                };
                bytes = rest;
                self.header[self.have] = byte;
                self.have += 1;
                self.begin(tell);
                continue;
            }
            let (part, rest) = bytes.split_at(self.left.min(bytes.len()));
            bytes = rest;
            self.left -= part.len();
            self.record(part, tell);
            if self.left == 0 {
                self.have = 0;
                self.ssl2 = false;
            }
        }
    }

    /// Nothing more is read.
    pub fn end(&mut self) {
        self.over = true;
        self.message = Vec::new();
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    pub fn footprint(&self) -> usize {
        self.message.capacity()
    }

    /// What the header says as far as it is there.
    fn begin(&mut self, tell: &mut impl FnMut(Said<'_>)) {
        let [kind, major, minor, high, low] = self.header;
        if !self.started && self.have == 3 && kind & 0x80 != 0 && matches!(minor, 1 | 4) {
            // SSL 2 (RFC 6101 appendix E): a length of 15 bits, and the message
            self.left = usize::from(u16::from_be_bytes([kind & 0x7f, major]));
            self.started = true;
            if self.left < 2 {
                return self.break_off("invalid_sslv2_header", tell);
            }
            self.ssl2 = true;
            self.left -= 1;
            self.message = vec![minor];
            return;
        }
        match self.have {
            // what begins with its first two bytes set aside for SSL 2 shows with its third one
            3 if !(CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) => {
                let event = if self.started { "invalid_record_type" } else { "invalid_ssl_record" };
                self.break_off(event, tell);
            }
            3 if major != 3 || minor > 4 => self.break_off("invalid_record_version", tell),
            HEADER => {
                self.started = true;
                self.left = usize::from(u16::from_be_bytes([high, low]));
                if self.left > RECORD_MAX {
                    return self.break_off("invalid_tls_header", tell);
                }
                tell(Said::Version(u16::from_be_bytes([major, minor])));
                if kind == CHANGE_CIPHER_SPEC || kind == APPLICATION_DATA {
                    tell(Said::Encrypted);
                    self.end();
                } else if kind != HANDSHAKE && !self.message.is_empty() {
                    // a message may not be interrupted (RFC 8446 section 5.1)
                    self.break_off("invalid_handshake_message", tell);
                } else if self.left == 0 {
                    self.have = 0;
                }
            }
            _ => {}
        }
    }

    fn record(&mut self, part: &[u8], tell: &mut impl FnMut(Said<'_>)) {
        if self.ssl2 {
            self.message.extend_from_slice(part);
            if self.left == 0 {
                let message = std::mem::take(&mut self.message);
                tell(Said::Ssl2(&message));
            }
            return;
        }
        if self.header[0] != HANDSHAKE {
            self.message.extend_from_slice(part);
            if self.left == 0 {
                let message = std::mem::take(&mut self.message);
                tell(Said::Other(self.header[0], &message));
            }
            return;
        }
        self.handshake(part, tell);
    }

    fn handshake(&mut self, mut part: &[u8], tell: &mut impl FnMut(Said<'_>)) {
        const LENGTH: usize = 4;
        while !part.is_empty() {
            let wanted = match *self.message {
                [_, a, b, c, ..] => LENGTH + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)),
                _ => LENGTH,
            };
            let missing = wanted - self.message.len();
            let (more, rest) = part.split_at(missing.min(part.len()));
            self.message.extend_from_slice(more);
            part = rest;
            if self.message.len() < LENGTH {
                return;
            }
            let [kind, a, b, c] = [self.message[0], self.message[1], self.message[2], self.message[3]];
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if length > MESSAGE_MAX {
                return self.break_off("handshake_invalid_length", tell);
            }
            if self.message.len() == LENGTH + length {
                tell(Said::Handshake(kind, &self.message[LENGTH..]));
                self.message.clear();
            }
        }
    }

    fn break_off(&mut self, event: &'static str, tell: &mut impl FnMut(Said<'_>)) {
        tell(Said::Broken(event));
        self.end();
    }
}
