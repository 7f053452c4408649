//! Application parsers: what was said on a conversation, made into transactions that rules are asked about and events tell of.
//!
//! A parser is fed by [`crate::inspect`] with bytes in order, once it is known what is spoken. It never fails: what it cannot
//! read becomes an event of the transaction ([`dropgate_signatures::subject::Transaction::events`]), and it goes on behind it, or
//! is opaque from there on. Its memory is bounded by [`Limits`], its time by the bytes that it is fed.

pub mod body;
mod digits;
pub mod dns;
mod events;
mod facts;
pub mod files;
pub mod ftp;
mod held;
pub mod http;
pub mod http2;
mod lines;
mod messages;
pub mod mime;
pub mod mqtt;
mod object;
pub mod pop3;
pub mod quic;
pub mod rfb;
#[cfg(test)]
mod samples;
mod small;
pub mod smtp;
pub mod ssh;
pub mod tls;
pub mod websocket;

use std::{fmt::Debug, net::IpAddr};

use dropgate_signatures::{
    protocol::App,
    subject::{Direction, Transaction},
};

pub use self::object::{Object, Record, Told, text};
use crate::protocol::Protocol;

/// How much of a transfer is remembered. What lies beyond is counted and not looked into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a body as it was said, and of one unpacked, by direction.
    pub body: [usize; 2],
    /// Bytes of a header section, or of a line of protocols that speak in lines.
    pub header: usize,
    /// Transactions of one flow that are not over.
    pub transactions: usize,
    /// Times that a body may be packed.
    pub layers: usize,
    /// Bytes of a body beyond which it has no digests, which cost more than all else that is done with it.
    pub digests: u64,
    /// Events show certificates of TLS as they are, and those of clients.
    pub certificates: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: [100 << 10; 2],
            header: 64 << 10,
            transactions: 256,
            layers: 3,
            digests: u64::MAX,
            certificates: false,
        }
    }
}

/// A parser of one conversation.
pub trait Parser: Debug + Send {
    /// What time it is for what is heard from here on: of the capture, or of the clock; s since 1970.
    fn tick(&mut self, _unix_s: i64) {}

    /// Who speaks: the client, the server.
    fn between(&mut self, _client: IpAddr, _server: IpAddr) {}

    /// It takes over from HTTP/1: the server has agreed to answer what was asked there.
    fn follows(&mut self, _asked: &http2::Upgrade) {}

    /// The next bytes of a direction.
    fn hear(&mut self, direction: Direction, said: &[u8]);

    /// So many bytes of a direction were never seen (captures alone lack any).
    fn lost(&mut self, direction: Direction, bytes: u64);

    /// A direction has ended.
    fn end(&mut self, direction: Direction);

    /// Those that were not forgotten, in order.
    fn transactions(&self) -> Vec<&dyn Exchange>;

    /// Forgets a transaction: it was over when rules were asked about it, and was told of.
    fn forget(&mut self, id: u64);

    /// Transfers that were asked for since this was asked last, over connections of their own.
    fn take_transfers(&mut self) -> Vec<ftp::Transfer> {
        Vec::new()
    }

    /// Nothing more can be read: it is encrypted, or no longer understood.
    fn is_opaque(&self) -> bool;

    /// Bytes of memory that it takes, about.
    fn footprint(&self) -> usize;
}

/// A transaction that events tell of.
pub trait Exchange: Transaction {
    /// What is told of it when it is over: Suricata's EVE `event_type` and the object of that name.
    fn records(&self) -> Vec<Record>;

    /// What an alert about it carries: the same objects, as far as they are known.
    fn context(&self) -> Vec<Record> {
        self.records()
    }

    /// Objects that stand in the event of a record beside its own: `email` beside `smtp`, `http` beside `fileinfo`. `all`: what was
    /// told with it.
    fn beside(&self, _record: &Record, _all: &[Record]) -> Vec<Record> {
        Vec::new()
    }
}

/// Multicast DNS (RFC 6762) and LLMNR (RFC 4795) are DNS on these ports.
pub const MDNS_PORT: u16 = 5353;
pub const LLMNR_PORT: u16 = 5355;

/// What rules call what was found to be spoken, over UDP or TCP, to this port.
pub fn app(protocol: Protocol, udp: bool, port: u16) -> App {
    match protocol {
        Protocol::Http => App::Http1,
        Protocol::FakeTls => App::Failed,
        Protocol::Dns if udp && port == MDNS_PORT => App::Mdns,
        Protocol::Dns if udp && port == LLMNR_PORT => App::Llmnr,
        other => App::named(other.name()).unwrap_or(App::Failed),
    }
}

/// The parser of a conversation, if there is one. `udp`: it is fed datagrams.
pub fn parser(app: App, udp: bool, limits: &Limits) -> Option<Box<dyn Parser>> {
    Some(match app {
        App::Dns | App::Mdns | App::Llmnr if udp => Box::new(dns::Dns::datagrams(app, *limits)),
        App::Dns => Box::new(dns::Dns::stream(*limits)),
        App::Ftp => Box::new(ftp::Ftp::new(limits)),
        App::Http1 => Box::new(http::Http1::new(*limits)),
        App::Http2 => Box::new(http2::Http2::new(*limits)),
        App::Mqtt => Box::new(mqtt::Mqtt::new(*limits)),
        App::Pop3 => Box::new(pop3::Pop3::new(limits)),
        App::Quic => Box::new(quic::Quic::new(*limits)),
        App::Rfb => Box::new(rfb::Rfb::new()),
        App::Smtp => Box::new(smtp::Smtp::new(limits)),
        App::Ssh => Box::new(ssh::Ssh::new()),
        App::Tls => Box::new(tls::Tls::new().showing(limits.certificates)),
        App::Websocket => Box::new(websocket::Upgraded::new(*limits)),
        other => Box::new(messages::Messages::new(small::protocol(other)?, udp, limits)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_a_name_for_what_is_found() {
        let nameless: Vec<_> =
            Protocol::ALL.iter().filter(|protocol| app(**protocol, false, 1) == App::Failed).collect();
        assert_eq!(nameless, [&Protocol::FakeTls]);
    }
}
