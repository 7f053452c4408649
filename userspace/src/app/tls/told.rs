//! What events tell of a handshake.

use serde_json::{Map, Value, json};

use super::{date, handshake::Handshake, version};
use crate::app::{Exchange, Record, text};

impl Exchange for Handshake {
    /// Told once the server has shown its certificate, or has agreed without one.
    fn records(&self) -> Vec<Record> {
        let server = &self.sides[1];
        if server.certificate.is_none() && !(server.hello.is_some() && (server.encrypted || self.resumed())) {
            return Vec::new();
        }
        vec![Record { event_type: "tls", object: self.object() }]
    }

    fn context(&self) -> Vec<Record> {
        vec![Record { event_type: "tls", object: self.object() }]
    }
}

impl Handshake {
    /// Both sides agree on a session from before, and no certificate is shown.
    fn resumed(&self) -> bool {
        let [client, server] = &self.sides;
        if !server.chain.is_empty() || version::is_13(server.version) {
            return false;
        }
        let (Some(asked), Some(answer)) = (&client.hello, &server.hello) else { return false };
        let same = !asked.session.is_empty() && asked.session == answer.session;
        same || (asked.ticket && server.encrypted)
    }

    /// The version that was agreed on.
    fn version(&self) -> u16 {
        self.sides[1].version
    }

    fn object(&self) -> Map<String, Value> {
        let [client, server] = &self.sides;
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| _ = object.insert(name.to_owned(), value);
        if let Some(certificate) = &server.certificate {
            put("subject", json!(certificate.subject));
            put("issuerdn", json!(certificate.issuer));
            if !certificate.names.is_empty() {
                put("subjectaltname", json!(certificate.names));
            }
            put("serial", json!(certificate.serial));
        }
        if self.resumed() {
            put("session_resumed", json!(true));
        }
        if let Some(fingerprint) = &server.fingerprint {
            put("fingerprint", json!(fingerprint));
        }
        let hello = client.hello.as_ref();
        if let Some(name) = hello.and_then(|hello| hello.name.as_ref()) {
            put("sni", text(name));
        }
        put("version", json!(version::title(self.version())));
        if let Some(certificate) = &server.certificate {
            for (name, date) in [("notbefore", certificate.not_before), ("notafter", certificate.not_after)] {
                if let Some(text) = date::written(date) {
                    put(name, json!(text));
                }
            }
        }
        for (name, ja3) in [("ja3", &client.ja3), ("ja3s", &server.ja3)] {
            if let Some(ja3) = ja3 {
                put(name, json!({"hash": ja3.hash, "string": ja3.text}));
            }
        }
        if let Some(ja4) = &client.ja4 {
            put("ja4", json!(ja4));
        }
        for (name, side) in [("client_alpns", client), ("server_alpns", server)] {
            let names = side.hello.iter().flat_map(|hello| &hello.alpn);
            let names: Vec<_> = names.map(|name| text(name)).collect();
            if !names.is_empty() {
                put(name, json!(names));
            }
        }
        object
    }
}
