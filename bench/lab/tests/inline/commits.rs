//! Two policies that allow disjoint services take turns while packets of both, and of neither, flow.
//!
//! What is proved: after a push has returned, probes of every service are sent, those that the policy denies first. The
//! round ends when the last allowed one has arrived, and only then the next push begins; so all of them arrived while one
//! policy was in force, and exactly its own must come through. A mixture of both policies would let a crossing pass (the
//! port of one with the destination of the other), which must never arrive, neither as a probe nor from the load.

use std::{
    collections::BTreeMap,
    net::UdpSocket,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use dropgate_lab::{Gateway, Kind, Lab, Process, RawSocket, address::*, trafgen};

use crate::{
    daemon::Daemon,
    frames::{Cable, Path},
    policies,
};

const ROUNDS: u32 = 1000;
/// Of each probe, in each round.
const COPIES: usize = 3;
/// A round's allowed probes arrive within this time, or they do not at all.
const LIMIT: Duration = Duration::from_secs(5);
/// Server and port: allowed by the first policy, by the second, by neither.
const TARGETS: [(&str, u16); 4] = [(SERVER, 7001), (SERVER_B, 7002), (SERVER, 7002), (SERVER_B, 7001)];

/// What arrived: its place in [`TARGETS`], and what it says.
type Arrival = (usize, Vec<u8>);

#[test]
fn a_thousand_pushes_under_load() {
    let lab = Lab::gateway(Kind::Route).unwrap();
    let only = |at: usize| {
        let (server, port) = TARGETS[at];
        let service = format!("[[zone.office.egress]]\nname = \"only\"\nudp = [{port}]\nto = [\"{server}\"]\n");
        policies::office(Kind::Route, &service)
    };
    let files = [0, 1].map(|at| lab.write(&format!("policy-{at}.toml"), &only(at)).unwrap());
    let daemon = Daemon::start(&lab, &only(1));
    let (arrivals, stop, receivers) = receive(&lab);
    let cable = Cable::new(&lab, &lab.office, "lan0");
    let wire = RawSocket::open(&lab.office, "eth0").unwrap();
    let load = load(&lab, &cable);

    let mut seen = BTreeMap::new();
    let mut generation = 1;
    for round in 0..ROUNDS {
        let allowed = round as usize % 2;
        let applied = daemon.apply(&files[allowed]);
        assert!(applied > generation, "generation {applied} after {generation}");
        generation = applied;
        // One flow that lasts, and a new one each round.
        let ports = [5_000, 10_000 + u16::try_from(round).unwrap()];
        for target in [2, 3, 1 - allowed, allowed] {
            for port in ports {
                let (server, service) = TARGETS[target];
                let probe = Path::new(OFFICE, server, (port, service)).udp(format!("probe {round}").as_bytes());
                (0..COPIES).for_each(|_| wire.send(&cable.frame(&probe)).unwrap());
            }
        }
        let (end, mut got) = (Instant::now() + LIMIT, 0);
        while got < ports.len() * COPIES {
            let left = end.saturating_duration_since(Instant::now());
            let (target, said) = arrivals.recv_timeout(left).unwrap_or_else(|_| {
                panic!("round {round}: {got} allowed probes arrived: {}", daemon.status());
            });
            *seen.entry((target, said == b"load")).or_insert(0u64) += 1;
            if said != b"load" {
                let said = String::from_utf8_lossy(&said).into_owned();
                assert_eq!((target, said), (allowed, format!("probe {round}")), "judged by another policy");
                got += 1;
            }
        }
    }
    drop(load);
    stop.store(true, Ordering::Relaxed);
    receivers.into_iter().for_each(|thread| thread.join().unwrap());
    for (target, said) in arrivals.try_iter() {
        assert_eq!(said, b"load", "a late probe to {:?}", TARGETS[target]);
        *seen.entry((target, true)).or_insert(0) += 1;
    }
    assert!(seen[&(0, true)] > 0 && seen[&(1, true)] > 0, "the load did not run: {seen:?}");
    let crossing = seen.keys().filter(|(target, _)| *target > 1).count();
    assert_eq!(crossing, 0, "judged by a mixture: {seen:?}");
}

/// A socket for each target, read by a thread of its own.
fn receive(lab: &Gateway) -> (mpsc::Receiver<Arrival>, Arc<AtomicBool>, Vec<thread::JoinHandle<()>>) {
    let (tell, arrivals) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let threads = (0..).zip(TARGETS).map(|(target, at)| {
        let socket = lab.servers.enter(|| UdpSocket::bind(at).unwrap()).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (tell, stop) = (tell.clone(), Arc::clone(&stop));
        thread::spawn(move || {
            let mut bytes = [0; 64];
            while !stop.load(Ordering::Relaxed) {
                if let Ok(length) = socket.recv(&mut bytes) {
                    tell.send((target, bytes[..length].to_vec())).unwrap();
                }
            }
        })
    });
    let threads = threads.collect();
    (arrivals, stop, threads)
}

/// `trafgen` with packets to every target, from eight ports each.
fn load(lab: &Gateway, cable: &Cable) -> Process {
    let packets = (0..8).flat_map(|port| {
        TARGETS.map(|(server, service)| Path::new(OFFICE, server, (4_000 + port, service)).udp(b"load"))
    });
    let frames: Vec<Vec<u8>> = packets.map(|packet| cable.frame(&packet)).collect();
    let config = lab.write("load.trafgen", &trafgen::config(&frames)).unwrap();
    let mut command = lab.office.command("trafgen");
    command.args(["-o", "eth0", "-P", "1", "-t", "200us", "-i"]).arg(config);
    Process::spawn_group(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap()
}
