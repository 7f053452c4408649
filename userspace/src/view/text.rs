//! Words and columns: addresses, protocols, aligned tables.

use dropgate_abi::tuple::{Address, V4, V6};
use std::{
    borrow::Cow,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An address of the ABI as a standard one; `None` for a family that is neither 4 nor 6.
pub fn ip(family: u8, address: Address) -> Option<IpAddr> {
    match family {
        V4 => Some(Ipv4Addr::from(address[0].to_ne_bytes()).into()),
        V6 => {
            let mut bytes = [0; 16];
            for (place, word) in bytes.chunks_exact_mut(4).zip(address) {
                place.copy_from_slice(&word.to_ne_bytes());
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// A standard address as the ABI has it, with its family.
pub fn abi_address(address: IpAddr) -> (u8, Address) {
    match address {
        IpAddr::V4(v4) => (V4, [u32::from_ne_bytes(v4.octets()), 0, 0, 0]),
        IpAddr::V6(v6) => {
            let mut words = [0; 4];
            for (word, bytes) in words.iter_mut().zip(v6.octets().chunks_exact(4)) {
                *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
            (V6, words)
        }
    }
}

/// An address as text; `?` for a family that is neither 4 nor 6.
pub fn address(family: u8, address: Address) -> String {
    ip(family, address).map_or_else(|| "?".into(), |ip| ip.to_string())
}

/// `10.0.0.1:80`, `[2001:db8::1]:80`; without a port just the address.
pub fn endpoint(family: u8, at: Address, port: Option<u16>) -> String {
    match (port, family) {
        (None, _) => address(family, at),
        (Some(port), V6) => format!("[{}]:{port}", address(family, at)),
        (Some(port), _) => format!("{}:{port}", address(family, at)),
    }
}

/// Protocols with a name, by number: those that EVE names and those that a policy may.
const PROTOCOLS: &[(u8, &str)] = &[
    (1, "ICMP"),
    (2, "IGMP"),
    (4, "IPIP"),
    (6, "TCP"),
    (17, "UDP"),
    (41, "IPv6"),
    (46, "RSVP"),
    (47, "GRE"),
    (50, "ESP"),
    (51, "AH"),
    (58, "IPv6-ICMP"),
    (89, "OSPF"),
    (103, "PIM"),
    (112, "VRRP"),
    (115, "L2TP"),
    (132, "SCTP"),
    (136, "UDPLite"),
];

/// Name of an IP protocol as EVE writes it; three digits for one without a name.
pub fn protocol(number: u8) -> Cow<'static, str> {
    let named = PROTOCOLS.iter().find(|(known, _)| *known == number);
    named.map_or_else(|| format!("{number:03}").into(), |(_, name)| (*name).into())
}

/// Number of an IP protocol: a name in either case, or a number.
pub fn protocol_number(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    if text.eq_ignore_ascii_case("icmpv6") {
        return Some(58);
    }
    PROTOCOLS.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(number, _)| *number)
}

/// Name of an ethertype that a reader of logs will know, else its number.
pub fn ethertype(number: u16) -> String {
    match number {
        0x0800 => "IPv4".into(),
        0x0806 => "ARP".into(),
        0x86dd => "IPv6".into(),
        0x88cc => "LLDP".into(),
        0x888e => "EAPOL".into(),
        0..0x0600 => format!("802.3 length {number}"),
        other => format!("{other:#06x}"),
    }
}

/// `1.2 MB`, `512 B`: three figures at most, powers of 1000.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 0;
    let mut scaled = count as f64;
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && scaled < 99.95);
    format!("{scaled:.digits$} {}", UNITS[unit])
}

/// `3s`, `2m05s`, `1h02m`, `4d03h`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// Text that came from elsewhere, safe on a terminal: control characters become `?`.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A table for people: columns as wide as their widest cell, two blanks between, numbers to the right.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with these heads; a head that starts with `>` makes its column right-aligned.
    pub fn new(heads: &[&str]) -> Self {
        let right = heads.iter().map(|head| head.starts_with('>')).collect();
        let row = heads.iter().map(|head| head.trim_start_matches('>').to_owned()).collect();
        Self { rows: vec![row], right }
    }

    /// Adds a row. Cells beyond the heads are kept, left-aligned.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Rows without the heads.
    pub fn len(&self) -> usize {
        self.rows.len() - 1
    }

    /// Whether there are only heads.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|at| {
                self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if at > 0 {
                    line.push_str("  ");
                }
                if self.right.get(at) == Some(&true) {
                    write!(line, "{cell:>width$}")?;
                } else {
                    write!(line, "{cell:<width$}")?;
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_there_and_back() {
        for text in ["10.1.2.3", "2001:db8::1", "::ffff:1.2.3.4", "0.0.0.0", "::"] {
            let ip_in: IpAddr = text.parse().unwrap();
            let (family, words) = abi_address(ip_in);
            assert_eq!(ip(family, words), Some(ip_in));
            assert_eq!(address(family, words), text);
        }
        assert_eq!(address(0, [0; 4]), "?");
        let (family, words) = abi_address("::1".parse().unwrap());
        assert_eq!(endpoint(family, words, Some(80)), "[::1]:80");
    }

    #[test]
    fn protocols_by_name_and_number() {
        assert_eq!(protocol(6), "TCP");
        assert_eq!(protocol(99), "099");
        assert_eq!(protocol_number("gre"), Some(47));
        assert_eq!(protocol_number("icmpv6"), Some(58));
        assert_eq!(protocol_number("254"), Some(254));
        assert_eq!(protocol_number("256"), None);
    }

    #[test]
    fn amounts() {
        let all = [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456, "123 kB"), (99_940, "99.9 kB")];
        for (count, text) in all {
            assert_eq!(bytes(count), text);
        }
        bytes(u64::MAX);
        assert_eq!([span(59), span(125), span(3720), span(100_000)], ["59s", "2m05s", "1h02m", "1d03h"]);
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["zone", ">packets"]);
        table.row(["office".into(), "5".into()]);
        table.row(["é".into(), "12345".into()]);
        assert_eq!(table.to_string(), "zone    packets\noffice        5\né         12345\n");
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(clean("a\x1b[2Jb\n"), "a?[2Jb?");
    }
}
