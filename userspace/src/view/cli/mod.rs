//! `dropgate replay` and `dropgate explain --policy`: arguments, and what is done with them.

mod batch;
mod explain;
mod replay;

pub use self::{
    explain::{About, ExplainArgs, explain_main, explain_with},
    replay::{REPLAY_FLOWS, ReplayArgs, replay_main},
};

use super::{
    replay::Judge,
    subject::{Subject, SubjectError},
};
use crate::policy::{self, Diagnostic, Image};
use std::{io, process::ExitCode};

/// The answer is no, or something was wrong with a capture.
const NO: u8 = 1;
/// A mistake on the command line.
const USAGE: u8 = 2;
/// The environment cannot do it.
const ENVIRONMENT: u8 = 3;

/// Loads a policy; tells what is wrong with it on standard error.
fn load(path: &std::path::Path, json: bool) -> Result<Subject, ExitCode> {
    match Subject::load(path) {
        Ok(subject) => {
            if !json {
                tell(&subject.warnings);
            }
            Ok(subject)
        }
        Err(error) => {
            if let SubjectError::Invalid { errors, .. } = &error {
                tell(errors);
            }
            eprintln!("error: {error}");
            Err(ExitCode::from(NO))
        }
    }
}

fn tell(found: &[Diagnostic]) {
    let colour = io::IsTerminal::is_terminal(&io::stderr());
    eprint!("{}", policy::render(found, colour));
}

fn programs<J: Judge>(subject: &Subject, load: impl FnOnce(&Image) -> anyhow::Result<J>) -> Result<J, ExitCode> {
    load(&subject.image).map_err(|error| {
        eprintln!("error: the programs cannot be loaded: {}", brief(&format!("{error:#}")));
        eprintln!("  this needs root (CAP_BPF, CAP_NET_ADMIN) and a kernel with BTF");
        ExitCode::from(ENVIRONMENT)
    })
}

/// The first line and the last ones: between them a kernel that refuses a program writes thousands.
fn brief(text: &str) -> String {
    const LAST: usize = 6;
    let lines: Vec<&str> = text.lines().collect();
    match lines.split_first() {
        Some((first, rest)) if rest.len() > LAST => {
            let last = &rest[rest.len() - LAST..];
            format!("{first}\n  ... {} lines left out\n  {}", rest.len() - LAST, last.join("\n  "))
        }
        _ => text.to_owned(),
    }
}
