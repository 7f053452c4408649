//! Checks, one by one and one behind the other.

use super::*;
use crate::rule::{ByteExtract, ByteOp, Check, Content, EntropyTest, IsDataAt, Pcre};

fn content(bytes: &str) -> Content {
    Content { bytes: bytes.as_bytes().into(), nocase: false, negated: false, place: Place::default() }
}

fn at(bytes: &str, place: Place) -> Check {
    Check::Content(Content { place, ..content(bytes) })
}

fn plain(bytes: &str) -> Check {
    at(bytes, Place::default())
}

fn number(number: i64) -> Option<Value> {
    Some(Value::Number(number))
}

fn near(distance: i64, within: i64) -> Place {
    Place { distance: number(distance), within: number(within), ..Place::default() }
}

fn ask(checks: &[Check], hay: Hay<'_>) -> (Answer, Budget) {
    let mut budget = Budget::new(1_000_000);
    let verified = verify(&Steps::new(checks), hay, &mut Vec::new(), &mut budget, &Shared::default());
    (verified.answer, budget)
}

fn holds(checks: &[Check], bytes: &str) -> bool {
    ask(checks, Hay::whole(bytes.as_bytes())).0 == Answer::Holds
}

#[test]
fn places() {
    let place = |offset, depth| Place { offset: number(offset), depth: number(depth), ..Place::default() };
    assert!(holds(&[at("b", place(1, 1))], "abc"));
    assert!(!holds(&[at("b", place(2, 5))], "abc"));
    assert!(!holds(&[at("bc", place(1, 1))], "abc"));
    assert!(holds(&[at("bc", place(1, 2))], "abc"));
    assert!(holds(&[at("ab", Place { at_start: true, ..Place::default() })], "abc"));
    assert!(!holds(&[at("bc", Place { at_start: true, ..Place::default() })], "abc"));
    assert!(holds(&[at("bc", Place { at_end: true, ..Place::default() })], "bcbc"));
    assert!(!holds(&[at("ab", Place { at_end: true, ..Place::default() })], "abc"));
    assert!(!holds(&[plain("abcd")], "abc"));
}

#[test]
fn behind_the_last_match() {
    assert!(holds(&[plain("a"), at("b", near(0, 1))], "ab"));
    assert!(!holds(&[plain("a"), at("b", near(1, 1))], "ab"));
    assert!(holds(&[plain("a"), at("b", near(1, 1))], "axb"));
    // a later place of the first one
    assert!(holds(&[plain("a"), at("b", near(0, 1))], "axab"));
    assert!(holds(&[plain("a"), at("b", near(0, 2)), at("c", near(0, 1))], "ab abxc a.bc"));
    assert!(holds(&[plain("b"), at("a", near(-2, 1))], "ab"));
    // not relative: the first one anywhere
    assert!(holds(&[plain("b"), plain("a")], "ab"));
    assert!(!holds(&[plain("b"), at("a", near(0, 9))], "ab"));
}

#[test]
fn what_must_not_be_there() {
    let not = |bytes, place| Check::Content(Content { negated: true, place, ..content(bytes) });
    assert!(holds(&[plain("a"), not("b", Place::default())], "ac"));
    assert!(!holds(&[plain("a"), not("b", Place::default())], "acb"));
    assert!(holds(&[plain("a"), not("b", near(0, 1))], "acb"));
    // another place of the first one, where it does not stand behind it
    assert!(holds(&[plain("a"), not("b", near(0, 1))], "ab ac"));
    assert!(!holds(&[plain("a"), not("b", near(0, 1))], "ab ab"));
    assert!(holds(&[not("ab", Place { at_start: true, ..Place::default() })], "xab"));
    let ends = not("ab", Place { at_end: true, ..Place::default() });
    assert!(!holds(std::slice::from_ref(&ends), "xab"));
    assert!(holds(&[ends], "abx"));
}

#[test]
fn data_at() {
    let data = |place, from, negated| Check::IsDataAt(IsDataAt { place: Value::Number(place), from, negated });
    assert!(holds(&[data(2, From::Start, false)], "abc"));
    assert!(!holds(&[data(3, From::Start, false)], "abc"));
    assert!(holds(&[plain("c"), data(1, From::LastMatch, true)], "abc"));
    assert!(holds(&[plain("b"), data(1, From::LastMatch, false)], "abc"));
    // "b" stands twice: of the second one nothing is behind
    assert!(holds(&[plain("b"), data(1, From::LastMatch, true)], "bab"));
}

#[test]
fn sizes() {
    assert!(holds(&[Check::Size(Size::Equal(Value::Number(3)))], "abc"));
    assert!(!holds(&[Check::Size(Size::Between(3, 5))], "abc"));
    assert!(holds(&[Check::Size(Size::Between(2, 4))], "abc"));
}

#[test]
fn what_more_bytes_could_undo_waits() {
    let growing = |checks: &[Check], bytes: &str| {
        let hay = Hay { ending: Ending::Growing, ..Hay::whole(bytes.as_bytes()) };
        ask(checks, hay).0
    };
    let not = Content { negated: true, ..content("b") };
    assert_eq!(growing(&[Check::Content(not.clone())], "a"), Answer::NotYet);
    let depth = Place { depth: number(2), ..Place::default() };
    assert_eq!(growing(&[Check::Content(Content { place: depth, ..not })], "aab"), Answer::Holds);
    assert_eq!(growing(&[Check::Size(Size::Less(Value::Number(3)))], "a"), Answer::NotYet);
    assert_eq!(growing(&[Check::Size(Size::Greater(Value::Number(0)))], "a"), Answer::Holds);
    assert_eq!(growing(&[at("a", Place { at_end: true, ..Place::default() })], "a"), Answer::NotYet);
    assert_eq!(growing(&[plain("a")], "a"), Answer::Holds);
}

#[test]
fn variables() {
    let op = ByteOp {
        bytes: Value::Number(1),
        offset: Value::Number(0),
        from: From::LastMatch,
        little_endian: false,
        string: None,
        dce: false,
        bitmask: None,
    };
    let extract = Check::ByteExtract(ByteExtract { op, multiplier: 1, align: 0, variable: 0 });
    let behind = Place { distance: Some(Value::Variable(0)), within: number(1), ..Place::default() };
    let checks = [plain("L"), extract, at("x", behind)];
    assert!(holds(&checks, "L\x02abx"));
    assert!(!holds(&checks, "L\x01abx"));
    // the second length fits
    assert!(holds(&checks, "L\x05L\x02abx"));
}

#[test]
fn expressions() {
    let pcre = |pattern: &str, relative, negated| {
        Check::Pcre(Pcre { pattern: pattern.into(), relative, negated, ..Pcre::default() })
    };
    assert!(holds(&[plain("b"), pcre("^c", true, false)], "abc"));
    assert!(holds(&[plain("b"), pcre("^c", true, false)], "abxbc"));
    assert!(!holds(&[plain("c"), pcre("b", true, false)], "abc"));
    assert!(!holds(&[pcre("b", false, true)], "abc"));
    assert!(holds(&[pcre("a.", false, false), at("c", near(0, 1))], "a. abc"));
    let (answer, budget) = ask(&[pcre("(?:a+)+[bc]", false, false)], Hay::whole(&[b'a'; 4096]));
    assert_eq!((answer, budget.limited), (Answer::Never, true));
}

#[test]
fn decoded() {
    let base64 = crate::rule::Base64 { bytes: 0, offset: 1, from: From::LastMatch };
    let mut steps = Steps::new(&[plain("data:"), Check::Base64(base64)]);
    steps.decoded = Some(std::sync::Arc::new(Steps::new(&[plain("evil")])));
    let ask = |bytes: &[u8]| {
        verify(&steps, Hay::whole(bytes), &mut Vec::new(), &mut Budget::new(1000), &Shared::default()).answer
    };
    assert_eq!(ask(b"data: YW4gZXZpbCBvbmU="), Answer::Holds);
    assert_eq!(ask(b"data: YSBnb29kIG9uZQ=="), Answer::Never);
}

#[test]
fn randomness() {
    let entropy = |test| Check::Entropy(Entropy { offset: 0, bytes: 0, test });
    assert!(holds(&[entropy(EntropyTest::Equal(0.0))], "aaaa"));
    assert!(holds(&[entropy(EntropyTest::Equal(2.0))], "abcd"));
    assert!(!holds(&[entropy(EntropyTest::NotEqual(2.0))], "abcd"));
    assert!(!holds(&[entropy(EntropyTest::Greater(2.5))], "abcd"));
    assert!(holds(&[entropy(EntropyTest::Between(1.5, 2.5))], "abcd"));
    assert!(!holds(&[entropy(EntropyTest::NotBetween(1.5, 2.5))], "abcd"));
    let part = Entropy { offset: 2, bytes: 2, test: EntropyTest::Equal(0.0) };
    assert!(holds(&[Check::Entropy(part)], "abccd"));
    assert!(!holds(&[Check::Entropy(Entropy { bytes: 0, ..part })], "abccd"));
}

#[test]
fn chains_take_no_more_than_their_share() {
    // every "a" may be followed by every other one
    let chain: Vec<Check> = (0..12).map(|at_| if at_ == 0 { plain("a") } else { at("a", near(0, 4)) }).collect();
    let checks: Vec<Check> = chain.into_iter().chain([at("b", near(0, 1))]).collect();
    let (answer, budget) = ask(&checks, Hay::whole(&[b'a'; 100]));
    assert_eq!(answer, Answer::Never);
    assert!(!budget.limited, "what was tried is remembered");
}

#[test]
fn what_is_missing_is_named() {
    let missing = |checks: &[Check], bytes: &str| {
        let hay = Hay { ending: Ending::Open, ..Hay::whole(bytes.as_bytes()) };
        let steps = Steps::new(checks);
        let verified = verify(&steps, hay, &mut Vec::new(), &mut Budget::new(1000), &Shared::default());
        (verified.answer, verified.missing)
    };
    let wait = |step| (Answer::NotYet, step);
    assert_eq!(missing(&[plain("a"), plain("b")], "a"), wait(Some(1)));
    assert_eq!(
        missing(&[plain("a"), at("b", Place { distance: number(0), ..Place::default() })], "ba a"),
        wait(Some(1))
    );
    // all that is behind "a" was seen
    assert_eq!(missing(&[plain("a"), at("b", near(0, 2))], "a..."), wait(Some(0)));
    // behind the second one it was not
    assert_eq!(missing(&[plain("a"), at("b", near(0, 2))], "a..a"), wait(None));
    // where it must stand was seen
    let depth = Place { depth: number(2), ..Place::default() };
    assert_eq!(missing(&[at("a", depth), plain("b")], "..ab").0, Answer::Never);
    assert_eq!(missing(&[at("a", depth), plain("b")], ".").0, Answer::NotYet);
    assert_eq!(missing(&[at("a", depth), at("b", near(0, 1))], "a.").0, Answer::Never);
    assert_eq!(missing(&[at("a", depth), at("b", near(0, 2))], "a.").0, Answer::NotYet);
    let not = Check::Content(Content { negated: true, ..content("b") });
    assert_eq!(missing(&[plain("a"), not], "ab").0, Answer::Never);
}

#[test]
fn steps_stand_behind() {
    let steps = Steps::new(&[plain("abc")]);
    assert!(steps.stands_behind(0, b"xxabc", 4));
    assert!(steps.stands_behind(0, b"xxabc", 3));
    assert!(!steps.stands_behind(0, b"abcxx", 3));
    assert!(!steps.stands_behind(0, b"", 0));
}
