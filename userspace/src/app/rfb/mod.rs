//! RFB (RFC 6143): versions, authentication and what is shown, up to where the screen follows. One transaction a connection.

#[cfg(test)]
mod tests;

use dropgate_signatures::{buffer::Buffer, protocol::App, subject::Direction, words::RFB_RESULTS};
use serde_json::{Map, Value, json};

use super::{
    Exchange, Parser,
    digits::hex,
    events::Events,
    facts::{Facts, Plain},
    text,
};
use crate::protocol::wire::Bytes;

/// What one side may say before it is its turn, and the longest text that is read.
const KEPT_MAX: usize = 1 << 14;

/// What is to be said next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    ServerVersion,
    ClientVersion,
    /// Version 3.3: the server decides.
    Type,
    /// Later ones: it offers, and the client chooses.
    Types,
    Choice,
    Challenge,
    Response,
    Result,
    Reason,
    ClientInit,
    ServerInit,
    Over,
}

impl Turn {
    /// Who says it.
    const fn direction(self) -> Direction {
        match self {
            Self::ClientVersion | Self::Choice | Self::Response | Self::ClientInit => Direction::ToServer,
            _ => Direction::ToClient,
        }
    }
}

/// A parser of one connection.
#[derive(Debug)]
pub struct Rfb {
    kept: [Vec<u8>; 2],
    ended: [bool; 2],
    turn: Turn,
    /// That both speak: 3, 7 or 8.
    minor: u32,
    authentication: Map<String, Value>,
    /// `None`: it was forgotten.
    transaction: Option<Plain>,
}

impl Rfb {
    pub fn new() -> Self {
        let mut transaction = Plain::new(0, App::Rfb, Direction::ToServer, Facts::default(), Events::default());
        transaction.direction = None;
        transaction.complete = false;
        Self {
            kept: Default::default(),
            ended: [false; 2],
            turn: Turn::ServerVersion,
            minor: 8,
            authentication: Map::new(),
            transaction: Some(transaction),
        }
    }

    /// Takes what is to be said next, if all of it was. Whether it was.
    fn step(&mut self) -> bool {
        let Some(plain) = &mut self.transaction else { return false };
        let kept = &self.kept[self.turn.direction() as usize];
        let mut bytes = Bytes::new(kept);
        let facts = &mut plain.facts;
        let mut failed = None;
        let next = match self.turn {
            Turn::ServerVersion | Turn::ClientVersion => bytes.take(12).map(|line| {
                let first = self.turn == Turn::ServerVersion;
                let name = if first { "server_protocol_version" } else { "client_protocol_version" };
                let (major, minor) = (line.get(4..7).unwrap_or_default(), line.get(8..11).unwrap_or_default());
                if !line.starts_with(b"RFB ") {
                    failed = Some("malformed_message");
                }
                facts.tell(name, json!({"major": text(major), "minor": text(minor)}));
                if first {
                    return Turn::ClientVersion;
                }
                self.minor = str::from_utf8(minor).ok().and_then(|minor| minor.parse().ok()).unwrap_or(3);
                if self.minor < 7 { Turn::Type } else { Turn::Types }
            }),
            Turn::Type => {
                bytes.u32().map(|kind| security(kind, self.minor, facts, &mut self.authentication, &mut failed))
            }
            Turn::Types => bytes.short_vector().map(|types| if types.is_empty() { Turn::Reason } else { Turn::Choice }),
            Turn::Choice => {
                bytes.u8().map(|kind| security(kind.into(), self.minor, facts, &mut self.authentication, &mut failed))
            }
            Turn::Challenge | Turn::Response => bytes.take(16).map(|said| {
                let (name, next) = match self.turn {
                    Turn::Challenge => ("challenge", Turn::Response),
                    _ => ("response", Turn::Result),
                };
                let vnc = self.authentication.entry("vnc").or_insert_with(|| json!({}));
                vnc[name] = json!(hex(said));
                next
            }),
            Turn::Result => bytes.u32().map(|result| {
                facts.number("rfb.secresult", result);
                let name = RFB_RESULTS.get(result as usize).map_or("UNKNOWN", |(name, _)| name);
                self.authentication.insert("security_result".to_owned(), json!(name.to_ascii_uppercase()));
                match result {
                    0 => Turn::ClientInit,
                    1 | 2 if self.minor >= 8 => Turn::Reason,
                    1 | 2 => Turn::Over,
                    _ => {
                        failed = Some("unknown_security_result");
                        Turn::Over
                    }
                }
            }),
            Turn::Reason => sized(&mut bytes).map(|reason| {
                facts.tell("server_security_failure_reason", text(reason));
                Turn::Over
            }),
            Turn::ClientInit => bytes.u8().map(|shared| {
                facts.tell("screen_shared", shared != 0);
                Turn::ServerInit
            }),
            Turn::ServerInit => framebuffer(&mut bytes, facts).map(|()| Turn::Over),
            Turn::Over => return false,
        };
        let used = kept.len() - bytes.rest.len();
        let Some(next) = next else {
            if kept.len() > KEPT_MAX {
                plain.events.note("malformed_message");
                self.over();
            }
            return false;
        };
        if !self.authentication.is_empty() {
            facts.tell("authentication", self.authentication.clone());
        }
        plain.revision += 1;
        if let Some(event) = failed {
            plain.events.note(event);
        }
        self.kept[self.turn.direction() as usize].drain(..used);
        self.turn = next;
        if failed.is_some() || next == Turn::Over {
            self.over();
        }
        true
    }

    fn over(&mut self) {
        self.turn = Turn::Over;
        self.kept = Default::default();
        if let Some(plain) = &mut self.transaction
            && !plain.complete
        {
            plain.complete = true;
            plain.revision += 1;
        }
    }
}

impl Default for Rfb {
    fn default() -> Self {
        Self::new()
    }
}

/// What follows on the kind of security that was chosen.
fn security(
    kind: u32,
    minor: u32,
    facts: &mut Facts,
    authentication: &mut Map<String, Value>,
    failed: &mut Option<&'static str>,
) -> Turn {
    facts.number("rfb.sectype", kind);
    authentication.insert("security_type".to_owned(), json!(kind));
    match kind {
        0 => Turn::Reason,
        1 if minor >= 8 => Turn::Result,
        1 => Turn::ClientInit,
        2 => Turn::Challenge,
        _ => {
            *failed = Some("unimplemented_security_type");
            Turn::Over
        }
    }
}

/// A text behind its length.
fn sized<'a>(bytes: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let length = usize::try_from(bytes.u32()?).ok()?;
    bytes.take(length)
}

fn framebuffer(bytes: &mut Bytes<'_>, facts: &mut Facts) -> Option<()> {
    let (width, height) = (bytes.u16()?, bytes.u16()?);
    let [bits, depth, big, colour] = bytes.array()?;
    let (red, green, blue) = (bytes.u16()?, bytes.u16()?, bytes.u16()?);
    let [red_shift, green_shift, blue_shift, _, _, _] = bytes.array()?;
    let name = sized(bytes)?;
    facts.buffer(Buffer::RfbName, name);
    facts.tell(
        "framebuffer",
        json!({
            "width": width,
            "height": height,
            "name": text(name),
            "pixel_format": {
                "bits_per_pixel": bits,
                "depth": depth,
                "big_endian": big != 0,
                "true_color": colour != 0,
                "red_max": red,
                "green_max": green,
                "blue_max": blue,
                "red_shift": red_shift,
                "green_shift": green_shift,
                "blue_shift": blue_shift,
            },
        }),
    );
    Some(())
}

impl Parser for Rfb {
    fn hear(&mut self, direction: Direction, said: &[u8]) {
        if self.turn == Turn::Over {
            return;
        }
        self.kept[direction as usize].extend_from_slice(said);
        while self.step() {}
        // nobody says so much before it is his turn
        if self.kept[direction as usize].len() > KEPT_MAX {
            if let Some(plain) = &mut self.transaction {
                plain.events.note("confused_state");
            }
            self.over();
        }
    }

    fn lost(&mut self, _direction: Direction, _bytes: u64) {
        self.over();
    }

    fn end(&mut self, direction: Direction) {
        self.ended[direction as usize] = true;
        if self.ended == [true; 2] {
            self.over();
        }
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.transaction.iter().map(|plain| plain as &dyn Exchange).collect()
    }

    fn forget(&mut self, _id: u64) {
        self.transaction = None;
    }

    fn is_opaque(&self) -> bool {
        self.turn == Turn::Over
    }

    fn footprint(&self) -> usize {
        let kept: usize = self.kept.iter().map(Vec::capacity).sum();
        size_of::<Self>() + kept + self.transaction.as_ref().map_or(0, Plain::footprint)
    }
}
