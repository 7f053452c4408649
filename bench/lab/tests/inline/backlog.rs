//! A worker that is stuck alone: what the others receive for it is bounded, and what is done then is configured.

use std::{collections::BTreeMap, fs, time::Duration};

use dropgate_lab::{Kind, Lab, Namespace, RawSocket, address::*, wait_until};

use crate::{
    daemon::Daemon,
    frames::{Cable, Path},
    policies,
    setup::LIMIT,
};

/// Packets that may wait for one worker; as many as one socket may hold, so that another one has to bring the rest.
const BACKLOG: u64 = 16_384;
const FLOWS: u16 = 64;
/// Datagrams of each flow that are one too many.
const ROUNDS: u32 = 20;

/// Two threads that inspect on interfaces with one queue: the second has half of the flows, and receives by no socket.
fn policy(answer: &str) -> String {
    let service = |zone: &str| format!("[[zone.{zone}.egress]]\nname = \"numbered\"\nudp = [5000, 5001]\n");
    let inspection = format!("[inspection]\neverything = true\nheld = {BACKLOG}\nworkers = 2\nlate = \"60s\"\n");
    let failure = format!("[failure]\ncredits = \"{answer}\"\n\n[fragments]\nudp = \"track\"\n");
    let lines = format!("{}\n{inspection}\n{failure}", service("office"));
    policies::office(Kind::Route, &lines) + &service("iot")
}

/// A thread that is stopped while this lives. Signals would stop its whole process.
struct Stuck(libc::pid_t);

impl Stuck {
    fn new(process: u32, name: &str) -> Self {
        let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().map(|thread| thread.unwrap().path());
        let called = |thread: &std::path::PathBuf| fs::read_to_string(thread.join("comm")).unwrap().trim_end() == name;
        let thread = threads.into_iter().find(called).unwrap();
        let thread: libc::pid_t = thread.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let stuck = Self(thread);
        stuck.trace(libc::PTRACE_SEIZE);
        stuck.trace(libc::PTRACE_INTERRUPT);
        // SAFETY: waits for the thread that is traced; nothing is written where nobody asked.
        let waited = unsafe { libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL) };
        assert_eq!(waited, thread, "{}", std::io::Error::last_os_error());
        stuck
    }

    fn trace(&self, request: libc::c_uint) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: these requests take neither address nor data.
        let answer = unsafe { libc::ptrace(request, self.0, none, none) };
        assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.trace(libc::PTRACE_DETACH);
    }
}

/// One datagram of each flow, and one that came in fragments.
struct Sender<'a> {
    wire: RawSocket,
    cable: Cable,
    from: &'a str,
}

impl<'a> Sender<'a> {
    fn new(lab: &dropgate_lab::Gateway, host: &Namespace, interface: &str, from: &'a str) -> Self {
        Self { wire: RawSocket::open(host, "eth0").unwrap(), cable: Cable::new(lab, host, interface), from }
    }

    fn datagrams(&self, number: u32) {
        for flow in 0..FLOWS {
            let datagram = Path::new(self.from, SERVER, (4000 + flow, 5000)).udp(&number.to_be_bytes());
            self.wire.send(&self.cable.frame(&datagram)).unwrap();
        }
    }

    fn fragments(&self) {
        for flow in 0..FLOWS {
            for fragment in Path::new(self.from, SERVER, (4000 + flow, 5001)).fragments(flow, &[7; 40], 24) {
                self.wire.send(&self.cable.frame(&fragment)).unwrap();
            }
        }
    }
}

/// What came of each flow of a host, by its port: to the port of the datagrams, and of the fragments' first ones.
fn arrived(server: &RawSocket, from: &str) -> BTreeMap<u16, [u32; 2]> {
    let from: std::net::Ipv4Addr = from.parse().unwrap();
    let port = |frame: &[u8], at: usize| frame.get(at..at + 2).map(|port| u16::from_be_bytes([port[0], port[1]]));
    // the later fragments say nothing of ports where these do
    let first = |frame: &[u8]| frame.get(20..22).is_some_and(|offset| offset[0] & 0x1f == 0 && offset[1] == 0);
    let ours = |frame: &[u8]| {
        frame.get(26..30) == Some(&from.octets()) && first(frame) && matches!(port(frame, 36), Some(5000 | 5001))
    };
    let mut seen: BTreeMap<u16, [u32; 2]> = BTreeMap::new();
    while let Some(frame) = server.receive(Duration::from_millis(900), ours).unwrap() {
        let (flow, to) = (port(&frame, 34).unwrap(), port(&frame, 36).unwrap());
        seen.entry(flow).or_default()[usize::from(to - 5000)] += 1;
    }
    seen
}

#[test]
fn a_worker_alone_is_stuck() {
    for (answer, open) in [("drop", false), ("pass", true)] {
        let lab = Lab::gateway(Kind::Route).unwrap();
        for host in [&lab.office, &lab.iot] {
            host.check("ping", ["-c1", "-W2", SERVER]).unwrap();
        }
        let daemon = Daemon::start(&lab, &policy(answer));
        let inspection = |key: &str| daemon.status()["inspection"][key].as_u64().unwrap();
        assert_eq!(inspection("workers"), 2);
        let office = Sender::new(&lab, &lab.office, "lan0", OFFICE);
        let iot = Sender::new(&lab, &lab.iot, "lan1", IOT);
        let stuck = Stuck::new(daemon.id(), "inspector-1");

        // as many as it may have, by one socket
        let mut number = 0;
        wait_until("a full backlog", LIMIT, || {
            for _ in 0..32 {
                office.datagrams(number);
                number += 1;
            }
            Ok(inspection("handed") == BACKLOG)
        })
        .unwrap();
        assert_eq!(daemon.count("inspector_backlog"), 0, "credits bound it first");

        // and more by another one
        let server = RawSocket::open(&lab.servers, "eth0").unwrap();
        let mark = daemon.events.mark();
        let seen = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| arrived(&server, IOT));
            (0..ROUNDS).for_each(|number| iot.datagrams(number));
            iot.fragments();
            receiver.join().unwrap()
        });
        let passed = |port: usize| seen.values().map(|seen| u64::from(seen[port])).sum::<u64>();
        let (datagrams, fragments) = (passed(0), passed(1));
        let refused = daemon.count("inspector_backlog");
        let all = u64::from(FLOWS) * u64::from(ROUNDS);
        assert_eq!(inspection("handed"), BACKLOG, "{refused}");
        if open {
            assert_eq!((datagrams, fragments), (all, FLOWS.into()), "`{answer}`: {refused} past the inspector");
            assert!(refused > 0 && refused < all, "`{answer}`: {refused}");
        } else {
            assert!(
                datagrams > 0 && fragments > 0,
                "`{answer}`: the other worker goes on: {datagrams} {fragments} {}",
                daemon.status()
            );
            assert!(seen.values().all(|[datagrams, _]| matches!(*datagrams, 0 | ROUNDS)), "`{answer}`: {seen:?}");
            // two frames each
            assert_eq!(refused, all - datagrams + 2 * (u64::from(FLOWS) - fragments), "`{answer}`");
            assert!(refused > 0, "`{answer}`");
            daemon.events.dropped(mark, IOT, SERVER, "inspector_backlog");
        }

        // what was held for it leaves when it goes on
        drop(stuck);
        let held = || daemon.status()["inspection"].clone();
        wait_until("what is held", LIMIT, || {
            Ok(held()["received"] == held()["released"].as_u64().unwrap() + if open { 0 } else { refused })
        })
        .unwrap();
        let done = held();
        assert_eq!((&done["lost"], &done["sockets_dropped"]), (&0.into(), &0.into()), "{done}");
    }
}
