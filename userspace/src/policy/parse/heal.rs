//! Brackets that are not closed. TOML's arrays may span lines, so a parser reads all that follows one as its elements and
//! finds fault with each. Here the lines tell: one that starts a table or assigns a key is in no array.

use std::ops::Range;

/// Text put into a file so that the rest of it can be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Healed {
    pub text: String,
    /// Where text was put in, in the file, and how many bytes.
    pub inserted: Vec<(usize, usize)>,
    /// The mistakes: where the bracket opens, in the file, and what is not closed.
    pub unclosed: Vec<(Range<usize>, &'static str)>,
}

/// Closes the brackets that are not; `None` when there are none.
pub(super) fn heal(text: &str) -> Option<Healed> {
    let mut scan = Scan { text, healed: Healed::default(), copied: 0, open: Vec::new(), torn: false };
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        scan.line(start, line);
        start += line.len();
    }
    scan.close(text.len(), "\n");
    if scan.healed.inserted.is_empty() {
        return None;
    }
    scan.healed.text.push_str(&text[scan.copied..]);
    Some(scan.healed)
}

struct Scan<'t> {
    text: &'t str,
    healed: Healed,
    /// Bytes of the text that are in the healed one.
    copied: usize,
    /// Open brackets and braces of the value at hand: where, and which.
    open: Vec<(usize, u8)>,
    /// A string of this value does not end: what would close its brackets is likely in the string.
    torn: bool,
}

impl Scan<'_> {
    fn line(&mut self, start: usize, line: &str) {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        let header = is_header(content);
        if self.open.iter().all(|(_, bracket)| *bracket == b'[') && (header || is_assignment(content)) {
            self.close(start, "");
            self.open.clear();
        }
        if self.open.is_empty() && content.starts_with('[') {
            return self.header(start + indent, content);
        }
        self.torn &= !self.open.is_empty();
        let mut bytes = line.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'#' => break,
                b'"' | b'\'' => {
                    let mut closed = false;
                    while let Some((_, inside)) = bytes.next() {
                        match inside {
                            b'\\' if byte == b'"' => drop(bytes.next()),
                            b'\n' => break,
                            _ if inside == byte => {
                                closed = true;
                                break;
                            }
                            _ => {}
                        }
                    }
                    self.torn |= !closed;
                }
                b'[' | b'{' => self.open.push((start + at, byte)),
                b']' | b'}' => drop(self.open.pop()),
                _ => {}
            }
        }
    }

    /// A table's head stands on one line.
    fn header(&mut self, start: usize, content: &str) {
        let wanted = if content.starts_with("[[") { 2 } else { 1 };
        let code = content.split('#').next().unwrap_or_default().trim_end();
        let closed = code.bytes().filter(|byte| *byte == b']').count();
        if closed < wanted && is_header(content) {
            self.insert(start + code.len(), &"]"[..1].repeat(wanted - closed));
            self.healed.unclosed.push((start..start + wanted, "unclosed table head, expected `]`"));
        }
    }

    /// Ends what is open before byte `at`.
    fn close(&mut self, at: usize, before: &str) {
        let arrays = self.open.iter().filter(|(_, bracket)| *bracket == b'[').count();
        let Some((first, _)) = self.open.first().copied().filter(|_| arrays == self.open.len()) else { return };
        self.insert(at, &format!("{before}{}\n", "]".repeat(arrays)));
        if !self.torn {
            self.healed.unclosed.push((first..first + 1, "unclosed array, expected `]`"));
        }
    }

    fn insert(&mut self, at: usize, what: &str) {
        self.healed.text.push_str(&self.text[self.copied..at]);
        self.healed.text.push_str(what);
        self.healed.inserted.push((at, what.len()));
        self.copied = at;
    }
}

const fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// `[name.name` or `[[name`: an element of an array has quotes or is a number.
fn is_header(content: &str) -> bool {
    let name = content.trim_start_matches('[');
    let opened = content.len() - name.len();
    let word = name.bytes().take_while(|byte| is_key(*byte)).count();
    let value = matches!(&name[..word], "true" | "false" | "inf" | "nan");
    let rest = name[word..].trim_start_matches([']', '"', ' ', '\t', '\r', '\n']);
    (1..=2).contains(&opened)
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && !value
        && (rest.is_empty() || rest.starts_with('#'))
}

/// `key = ...`.
fn is_assignment(content: &str) -> bool {
    let word = content.bytes().take_while(|byte| is_key(*byte)).count();
    word > 0 && content[word..].trim_start_matches([' ', '\t']).starts_with('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healed(text: &str) -> (String, Vec<usize>) {
        let healed = heal(text).unwrap_or_default();
        (healed.text, healed.unclosed.iter().map(|(at, _)| at.start).collect())
    }

    #[test]
    fn what_is_closed_stays() {
        for text in [
            "a = [1, 2]\n[b]\nc = 1\n",
            "a = [\n  \"x\", # [\n  'y]',\n]\n[b.\"c d\"]\n",
            "vlan = [\n [100, 30],\n [1]\n]\n",
            "a = \"[\"\nb = { c = [1] }\n",
            "",
        ] {
            assert_eq!(heal(text), None, "{text}");
        }
    }

    #[test]
    fn each_is_closed_before_what_is_no_element() {
        assert_eq!(
            healed("a = [1, 2\n[b]\nc = [\"x\"\nd = 1\n"),
            ("a = [1, 2\n]\n[b]\nc = [\"x\"\n]\nd = 1\n".into(), vec![4, 18])
        );
        assert_eq!(healed("a = [[1\n"), ("a = [[1\n\n]]\n".into(), vec![4]));
        assert_eq!(healed("[a # x\nb = 1\n[[c.d]\n"), ("[a] # x\nb = 1\n[[c.d]]\n".into(), vec![0, 13]));
    }

    /// A string that does not end is one mistake, and takes the bracket with it.
    #[test]
    fn a_torn_string_is_not_told_twice() {
        assert_eq!(healed("a = [\"x]\nb = 1\n"), ("a = [\"x]\n]\nb = 1\n".into(), vec![]));
    }
}
