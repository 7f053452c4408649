//! Parts of a policy in words, always the same for the same meaning.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use super::model::{
    Addresses, Answer, Expect, Fragment, Kind, Matches, Midstream, Peer, PortRange, Proxied, Publish, Reaction,
    Service, Target, Tunnel, Zone, protocol,
};

impl Display for PortRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl Display for Addresses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("any"),
            Self::Prefix(prefix) => write!(f, "{prefix}"),
            Self::List(name) => write!(f, "@{name}"),
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (&self.peer, &self.addresses) {
            (Peer::Outside, addresses) => write!(f, "{addresses}"),
            (Peer::Gateway, _) => f.write_str("self"),
            (Peer::Zone(name), Addresses::All) => write!(f, "zone:{name}"),
            (Peer::Zone(name), addresses) => write!(f, "zone:{name}/{addresses}"),
        }
    }
}

impl Display for Matches {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (name, ranges) in [
            ("tcp", &self.tcp),
            ("udp", &self.udp),
            ("sctp", &self.sctp),
            ("icmp", &self.icmp),
            ("icmpv6", &self.icmpv6),
        ] {
            if !ranges.is_empty() {
                parts.push(format!("{name} {}", joined(ranges.iter())));
            }
        }
        if !self.protocols.is_empty() {
            parts.push(format!("protocol {}", joined(self.protocols.iter())));
        }
        f.write_str(&parts.join(", "))
    }
}

impl Display for Service {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.matches, sorted(&self.to))?;
        if !self.except.is_empty() {
            write!(f, " except {}", sorted(&self.except))?;
        }
        write!(f, "{}", self.expect)?;
        if !self.inspect {
            f.write_str(", not inspected")?;
        }
        if let Some(proxied) = self.proxied {
            write!(f, ", proxied {proxied}")?;
        }
        self.tunnel.map_or(Ok(()), |tunnel| write!(f, ", tunnel {}", tunnel.word()))
    }
}

/// What stands behind the rest of a line; nothing where nothing is said.
impl Display for Expect {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered => Ok(()),
            Self::Any => f.write_str(", expect any"),
            Self::Only(protocols) => {
                let mut names: Vec<&str> = protocols.iter().map(|protocol| protocol.name()).collect();
                names.sort_unstable();
                names.dedup();
                write!(f, ", expect {}", joined(names.iter()))
            }
        }
    }
}

impl Display for Proxied {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(proxied(self.reaction))
    }
}

/// What is done where a proxy is asked for a target that is not allowed.
pub(super) const fn proxied(reaction: Option<Reaction>) -> &'static str {
    match reaction {
        None => "ignore",
        Some(reaction) => reaction.word(),
    }
}

impl Reaction {
    /// As the policy file has it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Drop => "drop",
            Self::Reset => "reset",
        }
    }
}

impl Midstream {
    /// As the policy file has it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Identify => "identify",
            Self::Drop => "drop",
        }
    }
}

impl Answer {
    /// As the policy file has it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Pass => "pass",
        }
    }
}

impl Display for Publish {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let transport = match self.protocol {
            protocol::TCP => "tcp",
            protocol::UDP => "udp",
            _ => "sctp",
        };
        write!(f, "{transport} {} at {} to {}", joined(self.ports.iter()), self.address, self.to)?;
        self.to_port.map_or(Ok(()), |port| write!(f, " port {port}"))?;
        write!(f, "{}", self.expect)?;
        self.tunnel.map_or(Ok(()), |tunnel| write!(f, ", tunnel {}", tunnel.word()))
    }
}

impl Tunnel {
    /// As the policy file has it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::Opaque => "opaque",
            Self::Drop => "drop",
        }
    }
}

/// A zone without its allowlist.
impl Display for Zone {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "interface {}", self.interface.name)?;
        if self.is_tagged() {
            write!(f, ", vlan {}", joined(self.vlan.iter().filter(|tag| **tag != 0)))?;
        }
        let auto = self.auto_prefixes.then(|| "auto".to_owned());
        let mut prefixes: Vec<_> = self.prefixes.iter().map(|(prefix, _)| *prefix).collect();
        prefixes.sort_unstable();
        let prefixes = auto.into_iter().chain(prefixes.iter().map(ToString::to_string));
        write!(f, ", prefixes {}", joined(prefixes))?;
        if self.loose {
            f.write_str(", loose")?;
        }
        if let Some(cap) = self.max_flows {
            write!(f, ", max_flows {cap}")?;
        }
        if self.dhcp {
            f.write_str(", dhcp")?;
        }
        Ok(())
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Route => "route",
            Self::Masquerade => "masquerade",
            Self::Bridge => "bridge",
        })
    }
}

impl Display for Fragment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Track => "track",
            Self::Pass => "pass",
        })
    }
}

/// A duration as the policy file has it, in the largest unit that leaves no rest.
pub(super) fn duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let fits = |(unit, _): &(u128, &str)| milliseconds > 0 && milliseconds.is_multiple_of(*unit);
    match units.into_iter().find(fits) {
        Some((unit, name)) => format!("{}{name}", milliseconds / unit),
        None if milliseconds == 0 => "0s".to_owned(),
        None => format!("{milliseconds}ms"),
    }
}

/// Parts with commas between them.
pub(super) fn joined(parts: impl Iterator<Item: Display>) -> String {
    parts.map(|part| part.to_string()).collect::<Vec<_>>().join(", ")
}

/// Parts in the order of their words.
pub(super) fn sorted(parts: &[impl Display]) -> String {
    let mut words: Vec<String> = parts.iter().map(ToString::to_string).collect();
    words.sort_unstable();
    words.dedup();
    words.join(", ")
}
