//! `dropgate check FILE`.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::{
    netlink,
    policy::{self, Environment},
};

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Policy file
    pub file: PathBuf,
    /// One JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

/// Compiles a policy for this machine and prints every diagnostic. 0: it would be put in force; 1: it would not.
pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let environment = netlink::environment().unwrap_or_default();
    let environment = if environment.interfaces.is_empty() { None } else { Some(environment) };
    let (policy, diagnostics) = policy::check(&args.file, environment.as_ref() as Option<&Environment>);
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let valid = policy.is_some() && errors == 0;
    if args.json {
        let document = serde_json::json!({ "valid": valid, "diagnostics": diagnostics });
        writeln!(std::io::stdout(), "{document:#}")?;
    } else {
        let mut err = std::io::stderr().lock();
        write!(err, "{}", policy::render(&diagnostics, std::io::stderr().is_terminal()))?;
        if let Some(signatures) = policy.as_ref().and_then(|policy| policy.signatures.as_ref()) {
            writeln!(err, "{signatures}")?;
        }
        writeln!(err, "{}", policy::summary(&diagnostics))?;
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
