//! A blocklist of a million prefixes of each family: what is on it is dropped, whatever lies beside it passes.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    bench::Real,
    net::{ALL, LAN0, Net, WAN0, policy},
};
use crate::packets::{self, Ip, SYN, TCP};

const PREFIXES: u128 = 1_000_000;

/// Prefix `n` stands at the start of a network of its own, and its length is another one than its neighbours'. First address,
/// addresses in it, length.
fn prefix(n: u128, v6: bool) -> (u128, u128, u128) {
    // networks of /29 from 32.0.0.0 on, and of /48 from 2a00:: on
    let (bits, free, base) = if v6 { (128, 80, 0x2a00 << 112) } else { (32, 3, 0x2000_0000) };
    let length = bits - free + 1 + n % free;
    (base + (n << free), 1 << (bits - length), length)
}

fn address(number: u128, v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::from_bits(number).into() } else { Ipv4Addr::from_bits(number as u32).into() }
}

fn list(v6: bool) -> String {
    let mut text = String::new();
    // not in order: 7919 has no factor in common with their number
    for n in 0..PREFIXES {
        let (first, _, length) = prefix(n * 7919 % PREFIXES, v6);
        // writing to a string does not fail
        let _ = writeln!(text, "{}/{length}", address(first, v6));
    }
    text
}

/// Asks about an address as a destination of the zone and as a source from the outside.
fn ask(real: &mut Real, net: &Net, other: IpAddr, blocked: bool) {
    let what = format!("{other} ({})", net.name);
    let out = Ip { dst: other, ..net.out() };
    let name = if blocked { "blocked_destination" } else { "allowed" };
    real.ingress(&what, LAN0, &out.frame(net.tags, TCP, &packets::tcp(40_000, 443, SYN, &[])), name);
    let back = Ip { src: other, ..net.back() };
    let name = if blocked { "blocked_source" } else { "not_allowed" };
    real.ingress(&what, WAN0, &back.frame(&[], TCP, &packets::tcp(50_000, 8443, SYN, &[])), name);
}

#[test]
fn a_million_blocked_prefixes_of_each_family() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, v6) in [("bad4.txt", false), ("bad6.txt", true)] {
        std::fs::write(directory.path().join(name), list(v6)).expect("a file");
    }
    let plain = policy();
    let head = plain.split_once("[blocklist]").expect("a blocklist").0;
    let text = format!(
        "{head}[blocklist]\nfrom = [\"@bad4\", \"@bad6\"]\nto = [\"@bad6\", \"@bad4\"]\n\
         [lists]\nbad4 = \"bad4.txt\"\nbad6 = \"bad6.txt\"\n"
    );
    let mut real = Real::new(&plain);
    real.commit_in(&text, directory.path());
    for net in ALL.iter().filter(|net| net.tags.is_empty()) {
        let v6 = net.out().dst.is_ipv6();
        for n in (0..100).chain((0..PREFIXES).step_by(9973)).chain(PREFIXES - 100..PREFIXES) {
            real.fresh();
            let (first, count, _) = prefix(n, v6);
            let (end, behind) = (first + count, prefix(n + 1, v6).0);
            for (number, blocked) in
                [(first, true), (end - 1, true), (end, false), ((end + behind) / 2, false), (behind - 1, false)]
            {
                ask(&mut real, net, address(number, v6), blocked);
            }
        }
        ask(&mut real, net, address(prefix(0, v6).0 - 1, v6), false);
        ask(&mut real, net, address(prefix(PREFIXES, v6).0, v6), false);
    }
    // and none of it is left behind by the next push
    real.commit(&plain);
    for net in ALL.iter().filter(|net| net.tags.is_empty()) {
        let v6 = net.out().dst.is_ipv6();
        real.fresh();
        ask(&mut real, net, address(prefix(7, v6).0, v6), false);
    }
}
