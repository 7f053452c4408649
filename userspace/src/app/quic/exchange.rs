//! A hello as a transaction.

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{Data, Direction, Field, Transaction},
};
use serde_json::json;

use super::google::Tags;
use crate::{
    app::{
        Exchange, Object, Record, Told,
        events::Events,
        text,
        tls::{hello::Hello, ja3::Ja3},
    },
    protocol::quic::header::V2,
};

/// What one side said.
#[derive(Debug)]
pub struct Said {
    pub id: u64,
    pub direction: Direction,
    pub version: u32,
    pub hello: Option<Hello>,
    pub ja3: Option<Ja3>,
    pub ja4: Option<String>,
    pub google: Option<Tags>,
    pub events: Events,
}

impl Said {
    pub fn footprint(&self) -> usize {
        let hello = self.hello.as_ref().map_or(0, |hello| 8 * hello.footprint());
        size_of::<Self>() + hello + self.google.as_ref().map_or(0, |google| 2 * google.text.len())
    }

    fn name(&self) -> Option<&[u8]> {
        self.hello.as_ref().and_then(|hello| hello.name.as_deref()).or_else(|| self.google.as_ref()?.name.as_deref())
    }

    /// As events write it.
    fn version(&self) -> String {
        match self.version.to_be_bytes() {
            name @ [b'Q' | b'T', b'0', ..] => String::from_utf8_lossy(&name).into_owned(),
            [0xff, 0, 0, draft] => format!("draft-{draft}"),
            _ if self.version == V2 => "v2".to_owned(),
            _ => format!("{:x}", self.version),
        }
    }
}

impl Transaction for Said {
    fn id(&self) -> u64 {
        self.id
    }

    fn app(&self) -> App {
        App::Quic
    }

    fn revision(&self, direction: Direction) -> u32 {
        u32::from(direction == self.direction)
    }

    fn is_complete(&self, _direction: Direction) -> bool {
        true
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        if direction != self.direction || instance > 0 {
            return Field::Absent;
        }
        let ja3 = self.ja3.as_ref();
        let google = self.google.as_ref();
        let client = direction == Direction::ToServer;
        Field::optional(match buffer {
            Buffer::QuicVersion => {
                return Field::Whole(Data { bytes: self.version.to_be_bytes().to_vec().into() });
            }
            Buffer::QuicSni | Buffer::TlsSni => self.name(),
            Buffer::QuicUa => google.and_then(|google| google.agent.as_deref()),
            Buffer::QuicCyuHash => google.map(|google| google.hash.as_bytes()),
            Buffer::QuicCyuString => google.map(|google| google.text.as_bytes()),
            Buffer::Ja3Hash if client => ja3.map(|ja3| ja3.hash.as_bytes()),
            Buffer::Ja3String if client => ja3.map(|ja3| ja3.text.as_bytes()),
            Buffer::Ja3sHash if !client => ja3.map(|ja3| ja3.hash.as_bytes()),
            Buffer::Ja3sString if !client => ja3.map(|ja3| ja3.text.as_bytes()),
            Buffer::Ja4Hash => self.ja4.as_deref().map(str::as_bytes),
            _ => None,
        })
    }

    fn events(&self) -> &[&'static str] {
        self.events.names()
    }
}

impl Exchange for Said {
    fn records(&self) -> Vec<Record> {
        let (google, ja3) = (self.google.as_ref(), self.ja3.as_ref());
        let mut object = Object::new();
        object.put_some("cyu", google.map(|google| json!([{"hash": google.hash, "string": google.text}])));
        let extensions =
            |hello: &Hello| hello.extensions.iter().map(|&kind| extension(hello, kind)).collect::<Vec<_>>();
        object.put_some("extensions", self.hello.as_ref().map(extensions));
        object.put_some(if self.direction == Direction::ToServer { "ja3" } else { "ja3s" }, ja3);
        object.put_some("ja4", self.ja4.as_ref());
        object.put_some("sni", self.name().map(text));
        object.put_some("ua", google.and_then(|google| google.agent.as_deref()).map(text));
        object.put("version", self.version());
        vec![object.record("quic")]
    }
}

fn extension(hello: &Hello, kind: u16) -> Told {
    let mut object = Object::new();
    object.put_some("name", name(kind));
    object.put("type", kind);
    let values: Vec<_> = match kind {
        0 => hello.name.iter().map(|name| text(name)).collect(),
        16 => hello.alpn.iter().map(|name| text(name)).collect(),
        _ => Vec::new(),
    };
    if !values.is_empty() {
        object.put("values", values);
    }
    object.told()
}

/// IANA's names of extensions.
const fn name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        0 => "server_name",
        1 => "max_fragment_length",
        2 => "client_certificate_url",
        3 => "trusted_ca_keys",
        4 => "truncated_hmac",
        5 => "status_request",
        6 => "user_mapping",
        7 => "client_authz",
        8 => "server_authz",
        9 => "cert_type",
        10 => "supported_groups",
        11 => "ec_point_formats",
        12 => "srp",
        13 => "signature_algorithms",
        14 => "use_srtp",
        15 => "heartbeat",
        16 => "alpn",
        17 => "status_request_v2",
        18 => "signed_certificate_timestamp",
        19 => "client_certificate_type",
        20 => "server_certificate_type",
        21 => "padding",
        22 => "encrypt_then_mac",
        23 => "extended_master_secret",
        24 => "token_binding",
        25 => "cached_info",
        28 => "record_size_limit",
        35 => "session_ticket",
        41 => "pre_shared_key",
        42 => "early_data",
        43 => "supported_versions",
        44 => "cookie",
        45 => "psk_key_exchange_modes",
        47 => "certificate_authorities",
        48 => "oid_filters",
        49 => "post_handshake_auth",
        50 => "signature_algorithms_cert",
        51 => "key_share",
        57 => "quic_transport_parameters",
        13172 => "nextprotoneg",
        0xff01 => "renegotiation_info",
        _ => return None,
    })
}
