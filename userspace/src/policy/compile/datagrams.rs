//! Which datagrams no rule of a policy can match.

use dropgate_abi::flow::app;
use dropgate_signatures::{datagrams::Sieve, protocol::App};

use crate::{
    app::{LLMNR_PORT, Limits, MDNS_PORT, app as name, parser},
    policy::model::Policy,
    protocol::Protocol,
};

/// Ports by which rules give what is spoken over UDP different names, and another one.
const PORTS: [u16; 3] = [MDNS_PORT, LLMNR_PORT, 1];

/// What rules can match, and where what is spoken decides; `None`: there are no rules, or nothing is inspected.
pub fn sieve(policy: &Policy) -> Option<Sieve> {
    let signatures = policy.signatures.as_ref().filter(|_| policy.inspection.is_some())?;
    let mut sieve = Sieve::of(signatures.ruleset.rules());
    let Sieve { table, spoken, transactions } = &mut sieve;
    let mut hold = |number: u8| table.apps[usize::from(number >> 6)] |= 1 << (number & 63);
    for protocol in Protocol::ALL {
        // rules tell some protocols by their ports
        for called in PORTS.iter().map(|port| name(*protocol, true, *port)) {
            let read = parser(called, true, &Limits::default()).is_some();
            if read && (signatures.log || transactions.contains(&called)) || spoken.contains(&called) {
                hold(protocol.number());
            }
        }
    }
    for (number, called) in [(app::UNKNOWN, App::Failed), (0, App::Unknown)] {
        if spoken.contains(&called) {
            hold(number);
        }
    }
    Some(sieve)
}
