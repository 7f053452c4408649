//! What is tried under the fourth policy, `docs/examples/signatures.toml`: ports and protocols are right, and rules decide.

use std::path::Path;

use anyhow::Result;
use dropgate_lab::address::*;

use super::{
    stage::{Happened, Packet, Stage, client},
    table::Expect::{Allowed, Dropped, Holds},
};

const CURL: &str = "curl -skS --connect-timeout 2 --max-time 2";

/// Pushes the policy with its rules, and does what they are against.
pub fn signatures(stage: &mut Stage, policy: &Path) -> Result<()> {
    let applied = stage.push(policy)?;
    let loaded = stage.daemon.status()?["signatures"]["loaded"].clone();
    let gateway = Packet { zone: "self", from: WAN, to: SERVER, protocol: "tcp", port: None };
    let note = format!("generation {}, {loaded} rules", applied.answer["generation"]);
    stage.attempt("dropgate apply signatures.toml", &gateway, Holds("rules in force when it returns"), |_| {
        Ok(Happened { worked: loaded.as_u64() > Some(3), note })
    })?;
    let office = |port| Packet::tcp("office", OFFICE, SERVER, port);
    let to_bad = format!("--resolve c2.bad.example:443:{SERVER} https://c2.bad.example/");
    for (arguments, packet, expect) in [
        (format!("http://{SERVER}/"), office(80), Allowed("web")),
        (format!("-d id=1 http://{SERVER}/gate.php"), office(80), Dropped("signature")),
        (format!("--path-as-is -d id=1 http://{SERVER}/a/../%67ate.php"), office(80), Dropped("signature")),
        (format!("https://{SERVER}/"), office(443), Allowed("web")),
        (to_bad, office(443), Dropped("signature")),
    ] {
        stage.attempt(&format!("curl {arguments}"), &packet, expect, |lab| {
            client(&lab.office, &format!("{CURL} {arguments}"), "this is servers")
        })?;
    }
    let dig = |name: &str| format!("dig +time=1 +tries=1 +short @{SERVER} {name} A");
    let names = Packet::udp("office", OFFICE, SERVER, 53);
    for (name, expect) in [("www.example.test", Allowed("dns")), ("c2.BAD.example", Dropped("signature"))] {
        let line = dig(name);
        stage.attempt(&line, &names, expect, |lab| client(&lab.office, &line, "203.0.113."))?;
    }
    // a rule that only tells: it passes, and there is an alert
    let line = format!("redis-cli -h {SERVER} config set maxmemory 0");
    stage.events.mark();
    let told = client(&stage.lab.office, &line, "OK")?;
    let alert = stage.events.alert_since_mark(4_710_003)?;
    stage.attempt(&line, &office(6379), Holds("passes, and a bundled rule tells of it"), |_| {
        let note = alert
            .as_ref()
            .map_or(told.note, |alert| format!("alert `{}`", alert["alert"]["signature"].as_str().unwrap_or_default()));
        Ok(Happened { worked: told.worked && alert.is_some(), note })
    })
}
