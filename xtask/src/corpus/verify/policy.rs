//! The policy under which a test is replayed: everything passes and is inspected, by the test's rules and variables.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    case::Case,
    yaml::{at, is_on, text},
};

const FIXED: &str = include_str!("policy.toml");

/// Where a test's policy lies, in a folder of its own, with all that it names.
pub fn write(case: &Case, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    // rules name files beside them
    for entry in fs::read_dir(&case.folder)? {
        let path = entry?.path();
        if let Some(name) = path.file_name() {
            let _ = symlink(&path, folder.join(name));
        }
    }
    let mut text =
        FIXED.replace("{midstream}", if is_on(case.settings.get("stream.midstream")) { "identify" } else { "pass" });
    text.push_str(&any_number("icmp", |_| true));
    text.push_str(&any_number("icmpv6", |_| true));
    text.push_str(&any_number("protocol", |number| !HEADERS.contains(&number)));
    text.push_str(&events(case));
    text.push_str(&signatures(case, folder)?);
    let path = folder.join("dropgate-policy.toml");
    fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

/// Those with keys of their own, and IPv6 extension headers.
const HEADERS: &[u8] = &[0, 1, 6, 17, 43, 44, 51, 58, 60, 135, 139, 140];

/// What is at home by Suricata's own settings.
const HOME_NET: &str = "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]";

/// A service for every number of a kind.
fn any_number(key: &str, is: impl Fn(u8) -> bool) -> String {
    let numbers: Vec<u8> = (0..=u8::MAX).filter(|number| is(*number)).collect();
    format!("\n[[zone.inside.egress]]\nname = \"any-{key}\"\n{key} = {numbers:?}\n")
}

/// What events are to tell, as `eve-log` says it.
fn events(case: &Case) -> String {
    let outputs = case.settings.outputs().unwrap_or_default();
    let logs: Vec<&Value> = outputs.iter().filter(|(name, _)| *name == "eve-log").map(|(_, log)| *log).collect();
    let of_types = |option: &str| {
        let kinds = logs.iter().flat_map(|log| log["types"].as_array().into_iter().flatten());
        kinds.filter_map(Value::as_object).flatten().any(|(_, options)| is_on(&options[option]))
    };
    let custom = |field: &str| {
        let kinds = logs.iter().flat_map(|log| log["types"].as_array().into_iter().flatten());
        kinds.filter_map(|kind| kind["tls"]["custom"].as_array()).flatten().any(|named| text(named) == field)
    };
    let own = |option: &str| logs.iter().any(|log| is_on(&log[option]));
    let seed = logs.iter().find_map(|log| text(&log["community-id-seed"]).parse::<u16>().ok()).unwrap_or_default();
    format!(
        "\n[events]\nverdict = {}\nethernet = {}\ncommunity_id = {}\ncommunity_id_seed = {seed}\npayload = {}\npacket = {}\n\
        certificates = {}\n",
        of_types("verdict"),
        own("ethernet"),
        own("community-id"),
        of_types("payload") || of_types("payload-printable"),
        of_types("packet") || of_types("packethdr"),
        custom("chain") || custom("client"),
    )
}

fn signatures(case: &Case, folder: &Path) -> Result<String> {
    let mut text = "\n[signatures]\nlog = true\n".to_owned();
    if let Some(file) = &case.rules_file {
        text.push_str(&format!("files = [{}]\n", quoted(&rules(case, file, folder)?)));
    }
    let order: Vec<String> =
        case.settings.get("action-order").as_array().into_iter().flatten().map(super::yaml::text).collect();
    if !order.is_empty() {
        text.push_str(&format!("action_order = {order:?}\n"));
    }
    for (key, setting) in [
        ("thresholds", "threshold-file"),
        ("classification", "classification-file"),
        ("references", "reference-config-file"),
    ] {
        let file = super::yaml::text(case.settings.get(setting)).replace("${TEST_DIR}/", "").replace("$TEST_DIR/", "");
        if !file.is_empty() && case.folder.join(&file).is_file() {
            text.push_str(&format!("{key} = {}\n", quoted(&file)));
        }
    }
    for (section, group) in [("addresses", "address-groups"), ("ports", "port-groups")] {
        let variables = variables(case, group);
        if !variables.is_empty() {
            text.push_str(&format!("\n[signatures.{section}]\n"));
            for (name, value) in variables {
                text.push_str(&format!("{} = {}\n", quoted(&name), quoted(&value)));
            }
        }
    }
    Ok(text)
}

/// The name of the rule file: of one that only watches, a copy without verdicts.
fn rules(case: &Case, file: &Path, folder: &Path) -> Result<String> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if case.settings.inline() {
        return Ok(name);
    }
    let bytes = fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let name = format!("dropgate-{name}");
    let mut copy = File::create(folder.join(&name))?;
    let mut continued = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let word = line.trim_ascii_start();
        // one who watches says `allowed` of what it would have dropped
        match word.strip_prefix(b"drop ").filter(|_| !continued) {
            Some(rest) => {
                copy.write_all(b"alert ")?;
                copy.write_all(rest)?;
            }
            None => copy.write_all(line)?,
        }
        continued = line.trim_ascii_end().ends_with(b"\\");
    }
    Ok(name)
}

fn variables(case: &Case, group: &str) -> Vec<(String, String)> {
    let path = format!("vars.{group}");
    let of_file = at(&case.settings.file, &path).as_object().into_iter().flatten();
    let mut all: Vec<(String, String)> = of_file.map(|(name, value)| (name.clone(), list(value))).collect();
    // a test without settings of its own is run with Suricata's
    if group == "address-groups" && case.settings.file.is_null() {
        all.push(("HOME_NET".to_owned(), HOME_NET.to_owned()));
    }
    for (name, value) in &case.settings.set {
        if let Some(name) = name.strip_prefix(&format!("{path}.")) {
            all.retain(|(other, _)| other != name);
            all.push((name.to_owned(), text(value)));
        }
    }
    all
}

/// `[80, 81]` is read as a list where it is not quoted.
fn list(value: &Value) -> String {
    match value {
        Value::Array(all) => format!("[{}]", all.iter().map(list).collect::<Vec<_>>().join(",")),
        value => text(value),
    }
}

/// Text of TOML.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
