//! A policy at the limit: 4,096 zones, 100,000 services, and a million blocked prefixes of each family.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use anyhow::{Context as _, Result};

/// Zones: the /20 networks of 10.0.0.0/8.
pub const ZONES: u32 = 4096;
/// Services of all zones together.
pub const SERVICES: u32 = 100_000;
/// Ports and destinations that services take turns with.
const PORTS: u32 = 1000;

/// Writes `policy.toml` and the files of its lists into a folder; `blocked` prefixes of each family, none: no blocklist.
pub fn write(folder: &Path, zones: u32, services: u32, blocked: usize) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))?;
    let put = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing `{}`", path.display()))
    };
    let mut text = String::from("[gateway]\nkind = \"route\"\noutside = \"wan0\"\naddresses = [\"203.0.113.1\"]\n");
    if blocked > 0 {
        text += "[blocklist]\nfrom = [\"@bad4\", \"@bad6\"]\nto = [\"@bad4\", \"@bad6\"]\n\
                 [lists]\nbad4 = \"bad4.txt\"\nbad6 = \"bad6.txt\"\n";
        put("bad4.txt", list(blocked, false))?;
        put("bad6.txt", list(blocked, true))?;
    }
    // one more is below
    let mut left = services - 1;
    for zone in 0..zones {
        let network = Ipv4Addr::from_bits(10 << 24 | zone << 12);
        // writing to a string does not fail
        let _ = writeln!(text, "[zone.z{zone}]\ninterface = \"lan0\"\nprefixes = [\"{network}/20\"]");
        let own = left / (zones - zone);
        left -= own;
        for service in 0..own {
            let port = 1000 + (zone * 7 + service * 13) % PORTS;
            let protocol = if service % 3 == 0 { "udp" } else { "tcp" };
            let _ = writeln!(text, "[[zone.z{zone}.egress]]\nname = \"s{service}\"\n{protocol} = [{port}]");
            if service % 8 == 0 {
                let _ = writeln!(text, "to = [\"198.51.{}.0/24\"]", zone % 256);
            }
        }
        // the load and the probes of the bench
        if zone == 160 {
            let _ = writeln!(text, "[[zone.z{zone}.egress]]\nname = \"load\"\nudp = [443]");
        }
    }
    put("policy.toml", text)
}

/// Prefixes of many lengths, all different, as they come: most are of single addresses (IPv4) and of /48 and /64 (IPv6).
fn list(count: usize, v6: bool) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ u64::from(v6);
    let mut next = || {
        // xorshift64 (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    let mut seen = HashSet::with_capacity(count);
    let mut text = String::with_capacity(count * if v6 { 28 } else { 18 });
    while seen.len() < count {
        let (high, low, of) = (next(), next(), next() % 100);
        let (address, length) = if v6 {
            let length = [32, 36, 40, 44, 56][of as usize % 5];
            let length = if of < 35 {
                48
            } else if of < 70 {
                64
            } else if of < 85 {
                128
            } else {
                length
            };
            let bits = u128::from(high) << 64 | u128::from(low);
            // global unicast, but for what the bench itself uses
            let bits = (bits >> 3 | 1 << 125) & u128::MAX << (128 - length);
            if bits >> 96 == 0x2001_0db8 {
                continue;
            }
            (IpAddr::V6(Ipv6Addr::from_bits(bits)), length)
        } else {
            let length = if of < 60 { 32 } else { 24 + of as u32 % 8 };
            let bits = high as u32 & u32::MAX << (32 - length);
            // unicast, but for what the bench itself uses
            if matches!(bits >> 24, 0 | 10 | 127 | 203 | 224..) {
                continue;
            }
            (IpAddr::V4(Ipv4Addr::from_bits(bits)), length)
        };
        if seen.insert((address, length)) {
            let _ = writeln!(text, "{address}/{length}");
        }
    }
    text
}
