//! Keywords of application protocols that are no buffers: numbers and sets of flags, and what only a parser can say.

use super::{Draft, Form, Keyword, Takes, Value, events::one, keyword};
use crate::{
    buffer::Buffer,
    load::{
        keyword::content::{bytes, plain},
        mistake::{Done, Mistake},
        number::{number as parsed, number_test},
    },
    protocol::App,
    rule::{Check, Condition, From, IsDataAt, Protocol, Value as Place},
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
    chosen("websocket.flags"),
    chosen("tls.version"),
    chosen("ssl_version"),
    chosen("ssl_state"),
    written("tls.cert_notbefore"),
    written("tls.cert_notafter"),
    written("tls_cert_notbefore"),
    written("tls_cert_notafter"),
    flag("tls_cert_valid"),
    flag("tls_cert_expired"),
    flag("tls.cert_valid"),
    flag("tls.cert_expired"),
    content("tls.subject"),
    content("tls.issuerdn"),
    content("tls.fingerprint"),
    written("ssh.protoversion"),
    test("ssh.softwareversion"),
    flag("ftpbounce"),
    number("ftp.dynamic_port"),
    chosen("ftp.mode"),
    chosen("ftpdata_command"),
    chosen("ftp.reply_received"),
    number("mqtt.protocol_version"),
    number("mqtt.type"),
    number("mqtt.qos"),
    number("mqtt.reason_code"),
    number("mqtt.connack.session_present"),
    chosen("mqtt.flags"),
    chosen("mqtt.connect.flags"),
    number("ntp.version"),
    number("ntp.mode"),
    number("ntp.stratum"),
    number("rfb.secresult"),
    number("rfb.sectype"),
    number("snmp.version"),
    number("snmp.pdu_type"),
    number("snmp.trap_type"),
    number("krb5_msg_type"),
    number("krb5_err_code"),
    test("krb5.ticket_encryption"),
    number("ldap.request.operation"),
    number("ldap.responses.operation"),
    number("ldap.responses.count"),
    number("ldap.responses.result_code"),
    number("dhcp.leasetime"),
    number("dhcp.rebinding_time"),
    number("dhcp.renewal_time"),
    number("nfs_version"),
    test("nfs_procedure"),
    keyword("rpc", Takes::Value, Form::Plain, rpc),
    number("smb.version"),
    number("enip_command"),
    test("cip_service"),
    number("enip.status"),
    number("enip.capabilities"),
    number("enip.protocol_version"),
    number("enip.revision"),
    number("enip.identity_status"),
    number("enip.state"),
    number("enip.serial"),
    number("enip.product_code"),
    number("enip.device_type"),
    number("enip.vendor_id"),
    number("enip.cip_attribute"),
    number("enip.cip_class"),
    number("enip.cip_instance"),
    number("enip.cip_status"),
    number("enip.cip_extendedstatus"),
    number("enip.command"),
    test("modbus"),
    test("dnp3_func"),
    test("dnp3_ind"),
    test("dnp3_obj"),
    number("dcerpc.opnum"),
    number("dce_opnum"),
    test("dcerpc.iface"),
    test("dce_iface"),
    number("ike.exchtype"),
    number("ike.key_exchange_payload_length"),
    number("ike.nonce_payload_length"),
    test("ike.chosen_sa_attribute"),
    number("pgsql.message"),
];

/// The protocols that have a keyword: the first part of its name says it, for most.
fn apps(keyword: &str) -> &'static [App] {
    match keyword {
        "ssl_version" | "ssl_state" | "tls_cert_valid" | "tls_cert_expired" => one(App::Tls),
        "ftpbounce" => one(App::Ftp),
        "ftpdata_command" => one(App::FtpData),
        "cip_service" => one(App::Enip),
        "dns.opcode" | "dns.rcode" | "dns.rrtype" => Buffer::DnsQuery.apps(),
        "dcerpc.opnum" | "dce_opnum" | "dcerpc.iface" | "dce_iface" => Buffer::DceStubData.apps(),
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
        "dns.opcode" => &[("query", 0), ("iquery", 1), ("status", 2), ("notify", 4), ("update", 5), ("dso", 6)],
        "dns.rrtype" => &[
            ("a", 1),
            ("ns", 2),
            ("cname", 5),
            ("soa", 6),
            ("null", 10),
            ("ptr", 12),
            ("hinfo", 13),
            ("mx", 15),
            ("txt", 16),
            ("aaaa", 28),
            ("loc", 29),
            ("srv", 33),
            ("naptr", 35),
            ("cert", 37),
            ("dname", 39),
            ("opt", 41),
            ("ds", 43),
            ("sshfp", 44),
            ("rrsig", 46),
            ("nsec", 47),
            ("dnskey", 48),
            ("nsec3", 50),
            ("tlsa", 52),
            ("svcb", 64),
            ("https", 65),
            ("spf", 99),
            ("tsig", 250),
            ("axfr", 252),
            ("any", 255),
            ("uri", 256),
            ("caa", 257),
        ],
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
        _ => crate::words::words(keyword),
    }
}

/// The most that a number can be.
fn most(keyword: &str) -> u64 {
    match keyword {
        "dns.opcode"
        | "http2.frametype"
        | "http2.priority"
        | "websocket.opcode"
        | "mqtt.protocol_version"
        | "ntp.version"
        | "ntp.mode"
        | "ntp.stratum" => u8::MAX.into(),
        "mqtt.qos" => 2,
        "dns.rcode" | "dns.rrtype" | "ftp.dynamic_port" | "enip_command" => u16::MAX.into(),
        "http2.errorcode" | "http2.window" | "http2.size_update" | "websocket.mask" | "tls.cert_chain_len"
        | "rfb.secresult" | "rfb.sectype" | "snmp.version" | "snmp.pdu_type" => u32::MAX.into(),
        _ => u64::MAX,
    }
}

const fn number(name: &'static str) -> Keyword {
    keyword(name, Takes::Value, Form::Quotable, |draft, value| {
        let words = words(value.keyword);
        let word = |text: &str| {
            let text = text.to_ascii_lowercase();
            words.iter().find(|(name, _)| *name == text).map(|(_, number)| *number)
        };
        let test = match number_test(&value.text, most(value.keyword), &word) {
            Ok(test) => test,
            // what other words mean the parser knows, and which of several is meant
            Err(_) if value.keyword.starts_with("enip") && is_words(&value.text) => return ask(draft, value),
            Err(_) if value.text.rsplit_once(',').is_some_and(|(of, which)| is_which(which) && is_words(of)) => {
                return ask(draft, value);
            }
            Err(error) => return Err(Mistake::value(error)),
        };
        draft.speak(apps(value.keyword), value.keyword)?;
        draft.condition(Condition::Number { keyword: value.keyword, test })
    })
}

/// Whether it says which of several is meant.
fn is_which(text: &str) -> bool {
    matches!(text.trim(), "any" | "all" | "all1") || text.trim().parse::<i32>().is_ok()
}

/// Whether a value is made of words: names of numbers and flags, which of several, negations.
fn is_words(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_,!-| ".contains(c);
    text.contains(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain)
}

fn ask(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    draft.speak(apps(value.keyword), value.keyword)?;
    let argument = draft.context.shared.name(value.text.trim());
    draft.condition(Condition::Test { keyword: value.keyword, argument, negated: value.negated })
}

const fn test(name: &'static str) -> Keyword {
    keyword(name, Takes::Value, Form::Negatable, ask)
}

/// The words that such a keyword takes, and what may stand between several of them.
fn choices(keyword: &str) -> (&'static [&'static str], &'static [char]) {
    match keyword {
        "ssl_version" => (&["sslv2", "sslv3", "tls1.0", "tls1.1", "tls1.2", "tls1.3"], &[',']),
        "ssl_state" => (&["client_hello", "server_hello", "client_keyx", "server_keyx", "unknown"], &[',', '|']),
        "tls.version" => (&["1.0", "1.1", "1.2", "1.3"], &[]),
        "mqtt.flags" => (&["dup", "retain"], &[',']),
        "mqtt.connect.flags" => (&["username", "password", "will", "will_retain", "clean_session"], &[',']),
        "websocket.flags" => (&["fin", "comp"], &[',']),
        "ftp.mode" => (&["active", "passive"], &[]),
        "ftpdata_command" => (&["retr", "stor"], &[]),
        _ => (&["yes", "no", "true", "false", "on", "off", "1", "0"], &[]),
    }
}

/// A keyword that takes some words alone, one or several.
const fn chosen(name: &'static str) -> Keyword {
    keyword(name, Takes::Value, Form::Quotable, |draft, value| {
        let (words, several) = choices(value.keyword);
        let parts = value.text.split(|letter: char| several.contains(&letter));
        let negatable = !several.is_empty();
        for part in parts.map(str::trim) {
            let part = part.strip_prefix('!').filter(|_| negatable).map_or(part, str::trim_start);
            let number = match value.keyword {
                "tls.version" => part.starts_with("0x") && parsed(part).is_some(),
                "websocket.flags" => number_test(&value.text, u8::MAX.into(), &|_| None).is_ok(),
                _ => false,
            };
            if !number && !words.iter().any(|word| word.eq_ignore_ascii_case(part)) {
                let all: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                return Err(Mistake::word(part, format!("one of {}", all.join(", "))));
            }
        }
        ask(draft, value)
    })
}

/// A keyword whose value has letters of its own: a date and time, or a version.
const fn written(name: &'static str) -> Keyword {
    keyword(name, Takes::Value, Form::Quotable, |draft, value| {
        let text = value.text.trim();
        let (is, expected) = match value.keyword {
            "ssh.protoversion" => {
                let digits = text.starts_with(|letter: char| letter.is_ascii_digit());
                let letters = |letter: char| letter.is_ascii_digit() || "-.".contains(letter);
                (text == "2_compat" || digits && text.chars().all(letters), "a version, or `2_compat`")
            }
            _ => {
                let letters = |letter: char| letter.is_ascii_digit() || " -:T<>".contains(letter);
                let times = text.trim_start_matches(['<', '>']).split("<>").map(str::trim);
                let years = times.clone().all(|time| time.starts_with(|letter: char| letter.is_ascii_digit()));
                let operators = text.len() - text.replace(['<', '>'], "").len();
                let least = if times.count() == 2 { 2 } else { usize::from(text.starts_with(['<', '>'])) };
                (
                    years && operators == least && text.chars().all(letters),
                    "a time, perhaps behind `<` or `>`, or two with `<>` between",
                )
            }
        };
        if is { ask(draft, value) } else { Err(Mistake::word(text, expected)) }
    })
}

/// `rpc`: a call of a program, perhaps of a version and of a procedure of it (RFC 5531 section 9), in one datagram or segment.
fn rpc(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let expected = "a program, a version and a procedure, of which the last two may be `*`: `100000,*,3`";
    let wrong = || Mistake::word(&value.text, expected);
    let parts: Vec<&str> = value.parts().collect();
    let asked = |at: usize| match parts.get(at) {
        None | Some(&"*") if at > 0 => Ok(None),
        Some(part) => part.parse::<u32>().map(Some).map_err(|_| wrong()),
        None => Err(wrong()),
    };
    if parts.len() > 3 {
        return Err(wrong());
    }
    // TCP has a length in front of each message
    let base = match draft.header.protocol {
        Protocol::Udp => 0,
        Protocol::Tcp | Protocol::TcpPacket => 4,
        _ => {
            let message = "`rpc` is read in rules about `udp` or `tcp`";
            return Err(Mistake::unsupported(message));
        }
    };
    // a call, of the second version of the protocol
    let fields = [(4, Some(0)), (8, Some(2)), (12, asked(0)?), (16, asked(1)?), (20, asked(2)?)];
    for (at, number) in fields {
        let Some(number) = number else { continue };
        let mut content = plain(number.to_be_bytes().to_vec(), false);
        content.place.offset = Some(Place::Number(base + at));
        content.place.depth = Some(Place::Number(4));
        draft.check(Check::Content(content), value.span.clone())?;
    }
    draft.check(
        Check::IsDataAt(IsDataAt { place: Place::Number(base + 23), from: From::Start, negated: false }),
        value.span.clone(),
    )
}

const fn flag(name: &'static str) -> Keyword {
    keyword(name, Takes::Nothing, Form::Plain, ask)
}

/// A keyword that has its content as its value.
const fn content(name: &'static str) -> Keyword {
    keyword(name, Takes::Value, Form::Negatable, |draft, value| {
        let buffer = match value.keyword {
            "tls.subject" => Buffer::TlsSubject,
            "tls.issuerdn" => Buffer::TlsIssuer,
            _ => Buffer::TlsFingerprint,
        };
        let mut content = plain(bytes(value)?, value.negated);
        // of a fingerprint all is compared, of names a part
        content.place.at_start = buffer == Buffer::TlsFingerprint;
        content.place.at_end = buffer == Buffer::TlsFingerprint;
        content.nocase = buffer == Buffer::TlsFingerprint;
        draft.check_of(buffer, value.keyword, Check::Content(content), value.span.clone())
    })
}
