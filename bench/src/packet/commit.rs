//! How long a push takes: compiling, filling the idle slot, switching to it.

use std::{path::Path, time::Instant};

use anyhow::{Context as _, Result};
use dropgate::datapath::{Object, Sizes, Slots};
use serde::Serialize;

use super::policies;
use crate::stats::{Spread, Target};

/// Times of pushes of one policy, ms.
#[derive(Clone, Debug, Serialize)]
pub struct Commit {
    pub zones: u32,
    pub services: u32,
    /// Text to image.
    pub compile_ms: Spread,
    /// Image to the maps of the idle slot.
    pub fill_ms: Spread,
    /// From there until every packet that arrives is judged by it.
    pub switch_ms: Spread,
    pub targets: Vec<Target>,
}

/// Pushes the large policy again and again.
pub fn run(rounds: usize) -> Result<Commit> {
    let text = policies::many();
    let object = Object::load(Sizes::for_flows(1 << 20), Path::new(""), &[]).context("loading the object")?;
    let mut slots = Slots::new(&object)?;
    let (mut compile, mut fill, mut switch, mut both) = (vec![], vec![], vec![], vec![]);
    for generation in 1..=rounds as u32 {
        let start = Instant::now();
        let image = policies::compile(&text)?;
        let compiled = start.elapsed().as_secs_f64() * 1e3;
        let committed = slots.commit(&object, &image, generation)?;
        let filled = committed.fill.as_secs_f64() * 1e3;
        compile.push(compiled);
        fill.push(filled);
        both.push(compiled + filled);
        switch.push(committed.switch.as_secs_f64() * 1e3);
    }
    let (both, switch) = (Spread::of(both), Spread::of(switch));
    let targets = vec![
        Target::at_most("256 zones of 40 services, compiled and filled in", both.median, 1000.0, "ms"),
        Target::at_most("`apply` in force after that", switch.median, 100.0, "ms"),
    ];
    Ok(Commit {
        zones: policies::ZONES,
        services: policies::SERVICES,
        compile_ms: Spread::of(compile),
        fill_ms: Spread::of(fill),
        switch_ms: switch,
        targets,
    })
}
