//! Keywords of application protocols that are no buffers: numbers and sets of flags, and what only a parser can say.

use super::{Draft, Form, Keyword, Takes, Value, events::one, keyword};
use crate::{
    buffer::Buffer,
    load::{
        keyword::content::{bytes, plain},
        mistake::{Done, Mistake},
        number::number_test,
    },
    protocol::App,
    rule::{Check, Condition},
};

pub(super) const KEYWORDS: &[Keyword] = &[
    number("dns.opcode"),
    number("dns.rcode"),
    number("dns.rrtype"),
    number("tls.cert_chain_len"),
    number("http2.frametype"),
    number("http2.errorcode"),
    number("http2.priority"),
    number("http2.window"),
    number("http2.size_update"),
    test("http2.settings"),
    number("websocket.opcode"),
    number("websocket.mask"),
    test("websocket.flags"),
    test("tls.version"),
    test("ssl_version"),
    test("ssl_state"),
    test("tls.cert_notbefore"),
    test("tls.cert_notafter"),
    flag("tls_cert_valid"),
    flag("tls_cert_notvalid"),
    flag("tls_cert_expired"),
    content("tls.subject", Buffer::TlsSubject),
    content("tls.issuerdn", Buffer::TlsIssuer),
    content("tls.fingerprint", Buffer::TlsFingerprint),
    test("ssh.protoversion"),
    test("ssh.softwareversion"),
    flag("ftpbounce"),
    number("ftp.dynamic_port"),
    test("ftp.mode"),
    test("ftp.reply_received"),
    test("ftpdata_command"),
];

/// The protocols that have a keyword, by the part of its name before the dot.
fn apps(keyword: &str) -> &'static [App] {
    match keyword {
        "ssl_version" | "ssl_state" | "tls_cert_valid" | "tls_cert_notvalid" | "tls_cert_expired" => one(App::Tls),
        "ftpbounce" => one(App::Ftp),
        "ftpdata_command" => one(App::FtpData),
        "dns.opcode" | "dns.rcode" | "dns.rrtype" => Buffer::DnsQuery.apps(),
        _ => {
            let name = keyword.split(['.', '_']).next().unwrap_or_default();
            App::named(name).map_or(&[], one)
        }
    }
}

/// Words that stand for numbers.
fn words(keyword: &str) -> &'static [(&'static str, u64)] {
    match keyword {
        "http2.frametype" => &[
            ("data", 0),
            ("headers", 1),
            ("priority", 2),
            ("rst_stream", 3),
            ("settings", 4),
            ("push_promise", 5),
            ("ping", 6),
            ("goaway", 7),
            ("window_update", 8),
            ("continuation", 9),
        ],
        "http2.errorcode" => &[
            ("no_error", 0),
            ("protocol_error", 1),
            ("internal_error", 2),
            ("flow_control_error", 3),
            ("settings_timeout", 4),
            ("stream_closed", 5),
            ("frame_size_error", 6),
            ("refused_stream", 7),
            ("cancel", 8),
            ("compression_error", 9),
            ("connect_error", 10),
            ("enhance_your_calm", 11),
            ("inadequate_security", 12),
            ("http_1_1_required", 13),
        ],
        "websocket.opcode" => {
            &[("continuation", 0), ("text", 1), ("binary", 2), ("connection_close", 8), ("ping", 9), ("pong", 10)]
        }
        "dns.rcode" => &[
            ("noerror", 0),
            ("formerr", 1),
            ("servfail", 2),
            ("nxdomain", 3),
            ("notimp", 4),
            ("refused", 5),
            ("yxdomain", 6),
            ("yxrrset", 7),
            ("nxrrset", 8),
            ("notauth", 9),
            ("notzone", 10),
            ("badvers", 16),
            ("badsig", 16),
            ("badkey", 17),
            ("badtime", 18),
            ("badmode", 19),
            ("badname", 20),
            ("badalg", 21),
            ("badtrunc", 22),
        ],
        _ => &[],
    }
}

const fn number(name: &'static str) -> Keyword {
    keyword(name, Takes::Value, Form::Quotable, |draft, value| {
        let words = words(value.keyword);
        let word = |text: &str| {
            let text = text.to_ascii_lowercase();
            words.iter().find(|(name, _)| *name == text).map(|(_, number)| *number)
        };
        let test = number_test(&value.text, u64::MAX, &word).map_err(Mistake::value)?;
        draft.speak(apps(value.keyword), value.keyword)?;
        draft.condition(Condition::Number { keyword: value.keyword, test })
    })
}

fn ask(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    draft.speak(apps(value.keyword), value.keyword)?;
    let argument = draft.context.shared.name(value.text.trim());
    draft.condition(Condition::Test { keyword: value.keyword, argument, negated: value.negated })
}

const fn test(name: &'static str) -> Keyword {
    keyword(name, Takes::Value, Form::Negatable, ask)
}

const fn flag(name: &'static str) -> Keyword {
    keyword(name, Takes::Nothing, Form::Plain, ask)
}

/// A keyword that has its content as its value.
const fn content(name: &'static str, _: Buffer) -> Keyword {
    keyword(name, Takes::Value, Form::Negatable, |draft, value| {
        let buffer = match value.keyword {
            "tls.subject" => Buffer::TlsSubject,
            "tls.issuerdn" => Buffer::TlsIssuer,
            _ => Buffer::TlsFingerprint,
        };
        let content = plain(bytes(value)?, value.negated);
        draft.check_of(buffer, value.keyword, Check::Content(content), value.span.clone())
    })
}
