//! Captures whose flows somebody else has named: how often the answer is the same.
//!
//! A folder is laid out like nDPI's tests: captures in `pcap`, what nDPI says of `NAME` in `result/NAME.out`, and, if it is
//! there, a list of flows of a known protocol on a port that is not its own in `nonstandard-port-flows.tsv`.

mod figures;
mod labels;
mod run;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use self::{
    figures::Shares,
    labels::{Labelled, ours},
    run::{Flows, Said, key},
};

/// HTTP is registered for it, and half of all that is listed is HTTP there.
const ALTERNATE_HTTP: u16 = 8080;

/// Replays the folder and prints the figures; with `list`, also each flow of which something else is said.
pub fn run(folder: &Path, list: bool) -> Result<()> {
    let captures = captures(&folder.join("pcap"))?;
    let labelled = labels(folder, &captures)?;
    let flows = run::flows(&captures)?;
    let report = Report::new(&labelled, &flows, list);
    println!("the same answer as nDPI, of flows that it told by what they say:\n{}", report.agreement);
    let (good, all) = report.ordinary.total();
    println!("on the port of their protocol: {all} flows, {} called a mismatch\n", all - good);
    if let Some(listed) = listed(folder, list, &flows)? {
        println!("of the flows on a port that is not their own (but for {ALTERNATE_HTTP}), reported:\n{listed}");
    }
    Ok(())
}

struct Report {
    agreement: Shares,
    /// Flows whose protocol is expected on their port; good ones are not called a mismatch.
    ordinary: Shares,
}

impl Report {
    fn new(labelled: &[(String, Labelled)], flows: &Flows, list: bool) -> Self {
        let (mut agreement, mut ordinary) = (Shares::default(), Shares::default());
        for (capture, flow) in labelled.iter().filter(|(_, flow)| flow.read) {
            let names = ours(&flow.transport, &flow.label);
            let Some(&protocol) = names.first() else { continue };
            let said = said_of(flows, capture, &flow.transport, &flow.ends);
            let same = |said: &Said| said.app.as_deref().is_some_and(|app| names.contains(&app));
            let good = said.iter().any(same);
            agreement.add(protocol, good, said.iter().all(|said| said.app.is_none()));
            let expected = |said: &Said| said.expected.iter().any(|name| names.contains(&name.as_str()));
            let mismatch = |said: &Said| said.reason.as_deref() == Some("app_mismatch");
            let is_ordinary = said.iter().any(expected);
            if is_ordinary {
                ordinary.add(protocol, !said.iter().any(mismatch), false);
            }
            if list && (!good || is_ordinary && said.iter().any(mismatch)) {
                show(capture, flow, said);
            }
        }
        Self { agreement, ordinary }
    }
}

fn show(capture: &str, flow: &Labelled, said: &[Said]) {
    let [(a, a_port), (b, b_port)] = &flow.ends;
    let said: Vec<&str> = said.iter().map(|said| said.app.as_deref().unwrap_or("-")).collect();
    println!("{capture}\t{} {a} {a_port} {b} {b_port}\t{}\t{}", flow.transport, flow.label, said.join(","));
}

fn said_of<'a>(flows: &'a Flows, capture: &str, transport: &str, ends: &[(String, u16); 2]) -> &'a [Said] {
    flows.get(&key(capture, transport, ends.clone())).map_or(&[], Vec::as_slice)
}

/// Every capture of a folder, by name.
fn captures(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no captures in `{}`", folder.display()))?;
    let mut captures: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    captures.retain(|path| path.is_file());
    captures.sort();
    ensure!(!captures.is_empty(), "no captures in `{}`", folder.display());
    Ok(captures)
}

/// What nDPI says of each flow of the captures.
fn labels(folder: &Path, captures: &[PathBuf]) -> Result<Vec<(String, Labelled)>> {
    let mut labelled = Vec::new();
    for capture in captures {
        let Some(name) = capture.file_name().and_then(|name| name.to_str()) else { continue };
        let result = folder.join("result").join(format!("{name}.out"));
        // those without a result are replayed all the same
        let Ok(text) = fs::read(&result) else { continue };
        let text = String::from_utf8_lossy(&text);
        labelled.extend(text.lines().filter_map(Labelled::read).map(|flow| (name.to_owned(), flow)));
    }
    ensure!(!labelled.is_empty(), "no flow is named in `{}`", folder.join("result").display());
    Ok(labelled)
}

/// The share of the listed flows that were reported, by protocol; `None` without a list.
fn listed(folder: &Path, list: bool, flows: &Flows) -> Result<Option<Shares>> {
    let path = folder.join("nonstandard-port-flows.tsv");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
    let mut shares = Shares::default();
    let mut seen = BTreeSet::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [capture, transport, src, sport, dst, dport, label] = fields[..] else { continue };
        let (Ok(sport), Ok(dport)) = (sport.parse::<u16>(), dport.parse::<u16>()) else { continue };
        let Some(&protocol) = ours(transport, label).first() else { continue };
        let ends = [(src.to_owned(), sport), (dst.to_owned(), dport)];
        if [sport, dport].contains(&ALTERNATE_HTTP) || !seen.insert(key(capture, transport, ends.clone())) {
            continue;
        }
        let said = said_of(flows, capture, transport, &ends);
        let reported = said.iter().any(|said| said.reason.as_deref() == Some("app_mismatch"));
        shares.add(protocol, reported, said.iter().all(|said| said.app.is_none()));
        if list && !reported {
            println!("not reported: {line}\t{said:?}");
        }
    }
    Ok(Some(shares))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(client: u16, server: u16, label: &str) -> String {
        format!("\t1\tTCP 10.0.0.1:{client} <-> 10.0.0.2:{server} [proto: 1/{label}][Confidence: DPI][x]")
    }

    fn said(app: &str, expected: &[&str], reason: Option<&str>) -> Vec<Said> {
        let expected = expected.iter().map(|name| (*name).to_owned()).collect();
        vec![Said { app: Some(app.to_owned()), expected, reason: reason.map(str::to_owned) }]
    }

    fn at(client: u16, server: u16) -> run::Key {
        key("a.pcap", "TCP", [("10.0.0.2".to_owned(), server), ("10.0.0.1".to_owned(), client)])
    }

    fn flows() -> Flows {
        Flows::from([
            (at(1, 443), said("tls", &["tls"], None)),
            (at(2, 443), said("http", &["tls"], Some("app_mismatch"))),
            (at(3, 7000), said("ssh", &[], Some("app_mismatch"))),
        ])
    }

    #[test]
    fn answers_are_counted_by_protocol() {
        let lines = [flow(1, 443, "TLS.Google"), flow(2, 443, "TLS"), flow(3, 7000, "SSH"), flow(4, 5000, "SSDP")];
        let labelled: Vec<_> =
            lines.iter().filter_map(|line| Labelled::read(line)).map(|flow| ("a.pcap".to_owned(), flow)).collect();
        assert_eq!(labelled.len(), 4);
        let report = Report::new(&labelled, &flows(), false);
        assert_eq!(report.agreement.total(), (2, 3));
        assert!((report.agreement.mean() - 0.75).abs() < 1e-9, "half of TLS, all of SSH");
        assert_eq!(report.ordinary.total(), (1, 2), "both speak TLS where it is expected; one is called a mismatch");
    }

    #[test]
    fn listed_flows_are_counted_once_and_without_the_alternate_port() {
        let folder = std::env::temp_dir().join(format!("dropgate-corpus-test-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let table = "pcap\ttransport\tsrc\tsport\tdst\tdport\tproto\n\
            a.pcap\tTCP\t10.0.0.1\t3\t10.0.0.2\t7000\tSSH\n\
            a.pcap\tTCP\t10.0.0.1\t3\t10.0.0.2\t7000\tSSH\n\
            a.pcap\tTCP\t10.0.0.1\t1\t10.0.0.2\t443\tTLS\n\
            a.pcap\tTCP\t10.0.0.1\t5\t10.0.0.2\t8080\tHTTP\n";
        fs::write(folder.join("nonstandard-port-flows.tsv"), table).unwrap();
        let shares = listed(&folder, false, &flows()).unwrap().unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(shares.total(), (1, 2));
        assert!(listed(&folder, false, &flows()).unwrap().is_none());
    }
}
