//! `classtype` and `reference`: what their names stand for.

use std::{collections::HashMap, ops::Range, sync::Arc};

use crate::{rule::Class, text::statements};

/// Classes by name.
#[derive(Clone, Debug)]
pub struct Classes(HashMap<Box<str>, Class>);

/// Where references of a system are found.
#[derive(Clone, Debug, Default)]
pub struct References(HashMap<Box<str>, Arc<str>>);

/// Priority of a class that nobody has defined.
pub const DEFAULT_PRIORITY: u8 = 3;

/// The classes that sets of rules commonly use: name, description, priority.
const WELL_KNOWN: &[(&str, &str, u8)] = &[
    ("not-suspicious", "Not Suspicious Traffic", 3),
    ("unknown", "Unknown Traffic", 3),
    ("bad-unknown", "Potentially Bad Traffic", 2),
    ("attempted-recon", "Attempted Information Leak", 2),
    ("successful-recon-limited", "Information Leak", 2),
    ("successful-recon-largescale", "Large Scale Information Leak", 2),
    ("attempted-dos", "Attempted Denial of Service", 2),
    ("successful-dos", "Denial of Service", 2),
    ("attempted-user", "Attempted User Privilege Gain", 1),
    ("unsuccessful-user", "Unsuccessful User Privilege Gain", 1),
    ("successful-user", "Successful User Privilege Gain", 1),
    ("attempted-admin", "Attempted Administrator Privilege Gain", 1),
    ("successful-admin", "Successful Administrator Privilege Gain", 1),
    ("rpc-portmap-decode", "Decode of an RPC Query", 2),
    ("shellcode-detect", "Executable code was detected", 1),
    ("string-detect", "A suspicious string was detected", 3),
    ("suspicious-filename-detect", "A suspicious filename was detected", 2),
    ("suspicious-login", "An attempted login using a suspicious username was detected", 2),
    ("system-call-detect", "A system call was detected", 2),
    ("tcp-connection", "A TCP connection was detected", 4),
    ("trojan-activity", "A Network Trojan was detected", 1),
    ("unusual-client-port-connection", "A client was using an unusual port", 2),
    ("network-scan", "Detection of a Network Scan", 3),
    ("denial-of-service", "Detection of a Denial of Service Attack", 2),
    ("non-standard-protocol", "Detection of a non-standard protocol or event", 2),
    ("protocol-command-decode", "Generic Protocol Command Decode", 3),
    ("web-application-activity", "access to a potentially vulnerable web application", 2),
    ("web-application-attack", "Web Application Attack", 1),
    ("misc-activity", "Misc activity", 3),
    ("misc-attack", "Misc Attack", 2),
    ("icmp-event", "Generic ICMP event", 3),
    ("inappropriate-content", "Inappropriate Content was Detected", 1),
    ("policy-violation", "Potential Corporate Privacy Violation", 1),
    ("default-login-attempt", "Attempt to login by a default username and password", 2),
    ("targeted-activity", "Targeted Malicious Activity was Detected", 1),
    ("exploit-kit", "Exploit Kit Activity Detected", 1),
    ("external-ip-check", "Device Retrieving External IP Address Detected", 2),
    ("domain-c2", "Domain Observed Used for C2 Detected", 1),
    ("pup-activity", "Possibly Unwanted Program Detected", 2),
    ("credential-theft", "Successful Credential Theft Detected", 1),
    ("social-engineering", "Possible Social Engineering Attempted", 2),
    ("coin-mining", "Crypto Currency Mining Activity Detected", 2),
    ("command-and-control", "Malware Command and Control Activity Detected", 1),
];

impl Default for Classes {
    fn default() -> Self {
        let class = |(name, description, priority): &(&str, &str, u8)| {
            let class = Class { name: (*name).into(), description: (*description).into(), priority: *priority };
            ((*name).into(), class)
        };
        Self(WELL_KNOWN.iter().map(class).collect())
    }
}

/// A line of a configuration that has no meaning: where in the file, and what should stand there.
pub(super) type WrongLine = (Range<usize>, &'static str);

impl Classes {
    /// Adds those of a `classification.config`, whose lines define one each: `config classification: name,description,priority`.
    pub(super) fn extend(&mut self, bytes: &[u8]) -> Vec<WrongLine> {
        const EXPECTED: &str = "`config classification: name,description,priority`";
        entries(bytes, "classification", |rest| {
            let (name, rest) = rest.split_once(',')?;
            let (description, priority) = rest.rsplit_once(',')?;
            let priority = priority.trim().parse().ok().filter(|priority| *priority > 0)?;
            let name = name.trim().to_ascii_lowercase();
            let class = Class { name: name.as_str().into(), description: description.trim().into(), priority };
            self.0.insert(name.into(), class);
            Some(())
        })
        .into_iter()
        .map(|at| (at, EXPECTED))
        .collect()
    }

    /// The class of a name. One that nobody has defined has no description, and [`DEFAULT_PRIORITY`].
    pub fn class(&self, name: &str) -> Class {
        let known = self.0.get(name).or_else(|| self.0.get(name.to_ascii_lowercase().as_str()));
        known.cloned().unwrap_or_else(|| Class {
            name: name.into(),
            description: "".into(),
            priority: DEFAULT_PRIORITY,
        })
    }

    /// Whether a name is defined.
    pub fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name) || self.0.contains_key(name.to_ascii_lowercase().as_str())
    }
}

impl References {
    /// Adds those of a `reference.config`: `config reference: system prefix`.
    pub(super) fn extend(&mut self, bytes: &[u8]) -> Vec<WrongLine> {
        const EXPECTED: &str = "`config reference: system prefix`";
        entries(bytes, "reference", |rest| {
            let (system, prefix) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
            if system.is_empty() {
                return None;
            }
            self.0.insert(system.to_ascii_lowercase().into(), prefix.trim().into());
            Some(())
        })
        .into_iter()
        .map(|at| (at, EXPECTED))
        .collect()
    }

    /// Where something is found; `None`: the system is not defined.
    pub fn url(&self, system: &str, name: &str) -> Option<String> {
        self.0.get(system).map(|prefix| format!("{prefix}{name}"))
    }
}

/// Hands out the lines `config WHAT: ...`; says where those are that are not taken, and any others.
fn entries(bytes: &[u8], what: &str, mut take: impl FnMut(&str) -> Option<()>) -> Vec<Range<usize>> {
    let mut wrong = Vec::new();
    for line in statements(bytes) {
        let text = String::from_utf8_lossy(&line.text);
        let rest = text
            .strip_prefix("config")
            .and_then(|rest| rest.trim_start().strip_prefix(what))
            .and_then(|rest| rest.trim_start().strip_prefix(':'));
        if rest.and_then(&mut take).is_none() {
            wrong.push(line.locate(0..line.text.len()));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_defined_and_defined_anew() {
        let mut classes = Classes::default();
        assert_eq!(classes.class("trojan-activity").priority, 1);
        let text = b"# own\nconfig classification: own,Of our own, really,4\r\nconfig classification:trojan-activity,Bad,2\nconfig x\n";
        let wrong = classes.extend(text);
        assert_eq!(wrong.len(), 1);
        assert_eq!(&text[wrong[0].0.clone()], b"config x");
        assert_eq!(&*classes.class("OWN").description, "Of our own, really");
        assert_eq!(classes.class("trojan-activity").priority, 2);
        assert!(!classes.knows("none") && classes.class("none").priority == DEFAULT_PRIORITY);
    }

    #[test]
    fn references_are_defined() {
        let mut references = References::default();
        assert!(references.extend(b"config reference: cve http://cve.example/?name=\nconfig reference:\n").len() == 1);
        assert_eq!(references.url("cve", "2021-1").as_deref(), Some("http://cve.example/?name=2021-1"));
        assert_eq!(references.url("none", "1"), None);
    }
}
