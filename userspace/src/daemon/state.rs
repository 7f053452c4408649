//! What the daemon writes down after each commit, for its own restart and for commands that run without it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    datapath::Sizes,
    events::{Names, ServiceName},
    inspect::Rules,
    policy::{
        Ids,
        model::{Expect, Inspection, Tells},
    },
    view::ports::Ports,
};

/// The state file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// [`dropgate_abi::VERSION`] of the maps it speaks of.
    pub abi: u32,
    pub sizes: Sizes,
    pub generation: u32,
    /// Tag of the ingress program.
    pub tag: u64,
    /// Policy file in force, and what it said.
    pub policy: PathBuf,
    pub text: String,
    pub ports: Ports,
    pub ids: Ids,
    /// Zone numbers to names.
    pub zones: BTreeMap<u16, String>,
    /// Service counters to owner, name and line.
    pub services: BTreeMap<u32, (String, String, u32)>,
    /// Interface indices to names.
    pub interfaces: BTreeMap<u32, String>,
    /// What the policy says about inspection, and what its services expect, by counter. Files of earlier versions have neither.
    #[serde(default)]
    pub inspection: Option<Inspection>,
    #[serde(default)]
    pub expect: BTreeMap<u32, Expect>,
}

impl State {
    /// Reads the file; `None` when there is none that can be understood.
    pub fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Writes the file at once: a reader sees the old one or the new one.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        fs::write(&temporary, serde_json::to_vec(self)?)?;
        fs::rename(temporary, path)
    }

    /// What is inspected, if anything is, as far as an explanation wants to know.
    pub fn rules(&self) -> Option<Rules> {
        let expect = self.expect.clone();
        self.inspection.map(|inspection| Rules { inspection, expect, ..Rules::default() })
    }

    /// The names, as events and answers want them.
    pub fn names(&self) -> Names {
        let services = self.services.iter().map(|(counter, (zone, name, line))| {
            let expect = self.expect.get(counter).cloned().unwrap_or_default();
            (*counter, ServiceName { zone: zone.as_str().into(), name: name.as_str().into(), line: *line, expect })
        });
        Names {
            zones: self.zones.iter().map(|(number, name)| (*number, name.as_str().into())).collect(),
            services: services.collect(),
            interfaces: self.interfaces.iter().map(|(index, name)| (*index, name.as_str().into())).collect(),
            tells: Tells::default(),
        }
    }
}
