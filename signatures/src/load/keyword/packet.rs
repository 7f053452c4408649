//! Keywords of packets: what stands in their headers.

use super::{Draft, Form, Keyword, Takes, Value, keyword};
use crate::{
    codes,
    load::{
        draft::Slot,
        mistake::{Done, Mistake},
        number::{number, number_test},
    },
    rule::{Condition, Flags, FlagsTest, Layers, Number, NumberTest, PacketTest, Selected, Target},
};

pub(super) const KEYWORDS: &[Keyword] = &[
    numeric("ttl"),
    numeric("tos"),
    numeric("id"),
    numeric("dsize"),
    numeric("itype"),
    numeric("icode"),
    numeric("icmp_id"),
    numeric("icmp_seq"),
    numeric("icmpv6.mtu"),
    numeric("igmp.type"),
    numeric("seq"),
    numeric("tcp.seq"),
    numeric("ack"),
    numeric("tcp.ack"),
    numeric("window"),
    numeric("tcp.window"),
    numeric("tcp.mss"),
    numeric("tcp.wscale"),
    numeric("fragoffset"),
    keyword("vlan.id", Takes::Value, Form::Plain, vlan_id),
    numeric("vlan.layers"),
    keyword("ip_proto", Takes::Value, Form::Plain, ip_proto),
    keyword("flags", Takes::Value, Form::Plain, flags),
    keyword("tcp.flags", Takes::Value, Form::Plain, flags),
    keyword("fragbits", Takes::Value, Form::Plain, fragbits),
    keyword("ipopts", Takes::Value, Form::Plain, ipopts),
    keyword("sameip", Takes::Nothing, Form::Plain, |draft, _| draft.packet("sameip", PacketTest::SameAddress)),
    header("ipv4.hdr"),
    header("ipv6.hdr"),
    header("tcp.hdr"),
    header("udp.hdr"),
    header("icmpv4.hdr"),
    header("icmpv6.hdr"),
    header("igmp.hdr"),
    keyword("ip.src", Takes::Nothing, Form::Plain, |draft, value| {
        draft.select(Selected::Address(Target::Source), value.keyword, value.span.clone())
    }),
    keyword("ip.dst", Takes::Nothing, Form::Plain, |draft, value| {
        draft.select(Selected::Address(Target::Destination), value.keyword, value.span.clone())
    }),
    checksum("ipv4-csum"),
    checksum("tcpv4-csum"),
    checksum("tcpv6-csum"),
    checksum("udpv4-csum"),
    checksum("udpv6-csum"),
    checksum("icmpv4-csum"),
    checksum("icmpv6-csum"),
    checksum("igmp-csum"),
];

/// Numbers of headers, and the most that each can be.
fn number_of(keyword: &str) -> (Number, u64) {
    match keyword {
        "ttl" => (Number::Ttl, 255),
        "tos" => (Number::Tos, 255),
        "id" => (Number::IpId, 65535),
        "dsize" => (Number::PayloadSize, 65535),
        "itype" => (Number::IcmpType, 255),
        "icode" => (Number::IcmpCode, 255),
        "icmp_id" => (Number::IcmpId, 65535),
        "icmp_seq" => (Number::IcmpSequence, 65535),
        "icmpv6.mtu" => (Number::Icmpv6Mtu, u32::MAX as u64),
        "igmp.type" => (Number::IgmpType, 255),
        "seq" | "tcp.seq" => (Number::Sequence, u32::MAX as u64),
        "ack" | "tcp.ack" => (Number::Acknowledgement, u32::MAX as u64),
        "window" | "tcp.window" => (Number::Window, 65535),
        "tcp.mss" => (Number::Mss, 65535),
        "tcp.wscale" => (Number::WindowScale, 255),
        "vlan.layers" => (Number::VlanLayers, 3),
        _ => (Number::FragmentOffset, 65535),
    }
}

const fn numeric(name: &'static str) -> Keyword {
    keyword(name, Takes::Value, Form::Quotable, |draft, value| {
        let (number, max) = number_of(value.keyword);
        let given = |slot: &Slot| {
            let Slot::Condition(Condition::Packet(PacketTest::Number(Number::PayloadSize, _)), _) = slot else {
                return false;
            };
            number == Number::PayloadSize
        };
        if draft.slots.iter().any(given) {
            return Err(Mistake::new(&codes::CONFLICT, format!("`{}` is given twice", value.keyword)));
        }
        // `tos` is written in hexadecimal behind an `x` alone, too
        let text = value.text.replace(['x', 'X'], "0x");
        let hexadecimal = value.keyword == "tos" && !value.text.contains("0x");
        let text = if hexadecimal { &*text } else { &*value.text };
        let test = number_test(text, max, &|_| None).map_err(Mistake::value)?;
        // as in Suricata, what has another size than that has a payload
        let some = value.keyword == "dsize"
            && matches!(test, NumberTest::NotEqual(than) | NumberTest::NotBetween(than, _) if than > 0);
        draft.packet(value.keyword, PacketTest::Number(number, test))?;
        if some {
            draft.packet(value.keyword, PacketTest::Number(number, NumberTest::Greater(0)))?;
        }
        Ok(())
    })
}

const fn header(name: &'static str) -> Keyword {
    keyword(name, Takes::Nothing, Form::Plain, |draft, value| {
        draft.select(Selected::PacketHeader(value.keyword), value.keyword, value.span.clone())
    })
}

const fn checksum(name: &'static str) -> Keyword {
    keyword(name, Takes::Value, Form::Quotable, |draft, value| {
        let valid = match value.text.to_ascii_lowercase().as_str() {
            "valid" => true,
            "invalid" => false,
            other => return Err(Mistake::word(other, "`valid` or `invalid`")),
        };
        draft.packet(value.keyword, PacketTest::Checksum { protocol: value.keyword, valid })
    })
}

/// Protocols of IP by the names that rules use for them.
const IP_PROTOCOLS: &[(&str, u64)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("ipencap", 4),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmp6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

fn ip_proto(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let name = |word: &str| {
        let word = word.to_ascii_lowercase();
        IP_PROTOCOLS.iter().find(|(name, _)| *name == word).map(|(_, number)| *number)
    };
    let test = number_test(&value.text, 255, &name).map_err(Mistake::value)?;
    if !matches!(test, NumberTest::Equal(_) | NumberTest::NotEqual(_) | NumberTest::Less(_) | NumberTest::Greater(_)) {
        return Err(Mistake::word(&value.text, "a protocol, perhaps behind `!`, `<` or `>`"));
    }
    let equal = |test: &NumberTest| matches!(test, NumberTest::Equal(_));
    let another = draft.slots.iter().any(|slot| match slot {
        Slot::Condition(Condition::Packet(PacketTest::Number(Number::IpProtocol, other)), _) => {
            equal(&test) || equal(other)
        }
        _ => false,
    });
    if another {
        return Err(Mistake::new(&codes::CONFLICT, "one protocol, and another `ip_proto` beside it"));
    }
    draft.condition(Condition::Packet(PacketTest::Number(Number::IpProtocol, test)))
}

/// Most tags that a frame has here.
const MOST_TAGS: i8 = 3;

fn vlan_id(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let (test, layers) = value.text.split_once(',').unwrap_or((&value.text, "any"));
    let test = number_test(test, 4095, &|_| None).map_err(Mistake::value)?;
    let layers = match layers.trim() {
        "any" => Layers::Any,
        "all" => Layers::All,
        at => Layers::At(
            at.parse()
                .ok()
                .filter(|at| (-MOST_TAGS..MOST_TAGS).contains(at))
                .ok_or_else(|| Mistake::word(at, "`any`, `all`, or a layer from -3 to 2"))?,
        ),
    };
    draft.packet(value.keyword, PacketTest::VlanId(layers, test))
}

/// Bits by letters, with the modifier that stands before or behind them.
fn letters(text: &str, bit: fn(char) -> Option<u8>, expected: &str) -> Result<(FlagsTest, u8), Mistake> {
    let mut test = None;
    let mut bits = 0;
    for letter in text.chars().filter(|letter| !letter.is_whitespace()) {
        let modifier = match letter {
            '+' => FlagsTest::All,
            '*' => FlagsTest::Any,
            '!' => FlagsTest::None,
            letter => {
                bits |= bit(letter.to_ascii_uppercase()).ok_or_else(|| Mistake::word(text, expected))?;
                continue;
            }
        };
        if test.replace(modifier).is_some() {
            return Err(Mistake::new(&codes::CONFLICT, "one of `+`, `*` and `!` at most"));
        }
    }
    Ok((test.unwrap_or(FlagsTest::Exactly), bits))
}

fn flags(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let bit = |letter| {
        Some(match letter {
            'F' => 0x01,
            'S' => 0x02,
            'R' => 0x04,
            'P' => 0x08,
            'A' => 0x10,
            'U' => 0x20,
            'E' | '2' => 0x40,
            'C' | '1' => 0x80,
            '0' => 0,
            _ => return None,
        })
    };
    let expected = "letters of `FSRPAUEC`, or 0";
    let (set, ignored) = value.text.split_once(',').unwrap_or((&value.text, ""));
    let (test, bits) = letters(set, bit, expected)?;
    let (_, ignored) = letters(ignored, bit, expected)?;
    draft.packet(value.keyword, PacketTest::TcpFlags(Flags { test, bits, ignored }))
}

fn fragbits(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let bit = |letter| match letter {
        'M' => Some(1),
        'D' => Some(2),
        'R' => Some(4),
        _ => None,
    };
    let (test, bits) = letters(&value.text, bit, "letters of `MDR`")?;
    draft.packet("fragbits", PacketTest::FragmentBits(Flags { test, bits, ignored: 0 }))
}

const IP_OPTIONS: &[&str] =
    &["rr", "lsrr", "eol", "nop", "ts", "sec", "ssrr", "satid", "any", "esec", "cipso", "rtralt"];

fn ipopts(draft: &mut Draft<'_>, value: &Value<'_>) -> Done {
    let word = value.text.to_ascii_lowercase();
    let known = IP_OPTIONS.iter().find(|option| **option == word);
    let option = known.ok_or_else(|| {
        let all: Vec<String> = IP_OPTIONS.iter().map(|option| format!("`{option}`")).collect();
        Mistake::word(&value.text, format!("one of {}", all.join(", ")))
    })?;
    draft.packet("ipopts", PacketTest::IpOption(option))
}

/// A protocol of IP in a header of a rule, by its number.
pub(crate) fn protocol_number(text: &str) -> Option<u8> {
    number(text).and_then(|number| number.try_into().ok())
}
