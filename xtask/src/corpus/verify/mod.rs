//! The tests of suricata-verify: a capture, rules, and what Suricata's events about them have to be.
//!
//! `docs/decisions/0014-suricata-verify.md` says which of them are in scope, and how they are counted.

mod case;
mod frames;
mod lists;
mod rules;
mod scope;
mod settings;
mod version;
mod yaml;

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use anyhow::Result;

use self::{
    case::Case,
    scope::{Reason, Scope},
};

/// What is run and shown.
#[derive(clap::Args)]
pub struct Choice {
    /// Only tests whose name contains this
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Say which tests are in scope, and of the others why not; run none
    #[arg(long)]
    scope: bool,
}

/// Runs the tests below a folder and prints the share that passes.
pub fn run(folder: &Path, choice: &Choice) -> Result<ExitCode> {
    let mut cases = case::all(folder)?;
    if let Some(pattern) = &choice.only {
        cases.retain(|case| case.name.contains(pattern));
    }
    let judged: Vec<(&Case, Result<Scope<'_>, Reason>)> = cases.iter().map(|case| (case, scope::judge(case))).collect();
    if choice.scope {
        for (case, scope) in &judged {
            match scope {
                Ok(scope) => println!("in\t{}\t{} checks, {} left out", case.name, scope.filters.len(), scope.left_out),
                Err(Reason(why, seen)) => println!("out\t{}\t{why}: {seen}", case.name),
            }
        }
    }
    let mut reasons = BTreeMap::<_, usize>::new();
    for Reason(why, _) in judged.iter().filter_map(|(_, scope)| scope.as_ref().err()) {
        *reasons.entry(*why).or_default() += 1;
    }
    let left: usize = reasons.values().sum();
    println!("{} tests, {} in scope; out of scope by", judged.len(), judged.len() - left);
    for (why, count) in reasons {
        println!("  {why:10} {count:5}");
    }
    Ok(ExitCode::SUCCESS)
}
