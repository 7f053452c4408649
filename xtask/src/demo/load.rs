//! A flood that XDP drops, and a push of the second policy under load.

use std::{
    fs,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use dropgate_lab::{Gateway, Namespace, Process, address::*, run, trafgen};

use super::{
    frames::Cable,
    stage::{Happened, Packet, Stage, client},
    table::Expect::{Allowed, Dropped, Holds},
};

/// The flood at full speed lasts this long.
const FLOOD: Duration = Duration::from_secs(2);
/// Packets a second of the flood that runs during the push.
const BACKGROUND_RATE: &str = "50000pps";

/// trafgen at full speed with what the policy denies.
pub fn flood(stage: &mut Stage) -> Result<()> {
    let packet = Packet::tcp("office", OFFICE, SERVER, 587);
    let config = stage.lab.write("flood.trafgen", &denied(&stage.lab)?)?;
    stage.attempt("trafgen: SYN to port 587, full speed", &packet, Dropped("not_allowed"), |lab| {
        let before = (Counts::read(&lab.gw)?, received(&lab.servers)?);
        let mut sender = generator(lab, &config, None)?;
        thread::sleep(FLOOD);
        ensure!(sender.ended().is_none(), "`trafgen` ended before it was told to");
        sender.signal(libc::SIGINT);
        sender.wait(Duration::from_secs(5))?;
        let (seen, arrived) = (Counts::read(&lab.gw)?.since(&before.0), received(&lab.servers)? - before.1);
        // A few are not of the flood: ARP, neighbour discovery.
        let stopped = seen.packets > 10_000 && seen.drops * 1000 >= seen.packets * 999 && arrived <= 100;
        let note = format!("{} came, {} dropped in XDP, {arrived} at the server", seen.packets, seen.drops);
        Ok(Happened { worked: !stopped, note })
    })
}

/// The second policy, pushed while allowed and denied traffic runs.
pub fn push(stage: &mut Stage, policy: &Path) -> Result<()> {
    let config = stage.lab.dir().join("flood.trafgen");
    let mut denied = generator(&stage.lab, &config, Some(BACKGROUND_RATE))?;
    let mut web = stage.lab.office.command("wrk");
    web.args(["-t", "1", "-c", "8", "-d", "6s", &format!("http://{SERVER}/")]).stdout(Stdio::piped());
    let web = thread::spawn(move || run(&mut web, Duration::from_secs(20)));
    let mut kept = Download::start(stage, "kept", &format!("http://{SERVER}/slow"))?;
    let mut revoked = Download::start(stage, "revoked", &format!("https://{SERVER}:8443/slow"))?;
    thread::sleep(Duration::from_secs(2));
    let started = kept.grows(Duration::from_secs(2)) && revoked.grows(Duration::from_secs(2));

    stage.events.mark();
    let applied = stage.push(policy)?;
    // What the client's kernel had before the push still reaches the file.
    thread::sleep(Duration::from_millis(300));

    let gateway = Packet { zone: "self", from: WAN, to: SERVER, protocol: "tcp", port: None };
    let number = |name: &str| applied.answer[name].to_string();
    let note = format!("generation {}, command took {} ms", number("generation"), applied.took.as_millis());
    stage.attempt(
        "dropgate apply office-later.toml, under load",
        &gateway,
        Holds("in force when it returns"),
        |_| Ok(Happened { worked: started, note: if started { note } else { "the downloads had not started".into() } }),
    )?;
    let cut = Packet::tcp("office", OFFICE, SERVER, 8443);
    // The client has nothing to say any more; it is the server that sends again.
    let repeats = Packet { zone: "office", from: SERVER, to: OFFICE, protocol: "tcp", port: None };
    stage.attempt("the download from 8443 that was running", &repeats, Dropped("flow_revoked"), |_| {
        let goes_on = revoked.grows(Duration::from_secs(2));
        Ok(Happened { worked: goes_on, note: if goes_on { "goes on" } else { "stopped in mid-flow" }.into() })
    })?;
    let goes_on = Packet::tcp("office", OFFICE, SERVER, 80);
    stage.attempt("the download from 80 that was running", &goes_on, Allowed("web"), |_| {
        let worked = kept.grows(Duration::from_secs(2));
        Ok(Happened { worked, note: if worked { "goes on" } else { "stopped" }.into() })
    })?;
    let url = format!("http://{IOT}:8080/");
    stage.attempt(
        &format!("curl {url} (zone iot)"),
        &Packet::tcp("office", OFFICE, IOT, 8080),
        Allowed("devices"),
        |lab| client(&lab.office, &format!("curl -sS --connect-timeout 2 --max-time 5 {url}"), "this is iot"),
    )?;
    let finished = web.join().map_err(|_| anyhow::anyhow!("the thread that runs `wrk` failed"))??;
    stage.attempt("wrk, 8 connections, throughout the push", &goes_on, Allowed("web"), |_| {
        let rate = finished.stdout.lines().find_map(|line| line.strip_prefix("Requests/sec:")).unwrap_or("0").trim();
        let trouble = finished.stdout.lines().find(|line| line.contains("Socket errors") || line.contains("Non-2xx"));
        let worked = finished.success() && trouble.is_none();
        Ok(Happened {
            worked,
            note: trouble.map_or_else(|| format!("{rate} requests a second, no error"), |line| line.trim().into()),
        })
    })?;
    ensure!(denied.ended().is_none(), "`trafgen` ended before it was told to");
    drop((denied, kept, revoked));

    // The flood used up the rate limit of `not_allowed` events.
    thread::sleep(Duration::from_millis(1500));
    let url = format!("https://{SERVER}:8443/");
    stage.attempt(&format!("curl {url}"), &cut, Dropped("not_allowed"), |lab| {
        client(&lab.office, &format!("curl -skS --connect-timeout 2 {url}"), "this is servers")
    })
}

/// With enforcement taken off, the kernel forwards what it always did.
pub fn detached(stage: &mut Stage) -> Result<()> {
    stage.daemon.stop()?;
    let packet = Packet::tcp("office", OFFICE, SERVER_B, 8088);
    let url = format!("https://{SERVER_B}:8088/");
    stage.attempt(
        &format!("curl {url}, after `dropgate stop --detach`"),
        &packet,
        Holds("nothing is enforced"),
        |lab| client(&lab.office, &format!("curl -skS --connect-timeout 2 {url}"), "this is servers"),
    )
}

fn denied(lab: &Gateway) -> Result<String> {
    let cable = Cable::new(lab, &lab.office, "lan0")?;
    let frames: Result<Vec<_>> =
        (0..64).map(|at| cable.tcp([10, 10, 0, 5], [203, 0, 113, 9], (20_000 + at, 587), false)).collect();
    Ok(trafgen::config(&frames?))
}

fn generator(lab: &Gateway, config: &Path, rate: Option<&str>) -> Result<Process> {
    let mut command = lab.office.command("trafgen");
    command.args(["-o", "eth0", "-P", "1", "-i"]).arg(config);
    if let Some(rate) = rate {
        command.args(["-b", rate]);
    }
    Ok(Process::spawn_group(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?)
}

/// A download in the background, at the server's own slow pace.
struct Download {
    file: std::path::PathBuf,
    _curl: Process,
}

impl Download {
    fn start(stage: &Stage, name: &str, url: &str) -> Result<Self> {
        let file = stage.lab.dir().join(name);
        let mut command = stage.lab.office.command("curl");
        // Unbuffered: the size of the file is what has come.
        command.args(["-skN", "-o"]).arg(&file).arg(url);
        Ok(Self { file, _curl: Process::spawn(command.stdin(Stdio::null()))? })
    }

    fn size(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |meta| meta.len())
    }

    fn grows(&mut self, limit: Duration) -> bool {
        let (before, start) = (self.size(), Instant::now());
        while start.elapsed() < limit {
            if self.size() > before {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

/// What the driver counts at `lan0` of the gateway.
struct Counts {
    packets: u64,
    drops: u64,
}

impl Counts {
    fn read(gw: &Namespace) -> Result<Self> {
        let text = gw.check("ethtool", ["-S", "lan0"])?;
        let sum = |suffix: &str| {
            let of = text.lines().filter_map(|line| line.trim().rsplit_once(": "));
            of.filter(|(name, _)| name.starts_with("rx_queue") && name.ends_with(suffix))
                .filter_map(|(_, value)| value.parse::<u64>().ok())
                .sum()
        };
        Ok(Self { packets: sum("_xdp_packets"), drops: sum("_xdp_drops") })
    }

    fn since(&self, before: &Self) -> Self {
        Self { packets: self.packets - before.packets, drops: self.drops - before.drops }
    }
}

/// Packets that `eth0` has received.
fn received(host: &Namespace) -> Result<u64> {
    let text = host.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
    let line =
        text.lines().find_map(|line| line.trim().strip_prefix("eth0:")).context("no `eth0` in `/proc/net/dev`")?;
    line.split_whitespace().nth(1).and_then(|field| field.parse().ok()).context("`/proc/net/dev` has another form")
}
