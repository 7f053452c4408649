//! Rules that are loaded, for people and as JSON.

use dropgate_signatures::rule::{Action, Ends, Header, Protocol, Rule};
use serde::Serialize;

use super::text::{Table, clean};

/// A rule, without what it looks for.
#[derive(Clone, Debug, Serialize)]
pub struct RuleView<'a> {
    pub gid: u32,
    pub sid: u32,
    pub rev: u32,
    pub action: &'static str,
    pub protocol: String,
    pub message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classtype: Option<&'a str>,
    pub priority: u8,
    /// ATT&CK tactics and techniques that its metadata names.
    pub attack: Vec<&'a str>,
    pub file: &'a str,
    pub line: u32,
}

impl<'a> RuleView<'a> {
    /// A rule as it is shown.
    pub fn of(rule: &'a Rule) -> Self {
        Self {
            gid: rule.gid,
            sid: rule.sid,
            rev: rule.rev,
            action: action(rule.action),
            protocol: protocol(&rule.header),
            message: &rule.message,
            classtype: rule.class.as_ref().map(|class| &*class.name),
            priority: rule.priority,
            attack: attack(rule),
            file: &rule.file,
            line: rule.line,
        }
    }
}

/// A line for each rule.
pub fn table<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Table {
    let mut table = Table::new(&[">sid", ">rev", "action", "protocol", "ATT&CK", "message"]);
    for rule in rules {
        let of = RuleView::of(rule);
        let message = clean(of.message);
        let attack = clean(&of.attack.join(","));
        table.row([of.sid.to_string(), of.rev.to_string(), of.action.to_owned(), of.protocol, attack, message]);
    }
    table
}

/// What metadata says of ATT&CK: tactics and techniques.
fn attack(rule: &Rule) -> Vec<&str> {
    let ids = rule.metadata.iter().filter(|(key, _)| matches!(&**key, "mitre_tactic_id" | "mitre_technique_id"));
    ids.map(|(_, id)| &**id).collect()
}

/// An action as rules write it.
pub const fn action(action: Action) -> &'static str {
    match action {
        Action::Alert => "alert",
        Action::Drop => "drop",
        Action::Pass => "pass",
        Action::Reject(Ends::Source) => "reject",
        Action::Reject(Ends::Destination) => "rejectdst",
        Action::Reject(Ends::Both) => "rejectboth",
    }
}

fn protocol(header: &Header) -> String {
    match header.protocol {
        Protocol::Ip => "ip",
        Protocol::Ipv4 => "ipv4",
        Protocol::Ipv6 => "ipv6",
        Protocol::Tcp => "tcp",
        Protocol::TcpPacket => "tcp-pkt",
        Protocol::TcpStream => "tcp-stream",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
        Protocol::Icmpv4 => "icmpv4",
        Protocol::Icmpv6 => "icmpv6",
        Protocol::Sctp => "sctp",
        Protocol::Igmp => "igmp",
        Protocol::PacketHeader => "pkthdr",
        Protocol::Number(number) => return number.to_string(),
        Protocol::App(app) => app.name(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::rules;

    #[test]
    fn rules_are_shown_with_what_they_are_about() {
        let rules = rules(
            "drop http any any -> any any (msg:\"a\x07b\"; classtype:trojan-activity; \
             metadata:mitre_technique_id T1071, mitre_tactic_id TA0011; sid:7; rev:3;)",
        );
        let text = table(&rules).to_string();
        let line: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(line, ["7", "3", "drop", "http", "T1071,TA0011", "a?b"]);
        let json = serde_json::to_value(RuleView::of(&rules[0])).unwrap();
        assert_eq!(json["attack"], serde_json::json!(["T1071", "TA0011"]));
        assert_eq!((json["classtype"].as_str(), json["line"].as_u64()), (Some("trojan-activity"), Some(1)));
    }
}
