//! Scenarios through network namespaces.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

/// How to run them.
pub struct Load {
    pub rounds: usize,
    pub seconds: f64,
    pub only: Option<String>,
    pub dropgate: PathBuf,
}

#[derive(Clone, Debug, Serialize)]
pub struct Forward {
    pub targets: Vec<crate::stats::Target>,
}

pub fn run(load: &Load) -> Result<Forward> {
    let _ = (load.rounds, load.seconds, &load.only, &load.dropgate);
    Ok(Forward { targets: vec![] })
}
