//! What stands in a rule: action, header and options, with their places. Nothing is said yet about what any of it means.
//!
//! As Suricata reads it: words of the header are separated by spaces, except within `[...]`; an option ends at a semicolon that no
//! backslash stands before, inside quotes as well.

use std::{borrow::Cow, ops::Range};

/// A part of a rule's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word<'a> {
    pub bytes: &'a [u8],
    /// Where it begins in the text.
    pub start: usize,
}

impl<'a> Word<'a> {
    /// It as text; bytes that are no UTF-8 become replacement characters.
    pub fn text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes)
    }

    /// Its place in the rule's text.
    pub fn span(&self) -> Range<usize> {
        self.start..self.start + self.bytes.len()
    }

    /// It without spaces around it.
    #[must_use]
    pub fn trimmed(self) -> Self {
        let begins = self.bytes.trim_ascii_start();
        Self { bytes: begins.trim_ascii_end(), start: self.start + (self.bytes.len() - begins.len()) }
    }

    /// A part of it.
    #[must_use]
    pub fn part(self, range: Range<usize>) -> Self {
        Self { bytes: &self.bytes[range.clone()], start: self.start + range.start }
    }
}

/// `keyword;` or `keyword: value;`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting<'a> {
    pub keyword: Word<'a>,
    /// Without spaces around it; with its quotes.
    pub value: Option<Word<'a>>,
}

/// A rule as it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement<'a> {
    pub action: Word<'a>,
    pub protocol: Word<'a>,
    pub source: Word<'a>,
    pub source_ports: Word<'a>,
    pub arrow: Word<'a>,
    pub destination: Word<'a>,
    pub destination_ports: Word<'a>,
    pub settings: Vec<Setting<'a>>,
    /// What is not as it should be between the brackets; the settings are those before and behind it.
    pub wrong: Vec<Wrong>,
}

/// Something that does not belong where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    pub at: Range<usize>,
    pub message: &'static str,
    pub expected: &'static str,
}

/// The words of the header, as they are called in diagnostics.
const HEADER: [&str; 7] = [
    "an action",
    "a protocol",
    "source addresses",
    "source ports",
    "a direction (`->`, `<>`, `=>`)",
    "destination addresses",
    "destination ports",
];

/// Takes a rule apart.
///
/// # Errors
/// [`Wrong`]: a word of the header is missing, or the options are not in brackets.
pub fn parse(text: &[u8]) -> Result<Statement<'_>, Wrong> {
    let mut at = 0;
    let mut words = [Word { bytes: b"", start: 0 }; 7];
    for (word, expected) in words.iter_mut().zip(HEADER) {
        *word = next_word(text, at);
        at = word.span().end;
        // options may follow the ports without a space
        if word.bytes.is_empty() || word.bytes[0] == b'(' {
            let at = word.start.min(text.len());
            return Err(Wrong {
                at: at..text.len().min(at + 1),
                message: "the header of the rule ends too early",
                expected,
            });
        }
    }
    let [action, protocol, source, source_ports, arrow, destination, destination_ports] = words;
    let options = Word { bytes: &text[at..], start: at }.trimmed();
    if options.bytes.first() != Some(&b'(') {
        let at = options.start..text.len().min(options.start + 1);
        return Err(Wrong { at, message: "the header is not followed by options", expected: "`(`" });
    }
    let mut wrong = Vec::new();
    let inner = match options.bytes.strip_suffix(b")") {
        Some(inner) => Word { bytes: &inner[1.min(inner.len())..], start: options.start + 1 },
        None => {
            let end = options.span().end;
            wrong.push(Wrong { at: end..end, message: "the options do not end with a bracket", expected: "`)`" });
            Word { bytes: &options.bytes[1..], start: options.start + 1 }
        }
    };
    let settings = settings(inner, &mut wrong);
    Ok(Statement { action, protocol, source, source_ports, arrow, destination, destination_ports, settings, wrong })
}

/// The next word of the header: up to a space outside of `[...]`, or to the bracket that begins the options.
fn next_word(text: &[u8], from: usize) -> Word<'_> {
    let start = from + text[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let mut depth = 0_usize;
    let mut end = start;
    for byte in &text[start..] {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'(' if end > start => break,
            byte if byte.is_ascii_whitespace() && depth == 0 => break,
            _ => {}
        }
        end += 1;
    }
    Word { bytes: &text[start..end], start }
}

fn settings<'a>(inner: Word<'a>, wrong: &mut Vec<Wrong>) -> Vec<Setting<'a>> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < inner.bytes.len() {
        let end = end_of_setting(inner.bytes, at);
        let word = inner.part(at..end.unwrap_or(inner.bytes.len())).trimmed();
        if end.is_none() && !word.bytes.is_empty() {
            let end = word.span().end;
            wrong.push(Wrong { at: end..end, message: "the last option does not end", expected: "`;`" });
        }
        at = end.map_or(inner.bytes.len(), |end| end + 1);
        if word.bytes.is_empty() {
            // a semicolon too many says nothing
            continue;
        }
        all.push(match memchr::memchr(b':', word.bytes) {
            Some(colon) => Setting {
                keyword: word.part(0..colon).trimmed(),
                value: Some(word.part(colon + 1..word.bytes.len()).trimmed()),
            },
            None => Setting { keyword: word, value: None },
        });
    }
    all
}

/// The semicolon behind a setting.
fn end_of_setting(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b';', &bytes[from..]).map(|at| from + at).find(|at| *at == from || bytes[at - 1] != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings_of(text: &str) -> Vec<(String, Option<String>)> {
        let statement = parse(text.as_bytes()).unwrap();
        assert_eq!(statement.wrong, []);
        let text = |word: &Word<'_>| word.text().into_owned();
        statement.settings.iter().map(|setting| (text(&setting.keyword), setting.value.as_ref().map(text))).collect()
    }

    #[test]
    fn a_header_has_seven_words() {
        let text = b"alert http [ $HOME_NET, !10.0.0.1 ] any <> any [80, 8080](sid:1;)";
        let statement = parse(text).unwrap();
        assert_eq!(statement.source.text(), "[ $HOME_NET, !10.0.0.1 ]");
        assert_eq!(statement.arrow.text(), "<>");
        assert_eq!(statement.destination_ports.text(), "[80, 8080]");
        assert_eq!(&text[statement.destination_ports.span()], b"[80, 8080]");
    }

    #[test]
    fn options_end_at_semicolons_that_are_not_escaped() {
        let all = settings_of(r#"alert tcp a b -> c d ( msg:"x\; y: \"z\""; nocase ; content: !"|3b|\\" ;; sid:1;)"#);
        let expected = [
            ("msg", Some(r#""x\; y: \"z\"""#)),
            ("nocase", None),
            ("content", Some(r#"!"|3b|\\""#)),
            ("sid", Some("1")),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn what_is_missing_is_said() {
        for (text, expected) in [
            ("alert", "a protocol"),
            ("alert tcp any any -> any (sid:1;)", "destination ports"),
            ("alert tcp any any -> any any", "`(`"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().expected, expected, "{text}");
        }
        for (text, expected) in [
            ("alert a b c -> d e (sid:1;", "`)`"),
            ("alert a b c -> d e (sid:1)", "`;`"),
            ("alert a b c -> d e (", "`)`"),
        ] {
            let statement = parse(text.as_bytes()).unwrap();
            assert!(statement.wrong.iter().any(|wrong| wrong.expected == expected), "{text}: {:?}", statement.wrong);
        }
    }
}
