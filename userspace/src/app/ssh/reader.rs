//! Lines up to the banner, and the packets behind it (RFC 4253 sections 4.2 and 6), of one direction.

/// Longest banner (RFC 4253 section 4.2, with its end of line).
const BANNER_MAX: usize = 255;
/// Bytes of lines before the banner, which servers may send.
const BEFORE_MAX: usize = 8192;
/// Longest packet that is believed; key exchanges are far shorter.
const PACKET_MAX: usize = 1 << 18;
/// Longest message that is kept.
const KEPT_MAX: usize = 1 << 16;
/// Length of the packet, length of its padding, the message's type.
const HEADER: usize = 6;
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;

/// What a direction has said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said<'a> {
    /// A banner without its end of line, cut off if it is too long.
    Banner(&'a [u8]),
    /// A key exchange's proposals: the message behind its type.
    Proposals(&'a [u8]),
    /// Something is wrong: the event.
    Wrong(&'static str),
    /// Nothing more is said in clear, or nothing that is understood.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// A line, which may be the banner.
    #[default]
    Line,
    /// The rest of a line that is not looked at.
    Skip,
    Header,
    /// A packet, so many bytes of which are to come; with `true`: it is kept.
    Packet(usize, bool),
    Over,
}

/// Reads one direction.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    kept: Vec<u8>,
    /// Bytes before the banner.
    before: usize,
}

impl Reader {
    /// Takes bytes in and tells what they say.
    pub fn hear(&mut self, mut bytes: &[u8], tell: &mut impl FnMut(Said<'_>)) {
        while !bytes.is_empty() && self.state != State::Over {
            bytes = match self.state {
                State::Line => self.line(bytes, tell),
                State::Skip => {
                    let end = bytes.iter().position(|&byte| byte == b'\n');
                    self.state = if end.is_some() { State::Header } else { State::Skip };
                    bytes.get(end.map_or(bytes.len(), |end| end + 1)..).unwrap_or_default()
                }
                State::Header => self.header(bytes, tell),
                State::Packet(left, keep) => self.packet(bytes, left, keep, tell),
                State::Over => return,
            };
        }
    }

    pub fn end(&mut self) {
        self.state = State::Over;
        self.kept = Vec::new();
    }

    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    pub fn footprint(&self) -> usize {
        self.kept.capacity()
    }

    fn line<'a>(&mut self, bytes: &'a [u8], tell: &mut impl FnMut(Said<'_>)) -> &'a [u8] {
        let [byte, rest @ ..] = bytes else { return bytes };
        if *byte != b'\n' {
            self.kept.push(*byte);
            self.before += 1;
            let banner = self.kept.starts_with(b"SSH-");
            if banner && self.kept.len() > BANNER_MAX {
                tell(Said::Wrong("long_banner"));
                tell(Said::Banner(&self.kept));
                self.kept.clear();
                self.state = State::Skip;
            } else if !banner && self.before > BEFORE_MAX {
                tell(Said::Wrong("invalid_banner"));
                self.over(tell);
            }
            return rest;
        }
        let line = self.kept.strip_suffix(b"\r").unwrap_or(&self.kept);
        if line.starts_with(b"SSH-") {
            tell(Said::Banner(line));
            self.state = State::Header;
        }
        self.kept.clear();
        rest
    }

    fn header<'a>(&mut self, bytes: &'a [u8], tell: &mut impl FnMut(Said<'_>)) -> &'a [u8] {
        let (part, rest) = bytes.split_at((HEADER - self.kept.len()).min(bytes.len()));
        self.kept.extend_from_slice(part);
        let [a, b, c, d, padding, kind] = *self.kept else { return rest };
        self.kept.clear();
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if !(2..=PACKET_MAX).contains(&length) || usize::from(padding) + 1 >= length {
            tell(Said::Wrong("invalid_record"));
            self.over(tell);
        } else if kind == NEWKEYS {
            self.over(tell);
        } else {
            // the two bytes that were read belong to it
            self.state = State::Packet(length - 2, kind == KEXINIT);
            if length == 2 {
                self.state = State::Header;
            }
        }
        rest
    }

    fn packet<'a>(&mut self, bytes: &'a [u8], left: usize, keep: bool, tell: &mut impl FnMut(Said<'_>)) -> &'a [u8] {
        let (part, rest) = bytes.split_at(left.min(bytes.len()));
        if keep {
            let room = KEPT_MAX - self.kept.len();
            self.kept.extend_from_slice(&part[..part.len().min(room)]);
        }
        self.state = State::Packet(left - part.len(), keep);
        if left == part.len() {
            if keep {
                tell(Said::Proposals(&self.kept));
            }
            self.kept.clear();
            self.state = State::Header;
        }
        rest
    }

    fn over(&mut self, tell: &mut impl FnMut(Said<'_>)) {
        tell(Said::Over);
        self.end();
    }
}
