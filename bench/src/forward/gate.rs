//! The kinds of gateway that are measured.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use dropgate::policy::{self, Source};
use dropgate_lab::{Gateway, Kind, Options};
use serde::Deserialize;

use super::{mac, scenario};

/// What the gateway does with packets, and who its peer is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The kernel routes, behind Dropgate or alone.
    Route,
    /// The kernel routes and translates.
    Masquerade,
    /// Dropgate routes what it has judged; the kernel alone routes as ever.
    FastForward,
    /// Two interfaces, joined by Dropgate or by the kernel's own bridge.
    Bridge,
}

/// In the order they run.
pub const GATES: [Gate; 4] = [Gate::Route, Gate::Masquerade, Gate::FastForward, Gate::Bridge];

impl Gate {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Masquerade => "masquerade",
            Self::FastForward => "fast-forward",
            Self::Bridge => "bridge",
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Route | Self::FastForward => Kind::Route,
            Self::Masquerade => Kind::Masquerade,
            Self::Bridge => Kind::Bridge,
        }
    }

    /// The laboratory of this kind of gateway.
    pub fn lab(self) -> Result<Gateway> {
        Gateway::new(self.kind(), Options::default()).context("the laboratory")
    }

    /// The policy under load, for this kind.
    pub fn policy(self) -> Result<String> {
        let path = scenario::folder().join("policy.toml");
        let policy = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
        let head = "kind = \"route\"\noutside = \"wan0\"";
        anyhow::ensure!(policy.contains(head), "`{}` does not begin as the bench expects", path.display());
        let own = match self {
            Self::Route => return Ok(policy),
            Self::Masquerade => "kind = \"masquerade\"\noutside = \"wan0\"",
            Self::FastForward => "kind = \"route\"\nfast_forward = true\noutside = \"wan0\"",
            Self::Bridge => {
                "kind = \"bridge\"\noutside = [\"wan0\", \"wan1\"]\npairs = [[\"lan0\", \"wan0\"], [\"lan1\", \"wan1\"]]"
            }
        };
        Ok(policy.replace(head, own))
    }

    /// Why Dropgate cannot be this kind of gateway, if it cannot.
    pub fn refused(self) -> Result<Option<String>> {
        let (parsed, found) = policy::parse(Source::new("policy.toml", self.policy()?), Path::new("."));
        Ok(if parsed.is_some() { None } else { Some(policy::render(&found, false)) })
    }

    /// The rules of nftables that say what the policy says.
    pub const fn rules(self) -> &'static str {
        match self {
            Self::Bridge => "policy-bridge.nft",
            _ => "policy.nft",
        }
    }

    /// Joins the interfaces where nothing but the kernel does.
    pub fn join(self, lab: &Gateway) -> Result<()> {
        if self != Self::Bridge {
            return Ok(());
        }
        lab.gw.ip("link add br0 type bridge
             link set lan0 master br0
             link set wan0 master br0
             link set br0 up")?;
        // the servers say nothing from which the bridge could learn where they are
        let servers = super::text(&mac(&lab.servers, "eth0")?);
        lab.gw.check("bridge", ["fdb", "replace", &servers, "dev", "wan0", "master", "static"])?;
        Ok(())
    }
}

/// What the link layer calls both ends of the way from zone `office` into the gateway: destination, source.
pub fn ends(lab: &Gateway) -> Result<[[u8; 6]; 2]> {
    // a bridge has no address of its own: frames are for who stands behind it
    let next = if lab.kind == Kind::Bridge { mac(&lab.servers, "eth0")? } else { mac(&lab.gw, "lan0")? };
    Ok([next, mac(&lab.office, "eth0")?])
}

/// Kinds that this build of Dropgate refuses, with the reason, so that a report can say so.
pub fn refusals(gates: &[Gate]) -> Result<BTreeMap<Gate, String>> {
    let mut found = BTreeMap::new();
    for gate in gates {
        if let Some(why) = gate.refused()? {
            found.insert(*gate, why);
        }
    }
    Ok(found)
}
