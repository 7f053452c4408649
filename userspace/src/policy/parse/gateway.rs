//! `[gateway]`.

use std::{net::IpAddr, ops::Range, time::Duration};

use dropgate_abi::tunnel::{PPPOE_SESSION, VXLAN_PORTS};
use toml::de::DeValue;

use super::{
    Parser,
    section::Section,
    value::{Value, one_of},
};
use crate::policy::{
    codes,
    diagnostic::quoted,
    model::{Gateway, InterfaceName, Kind, Tunnel},
};

/// Names of ethertypes (IEEE 802 Numbers, IANA).
const ETHERTYPES: [(&str, u16); 10] = [
    ("arp", 0x0806),
    // a length in its place (IEEE 802.3), as spanning tree has it
    ("llc", 0),
    ("wake-on-lan", 0x0842),
    ("rarp", 0x8035),
    ("lacp", 0x8809),
    ("pppoe-discovery", 0x8863),
    ("eapol", 0x888e),
    ("lldp", 0x88cc),
    ("macsec", 0x88e5),
    ("ptp", 0x88f7),
];
/// What a bridge lets pass where the policy does not say: what networks are kept together by.
const BRIDGED: [u16; 5] = [0, 0x0806, 0x8809, 0x888e, 0x88cc];
/// Ethertypes that the datapath takes apart itself: IPv4, IPv6, and VLAN tags.
const TAKEN: [u16; 5] = [0x0800, 0x86dd, 0x8100, 0x88a8, 0x9100];
/// Room in [`dropgate_abi::policy::Settings::ethertypes`].
const MOST_ETHERTYPES: usize = 16;
/// Room in [`dropgate_abi::policy::Settings::vxlan`].
const MOST_VXLAN: usize = 8;
/// Longest interface name, in bytes (Linux `IFNAMSIZ` less the terminating zero).
const LONGEST_INTERFACE: usize = 15;

impl Parser {
    pub(super) fn gateway(&mut self, mut section: Section<'_>) -> Option<Gateway> {
        let kinds = [("route", Kind::Route), ("masquerade", Kind::Masquerade), ("bridge", Kind::Bridge)];
        let kind = section.get("kind");
        if kind.is_none() {
            self.missing(&section, "kind", "kind = \"masquerade\"");
        }
        let kind = kind.and_then(|value| self.choice(value, "kind of gateway", &kinds));
        let outside = section.get("outside");
        if outside.is_none() {
            self.missing(&section, "outside", "outside = [\"wan0\"]");
        }
        let outside = outside.map(|value| self.interfaces(value)).unwrap_or_default();
        let pairs = section.get("pairs");
        if pairs.is_none() && kind == Some(Kind::Bridge) {
            self.missing(&section, "pairs", "pairs = [[\"lan0\", \"wan0\"]]");
        }
        let pairs = pairs.map(|value| self.pairs(value)).unwrap_or_default();
        let links = [("leave", false), ("follow", true)];
        let link_follows = section.get("link").and_then(|value| self.choice(value, "answer", &links));
        let addresses = section.get("addresses").map(|value| self.own_addresses(value));
        let (auto_addresses, addresses) = addresses.unwrap_or((true, Vec::new()));
        let adopt = section.get("adopt").and_then(|value| self.duration(value, Duration::ZERO));
        let ethertypes = section.get("ethertypes").map(|value| self.ethertypes(value));
        let unsolicited = [("count", false), ("drop", true)];
        let drop_unsolicited = section.get("unsolicited").and_then(|value| self.choice(value, "answer", &unsolicited));
        let chatter = [("quiet", true), ("log", false)];
        let quiet_chatter = section.get("chatter").and_then(|value| self.choice(value, "answer", &chatter));
        let dhcp = section.get("dhcp").and_then(|value| self.boolean(value));
        let fast_forward = section.get("fast_forward");
        let at = fast_forward.as_ref().map(|value| value.span());
        let fast_forward = fast_forward.and_then(|value| self.boolean(value)).unwrap_or(false);
        if let (true, Some(Kind::Masquerade | Kind::Bridge), Some(at)) = (fast_forward, kind, &at) {
            let message = "`fast_forward` on a gateway that does not route".to_owned();
            self.add_expected(&codes::FAST_FORWARD, at.clone(), message, "`kind = \"route\"`");
        }
        let sessions = [("judge", Tunnel::Judge), ("opaque", Tunnel::Opaque), ("drop", Tunnel::Drop)];
        let pppoe = section.get("pppoe").and_then(|value| self.choice(value, "answer", &sessions));
        let vxlan = section.get("vxlan").map(|value| self.vxlan(value));
        let tcx = section.get("tcx").map(|value| self.interfaces(value)).unwrap_or_default();
        section.finish(self);
        Some(Gateway {
            kind: kind?,
            outside,
            pairs,
            link_follows: link_follows.unwrap_or(false),
            auto_addresses,
            addresses,
            adopt: adopt.unwrap_or(Duration::from_secs(60)),
            ethertypes: ethertypes.unwrap_or_else(|| match kind {
                Some(Kind::Bridge) => BRIDGED.to_vec(),
                _ => vec![ETHERTYPES[0].1],
            }),
            drop_unsolicited: drop_unsolicited.unwrap_or(false),
            quiet_chatter: quiet_chatter.unwrap_or(true),
            dhcp: dhcp.unwrap_or(false),
            fast_forward,
            pppoe,
            vxlan: vxlan.unwrap_or_else(|| VXLAN_PORTS.to_vec()),
            tcx,
        })
    }

    /// Ports of VXLAN, each by itself.
    fn vxlan(&mut self, value: Value<'_>) -> Vec<u16> {
        let elements = self.one_or_many(value).iter();
        let mut found: Vec<u16> =
            elements.filter_map(|element| self.integer(element, 1..=65535, "port")).map(|port| port as u16).collect();
        found.sort_unstable();
        found.dedup();
        if found.len() > MOST_VXLAN {
            let message = format!("{} ports of VXLAN", found.len());
            self.add_expected(&codes::TOO_MANY, value.span(), message, format!("at most {MOST_VXLAN}"));
            found.truncate(MOST_VXLAN);
        }
        found
    }

    fn interfaces(&mut self, value: Value<'_>) -> Vec<InterfaceName> {
        let mut found: Vec<InterfaceName> = Vec::new();
        for element in self.one_or_many(value) {
            let Some(interface) = self.interface(element) else {
                continue;
            };
            if found.iter().any(|other| other.name == interface.name) {
                let message = format!("the interface {} is named twice", quoted(&interface.name));
                self.add(&codes::DUPLICATE_NAME, element.span(), message);
            } else {
                found.push(interface);
            }
        }
        found
    }

    fn pairs(&mut self, value: Value<'_>) -> Vec<[InterfaceName; 2]> {
        const EXPECTED: &str = "pairs of interfaces: `[[\"lan0\", \"wan0\"]]`";
        let mut found = Vec::new();
        for element in self.array(value, EXPECTED) {
            match self.array(element, EXPECTED) {
                [one, other] => found.extend(self.interface(one).zip(self.interface(other)).map(<[_; 2]>::from)),
                [] => {}
                more => {
                    let message = format!("{} in the place of two interfaces", more.len());
                    self.add_expected(&codes::WRONG_TYPE, element.span(), message, EXPECTED);
                }
            }
        }
        found
    }

    /// An interface's name, as the kernel would take it.
    pub(super) fn interface(&mut self, value: Value<'_>) -> Option<InterfaceName> {
        let (name, at) = self.string(value, "the name of an interface")?;
        let sound = !name.is_empty()
            && name.len() <= LONGEST_INTERFACE
            && name != "."
            && name != ".."
            && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
        if !sound {
            let message = format!("{} is not the name of an interface", quoted(name));
            self.add_expected(&codes::NAME, at, message, "1 to 15 letters, without spaces, `/` and `:`");
            return None;
        }
        Some(InterfaceName { name: name.to_owned(), location: self.location(at) })
    }

    fn own_addresses(&mut self, value: Value<'_>) -> (bool, Vec<IpAddr>) {
        let mut auto = false;
        let mut found = Vec::new();
        for element in self.one_or_many(value) {
            if matches!(element.get_ref(), DeValue::String(text) if text == "auto") {
                auto = true;
            } else {
                found.extend(self.address(element));
            }
        }
        (auto, found)
    }

    fn ethertypes(&mut self, value: Value<'_>) -> Vec<u16> {
        let names = ETHERTYPES.iter().map(|(name, _)| *name);
        let expected = format!("{} or a number such as `\"0x88cc\"`", one_of(names.clone()));
        let mut found = Vec::new();
        for element in self.one_or_many(value) {
            let Some((text, at)) = self.string(element, &expected) else {
                continue;
            };
            let named = ETHERTYPES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
            let number = text.strip_prefix("0x").and_then(|hex| u16::from_str_radix(hex, 16).ok());
            match (named, number) {
                (Some(named), _) => found.push(named),
                (None, Some(number)) => found.extend(self.checked_ethertype(number, at)),
                (None, None) => self.unknown_word(at, "ethertype", text, names.clone(), &expected),
            }
        }
        found.sort_unstable();
        found.dedup();
        if found.len() > MOST_ETHERTYPES {
            let message = format!("{} ethertypes", found.len());
            self.add_expected(&codes::TOO_MANY, value.span(), message, format!("at most {MOST_ETHERTYPES}"));
            found.truncate(MOST_ETHERTYPES);
        }
        found
    }

    fn checked_ethertype(&mut self, number: u16, at: Range<usize>) -> Option<u16> {
        let why = if TAKEN.contains(&number) {
            "is IP or a VLAN tag, which are always judged"
        } else if number == PPPOE_SESSION {
            "is PPPoE sessions, about which the key `pppoe` decides"
        } else if number < 0x0600 {
            "is a length, not an ethertype"
        } else {
            return Some(number);
        };
        let message = format!("`{number:#06x}` {why}");
        self.add_expected(&codes::RANGE, at, message, "an ethertype of other frames, from `0x0600` to `0xffff`");
        None
    }
}
