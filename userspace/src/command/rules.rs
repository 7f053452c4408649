//! `dropgate rules`.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write},
    process::ExitCode,
};

use clap::Args;
use dropgate_signatures::{
    load::{Loaded, Outcome, Variables},
    rule::{Action, Ends, Header, Protocol, Rule},
};

use crate::policy::{
    self,
    rules::{Files, summary},
};

/// Arguments of `rules`.
#[derive(Args, Debug)]
pub struct RulesArgs {
    /// File of rules, or a directory of `*.rules`
    #[arg(long, required = true)]
    pub file: Vec<String>,
    /// A variable of the rules: `HOME_NET=10.0.0.0/8`
    #[arg(long, value_name = "NAME=VALUE")]
    pub variable: Vec<String>,
    /// Suricata's `classification.config`
    #[arg(long, value_name = "FILE")]
    pub classification: Option<String>,
    /// Suricata's `threshold.config`
    #[arg(long, value_name = "FILE")]
    pub thresholds: Option<String>,
    /// One JSON line a rule on standard output
    #[arg(long)]
    pub json: bool,
}

/// Reads rules and says of each whether it loads. 0: done; 1: none of them does; 3: a file cannot be read.
pub fn rules(args: &RulesArgs) -> anyhow::Result<ExitCode> {
    let mut variables = Variables::default();
    for definition in &args.variable {
        let Some((name, value)) = definition.split_once('=') else {
            eprintln!("error: `--variable {definition}` is no definition: expected `NAME=VALUE`");
            return Ok(ExitCode::from(2));
        };
        variables.set(name, value);
    }
    let mut files = Files::default();
    for name in &args.file {
        files.add(name)?;
    }
    if let Some(name) = &args.classification {
        files.classification = Some(Files::beside(&files.directory, name)?);
    }
    if let Some(name) = &args.thresholds {
        files.thresholds = Some(Files::beside(&files.directory, name)?);
    }
    let loaded = files.load(variables);
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        for outcome in &loaded.outcomes {
            writeln!(out, "{}", line(outcome))?;
        }
    } else {
        eprint!("{}", policy::render(&loaded.diagnostics, io::stderr().is_terminal()));
        table(&mut out, &loaded)?;
        write!(out, "\n{}", summary(&loaded))?;
    }
    out.flush()?;
    let none = loaded.rules.is_empty() && !loaded.outcomes.is_empty();
    Ok(if none { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// What came of a rule, in JSON. A rule whose number could not be read is told by its place.
fn line(outcome: &Outcome) -> serde_json::Value {
    let mut object = match &outcome.refused {
        None => serde_json::json!({ "sid": outcome.sid, "loaded": true }),
        Some(refused) => serde_json::json!({
            "sid": outcome.sid, "loaded": false, "keyword": refused.keyword, "error": refused.error,
        }),
    };
    if outcome.sid == 0 {
        object["file"] = (*outcome.file).into();
        object["line"] = outcome.line.into();
    }
    object
}

/// A line for each rule that is loaded.
fn table(out: &mut impl Write, loaded: &Loaded) -> io::Result<()> {
    writeln!(out, "{:>10}  {:10}  {:10}  {:20}  MESSAGE", "SID", "ACTION", "PROTOCOL", "ATT&CK")?;
    for rule in &loaded.rules {
        let techniques = techniques(rule);
        let shown: String = rule.message.chars().filter(|c| !c.is_control()).collect();
        let (action, protocol) = (action(rule.action), protocol(&rule.header));
        writeln!(out, "{:>10}  {action:10}  {protocol:10}  {techniques:20}  {shown}", rule.sid)?;
    }
    Ok(())
}

/// What metadata says of ATT&CK: tactics and techniques.
fn techniques(rule: &Rule) -> String {
    let ids = rule.metadata.iter().filter(|(key, _)| matches!(&**key, "mitre_tactic_id" | "mitre_technique_id"));
    let ids: Vec<String> = ids.map(|(_, id)| id.chars().filter(|c| !c.is_control()).collect()).collect();
    ids.join(",")
}

fn action(action: Action) -> &'static str {
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
