//! The parts of `docs/rules.md` that are generated. `DROPGATE_BLESS=1 cargo test -p dropgate-signatures` writes them anew.

use std::{env, fmt::Write as _, fs, path::Path};

use dropgate_signatures::{codes, diagnostic, load, protocol::App};

fn variables() -> String {
    let mut text = String::from("| variable | value |\n| --- | --- |\n");
    for (name, value) in load::DEFAULT_ADDRESSES.iter().chain(load::DEFAULT_PORTS) {
        writeln!(text, "| `{name}` | `{value}` |").expect("a string takes it");
    }
    text
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let mut text = String::new();
    let mut width = 0;
    for name in all {
        if width + name.len() > 130 {
            text.push('\n');
            width = 0;
        } else if width > 0 {
            text.push(' ');
        }
        width += name.len() + 1;
        text.push_str(&name);
    }
    text + "\n"
}

fn unsupported() -> String {
    let mut text = String::from("| keyword | why |\n| --- | --- |\n");
    for (name, why) in load::UNSUPPORTED {
        writeln!(text, "| `{name}` | {why} |").expect("a string takes it");
    }
    text
}

#[test]
fn the_reference_says_what_is_so() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    let before = fs::read_to_string(&path).expect("a string takes it");
    let mut text = before.clone();
    for (name, generated) in [
        ("variables", variables()),
        ("protocols", listed(App::ALL.iter().filter(|app| app.is_read()).map(|app| app.name()))),
        ("keywords", listed(load::keywords())),
        ("unsupported", unsupported()),
        ("codes", diagnostic::markdown(codes::ALL)),
    ] {
        let marker = format!("<!-- {name}: generated -->\n");
        let (head, rest) = text.split_once(&marker).unwrap_or_else(|| panic!("no place for {name}"));
        // what is generated ends at the next empty line behind it
        let rest = rest.strip_prefix('\n').unwrap_or(rest);
        let old = rest
            .find("\n\n")
            .filter(|_| rest.starts_with(['|', '`']))
            .map_or_else(|| if rest.starts_with(['|', '`']) { rest.len() } else { 0 }, |at| at + 1);
        let tail = rest[old..].trim_start_matches('\n');
        let gap = if tail.is_empty() { "" } else { "\n" };
        text = format!("{head}{marker}\n{generated}{gap}{tail}");
    }
    if env::var_os("DROPGATE_BLESS").is_some() {
        fs::write(&path, &text).expect("a string takes it");
    } else {
        assert!(text == before, "run `DROPGATE_BLESS=1 cargo test -p dropgate-signatures`");
    }
}
