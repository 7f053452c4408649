//! ClientHello and ServerHello (RFC 8446 section 4.1), as TLS says them over TCP and inside QUIC's first packets.
//!
//! Extensions are read one by one: one that is not well formed is noted, and does not hide the others.

use super::version::{FIRST_DRAFT, has_short_hello};
use crate::{
    app::events::Events,
    protocol::wire::{Bytes, must},
};

const SERVER_NAME: u16 = 0;
const GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SESSION_TICKET: u16 = 35;
const VERSIONS: u16 = 43;
/// RFC 6066 section 3: names that are no longer than this.
const NAME_MAX: usize = u16::MAX as usize;

/// Whose hello it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Client,
    Server,
}

/// What a hello says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hello {
    /// Where it has always stood; `supported_versions` may say another one.
    pub legacy_version: u16,
    pub random: [u8; 32],
    pub session: Vec<u8>,
    /// A server's is one.
    pub suites: Vec<u16>,
    /// The types of all extensions, in order.
    pub extensions: Vec<u16>,
    pub groups: Vec<u16>,
    pub point_formats: Vec<u8>,
    pub signature_algorithms: Vec<u16>,
    /// `supported_versions`; a server's is one.
    pub versions: Vec<u16>,
    /// `application_layer_protocol_negotiation`; a server's is one.
    pub alpn: Vec<Vec<u8>>,
    /// `server_name`
    pub name: Option<Vec<u8>>,
    /// A session ticket came with it.
    pub ticket: bool,
}

impl Hello {
    /// Reads the body of a hello. `None`: what every hello has is not all there.
    pub fn read(side: Side, body: &[u8], events: &mut Events) -> Option<Self> {
        let mut bytes = Bytes::new(body);
        let mut hello = Self { legacy_version: bytes.u16()?, random: bytes.array()?, ..Self::default() };
        let short = side == Side::Server && has_short_hello(hello.legacy_version);
        if short && hello.legacy_version == 0x0304 {
            hello.legacy_version = FIRST_DRAFT;
        } else if !short {
            hello.session = bytes.short_vector()?.to_vec();
        }
        match side {
            Side::Client => {
                hello.suites = numbers(bytes.vector()?);
                let _compressions = bytes.short_vector()?;
            }
            Side::Server => {
                hello.suites = vec![bytes.u16()?];
                let _compression = if short { 0 } else { bytes.u8()? };
            }
        }
        if bytes.is_empty() {
            return Some(hello);
        }
        if hello.extensions(side, bytes, events).is_none() {
            events.note("handshake_invalid_length");
        }
        Some(hello)
    }

    /// Extensions up to the first one that is not all there: then it is `None`.
    fn extensions(&mut self, side: Side, mut bytes: Bytes<'_>, events: &mut Events) -> Option<()> {
        let length = usize::from(bytes.u16()?);
        let whole = length <= bytes.rest.len();
        let mut all = Bytes::new(bytes.rest.get(..length).unwrap_or(bytes.rest));
        while !all.is_empty() {
            let kind = all.u16()?;
            let said = all.vector()?;
            self.extensions.push(kind);
            let read = match kind {
                SERVER_NAME if side == Side::Client => self.server_name(said, events),
                GROUPS => list(said).map(|list| self.groups = numbers(list)),
                POINT_FORMATS => Bytes::new(said).short_vector().map(|list| self.point_formats = list.to_vec()),
                SIGNATURE_ALGORITHMS => list(said).map(|list| self.signature_algorithms = numbers(list)),
                ALPN => self.protocols(said),
                VERSIONS => self.supported(side, said),
                SESSION_TICKET => {
                    self.ticket |= !said.is_empty();
                    Some(())
                }
                _ => Some(()),
            };
            if read.is_none() {
                events.note("handshake_invalid_length");
            }
        }
        must(whole)
    }

    fn server_name(&mut self, said: &[u8], events: &mut Events) -> Option<()> {
        if self.name.is_some() {
            events.note("multiple_sni_extensions");
            return Some(());
        }
        let mut names = Bytes::new(list(said)?);
        if names.u8()? != 0 {
            events.note("invalid_sni_type");
            return Some(());
        }
        let Some(name) = names.vector().filter(|name| !name.is_empty() && name.len() <= NAME_MAX) else {
            events.note("invalid_sni_length");
            return Some(());
        };
        self.name = Some(name.to_vec());
        Some(())
    }

    fn protocols(&mut self, said: &[u8]) -> Option<()> {
        let mut names = Bytes::new(list(said)?);
        while !names.is_empty() {
            self.alpn.push(names.short_vector()?.to_vec());
        }
        Some(())
    }

    fn supported(&mut self, side: Side, said: &[u8]) -> Option<()> {
        let mut bytes = Bytes::new(said);
        self.versions = match side {
            Side::Client => numbers(bytes.short_vector()?),
            Side::Server => vec![bytes.u16()?],
        };
        Some(())
    }

    /// The version that is meant: a server's choice, a client's first wish.
    pub fn version(&self) -> u16 {
        self.versions.iter().copied().find(|&version| !is_grease(version)).unwrap_or(self.legacy_version)
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        let words = self.suites.len() + self.extensions.len() + self.groups.len() + self.signature_algorithms.len();
        let names: usize = self.alpn.iter().map(|name| name.len() + size_of::<Vec<u8>>()).sum();
        2 * (words + self.versions.len()) + names + self.name.as_ref().map_or(0, Vec::len) + self.session.len()
    }
}

/// A value that clients make up, so that servers stay used to unknown ones (RFC 8701).
pub const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

fn list(said: &[u8]) -> Option<&[u8]> {
    Bytes::new(said).vector()
}

fn numbers(said: &[u8]) -> Vec<u16> {
    said.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect()
}
