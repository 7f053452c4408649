//! Requests of TFTP (RFC 1350 section 5).

use dropgate_signatures::subject::Direction;

use crate::{
    app::{events::Events, facts::Facts, text},
    protocol::wire::Bytes,
};

pub fn read(_: Direction, said: &[u8], _: &mut Events, _: &mut u32) -> Option<Facts> {
    let mut bytes = Bytes::new(said);
    let packet = match bytes.u16()? {
        1 => "read",
        2 => "write",
        _ => return None,
    };
    let (file, mode) = (bytes.until(0)?, bytes.until(0)?);
    let mut facts = Facts::default();
    facts.tell("packet", packet);
    facts.tell("file", text(file));
    facts.tell("mode", text(mode));
    Some(facts)
}
