//! What events tell of a handshake.

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    certificate::Certificate,
    date,
    handshake::{Handshake, Spoken},
    hello::Hello,
    version,
};
use crate::app::{Exchange, Object, Record, Told, text};

impl Exchange for Handshake {
    /// Told once the server has shown its certificate, or has agreed without one.
    fn records(&self) -> Vec<Record> {
        let server = &self.sides[1];
        if server.certificate.is_none() && !(server.hello.is_some() && (server.encrypted || self.resumed())) {
            return Vec::new();
        }
        vec![self.told()]
    }

    fn context(&self) -> Vec<Record> {
        vec![self.told()]
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

    fn told(&self) -> Record {
        let [client, server] = &self.sides;
        let certificate = server.certificate.as_ref();
        let written = |date: fn(&Certificate) -> i64| date::written(date(certificate?));
        let mut object = Object::new();
        if self.shows {
            shown(server, &mut object);
            object.put_some("client", client.certificate.as_ref().map(|certificate| client_shown(client, certificate)));
        }
        object.put_some("client_alpns", alpns(client.hello.as_ref()));
        object.put_some("fingerprint", server.fingerprint.as_ref());
        object.put_some("issuerdn", certificate.map(|certificate| &certificate.issuer));
        object.put_some("ja3", client.ja3.as_ref());
        object.put_some("ja3s", server.ja3.as_ref());
        object.put_some("ja4", client.ja4.as_ref());
        object.put_some("notafter", written(|certificate| certificate.not_after));
        object.put_some("notbefore", written(|certificate| certificate.not_before));
        object.put_some("serial", certificate.map(|certificate| &certificate.serial));
        object.put_some("server_alpns", alpns(server.hello.as_ref()));
        object.put_some("session_resumed", self.resumed().then_some(true));
        object.put_some("sni", client.hello.as_ref().and_then(|hello| hello.name.as_deref()).map(text));
        object.put_some("subject", certificate.map(|certificate| &certificate.subject));
        let names = certificate.map(|certificate| &certificate.names).filter(|names| !names.is_empty());
        object.put_some("subjectaltname", names);
        object.put("version", version::title(self.version()));
        object.record("tls")
    }
}

/// Certificates as they are: one's own, and all of the chain.
fn shown(side: &Spoken, object: &mut Object) {
    let mut chain = side.chain.iter().map(|der| BASE64_STANDARD.encode(der)).peekable();
    object.put_some("certificate", chain.peek());
    object.put_some("chain", chain.peek().is_some().then(|| chain.collect::<Vec<_>>()));
}

/// What a client has shown of itself.
fn client_shown(client: &Spoken, certificate: &Certificate) -> Told {
    let mut object = Object::new();
    shown(client, &mut object);
    object.put_some("fingerprint", client.fingerprint.as_ref());
    object.put("issuerdn", &certificate.issuer);
    object.put_some("notafter", date::written(certificate.not_after));
    object.put_some("notbefore", date::written(certificate.not_before));
    object.put("serial", &certificate.serial);
    object.put("subject", &certificate.subject);
    object.put_some("subjectaltname", Some(&certificate.names).filter(|names| !names.is_empty()));
    object.told()
}

/// The protocols that a hello names, if it names any.
fn alpns(hello: Option<&Hello>) -> Option<Vec<Cow<'_, str>>> {
    let names: Vec<_> = hello?.alpn.iter().map(|name| text(name)).collect();
    (!names.is_empty()).then_some(names)
}
