//! What is put on the gateway.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use dropgate_lab::{Gateway, Kind, run, wait_until};

use super::scenario;
use crate::packet::Own;

/// How long the daemon may take to start, or to stop.
const LIMIT: Duration = Duration::from_secs(60);

/// What decides about packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contender {
    /// Nothing: the kernel forwards (and translates, when masquerading).
    Kernel,
    /// An XDP program that returns at once, on every interface: what having one costs on veth.
    Return,
    /// nftables, the same policy.
    Nftables,
    /// Dropgate.
    Dropgate,
    /// An XDP program that drops everything.
    Drop,
}

/// In the order they run.
pub const CONTENDERS: [Contender; 5] =
    [Contender::Kernel, Contender::Dropgate, Contender::Return, Contender::Nftables, Contender::Drop];

/// A daemon that runs.
pub struct Daemon {
    program: PathBuf,
}

impl Contender {
    /// Whether it is measured in a scenario: what treats every packet alike only in the one it is compared in.
    pub fn runs(self, kind: Kind, scenario: &str) -> bool {
        match self {
            Self::Kernel | Self::Nftables | Self::Dropgate => true,
            Self::Return => scenario == "allowed",
            Self::Drop => kind == Kind::Route && scenario == "denied",
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel alone",
            Self::Return => "XDP that returns at once",
            Self::Nftables => "nftables",
            Self::Dropgate => "Dropgate",
            Self::Drop => "XDP that drops",
        }
    }

    /// Puts it on the gateway.
    pub fn start(self, lab: &mut Gateway, own: &mut Own, kind: Kind, program: &Path) -> Result<Option<Daemon>> {
        match self {
            Self::Kernel => {}
            Self::Return => {
                for interface in ["lan0", "lan1", "wan0"] {
                    own.attach("at_once", &lab.gw, interface)?;
                }
            }
            Self::Nftables => {
                let rules = scenario::folder().join("policy.nft");
                lab.gw.check("nft", ["-f".as_ref(), rules.as_os_str()])?;
            }
            Self::Dropgate => return daemon(lab, kind, program).map(Some),
            Self::Drop => own.attach("drop_all", &lab.gw, "lan0")?,
        }
        Ok(None)
    }
}

fn daemon(lab: &mut Gateway, kind: Kind, program: &Path) -> Result<Daemon> {
    let program = program
        .canonicalize()
        .with_context(|| format!("`{}`; `cargo build --release -p dropgate` makes it", program.display()))?;
    let path = scenario::folder().join("policy.toml");
    let mut policy = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    if kind == Kind::Masquerade {
        policy = policy.replace("kind = \"route\"", "kind = \"masquerade\"");
    }
    let policy = lab.write("policy.toml", &policy)?;
    let events = lab.dir().join("eve.json");
    lab.before_removal(&lab.gw, &program, &["stop", "--detach"])?;
    let mut command = lab.gw.command(&program);
    command.arg("run").arg("--policy").arg(policy).arg("--events").arg(events);
    let log = lab.log("dropgate");
    let gw = lab.gw.clone();
    let process = lab.serve("dropgate", &mut command)?;
    let mut ended = None;
    let waited = wait_until("an answer of `dropgate status`", LIMIT, || {
        ended = process.ended();
        Ok(ended.is_some() || run(gw.command(&program).args(["status", "--json"]), LIMIT)?.success())
    });
    let said = || fs::read_to_string(&log).unwrap_or_default();
    if let Some(status) = ended {
        bail!("`dropgate run` ended with {status}:\n{}", said());
    }
    waited.with_context(|| format!("`dropgate run` says:\n{}", said()))?;
    Ok(Daemon { program })
}

impl Daemon {
    /// Ends it and takes enforcement off.
    pub fn stop(self, lab: &Gateway) -> Result<()> {
        let finished = run(lab.gw.command(&self.program).args(["stop", "--detach"]), LIMIT)?;
        ensure!(finished.success(), "`dropgate stop --detach`: {}{}", finished.stdout, finished.stderr);
        Ok(())
    }
}
