//! Programs on interfaces: XDP where frames come in, or tcx where there is no native XDP ([`Build`]); tcx where packets leave. Links
//! are pinned, so that enforcement goes on without the daemon; a restart replaces the program of a pinned link, which loses no
//! packet.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use aya::programs::{
    LinkOrder, ProgramError, TcAttachType, Xdp, XdpMode,
    links::{FdLink, LinkError, PinnedLink},
    tc::TcAttachOptions,
};

use super::place;
use crate::{
    datapath::{Object, ObjectError, find, program},
    ethtool,
    policy::compile::{Attachment, Build},
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
    #[error("`{interface}` does not take a tcx {hook} program; Linux 6.6 or newer is needed")]
    Tcx {
        interface: String,
        hook: &'static str,
        #[source]
        source: Box<ProgramError>,
    },
    #[error(
        "`{interface}` strips VLAN tags and will not stop: tagged frames would pass unjudged; `ethtool -K {interface} rxvlan off` must work"
    )]
    VlanStripping { interface: String },
    #[error("`{interface}` can be no side of this gateway: {build}")]
    Refused { interface: String, build: Build },
    #[error("what was on `{interface}` before cannot be taken off")]
    Other {
        interface: String,
        #[source]
        source: io::Error,
    },
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
pub struct Attached {
    interfaces: BTreeMap<String, (u32, Build)>,
    /// Those that take no programs, and why.
    refused: BTreeMap<String, String>,
}

impl Attached {
    /// Interfaces with programs, their indices, and which programs these are.
    pub const fn interfaces(&self) -> &BTreeMap<String, (u32, Build)> {
        &self.interfaces
    }

    /// Index of an interface with programs.
    pub fn index(&self, name: &str) -> Option<u32> {
        self.interfaces.get(name).map(|(index, _)| *index)
    }

    /// Indices of interfaces with programs whose packets begin with an Ethernet header.
    pub fn framed(&self) -> impl Iterator<Item = u32> {
        self.interfaces.values().filter(|(_, build)| *build != Build::Bare).map(|(index, _)| *index)
    }

    /// Interfaces that took no programs when they were to get some, and why.
    pub const fn refused(&self) -> &BTreeMap<String, String> {
        &self.refused
    }

    /// Puts programs on every interface of the plan that has none, or whose index has changed. An interface that is
    /// there already, by this daemon or by a pin, is only brought up to date. The answer names those that take none: one
    /// does not keep the others from theirs.
    pub fn add(&mut self, object: &mut Object, pins: &Path, plan: &[(&str, u32, Build)]) -> Vec<(String, AttachError)> {
        let mut failed = Vec::new();
        for (name, index, build) in plan {
            let interface = || (*name).to_owned();
            if self.interfaces.get(*name) == Some(&(*index, *build)) {
                continue;
            }
            let attached = match build {
                refused if refused.is_refused() => Err(AttachError::Refused { interface: interface(), build: *build }),
                // so that XDP sees every tag
                Build::Xdp if !ethtool::keep_vlan_tags(name) => {
                    Err(AttachError::VlanStripping { interface: interface() })
                }
                _ => put(object, pins, name, *index, *build),
            };
            self.refused.remove(*name);
            match attached {
                Ok(()) => drop(self.interfaces.insert(interface(), (*index, *build))),
                Err(error) => {
                    self.refused.insert(interface(), error.to_string());
                    failed.push((interface(), error));
                }
            }
        }
        failed
    }

    /// Takes programs off every interface that the plan does not name, by whoever they were put there.
    pub fn prune(&mut self, pins: &Path, plan: &[Attachment]) -> io::Result<()> {
        self.interfaces.retain(|name, (index, _)| plan.iter().any(|at| at.name == *name && at.index == *index));
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

/// Names of the programs of a build: where packets come in, and where they leave.
pub const fn programs(build: Build) -> (&'static str, &'static str) {
    match build {
        Build::Bare => (program::BARE_INGRESS, program::BARE_EGRESS),
        Build::Tcx(_) => (program::TCX_INGRESS, program::TCX_EGRESS),
        Build::Xdp | Build::Unknown(_) | Build::Frameless => (program::INGRESS, program::EGRESS),
    }
}

/// Ingress last: from the first packet it lets in, replies are looked at too.
fn put(object: &mut Object, pins: &Path, interface: &str, index: u32, build: Build) -> Result<(), AttachError> {
    let (ingress, egress) = programs(build);
    // last of those on the way out, first of those on the way in: next to the wire
    tcx(object, interface, (egress, TcAttachType::Egress, LinkOrder::last()), pin_path(pins, index, "egress"))?;
    let (native, other) = (pin_path(pins, index, "ingress"), pin_path(pins, index, "tcx"));
    let before = if build.is_native() {
        xdp(object, interface, index, native)?;
        other
    } else {
        tcx(object, interface, (ingress, TcAttachType::Ingress, LinkOrder::first()), other)?;
        native
    };
    // another build was here until now
    match place::remove_link(&before) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(AttachError::Other { interface: interface.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn tcx(
    object: &mut Object,
    interface: &str,
    (name, hook, order): (&'static str, TcAttachType, LinkOrder),
    path: PathBuf,
) -> Result<(), AttachError> {
    let fault = |source: ProgramError| AttachError::Tcx {
        interface: interface.to_owned(),
        hook: if matches!(hook, TcAttachType::Ingress) { "ingress" } else { "egress" },
        source: Box::new(source),
    };
    let program = object.classifier(name)?;
    let link = pinned(&path).and_then(|link| link.try_into().ok());
    if link.is_some_and(|link| program.attach_to_link(link).is_ok()) {
        return Ok(());
    }
    let _ = fs::remove_file(&path);
    let id = program.attach_with_options(interface, hook, TcAttachOptions::TcxOrder(order)).map_err(fault)?;
    let link = program.take_link(id).map_err(fault)?;
    pin(link.try_into(), path)
}

fn xdp(object: &mut Object, interface: &str, index: u32, path: PathBuf) -> Result<(), AttachError> {
    let fault = |source: ProgramError| AttachError::Xdp { interface: interface.to_owned(), source: Box::new(source) };
    let program: &mut Xdp = find(&mut object.ebpf, program::INGRESS)?;
    let link = pinned(&path).and_then(|link| link.try_into().ok());
    if link.is_some_and(|link| program.attach_to_link(link).is_ok()) {
        return Ok(());
    }
    let _ = fs::remove_file(&path);
    let id = program.attach_to_if_index(index, XdpMode::Driver).map_err(fault)?;
    let link = program.take_link(id).map_err(fault)?;
    pin(link.try_into(), path)
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
