//! TFTP (RFC 1350, 4): the server answers a request from another port, to the port that the request came from.

use super::Word;
use crate::protocol::{Direction, Protocol};

/// Reads datagrams: a request for reading or writing announces its transfer.
pub(super) fn read([to_server, to_client]: &mut [Vec<u8>; 2], out: &mut Vec<Word>) {
    if matches!(to_server.as_slice(), [0, 1 | 2, ..]) {
        let speaks = Some(Protocol::Tftp);
        out.push(Word { by: Direction::ToServer, address: None, port: None, udp: true, once: true, speaks });
    }
    to_server.clear();
    to_client.clear();
}
