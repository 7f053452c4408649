//! Sets of ports, from their text.

use std::collections::BTreeMap;

use super::list::{ListError, shown, walk};
use crate::rule::{PortRange, Ports};

/// The ports of a list. Those that are negated are taken away from the others, or from all if there are no others.
///
/// # Errors
/// [`ListError`]: an element is none, a variable is not defined, or no port is left.
pub fn ports(text: &str, variables: &BTreeMap<String, String>) -> Result<Ports, ListError> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    walk(text, variables, &mut |element, negated| {
        let range =
            range(element).ok_or_else(|| ListError::Element(format!("{} is not a port or a range", shown(element))))?;
        if negated { &mut without } else { &mut with }.push(range);
        Ok(())
    })?;
    if with.is_empty() {
        with.push((0, u16::MAX));
    }
    let left = subtract(merged(with), &merged(without));
    if left.is_empty() { Err(ListError::NothingLeft) } else { Ok(Ports(left)) }
}

fn range(element: &str) -> Option<PortRange> {
    if element.eq_ignore_ascii_case("any") {
        return Some((0, u16::MAX));
    }
    let Some((first, last)) = element.split_once(':') else {
        let port = element.parse().ok()?;
        return Some((port, port));
    };
    let end = |text: &str, open: u16| match text.trim() {
        "" => Some(open),
        text => text.parse().ok(),
    };
    let range = (end(first, 0)?, end(last, u16::MAX)?);
    (range.0 <= range.1 && element != ":").then_some(range)
}

/// Sorted, and made one where they touch.
fn merged(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let mut all: Vec<PortRange> = Vec::new();
    for (first, last) in ranges {
        match all.last_mut() {
            Some(before) if u32::from(first) <= u32::from(before.1) + 1 => before.1 = before.1.max(last),
            _ => all.push((first, last)),
        }
    }
    all
}

/// What is left of sorted ranges without others.
fn subtract(ranges: Vec<PortRange>, without: &[PortRange]) -> Vec<PortRange> {
    let mut left = Vec::new();
    for (from, last) in ranges {
        // what comes next may lie behind the last port that there is
        let mut next = Some(from);
        for (first, to) in without.iter().filter(|(first, to)| *first <= last && *to >= from) {
            let start = next.unwrap_or(from);
            if *first > start {
                left.push((start, first - 1));
            }
            next = to.checked_add(1).filter(|next| *next <= last);
        }
        left.extend(next.map(|next| (next, last)));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::variables::Variables;

    #[test]
    fn lists_become_ranges() {
        let variables = Variables::default().ports;
        for (text, expected) in [
            ("any", vec![(0, 65535)]),
            ("80", vec![(80, 80)]),
            ("!80", vec![(0, 79), (81, 65535)]),
            ("[80:100,!85,101,103:]", vec![(80, 84), (86, 101), (103, 65535)]),
            ("[:1024,![20:30,!25]]", vec![(0, 19), (31, 1024)]),
            ("$FILE_DATA_PORTS", vec![(80, 80), (110, 110), (143, 143)]),
            ("$SHELLCODE_PORTS", vec![(0, 79), (81, 65535)]),
        ] {
            assert_eq!(ports(text, &variables), Ok(Ports(expected)), "{text}");
        }
        for text in ["!any", "65536", "90:80", ":", "http", "[80,!80]", "$NONE", "-1"] {
            assert!(ports(text, &variables).is_err(), "{text}");
        }
    }
}
