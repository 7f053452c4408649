//! What is put on the gateway.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use dropgate_lab::{Gateway, Kind};

use super::scenario;
use crate::{daemon::Daemon, packet::Own};

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
            Self::Dropgate => return Daemon::start(lab, &policy(kind)?, program).map(Some),
            Self::Drop => own.attach("drop_all", &lab.gw, "lan0")?,
        }
        Ok(None)
    }
}

/// The policy of the scenarios, for this kind of gateway.
fn policy(kind: Kind) -> Result<String> {
    let path = scenario::folder().join("policy.toml");
    let policy = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    Ok(if kind == Kind::Masquerade { policy.replace("kind = \"route\"", "kind = \"masquerade\"") } else { policy })
}
