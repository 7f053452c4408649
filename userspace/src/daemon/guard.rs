//! Interfaces of the policy that carry no programs: what the kernel would forward by them ends in nftables.
//!
//! An interface that has gone returns under another index, and for a moment, or for as long as no daemon runs, nobody judges what comes in
//! there. So a table of nftables lets pass what comes and goes by the indices that carry programs, and drops the rest by name. It
//! stays when the daemon ends; `stop --detach` takes it away.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::policy::{Environment, Policy};

/// The table, of the family `inet`.
const TABLE: &str = "dropgate";
/// Between two looks whether it is still there: `nft flush ruleset` takes every table away.
const PAUSE: Duration = Duration::from_secs(10);

/// The table, as it was written last.
#[derive(Debug, Default)]
pub struct Guard {
    script: String,
    seen: Option<Instant>,
    /// Why it is not there.
    fault: Option<String>,
}

impl Guard {
    /// Makes the table fit, which must not keep anything else from happening: what goes wrong is said once, and `status` shows it.
    /// `guarded`: index of an interface with programs.
    pub fn follow(&mut self, policy: &Policy, environment: &Environment, guarded: impl Fn(&str) -> Option<u32>) {
        // nobody calls an interface by what means something else to nftables
        let plain = |name: &&str| !name.contains(['"', '\\', '*']);
        let names: Vec<&str> = policy.interfaces().into_keys().filter(plain).collect();
        let wanted = script(&names, &here(&names, environment, guarded));
        if wanted != self.script || self.fault.is_some() {
            self.write(wanted);
        }
    }

    /// Writes the table again if somebody has taken it away.
    pub fn tick(&mut self) {
        if self.script.is_empty() || self.seen.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        self.seen = Some(Instant::now());
        if nft(&["list", "table", "inet", TABLE], "").is_err() {
            self.write(self.script.clone());
        }
    }

    /// Why there is no table, if there is none.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    fn write(&mut self, script: String) {
        let fault = nft(&["-f", "-"], &script).err().map(|error| error.to_string());
        if let (Some(why), None) = (&fault, &self.fault) {
            eprintln!(
                "dropgate: {why}: an interface that returns forwards what nobody judges until programs are on it; nftables would keep it from that"
            );
        }
        (self.script, self.seen, self.fault) = (script, Some(Instant::now()), fault);
    }
}

/// Takes the table away, if it is there.
pub fn remove() {
    // whoever has no nftables has no table
    let _ = nft(&["-f", "-"], &gone());
}

/// Indices by which packets may come and go: interfaces with programs, and the VLAN devices on them, whose frames are judged there.
fn here(names: &[&str], environment: &Environment, guarded: impl Fn(&str) -> Option<u32>) -> BTreeSet<u32> {
    let own = names.iter().filter_map(|name| guarded(name));
    own.flat_map(|index| environment.vlan_devices_on(index).into_iter().chain([index])).collect()
}

/// A script that takes the table away whether or not it is there.
fn gone() -> String {
    format!("table inet {TABLE} {{ }}\ndelete table inet {TABLE}\n")
}

fn script(names: &[&str], here: &BTreeSet<u32>) -> String {
    let here = here.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let exactly = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    // VLAN devices on them, as they are usually called
    let ends: Vec<String> =
        [format!("{{ {exactly} }}")].into_iter().chain(names.iter().map(|name| quoted(&format!("{name}.*")))).collect();
    let mut script = gone() + &format!("table inet {TABLE} {{\n");
    for (hook, keys) in [("forward", &["iif", "oif"][..]), ("input", &["iif"]), ("output", &["oif"])] {
        let _ = writeln!(script, "  chain {hook} {{\n    type filter hook {hook} priority raw; policy accept;");
        if !here.is_empty() {
            let known: Vec<String> = keys.iter().map(|key| format!("{key} {{ {here} }}")).collect();
            let _ = writeln!(script, "    {} accept", known.join(" "));
        }
        for (key, end) in keys.iter().flat_map(|key| ends.iter().map(move |end| (key, end))) {
            let other = if here.is_empty() { String::new() } else { format!("{key} != {{ {here} }} ") };
            let _ = writeln!(script, "    {key}name {end} {other}counter drop");
        }
        script.push_str("  }\n");
    }
    script + "}\n"
}

/// A name as nftables reads it.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// Runs nftables with a script.
fn nft(arguments: &[&str], script: &str) -> io::Result<()> {
    let mut command = Command::new("nft");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| io::Error::new(error.kind(), format!("`nft`: {error}")))?;
    if let Some(mut to) = child.stdin.take() {
        // what it did not read it says itself
        let _ = to.write_all(script.as_bytes());
    }
    let done = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    let first = said.lines().next().unwrap_or("no word why");
    if done.status.success() { Ok(()) } else { Err(io::Error::other(format!("`nft`: {first}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_is_dropped_by_name() {
        let script = script(&["lan0", "wan0"], &[7, 9].into());
        for line in [
            "iif { 7, 9 } oif { 7, 9 } accept",
            "iifname { \"lan0\", \"wan0\" } iif != { 7, 9 } counter drop",
            "oifname \"wan0.*\" oif != { 7, 9 } counter drop",
        ] {
            assert!(script.contains(line), "{line} in\n{script}");
        }
        let nobody = super::script(&["lan0"], &BTreeSet::new());
        assert!(
            nobody.contains("iifname { \"lan0\" } counter drop") && !nobody.contains("accept\n    iif"),
            "{nobody}"
        );
    }
}
