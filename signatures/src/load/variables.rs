//! Variables of rules, and their values where the policy defines none.

use std::collections::BTreeMap;

use super::{ListError, address::addresses, port::ports};
use crate::rule::{Addresses, Ports};

/// Names and texts of variables, for addresses and for ports. Names are without the dollar sign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variables {
    pub addresses: BTreeMap<String, String>,
    pub ports: BTreeMap<String, String>,
}

/// What Suricata's default configuration says of addresses.
pub const DEFAULT_ADDRESSES: &[(&str, &str)] = &[
    ("HOME_NET", "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]"),
    ("EXTERNAL_NET", "!$HOME_NET"),
    ("HTTP_SERVERS", "$HOME_NET"),
    ("SMTP_SERVERS", "$HOME_NET"),
    ("SQL_SERVERS", "$HOME_NET"),
    ("DNS_SERVERS", "$HOME_NET"),
    ("TELNET_SERVERS", "$HOME_NET"),
    ("AIM_SERVERS", "$EXTERNAL_NET"),
    ("DC_SERVERS", "$HOME_NET"),
    ("DNP3_SERVER", "$HOME_NET"),
    ("DNP3_CLIENT", "$HOME_NET"),
    ("MODBUS_CLIENT", "$HOME_NET"),
    ("MODBUS_SERVER", "$HOME_NET"),
    ("ENIP_CLIENT", "$HOME_NET"),
    ("ENIP_SERVER", "$HOME_NET"),
];

/// What Suricata's default configuration says of ports.
pub const DEFAULT_PORTS: &[(&str, &str)] = &[
    ("HTTP_PORTS", "80"),
    ("SHELLCODE_PORTS", "!80"),
    ("ORACLE_PORTS", "1521"),
    ("SSH_PORTS", "22"),
    ("DNP3_PORTS", "20000"),
    ("MODBUS_PORTS", "502"),
    ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
    ("FTP_PORTS", "21"),
    ("GENEVE_PORTS", "6081"),
    ("VXLAN_PORTS", "4789"),
    ("TEREDO_PORTS", "3544"),
    ("SIP_PORTS", "[5060,5061]"),
];

impl Default for Variables {
    fn default() -> Self {
        let owned = |all: &[(&str, &str)]| {
            all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<BTreeMap<_, _>>()
        };
        Self { addresses: owned(DEFAULT_ADDRESSES), ports: owned(DEFAULT_PORTS) }
    }
}

impl Variables {
    /// Defines one, of addresses or of ports: which one, its default or its form tells. The dollar sign may stand before it.
    pub fn set(&mut self, name: &str, text: &str) {
        let name = name.trim_start_matches('$').to_owned();
        let ports = self.ports.contains_key(&name) || (!self.addresses.contains_key(&name) && name.ends_with("_PORTS"));
        let table = if ports { &mut self.ports } else { &mut self.addresses };
        table.insert(name, text.to_owned());
    }

    /// The addresses of a list as rules write it.
    ///
    /// # Errors
    /// [`ListError`]: it is none, or leaves no address.
    pub fn addresses_of(&self, text: &str) -> Result<Addresses, ListError> {
        addresses(text, &self.addresses)
    }

    /// The ports of a list as rules write it.
    ///
    /// # Errors
    /// [`ListError`]: it is none, or leaves no port.
    pub fn ports_of(&self, text: &str) -> Result<Ports, ListError> {
        ports(text, &self.ports)
    }
}
