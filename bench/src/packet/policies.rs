//! Policies that are measured.

use std::{fmt::Write as _, path::Path};

use anyhow::{Result, bail};
use dropgate::policy::{self, Environment, Ids, Image, Source};

/// Zones and services of the large policy.
pub const ZONES: u32 = 256;
pub const SERVICES: u32 = 40;

/// Both policies have the inside on one interface and the outside on another.
pub const INSIDE: &str = "lan0";
pub const OUTSIDE: &str = "wan0";

const GATEWAY: &str = "[gateway]\nkind = \"route\"\noutside = \"wan0\"\naddresses = [\"10.255.255.254\"]\n";

/// One zone, one line.
pub fn one_line() -> String {
    format!(
        "{GATEWAY}[zone.office]\ninterface = \"lan0\"\nprefixes = [\"10.0.0.0/8\"]\n\
         [[zone.office.egress]]\nname = \"web\"\ntcp = [443]\n"
    )
}

/// 256 zones on one interface, told apart by prefix; 40 services each: single ports, ranges, and one in four with
/// destinations of its own.
pub fn many() -> String {
    let mut text = GATEWAY.to_owned();
    for zone in 0..ZONES {
        // writing to a string does not fail
        let _ = writeln!(text, "[zone.z{zone}]\ninterface = \"lan0\"\nprefixes = [\"10.{zone}.0.0/16\"]");
        for service in 1..SERVICES {
            let port = 1000 + 7 * service;
            let _ = writeln!(text, "[[zone.z{zone}.egress]]\nname = \"s{service}\"");
            let _ = match service % 8 {
                0 => writeln!(text, "tcp = [\"{port}-{}\"]", port + 4),
                1 | 5 => writeln!(text, "udp = [{port}]\nto = [\"198.51.{zone}.0/24\"]"),
                2 | 3 => writeln!(text, "udp = [{port}]"),
                _ => writeln!(text, "tcp = [{port}]"),
            };
        }
        let _ = writeln!(text, "[[zone.z{zone}.egress]]\nname = \"web\"\ntcp = [443]");
    }
    text
}

/// Compiles a policy for interfaces numbered in name order.
pub fn compile(text: &str) -> Result<Image> {
    compile_in(text, Path::new("."))
}

/// The same, with lists in files of a folder.
pub fn compile_in(text: &str, folder: &Path) -> Result<Image> {
    let (parsed, found) = policy::parse(Source::new("bench", text), folder);
    let Some(parsed) = parsed else { bail!("the bench's policy is refused: {found:?}") };
    let environment = Environment::synthetic(&parsed);
    match policy::compile(&parsed, &environment, &mut Ids::default()) {
        Ok(image) => Ok(image),
        Err(errors) => bail!("the bench's policy does not compile: {errors:?}"),
    }
}

/// Index of an interface of both policies.
pub fn ifindex(name: &str) -> u32 {
    // `Environment::synthetic` numbers them from 1 in name order
    if name == INSIDE { 1 } else { 2 }
}
