//! `docs/policy.md` says what the code does.

use std::{fs, path::PathBuf};

use dropgate::policy::{self, Environment, Ids, Source};

fn document() -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md")).unwrap()
}

/// The example at the top of the document.
fn example() -> String {
    let document = document();
    let (_, rest) = document.split_once("```toml\n").expect("an example");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn the_example_compiles() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/policy/reference");
    let (policy, diagnostics) = policy::parse(Source::new("policy.md", example()), &directory);
    for diagnostic in &diagnostics {
        println!("{diagnostic:?}");
    }
    let policy = policy.expect("no errors");
    let image = policy::compile(
        &policy,
        &Environment::synthetic(&policy),
        &mut Ids::default(),
    )
    .unwrap();
    println!("{image:#?}");
}
