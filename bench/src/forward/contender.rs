//! What is put on the gateway.

use std::path::Path;

use anyhow::Result;
use dropgate_lab::Gateway;

use super::{gate::Gate, scenario};
use crate::{daemon::Daemon, packet::Own};

/// The gateway's that packets come in by and leave by.
const INTERFACES: [&str; 3] = ["lan0", "lan1", "wan0"];

/// What decides about packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contender {
    /// Nothing: the kernel forwards (and translates, when masquerading), or bridges. It takes packets by NAPI, as from every NIC.
    Kernel,
    /// The same by interfaces as veth makes them: what is sent goes straight to the other end's backlog.
    NoNapi,
    /// An XDP program that returns at once, on every interface: what having one costs on veth.
    Return,
    /// nftables, the same policy.
    Nftables,
    /// Dropgate.
    Dropgate,
    /// An XDP program that drops everything.
    Drop,
    /// An XDP program that sends everything out by the outside's interface.
    Redirect,
}

/// In the order they run.
pub const CONTENDERS: [Contender; 7] = [
    Contender::Kernel,
    Contender::NoNapi,
    Contender::Dropgate,
    Contender::Return,
    Contender::Nftables,
    Contender::Drop,
    Contender::Redirect,
];

impl Contender {
    /// Whether it is measured in a scenario: what treats every packet alike only in the one it is compared in.
    pub fn runs(self, gate: Gate, scenario: &str) -> bool {
        match self {
            Self::Kernel | Self::Dropgate => true,
            Self::NoNapi => scenario == "allowed",
            Self::Nftables => gate != Gate::FastForward,
            Self::Return => scenario.starts_with("allowed") && matches!(gate, Gate::Route | Gate::Masquerade),
            Self::Drop => gate == Gate::Route && ["denied", "spoofed"].iter().any(|one| scenario.starts_with(one)),
            Self::Redirect => scenario.starts_with("allowed") && matches!(gate, Gate::FastForward | Gate::Bridge),
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel alone",
            Self::NoNapi => "kernel alone, without NAPI",
            Self::Return => "XDP that returns at once",
            Self::Nftables => "nftables",
            Self::Dropgate => "Dropgate",
            Self::Drop => "XDP that drops",
            Self::Redirect => "XDP that redirects",
        }
    }

    /// Puts it on the gateway.
    pub fn start(self, lab: &mut Gateway, own: &mut Own, gate: Gate, program: &Path) -> Result<Option<Daemon>> {
        match self {
            Self::NoNapi => gate.join(lab)?,
            Self::Kernel => {
                napi(lab)?;
                gate.join(lab)?;
            }
            Self::Return => {
                for interface in INTERFACES {
                    own.attach("at_once", &lab.gw, interface)?;
                }
            }
            Self::Nftables => {
                napi(lab)?;
                gate.join(lab)?;
                let rules = scenario::folder().join(gate.rules());
                lab.gw.check("nft", ["-f".as_ref(), rules.as_os_str()])?;
            }
            Self::Dropgate => return Daemon::start(lab, &gate.policy()?, program).map(Some),
            Self::Drop => own.attach("drop_all", &lab.gw, "lan0")?,
            Self::Redirect => {
                own.send_to(&lab.gw, "wan0")?;
                own.attach("redirect", &lab.gw, "lan0")?;
            }
        }
        Ok(None)
    }
}

/// Has the gateway's interfaces take packets by NAPI: veth does when it merges them, or has a program.
fn napi(lab: &Gateway) -> Result<()> {
    for interface in INTERFACES {
        lab.gw.check("ethtool", ["-K", interface, "gro", "on"])?;
    }
    Ok(())
}
