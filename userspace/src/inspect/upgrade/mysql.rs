//! MySQL (its manual, "Protocol::SSLRequest"): the server's greeting offers TLS, and a client that wants it sends the start of
//! its answer and then a hello, without waiting.

use super::super::follow::{Change, Step};

/// Bytes of a packet's header: length (3, little endian) and number.
const HEADER: usize = 4;
/// Bytes of the request: capabilities, longest packet, character set, filler.
const REQUEST: usize = 32;
/// Capability: the connection goes on with TLS.
const CLIENT_SSL: u32 = 0x800;

pub fn step([to_server, to_client]: &mut [Vec<u8>; 2]) -> Step {
    let Some([a, b, c, _, d, e, f, g]) = to_server.first_chunk::<8>().copied() else { return Step::More };
    let length = u32::from_le_bytes([a, b, c, 0]) as usize;
    if length != REQUEST || u32::from_le_bytes([d, e, f, g]) & CLIENT_SSL == 0 {
        return Step::Over;
    }
    if to_server.len() < HEADER + REQUEST {
        return Step::More;
    }
    to_server.drain(..HEADER + REQUEST);
    // the greeting, which is no part of what follows
    to_client.clear();
    Step::Changed(Change::Tls)
}
