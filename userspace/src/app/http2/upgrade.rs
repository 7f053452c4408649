//! The request by which HTTP/1 becomes HTTP/2 (RFC 7540 section 3.2): what it asks for is answered on stream 1, and it carries
//! the client's first settings.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{Direction, Field},
};

use super::{
    frame::{Header, SETTINGS},
    side::Entry,
};
use crate::app::Exchange;

/// Fields of a request among which the settings are looked for.
const MOST_FIELDS: usize = 256;

/// A request that was agreed to become HTTP/2.
#[derive(Debug)]
pub struct Upgrade {
    /// As a request of HTTP/2 has them.
    pub(super) fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The payload of a SETTINGS frame.
    pub(super) settings: Vec<u8>,
}

impl Upgrade {
    /// What was asked for in HTTP/1, if it was that.
    pub fn of(exchange: &dyn Exchange) -> Option<Self> {
        if exchange.app() != App::Http1 && exchange.app() != App::Http {
            return None;
        }
        let said = |buffer, instance| match exchange.buffer(buffer, Direction::ToServer, instance) {
            Field::Part(data) | Field::Whole(data) => Some(data.bytes.into_owned()),
            Field::Pending | Field::Absent => None,
        };
        let pseudo =
            [(":method", Buffer::HttpMethod), (":path", Buffer::HttpUriRaw), (":authority", Buffer::HttpHostRaw)];
        // what else it says was said in HTTP/1, and is looked at there
        let fields = pseudo.into_iter().filter_map(|(name, of)| Some((name.as_bytes().to_vec(), said(of, 0)?)));
        let settings =
            (0..MOST_FIELDS).map_while(|instance| said(Buffer::HttpRequestHeader, instance)).find_map(|line| {
                let colon = line.iter().position(|byte| *byte == b':')?;
                let (name, value) = line.split_at(colon);
                name.eq_ignore_ascii_case(b"http2-settings").then(|| value[1..].trim_ascii().to_vec())
            })?;
        Some(Self { fields: fields.collect(), settings: URL_SAFE_NO_PAD.decode(settings).ok()? })
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.fields.iter().map(|(name, value)| Entry::Field(name.clone(), value.clone())).collect()
    }

    /// As the frame that it would have been.
    pub(super) fn settings(&self) -> (Header, &[u8]) {
        (Header { length: self.settings.len(), kind: SETTINGS, flags: 0, stream: 0 }, &self.settings)
    }
}
