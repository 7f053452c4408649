//! `docs/policy.md` says what the code does.

use std::{fs, path::PathBuf};

use dropgate::policy::{self, Environment, Ids, Source, codes};

fn document() -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md")).unwrap()
}

/// The example at the top of the document.
pub fn example() -> String {
    let document = document();
    let (_, rest) = document.split_once("```toml\n").expect("an example");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn the_example_compiles() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/policy/reference");
    let (policy, diagnostics) = policy::parse(Source::new("policy.md", example()), &directory);
    let policy = policy.unwrap_or_else(|| panic!("{}", policy::render(&diagnostics, false)));
    // the example has a tunnel, and a zone that is only reached
    assert_eq!(diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), ["DG053", "DG055"]);
    let image = policy::compile(&policy, &Environment::synthetic(&policy), &mut Ids::default()).unwrap();
    assert!(image.warnings.is_empty(), "{}", policy::render(&image.warnings, false));
    let found = policy::analysis::analyse(&policy, &Environment::synthetic(&policy));
    assert!(found.diagnostics(&policy).is_empty(), "{}", policy::render(&found.diagnostics(&policy), false));
    let interfaces: Vec<_> = image.interfaces.iter().map(|i| (i.name.as_str(), i.outside)).collect();
    assert_eq!(interfaces, [("lan0", false), ("lan1", false), ("wan0", true)]);
    assert_eq!((image.flows, image.adopt.as_secs()), (1_000_000, 60));
    assert_eq!(image.names.services.len(), 8);
    assert_eq!(image.settings.ethertypes[..2], [0x0806, 0]);
}

/// The table of codes is the one in the code. `DROPGATE_BLESS=1` writes it anew.
#[test]
fn the_codes_are_listed() {
    let document = document();
    let (before, listed) = document.split_once("<!-- codes").expect("the marker of the table");
    let (marker, table) = listed.split_once("-->\n").expect("the end of the marker");
    if std::env::var_os("DROPGATE_BLESS").is_some() {
        let text = format!("{before}<!-- codes{marker}-->\n{}", codes::markdown());
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md");
        // in one step: the test of the example reads the document at the same time
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    } else {
        assert_eq!(table, codes::markdown(), "run `DROPGATE_BLESS=1 cargo test -p dropgate`");
    }
}

/// The sample policies have no errors, and no warning but that a console is needed.
#[test]
fn the_samples_compile() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let (policy, diagnostics) = policy::check(&path, None);
        let rendered = policy::render(&diagnostics, false);
        assert!(policy.is_some(), "{rendered}");
        assert!(diagnostics.iter().all(|d| d.code == codes::LOCKOUT.id), "{rendered}");
        count += 1;
    }
    assert!(count > 0);
}
