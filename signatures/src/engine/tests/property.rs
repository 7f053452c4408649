//! The engine against a reference that asks every rule about everything at once: the same alerts, however the bytes are cut.

use proptest::prelude::*;

use super::*;

/// Whether contents stand in a text, one behind the other: every place of each is tried.
fn stands(contents: &[Content], text: &[u8], last: usize) -> bool {
    let Some((first, rest)) = contents.split_first() else { return true };
    let value = |value: Option<Value>| match value {
        Some(Value::Number(number)) => Some(number),
        _ => None,
    };
    let place = &first.place;
    let relative = place.distance.is_some() || place.within.is_some();
    let len = text.len() as i64;
    let (from, to) = if relative {
        let from = last as i64 + value(place.distance).unwrap_or(0);
        (from, value(place.within).map_or(len, |within| from + within))
    } else if place.at_start {
        (0, first.bytes.len() as i64)
    } else {
        let offset = value(place.offset).unwrap_or(0);
        (offset, value(place.depth).map_or(len, |depth| offset + depth))
    };
    let (from, to) = (from.max(0), to.min(len));
    let ends: Vec<usize> = (0..=text.len().saturating_sub(first.bytes.len()))
        .filter(|start| *start as i64 >= from && (start + first.bytes.len()) as i64 <= to)
        .filter(|start| {
            text.len() >= first.bytes.len() && {
                let here = &text[*start..start + first.bytes.len()];
                *here == *first.bytes || first.nocase && here.eq_ignore_ascii_case(&first.bytes)
            }
        })
        .map(|start| start + first.bytes.len())
        .filter(|end| !place.at_end || *end == text.len())
        .collect();
    if first.negated {
        return ends.is_empty() && stands(rest, text, last);
    }
    ends.into_iter().any(|end| stands(rest, text, end))
}

fn place(first: bool, negated: bool, end: bool) -> impl Strategy<Value = Place> {
    let absolute = (proptest::option::of(0_i64..6), proptest::option::of(4_i64..16), any::<bool>(), any::<bool>());
    let relative = (proptest::option::of(-3_i64..4), proptest::option::of(3_i64..9));
    (absolute, relative, 0..4_u8).prop_map(move |((offset, depth, start, at_end), (distance, within), which)| {
        let of = |value: Option<i64>| value.map(Value::Number);
        match which {
            0 => Place { offset: of(offset), depth: of(depth), ..Place::default() },
            1 | 2 if !first => Place { distance: of(distance), within: of(within), ..Place::default() },
            3 if start => Place { at_start: true, ..Place::default() },
            3 if at_end && end && !negated => Place { at_end: true, ..Place::default() },
            _ => Place::default(),
        }
    })
}

fn one(first: bool, whole: bool) -> impl Strategy<Value = Content> {
    let negated =
        if whole && !first { prop_oneof![3 => Just(false), 1 => Just(true)].boxed() } else { Just(false).boxed() };
    negated.prop_flat_map(move |negated| {
        ("[abAB]{1,3}", any::<bool>(), place(first, negated, whole)).prop_map(move |(bytes, nocase, place)| Content {
            nocase,
            negated,
            place,
            ..content(&bytes)
        })
    })
}

/// Contents of a rule; of a whole buffer also those that more bytes could undo.
fn contents(whole: bool) -> impl Strategy<Value = Vec<Content>> {
    (one(true, whole), proptest::collection::vec(one(false, whole), 0..4)).prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        rest
    })
}

fn rules(whole: bool) -> impl Strategy<Value = Vec<Vec<Content>>> {
    proptest::collection::vec(contents(whole), 1..6)
}

/// A text in parts.
fn parts(text: &str, cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| text.as_bytes()[pair[0]..pair[1]].to_vec()).collect()
}

fn expected(rules: &[Vec<Content>], text: &[u8]) -> Vec<u32> {
    (1..).zip(rules).filter(|(_, contents)| stands(contents, text, 0)).map(|(sid, _)| sid).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn streams(
        rules in rules(false),
        text in "[abAB.]{0,40}",
        cuts in proptest::collection::vec(0_usize..100, 0..4),
    ) {
        let made = (1..).zip(&rules).map(|(sid, of)| rule(sid, Protocol::TcpStream).payload(of.clone())).collect();
        let mut shown = Shown::new(made);
        let mut alerts: Vec<u32> = parts(&text, &cuts).iter().flat_map(|part| shown.say(part)).collect();
        alerts.sort_unstable();
        alerts.dedup();
        prop_assert_eq!(alerts, expected(&rules, text.as_bytes()));
    }

    #[test]
    fn datagrams(rules in rules(true), text in "[abAB.]{1,40}") {
        let made = (1..).zip(&rules).map(|(sid, of)| rule(sid, Protocol::Udp).payload(of.clone())).collect();
        let mut shown = Shown::new(made).udp();
        let mut alerts = shown.say(text.as_bytes());
        alerts.sort_unstable();
        prop_assert_eq!(alerts, expected(&rules, text.as_bytes()));
    }

    #[test]
    fn buffers(
        rules in rules(true),
        text in "[abAB.]{0,40}",
        cuts in proptest::collection::vec(0_usize..100, 0..4),
    ) {
        let of_http = |sid| rule(sid, Protocol::App(App::Http));
        let made =
            (1..).zip(&rules).map(|(sid, of)| of_http(sid).buffer(Buffer::HttpRequestBody, of.clone())).collect();
        let mut shown = Shown::new(made).app(App::Http1);
        let mut exchange = Exchange::http(1);
        let mut alerts = Vec::new();
        for part in parts(&text, &cuts) {
            exchange.grow(Buffer::HttpRequestBody, Direction::ToServer, &part);
            alerts.extend(shown.asks(&exchange));
        }
        exchange.complete(Direction::ToServer);
        alerts.extend(shown.asks(&exchange));
        alerts.sort_unstable();
        prop_assert_eq!(alerts, expected(&rules, text.as_bytes()));
    }
}
