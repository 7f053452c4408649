//! The scenario files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{driver::Brought, gate::Gate};

/// Where they are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub source: Source,
    /// The kinds of gateway that it is sent through.
    pub gateways: Vec<Gate>,
}

/// Where its packets come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// trafgen, with this configuration.
    Trafgen(PathBuf),
    /// See [`super::driver`].
    Driver(Brought),
}

#[derive(Deserialize)]
struct List {
    scenario: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    file: PathBuf,
    brought: Option<Brought>,
    gateways: Vec<Gate>,
}

/// All of them, in file order.
pub fn all() -> Result<Vec<Scenario>> {
    let folder = folder();
    let path = folder.join("scenarios.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    let list: List = toml::from_str(&text).with_context(|| format!("`{}`", path.display()))?;
    let scenario = |entry: Entry| {
        let source = entry.brought.map_or_else(|| Source::Trafgen(folder.join(entry.file)), Source::Driver);
        Scenario { name: entry.name, source, gateways: entry.gateways }
    };
    Ok(list.scenario.into_iter().map(scenario).collect())
}
