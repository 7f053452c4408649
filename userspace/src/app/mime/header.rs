//! Header fields of messages and parts (RFC 5322, section 2.2) and their parameters (RFC 2045, 2047, 2231).

use super::decode::{Base64, digit};

/// Longest name of a file that is kept, as Suricata has it.
const NAME_MAX: usize = 255;
/// Longest encoded word that is undone. RFC 2047 allows 75; some are longer.
const WORD_MAX: usize = 1024;
/// Most pieces that a parameter's value may be given in (RFC 2231, section 3).
const SECTIONS_MAX: usize = 64;

/// A header field, unfolded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    pub name: Vec<u8>,
    /// Without the white space in front of it.
    pub value: Vec<u8>,
}

impl Field {
    /// Reads the first line of one.
    pub fn read(line: &[u8]) -> Option<Self> {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii_start();
        Some(Self { name: name.trim_ascii_end().to_vec(), value: value.to_vec() })
    }

    /// Whether it is called so, in whatever case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Bytes of memory that it takes, about.
    pub const fn footprint(&self) -> usize {
        self.name.capacity() + self.value.capacity() + size_of::<Self>()
    }

    /// What stands in front of the parameters.
    pub fn main(&self) -> &[u8] {
        self.value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
    }

    /// The value of a parameter, whichever way it is written.
    pub fn parameter(&self, name: &str) -> Option<Vec<u8>> {
        let mut sections: Vec<(usize, Vec<u8>)> = Vec::new();
        for (key, value) in Parameters::of(&self.value) {
            let Some(suffix) = strip_name(key, name) else { continue };
            if suffix.is_empty() {
                return Some(value);
            }
            let Some((number, extended)) = section(suffix) else { continue };
            let value = if extended { percent_decoded(&value, number == 0) } else { value };
            if sections.len() < SECTIONS_MAX && sections.iter().all(|(other, _)| *other != number) {
                sections.push((number, value));
            }
        }
        sections.sort_by_key(|(number, _)| *number);
        let in_order = sections.into_iter().enumerate().take_while(|(index, (number, _))| index == number);
        let value: Vec<u8> = in_order.flat_map(|(_, (_, value))| value).collect();
        (!value.is_empty()).then_some(value)
    }

    /// A parameter that names a file; with `true`, it was longer than [`NAME_MAX`].
    pub fn file_name(&self, parameter: &str) -> Option<(Vec<u8>, bool)> {
        let mut name = words_decoded(&self.parameter(parameter)?);
        let long = name.len() > NAME_MAX;
        name.truncate(NAME_MAX);
        (!name.is_empty()).then_some((name, long))
    }
}

/// What stands behind a parameter's name: nothing, or which section of its value it is.
fn strip_name<'a>(key: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (head, suffix) = key.split_at_checked(name.len())?;
    let is_name = head.eq_ignore_ascii_case(name.as_bytes()) && suffix.first().is_none_or(|byte| *byte == b'*');
    is_name.then_some(suffix)
}

/// `*`, `*0`, `*0*`: which section, and whether it is percent-encoded.
fn section(suffix: &[u8]) -> Option<(usize, bool)> {
    let suffix = suffix.strip_prefix(b"*")?;
    if suffix.is_empty() {
        return Some((0, true));
    }
    let (number, extended) = suffix.strip_suffix(b"*").map_or((suffix, false), |number| (number, true));
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, extended))
}

/// `charset'language'text`, percent-encoded; sections behind the first have the text alone.
fn percent_decoded(value: &[u8], first: bool) -> Vec<u8> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let text = if first { parts.nth(2).unwrap_or(value) } else { value };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if let (b'%', [high, low, behind @ ..]) = (*byte, behind)
            && let Some((high, low)) = digit(*high).zip(digit(*low))
        {
            out.push(high << 4 | low);
            rest = behind;
        } else {
            out.push(*byte);
        }
    }
    out
}

/// Undoes encoded words (RFC 2047) in a name. What is none stays as it is.
pub fn words_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut behind_word = false;
    while !rest.is_empty() {
        let start = rest.windows(2).position(|pair| pair == b"=?").unwrap_or(rest.len());
        let (plain, word) = rest.split_at(start);
        let Some((decoded, length)) = encoded_word(word) else {
            let (marker, behind) = word.split_at(word.len().min(2));
            out.extend_from_slice(plain);
            out.extend_from_slice(marker);
            rest = behind;
            behind_word = false;
            continue;
        };
        // white space between two of them is none of the text
        if !(behind_word && plain.iter().all(u8::is_ascii_whitespace)) {
            out.extend_from_slice(plain);
        }
        out.extend_from_slice(&decoded);
        behind_word = true;
        rest = word.get(length..).unwrap_or_default();
    }
    out
}

/// `=?charset?B?text?=` at the beginning: what it stands for, and its length.
fn encoded_word(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let body = text.strip_prefix(b"=?")?;
    let window = body.get(..WORD_MAX).unwrap_or(body);
    let mut marks = window.iter().enumerate().filter(|(_, byte)| **byte == b'?').map(|(at, _)| at);
    let (charset, kind) = (marks.next()?, marks.next()?);
    let end = marks.find(|at| body.get(at + 1) == Some(&b'='))?;
    let letters = body.get(kind + 1..end)?;
    let mut out = Vec::new();
    match body.get(charset + 1..kind)? {
        b"B" | b"b" => {
            Base64::default().decode(letters, &mut out);
        }
        b"Q" | b"q" => {
            let spaced: Vec<u8> = letters.iter().map(|byte| if *byte == b'_' { b' ' } else { *byte }).collect();
            let percent: Vec<u8> = spaced.iter().map(|byte| if *byte == b'=' { b'%' } else { *byte }).collect();
            out = percent_decoded(&percent, false);
        }
        _ => return None,
    }
    Some((out, 2 + end + 2))
}

/// The parameters of a value, in order: name and value, without quotes.
struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Parameters<'a> {
    fn of(value: &'a [u8]) -> Self {
        let start = value.iter().position(|byte| *byte == b';').map_or(value.len(), |at| at + 1);
        Self { rest: value.get(start..).unwrap_or_default() }
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest.trim_ascii_start();
            let end = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
            let (name, behind) = rest.split_at(end);
            let behind = behind.split_first().map_or(behind, |(_, behind)| behind);
            if rest.get(end) == Some(&b';') {
                // something without a value
                self.rest = behind;
                continue;
            }
            let (value, rest) = match behind.trim_ascii_start().strip_prefix(b"\"") {
                Some(quoted) => unquoted(quoted),
                None => {
                    let end = behind.iter().position(|byte| *byte == b';').unwrap_or(behind.len());
                    let (value, rest) = behind.split_at(end);
                    (value.trim_ascii().to_vec(), rest)
                }
            };
            let end = rest.iter().position(|byte| *byte == b';').map_or(rest.len(), |at| at + 1);
            self.rest = rest.get(end..).unwrap_or_default();
            return Some((name.trim_ascii_end(), value));
        }
    }
}

/// Up to the closing quote, or all of it: what it says, and the rest.
fn unquoted(quoted: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut out = Vec::new();
    let mut rest = quoted;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        match (*byte, behind) {
            (b'"', _) => break,
            (b'\\', [escaped @ (b'"' | b'\\'), behind @ ..]) => {
                out.push(*escaped);
                rest = behind;
            }
            _ => out.push(*byte),
        }
    }
    (out, rest)
}

/// Addresses of a list, at commas outside of quotes, without white space around them.
pub fn addresses(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |byte| {
            let is_comma = *byte == b',' && !quoted;
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = quoted,
                b'"' => quoted = !quoted,
                _ => {}
            }
            is_comma
        })
        .map(<[u8]>::trim_ascii)
        .filter(|address| !address.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(value: &str, name: &str) -> Option<String> {
        let field = Field { name: Vec::new(), value: value.as_bytes().to_vec() };
        field.file_name(name).map(|(value, _)| String::from_utf8_lossy(&value).into_owned())
    }

    #[test]
    fn fields() {
        let field = Field::read(b"Content-Type :  text/plain; charset=utf-8").unwrap();
        assert!(field.is("content-type"));
        assert_eq!(field.main(), b"text/plain");
        assert_eq!(Field::read(b"no field"), None);
    }

    #[test]
    fn parameters_however_they_are_written() {
        for (value, expected) in [
            ("attachment; filename=a.txt", "a.txt"),
            ("attachment; size=3; x; FileName = \"a;\\\"b\\\".txt\"; y=1", "a;\"b\".txt"),
            ("attachment; filename*=utf-8'en'a%20b.txt", "a b.txt"),
            ("attachment; filename*1=\"c.exe\"; filename*0=\"b.\"", "b.c.exe"),
            ("attachment; filename*0*=''%41; filename*1=b; filename*3=d", "Ab"),
            ("attachment; filename=\"=?utf-8?B?bWFsd2FyZS5leGU=?=\"", "malware.exe"),
            ("attachment; filename=\"=?x?Q?a=2E_?= =?x?q?b?= c\"", "a. b c"),
            ("attachment; filename=\"=?broken", "=?broken"),
        ] {
            assert_eq!(parameter(value, "filename").as_deref(), Some(expected), "{value}");
        }
        for value in ["attachment", "attachment; filenames=x", "attachment; filename*1=b", "attachment; name"] {
            assert_eq!(parameter(value, "filename"), None, "{value}");
        }
    }

    #[test]
    fn long_names_are_cut() {
        let value = format!("attachment; filename={}", "x".repeat(300));
        let field = Field { name: Vec::new(), value: value.into_bytes() };
        assert_eq!(field.file_name("filename"), Some((vec![b'x'; NAME_MAX], true)));
    }

    #[test]
    fn lists_of_addresses() {
        let all: Vec<_> = addresses(b"\"a, \\\" b\" <a@b>, , c@d ,").collect();
        assert_eq!(all, [&b"\"a, \\\" b\" <a@b>"[..], b"c@d"]);
    }
}
