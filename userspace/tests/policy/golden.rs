//! Policies in, rendered diagnostics out. `DROPGATE_BLESS=1 cargo test` writes the expected files anew.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use dropgate::policy::{self, Severity, codes};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/policy/golden")
}

/// Paths in messages are those on the command line; cases must read the same from any directory.
fn portable(text: &str) -> String {
    text.replace(&format!("{}/", directory().display()), "").replace(&directory().display().to_string(), ".")
}

#[test]
fn diagnostics_are_as_recorded() {
    let mut seen = BTreeSet::new();
    let mut differing = Vec::new();
    let mut cases: Vec<PathBuf> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    for case in cases {
        let (found, diagnostics) = policy::check(&case, None);
        let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        assert_eq!(found.is_none(), errors > 0, "{}", case.display());
        seen.extend(diagnostics.iter().map(|diagnostic| diagnostic.code));
        let rendered = policy::render(&diagnostics, false);
        let text = portable(&format!("{rendered}{}\n", policy::summary(&diagnostics)));
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
    // what needs a machine, or a file too large to keep here, has tests in `limits.rs`
    let elsewhere = ["DG022", "DG023", "DG027", "DG049", "DG060", "DG061", "DG065"];
    for code in codes::ALL {
        assert!(seen.contains(code.id) || elsewhere.contains(&code.id), "no case shows {}", code.id);
    }
}

#[test]
fn json_names_the_place() {
    let (_, diagnostics) = policy::check(&directory().join("unknown_keys.toml"), None);
    let json = serde_json::to_value(&diagnostics[0]).unwrap();
    assert_eq!(json["code"], "DG003");
    assert_eq!(json["severity"], "error");
    assert_eq!((json["line"].as_u64(), json["column"].as_u64()), (Some(1), Some(2)));
    assert_eq!(json["span"]["start"], 1);
    assert_eq!(json["help"], "did you mean `gateway`?");
}
