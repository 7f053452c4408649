//! Who stands in the path.

use std::{env, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use dropgate_lab::{Gateway, Kind, Namespace, Options, wait_until};

use crate::{daemon::Daemon, forward::folder, signatures::Set};

/// How long Suricata may take to load its rules.
const LIMIT: Duration = Duration::from_secs(60);

/// What decides about packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contender {
    /// Nothing: the kernel forwards and translates.
    Kernel,
    /// Dropgate without inspection: what headers alone cost.
    Headers,
    /// Dropgate; flows leave inspection once it is known what they speak.
    Dropgate,
    /// Dropgate; every packet is held to the end of its flow.
    Everything,
    /// Dropgate with rules: what is said is told of.
    Rules,
    /// Dropgate with rules, and nothing told of but alerts.
    RulesAlone,
    /// Suricata inline, by NFQUEUE.
    Suricata,
}

impl Contender {
    /// Those that can run here.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Kernel, Self::Headers, Self::Dropgate, Self::Everything];
        if on_the_path("suricata") {
            all.push(Self::Suricata);
        }
        all
    }

    /// Those that can run with rules, and what headers alone cost, which rules cannot mend.
    pub fn with_rules() -> Vec<Self> {
        let suricata = on_the_path("suricata").then_some(Self::Suricata);
        [Self::Kernel, Self::Headers, Self::Rules, Self::RulesAlone].into_iter().chain(suricata).collect()
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel alone",
            Self::Headers => "Dropgate, nothing inspected",
            Self::Dropgate => "Dropgate",
            Self::Everything => "Dropgate, everything held",
            Self::Rules => "Dropgate, rules",
            Self::RulesAlone => "Dropgate, rules, no log",
            Self::Suricata => "Suricata, NFQUEUE",
        }
    }
}

/// A masquerading gateway with one contender on it, and servers behind it.
pub struct Setting {
    pub contender: Contender,
    pub daemon: Option<Daemon>,
    pub lab: Gateway,
}

impl Setting {
    /// Builds it. `servers`: with servers; otherwise whoever needs one puts a sink there. `rules`: of those who have any.
    pub fn new(contender: Contender, program: &Path, servers: bool, rules: Option<&Set>) -> Result<Self> {
        let mut lab = Gateway::new(Kind::Masquerade, Options::default()).context("the laboratory")?;
        if servers {
            lab.start_servers().context("servers")?;
        }
        let daemon = match contender {
            Contender::Kernel => None,
            Contender::Suricata => {
                suricata(&mut lab, rules)?;
                None
            }
            _ => Some(Daemon::start(&mut lab, &policy(contender, rules)?, program)?),
        };
        Ok(Self { contender, daemon, lab })
    }

    /// Takes what was put on the gateway off again.
    pub fn end(self) -> Result<()> {
        self.daemon.map_or(Ok(()), |daemon| daemon.stop(&self.lab))
    }
}

fn policy(contender: Contender, rules: Option<&Set>) -> Result<String> {
    let path = folder().join("inspected.toml");
    let policy = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    Ok(match contender {
        Contender::Everything => policy.replace("everything = false", "everything = true"),
        Contender::Headers => policy.split("[inspection]").next().unwrap_or_default().to_owned(),
        Contender::Rules | Contender::RulesAlone => {
            let files = rules.map(Set::listed).unwrap_or_default();
            let log = contender == Contender::Rules;
            format!("{policy}\n[signatures]\nfiles = [{files}]\nlog = {log}\n")
        }
        _ => policy,
    })
}

/// Every forwarded packet goes through it, by its distribution's configuration and these rules, or those that say what the policy
/// says.
fn suricata(lab: &mut Gateway, rules: Option<&Set>) -> Result<()> {
    let file = match rules {
        Some(rules) => lab.write("suricata.rules", &rules.text()?)?,
        None => folder().join("inspected.rules"),
    };
    let mut command = lab.gw.command("suricata");
    command.args(["-q", "0", "-S"]).arg(file).arg("-l").arg(lab.dir());
    let log = lab.log("suricata");
    let gw = lab.gw.clone();
    let process = lab.serve("suricata", &mut command)?;
    let mut ended = None;
    let waited = wait_until("Suricata at its queue", LIMIT, || {
        ended = process.ended();
        Ok(ended.is_some() || listens(&gw)?)
    });
    let said = || fs::read_to_string(&log).unwrap_or_default();
    if let Some(status) = ended {
        anyhow::bail!("`suricata` ended with {status}:\n{}", said());
    }
    waited.with_context(|| format!("`suricata` says:\n{}", said()))?;
    let rules = folder().join("inspected.nft");
    lab.gw.check("nft", ["-f".as_ref(), rules.as_os_str()])?;
    Ok(())
}

/// Whether somebody takes packets from queue 0.
fn listens(gw: &Namespace) -> dropgate_lab::Result<bool> {
    let queues = gw.enter(|| fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue"))?;
    Ok(queues.unwrap_or_default().lines().any(|line| line.split_whitespace().next() == Some("0")))
}

fn on_the_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
