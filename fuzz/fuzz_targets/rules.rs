//! Any bytes as a file of rules, and as what stands beside it.
#![no_main]

use dropgate_signatures::{
    diagnostic,
    load::{File, Options, Variables, load},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = Some(File { name: "beside", bytes });
    let options = Options {
        variables: Variables::default(),
        classification: file,
        references: file,
        thresholds: file,
        read: &|_, _| Ok(bytes.to_vec()),
    };
    let loaded = load(&[File { name: "fuzz.rules", bytes }], &options);
    let sound = loaded.outcomes.iter().filter(|outcome| outcome.refused.is_none()).count();
    assert_eq!(sound, loaded.rules.len());
    for diagnostic in &loaded.diagnostics {
        assert!(diagnostic.place.span.end as usize <= bytes.len());
    }
    let _ = diagnostic::render(&loaded.diagnostics, false);
});
