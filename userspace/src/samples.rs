//! Rules for tests.

use dropgate_signatures::{
    load::{self, File, Options, Variables},
    rule::Rule,
};

/// The rules of a text, which has to be in order.
pub fn rules(text: &str) -> Vec<Rule> {
    let options = Options {
        variables: Variables::default(),
        classification: None,
        references: None,
        thresholds: None,
        read: &|_, file| Err(format!("there is no `{file}`")),
    };
    let loaded = load::load(&[File { name: "test.rules", bytes: text.as_bytes() }], &options);
    let refused: Vec<_> = loaded.outcomes.iter().filter_map(|outcome| outcome.refused.as_ref()).collect();
    assert!(refused.is_empty(), "{refused:?}");
    loaded.rules
}
