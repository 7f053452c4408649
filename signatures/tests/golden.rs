//! Rules in, rendered diagnostics out. `DROPGATE_BLESS=1 cargo test` writes the expected files anew.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use dropgate_signatures::{
    codes, diagnostic,
    load::{File, Options, Variables, load},
};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A case is a file of rules; `NAME.classification`, `NAME.reference` and `NAME.threshold` stand beside it.
#[test]
fn diagnostics_are_as_recorded() {
    let mut seen = BTreeSet::new();
    let mut differing = Vec::new();
    let mut cases: Vec<PathBuf> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rules"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    for case in cases {
        let name = |extension: &str| {
            let path = case.with_extension(extension);
            path.file_name().unwrap().to_str().unwrap().to_owned()
        };
        let beside = |extension: &str| Some((name(extension), fs::read(case.with_extension(extension)).ok()?));
        let (classes, references, thresholds) = (beside("classification"), beside("reference"), beside("threshold"));
        fn file((name, bytes): &(String, Vec<u8>)) -> File<'_> {
            File { name, bytes }
        }
        let read =
            |_: &str, name: &str| fs::read(directory().join(name)).map_err(|_| "there is no such file".to_owned());
        let options = Options {
            variables: Variables::default(),
            classification: classes.as_ref().map(file),
            references: references.as_ref().map(file),
            thresholds: thresholds.as_ref().map(file),
            read: &read,
        };
        let rules = (name("rules"), fs::read(&case).unwrap());
        let loaded = load(&[file(&rules)], &options);
        seen.extend(loaded.diagnostics.iter().map(|diagnostic| diagnostic.code));
        let mut text = diagnostic::render(&loaded.diagnostics, false);
        for outcome in &loaded.outcomes {
            let said = match &outcome.refused {
                None => "loaded".to_owned(),
                Some(refused) => format!("left out by {}", refused.keyword),
            };
            text.push_str(&format!("line {}, sid {}: {said}\n", outcome.line, outcome.sid));
        }
        assert!(!text.contains('\u{1b}'), "a control character reaches the terminal");
        let expected = case.with_extension("txt");
        if env::var_os("DROPGATE_BLESS").is_some() {
            fs::write(&expected, &text).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != text {
            println!("{}:\n{text}", case.display());
            differing.push(case);
        }
    }
    assert!(differing.is_empty(), "these differ from what is recorded: {differing:?}");
    // what needs thousands of mistakes, or a rule too large to keep here, has tests in `limits.rs`
    let elsewhere = ["DG222", "DG249", "DG299"];
    for code in codes::ALL {
        assert!(seen.contains(code.id) || elsewhere.contains(&code.id), "no case shows {}", code.id);
    }
}
