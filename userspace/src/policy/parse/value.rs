//! Values of the tree, each checked on its own.

use std::{net::IpAddr, ops::Range, time::Duration};

use toml::{Spanned, de::DeValue};

use super::{Parser, section::Section};
use crate::policy::{
    codes,
    describe::duration as words,
    diagnostic::{nearest, quoted},
    model::PortRange,
    prefix::Prefix,
};

/// A value and where it stands.
pub type Value<'t> = &'t Spanned<DeValue<'t>>;

/// Longest duration a policy may name.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Most bytes that a policy may name.
const LARGEST: u64 = 1 << 30;

impl Parser {
    /// A string.
    pub fn string<'t>(&mut self, value: Value<'t>, expected: &str) -> Option<(&'t str, Range<usize>)> {
        match value.get_ref() {
            DeValue::String(text) => Some((text, value.span())),
            _ => self.wrong_type(value, expected),
        }
    }

    /// A whole number.
    pub fn integer(&mut self, value: Value<'_>, range: std::ops::RangeInclusive<u64>, what: &str) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_type(value, &expected);
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let found = number.filter(|number| range.contains(number));
        if found.is_none() {
            let message = format!("{what} {} is out of range", quoted(integer.as_str()));
            self.add_expected(&codes::RANGE, value.span(), message, expected);
        }
        found
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: Value<'_>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            _ => self.wrong_type(value, "`true` or `false`"),
        }
    }

    /// The elements of an array.
    pub fn array<'t>(&mut self, value: Value<'t>, expected: &str) -> &'t [Spanned<DeValue<'t>>] {
        match value.get_ref() {
            DeValue::Array(array) => array,
            _ => {
                let _: Option<()> = self.wrong_type(value, expected);
                &[]
            }
        }
    }

    /// The elements of an array; anything else is an array of itself.
    pub fn one_or_many<'t>(&mut self, value: Value<'t>) -> &'t [Spanned<DeValue<'t>>] {
        match value.get_ref() {
            DeValue::Array(array) => array,
            _ => std::slice::from_ref(value),
        }
    }

    /// One of some words.
    pub fn choice<T: Copy>(&mut self, value: Value<'_>, what: &str, words: &[(&str, T)]) -> Option<T> {
        let names = words.iter().map(|(name, _)| *name);
        let expected = one_of(names.clone());
        let (text, at) = self.string(value, &expected)?;
        let found = words.iter().find(|(name, _)| *name == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            self.unknown_word(at, what, text, names, &expected);
        }
        found
    }

    /// One of some words for each of some keys; where a key is missing or says nothing sound, its place stays as it is.
    pub fn choices<T: Copy>(
        &mut self,
        section: &mut Section<'_>,
        what: &str,
        words: &[(&str, T)],
        places: &mut [(&'static str, &mut T)],
    ) {
        for (key, place) in places {
            if let Some(chosen) = section.get(key).and_then(|value| self.choice(value, what, words)) {
                **place = chosen;
            }
        }
    }

    /// One of some words, or a number.
    pub fn word_or_number(&mut self, value: Value<'_>, what: &str, words: &[(&str, u8)]) -> Option<u8> {
        match value.get_ref() {
            DeValue::Integer(_) => self.integer(value, 0..=255, what).map(|number| number as u8),
            DeValue::String(_) => self.choice(value, what, words),
            _ => self.wrong_type(value, "a name or a number from 0 to 255"),
        }
    }

    /// A word that is not among the known ones.
    pub fn unknown_word<'a>(
        &mut self,
        at: Range<usize>,
        what: &str,
        word: &str,
        known: impl Iterator<Item = &'a str>,
        expected: &str,
    ) {
        let message = format!("unknown {what} {}", quoted(word));
        let help = nearest(word, known).map(|near| format!("did you mean `{near}`?"));
        self.add_full(&codes::CHOICE, at, message, Some(expected.to_owned()), help);
    }

    /// A duration such as `"30s"`, from `least` to 30 days.
    pub fn duration(&mut self, value: Value<'_>, least: Duration) -> Option<Duration> {
        let expected = "a whole number with a unit: `\"500ms\"`, `\"30s\"`, `\"5m\"` or `\"2h\"`";
        let (text, at) = self.string(value, expected)?;
        let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
        let Some(milliseconds) = quantity(text, &units) else {
            self.add_expected(&codes::DURATION, at, format!("{} is not a duration", quoted(text)), expected);
            return None;
        };
        let found = Some(Duration::from_millis(milliseconds)).filter(|d| (least..=LONGEST).contains(d));
        if found.is_none() {
            let message = format!("duration {} is out of range", quoted(text));
            self.add_expected(&codes::DURATION, at, message, format!("from {} to {}", words(least), words(LONGEST)));
        }
        found
    }

    /// A number of bytes such as `"64KiB"`, from one to a GiB.
    pub fn size(&mut self, value: Value<'_>) -> Option<u64> {
        let expected = "bytes with a unit such as `\"64KiB\"` or `\"1MiB\"`, at most a GiB";
        let (text, at) = self.string(value, expected)?;
        let units = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        let found = quantity(text, &units).filter(|bytes| (1..=LARGEST).contains(bytes));
        if found.is_none() {
            self.add_expected(&codes::RANGE, at, format!("{} is no number of bytes", quoted(text)), expected);
        }
        found
    }

    /// Ports and ranges of them, as an array or alone.
    pub fn ports(&mut self, value: Value<'_>) -> Vec<PortRange> {
        self.one_or_many(value).iter().filter_map(|port| self.port_range(port)).collect()
    }

    fn port_range(&mut self, value: Value<'_>) -> Option<PortRange> {
        let expected = "a port from 1 to 65535, or a range such as `\"8000-8010\"`";
        let (range, text) = match value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => {
                let port = integer.as_str().parse().ok();
                (port.map(|port| PortRange { first: port, last: port }), integer.as_str())
            }
            DeValue::String(text) => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                (number(first).zip(number(last)).map(|(first, last)| PortRange { first, last }), &**text)
            }
            _ => return self.wrong_type(value, expected),
        };
        let found = range.filter(|range| range.first >= 1 && range.first <= range.last);
        if found.is_none() {
            let message = match range {
                Some(range) if range.first > range.last => {
                    format!("the port range {} ends before it begins", quoted(text))
                }
                _ => format!("{} is not a port", quoted(text)),
            };
            let service = nearest_service(text);
            let help = service.map(|port| format!("service names are not accepted: write `{port}`"));
            self.add_full(&codes::PORT, value.span(), message, Some(expected.to_owned()), help);
        }
        found
    }

    /// An address.
    pub fn address(&mut self, value: Value<'_>) -> Option<IpAddr> {
        let expected = "an IPv4 or IPv6 address";
        let (text, at) = self.string(value, expected)?;
        let found = text.parse().ok();
        if found.is_none() {
            self.add_expected(&codes::ADDRESS, at, format!("{} is not an address", quoted(text)), expected);
        }
        found
    }

    /// A prefix from text that stands at `at`.
    pub fn prefix(&mut self, text: &str, at: Range<usize>) -> Option<Prefix> {
        Prefix::parse(text)
            .map_err(|error| {
                let message = format!("{} is not a prefix", quoted(text));
                self.add_expected(&codes::ADDRESS, at, message, error.expected());
            })
            .ok()
    }

    /// Says what a value should have been.
    pub fn wrong_type<T>(&mut self, value: Value<'_>, expected: &str) -> Option<T> {
        let message = format!("wrong type: {}", value.get_ref().type_str());
        self.add_expected(&codes::WRONG_TYPE, value.span(), message, expected);
        None
    }
}

/// A number in plain decimal digits, without a sign.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A whole number with one of some units, in the smallest of them; what is too great for that is the greatest there is.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    (digits > 0).then(|| number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(*factor))
}

/// `"a", "b" or "c"`, in backticks.
pub fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// The port behind a service name that people write out of habit.
fn nearest_service(name: &str) -> Option<u16> {
    Some(match name {
        "ftp" => 21,
        "ssh" => 22,
        "smtp" => 25,
        "dns" | "domain" => 53,
        "http" => 80,
        "ntp" => 123,
        "imap" => 143,
        "https" => 443,
        "imaps" => 993,
        _ => return None,
    })
}
