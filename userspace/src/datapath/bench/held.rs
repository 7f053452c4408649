//! What an inspector needs of a private load. Nothing is handed to a socket there: whoever runs the programs has the frame,
//! and takes the number that the packet has among those of its flow.

use std::os::fd::AsFd as _;

use dropgate_abi::{
    bytes_of,
    control::Control,
    flow::Flow,
    hold::{CLEAR, Held, ONE, RELATED, SIEVED, Settle, part},
    tuple::{FlowKey, realm},
    walk::Walk,
};

use super::{Bench, BenchError};
use crate::datapath::{ObjectError, RelatedMap, object::program, sys};

impl Bench {
    /// What goes with a packet whose walk ended with [`dropgate_abi::walk::action::HOLD`], with a number if it has one among
    /// those of its flow. `None`: its flow is not in the table.
    pub fn hold(&mut self, walk: &Walk) -> Option<Held> {
        let held = Held {
            flow: walk.flow_id,
            generation: walk.generation,
            service: walk.service,
            zone: walk.zone,
            direction: walk.direction,
            part: walk.part,
            inner: if walk.tunnel == 0 { 0 } else { walk.l3 },
            tunnel: walk.tunnel,
            network: walk.network,
            realm: realm::of_tunnel(walk.realm),
            ..Held::default()
        };
        if !matches!(walk.part, part::WHOLE | part::FIRST) {
            return Some(held);
        }
        let control = self.slots.control().get(0)?;
        let (entry, hash) = self.find(walk, &control)?;
        // SAFETY: an entry inside the mapping; nothing else changes this table.
        let flow = unsafe { &mut *entry };
        let sequence = flow.hold / ONE;
        let announced = if flow.hold & RELATED != 0 { flow.app } else { 0 };
        let sieved = u8::from(flow.hold & SIEVED != 0);
        let (app, flags, started) = (flow.app, flow.flags, flow.started);
        let (packets, bytes) = (flow.packets(), flow.bytes);
        flow.hold = flow.hold.wrapping_add(ONE) & !CLEAR;
        Some(Held { hash, sequence, announced, sieved, app, flags, started, packets, bytes, ..held })
    }

    /// What was announced here.
    ///
    /// # Errors
    /// When the map cannot be shared.
    pub fn announced(&self) -> Result<RelatedMap, ObjectError> {
        RelatedMap::new(self.object.share("RELATED")?)
    }

    /// Asks `dropgate_settle`; see [`dropgate_abi::hold::settled`].
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn settle(&self, request: &Settle) -> Result<u32, BenchError> {
        let program = self.object.program_fd(program::SETTLE)?.as_fd();
        let frame = bytes_of(request);
        let ran =
            sys::test_run(program, frame, 1, None).map_err(|source| BenchError::Run { len: frame.len(), source })?;
        Ok(ran.action)
    }

    /// A packet's flow, and its hash.
    fn find(&self, walk: &Walk, control: &Control) -> Option<(*mut Flow, u64)> {
        let ends = [(walk.src, walk.sport), (walk.dst, walk.dport)];
        // the programs know which end is the low one; here either may be
        [(ends[0], ends[1]), (ends[1], ends[0])].into_iter().find_map(|((low, low_port), (high, high_port))| {
            let (protocol, family, realm) = (walk.protocol, walk.family, walk.realm);
            let hash = FlowKey { low, high, low_port, high_port, protocol, family, realm }.hash(&control.secret);
            Some((self.flows.find(hash, walk.flow_id)?, hash))
        })
    }
}
