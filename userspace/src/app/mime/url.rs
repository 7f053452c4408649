//! Addresses of the web in the text of a message.

/// Longest line of decoded text that is searched as one, as Suricata has it.
const LINE_MAX: usize = 8192;
/// Most that are remembered of a message.
const URLS_MAX: usize = 256;

/// What an address begins with. Suricata's default; the rest of it is remembered.
const SCHEME: &[u8] = b"http://";

/// Finds addresses, line by line of what a part decodes to.
#[derive(Debug, Default)]
pub struct Urls {
    found: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl Urls {
    /// Those found so far, without their scheme, in order.
    pub fn found(&self) -> &[Vec<u8>] {
        &self.found
    }

    /// More of the text.
    pub fn text(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            let room = LINE_MAX.saturating_sub(self.held.len());
            let window = text.get(..room).unwrap_or(text);
            let end = window.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let (line, rest) = text.split_at(end.unwrap_or(window.len()));
            text = rest;
            if end.is_some() && self.held.is_empty() {
                find(line, &mut self.found);
                continue;
            }
            self.held.extend_from_slice(line);
            if end.is_some() || self.held.len() == LINE_MAX {
                self.end();
            }
        }
    }

    /// The part is over.
    pub fn end(&mut self) {
        find(&self.held, &mut self.found);
        self.held.clear();
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        self.held.capacity() + self.found.iter().map(Vec::capacity).sum::<usize>()
    }
}

fn find(line: &[u8], found: &mut Vec<Vec<u8>>) {
    let mut rest = line;
    while found.len() < URLS_MAX
        && let Some(at) = rest.windows(SCHEME.len()).position(|window| window.eq_ignore_ascii_case(SCHEME))
    {
        let url = rest.get(at + SCHEME.len()..).unwrap_or_default();
        let end = url.iter().position(|byte| is_end(*byte)).unwrap_or(url.len());
        let (url, behind) = url.split_at(end);
        found.push(url.to_vec());
        rest = behind;
    }
}

const fn is_end(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'<' | b'>' | b']' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_end_where_text_goes_on() {
        let mut urls = Urls::default();
        urls.text(b"see <HTTP://one.test/a?b> or \"http://two.test\"\nhttp://thr");
        urls.text(b"ee.test/");
        assert_eq!(urls.found().len(), 2);
        urls.end();
        assert_eq!(urls.found(), [&b"one.test/a?b"[..], b"two.test", b"three.test/"]);
    }
}
