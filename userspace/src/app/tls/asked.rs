//! What rules ask of a handshake.

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{Direction, Field, Transaction},
};

use super::{
    date,
    handshake::{Handshake, STATES, Spoken},
    index, version,
};

impl Transaction for Handshake {
    fn id(&self) -> u64 {
        0
    }

    fn app(&self) -> App {
        App::Tls
    }

    fn revision(&self, direction: Direction) -> u32 {
        self.sides[index(direction)].revision
    }

    fn is_complete(&self, direction: Direction) -> bool {
        self.sides[index(direction)].closed
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        let side = &self.sides[index(direction)];
        // all of a hello is known with it, and so are all certificates with the first one
        let known = if of_certificates(buffer) { !side.chain.is_empty() } else { side.hello.is_some() };
        match (known, side.closed) {
            (true, _) => Field::optional(side.holds(buffer, direction, instance)),
            (false, true) => Field::Absent,
            (false, false) => Field::Pending,
        }
    }

    fn number(&self, keyword: &str, direction: Direction, instance: usize) -> Option<u64> {
        let side = &self.sides[index(direction)];
        (keyword == "tls.cert_chain_len" && instance == 0 && !side.chain.is_empty()).then_some(side.chain.len() as u64)
    }

    fn test(&self, keyword: &str, argument: &str, direction: Direction) -> Option<bool> {
        let side = &self.sides[index(direction)];
        let known = |known: Option<bool>| if side.closed { Some(known.unwrap_or(false)) } else { known };
        let certificate = side.certificate.as_ref();
        let says = |text: Option<&str>| known(text.map(|text| text.contains(argument.trim_matches('"'))));
        match keyword {
            "ssl_state" => Some(in_state(argument, side.states)),
            "ssl_version" => known((side.version != 0).then(|| version::is_any_of(argument, side.version))),
            "tls.version" => known((side.version != 0).then(|| version::is(argument, side.version))),
            "tls.subject" => says(certificate.map(|one| &*one.subject)),
            "tls.issuerdn" => says(certificate.map(|one| &*one.issuer)),
            "tls.fingerprint" => says(side.fingerprint.as_deref()),
            "tls_cert_notbefore" | "tls.cert_notbefore" => {
                known(certificate.map(|one| date::holds(argument, one.not_before).unwrap_or(false)))
            }
            "tls_cert_notafter" | "tls.cert_notafter" => {
                known(certificate.map(|one| date::holds(argument, one.not_after).unwrap_or(false)))
            }
            "tls_cert_expired" | "tls.cert_expired" => known(certificate.map(|one| one.not_after < self.now)),
            "tls_cert_valid" | "tls.cert_valid" => {
                known(certificate.map(|one| one.not_before <= self.now && self.now <= one.not_after))
            }
            _ => Some(false),
        }
    }

    fn events(&self) -> &[&'static str] {
        self.events.names()
    }
}

const fn of_certificates(buffer: Buffer) -> bool {
    use Buffer::*;
    matches!(
        buffer,
        TlsCerts
            | TlsCertSubject
            | TlsSubject
            | TlsCertIssuer
            | TlsIssuer
            | TlsCertSerial
            | TlsCertFingerprint
            | TlsFingerprint
            | TlsSubjectAltName
    )
}

impl Spoken {
    /// What a buffer has, of what is known.
    fn holds(&self, buffer: Buffer, direction: Direction, instance: usize) -> Option<&[u8]> {
        match buffer {
            Buffer::TlsAlpn => return self.hello.as_ref()?.alpn.get(instance).map(Vec::as_slice),
            Buffer::TlsCerts => return self.chain.get(instance).map(Vec::as_slice),
            Buffer::TlsSubjectAltName => return self.certificate.as_ref()?.names.get(instance).map(String::as_bytes),
            _ if instance > 0 => return None,
            _ => {}
        }
        let client = direction == Direction::ToServer;
        let text = match buffer {
            Buffer::TlsSni => return self.hello.as_ref()?.name.as_deref(),
            Buffer::TlsRandom => return self.hello.as_ref().map(|hello| &hello.random[..]),
            Buffer::TlsRandomTime => return self.hello.as_ref().map(|hello| &hello.random[..4]),
            Buffer::TlsRandomBytes => return self.hello.as_ref().map(|hello| &hello.random[4..]),
            Buffer::Ja3Hash if client => &self.ja3.as_ref()?.hash,
            Buffer::Ja3String if client => &self.ja3.as_ref()?.text,
            Buffer::Ja3sHash if !client => &self.ja3.as_ref()?.hash,
            Buffer::Ja3sString if !client => &self.ja3.as_ref()?.text,
            Buffer::Ja4Hash => self.ja4.as_ref()?,
            Buffer::TlsCertSubject | Buffer::TlsSubject => &self.certificate.as_ref()?.subject,
            Buffer::TlsCertIssuer | Buffer::TlsIssuer => &self.certificate.as_ref()?.issuer,
            Buffer::TlsCertSerial => &self.certificate.as_ref()?.serial,
            Buffer::TlsCertFingerprint | Buffer::TlsFingerprint => self.fingerprint.as_ref()?,
            _ => return None,
        };
        Some(text.as_bytes())
    }
}

/// Whether `ssl_state` says so: names joined by `|` or `,`; with `!` before the first one: none of these.
fn in_state(argument: &str, states: u8) -> bool {
    let names = argument.trim_matches('"').split(['|', ',']).map(|name| name.trim().trim_start_matches('!').trim());
    let bits = names.filter_map(|name| STATES.iter().find(|(known, _)| *known == name)).map(|(_, bit)| bit);
    (states & bits.fold(0, |all, bit| all | bit) != 0) != argument.trim_start().starts_with('!')
}
