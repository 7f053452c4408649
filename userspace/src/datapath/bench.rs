//! A private load of the object: packets in by `BPF_PROG_TEST_RUN`, walks out. Clock and port come from `CONTROL`, so that
//! the very programs that guard an interface also replay, explain and are tested.

mod held;

use std::os::fd::AsFd as _;
use std::{io, path::Path};

use dropgate_abi::{
    control::{Asked, Control, Counter, mode},
    flow::Flow,
    fragment::{FragmentBucket, SOURCES, Source},
    policy::MAX_ZONES,
    related::RelatedKey,
    walk::{Walk, hook},
};

use super::{
    FlowTable, Mapped, Object, ObjectError, Sizes, SlotError, Slots,
    object::{POLICY_MAPS, program},
    sys,
};
use crate::policy::Image;
use aya::maps::{Map, MapData, MapError, RingBuf};

/// Why a packet was not judged.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Slot(#[from] SlotError),
    #[error("the kernel runs programs on frames of 14 bytes and more; this one has {0}")]
    Short(usize),
    #[error("map `ASKED` cannot be emptied")]
    Forget(#[source] io::Error),
    #[error("map `EVENTS` cannot be read")]
    Ring(#[source] MapError),
    #[error("`BPF_PROG_TEST_RUN` on a frame of {len} bytes")]
    Run {
        len: usize,
        #[source]
        source: io::Error,
    },
}

/// Bytes of an Ethernet header, the least that the kernel runs a program on.
const SHORTEST: usize = 14;
/// Bytes that the kernel runs an XDP program on at most, less some: a page and seventeen fragments of one. No IP packet
/// is longer, other than by what BIG TCP merges, which no driver hands to XDP.
const LONGEST_INGRESS: usize = 70_000;
/// Bytes that it runs a tc program on at most, less some: what is left of a page.
const LONGEST_EGRESS: usize = 3_500;
/// Bytes of a segment, as a merged packet is said to be made of.
const SEGMENT: u32 = 1448;

/// The object, loaded for itself, attached to nothing.
pub struct Bench {
    object: Object,
    slots: Slots,
    flows: FlowTable,
    fragments: Mapped<FragmentBucket>,
    fragment_sources: Mapped<Source>,
    zone_flows: Mapped<u64>,
    trace: Mapped<Walk>,
    /// What the programs tell, once somebody listens.
    ring: Option<RingBuf<MapData>>,
    /// What comes in is judged as on a device without native XDP.
    tcx: bool,
}

impl Bench {
    /// Loads the object with small tables and puts `image` in force as generation 1.
    pub fn new(image: &Image) -> Result<Self, BenchError> {
        Self::with_sizes(image, Sizes::small())
    }

    /// As [`Bench::new`], with tables of these sizes.
    pub fn with_sizes(image: &Image, sizes: Sizes) -> Result<Self, BenchError> {
        Self::alone(Object::load(sizes, Path::new(""), &[])?, image)
    }

    /// As [`Bench::new`], with an object from elsewhere.
    pub fn with_object(image: &Image, object: &[u8]) -> Result<Self, BenchError> {
        Self::alone(Object::load_bytes(object, Sizes::small(), Path::new(""), &[])?, image)
    }

    fn alone(object: Object, image: &Image) -> Result<Self, BenchError> {
        let sizes = object.sizes();
        let mut bench = Self::of(object)?;
        bench.control(|control| {
            *control = Control {
                flow_mask: sizes.flow_buckets - 1,
                fragment_mask: sizes.fragment_buckets - 1,
                fragments_per_source: sizes.fragments_per_source(),
                // a fixed secret: runs can be repeated
                secret: std::array::from_fn(|at| 0x9e37_79b9u32.wrapping_mul(2 * at as u32 + 1)),
                mode: mode::BENCH | mode::TRACE,
                version: dropgate_abi::VERSION,
                ..*control
            };
        });
        bench.commit(image, 1)?;
        Ok(bench)
    }

    /// Loads the object beside a gateway whose maps are pinned in `pins`: with its policy maps, which it does not change,
    /// and with tables of its own, which are empty. `control` is the gateway's.
    pub fn beside(pins: &Path, sizes: Sizes, control: &Control) -> Result<Self, BenchError> {
        let small = Sizes::small();
        let sizes = Sizes { flow_buckets: 1 << 12, fragment_buckets: small.fragment_buckets, ..sizes };
        let mut object = Object::load(sizes, pins, &[POLICY_MAPS])?;
        // nobody says here what the policy in force asks for
        object.look_inside(false)?;
        let mut bench = Self::of(object)?;
        bench.control(|own| {
            *own = Control {
                flow_mask: sizes.flow_buckets - 1,
                fragment_mask: sizes.fragment_buckets - 1,
                fragments_per_source: sizes.fragments_per_source(),
                mode: mode::BENCH | mode::TRACE,
                ..*control
            };
        });
        Ok(bench)
    }

    fn of(object: Object) -> Result<Self, BenchError> {
        let sizes = object.sizes();
        Ok(Self {
            slots: Slots::new(&object)?,
            flows: FlowTable::of(&object)?,
            fragments: object.mapped("FRAGMENTS", sizes.fragment_buckets)?,
            fragment_sources: object.mapped("FRAGMENT_SOURCES", SOURCES)?,
            zone_flows: object.mapped("ZONE_FLOWS", MAX_ZONES)?,
            trace: object.mapped("TRACE", 2)?,
            ring: None,
            tcx: false,
            object,
        })
    }

    /// From now on packets are judged by the programs of Ethernet devices without native XDP.
    ///
    /// # Errors
    /// When the kernel does not take them.
    pub fn without_xdp(&mut self) -> Result<(), BenchError> {
        for name in [program::TCX_INGRESS, program::TCX_EGRESS] {
            self.object.classifier(name)?;
        }
        self.tcx = true;
        Ok(())
    }

    /// Puts a copy of a flow into the table; `false` when its buckets are full.
    pub fn copy_flow(&self, flow: &Flow) -> bool {
        let control = self.slots.control().get(0).unwrap_or_default();
        self.flows.put(flow.key.hash(&control.secret), flow)
    }

    /// Changes what steers the programs.
    pub fn control(&mut self, change: impl FnOnce(&mut Control)) {
        if let Some(mut control) = self.slots.control().get(0) {
            change(&mut control);
            self.slots.control().set(0, control);
        }
    }

    /// The generation in force.
    pub fn generation(&self) -> u32 {
        self.slots.generation()
    }

    /// Puts `image` in force as `generation`.
    pub fn commit(&mut self, image: &Image, generation: u32) -> Result<(), BenchError> {
        if image.looks_inside() {
            self.object.look_inside(false)?;
        }
        self.slots.commit(&self.object, image, generation)?;
        Ok(())
    }

    /// Judges one frame and returns its walk. `hook`: see [`hook`]; `ifindex`: where it comes in, or leaves;
    /// `from_ifindex`: at egress, where it came in (0: from the gateway itself).
    pub fn run(
        &mut self,
        hook: u8,
        ifindex: u32,
        from_ifindex: u32,
        now_ns: u64,
        frame: &[u8],
    ) -> Result<Walk, BenchError> {
        self.control(|control| {
            control.port_ifindex = ifindex;
            control.from_ifindex = from_ifindex;
            control.clock_ns = now_ns;
        });
        // a program that ends before its verdict must not show the walk before
        self.trace.clear();
        self.repeat(hook, frame, 1)?;
        Ok(self.trace.get(0).unwrap_or_default())
    }

    /// The walk of what carried the packet that was judged last, if that was found in a tunnel.
    pub fn outer(&self) -> Option<Walk> {
        self.trace.get(1).filter(|walk| walk.inside != 0)
    }

    /// Runs a program `repeat` times on one frame; the mean time of a run, ns.
    ///
    /// Of frames longer than the kernel takes the program sees the first bytes, in which the headers lie. At egress such a
    /// packet is said to be merged by the kernel, as packets of that length are: its lengths are then not compared.
    pub fn repeat(&self, hook: u8, frame: &[u8], repeat: u32) -> Result<u32, BenchError> {
        if frame.len() < SHORTEST {
            return Err(BenchError::Short(frame.len()));
        }
        let (name, longest) = match (hook == hook::INGRESS, self.tcx) {
            (true, false) => (program::INGRESS, LONGEST_INGRESS),
            (true, true) => (program::TCX_INGRESS, LONGEST_EGRESS),
            (false, false) => (program::EGRESS, LONGEST_EGRESS),
            (false, true) => (program::TCX_EGRESS, LONGEST_EGRESS),
        };
        let shown = frame.get(..longest).unwrap_or(frame);
        let merged = (longest == LONGEST_EGRESS && frame.len() > longest).then_some(SEGMENT);
        let program = self.object.program_fd(name)?.as_fd();
        let ran = sys::test_run(program, shown, repeat, merged)
            .map_err(|source| BenchError::Run { len: frame.len(), source })?;
        Ok(ran.mean_ns)
    }

    /// Forgets all flows and fragments, and whom the gateway asked for by ARP and neighbour solicitation.
    pub fn forget(&mut self) -> Result<(), BenchError> {
        self.flows.clear();
        self.fragments.clear();
        self.fragment_sources.clear();
        self.zone_flows.clear();
        sys::clear::<Asked>(self.object.map_fd("ASKED")?).map_err(BenchError::Forget)?;
        sys::clear::<RelatedKey>(self.object.map_fd("RELATED")?).map_err(BenchError::Forget)
    }

    /// Packets and bytes counted for a reason, over all CPUs.
    pub fn reason_counter(&self, reason: dropgate_abi::reason::Reason) -> Result<Counter, BenchError> {
        Ok(super::counters::sum(&self.object, "REASON_COUNTERS", u32::from(reason.0))?)
    }

    /// Packets and bytes counted for a service, over all CPUs. `service`: see [`Walk::service`].
    pub fn service_counter(&self, service: u32) -> Result<Counter, BenchError> {
        Ok(super::counters::sum(&self.object, "SERVICE_COUNTERS", service)?)
    }

    /// Zones whose count of live flows is not what the table holds: number, count, flows in the table. None but while
    /// packets are judged.
    pub fn miscounted_zones(&self) -> Vec<(u16, u64, u64)> {
        let mut held = std::collections::BTreeMap::<u16, u64>::new();
        self.flows.flows().for_each(|flow| *held.entry(flow.zone).or_default() += 1);
        let counts = (0..u16::MAX).map_while(|zone| Some((zone, self.zone_flows.get(zone.into())?)));
        counts
            .map(|(zone, count)| (zone, count, held.get(&zone).copied().unwrap_or_default()))
            .filter(|(_, count, held)| count != held)
            .collect()
    }

    /// From now on [`Bench::told`] has what the programs tell.
    pub fn listen(&mut self) -> Result<(), BenchError> {
        let map = Map::RingBuf(self.object.take("EVENTS")?);
        self.ring = Some(RingBuf::try_from(map).map_err(BenchError::Ring)?);
        Ok(())
    }

    /// Hands over each record that the programs have written since: see [`dropgate_abi::event`].
    pub fn told(&mut self, each: &mut dyn FnMut(&[u8])) {
        while let Some(item) = self.ring.as_mut().and_then(RingBuf::next) {
            each(&item);
        }
    }

    /// The flows in the table, those that began first coming first; expired ones are among them.
    pub fn live_flows(&self) -> Vec<Flow> {
        let mut found: Vec<Flow> = self.flows.flows().collect();
        found.sort_by_key(|flow| (flow.started, *flow.key.words()));
        found
    }

    /// The flow table.
    pub const fn flows(&self) -> &FlowTable {
        &self.flows
    }

    /// The loaded object.
    pub const fn object(&self) -> &Object {
        &self.object
    }
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").field("sizes", &self.object.sizes()).finish_non_exhaustive()
    }
}
