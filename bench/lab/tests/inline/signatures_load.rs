//! Tens of thousands of rules, pushed again and again while clients go on.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use dropgate_lab::{Gateway, Kind, Namespace, address::*, rules::generated, wait_until};

use crate::{
    daemon::Daemon,
    policies,
    setup::with_servers,
    signatures::lines,
    traffic::{fails, works},
};

const RULES: u32 = 30_000;
const PUSHES: u32 = 10;
/// Of the daemon itself, bytes: what it has mapped of the kernel's tables is apart.
const MEMORY: u64 = 500 << 20;
/// Until rules that were replaced are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// A rule of which each push has another one.
fn own(push: u32) -> String {
    format!(
        "drop http any any -> any any (msg:\"of one push\"; flow:established,to_server; http.uri; content:\"/push-{push}/\"; \
         sid:{};)\n",
        push + 1
    )
}

#[test]
fn thirty_thousand_rules_are_pushed_while_clients_go_on() {
    let lab = with_servers(Kind::Masquerade);
    lab.write("many.rules", &generated(RULES, 7)).unwrap();
    lab.write("own.rules", &own(0)).unwrap();
    let started = Instant::now();
    let daemon = Daemon::start(&lab, &policies::office(Kind::Masquerade, &lines(&["own.rules", "many.rules"])));
    eprintln!("it started in {:?}", started.elapsed());
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let kept = scope.spawn(|| client(&lab.office, &stop, &asked, true));
        let new = scope.spawn(|| client(&lab.office, &stop, &asked, false));
        let mut first = 0;
        for push in 1..=PUSHES {
            lab.write("own.rules", &own(push)).unwrap();
            let (before, started) = (asked.load(Ordering::Relaxed), Instant::now());
            daemon.apply(daemon.policy());
            let took = started.elapsed();
            eprintln!("push {push} took {took:?}");
            // the new rules count from here on, and the old ones do not
            let get = |of: u32| format!("curl -s -m 2 http://{SERVER}/push-{of}/");
            fails(&lab.office, &get(push));
            works(&lab.office, &get(push - 1));
            let between = asked.load(Ordering::Relaxed) - before;
            assert!(between > 0, "nobody was answered during push {push}");
            if push == 1 {
                first = settled(&daemon);
            }
        }
        let last = settled(&daemon);
        stop.store(true, Ordering::Relaxed);
        kept.join().unwrap();
        new.join().unwrap();
        assert!(first < MEMORY && last < MEMORY, "{} MiB, then {}", first >> 20, last >> 20);
        assert!(last < first + first / 4, "{} MiB after the first push, {} after the last", first >> 20, last >> 20);
    });
    let lost = daemon.status()["inspection"]["lost"].as_u64();
    assert_eq!(lost, Some(0), "{}", daemon.status());
    lasts(&lab);
}

/// Memory of the daemon, once what was replaced is forgotten.
fn settled(daemon: &Daemon) -> u64 {
    let (mut least, since) = (u64::MAX, Instant::now());
    // it has to stay where it is for a while
    wait_until("the daemon's memory to settle", FORGOTTEN, || {
        let now = memory(daemon.id());
        let less = now < least - least.min(now) / 100;
        least = least.min(now);
        Ok(!less && since.elapsed() > FORGOTTEN / 3)
    })
    .unwrap();
    least
}

/// Memory of a process that is its own, bytes.
fn memory(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// Asks for the page until it is told to stop: on one connection, or each time on another. No answer may be missing.
fn client(from: &Namespace, stop: &AtomicBool, asked: &AtomicU64, keep: bool) {
    from.enter(|| {
        let mut connection = None;
        while !stop.load(Ordering::Relaxed) {
            let stream = connection.get_or_insert_with(|| TcpStream::connect((SERVER, 80)).unwrap());
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n").unwrap();
            let (mut said, mut part) = (Vec::new(), [0; 2048]);
            while !said.ends_with(b"this is servers\n") {
                let length = stream.read(&mut part).unwrap();
                assert!(length > 0, "closed after {}", String::from_utf8_lossy(&said));
                said.extend_from_slice(&part[..length]);
            }
            asked.fetch_add(1, Ordering::Relaxed);
            if !keep {
                connection = None;
                thread::sleep(Duration::from_millis(2));
            }
        }
    })
    .unwrap();
}

/// All is as it was, for others too.
fn lasts(lab: &Gateway) {
    works(&lab.office, &format!("curl -sf -m 3 http://{SERVER}/"));
    works(&lab.office, &format!("curl -skf -m 3 https://{SERVER}/"));
    works(&lab.office, &format!("dig +short +time=1 +tries=1 @{SERVER} www.example.test A"));
    fails(&lab.office, &format!("curl -s -m 1 http://{SERVER}/push-{PUSHES}/"));
}
