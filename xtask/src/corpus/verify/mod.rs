//! The tests of suricata-verify: a capture, rules, and what Suricata's events about them have to be.
//!
//! `docs/decisions/0014-suricata-verify.md` says which of them are in scope, and how they are counted.

mod case;
mod check;
mod events;
mod frames;
mod lists;
mod policy;
mod rules;
mod run;
mod scope;
mod settings;
mod version;
mod yaml;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;

use self::{
    case::Case,
    run::Verdict,
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
    /// Print each test that fails, with the first check that does
    #[arg(long)]
    verbose: bool,
    /// End with 1 if less than this share passes, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    least: f64,
    /// Leave policies and events of the tests in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Runs the tests below a folder and prints the share that passes.
pub fn run(folder: &Path, choice: &Choice) -> Result<ExitCode> {
    let mut cases = case::all(folder)?;
    if let Some(pattern) = &choice.only {
        cases.retain(|case| case.name.contains(pattern));
    }
    let (mut tests, mut reasons) = (Vec::new(), BTreeMap::<_, usize>::new());
    for case in &cases {
        match scope::judge(case) {
            Ok(scope) => tests.push((case, scope)),
            Err(Reason(why, seen)) => {
                *reasons.entry(why).or_default() += 1;
                if choice.scope {
                    println!("out\t{}\t{why}: {seen}", case.name);
                }
            }
        }
    }
    if choice.scope {
        for (case, scope) in &tests {
            println!("in\t{}\t{} checks, {} left out", case.name, scope.filters.len(), scope.left_out);
        }
    } else {
        let verdicts = run::all(&tests, choice.keep.as_deref())?;
        let share = report(&tests, &verdicts, choice.verbose);
        if share < choice.least {
            println!("{share:.1}% is less than {}%", choice.least);
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("{} tests, {} in scope; out of scope by", cases.len(), tests.len());
    for (why, count) in reasons {
        println!("  {why:10} {count:5}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the figures; the share of tests that passed, in percent.
fn report(tests: &[(&Case, Scope<'_>)], verdicts: &[Verdict], verbose: bool) -> f64 {
    let mut categories = BTreeMap::<&str, [usize; 2]>::new();
    for ((case, _), verdict) in tests.iter().zip(verdicts) {
        let [passed, all] = categories.entry(case.category()).or_default();
        *passed += usize::from(verdict.is_ok());
        *all += 1;
        if let (Err(failure), true) = (verdict, verbose) {
            let only = if failure.number_only { "number of packet only: " } else { "" };
            println!("failed\t{}\t{only}{}", case.name, failure.what);
        }
    }
    println!("{:24} {:>6} {:>6} {:>8}", "category", "tests", "passed", "share");
    for (category, [passed, all]) in &categories {
        println!("{category:24} {all:6} {passed:6} {:7.1}%", share(*passed, *all));
    }
    let passed = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
    let share = share(passed, tests.len());
    println!("{:24} {:6} {passed:6} {share:7.1}%", "all", tests.len());
    let number_only =
        verdicts.iter().filter_map(|verdict| verdict.as_ref().err()).filter(|failure| failure.number_only);
    println!("{} of the others fail by the number of a packet or by counters of a flow only", number_only.count());
    share
}

fn share(passed: usize, all: usize) -> f64 {
    if all == 0 { 100.0 } else { 100.0 * passed as f64 / all as f64 }
}
