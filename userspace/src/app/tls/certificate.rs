//! What is read of a certificate (RFC 5280).

use std::net::IpAddr;

use sha1::{Digest, Sha1};
use x509_parser::{
    error::X509Error,
    extensions::GeneralName,
    nom,
    prelude::{FromDer, X509Certificate},
};

use crate::app::digits::colons;

/// A certificate that could be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// `C=US, O=Example, CN=www.example.com`
    pub subject: String,
    pub issuer: String,
    /// `0A:BC`
    pub serial: String,
    /// s since 1970
    pub not_before: i64,
    pub not_after: i64,
    /// Subject alternative names.
    pub names: Vec<String>,
}

impl Certificate {
    /// Reads one in DER.
    ///
    /// # Errors
    /// The name of the `app-layer-event` of TLS that says what is wrong with it.
    pub fn read(der: &[u8]) -> Result<Self, &'static str> {
        let certificate = match X509Certificate::from_der(der) {
            Ok((_, certificate)) => certificate,
            Err(nom::Err::Incomplete(_)) => return Err("certificate_invalid_length"),
            Err(nom::Err::Error(error) | nom::Err::Failure(error)) => return Err(event(&error)),
        };
        let validity = certificate.validity();
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().map(general_name).collect());
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: colons(certificate.raw_serial()).to_ascii_uppercase(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            names: names.unwrap_or_default(),
        })
    }
}

/// SHA-1 of a certificate in DER: `5b:40`.
pub fn fingerprint(der: &[u8]) -> String {
    colons(&Sha1::digest(der))
}

fn general_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(four), _) => IpAddr::from(four).to_string(),
            (_, Ok(sixteen)) => IpAddr::from(sixteen).to_string(),
            _ => String::new(),
        },
        GeneralName::DirectoryName(name) => name.to_string(),
        other => other.to_string(),
    }
}

fn event(error: &X509Error) -> &'static str {
    match error {
        X509Error::InvalidVersion => "certificate_invalid_version",
        X509Error::InvalidSerial => "certificate_invalid_serial",
        X509Error::InvalidAlgorithmIdentifier => "certificate_invalid_algorithmidentifier",
        X509Error::InvalidX509Name => "certificate_invalid_x509name",
        X509Error::InvalidDate => "certificate_invalid_date",
        X509Error::InvalidExtensions | X509Error::DuplicateExtensions => "certificate_invalid_extensions",
        X509Error::Der(_) => "certificate_invalid_der",
        X509Error::InvalidIssuerUID => "certificate_invalid_issuer",
        X509Error::InvalidSubjectUID => "certificate_invalid_subject",
        _ => "invalid_certificate",
    }
}
