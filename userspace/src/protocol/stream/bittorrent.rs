//! BitTorrent: the handshake of peers (BEP 3).

use super::reader::{Read, Reader, either};
use crate::protocol::{Answer, Stream};

pub fn detect(said: Stream<'_>) -> Answer {
    either(said, handshake, handshake)
}

fn handshake(said: &mut Reader<'_>) -> Read<()> {
    said.literal(b"\x13BitTorrent protocol")
}
