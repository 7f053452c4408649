//! JA4 of a client, as its authors specify it: three parts, of which the first can be read and the others are hashes that
//! the order of cipher suites and extensions does not change.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::hello::{Hello, is_grease};
use crate::app::digits::hex;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// Letters of a hash that are used.
const SHORT: usize = 12;

/// The fingerprint of a client that speaks over TCP, or with `quic` over QUIC.
pub fn ja4(hello: &Hello, quic: bool) -> String {
    let known =
        |numbers: &[u16]| -> Vec<u16> { numbers.iter().copied().filter(|&number| !is_grease(number)).collect() };
    let mut suites = known(&hello.suites);
    let mut extensions = known(&hello.extensions);
    let mut text = String::with_capacity(36);
    let _ = write!(
        text,
        "{}{}{}{:02}{:02}{}_",
        if quic { 'q' } else { 't' },
        version(hello),
        if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' },
        suites.len().min(99),
        extensions.len().min(99),
        alpn(hello),
    );
    suites.sort_unstable();
    text.push_str(&short(&listed(&suites)));
    text.push('_');
    extensions.retain(|&kind| kind != SERVER_NAME && kind != ALPN);
    extensions.sort_unstable();
    let mut last = listed(&extensions);
    let algorithms = known(&hello.signature_algorithms);
    if !algorithms.is_empty() {
        last.push('_');
        last.push_str(&listed(&algorithms));
    }
    text.push_str(&if extensions.is_empty() { short("") } else { short(&last) });
    text
}

/// The highest that is offered.
fn version(hello: &Hello) -> &'static str {
    let offered = hello.versions.iter().copied().filter(|&version| !is_grease(version)).max();
    match offered.unwrap_or(hello.legacy_version) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// The first and the last letter of the first protocol; if either is none, the first and the last digit of its hexadecimal.
fn alpn(hello: &Hello) -> String {
    let Some(([first, ..], [.., last])) = hello.alpn.first().map(|name| (&name[..], &name[..])) else {
        return "00".to_owned();
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)].iter().collect();
    }
    format!("{:x}{:x}", first >> 4, last & 15)
}

fn listed(numbers: &[u16]) -> String {
    let mut text = String::with_capacity(5 * numbers.len());
    for (at, number) in numbers.iter().enumerate() {
        let _ = write!(text, "{}{number:04x}", if at > 0 { "," } else { "" });
    }
    text
}

/// The first letters of the SHA-256; of nothing, zeros.
fn short(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(SHORT);
    }
    let mut hash = hex(&Sha256::digest(text));
    hash.truncate(SHORT);
    hash
}
