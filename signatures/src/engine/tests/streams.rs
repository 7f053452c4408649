//! Rules about streams: however they are cut.

use super::*;

fn tcp(sid: u32, contents: Vec<Content>) -> Make {
    rule(sid, Protocol::Tcp).payload(contents)
}

fn placed(bytes: &str, place: Place) -> Content {
    Content { place, ..content(bytes) }
}

#[test]
fn cut_anywhere() {
    let within = Place { distance: number(1), within: number(4), ..Place::default() };
    let rules = || {
        vec![
            tcp(1, vec![content("needle")]),
            tcp(2, vec![content("one"), placed("two", within)]),
            tcp(3, vec![placed("GET", Place { at_start: true, ..Place::default() })]),
            tcp(4, vec![content("absent")]),
        ]
    };
    let text = b"GET a needle; one one two";
    for cut in 0..=text.len() {
        let mut shown = Shown::new(rules());
        let mut all = shown.say(&text[..cut]);
        all.extend(shown.say(&text[cut..]));
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3], "{cut}");
    }
}

#[test]
fn once_for_each_time_that_it_is_said() {
    let mut shown = Shown::new(vec![tcp(1, vec![content("ab"), content("cd")])]);
    assert_eq!(shown.say(b"ab"), [0; 0]);
    assert_eq!(shown.say(b"cd"), [1]);
    assert_eq!(shown.say(b"ab"), [0; 0]);
    assert_eq!(shown.say(b"cd"), [1]);
    assert_eq!(shown.reply(b"cd"), [0; 0]);
}

#[test]
fn what_is_forgotten_is_not_found() {
    let mut shown = Shown::new(vec![tcp(1, vec![content("ab"), content("longer")])]);
    shown.remembered = 8;
    assert_eq!(shown.say(b"longer"), [0; 0]);
    assert_eq!(shown.say(b"........"), [0; 0]);
    assert_eq!(shown.say(b"ab"), [0; 0]);
}

#[test]
fn places_count_from_the_first_byte_of_the_stream() {
    let depth = Place { depth: number(4), ..Place::default() };
    let mut shown = Shown::new(vec![tcp(1, vec![placed("cd", depth)])]);
    shown.remembered = 2;
    assert_eq!(shown.say(b"ab"), [0; 0]);
    assert_eq!(shown.say(b"cd"), [1]);
    let mut shown = Shown::new(vec![tcp(1, vec![placed("cd", depth)])]);
    shown.remembered = 2;
    assert_eq!(shown.say(b"abc"), [0; 0]);
    shown.say(b".");
    assert_eq!(shown.say(b"."), [0; 0]);
}

#[test]
fn packets_of_their_own() {
    let rule = rule(1, Protocol::TcpPacket).payload(vec![content("evil")]);
    let mut shown = Shown::new(vec![rule]);
    assert_eq!(shown.say(b"ev"), [0; 0]);
    assert_eq!(shown.say(b"il"), [0; 0]);
    assert_eq!(shown.say(b"evil"), [1]);
}

#[test]
fn another_ruleset_looks_at_what_is_remembered() {
    let mut shown = Shown::new(vec![]);
    assert_eq!(shown.say(b"ev"), [0; 0]);
    shown.ruleset = Ruleset::compile(vec![tcp(1, vec![content("evil")]).0]);
    assert_eq!(shown.say(b"il"), [1]);
}
