//! `dropgate explain` beside a gateway: a private load of the attached image with the live policy maps, mutable maps of its
//! own, and copies of the flows that the packet may belong to and of what was announced about it. Nothing of the gateway is changed; no daemon is needed.

use std::os::fd::AsFd as _;

use anyhow::Context as _;
use aya::maps::{Map, MapData};
use dropgate_abi::{control::Control, flow::Flow, related::Related, tuple::equal, walk::Walk};

use super::{
    place::{self, Place},
    state::State,
};
use crate::{
    clock::now_ns,
    datapath::{Bench, FlowTable, Mapped, RelatedMap, flows, program},
    view::{
        cli,
        explain::PolicyText,
        replay::{Judge, Options},
    },
};

/// The image of a gateway, to ask.
struct Live {
    bench: Bench,
    flows: FlowTable,
    announced: RelatedMap,
}

impl Judge for Live {
    fn judge(&mut self, hook: u8, ifindex: u32, from_ifindex: u32, now_ns: u64, frame: &[u8]) -> anyhow::Result<Walk> {
        // a first run parses the frame and tells whose flows to copy, a second one has them
        let walk = self.bench.run(hook, ifindex, from_ifindex, now_ns, frame)?;
        self.bench.forget()?;
        // those of what carried it too
        let walks = [Some(walk), self.bench.outer()];
        let ours = |flow: &Flow| {
            walks.iter().flatten().any(|walk| {
                flow.key.family == walk.family
                    && [flow.key.low, flow.key.high].iter().any(|end| equal(end, &walk.src) || equal(end, &walk.dst))
            })
        };
        for flow in self.flows.flows().filter(ours) {
            self.bench.copy_flow(&flow);
        }
        if let Some((key, entry)) = self.announced.of(&walk) {
            self.bench.announced()?.put(key, entry)?;
        }
        Ok(self.bench.run(hook, ifindex, from_ifindex, now_ns, frame)?)
    }

    fn outer(&self) -> Option<Walk> {
        self.bench.outer()
    }

    fn announced(&self, walk: &Walk) -> Option<Related> {
        Some(self.announced.of(walk)?.1)
    }

    fn forget(&mut self) -> anyhow::Result<()> {
        Ok(self.bench.forget()?)
    }

    fn flows(&self) -> Vec<Flow> {
        self.bench.live_flows()
    }
}

/// Answers `explain` without `--policy`.
pub fn explain(args: &cli::ExplainArgs) -> anyhow::Result<std::process::ExitCode> {
    let mut args = args.clone();
    args.pcap = args.pcap.map(std::path::absolute).transpose()?;
    let place = Place::here()?;
    place::enter()?;
    let state = State::read(&place.state()).with_context(|| {
        format!("no gateway is in force here (`{}`); name a policy with `--policy FILE`", place.state().display())
    })?;
    let control: Mapped<Control> = Mapped::new(pinned(&place, "CONTROL")?.fd().as_fd(), 1)?;
    let control = control.get(0).context("`CONTROL` is empty")?;
    let [groups, tags, buckets] = flows::MAPS;
    let maps = [pinned(&place, groups)?, pinned(&place, tags)?, pinned(&place, buckets)?];
    let flows = FlowTable::new(maps.each_ref().map(|map| map.fd().as_fd()), state.sizes.flow_buckets as usize)?;
    let bench = Bench::beside(&place.pins, state.sizes, &control)?;
    let tag = bench.object().program_tag(program::INGRESS)?;
    anyhow::ensure!(
        tag == state.tag,
        "the attached programs (tag {:016x}) are not of this version (tag {tag:016x}); restart the daemon",
        state.tag
    );
    let text = PolicyText { path: state.policy.display().to_string(), text: state.text.clone() };
    let announced = RelatedMap::new(Map::LruHashMap(pinned(&place, "RELATED")?))?;
    let mut live = Live { bench, flows, announced };
    let rules = state.rules();
    let options = Options::default();
    let about =
        cli::About { ports: &state.ports, names: &state.names(), text: Some(&text), rules: rules.as_ref(), options };
    cli::explain_with(&args, &mut live, &about, now_ns())
}

fn pinned(place: &Place, name: &str) -> anyhow::Result<MapData> {
    let path = place.pins.join(name);
    MapData::from_pin(&path).with_context(|| format!("`{}`", path.display()))
}
