//! Policy: text in, diagnostics or maps out.
//!
//! A file goes through three forms, each in its module: the TOML tree becomes a checked [`model`] ([`load`]); the model is
//! compiled for a machine into an [`Image`] ([`compile()`]); the loader writes the image into the maps of a slot.
//! `docs/policy.md` says what a file means.

pub mod analysis;
mod bridge;
mod check;
pub mod codes;
pub mod compile;
mod describe;
pub mod diagnostic;
pub mod diff;
mod lockout;
pub mod model;
mod parse;
pub mod prefix;
pub mod rules;
pub mod source;
mod tunnels;
mod uninspected;

use std::path::Path;

pub use dropgate_signatures::diagnostic::{render, summary};

pub use self::{
    codes::Severity,
    compile::{Environment, Ids, Image, compile},
    diagnostic::Diagnostic,
    diff::{Diff, RulesChanged, diff},
    model::Policy,
    prefix::Prefix,
    source::Source,
};
use self::{
    diagnostic::{Diagnostics, Place},
    source::MAX_POLICY_BYTES,
};

/// Reads a policy file and the lists it names, which are relative to it.
///
/// The policy is `None` when some diagnostic is an error.
pub fn load(path: &Path) -> (Option<Policy>, Vec<Diagnostic>) {
    let name = path.display().to_string();
    match source::read(path, &name, MAX_POLICY_BYTES) {
        Ok(source) => parse(source, path.parent().unwrap_or(Path::new(""))),
        Err(error) => {
            let place = Place::file(name);
            (None, vec![Diagnostic::new(&codes::READ, place, error.to_string())])
        }
    }
}

/// Reads a policy from text; list files are looked for in `directory`.
///
/// The policy is `None` when some diagnostic is an error.
pub fn parse(source: Source, directory: &Path) -> (Option<Policy>, Vec<Diagnostic>) {
    let name = source.name.clone();
    let (policy, diagnostics) = parse::parse(source, directory);
    (policy, diagnostics.into_sorted(&name))
}

/// Reads a policy file and compiles it without putting anything in force: what `dropgate check` does.
///
/// With an environment, what is wrong for this machine is reported too; if it lacks an interface, the policy may be meant
/// for another machine, and of this one only that is reported.
pub fn check(path: &Path, environment: Option<&Environment>) -> (Option<Policy>, Vec<Diagnostic>) {
    let (policy, found) = load(path);
    let Some(policy) = policy else {
        return (None, found);
    };
    let mut all = found;
    let missing = environment.map(|environment| missing_interfaces(&policy, environment));
    let environment = match (environment, &missing) {
        (Some(environment), Some(missing)) if missing.is_empty() => environment.clone(),
        _ => Environment::synthetic(&policy),
    };
    all.extend(missing.into_iter().flatten());
    let compiled = compile(&policy, &environment, &mut Ids::default());
    let sound = compiled.is_ok();
    all.extend(compiled.map_or_else(|errors| errors, |image| image.warnings));
    if sound {
        all.extend(analysis::analyse(&policy, &environment).diagnostics(&policy));
    }
    let mut sorted = Diagnostics::default();
    sorted.extend(all);
    (Some(policy).filter(|_| sound), sorted.into_sorted(&path.display().to_string()))
}

/// The interfaces of a policy that a machine lacks.
pub fn missing_interfaces(policy: &Policy, environment: &Environment) -> Vec<Diagnostic> {
    let interfaces = policy.interfaces();
    interfaces
        .into_iter()
        .filter(|(name, _)| !environment.interfaces.contains_key(*name))
        .map(|(_, interface)| compile::no_interface(policy, environment, interface))
        .collect()
}
