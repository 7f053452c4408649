//! What clients can begin with, by service and by port.

use dropgate_abi::policy::{FirstBytes, FirstKey, NO_SERVICE};

use super::image::Names;
use crate::{
    policy::model::{Expect, Policy, Reaction, protocol},
    protocol::{first_bytes, registrations},
};

/// Entries of `FIRST_BYTES`, in key order. Empty where something is let through that is not as expected, or its ends are
/// told: then it is for the inspector to see.
///
/// Where nothing is expected there is no entry either. Everything is dropped there too, but by one who can say what it was.
pub fn entries(policy: &Policy, names: &Names) -> Vec<(FirstKey, FirstBytes)> {
    let drops = policy.inspection.is_some_and(|inspection| {
        [inspection.mismatch, inspection.unknown, inspection.pending].iter().all(|reaction| *reaction == Reaction::Drop)
    });
    if !drops {
        return Vec::new();
    }
    let mut entries = Vec::new();
    for (counter, service) in &names.services {
        let listed = match &service.expect {
            Expect::Any => None,
            Expect::Only(protocols) => Some(protocols),
            Expect::Registered => continue,
        };
        for transport in [protocol::TCP, protocol::UDP] {
            let set = match listed.map(|protocols| first_bytes(transport == protocol::UDP, protocols)) {
                None | Some(FirstBytes::NONE) => FirstBytes::ANY,
                Some(set) => set,
            };
            entries.push((FirstKey { service: *counter, port: 0, protocol: transport, _pad: 0 }, set));
        }
    }
    for (udp, port, protocols) in registrations() {
        let transport = if udp { protocol::UDP } else { protocol::TCP };
        let set = first_bytes(udp, protocols);
        entries.push((FirstKey { service: NO_SERVICE, port, protocol: transport, _pad: 0 }, set));
    }
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries
}
