//! The list of reasons, for people: `docs/reasons.md`.

use dropgate_abi::reason::{Kind, REASONS, Stage};
use std::fmt::Write as _;

/// What a kind means, in one line.
const KINDS: [(&str, &str); 5] = [
    ("pass", "the packet went on"),
    ("drop", "the packet was dropped"),
    (
        "anomaly, drop",
        "the packet was dropped as malformed, forged or an attack; an `anomaly` event besides the `drop`",
    ),
    ("anomaly", "odd, counted, not decisive: the packet got another reason as its verdict"),
    ("error", "a fault or a limit of Dropgate's own"),
];

/// The word for a kind.
pub const fn kind(kind: Kind) -> &'static str {
    KINDS[match kind {
        Kind::Pass => 0,
        Kind::Drop => 1,
        Kind::AnomalyDrop => 2,
        Kind::Anomaly => 3,
        Kind::Error => 4,
    }]
    .0
}

/// The whole list as Markdown, stage by stage in packet order. `docs/reasons.md` is exactly this.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Reasons\n\n\
        Every packet gets exactly one verdict, and every verdict a reason. The names are stable: counters, EVE events, `--json`\n\
        output and metrics use them. Numbers are those of the maps; none is ever used again.\n\n\
        This page is generated from the list in `xdp/abi/src/reason.rs`; a test compares the two.\n\n\
        | kind | what it says |\n| --- | --- |\n",
    );
    for (word, meaning) in KINDS {
        let _ = writeln!(out, "| {word} | {meaning} |");
    }
    for stage in Stage::ALL {
        let mut lines = REASONS.iter().filter(|info| info.stage == stage).peekable();
        if lines.peek().is_none() {
            continue;
        }
        let _ = write!(
            out,
            "\n## {}\n\n| number | name | kind | meaning | ATT&CK |\n| ---: | --- | --- | --- | --- |\n",
            stage.name()
        );
        for info in lines {
            let _ = writeln!(
                out,
                "| {} | `{}` | {} | {} | {} |",
                info.reason.0,
                info.name,
                kind(info.kind),
                info.meaning,
                info.attack
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set `DROPGATE_BLESS=1` to write the page.
    #[test]
    fn the_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reasons.md");
        if std::env::var_os("DROPGATE_BLESS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == markdown(),
            "docs/reasons.md differs from the list; write it with `DROPGATE_BLESS=1 cargo test -p dropgate reasons`"
        );
    }

    #[test]
    fn every_reason_stands_on_the_page_once() {
        let page = markdown();
        for info in REASONS {
            assert_eq!(page.matches(&format!("| `{}` |", info.name)).count(), 1, "{}", info.name);
        }
    }
}
