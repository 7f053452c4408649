//! Flows that were announced, on their way to the kernel.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use dropgate_abi::{
    flow::TICK_SHIFT,
    related::{MAX_RELATED, Related, RelatedKey, SOMEBODY, flag},
    tuple::realm::INSIDE,
};

use super::HoldError;
use crate::{
    datapath::{Object, RelatedMap},
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
    map: RelatedMap,
    /// In order of time.
    standing: VecDeque<Standing>,
    /// How many of these each zone has.
    live: HashMap<u16, u32>,
    /// When the latest announcement of the same flow ends, ns: it has taken the place of those before it.
    latest: HashMap<RelatedKey, u64>,
    done: Announcements,
}

/// An announcement that is still good.
struct Standing {
    /// Until this time, ns.
    end_ns: u64,
    zone: u16,
    key: RelatedKey,
}

/// What became of announcements so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Announcements {
    /// Flows that were made known.
    pub accepted: u64,
    /// Those of them of which at least one has begun.
    pub used: u64,
    /// Flows that were not made known, because hosts of their zone had announced too many.
    pub refused_zone: u64,
    /// Those that the kernel did not take.
    pub refused_kernel: u64,
}

impl Inner {
    /// Takes out what is no longer good at this time.
    fn expire(&mut self, now_ns: u64) {
        while let Some(Standing { end_ns, zone, key }) =
            self.standing.pop_front_if(|standing| standing.end_ns <= now_ns)
        {
            self.live.entry(zone).and_modify(|count| *count = count.saturating_sub(1));
            if self.latest.get(&key) == Some(&end_ns) {
                self.latest.remove(&key);
                self.done.used += u64::from(has_begun(&self.map, &key));
            }
        }
    }
}

/// Whether a flow that was announced has begun. One that was pushed out by others is not known any more.
fn has_begun(map: &RelatedMap, key: &RelatedKey) -> bool {
    map.get(key).is_some_and(|related| related.begun != 0)
}

impl Announcer {
    /// What an earlier daemon wrote stays good for as long as it is.
    ///
    /// # Errors
    /// The map is missing, or its descriptor cannot be shared.
    pub fn new(object: &Object) -> Result<Self, HoldError> {
        let map = RelatedMap::new(object.share("RELATED")?)?;
        let (standing, live, latest) = (VecDeque::new(), HashMap::new(), HashMap::new());
        Ok(Self(Mutex::new(Inner { map, standing, live, latest, done: Announcements::default() })))
    }

    /// Makes a flow known; `false` if it is not, because its zone has announced too many or the kernel does not take it.
    pub fn announce(&self, announced: &Announced, now_ns: u64) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.expire(now_ns);
        let Inner { map, standing, live, latest, done } = &mut *inner;
        let zone = announced.zone;
        let count = live.entry(zone).or_default();
        if *count >= ZONE_MAX {
            done.refused_zone += 1;
            return false;
        }
        let end_ns = now_ns.saturating_add(PATIENCE.as_nanos() as u64);
        let (key, value) = entry(announced, end_ns);
        if announced.from_server && announced.realm == INSIDE {
            // behind translation it comes to the gateway's own address first
            let _ = map.put(RelatedKey { dst: SOMEBODY, ..key }, value);
        }
        let before = latest.contains_key(&key) && has_begun(map, &key);
        if map.put(key, value).is_err() {
            done.refused_kernel += 1;
            return false;
        }
        *count += 1;
        done.accepted += 1;
        done.used += u64::from(before);
        latest.insert(key, end_ns);
        standing.push_back(Standing { end_ns, zone, key });
        true
    }

    /// What became of announcements until now.
    pub fn done(&self, now_ns: u64) -> Announcements {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.expire(now_ns);
        let begun = inner.latest.keys().filter(|key| has_begun(&inner.map, key)).count();
        Announcements { used: inner.done.used + begun as u64, ..inner.done }
    }
}

fn entry(announced: &Announced, end_ns: u64) -> (RelatedKey, Related) {
    let transport = |udp: bool| if udp { UDP } else { TCP };
    let (family, src) = abi_address(announced.initiator);
    let (_, dst) = abi_address(announced.responder);
    let key = RelatedKey {
        src,
        dst,
        port: announced.port,
        protocol: transport(announced.udp),
        family,
        realm: announced.realm,
        _pad: 0,
    };
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
