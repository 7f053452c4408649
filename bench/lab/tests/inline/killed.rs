//! The daemon dies at once, under load, and comes back: enforcement and flows go on.

use std::{
    fs,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, Process, address::*, wait_until};
use serde_json::Value;

use crate::{setup::guarded, traffic::*};

const LINES: &str = r#"
[[zone.office.egress]]
name = "web"
tcp = [80]

[[zone.office.egress]]
name = "numbers"
udp = [7001]
"#;
/// Bytes of the download that runs all the while, at a rate of 1 MiB/s.
const LENGTH: u64 = 6 << 20;

#[test]
fn nothing_is_lost_and_everything_is_kept() {
    let (lab, mut daemon) = guarded(Kind::Masquerade, LINES);
    fails(&lab.office, &format!("curl -sf -m 1 http://{SERVER}:8088/"));
    let numbers = Numbers::start(&lab);
    let got = lab.dir().join("got");
    let mut download = lab.office.command("curl");
    download.args(["-sf", "-m", "30", "-r", &format!("0-{}", LENGTH - 1), "-o"]).arg(&got);
    let mut download = Process::spawn(download.arg(format!("http://{SERVER}/slow"))).unwrap();
    wait_until("the download", Duration::from_secs(10), || Ok(got.metadata().is_ok_and(|file| file.len() > 0)))
        .unwrap();
    let before = daemon.status();
    let settled = [7001, 80].map(|port| daemon.flow(SERVER, port).unwrap());

    daemon.kill();
    let status = daemon.call(&["status", "--json"]);
    assert!(!status.success(), "nobody should answer: {status:?}");
    assert_eq!(works(&lab.office, &format!("curl -sf -m 5 http://{SERVER}/")), "this is servers\n");
    fails(&lab.office, &format!("curl -sf -m 1 http://{SERVER}:8088/"));
    fails(&lab.iot, &format!("curl -sf -m 1 http://{SERVER}/"));
    fails(&lab.servers, &format!("curl -sf -m 1 http://{WAN}:22/"));

    daemon.restart();
    let (status, flows) = (daemon.status(), daemon.flows());
    assert_eq!(status["generation"], 2, "generations go on");
    for (kind, name) in [("reasons", "not_allowed"), ("reasons", "flow"), ("services", "office/web")] {
        let count = |status: &Value| status["counters"][kind][name]["packets"].as_u64().unwrap_or(0);
        assert!(count(&before) > 0 && count(&status) > count(&before), "{name}: {before} {status}");
    }
    for old in settled {
        let new = flows.iter().find(|flow| flow["flow"] == old["flow"]);
        let new = new.unwrap_or_else(|| panic!("the flow is gone: {old}"));
        assert!(new["packets_to_server"].as_u64() > old["packets_to_server"].as_u64(), "{old} {new}");
    }
    fails(&lab.office, &format!("curl -sf -m 1 http://{SERVER}:8088/"));
    let status = download.wait(Duration::from_secs(30)).unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(fs::metadata(&got).unwrap().len(), LENGTH);
    numbers.finish();
}

/// A UDP flow of numbered packets, one a millisecond, and the thread that sees them arrive.
struct Numbers {
    stop: Arc<AtomicBool>,
    sender: thread::JoinHandle<u64>,
    receiver: thread::JoinHandle<Vec<u64>>,
}

impl Numbers {
    fn start(lab: &Gateway) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let server = lab.servers.enter(|| UdpSocket::bind((SERVER, 7001)).unwrap()).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let client = lab.office.enter(|| UdpSocket::bind((OFFICE, 0)).unwrap()).unwrap();
        client.connect((SERVER, 7001)).unwrap();
        // Settled before the counting begins.
        let mut bytes = [0; 8];
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let settled = wait_until("an answer", Duration::from_secs(5), || {
            client.send(&[]).unwrap();
            let (_, from) = server.recv_from(&mut bytes).unwrap();
            server.send_to(&[], from).unwrap();
            Ok(client.recv(&mut [0; 8]).is_ok())
        });
        settled.unwrap();
        let ended = Arc::clone(&stop);
        let sender = thread::spawn(move || {
            let mut next = 0u64;
            while !ended.load(Ordering::Relaxed) {
                client.send(&next.to_be_bytes()).unwrap();
                next += 1;
                thread::sleep(Duration::from_millis(1));
            }
            next
        });
        let receiver = thread::spawn(move || {
            let mut got = Vec::new();
            let mut bytes = [0; 8];
            // Ends when nothing has come for two seconds.
            while let Ok(length) = server.recv(&mut bytes) {
                if length == 8 {
                    got.push(u64::from_be_bytes(bytes));
                }
            }
            got
        });
        Self { stop, sender, receiver }
    }

    /// Every number must have arrived, in order.
    fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().unwrap();
        let got = self.receiver.join().unwrap();
        assert!(sent > 1000, "{sent} packets are no load");
        let missing: Vec<u64> = (0..sent).filter(|number| got.binary_search(number).is_err()).collect();
        assert!(missing.is_empty(), "lost {missing:?} of {sent}");
        assert_eq!(got.len() as u64, sent, "some came twice");
    }
}
