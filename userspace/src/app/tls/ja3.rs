//! JA3 and JA3S: which hello a program makes, as numbers in decimal, and the MD5 of that text.

use std::fmt::Write;

use md5::{Digest, Md5};
use serde::Serialize;

use super::hello::{Hello, is_grease};
use crate::app::digits::hex;

/// A fingerprint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Ja3 {
    /// MD5 of the text, in lower-case hexadecimal.
    pub hash: String,
    #[serde(rename = "string")]
    pub text: String,
}

impl Ja3 {
    /// JA3: version, cipher suites, extensions, groups, point formats; values that are made up are left out.
    pub fn of_client(hello: &Hello) -> Self {
        let mut text = hello.legacy_version.to_string();
        let formats: Vec<u16> = hello.point_formats.iter().map(|&format| format.into()).collect();
        for numbers in [&hello.suites, &hello.extensions, &hello.groups, &formats] {
            join(&mut text, numbers);
        }
        Self::of(text)
    }

    /// JA3S: version, cipher suite, extensions.
    pub fn of_server(hello: &Hello) -> Self {
        let mut text = hello.legacy_version.to_string();
        join(&mut text, &hello.suites);
        join(&mut text, &hello.extensions);
        Self::of(text)
    }

    fn of(text: String) -> Self {
        let hash = hex(&Md5::digest(&text));
        Self { text, hash }
    }
}

fn join(text: &mut String, numbers: &[u16]) {
    text.push(',');
    let known = numbers.iter().filter(|&&number| !is_grease(number));
    for (at, number) in known.enumerate() {
        let _ = write!(text, "{}{number}", if at > 0 { "-" } else { "" });
    }
}
