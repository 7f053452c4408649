//! `dropgate rules`.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::Path,
    process::ExitCode,
};

use clap::Args;
use dropgate_signatures::load::{self, File, Loaded, Options, Outcome, Variables};

use super::client;
use crate::{
    policy::{
        self,
        rules::{MAX_FILE, in_directory},
        source::{ReadError, read_bytes},
    },
    view,
};

/// Arguments of `rules`.
#[derive(Args, Debug)]
pub struct RulesArgs {
    /// File of rules, or a directory of `*.rules`; without any, the rules that the running daemon has in force
    #[arg(long)]
    pub file: Vec<String>,
    /// A variable of the rules: `HOME_NET=10.0.0.0/8`
    #[arg(long, value_name = "NAME=VALUE", requires = "file")]
    pub variable: Vec<String>,
    /// Suricata's `classification.config`
    #[arg(long, value_name = "FILE", requires = "file")]
    pub classification: Option<String>,
    /// Suricata's `threshold.config`
    #[arg(long, value_name = "FILE", requires = "file")]
    pub thresholds: Option<String>,
    /// One JSON line a rule on standard output
    #[arg(long)]
    pub json: bool,
}

/// Reads rules and says of each whether it loads, or asks the daemon for those it has. 0: done; 1: none of them loads; 3: a file
/// cannot be read, or no daemon answers.
pub fn rules(args: &RulesArgs) -> anyhow::Result<ExitCode> {
    if args.file.is_empty() {
        return client::rules(args.json);
    }
    let mut variables = Variables::default();
    for definition in &args.variable {
        let Some((name, value)) = definition.split_once('=') else {
            eprintln!("error: `--variable {definition}` is no definition: expected `NAME=VALUE`");
            return Ok(ExitCode::from(2));
        };
        variables.set(name, value);
    }
    let mut files = Vec::new();
    for name in &args.file {
        let path = Path::new(name);
        let io = |error| ReadError::Io { name: name.clone(), error };
        let paths = if path.is_dir() { in_directory(path).map_err(io)? } else { vec![path.to_owned()] };
        for path in paths {
            files.push(read(&path.display().to_string())?);
        }
    }
    let classification = args.classification.as_deref().map(read).transpose()?;
    let thresholds = args.thresholds.as_deref().map(read).transpose()?;
    let files: Vec<File<'_>> = files.iter().map(file).collect();
    let loaded = load::load(
        &files,
        &Options {
            variables,
            classification: classification.as_ref().map(file),
            references: None,
            thresholds: thresholds.as_ref().map(file),
            read: &|rules, name| {
                let path = Path::new(rules).parent().unwrap_or(Path::new("")).join(name);
                read_bytes(&path, name, MAX_FILE).map_err(|error| error.to_string())
            },
        },
    );
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        for outcome in &loaded.outcomes {
            writeln!(out, "{}", serde_json::to_string(&Line::of(outcome))?)?;
        }
    } else {
        eprint!("{}", policy::render(&loaded.diagnostics, io::stderr().is_terminal()));
        writeln!(out, "{}", view::rules::table(&loaded.rules))?;
        summary(&mut out, &loaded)?;
    }
    out.flush()?;
    let none = loaded.rules.is_empty() && !loaded.outcomes.is_empty();
    Ok(if none { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn read(name: &str) -> Result<(String, Vec<u8>), ReadError> {
    Ok((name.to_owned(), read_bytes(Path::new(name), name, MAX_FILE)?))
}

fn file((name, bytes): &(String, Vec<u8>)) -> File<'_> {
    File { name, bytes }
}

/// What came of a rule, in JSON: its keys stand in this order. A rule whose number could not be read is told by its place.
#[derive(serde::Serialize)]
struct Line<'a> {
    sid: u32,
    loaded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    keyword: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

impl<'a> Line<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let refused = outcome.refused.as_ref();
        let unnumbered = outcome.sid == 0;
        Self {
            sid: outcome.sid,
            loaded: refused.is_none(),
            keyword: refused.map(|refused| &*refused.keyword),
            error: refused.map(|refused| &*refused.error),
            file: unnumbered.then_some(&*outcome.file),
            line: unnumbered.then_some(outcome.line),
        }
    }
}

/// How many rules there are, and what stopped the others, by keyword and what was said most.
fn summary(out: &mut impl Write, loaded: &Loaded) -> io::Result<()> {
    let (all, sound) = (loaded.outcomes.len(), loaded.rules.len());
    let share = if all == 0 { 100.0 } else { 100.0 * sound as f64 / all as f64 };
    writeln!(out, "{sound} of {all} rules load ({share:.2}%), {} are commented out", loaded.disabled)?;
    let mut keywords: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for refused in loaded.outcomes.iter().filter_map(|outcome| outcome.refused.as_ref()) {
        *keywords.entry(&refused.keyword).or_default().entry(&refused.error).or_default() += 1;
    }
    let mut keywords: Vec<_> =
        keywords.into_iter().map(|(name, why)| (why.values().sum::<usize>(), name, why)).collect();
    keywords.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    for (count, keyword, why) in keywords {
        let most = why.iter().max_by_key(|(_, count)| **count).map_or("", |(error, _)| error);
        let others = if why.len() > 1 { format!(" (and {} other reasons)", why.len() - 1) } else { String::new() };
        writeln!(out, "{count:>8} left out by `{keyword}`: {most}{others}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_says_what_came_of_a_rule() {
        let text = b"alert ip any any -> any any (sid:5;)\nalert ip any any -> any any (lua:a.lua; sid:6;)\nalert x\n";
        let options = Options {
            variables: Variables::default(),
            classification: None,
            references: None,
            thresholds: None,
            read: &|_, _| Err(String::new()),
        };
        let loaded = load::load(&[File { name: "a.rules", bytes: text }], &options);
        let lines: Vec<String> =
            loaded.outcomes.iter().map(|outcome| serde_json::to_string(&Line::of(outcome)).unwrap()).collect();
        assert_eq!(lines[0], r#"{"sid":5,"loaded":true}"#);
        assert_eq!(
            lines[1],
            r#"{"sid":6,"loaded":false,"keyword":"lua","error":"`lua` is not supported: scripts are not run"}"#
        );
        assert!(lines[2].starts_with(r#"{"sid":0,"loaded":false,"keyword":"rule","error":"#), "{}", lines[2]);
        assert!(lines[2].ends_with(r#","file":"a.rules","line":3}"#), "{}", lines[2]);
    }
}
