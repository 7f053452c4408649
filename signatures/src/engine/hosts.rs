//! Rules about addresses alone, by the addresses that they list: a packet's two ends lead to those that may be about it.

use std::{collections::BTreeSet, net::IpAddr};

use super::address::{is_any, number, ranges};
use crate::rule::{Addresses, Arrow, Header};

/// A list of more addresses than this does not tell hosts apart (of IPv4: a prefix of 8 bits).
const WIDE: u128 = 1 << 24;

/// Rules, found by the end of the packet of which they list fewer addresses.
#[derive(Debug, Default)]
pub struct Hosts {
    /// By source, by destination.
    ends: [Places; 2],
    /// Those that list no addresses, or most of them.
    always: Vec<u32>,
}

/// Lists by address: from an address on up to the next one.
#[derive(Debug, Default)]
struct Places {
    /// Where a place begins, and where in `members` its lists begin.
    starts: Vec<(u128, u32)>,
    members: Vec<u32>,
    /// The rules of each list.
    rules: Vec<Vec<u32>>,
}

impl Hosts {
    /// Of these rules.
    pub fn new<'a>(rules: impl Iterator<Item = (u32, &'a Header)>) -> Self {
        let mut out = Self::default();
        let mut lists: [Vec<(&Addresses, Vec<u32>)>; 2] = Default::default();
        let mut known = std::collections::HashMap::new();
        for (rule, header) in rules {
            let ends = [&header.source, &header.destination].map(|addresses| (size(addresses), addresses));
            let end = usize::from(ends[1].0 < ends[0].0);
            let (size, addresses) = ends[end];
            if size > WIDE || header.arrow != Arrow::To {
                out.always.push(rule);
                continue;
            }
            let at = *known.entry((end, addresses)).or_insert_with(|| {
                lists[end].push((addresses, Vec::new()));
                lists[end].len() - 1
            });
            lists[end][at].1.push(rule);
        }
        out.ends = lists.map(Places::new);
        out
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.always.is_empty() && self.ends.iter().all(|places| places.rules.is_empty())
    }

    /// Those that may be about a packet with these ends, and maybe others.
    pub fn about(&self, source: IpAddr, destination: IpAddr) -> impl Iterator<Item = u32> {
        let [by_source, by_destination] = &self.ends;
        let listed = by_source.at(source).chain(by_destination.at(destination));
        self.always.iter().copied().chain(listed)
    }
}

impl Places {
    fn new(lists: Vec<(&Addresses, Vec<u32>)>) -> Self {
        let mut changes = Vec::new();
        for (list, (addresses, _)) in lists.iter().enumerate() {
            for (first, last) in ranges(&addresses.any_of) {
                changes.push((first, list as u32, true));
                changes.extend(last.checked_add(1).map(|behind| (behind, list as u32, false)));
            }
        }
        changes.sort_unstable();
        let mut out = Self { rules: lists.into_iter().map(|(_, rules)| rules).collect(), ..Self::default() };
        let mut active = BTreeSet::new();
        for at in 0..changes.len() {
            let (address, list, begins) = changes[at];
            if begins {
                active.insert(list);
            } else {
                active.remove(&list);
            }
            if changes.get(at + 1).is_none_or(|next| next.0 != address) {
                out.starts.push((address, out.members.len() as u32));
                out.members.extend(&active);
            }
        }
        out
    }

    fn at(&self, address: IpAddr) -> impl Iterator<Item = u32> {
        let address = number(address);
        let behind = self.starts.partition_point(|(start, _)| *start <= address);
        let from = behind.checked_sub(1).map_or(0, |at| self.starts[at].1 as usize);
        let to = match behind {
            0 => 0,
            behind => self.starts.get(behind).map_or(self.members.len(), |next| next.1 as usize),
        };
        self.members[from..to].iter().flat_map(|list| self.rules[*list as usize].iter().copied())
    }
}

/// How many addresses are listed; those that are taken away again count too.
fn size(addresses: &Addresses) -> u128 {
    if addresses.any_of.is_empty() || is_any(addresses) {
        return u128::MAX;
    }
    ranges(&addresses.any_of)
        .iter()
        .fold(0, |sum: u128, (first, last)| sum.saturating_add((last - first).saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::{super::address::matches, *};
    use crate::rule::Network;

    fn addresses(list: &[(u8, u8)]) -> Addresses {
        let network = |(last, bits): &(u8, u8)| Network { address: [192, 0, 2, *last].into(), bits: 24 + bits % 9 };
        Addresses { any_of: list.iter().map(network).collect(), none_of: Vec::new() }
    }

    proptest::proptest! {
        #[test]
        fn finds_all_that_are_about_a_packet(
            lists in proptest::collection::vec(
                (proptest::collection::vec((0_u8.., 0_u8..), 0..4), proptest::collection::vec((0_u8.., 0_u8..), 0..4), 0_u8..3),
                0..20,
            ),
            packets in proptest::collection::vec((0_u8.., 0_u8..), 1..20),
        ) {
            let arrow = |which| if which == 0 { Arrow::Both } else { Arrow::To };
            let headers: Vec<Header> = lists
                .iter()
                .map(|(source, destination, which)| Header {
                    source: addresses(source),
                    destination: addresses(destination),
                    arrow: arrow(*which),
                    ..Header::any()
                })
                .collect();
            let hosts = Hosts::new((0..).zip(&headers));
            proptest::prop_assert_eq!(hosts.is_empty(), headers.is_empty());
            for (source, destination) in packets {
                let (source, destination) = ([192, 0, 2, source].into(), [192, 0, 2, destination].into());
                let found: Vec<u32> = hosts.about(source, destination).collect();
                for (number, header) in (0..).zip(&headers) {
                    let about = matches(&header.source, source) && matches(&header.destination, destination);
                    proptest::prop_assert!(!about || found.contains(&number), "{number} of {headers:?}");
                    let times = found.iter().filter(|found| **found == number).count();
                    proptest::prop_assert!(times <= 1, "{times} times");
                }
            }
        }
    }

    #[test]
    fn only_those_that_list_it() {
        let of = |list: &[(u8, u8)]| Header { source: addresses(list), ..Header::any() };
        let headers = [of(&[(1, 8), (3, 8)]), of(&[(2, 8)]), of(&[(3, 8)]), Header::any()];
        let hosts = Hosts::new((0..).zip(&headers));
        let about = |last: u8| hosts.about([192, 0, 2, last].into(), [10, 0, 0, 1].into()).collect::<Vec<_>>();
        assert_eq!([about(1), about(2), about(3), about(4)], [vec![3, 0], vec![3, 1], vec![3, 0, 2], vec![3]]);
    }
}
