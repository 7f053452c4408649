//! The header of a rule: who speaks to whom, and what.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use super::{
    address::addresses, context::Interned, keyword::protocol_number, list::ListError, mistake::Mistake, port::ports,
    variables::Variables,
};
use crate::{
    codes,
    diagnostic::{Code, quoted},
    protocol::App,
    rule::{Action, Addresses, Arrow, Ends, Header, Ports, Protocol},
    syntax::{Statement, Word},
};

/// Headers are made of few different sets: each is resolved once.
pub(super) struct Headers<'a> {
    variables: &'a Variables,
    shared: &'a Interned,
    addresses: Known<Addresses>,
    ports: Known<Ports>,
}

/// What came of a text before.
type Known<T> = RefCell<HashMap<Box<[u8]>, Result<T, ListError>>>;

/// A part of a header, as `rules --json` names it, and what is wrong with it.
pub(super) type Part = (&'static str, Mistake);

impl<'a> Headers<'a> {
    pub fn new(variables: &'a Variables, shared: &'a Interned) -> Self {
        Self { variables, shared, addresses: RefCell::default(), ports: RefCell::default() }
    }

    /// Reads the header of a rule; all that is wrong with it.
    pub fn header(&self, statement: &Statement<'_>) -> Result<Header, Vec<Part>> {
        let mut wrong = Vec::new();
        let mut addresses = |word: &Word<'_>| {
            self.addresses(word).map_err(|mistake| wrong.push(("address", mistake))).unwrap_or_default()
        };
        let (source, destination) = (addresses(&statement.source), addresses(&statement.destination));
        let mut ports =
            |word: &Word<'_>| self.ports(word).map_err(|mistake| wrong.push(("port", mistake))).unwrap_or_default();
        let (source_ports, destination_ports) = (ports(&statement.source_ports), ports(&statement.destination_ports));
        let protocol = protocol(&statement.protocol, self.shared).map_err(|mistake| wrong.push(("protocol", mistake)));
        let arrow = arrow(&statement.arrow).map_err(|mistake| wrong.push(("direction", mistake)));
        match (protocol, arrow) {
            (Ok(protocol), Ok(arrow)) if wrong.is_empty() => {
                Ok(Header { protocol, source, source_ports, arrow, destination, destination_ports })
            }
            _ => Err(wrong),
        }
    }

    fn addresses(&self, word: &Word<'_>) -> Result<Addresses, Mistake> {
        let mut known = self.addresses.borrow_mut();
        if !known.contains_key(word.bytes) {
            known.insert(word.bytes.into(), addresses(&word.text(), &self.variables.addresses));
        }
        match &known[word.bytes] {
            Ok(set) => Ok(set.clone()),
            Err(error) => Err(list_mistake(error, word, &codes::ADDRESS, &self.variables.addresses, self.shared)),
        }
    }

    fn ports(&self, word: &Word<'_>) -> Result<Ports, Mistake> {
        let mut known = self.ports.borrow_mut();
        if !known.contains_key(word.bytes) {
            known.insert(word.bytes.into(), ports(&word.text(), &self.variables.ports));
        }
        match &known[word.bytes] {
            Ok(set) => Ok(set.clone()),
            Err(error) => Err(list_mistake(error, word, &codes::PORT, &self.variables.ports, self.shared)),
        }
    }
}

fn list_mistake(
    error: &ListError,
    word: &Word<'_>,
    code: &'static Code,
    variables: &BTreeMap<String, String>,
    shared: &Interned,
) -> Mistake {
    let ListError::Undefined(name) = error else {
        let code = if *error == ListError::Depth { &codes::VARIABLE } else { code };
        return Mistake::new(code, error.to_string()).at(word.span());
    };
    let mut at = word.span();
    if let Some(start) = memchr::memmem::find(word.bytes, name.as_bytes()) {
        at = word.start + start..word.start + start + name.len();
    }
    let mistake = Mistake::new(&codes::VARIABLE, format!("the variable {} is not defined", quoted(name))).at(at);
    let known = || variables.keys().map(String::as_str);
    let mistake = shared.suggest(name.trim_start_matches('$'), known, mistake);
    if mistake.help.is_some() {
        return mistake;
    }
    mistake.help("the policy defines variables under `[signatures.addresses]` and `[signatures.ports]`")
}

/// What is done with a match.
pub(super) fn action(word: &Word<'_>) -> Result<Action, Mistake> {
    let text = word.text();
    Ok(match text.to_ascii_lowercase().as_str() {
        "alert" => Action::Alert,
        "drop" => Action::Drop,
        "reject" | "rejectsrc" => Action::Reject(Ends::Source),
        "rejectdst" => Action::Reject(Ends::Destination),
        "rejectboth" => Action::Reject(Ends::Both),
        "pass" => Action::Pass,
        known @ ("config" | "accept") => {
            let message = format!("rules that begin with `{known}` are not supported");
            return Err(Mistake::new(&codes::ACTION, message).at(word.span()));
        }
        known if known.contains([':', ',']) => {
            let message = format!("{}: what an action is about is not chosen, and there is one of it", quoted(known));
            return Err(Mistake::new(&codes::ACTION, message).at(word.span()));
        }
        other => {
            let mistake = Mistake::new(&codes::ACTION, format!("{} is no action", quoted(other))).at(word.span());
            let expected = "`alert`, `drop`, `reject`, `rejectsrc`, `rejectdst`, `rejectboth` or `pass`";
            return Err(mistake.expected(expected));
        }
    })
}

fn arrow(word: &Word<'_>) -> Result<Arrow, Mistake> {
    match word.bytes {
        b"->" => Ok(Arrow::To),
        b"<>" => Ok(Arrow::Both),
        b"=>" => Ok(Arrow::Transaction),
        _ => {
            let mistake = Mistake::new(&codes::DIRECTION, format!("{} is no direction", quoted(&word.text())));
            Err(mistake.at(word.span()).expected("`->`, `<>` or `=>`"))
        }
    }
}

fn protocol(word: &Word<'_>, shared: &Interned) -> Result<Protocol, Mistake> {
    let text = word.text().to_ascii_lowercase();
    Ok(match text.as_str() {
        "ip" => Protocol::Ip,
        "ip4" | "ipv4" => Protocol::Ipv4,
        "ip6" | "ipv6" => Protocol::Ipv6,
        "tcp" => Protocol::Tcp,
        "tcp-pkt" => Protocol::TcpPacket,
        "tcp-stream" => Protocol::TcpStream,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        "icmpv4" => Protocol::Icmpv4,
        "icmpv6" => Protocol::Icmpv6,
        "sctp" => Protocol::Sctp,
        "igmp" => Protocol::Igmp,
        "pkthdr" => Protocol::PacketHeader,
        "failed" | "unknown" => return Err(unknown_protocol(word, &text, shared)),
        other => match (App::named(other), protocol_number(other)) {
            (Some(app), _) => Protocol::App(app),
            (None, Some(number)) => Protocol::Number(number),
            (None, None) if other.contains(':') => {
                let message = format!("{}: rules do not hook into states", quoted(other));
                return Err(Mistake::new(&codes::PROTOCOL, message).at(word.span()));
            }
            (None, None) => return Err(unknown_protocol(word, other, shared)),
        },
    })
}

fn unknown_protocol(word: &Word<'_>, text: &str, shared: &Interned) -> Mistake {
    let mistake = Mistake::new(&codes::PROTOCOL, format!("there is no protocol {}", quoted(text))).at(word.span());
    shared.suggest(text, || App::ALL.iter().map(|app| app.name()), mistake)
}
