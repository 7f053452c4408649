//! The memory of flows under inspection is bounded, and what is done then is configured.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use dropgate_lab::{Kind, address::*, wait_until};

use crate::{
    daemon::Daemon,
    setup::{LIMIT, guarded, hello},
};

/// Flows that say half of what they have to say.
const FLOWS: usize = 60;
/// Less than they take, more than their handshakes do.
const MEMORY: u64 = 200 << 10;
/// Bytes of the half.
const HALF: usize = 4000;

fn lines(answer: &str) -> String {
    let services = "[[zone.office.egress]]\nname = \"secure\"\ntcp = [9001]\nexpect = [\"tls\"]\n";
    format!("{services}\n[inspection]\nmemory = \"{}KiB\"\n\n[failure]\nmemory = \"{answer}\"\n", MEMORY >> 10)
}

fn memory(daemon: &Daemon) -> u64 {
    daemon.status()["inspection"]["memory"].as_u64().unwrap()
}

/// What has come by now on each connection.
fn read(far: &mut [(TcpStream, Vec<u8>)]) {
    for (stream, got) in far {
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut part) {
            got.extend(&part[..length]);
        }
    }
}

#[test]
fn full_and_empty_again() {
    for (answer, open) in [("drop", false), ("pass", true)] {
        let (lab, daemon) = guarded(Kind::Masquerade, &lines(answer));
        let listener = lab.servers.enter(|| TcpListener::bind((SERVER, 9001)).unwrap()).unwrap();
        let connect = || lab.office.enter(|| TcpStream::connect((SERVER, 9001)).unwrap()).unwrap();
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for _ in 0..FLOWS {
            near.push(connect());
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            far.push((stream, Vec::new()));
        }
        assert_eq!(daemon.count("inspector_memory"), 0, "{}", memory(&daemon));
        let hello = hello();
        let (half, rest) = hello.split_at(HALF);
        near.iter_mut().for_each(|stream| stream.write_all(half).unwrap());
        std::thread::sleep(Duration::from_millis(400));
        read(&mut far);
        let whole = far.iter().filter(|(_, got)| got == half).count();
        let (taken, refused) = (memory(&daemon), daemon.count("inspector_memory"));
        assert!(refused > 0, "`{answer}`: {taken} bytes taken, {whole} flows through");
        if open {
            assert_eq!(whole, FLOWS, "`{answer}`");
        } else {
            assert!(whole > 3 && whole < FLOWS, "`{answer}`: {whole}");
            assert!(taken > MEMORY / 2, "`{answer}`: {taken}");
        }
        // one packet may be more than is left, and no more than that
        assert!(taken < MEMORY * 5 / 4, "`{answer}`: {taken}");

        // those that go on are known and leave inspection; where data is dropped, those that have found no room for a second
        // end, which makes room for the others
        near.iter_mut().for_each(|stream| stream.set_nonblocking(true).unwrap());
        near.iter_mut().for_each(|stream| drop(stream.write(rest)));
        wait_until("all that was said", LIMIT, || {
            read(&mut far);
            let whole = far.iter().filter(|(_, got)| *got == hello).count();
            eprintln!(
                "{answer}: whole {whole} memory {} refused {} lens {:?}",
                memory(&daemon),
                daemon.count("inspector_memory"),
                far.iter().map(|(_, got)| got.len()).collect::<Vec<_>>()
            );
            Ok(whole == FLOWS || !open && whole > 0 && memory(&daemon) == 0)
        })
        .unwrap();
        assert!(far.iter().all(|(_, got)| hello.starts_with(got)), "`{answer}`");
        wait_until("an empty memory", LIMIT, || Ok(memory(&daemon) == 0)).unwrap();
    }
}
