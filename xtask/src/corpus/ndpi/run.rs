//! Captures through the released binary.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::shell;

/// Every port is open, what is registered for it is expected there, and whatever else is spoken is told of.
const POLICY: &str = include_str!("policy.toml");

/// Captures that one run takes.
const BATCH: usize = 64;

/// What `replay` said of a flow.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// `None`: nothing was said that tells.
    pub app: Option<String>,
    pub expected: Vec<String>,
    /// `None`: it is as expected.
    pub reason: Option<String>,
}

/// Flows by name of the capture, transport and both ends, the smaller one first.
pub type Flows = HashMap<Key, Vec<Said>>;

/// See [`Flows`].
pub type Key = (String, String, [(String, u16); 2]);

/// The key of a flow, whichever end is named first.
pub fn key(capture: &str, transport: &str, mut ends: [(String, u16); 2]) -> Key {
    for (address, _) in &mut ends {
        if let Some(parsed) = parsed(address.trim_matches(['[', ']'])) {
            *address = parsed.to_string();
        }
    }
    ends.sort();
    (capture.to_owned(), transport.to_owned(), ends)
}

/// One address has several spellings. nDPI also leaves out each single zero of an IPv6 address: `2001:db8::1::`.
fn parsed(address: &str) -> Option<IpAddr> {
    let mut address = address.to_owned();
    while address.matches("::").count() > 1 {
        address = address.replacen("::", ":0:", 1);
    }
    address.parse().ok()
}

/// Replays captures; their flows.
pub fn flows(captures: &[PathBuf]) -> Result<Flows> {
    let policy = std::env::temp_dir().join(format!("dropgate-corpus-{}.toml", std::process::id()));
    fs::write(&policy, POLICY).with_context(|| format!("cannot write `{}`", policy.display()))?;
    let mut flows = Flows::new();
    let ran = captures.chunks(BATCH).try_for_each(|batch| replay(&policy, batch, &mut flows));
    let _ = fs::remove_file(&policy);
    ran.map(|()| flows)
}

fn replay(policy: &Path, captures: &[PathBuf], flows: &mut Flows) -> Result<()> {
    let mut command = Command::new(shell::root().join("target/release/dropgate"));
    command.args(["replay", "--json", "--initiator-inside", "--policy"]).arg(policy).args(captures);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start `dropgate replay`")?;
    for line in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line?;
        if line.starts_with(r#"{"type":"flow""#)
            && let Some((key, said)) = said(&line, captures)
        {
            flows.entry(key).or_default().push(said);
        }
    }
    match child.wait()?.code() {
        // a capture that could not be read to its end is none of our concern here
        Some(0 | 1) => Ok(()),
        code => bail!("`dropgate replay` ended with {code:?}, expected 0 or 1; run it alone on one of {captures:?}"),
    }
}

/// One line of a flow.
fn said(line: &str, captures: &[PathBuf]) -> Option<(Key, Said)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    // in a run over one capture its name goes without saying
    let path = line["file"].as_str().map_or_else(|| captures.first().cloned(), |file| Some(PathBuf::from(file)))?;
    let capture = path.file_name()?.to_str()?.to_owned();
    let end = |address, port: &str| Some((text(address)?, u16::try_from(line[port].as_u64()?).ok()?));
    let ends = [end("src", "sport")?, end("dst", "dport")?];
    let expected = line["expected"].as_array().into_iter().flatten().filter_map(|name| name.as_str());
    let said = Said {
        app: text("app_proto").filter(|name| name != "failed"),
        expected: expected.map(str::to_owned).collect(),
        reason: text("reason"),
    };
    Some((key(&capture, &text("proto")?, ends), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_several_spellings() {
        let ends = |first: &str| [(first.to_owned(), 1), ("10.0.0.1".to_owned(), 2)];
        assert_eq!(key("a", "UDP", ends("[2a03:0::b00c:0:3]")), key("a", "UDP", ends("2a03::b00c:0:3")));
    }

    #[test]
    fn a_line_of_a_flow() {
        let line = r#"{"type":"flow","file":"a/b.pcap","proto":"TCP","src":"10.0.0.9","sport":9,"dst":"10.0.0.2",
            "dport":80,"app_proto":"tls","expected":["http"],"verdict":"alert","reason":"app_mismatch"}"#;
        let (found, said) = said(line, &[]).unwrap();
        assert_eq!(found, key("b.pcap", "TCP", [("10.0.0.2".into(), 80), ("10.0.0.9".into(), 9)]));
        assert_eq!((said.app.as_deref(), said.reason.as_deref()), (Some("tls"), Some("app_mismatch")));
    }
}
