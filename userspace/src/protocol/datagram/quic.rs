//! QUIC version 1 (RFC 9000), version 2 (RFC 9369), the drafts that were deployed, and Google's versions before them.
//!
//! A client's first packet is sealed with keys that anyone who sees it can derive (RFC 9001 section 5.2). It is opened: the
//! tag must be right and the ClientHello must be inside. Only where that packet was not seen do the two sides'
//! connection ids have to agree instead.

pub(crate) mod crypto;
pub(crate) mod google;
pub(crate) mod header;
pub(crate) mod initial;

use self::{
    crypto::{Crypto, Hello},
    header::{Kind, Long},
    initial::Keys,
};
use super::{Answer, Datagrams, Direction, Look, each, wire::Bytes};

pub use self::crypto::server_name;

/// Type of a handshake message.
const CLIENT_HELLO: u8 = 1;
/// Initial packets of one datagram that are opened.
const OPENED_MAX: usize = 4;
/// Shortest connection id that is believed when the other side repeats it.
const REPEATED_MIN: usize = 4;

/// A ClientHello tells, or a version negotiation, or connection ids that agree.
pub fn detect(said: Datagrams<'_>) -> Answer {
    let mut session = Session::default();
    each(said, |direction, datagram| session.look(direction, datagram))
}

/// The client's ClientHello (a TLS handshake message, header included) once all of it has been said, in however many
/// packets and whatever order. At most [`crypto::MOST`] bytes.
pub fn client_hello(said: Datagrams<'_>) -> Option<Vec<u8>> {
    let mut session = Session::default();
    for &(direction, datagram) in said.said {
        if session.look(direction, datagram) == Look::Not {
            return None;
        }
    }
    session.crypto.message(CLIENT_HELLO)
}

/// What the datagrams so far have told.
#[derive(Default)]
struct Session<'a> {
    /// The client, and the keys of its first Initial packet.
    client: Option<(Direction, Keys)>,
    crypto: Crypto,
    /// Each side's last ids: destination, source.
    ids: [Option<(&'a [u8], &'a [u8])>; 2],
    /// A long header was seen.
    started: bool,
}

impl<'a> Session<'a> {
    fn look(&mut self, direction: Direction, datagram: &'a [u8]) -> Look {
        if google::told(datagram) {
            return Look::Is(datagram.len());
        }
        let mut bytes = Bytes::new(datagram);
        let mut opened = 0;
        let mut first = true;
        let mut look = Look::May;
        while let Some(&byte) = bytes.rest.first() {
            // a short header has no length: it ends the datagram. So does what is left after the first packet: padding
            if byte & 0x80 == 0 {
                return if first && !self.started { Look::Not } else { look };
            }
            let Some(packet) = header::long(&mut bytes) else {
                return if first { Look::Not } else { look };
            };
            let end = datagram.len() - bytes.rest.len();
            match self.packet(direction, &packet, &mut opened) {
                Look::Is(_) if look == Look::May => look = Look::Is(end),
                Look::Not => return Look::Not,
                _ => {}
            }
            first = false;
            self.started = true;
        }
        look
    }

    fn packet(&mut self, direction: Direction, packet: &Long<'a>, opened: &mut usize) -> Look {
        let side = usize::from(direction == Direction::ToClient);
        let agree = |(destination, source): (&[u8], &[u8])| {
            let repeats = |one: &[u8], other: &[u8]| one.len() >= REPEATED_MIN && one == other;
            repeats(packet.destination, source)
                || (repeats(packet.source, destination) && packet.kind == Kind::Negotiation)
        };
        let agrees = self.ids[1 - side].is_some_and(agree);
        if packet.kind == Kind::Negotiation && packet.knows_version() {
            return Look::Is(0);
        }
        // to nobody's question
        if packet.kind == Kind::Negotiation && !agrees {
            return Look::Not;
        }
        self.ids[side] = Some((packet.destination, packet.source));
        let mut sealed = true;
        let from_client = self.client.as_ref().is_none_or(|(client, _)| *client == direction);
        if packet.kind == Kind::Initial && from_client && *opened < OPENED_MAX {
            *opened += 1;
            if let Some(payload) = self.open(direction, packet) {
                sealed = false;
                if google::version(packet.version) {
                    // the later ones have TLS inside, in frames like these
                    self.crypto.frames(&payload);
                    return Look::Is(0);
                }
                match self.crypto.frames(&payload) {
                    Hello::Not => return Look::Not,
                    Hello::Is => return Look::Is(0),
                    Hello::May => {}
                }
            }
        }
        // it was opened, and more of the ClientHello is awaited: the ids do not tell in its place
        if agrees && sealed && self.client.is_none() { Look::Is(0) } else { Look::May }
    }

    fn open(&mut self, direction: Direction, packet: &Long<'_>) -> Option<Vec<u8>> {
        if let Some((_, keys)) = &self.client
            && let Some(payload) = keys.open(packet)
        {
            return Some(payload);
        }
        // the first one; or the first one after a Retry, which names a new id
        header::salts(packet.version).iter().find_map(|salt| {
            let keys = Keys::of_client(packet.version, salt, packet.destination)?;
            let payload = keys.open(packet)?;
            self.client = Some((direction, keys));
            Some(payload)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
