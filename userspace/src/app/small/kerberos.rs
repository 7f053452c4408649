//! Kerberos (RFC 4120): what a key distribution centre answers.

use dropgate_signatures::{buffer::Buffer, subject::Direction};

use crate::{
    app::{events::Events, facts::Facts, messages::Length, text},
    protocol::{
        ber::{SEQUENCE, element, integer, only, tagged},
        wire::Bytes,
    },
};

const GENERAL_STRING: u8 = 0x1b;
const AS_REQ: u8 = 10;
const AS_REP: u8 = 11;
const TGS_REQ: u8 = 12;
const TGS_REP: u8 = 13;
const ERROR: u8 = 30;

/// Encryption types (RFC 3961 section 8, and IANA's), as rules and events name them.
const CIPHERS: &[(&str, u64)] = &[
    ("des-cbc-crc", 1),
    ("des-cbc-md4", 2),
    ("des-cbc-md5", 3),
    ("des3-cbc-md5", 5),
    ("des3-cbc-sha1", 7),
    ("dsaWithSHA1-CmsOID", 9),
    ("md5WithRSAEncryption-CmsOID", 10),
    ("sha1WithRSAEncryption-CmsOID", 11),
    ("rc2CBC-EnvOID", 12),
    ("rsaEncryption-EnvOID", 13),
    ("rsaES-OAEP-ENV-OID", 14),
    ("des-ede3-cbc-Env-OID", 15),
    ("des3-cbc-sha1-kd", 16),
    ("aes128-cts-hmac-sha1-96", 17),
    ("aes256-cts-hmac-sha1-96", 18),
    ("aes128-cts-hmac-sha256-128", 19),
    ("aes256-cts-hmac-sha384-192", 20),
    ("rc4-hmac", 23),
    ("rc4-hmac-exp", 24),
    ("camellia128-cts-cmac", 25),
    ("camellia256-cts-cmac", 26),
    ("subkey-keymaterial", 65),
];

/// Error codes (RFC 4120 section 7.5.9), by their numbers.
const ERRORS: [&str; 69] = [
    "KDC_ERR_NONE",
    "KDC_ERR_NAME_EXP",
    "KDC_ERR_SERVICE_EXP",
    "KDC_ERR_BAD_PVNO",
    "KDC_ERR_C_OLD_MAST_KVNO",
    "KDC_ERR_S_OLD_MAST_KVNO",
    "KDC_ERR_C_PRINCIPAL_UNKNOWN",
    "KDC_ERR_S_PRINCIPAL_UNKNOWN",
    "KDC_ERR_PRINCIPAL_NOT_UNIQUE",
    "KDC_ERR_NULL_KEY",
    "KDC_ERR_CANNOT_POSTDATE",
    "KDC_ERR_NEVER_VALID",
    "KDC_ERR_POLICY",
    "KDC_ERR_BADOPTION",
    "KDC_ERR_ETYPE_NOSUPP",
    "KDC_ERR_SUMTYPE_NOSUPP",
    "KDC_ERR_PADATA_TYPE_NOSUPP",
    "KDC_ERR_TRTYPE_NOSUPP",
    "KDC_ERR_CLIENT_REVOKED",
    "KDC_ERR_SERVICE_REVOKED",
    "KDC_ERR_TGT_REVOKED",
    "KDC_ERR_CLIENT_NOTYET",
    "KDC_ERR_SERVICE_NOTYET",
    "KDC_ERR_KEY_EXPIRED",
    "KDC_ERR_PREAUTH_FAILED",
    "KDC_ERR_PREAUTH_REQUIRED",
    "KDC_ERR_SERVER_NOMATCH",
    "KDC_ERR_MUST_USE_USER2USER",
    "KDC_ERR_PATH_NOT_ACCEPTED",
    "KDC_ERR_SVC_UNAVAILABLE",
    "30",
    "KRB_AP_ERR_BAD_INTEGRITY",
    "KRB_AP_ERR_TKT_EXPIRED",
    "KRB_AP_ERR_TKT_NYV",
    "KRB_AP_ERR_REPEAT",
    "KRB_AP_ERR_NOT_US",
    "KRB_AP_ERR_BADMATCH",
    "KRB_AP_ERR_SKEW",
    "KRB_AP_ERR_BADADDR",
    "KRB_AP_ERR_BADVERSION",
    "KRB_AP_ERR_MSG_TYPE",
    "KRB_AP_ERR_MODIFIED",
    "KRB_AP_ERR_BADORDER",
    "43",
    "KRB_AP_ERR_BADKEYVER",
    "KRB_AP_ERR_NOKEY",
    "KRB_AP_ERR_MUT_FAIL",
    "KRB_AP_ERR_BADDIRECTION",
    "KRB_AP_ERR_METHOD",
    "KRB_AP_ERR_BADSEQ",
    "KRB_AP_ERR_INAPP_CKSUM",
    "KRB_AP_PATH_NOT_ACCEPTED",
    "KRB_ERR_RESPONSE_TOO_BIG",
    "53",
    "54",
    "55",
    "56",
    "57",
    "58",
    "59",
    "KRB_ERR_GENERIC",
    "KRB_ERR_FIELD_TOOLONG",
    "KDC_ERROR_CLIENT_NOT_TRUSTED",
    "KDC_ERROR_KDC_NOT_TRUSTED",
    "KDC_ERROR_INVALID_SIG",
    "KDC_ERR_KEY_TOO_WEAK",
    "KDC_ERR_CERTIFICATE_MISMATCH",
    "KRB_AP_ERR_NO_TGT",
    "KDC_ERR_WRONG_REALM",
];

/// What rules may say of the ticket's encryption; whether it is weak is a number of its own, beyond the types.
const TICKETS: &[(&str, u64)] = &{
    let mut all = [("", 0); CIPHERS.len() + 2];
    let mut at = 0;
    while at < CIPHERS.len() {
        all[at] = CIPHERS[at];
        at += 1;
    }
    all[at] = ("weak", WEAK);
    all[at + 1] = ("strong", STRONG);
    all
};
const WEAK: u64 = 1 << 32;
const STRONG: u64 = WEAK + 1;

pub fn names(keyword: &str) -> &'static [(&'static str, u64)] {
    if keyword == "krb5.ticket_encryption" { TICKETS } else { &[] }
}

/// On TCP a length of 31 bits stands before each message.
pub fn measure(said: &[u8], _: &mut usize) -> Length {
    match said {
        [a, b, c, d, ..] if a & 0x80 == 0 => Length::Is(4 + u32::from_be_bytes([*a, *b, *c, *d]) as usize, 4),
        [_, _, _, _, ..] => Length::Never,
        _ => Length::More,
    }
}

pub fn read(_: Direction, said: &[u8], events: &mut Events, asked: &mut u32) -> Option<Facts> {
    let mut bytes = Bytes::new(said);
    // the application's tag is the type of message, in its low bits
    let (kind, name) = match said.first().map(|tag| tag & 0x1f) {
        Some(kind @ AS_REQ) => (kind, "KRB_AS_REQ"),
        Some(kind @ AS_REP) => (kind, "KRB_AS_REP"),
        Some(kind @ TGS_REQ) => (kind, "KRB_TGS_REQ"),
        Some(kind @ TGS_REP) => (kind, "KRB_TGS_REP"),
        Some(kind @ ERROR) => (kind, "KRB_ERROR"),
        Some(14 | 15 | 20..=22) => return None,
        _ => {
            events.note("malformed_data");
            return None;
        }
    };
    let mut facts = Facts::default();
    facts.number("krb5_msg_type", kind);
    facts.tell("msg_type", name);
    let body = element(&mut bytes).and_then(|(_, contents)| only(contents, SEQUENCE));
    let read = body.and_then(|body| match kind {
        AS_REQ | TGS_REQ => request(body, &mut facts),
        ERROR => error(body, &mut facts),
        _ => reply(body, &mut facts, events),
    });
    if read.is_none() {
        events.note("malformed_data");
    }
    match kind {
        AS_REQ | TGS_REQ => *asked = kind.into(),
        ERROR => facts.tell(
            "failed_request",
            match u8::try_from(*asked) {
                Ok(AS_REQ) => "KRB_AS_REQ",
                Ok(TGS_REQ) => "KRB_TGS_REQ",
                _ => "UNKNOWN",
            },
        ),
        _ => {}
    }
    Some(facts)
}

/// The field of a sequence with this number.
fn field<'a>(bytes: &mut Bytes<'a>, number: u8) -> Option<Bytes<'a>> {
    let mut ahead = *bytes;
    let (tag, contents) = element(&mut ahead)?;
    if tag != 0xa0 | number {
        return None;
    }
    *bytes = ahead;
    Some(Bytes::new(contents))
}

/// `name/instance`
fn principal(mut bytes: Bytes<'_>) -> Option<Vec<u8>> {
    let mut name = tagged(&mut bytes, SEQUENCE)?;
    let _kind = field(&mut name, 0)?;
    let mut parts = tagged(&mut field(&mut name, 1)?, SEQUENCE)?;
    let mut all = Vec::new();
    while !parts.is_empty() {
        if !all.is_empty() {
            all.push(b'/');
        }
        all.extend_from_slice(tagged(&mut parts, GENERAL_STRING)?.rest);
    }
    Some(all)
}

fn cipher(mut bytes: Bytes<'_>) -> Option<u64> {
    let mut data = tagged(&mut bytes, SEQUENCE)?;
    u64::try_from(integer(&mut field(&mut data, 0)?)?).ok()
}

const fn is_weak(cipher: u64) -> bool {
    !matches!(cipher, 17..=20)
}

fn cipher_name(cipher: u64) -> String {
    CIPHERS
        .iter()
        .find(|(_, number)| *number == cipher)
        .map_or_else(|| cipher.to_string(), |(name, _)| (*name).to_owned())
}

fn named(facts: &mut Facts, name: &str, buffer: Option<Buffer>, said: Option<&[u8]>) {
    let Some(said) = said else { return facts.tell(name, "<empty>") };
    if let Some(buffer) = buffer {
        facts.buffer(buffer, said);
    }
    facts.tell(name, text(said));
}

fn request(mut body: Bytes<'_>, facts: &mut Facts) -> Option<()> {
    let (_version, _kind, _data) = (field(&mut body, 1)?, field(&mut body, 2)?, field(&mut body, 3));
    let mut body = tagged(&mut field(&mut body, 4)?, SEQUENCE)?;
    let _options = field(&mut body, 0)?;
    let client = field(&mut body, 1).and_then(principal);
    named(facts, "cname", Some(Buffer::Krb5Cname), client.as_deref());
    let realm = tagged(&mut field(&mut body, 2)?, GENERAL_STRING)?.rest;
    named(facts, "realm", None, Some(realm));
    let server = field(&mut body, 3).and_then(principal);
    named(facts, "sname", Some(Buffer::Krb5Sname), server.as_deref());
    facts.tell("encryption", "<none>");
    facts.tell("weak_encryption", false);
    Some(())
}

fn reply(mut body: Bytes<'_>, facts: &mut Facts, events: &mut Events) -> Option<()> {
    let (_version, _kind) = (field(&mut body, 0)?, field(&mut body, 1)?);
    let _data = field(&mut body, 2);
    let realm = tagged(&mut field(&mut body, 3)?, GENERAL_STRING)?.rest;
    let client = principal(field(&mut body, 4)?)?;
    named(facts, "cname", Some(Buffer::Krb5Cname), Some(&client));
    named(facts, "realm", None, Some(realm));
    let ticket = field(&mut body, 5)?;
    let mut ticket = only(element(&mut Bytes::new(ticket.rest))?.1, SEQUENCE)?;
    let (_version, _realm) = (field(&mut ticket, 0)?, field(&mut ticket, 1)?);
    let server = principal(field(&mut ticket, 2)?)?;
    named(facts, "sname", Some(Buffer::Krb5Sname), Some(&server));
    let sealed = cipher(field(&mut ticket, 3)?)?;
    let cipher = cipher(field(&mut body, 6)?)?;
    facts.tell("encryption", cipher_name(cipher));
    facts.tell("weak_encryption", is_weak(cipher));
    facts.tell("ticket_encryption", cipher_name(sealed));
    facts.tell("ticket_weak_encryption", is_weak(sealed));
    facts.number("krb5.ticket_encryption", sealed);
    facts.number("krb5.ticket_encryption", if is_weak(sealed) { WEAK } else { STRONG });
    if is_weak(cipher) {
        events.note("weak_encryption");
    }
    Some(())
}

fn error(mut body: Bytes<'_>, facts: &mut Facts) -> Option<()> {
    // versions and times, of which the client's may be missing
    for number in 0..6 {
        field(&mut body, number);
    }
    let code = integer(&mut field(&mut body, 6)?)?;
    facts.number("krb5_err_code", u64::try_from(code).ok()?);
    let name = usize::try_from(code).ok().and_then(|code| ERRORS.get(code));
    facts.tell("error_code", name.map_or_else(|| code.to_string(), |name| (*name).to_owned()));
    let realm = field(&mut body, 7).and_then(|mut realm| Some(tagged(&mut realm, GENERAL_STRING)?.rest));
    named(facts, "realm", None, realm);
    let client = field(&mut body, 8).and_then(principal);
    named(facts, "cname", Some(Buffer::Krb5Cname), client.as_deref());
    let _realm = field(&mut body, 9);
    let server = field(&mut body, 10).and_then(principal);
    named(facts, "sname", Some(Buffer::Krb5Sname), server.as_deref());
    facts.tell("encryption", "<none>");
    facts.tell("weak_encryption", false);
    Some(())
}
