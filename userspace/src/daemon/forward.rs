//! Interfaces by which the programs forward packets themselves: those of the policy whose drivers send what XDP gives them.
//!
//! A driver that cannot would lose them without a word, so each is asked (`xdp-features` of netdev.yaml,
//! `Documentation/netlink/specs`). Some can only for a time: veth while the other end has NAPI.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use aya::maps::{MapError, xdp::DevMapHash};

use crate::{
    datapath::{Object, ObjectError},
    netdev::{self, SENDS},
};

/// Between two times that drivers are asked.
const PAUSE: Duration = Duration::from_secs(1);

/// What `FORWARD` holds.
#[derive(Debug, Default)]
pub struct Forward {
    by: BTreeSet<u32>,
    asked: Option<Instant>,
}

impl Forward {
    /// Whether packets are forwarded by an interface without the kernel's stack.
    pub fn sends(&self, index: u32) -> bool {
        self.by.contains(&index)
    }

    /// Whether drivers are to be asked again.
    pub fn is_due(&self) -> bool {
        self.asked.is_none_or(|at| at.elapsed() >= PAUSE)
    }

    /// Makes the map hold those of `interfaces` that can send. The map may hold others that an earlier daemon has put there.
    pub fn follow(&mut self, object: &mut Object, interfaces: impl Iterator<Item = u32>) -> Result<(), ObjectError> {
        const NAME: &str = "FORWARD";
        let fault = |source: MapError| ObjectError::Map { name: NAME.to_owned(), source: Box::new(source) };
        self.asked = Some(Instant::now());
        let mut able: BTreeSet<u32> = interfaces.collect();
        if !able.is_empty() {
            // where the kernel does not say, none can
            let features = netdev::xdp_features().unwrap_or_default();
            able.retain(|index| features.get(index).is_some_and(|features| features & SENDS != 0));
        }
        let map = object.ebpf.map_mut(NAME).ok_or_else(|| ObjectError::Missing { name: NAME.to_owned() })?;
        let mut map: DevMapHash<_> = map.try_into().map_err(fault)?;
        let held: BTreeSet<u32> = map.keys().filter_map(Result::ok).collect();
        for index in held.difference(&able) {
            // what went with its device is gone already
            let _ = map.remove(*index);
        }
        // one that has gone meanwhile comes with a commit of its own
        able.retain(|index| held.contains(index) || map.insert(*index, *index, None, 0).is_ok());
        self.by = able;
        Ok(())
    }
}
