//! Flows that were announced, on their way to the kernel.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aya::maps::MapData;
use dropgate_abi::{
    flow::TICK_SHIFT,
    related::{MAX_RELATED, Related, RelatedKey, flag},
};

use super::{HoldError, map};
use crate::{
    datapath::{Object, Raw},
    inspect::Announced,
    policy::model::protocol::{TCP, UDP},
    protocol::Protocol,
    view::text::abi_address,
};

/// How long a flow that was announced may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most flows that hosts of one zone may have announced at once.
const ZONE_MAX: u32 = (MAX_RELATED / 16) as u32;

/// Writes what was announced. Shared by all who inspect; of a capture, for the time of that.
pub struct Announcer(Mutex<Inner>);

struct Inner {
    map: aya::maps::HashMap<MapData, Raw<RelatedKey>, Raw<Related>>,
    /// When which zone's announcements end, ns, in order of time; and how many each has.
    ends: VecDeque<(u64, u16)>,
    live: HashMap<u16, u32>,
}

impl Announcer {
    /// What an earlier daemon wrote stays good for as long as it is.
    ///
    /// # Errors
    /// The map is missing, or its descriptor cannot be shared.
    pub fn new(object: &Object) -> Result<Self, HoldError> {
        let shared = object.share("RELATED")?;
        let map = aya::maps::HashMap::try_from(shared).map_err(|error| map("RELATED", error))?;
        Ok(Self(Mutex::new(Inner { map, ends: VecDeque::new(), live: HashMap::new() })))
    }

    /// Makes a flow known; `false` if it is not, because its zone has announced too many or the kernel does not take it.
    pub fn announce(&self, announced: &Announced, now_ns: u64) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { map, ends, live } = &mut *inner;
        while let Some((_, zone)) = ends.pop_front_if(|(end, _)| *end <= now_ns) {
            live.entry(zone).and_modify(|count| *count = count.saturating_sub(1));
        }
        let count = live.entry(announced.zone).or_default();
        if *count >= ZONE_MAX {
            return false;
        }
        let end = now_ns.saturating_add(PATIENCE.as_nanos() as u64);
        let (key, value) = entry(announced, end);
        if map.insert(Raw(key), Raw(value), 0).is_err() {
            return false;
        }
        *count += 1;
        ends.push_back((end, announced.zone));
        true
    }
}

fn entry(announced: &Announced, end_ns: u64) -> (RelatedKey, Related) {
    let transport = |udp: bool| if udp { UDP } else { TCP };
    let (family, src) = abi_address(announced.initiator);
    let (_, dst) = abi_address(announced.responder);
    let key = RelatedKey { src, dst, port: announced.port, protocol: transport(announced.udp), family, _pad: 0 };
    let value = Related {
        expires: (end_ns >> TICK_SHIFT) as u32,
        begun: 0,
        zone: announced.zone,
        port: announced.control_port,
        protocol: transport(announced.control_udp),
        flags: if announced.from_server { flag::FROM_SERVER } else { 0 } | if announced.once { flag::ONCE } else { 0 },
        app: announced.speaks.map_or(0, Protocol::number),
        _pad: 0,
    };
    (key, value)
}
