//! Every reason of the stages frame, parse, anomaly and fragment that can be had by wire, by frames of a host of `office`.
//!
//! Each case raises its counters by exactly what it sent and nothing else; nothing of what is dropped reaches the
//! gateway's own stack or the outside. Each is sent untagged and, where the policy has a zone for it, behind one tag and
//! behind two.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dropgate_abi::reason::{Kind as Sort, REASONS, Stage};
use dropgate_lab::{Kind, RawSocket, address::*, wait_until};
use serde_json::Value;

use crate::{
    cases::{self, Case},
    frames::Path,
    policies,
    setup::{LIMIT, Wire},
};

/// Reasons of these stages that no single frame of a host here can have, and why.
const NOT_BY_WIRE: &[(&str, &str)] = &[
    ("frame_truncated", "the kernel sends no frame that is shorter than an Ethernet header"),
    (
        "icmp_type_unknown",
        "takes a zone that may send such types; what it is told apart by is that of `icmp_code_unknown`",
    ),
    ("pppoe_opaque", "takes a policy that lets sessions pass: `userspace/tests/table/tunnels.rs`"),
    ("ttl_zero", "the kernel answers it, which counts too; its line in `userspace/tests/table/cases.rs` passes"),
    ("datagram_pieces", "takes more fragments than a datagram has: `userspace/tests/table/fragments.rs`"),
    ("fragment_source_limit", "takes more datagrams than one source may have: `userspace/tests/table/fragments.rs`"),
    ("fragment_table_full", "takes more first fragments than the table holds: `full.rs` sends them"),
];

const LINES: &str = "
[[zone.office.egress]]
name = \"voice\"
udp = [7001]
icmp = [\"echo-request\"]
icmpv6 = [\"echo-request\"]

[zone.phones]
interface = \"lan0\"
vlan = 10
prefixes = [\"10.10.0.0/24\", \"fd00:10::/64\"]

[[zone.phones.egress]]
name = \"voice\"
icmp = [\"echo-request\"]
icmpv6 = [\"echo-request\"]

[zone.cameras]
interface = \"lan0\"
vlan = [100, 10]
prefixes = [\"10.10.0.0/24\", \"fd00:10::/64\"]

[[zone.cameras.egress]]
name = \"voice\"
icmp = [\"echo-request\"]
icmpv6 = [\"echo-request\"]

[fragments]
other = \"pass\"
";
/// Says that all before it has been judged: frames keep their order.
const LAST: &[u8] = b"that was all of it";

fn policy(unsolicited: &str) -> String {
    let gateway = format!("ethertypes = [\"arp\", \"0x88b5\"]\nunsolicited = \"{unsolicited}\"\noutside =");
    policies::office(Kind::Route, LINES).replace("outside =", &gateway)
}

/// The stages whose reasons the cases are to cover.
fn covered(stage: Stage) -> bool {
    matches!(stage, Stage::Frame | Stage::Parse | Stage::Anomaly | Stage::Fragment)
}

#[test]
fn each_has_its_reason_and_goes_nowhere() {
    let wire = Wire::with_policy(&policy("count"));
    let bench = Bench::new(&wire);
    let mut expected = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut run = |case: &Case| {
        bench.run(case);
        for step in &case.steps {
            seen.extend([step.reason].into_iter().chain(step.besides));
            *expected.entry(step.reason).or_insert(0) += case.times;
        }
    };
    for case in cases::frames(&wire.cable) {
        run(&case);
    }
    // Of each tuple one form, because a flow belongs to the port where it began.
    for (port, tags) in (5_000..).step_by(100).zip([&[][..], &[10], &[100, 10]]) {
        for (from, to) in [(OFFICE, SERVER), (OFFICE6, SERVER6)] {
            for case in cases::packets(&wire.cable, tags, Path::new(from, to, (port, 7001))) {
                run(&case);
            }
        }
    }
    wire.daemon.apply(&wire.lab.write("drop.toml", &policy("drop")).unwrap());
    for case in cases::refused(&wire.cable) {
        run(&case);
    }

    // What was dropped is told, each frame of it.
    let dropped = |reason: &str| {
        REASONS.iter().any(|info| info.name == reason && info.kind != Sort::Pass && info.kind != Sort::Anomaly)
    };
    expected.retain(|reason, _| dropped(reason));
    let mut told = BTreeMap::new();
    let waited = wait_until("every drop event", LIMIT, || {
        told = drops(&wire.daemon.events.since(0));
        Ok(expected.iter().all(|(reason, count)| told.get(*reason) == Some(count)))
    });
    assert!(waited.is_ok(), "{expected:?}\n{told:?}");

    let known: BTreeSet<&str> = REASONS.iter().filter(|info| covered(info.stage)).map(|info| info.name).collect();
    let named: BTreeSet<&str> = NOT_BY_WIRE.iter().map(|(reason, _)| *reason).collect();
    let missing: Vec<_> = known.iter().filter(|name| !seen.contains(*name) && !named.contains(*name)).collect();
    assert!(missing.is_empty(), "neither sent nor named in `NOT_BY_WIRE`: {missing:?}");
    assert!(named.is_subset(&known) && named.is_disjoint(&seen), "`NOT_BY_WIRE` names what is not, or was sent");
}

fn drops(events: &[Value]) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    for event in events.iter().filter(|event| event["event_type"] == "drop") {
        *told.entry(event["dropgate"]["reason"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    told
}

/// The wire, with a look at what the gateway's own stack gets.
struct Bench<'a> {
    wire: &'a Wire,
    stack: RawSocket,
}

impl<'a> Bench<'a> {
    fn new(wire: &'a Wire) -> Self {
        let bench = Self { wire, stack: RawSocket::open(&wire.lab.gw, "lan0").unwrap() };
        quieten(wire);
        // The flow of the last packets, and its neighbours.
        bench.barrier();
        bench
    }

    fn run(&self, case: &Case) {
        let name = &case.name;
        let before = self.counters();
        for _ in 0..case.times {
            case.steps.iter().for_each(|step| self.wire.sender.send(&step.frame).unwrap());
        }
        let (stack, outside) = self.barrier();
        let passed: Vec<_> = case.steps.iter().filter(|step| step.passes).map(|step| &step.frame).collect();
        let wanted = usize::try_from(case.times).unwrap() * passed.len();
        assert_eq!(stack.len(), wanted, "{name}: in the gateway's stack: {stack:x?}");
        assert!(stack.iter().all(|frame| passed.contains(&frame)), "{name}: in the gateway's stack: {stack:x?}");
        let forwarded = if case.forwarded { wanted } else { 0 };
        assert_eq!(outside.len(), forwarded, "{name}: on the outside: {outside:x?}");

        // The packet that ends it is counted where it comes in, and where it leaves, as are those that were forwarded.
        let mut expected = BTreeMap::from([("flow", 1), ("routed", 1 + forwarded as u64)]);
        for step in &case.steps {
            *expected.entry(step.reason).or_insert(0) += case.times;
            if let Some(besides) = step.besides {
                *expected.entry(besides).or_insert(0) += case.times;
            }
        }
        let after = self.counters();
        let grown = after.iter().filter_map(|(reason, count)| {
            let more = count - before.get(reason).copied().unwrap_or(0);
            (more > 0).then_some((reason.as_str(), more))
        });
        assert_eq!(grown.collect::<BTreeMap<_, _>>(), expected, "{name}");
    }

    /// Packets counted, by reason. What kernels say of multicast groups on their own is left out.
    fn counters(&self) -> BTreeMap<String, u64> {
        let status = self.wire.daemon.status();
        let reasons = status["counters"]["reasons"].as_object().unwrap();
        let packets = |(name, counter): (&String, &Value)| (name.clone(), counter["packets"].as_u64().unwrap());
        reasons.iter().filter(|(name, _)| *name != "multicast_listener").map(packets).collect()
    }

    /// Waits until all that was sent has been judged. What came to the gateway's stack, and what came out beyond it.
    fn barrier(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        self.wire.send(&[], &Path::new(OFFICE, SERVER, (4_999, 7001)).udp(LAST));
        (until_last(&self.stack), until_last(&self.wire.receiver))
    }
}

/// What came before the last packet, without listeners' reports, which kernels send on their own.
fn until_last(socket: &RawSocket) -> Vec<Vec<u8>> {
    let mut came = Vec::new();
    let found = socket.receive(Duration::from_secs(5), |frame| {
        let last = frame.ends_with(LAST);
        let report = frame.starts_with(&[0x33, 0x33, 0, 0, 0, 0x16]) || frame.starts_with(&[1, 0, 0x5e, 0, 0, 0x16]);
        if !last && !report && !frame.is_empty() {
            came.push(frame.to_vec());
        }
        last
    });
    assert!(found.unwrap().is_some(), "the last packet did not arrive");
    came
}

/// Neighbours are known for good, so that no kernel asks for one meanwhile.
fn quieten(wire: &Wire) {
    let lab = &wire.lab;
    let mac = |host: &dropgate_lab::Namespace, interface: &str| {
        host.mac(interface).unwrap().map(|byte| format!("{byte:02x}")).join(":")
    };
    for (host, interface, far, other, addresses) in [
        (&lab.office, "eth0", &lab.gw, "lan0", [GW_OFFICE, GW_OFFICE6]),
        (&lab.gw, "lan0", &lab.office, "eth0", [OFFICE, OFFICE6]),
        (&lab.gw, "wan0", &lab.servers, "eth0", [SERVER, SERVER6]),
        (&lab.servers, "eth0", &lab.gw, "wan0", [WAN, WAN6]),
    ] {
        for address in addresses {
            let to = mac(far, other);
            host.ip(&format!("neighbour replace {address} lladdr {to} dev {interface} nud permanent")).unwrap();
        }
    }
    // Those that are left over would be asked whether they are still there.
    for host in [&lab.office, &lab.gw, &lab.servers] {
        host.ip("neighbour flush all").unwrap();
    }
    // The outside answers nothing: a port without a server would be told of by ICMP.
    lab.servers
        .check(
            "nft",
            ["add table inet silence; add chain inet silence everything { type filter hook input priority 0; policy drop; }"],
        )
        .unwrap();
}
