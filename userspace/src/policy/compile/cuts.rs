//! Ports, cut where the lines that are open there change.

use std::collections::BTreeSet;

use crate::policy::model::PortRange;

/// Shows each stretch of ports with the ranges that are open all along it, by their places in the sequence. Stretches with
/// none are left out.
///
/// # Errors
/// The first one that `each` answers with; nothing more is shown then.
pub fn cut<E>(
    ranges: impl ExactSizeIterator<Item = PortRange>,
    mut each: impl FnMut(PortRange, &BTreeSet<usize>) -> Result<(), E>,
) -> Result<(), E> {
    let mut edges: Vec<(u32, bool, usize)> = Vec::with_capacity(ranges.len() * 2);
    for (at, range) in ranges.enumerate() {
        edges.push((range.first.into(), true, at));
        edges.push((u32::from(range.last) + 1, false, at));
    }
    edges.sort_unstable();
    let mut open = BTreeSet::new();
    let mut edges = edges.into_iter().peekable();
    while let Some((from, opens, at)) = edges.next() {
        if opens {
            open.insert(at);
        } else {
            open.remove(&at);
        }
        match edges.peek() {
            Some((next, ..)) if *next != from && !open.is_empty() => {
                each(PortRange { first: from as u16, last: (*next - 1) as u16 }, &open)?;
            }
            _ => {}
        }
    }
    Ok(())
}
