//! Programs on interfaces: XDP where frames come in, tcx egress where packets leave. Links are pinned, so that enforcement
//! goes on without the daemon; a restart replaces the program of a pinned link, which loses no packet.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
    links::{FdLink, LinkError, PinnedLink},
    tc::TcAttachOptions,
};

use super::place;
use crate::{
    datapath::{Object, ObjectError, find, program},
    ethtool,
    policy::compile::Attachment,
};

/// Why programs could not be put on an interface.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error(
        "`{interface}` does not take an XDP program in native mode; its driver lacks support, or another XDP program is attached (`ip link show {interface}` tells)"
    )]
    Xdp {
        interface: String,
        #[source]
        source: Box<ProgramError>,
    },
    #[error("`{interface}` does not take a tcx egress program; Linux 6.6 or newer is needed")]
    Tcx {
        interface: String,
        #[source]
        source: Box<ProgramError>,
    },
    #[error(
        "`{interface}` strips VLAN tags and will not stop: tagged frames would pass unjudged; `ethtool -K {interface} rxvlan off` must work"
    )]
    VlanStripping { interface: String },
    #[error("pin `{}`", path.display())]
    Pin {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// What is attached, by interface name.
#[derive(Debug, Default)]
pub struct Attached(BTreeMap<String, u32>);

impl Attached {
    /// Interfaces with programs, and their indices.
    pub const fn interfaces(&self) -> &BTreeMap<String, u32> {
        &self.0
    }

    /// Puts programs on every interface of the plan that has none, or whose index has changed. An interface that is
    /// there already, by this daemon or by a pin, is only brought up to date. The answer names those that take none: one
    /// does not keep the others from theirs.
    pub fn add(&mut self, object: &mut Object, pins: &Path, plan: &[(&str, u32)]) -> Vec<(String, AttachError)> {
        let mut failed = Vec::new();
        for (name, index) in plan {
            if self.0.get(*name) == Some(index) {
                continue;
            }
            // so that XDP sees every tag
            let attached = match ethtool::keep_vlan_tags(name) {
                true => put(object, pins, name, *index),
                false => Err(AttachError::VlanStripping { interface: (*name).to_owned() }),
            };
            match attached {
                Ok(()) => drop(self.0.insert((*name).to_owned(), *index)),
                Err(error) => failed.push(((*name).to_owned(), error)),
            }
        }
        failed
    }

    /// Takes programs off every interface that the plan does not name, by whoever they were put there.
    pub fn prune(&mut self, pins: &Path, plan: &[Attachment]) -> io::Result<()> {
        self.0.retain(|name, index| plan.iter().any(|at| at.name == *name && at.index == *index));
        for entry in fs::read_dir(pins)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let Some(index) = name.strip_prefix("link-").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok())
            else {
                continue;
            };
            if !plan.iter().any(|at| at.index == index) {
                place::remove_link(&path)?;
            }
        }
        Ok(())
    }
}

fn pin_path(pins: &Path, index: u32, hook: &str) -> PathBuf {
    pins.join(format!("link-{index}-{hook}"))
}

/// Ingress last: from the first packet it lets in, replies are looked at too.
fn put(object: &mut Object, pins: &Path, interface: &str, index: u32) -> Result<(), AttachError> {
    let path = pin_path(pins, index, "egress");
    let tcx = |source: ProgramError| AttachError::Tcx { interface: interface.to_owned(), source: Box::new(source) };
    let egress: &mut SchedClassifier = find(&mut object.ebpf, program::EGRESS)?;
    let replaced = match pinned(&path) {
        Some(link) => link.try_into().ok().and_then(|link| egress.attach_to_link(link).ok()).is_some(),
        None => false,
    };
    if !replaced {
        let _ = fs::remove_file(&path);
        let options = TcAttachOptions::TcxOrder(LinkOrder::last());
        let id = egress.attach_with_options(interface, TcAttachType::Egress, options).map_err(tcx)?;
        let link = egress.take_link(id).map_err(tcx)?;
        pin(link.try_into(), path)?;
    }
    let path = pin_path(pins, index, "ingress");
    let xdp = |source: ProgramError| AttachError::Xdp { interface: interface.to_owned(), source: Box::new(source) };
    let ingress: &mut Xdp = find(&mut object.ebpf, program::INGRESS)?;
    let replaced = match pinned(&path) {
        Some(link) => link.try_into().ok().and_then(|link| ingress.attach_to_link(link).ok()).is_some(),
        None => false,
    };
    if !replaced {
        let _ = fs::remove_file(&path);
        let id = ingress.attach_to_if_index(index, XdpMode::Driver).map_err(xdp)?;
        let link = ingress.take_link(id).map_err(xdp)?;
        pin(link.try_into(), path)?;
    }
    Ok(())
}

/// The pinned link, if it still holds an interface.
fn pinned(path: &Path) -> Option<FdLink> {
    PinnedLink::from_pin(path).ok().map(FdLink::from)
}

fn pin(link: Result<FdLink, LinkError>, path: PathBuf) -> Result<(), AttachError> {
    let fault = |source: Box<dyn std::error::Error + Send + Sync>| AttachError::Pin { path: path.clone(), source };
    let link = link.map_err(|error| fault(Box::new(error)))?;
    link.pin(&path).map_err(|error| fault(Box::new(error)))?;
    Ok(())
}
