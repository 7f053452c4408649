//! What is tried under the third policy, `docs/examples/inspected.toml`: the headers are allowed, and what is said decides.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use dropgate_lab::address::*;

use super::{
    stage::{Happened, Packet, Stage, client, judge},
    table::Expect::{Allowed, Dropped, Holds},
};

const CURL: &str = "curl -skS --connect-timeout 2 --max-time 5";
/// Bytes of the download.
const LONG: usize = 50_000_000;
/// Packets of it that may be held.
const FEW: u64 = 100;

/// Pushes the policy, and says what belongs on a port and what does not.
pub fn inspected(stage: &mut Stage, policy: &Path) -> Result<()> {
    let applied = stage.push(policy)?;
    let gateway = Packet { zone: "self", from: WAN, to: SERVER, protocol: "tcp", port: None };
    let note = format!("generation {}", applied.answer["generation"]);
    stage.attempt("dropgate apply inspected.toml", &gateway, Holds("in force when it returns"), |_| {
        Ok(Happened { worked: true, note })
    })?;
    let office = |to, port| Packet::tcp("office", OFFICE, to, port);
    for (url, packet, expect) in [
        (format!("http://{SERVER}/"), office(SERVER, 80), Allowed("web")),
        (format!("https://{SERVER}/"), office(SERVER, 443), Allowed("web")),
        (format!("http://{SERVER}:8088/"), office(SERVER, 8088), Allowed("web")),
        (format!("https://{SERVER_B}:8088/ (TLS for HTTP)"), office(SERVER_B, 8088), Dropped("app_mismatch")),
    ] {
        let address = url.split(' ').next().unwrap_or_default();
        stage.attempt(&format!("curl {url}"), &packet, expect, |lab| {
            client(&lab.office, &format!("{CURL} {address}"), "this is servers")
        })?;
    }
    stage.attempt(
        &format!("ssh -p 443 {SERVER} (SSH for TLS)"),
        &office(SERVER, 443),
        Dropped("app_mismatch"),
        |lab| {
            judge(lab.ssh(&lab.office).args(["-p", "443", "-o", "ConnectTimeout=3", SERVER, "echo", "hello"]), "hello")
        },
    )?;
    let secure = format!("openssl s_client -brief -connect {SERVER}:587");
    stage.attempt(
        &format!("{secure} (TLS at once, for SMTP)"),
        &office(SERVER, 587),
        Dropped("app_mismatch"),
        |lab| client(&lab.office, &format!("timeout 2 {secure}"), "CONNECTION ESTABLISHED"),
    )?;
    download(stage)
}

/// A long answer to a plain request is inspected as long as it may be something else.
fn download(stage: &mut Stage) -> Result<()> {
    let file = stage.lab.dir().join("nginx-servers/long");
    fs::write(&file, vec![b'x'; LONG]).with_context(|| format!("`{}`", file.display()))?;
    let url = format!("http://{SERVER}/long");
    let before = held(stage)?;
    let got =
        client(&stage.lab.office, &format!("{CURL} -o /dev/null -w %{{size_download}} {url}"), &LONG.to_string())?;
    let count = held(stage)? - before;
    let note = if got.worked { format!("{} MB, {count} packets of it held", LONG / 1_000_000) } else { got.note };
    stage.attempt(
        &format!("curl {url}"),
        &Packet::tcp("office", OFFICE, SERVER, 80),
        Holds("leaves inspection once it is known"),
        |_| Ok(Happened { worked: got.worked && (1..=FEW).contains(&count), note }),
    )
}

/// Packets held so far.
fn held(stage: &Stage) -> Result<u64> {
    let status = stage.daemon.status()?;
    status["inspection"]["held"]["packets"].as_u64().context("`dropgate status` has no `inspection.held`")
}
