//! Any text as a policy file.
#![no_main]

use std::path::Path;

use dropgate::policy::{self, Environment, Ids, Source};

libfuzzer_sys::fuzz_target!(|text: &str| {
    // a list is a file: none is read here
    if text.contains("lists") {
        return;
    }
    let (parsed, found) = policy::parse(Source::new("policy.toml", text), Path::new("/nowhere"));
    let errors = found.iter().filter(|diagnostic| diagnostic.is_error()).count();
    assert_eq!(parsed.is_none(), errors > 0);
    for diagnostic in &found {
        assert!(diagnostic.place.line as usize <= text.lines().count() + 1);
    }
    let _ = policy::render(&found, false);
    let Some(parsed) = parsed else { return };
    match policy::compile(&parsed, &Environment::synthetic(&parsed), &mut Ids::default()) {
        Ok(image) => drop(policy::render(&image.warnings, false)),
        Err(errors) => assert!(errors.iter().any(|diagnostic| diagnostic.is_error())),
    }
});
