//! Large sets of rules, made up: none of them is anybody's, and what they look for is said by nobody.
//!
//! They are shaped like the large public sets: two in five are about HTTP, a fifth about names that are asked for, a sixth about
//! TLS, then payloads of TCP and UDP, mail and lists of bad addresses; four in ten look for one content, the others for up to
//! eight, with distances, anchors and a regular expression in one of five; some set bits that others ask for, some have a
//! threshold. The same count and seed give the same text.

mod shapes;

use std::{fmt::Write as _, sync::LazyLock};

use self::shapes::SHAPES;

/// First SID of a set; the others follow.
pub const FIRST_SID: u32 = 9_000_000;

/// So many rules, one a line.
#[must_use]
pub fn generated(count: u32, seed: u64) -> String {
    let mut draw = Draw::new(seed);
    let all: u32 = SHAPES.iter().map(|(weight, _)| weight).sum();
    let mut text = String::new();
    for number in 0..count {
        let mut at = draw.below(all);
        let shape = SHAPES.iter().find_map(|(weight, shape)| match at.checked_sub(*weight) {
            Some(rest) => {
                at = rest;
                None
            }
            None => Some(shape),
        });
        let Some(shape) = shape else { continue };
        let (header, options) = shape(&mut draw, number);
        let kind = draw.pick(&["Loader", "Backdoor", "Exploit", "Phishing", "Stealer", "Beacon"]);
        let name = draw.word();
        // writing to a string does not fail
        let _ = writeln!(
            text,
            "alert {header} (msg:\"MADE UP {kind} {name} {number}\"; {options} classtype:trojan-activity; sid:{}; rev:{}; \
             metadata:created_at 2024_01_{:02}, signature_severity Major;)",
            FIRST_SID + number,
            draw.range(1, 4),
            draw.range(1, 28),
        );
    }
    text
}

/// What contents are made of.
static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("words.txt").split_ascii_whitespace().collect());

/// Numbers drawn one after the other (SplitMix64).
#[derive(Debug)]
struct Draw(u64);

impl Draw {
    const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not zero.
    const fn below(&mut self, bound: u32) -> u32 {
        (self.next() % bound as u64) as u32
    }

    /// From one to the other, both included.
    const fn range(&mut self, from: u32, to: u32) -> u32 {
        from + self.below(to - from + 1)
    }

    /// Whether it is one of so many in a hundred.
    const fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }

    fn word(&mut self) -> &'static str {
        self.pick(&WORDS)
    }

    /// Hexadecimal digits.
    fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16) as usize])).collect()
    }

    /// Bytes as contents have them.
    fn bytes(&mut self, count: u32) -> String {
        let bytes: Vec<String> = (0..count).map(|_| format!("{:02x}", self.below(256))).collect();
        format!("|{}|", bytes.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again() {
        assert_eq!(generated(500, 1), generated(500, 1));
        assert_ne!(generated(500, 1), generated(500, 2));
        assert_eq!(generated(500, 1).lines().count(), 500);
    }

    #[test]
    fn words_are_words() {
        assert!(WORDS.len() > 250, "{}", WORDS.len());
        assert!(WORDS.iter().all(|word| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_lowercase())));
    }
}
