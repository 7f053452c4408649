//! The scenario files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::gate::Gate;

/// Where they are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    /// The trafgen configuration.
    pub path: PathBuf,
    /// The kinds of gateway that it is sent through.
    pub gateways: Vec<Gate>,
}

#[derive(Deserialize)]
struct List {
    scenario: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    file: PathBuf,
    gateways: Vec<Gate>,
}

/// All of them, in file order.
pub fn all() -> Result<Vec<Scenario>> {
    let folder = folder();
    let path = folder.join("scenarios.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    let list: List = toml::from_str(&text).with_context(|| format!("`{}`", path.display()))?;
    let scenario =
        |entry: Entry| Scenario { name: entry.name, path: folder.join(entry.file), gateways: entry.gateways };
    Ok(list.scenario.into_iter().map(scenario).collect())
}
