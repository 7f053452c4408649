//! DHCP (RFC 2131 section 2, options of RFC 2132).

use std::net::Ipv4Addr;

use dropgate_signatures::subject::Direction;
use serde_json::{Value, json};

use crate::{
    app::{digits::colons, events::Events, facts::Facts, text},
    protocol::wire::{Bytes, must},
};

const MAGIC: [u8; 4] = [99, 130, 83, 99];

pub fn read(_: Direction, said: &[u8], events: &mut Events, _: &mut u32) -> Option<Facts> {
    let mut facts = Facts::default();
    let mut bytes = Bytes::new(said);
    let [op, _hardware, length, _hops] = bytes.array()?;
    facts.tell("type", if op == 1 { "request" } else { "reply" });
    facts.tell("id", bytes.u32()?);
    let _seconds_and_flags = bytes.u32()?;
    let addresses = ["client_ip", "assigned_ip", "next_server_ip", "relay_ip"];
    for name in addresses {
        let address = Ipv4Addr::from(bytes.array::<4>()?).to_string();
        if op != 1 || matches!(name, "client_ip" | "assigned_ip") {
            facts.tell(name, address);
        }
    }
    let hardware = bytes.array::<16>()?;
    facts.tell("client_mac", colons(hardware.get(..usize::from(length)).unwrap_or(&hardware)));
    // the server's name and the boot file may have options in them
    let (name, file) = (bytes.take(64)?, bytes.take(128)?);
    must(bytes.array()? == MAGIC)?;
    let overload = options(bytes.rest, &mut facts, events);
    if overload & 1 != 0 {
        options(file, &mut facts, events);
    }
    if overload & 2 != 0 {
        options(name, &mut facts, events);
    }
    Some(facts)
}

/// Reads options; which other fields have more of them.
fn options(said: &[u8], facts: &mut Facts, events: &mut Events) -> u8 {
    const PAD: u8 = 0;
    const OVERLOAD: u8 = 52;
    const END: u8 = 255;
    let mut bytes = Bytes::new(said);
    let mut overload = 0;
    while let Some(code) = bytes.u8() {
        if code == PAD {
            continue;
        }
        if code == END {
            return overload;
        }
        let Some(value) = bytes.short_vector() else {
            events.note("truncated_options");
            return overload;
        };
        if code == OVERLOAD {
            overload = value.first().copied().unwrap_or(0);
        } else if option(code, value, facts).is_none() {
            events.note("malformed_options");
        }
    }
    events.note("truncated_options");
    overload
}

/// `None`: it is not as it should be.
fn option(code: u8, value: &[u8], facts: &mut Facts) -> Option<()> {
    let addresses = || -> Option<Vec<Value>> {
        let (all, rest) = value.as_chunks::<4>();
        must(!all.is_empty() && rest.is_empty())?;
        Some(all.iter().map(|&four| json!(Ipv4Addr::from(four).to_string())).collect())
    };
    let seconds = || value.try_into().ok().map(u32::from_be_bytes);
    match code {
        1 => facts.tell("subnet_mask", addresses()?.into_iter().next()?),
        3 => facts.tell("routers", addresses()?),
        6 => facts.tell("dns_servers", addresses()?),
        12 => facts.tell("hostname", text(value)),
        15 => facts.tell("domain", text(value)),
        50 => facts.tell("requested_ip", addresses()?.into_iter().next()?),
        51 => {
            facts.tell("lease_time", seconds()?);
            facts.number("dhcp.leasetime", seconds()?);
        }
        53 => {
            let names = ["discover", "offer", "request", "decline", "ack", "nak", "release", "inform"];
            let name = names.get(usize::from(*value.first()?).wrapping_sub(1));
            facts.tell("dhcp_type", *name?);
        }
        55 => facts.tell("params", value.iter().filter_map(|&code| parameter(code)).collect::<Vec<_>>()),
        58 => {
            facts.tell("renewal_time", seconds()?);
            facts.number("dhcp.renewal_time", seconds()?);
        }
        59 => {
            facts.tell("rebinding_time", seconds()?);
            facts.number("dhcp.rebinding_time", seconds()?);
        }
        60 => facts.tell("vendor_class_identifier", text(value)),
        61 => facts.tell("client_id", colons(value.get(1..)?)),
        _ => {}
    }
    Some(())
}

/// What is asked for, where it has a name in events.
fn parameter(code: u8) -> Option<Value> {
    Some(json!(match code {
        1 => "subnet_mask",
        3 => "router",
        6 => "dns_server",
        12 => "hostname",
        15 => "domain",
        35 => "arp_timeout",
        42 => "ntp_server",
        66 => "tftp_server_name",
        150 => "tftp_server_ip",
        _ => return None,
    }))
}
