//! What is held when a policy is put in force is judged again by it before it leaves.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use dropgate_lab::{Kind, Lab, address::*};

use crate::{daemon::Daemon, policies};

const SERVICE: &str = "[[zone.office.egress]]\nname = \"media\"\nudp = [5004]\nexpect = [\"rtp\"]\n";
/// Whether a packet leaves while it is waiting depends on when the commit comes: so many attempts.
const ATTEMPTS: u16 = 20;
/// A packet waits for 100 ms.
const LONG: Duration = Duration::from_millis(500);

/// The first packet of an RTP stream (RFC 3550, 5.1): it alone does not tell.
fn media(number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0x60];
    packet.extend(number.to_be_bytes());
    packet.extend([0, 0, 0, 160, 0x12, 0x34, 0x56, 0x78]);
    packet.extend([0x55; 160]);
    packet
}

#[test]
fn a_service_taken_away_while_its_packets_wait() {
    let lab = Lab::gateway(Kind::Route).unwrap();
    let inspection = "\n[inspection]\n";
    let with = policies::office(Kind::Route, &format!("{SERVICE}{inspection}"));
    let without = lab.write("without.toml", &policies::office(Kind::Route, inspection)).unwrap();
    let daemon = Daemon::start(&lab, &with);
    let server = lab.servers.enter(|| UdpSocket::bind((SERVER, 5004)).unwrap()).unwrap();
    server.set_read_timeout(Some(LONG)).unwrap();
    let mut refused = 0;
    for attempt in 0..ATTEMPTS {
        daemon.apply(daemon.policy());
        let client = lab.office.enter(|| UdpSocket::bind((OFFICE, 6000 + attempt)).unwrap()).unwrap();
        client.connect((SERVER, 5004)).unwrap();
        let before = (daemon.count("held"), daemon.count("flow_revoked"));
        let (arrived, applied) = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| server.recv(&mut [0; 512]).is_ok().then(Instant::now));
            client.send(&media(attempt)).unwrap();
            daemon.apply(&without);
            (receiver.join().unwrap(), Instant::now())
        });
        assert_eq!(daemon.count("held"), before.0 + 1, "attempt {attempt}: not held");
        if let Some(arrived) = arrived {
            assert!(arrived < applied, "attempt {attempt}: it left under a policy that does not allow it");
        } else {
            // nothing else of this flow was sent, so that this was the packet that waited
            assert_eq!(daemon.count("flow_revoked"), before.1 + 1, "attempt {attempt}: {}", daemon.status());
            refused += 1;
        }
    }
    assert!(refused > 0, "no packet was waiting at a commit");
    // what an allowed flow has waiting leaves all the same
    let client = lab.office.enter(|| UdpSocket::bind((OFFICE, 7000)).unwrap()).unwrap();
    client.connect((SERVER, 5004)).unwrap();
    daemon.apply(daemon.policy());
    client.send(&media(0)).unwrap();
    daemon.apply(daemon.policy());
    assert!(server.recv(&mut [0; 512]).is_ok(), "{}", daemon.status());
}
