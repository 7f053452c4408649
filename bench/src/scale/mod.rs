//! The gateway at the limit: a million blocked prefixes of each family, 4,096 zones, 100,000 services.

mod cost;
mod live;
mod make;

use std::{
    fmt::{self, Write as _},
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result};
use dropgate::{
    datapath::{Object, Sizes, Slots},
    policy::Image,
};
use serde::Serialize;

pub use self::{cost::Cost, live::Step};
use crate::{
    cpu,
    forward::Load,
    packet::{XDP_DROP, compile_in},
    report,
    stats::{Spread, Target},
};

/// Times and memory at the limit.
#[derive(Clone, Debug, Serialize)]
pub struct Scale {
    pub zones: u32,
    pub services: u32,
    /// Blocked prefixes of each family, in each direction.
    pub blocked: usize,
    /// Text and lists to image; image to the maps of the idle slot; from there until it is in force.
    pub compile_ms: Spread,
    pub fill_ms: Spread,
    pub switch_ms: Spread,
    /// Kernel maps of both slots, all told, with this policy in each, MiB.
    pub maps_mib: f64,
    pub costs: Vec<Cost>,
    /// A daemon that such policies are pushed to while packets pass.
    pub steps: Vec<Step>,
    pub targets: Vec<Target>,
}

/// A folder of made-up policies, removed with this value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // what is left lies among other temporary files
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Measures everything. `blocked` prefixes of each family.
pub fn run(load: &Load, blocked: usize) -> Result<Scale> {
    let folder = Folder(std::env::temp_dir().join(format!("dropgate-bench-{}", std::process::id())));
    let (with, without, few) = (folder.0.join("with"), folder.0.join("without"), folder.0.join("few"));
    make::write(&with, make::ZONES, make::SERVICES, blocked)?;
    make::write(&without, 161, 161, 0)?;
    make::write(&few, 161, 161, 100)?;

    let (mut compile, mut fill, mut switch) = (vec![], vec![], vec![]);
    let before = cpu::maps(std::process::id())?;
    let sizes = Sizes::for_flows(1 << 16);
    let object = Object::load(sizes, Path::new(""), &[]).context("loading the object")?;
    let mut slots = Slots::new(&object)?;
    let mut image = None;
    // both slots have been filled after two of them
    for generation in 1..=load.rounds.max(2) as u32 {
        eprintln!("push {generation} of a policy at the limit");
        let started = Instant::now();
        let made = image_of(&with)?;
        compile.push(started.elapsed().as_secs_f64() * 1e3);
        let committed = slots.commit(&object, &made, generation)?;
        fill.push(committed.fill.as_secs_f64() * 1e3);
        switch.push(committed.switch.as_secs_f64() * 1e3);
        image = Some(made);
    }
    let maps_mib = (cpu::maps(std::process::id())? - before) as f64 / f64::from(1 << 20);
    drop((slots, object));
    let image = image.context("no image")?;
    let (costs, targets) = cost::run(load.rounds, &image, &image_of(&without)?)?;
    drop(image);
    let steps = live::run(load, [&without, &few, &with])?;
    Ok(Scale {
        zones: make::ZONES,
        services: make::SERVICES,
        blocked,
        compile_ms: Spread::of(compile),
        fill_ms: Spread::of(fill),
        switch_ms: Spread::of(switch),
        maps_mib,
        costs,
        steps,
        targets,
    })
}

/// Reads and compiles the policy of a folder.
fn image_of(folder: &Path) -> Result<Image> {
    let path = folder.join("policy.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    compile_in(&text, folder)
}

/// The section of the report.
pub fn write(text: &mut String, scale: &Scale) -> fmt::Result {
    writeln!(
        text,
        "\n## At the limit: {} zones, {} services, {} blocked prefixes of each family in each direction\n\n\
         | | min | median | max |\n| --- | --- | --- | --- |",
        scale.zones, scale.services, scale.blocked
    )?;
    for (name, spread) in [
        ("compile (text and lists to image), ms", &scale.compile_ms),
        ("fill (image to the idle slot), ms", &scale.fill_ms),
        ("switch (until in force for every packet that arrives), ms", &scale.switch_ms),
    ] {
        writeln!(text, "| {name} | {:.1} | {:.1} | {:.1} |", spread.min, spread.median, spread.max)?;
    }
    writeln!(
        text,
        "\nKernel maps with it in both slots: {:.0} MiB.\n\n\
         Cost of a packet from the outside that nothing allows, ns by test-run, sources at random. The trie is the kernel's \
         (`BPF_MAP_TYPE_LPM_TRIE`), with the same prefixes and no more bits than an address has. Net: without the wrapper.\n\n\
         | case | min | median | max | net | sources blocked |\n| --- | --- | --- | --- | --- | --- |",
        scale.maps_mib
    )?;
    for cost in &scale.costs {
        let Cost { name, ns, net_ns, blocked } = cost;
        let blocked = if *blocked > 0.0 { format!("{:.2} %", blocked * 100.0) } else { String::new() };
        writeln!(text, "| {name} | {:.0} | {:.0} | {:.0} | {net_ns:.0} | {blocked} |", ns.min, ns.median, ns.max)?;
    }
    live::write(text, &scale.steps)?;
    report::targets(text, &scale.targets)
}
