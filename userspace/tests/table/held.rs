//! What is handed to the inspector, and what becomes of it where there is none.

use aya::maps::HashMap;
use dropgate_abi::{
    bytes_of,
    hold::{Credit, HoldPort},
    walk::{action, hook},
};

use super::{
    bench::Real,
    net::{ALL, LAN0, policy},
};
use crate::{
    ack, packets,
    packets::{SYN, TCP},
    syn,
};

/// Sets the one entry of `HOLD_PORTS` for an interface, and the credit of its socket.
pub fn serve(real: &Real, ifindex: u32, longest: u32, credit: Credit) {
    let map = real.bench.object().share("HOLD_PORTS").expect("a map");
    let mut ports: HashMap<_, u32, [u8; 24]> = map.try_into().expect("a hash map");
    let port = HoldPort { socket: 0, queues: 1, longest, ..HoldPort::default() };
    ports.insert(ifindex, bytes_of(&port).first_chunk().expect("24 bytes"), 0).expect("room");
    real.bench.object().mapped::<Credit>("CREDITS", 1).expect("memory").set(0, credit);
}

#[test]
fn what_is_held() {
    let inspected = policy() + "\n[inspection]\nlate = \"500ms\"\n";
    for net in &ALL {
        let mut real = Real::new(&inspected);
        // nobody serves the interface: as in a replay
        real.ingress(net.name, LAN0, &syn(net), "held");
        real.ingress(net.name, LAN0, &ack(net), "held");
        let fin = |port| net.out().frame(net.tags, TCP, &packets::tcp(port, 443, SYN, &[]));
        serve(&real, LAN0, 1514, Credit::default());
        real.ingress(net.name, LAN0, &fin(1001), "inspector_absent");
        serve(&real, LAN0, 40, Credit { limit: 8, alive_ns: real.now, ..Credit::default() });
        real.ingress(net.name, LAN0, &fin(1002), "hold_too_long");
        serve(&real, LAN0, 1514, Credit { limit: 8, alive_ns: real.now, ..Credit::default() });
        // a sign of life, but no socket behind it
        real.ingress(net.name, LAN0, &fin(1003), "inspector_absent");
        real.now += 501_000_000;
        real.ingress(net.name, LAN0, &fin(1004), "inspector_late");

        for (key, reason) in [("inspector", "inspector_late"), ("too_long", "hold_too_long")] {
            real.commit(&format!("{inspected}\n[failure]\n{key} = \"pass\"\n"));
            let longest = if key == "too_long" { 40 } else { 1514 };
            serve(&real, LAN0, longest, Credit { limit: 8, ..Credit::default() });
            let walk = real.bench.run(hook::INGRESS, LAN0, 0, real.now, &fin(1005)).expect("test run");
            assert_eq!((walk.action, walk.reason.name()), (action::PASS, reason), "{}", net.name);
        }
        // without inspection, what was to be inspected is not
        real.commit(&policy());
        real.ingress(net.name, LAN0, &ack(net), "flow");
        real.ingress(net.name, LAN0, &fin(1006), "allowed");
    }
}
