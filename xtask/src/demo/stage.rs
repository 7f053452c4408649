//! One try: run it, find what Dropgate says about it, and compare.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;
use dropgate_lab::{Gateway, Namespace, run};
use serde_json::Value;

use super::{
    daemon::{Applied, Daemon},
    eve::{Events, Wanted},
    policy::PolicyText,
    table::{Expect, Row, Table},
};

/// Nothing that a client does here takes longer.
const CLIENT: Duration = Duration::from_secs(10);

/// What a client saw.
#[derive(Clone, Debug)]
pub struct Happened {
    /// Whether it got what it wanted.
    pub worked: bool,
    /// A few words about it.
    pub note: String,
}

/// A packet of the try: the first one, unless something else is the point.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The zone it starts in: a name of the policy, `self` or `outside`.
    pub zone: &'static str,
    /// Source address.
    pub from: &'static str,
    /// Destination address.
    pub to: &'static str,
    /// `tcp`, `udp`, `icmp` or `icmpv6`.
    pub protocol: &'static str,
    /// Destination port, where the protocol has ports.
    pub port: Option<u16>,
}

impl Packet {
    /// A TCP packet.
    pub fn tcp(zone: &'static str, from: &'static str, to: &'static str, port: u16) -> Self {
        Self { zone, from, to, protocol: "tcp", port: Some(port) }
    }

    /// A UDP packet.
    pub fn udp(zone: &'static str, from: &'static str, to: &'static str, port: u16) -> Self {
        Self { zone, from, to, protocol: "udp", port: Some(port) }
    }

    fn wanted(&self) -> Wanted {
        Wanted { from: self.from.to_owned(), to: self.to.to_owned(), port: self.port }
    }

    /// As `dropgate explain --to` takes it.
    fn target(&self) -> String {
        match self.port {
            Some(port) if self.to.contains(':') => format!("[{}]:{port}/{}", self.to, self.protocol),
            Some(port) => format!("{}:{port}/{}", self.to, self.protocol),
            None => format!("{}/{}", self.to, self.protocol),
        }
    }
}

/// Everything that the demo has on its hands. Fields drop in order: the laboratory last.
#[derive(Debug)]
pub struct Stage {
    pub table: Table,
    pub events: Events,
    pub policy: PolicyText,
    pub daemon: Daemon,
    pub lab: Gateway,
}

impl Stage {
    /// Pushes a policy, by which rows are judged from then on.
    pub fn push(&mut self, policy: &Path) -> Result<Applied> {
        let applied = self.daemon.apply(policy)?;
        self.policy = PolicyText::read(policy)?;
        Ok(applied)
    }

    /// Runs a try and adds its row.
    pub fn attempt(
        &mut self,
        tried: &str,
        packet: &Packet,
        expect: Expect,
        work: impl FnOnce(&Gateway) -> Result<Happened>,
    ) -> Result<()> {
        self.events.mark();
        let happened = work(&self.lab)?;
        let verdict = match &expect {
            Expect::Dropped(reason) => self.judge_dropped(packet, reason, &happened)?,
            Expect::Allowed(service) => self.judge_allowed(packet, service, &happened)?,
            Expect::Holds(_) => {
                Verdict { differs: (!happened.worked).then(|| happened.note.clone()), ..Verdict::default() }
            }
        };
        self.table.add(Row {
            from: packet.zone,
            tried: tried.to_owned(),
            expect,
            happened: happened.note,
            reason: verdict.reason,
            line: verdict.line,
            differs: verdict.differs,
        });
        Ok(())
    }

    /// The daemon's drop event must name the reason, and the client must have got nothing.
    fn judge_dropped(&self, packet: &Packet, reason: &str, happened: &Happened) -> Result<Verdict> {
        let Some(event) = self.events.drop_since_mark(&packet.wanted(), reason)? else {
            return Ok(Verdict::differs("no drop event was written"));
        };
        let said = text(&event["dropgate"]["reason"]);
        let line = event["dropgate"]["line"].as_u64().unwrap_or(0);
        let differs = if happened.worked {
            Some("the client got through".to_owned())
        } else if said != reason {
            Some(format!("dropped for `{said}`"))
        } else {
            None
        };
        Ok(Verdict { reason: said, line: self.place(line), differs })
    }

    /// The client must have got its answer without a drop on the way, and `explain` must name the service and its line.
    fn judge_allowed(&self, packet: &Packet, service: &str, happened: &Happened) -> Result<Verdict> {
        if let Some(event) = self.events.drops(&packet.wanted())?.first() {
            let said = text(&event["dropgate"]["reason"]);
            return Ok(Verdict { differs: Some(format!("a packet was dropped for `{said}`")), ..Verdict::default() });
        }
        let explained = match self.daemon.explain(packet.zone, packet.from, &packet.target()) {
            Ok(explained) => explained,
            Err(error) => return Ok(Verdict::differs(&format!("{error:#}"))),
        };
        let said = text(&explained["service"]);
        let line = explained["policy"]["line"].as_u64().unwrap_or(0);
        let differs = if !happened.worked {
            Some("the client failed".to_owned())
        } else if said != service {
            Some(format!("explain names the service `{said}`: {explained}"))
        } else if self.policy.service_at(line) != Some(service) {
            Some(format!("explain names line {line}, which is not of `{service}`"))
        } else {
            None
        };
        Ok(Verdict { reason: text(&explained["reason"]), line: self.place(line), differs })
    }

    fn place(&self, line: u64) -> String {
        if line == 0 { "no line".to_owned() } else { self.policy.place(line) }
    }
}

#[derive(Default)]
struct Verdict {
    reason: String,
    line: String,
    differs: Option<String>,
}

impl Verdict {
    fn differs(why: &str) -> Self {
        Self { differs: Some(why.to_owned()), ..Self::default() }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Runs a client; it worked if it ended well and printed `answer`.
pub fn client(from: &Namespace, line: &str, answer: &str) -> Result<Happened> {
    let mut words = line.split_whitespace();
    let mut command = from.command(words.next().unwrap_or_default());
    judge(command.args(words), answer)
}

/// As [`client`], with a command that is made already.
pub fn judge(command: &mut Command, answer: &str) -> Result<Happened> {
    let finished = run(command, CLIENT)?;
    let said = [finished.stdout, finished.stderr].concat();
    let status = finished.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    if finished.status.is_some_and(|status| status.success()) && said.contains(answer) {
        return Ok(Happened { worked: true, note: "works".to_owned() });
    }
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or(&status);
    Ok(Happened { worked: false, note: format!("blocked ({})", last.trim().chars().take(48).collect::<String>()) })
}
