//! `dropgate check FILE`.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::{
    netlink,
    policy::{self, Environment, rules},
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
    let signatures = policy.as_ref().and_then(|policy| policy.signatures.as_ref());
    let loaded = signatures.filter(|signatures| !signatures.files.is_empty()).map(|signatures| &*signatures.loaded);
    if args.json {
        let mut document = serde_json::json!({ "valid": valid, "diagnostics": diagnostics });
        if let Some(loaded) = loaded {
            let left_out = rules::left_out(loaded);
            document["rules"] = serde_json::json!({
                "loaded": loaded.rules.len(), "commented_out": loaded.disabled, "left_out": left_out,
            });
        }
        writeln!(std::io::stdout(), "{document:#}")?;
    } else {
        let mut err = std::io::stderr().lock();
        write!(err, "{}", policy::render(&diagnostics, std::io::stderr().is_terminal()))?;
        if let Some(loaded) = loaded {
            write!(err, "{}", rules::summary(loaded))?;
        }
        writeln!(err, "{}", policy::summary(&diagnostics))?;
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
