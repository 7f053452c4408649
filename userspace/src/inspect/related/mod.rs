//! Control channels that announce other flows: FTP its data connections, TFTP its transfers, SIP its media.
//!
//! What is announced is a port at the one who says so, for the other party of the same flow and for nobody else. Announcements
//! for a third host (an FTP bounce, media that go elsewhere than the signalling) and for privileged ports are not believed.

mod ftp;
mod sip;
mod tftp;
mod transfers;

use std::net::IpAddr;

use dropgate_abi::hold::Held;

pub use self::transfers::Transfers;
use self::{ftp::Ftp, sip::Sip};
use super::packet::Packet;
use crate::protocol::{Direction, Protocol};

/// Ports below this are a system's own (RFC 6335, 6), and nobody announces them.
const PRIVILEGED: u16 = 1024;

/// A flow to come, as one party of a control flow has announced it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announced {
    /// Who begins it: the other party.
    pub initiator: IpAddr,
    pub responder: IpAddr,
    /// Where the responder waits.
    pub port: u16,
    pub udp: bool,
    /// The initiator is the control flow's server.
    pub from_server: bool,
    /// It is one flow; else there may be several.
    pub once: bool,
    /// What is to be spoken; `None`: anything.
    pub speaks: Option<Protocol>,
    /// The control flow's port at its server, and whether it is one of UDP.
    pub control_port: u16,
    pub control_udp: bool,
    /// Zone of the control flow's initiator.
    pub zone: u16,
    /// Where its packets are, as the control flow's: [`dropgate_abi::tuple::realm::of_tunnel`].
    pub realm: u16,
}

/// What was said about a flow to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word {
    /// The way that it was said: to the server by the client, which waits for the flow.
    by: Direction,
    /// The responder as the word has it; `None`: whoever said it.
    address: Option<IpAddr>,
    /// `None`: the port that the word came from.
    port: Option<u16>,
    udp: bool,
    once: bool,
    speaks: Option<Protocol>,
}

/// A control channel that is read on, for as long as it lives.
#[derive(Debug)]
pub(super) struct Control {
    speaks: Channel,
    words: Vec<Word>,
}

#[derive(Debug)]
enum Channel {
    Ftp(Ftp),
    Tftp,
    Sip(Sip),
}

impl Control {
    /// Of a protocol that announces flows.
    pub fn of(protocol: Protocol) -> Option<Self> {
        let speaks = match protocol {
            Protocol::Ftp => Channel::Ftp(Ftp::default()),
            Protocol::Tftp => Channel::Tftp,
            Protocol::Sip => Channel::Sip(Sip::default()),
            _ => return None,
        };
        Some(Self { speaks, words: Vec::new() })
    }

    /// Reads what was said, by direction, and takes what it has read.
    pub fn read(&mut self, unread: &mut [Vec<u8>; 2]) {
        match &mut self.speaks {
            Channel::Ftp(ftp) => ftp.read(unread, &mut self.words),
            Channel::Tftp => tftp::read(unread, &mut self.words),
            Channel::Sip(sip) => sip.read(unread, &mut self.words),
        }
    }

    /// What is to be believed of what was said with this packet.
    pub fn announce(&mut self, held: &Held, packet: &Packet<'_>, out: &mut Vec<Announced>) {
        let walk = &packet.walk;
        let here = (packet.source(), walk.sport);
        let there = (packet.destination(), walk.dport);
        let (client, server) = if held.direction == 0 { (here, there) } else { (there, here) };
        out.extend(self.words.drain(..).filter_map(|word| {
            let by_client = word.by == Direction::ToServer;
            let (responder, initiator) = if by_client { (client, server) } else { (server, client) };
            let port = word.port.unwrap_or(responder.1);
            let own = word.address.is_none_or(|address| address == responder.0);
            (own && port >= PRIVILEGED).then_some(Announced {
                initiator: initiator.0,
                responder: responder.0,
                port,
                udp: word.udp,
                from_server: by_client,
                once: word.once,
                speaks: word.speaks,
                control_port: server.1,
                control_udp: walk.protocol == super::UDP,
                zone: held.zone,
                realm: held.realm,
            })
        }));
    }
}

/// Takes the lines that were said whole, in order, without their ends; bytes that begin no line of this length are thrown away.
fn lines(unread: &mut Vec<u8>, most: usize, mut line: impl FnMut(&[u8])) {
    let mut read = 0;
    while let Some(length) = unread[read..].iter().position(|byte| *byte == b'\n') {
        let said = &unread[read..read + length];
        line(said.strip_suffix(b"\r").unwrap_or(said));
        read += length + 1;
    }
    unread.drain(..read);
    if unread.len() > most {
        unread.clear();
    }
}

/// A decimal number.
fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    // a sign is no digit
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all)?.parse().ok()
}
