//! SOCKS 4, 4a and 5 (RFC 1928, RFC 1929): the request, and the answer that turns the connection into a tunnel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    super::follow::{Change, Step},
    Asked, Host, Request, Target,
};

const CONNECT: u8 = 1;
const BIND: u8 = 2;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
/// Longest text of SOCKS 4, and of a name or a login of SOCKS 5.
const TEXT_MAX: usize = 255;

/// A conversation with a proxy. A client may say all it has to say at once, so that each side is read for itself.
#[derive(Debug, Default)]
pub struct Socks {
    client: Client,
    server: Server,
    /// The login that the server chose.
    method: Option<u8>,
    /// The client sent its name and password.
    login: bool,
    /// Answers until the tunnel begins: two for BIND.
    answers: u8,
}

/// What the client says next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Client {
    #[default]
    Greeting,
    /// Its login, or its request.
    Request,
    /// What is for the target.
    Data,
}

/// What the server says next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Server {
    /// Its choice of a login.
    #[default]
    Method,
    /// What it says of the client's name and password.
    Login,
    Answer4,
    Answer5,
    /// It has refused: nothing more is to come.
    Refused,
}

/// What part of a message is there.
enum Lack {
    More,
    /// It is none, or not to be read.
    No,
}

type Read<T> = Result<(T, usize), Lack>;

impl Socks {
    /// Whether the client is to be heard before more can be judged.
    pub fn is_midway(&self, [to_server, _]: &[Vec<u8>; 2]) -> bool {
        !to_server.is_empty()
    }

    /// Whether the client has asked, and what it says then is for the target.
    pub fn has_asked(&self) -> bool {
        self.client == Client::Data
    }

    pub fn step(&mut self, [to_server, to_client]: &mut [Vec<u8>; 2]) -> Step {
        match self.client(to_server) {
            Ok(None) | Err(Lack::More) => self.server(to_server, to_client),
            Ok(Some(asked)) => Step::Asked(asked),
            Err(Lack::No) => Step::Unreadable,
        }
    }

    /// Reads the client up to its request.
    fn client(&mut self, said: &mut Vec<u8>) -> Result<Option<Asked>, Lack> {
        loop {
            match (self.client, said.first(), self.method) {
                (Client::Data, ..) | (_, None, _) => return Ok(None),
                (Client::Greeting, Some(4), _) => {
                    let (request, read) = request4(said)?;
                    said.drain(..read);
                    self.server = Server::Answer4;
                    return Ok(Some(self.asked(request)));
                }
                (Client::Greeting, Some(5), _) => {
                    let ((), read) = greeting5(said)?;
                    said.drain(..read);
                    self.client = Client::Request;
                }
                (Client::Request, Some(1), None | Some(PASSWORD)) if !self.login => {
                    let ((), read) = login(said)?;
                    said.drain(..read);
                    self.login = true;
                }
                (Client::Request, Some(5), method)
                    if method.is_none_or(|method| self.login == (method == PASSWORD))
                        && self.server != Server::Refused =>
                {
                    let (request, read) = request5(said)?;
                    said.drain(..read);
                    return Ok(Some(self.asked(request)));
                }
                _ => return Err(Lack::No),
            }
        }
    }

    fn asked(&mut self, (asked, command): (Asked, u8)) -> Asked {
        self.client = Client::Data;
        self.answers = if command == BIND { 2 } else { 1 };
        asked
    }

    /// Reads the server up to its last answer.
    fn server(&mut self, to_server: &[u8], said: &mut Vec<u8>) -> Step {
        loop {
            let (next, read) = match (self.server, said.as_slice()) {
                // what a client says nevertheless is nothing that can be read
                (Server::Refused, _) => return if to_server.is_empty() { Step::More } else { Step::Unreadable },
                (_, []) => return Step::More,
                (Server::Method, [5, NO_LOGIN, ..]) if !self.login => (Server::Answer5, 2),
                (Server::Method, [5, PASSWORD, ..]) if self.login || self.client != Client::Data => (Server::Login, 2),
                (Server::Method, [5, 0xff, ..]) => (Server::Refused, 2),
                (Server::Method, [5]) => return Step::More,
                // what comes then may be wrapped
                (Server::Method, _) => return Step::Unreadable,
                (Server::Login, [_, 0, ..]) => (Server::Answer5, 2),
                (Server::Login, [_, _, ..]) => (Server::Refused, 2),
                (Server::Login, _) => return Step::More,
                (Server::Answer4 | Server::Answer5, _) if self.client != Client::Data => return Step::Unreadable,
                (Server::Answer4 | Server::Answer5, said) => {
                    match if self.server == Server::Answer4 { answer4(said) } else { answer5(said) } {
                        Ok((false, read)) => (Server::Refused, read),
                        Ok((true, read)) => {
                            self.answers = self.answers.saturating_sub(1);
                            (self.server, read)
                        }
                        Err(Lack::More) => return Step::More,
                        Err(Lack::No) => return Step::Unreadable,
                    }
                }
            };
            if self.server == Server::Method {
                self.method = said.get(1).copied();
            }
            let answered = matches!(self.server, Server::Answer4 | Server::Answer5) && next != Server::Refused;
            said.drain(..read);
            self.server = next;
            if answered && self.answers == 0 {
                return Step::Changed(Change::Tunnel);
            }
        }
    }
}

/// Reads on in what was said.
struct Reader<'a> {
    said: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Lack> {
        let taken = self.said.get(self.at..self.at + count).ok_or(Lack::More)?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Lack> {
        self.take(N)?.try_into().map_err(|_| Lack::No)
    }

    /// Text up to a zero, which is read too.
    fn text(&mut self) -> Result<&'a [u8], Lack> {
        let rest = self.said.get(self.at..).unwrap_or_default();
        match rest.iter().take(TEXT_MAX + 1).position(|byte| *byte == 0) {
            Some(end) => {
                self.at += end + 1;
                Ok(&rest[..end])
            }
            None if rest.len() > TEXT_MAX => Err(Lack::No),
            None => Err(Lack::More),
        }
    }

    /// Text with its length before it.
    fn counted(&mut self) -> Result<&'a [u8], Lack> {
        let [length] = self.array()?;
        self.take(length.into())
    }
}

/// ```text
///     4 | command | port (2) | address (4) | user, 0 | name, 0 (4a: the address is 0.0.0.x)
/// ```
fn request4(said: &[u8]) -> Read<(Asked, u8)> {
    let mut reader = Reader { said, at: 0 };
    let [_, command, high, low] = reader.array()?;
    let address: [u8; 4] = reader.array()?;
    reader.text()?;
    let host = match address {
        [0, 0, 0, last] if last != 0 => Host::named(reader.text()?).ok_or(Lack::No)?,
        address => Host::address(IpAddr::V4(Ipv4Addr::from(address))),
    };
    let port = u16::from_be_bytes([high, low]);
    if !matches!(command, CONNECT | BIND) {
        return Err(Lack::No);
    }
    Ok(((Asked { request: Request::Socks4, target: Target { host, port } }, command), reader.at))
}

fn greeting5(said: &[u8]) -> Read<()> {
    let mut reader = Reader { said, at: 1 };
    reader.counted()?;
    Ok(((), reader.at))
}

/// RFC 1929: version 1, a name and a password.
fn login(said: &[u8]) -> Read<()> {
    let mut reader = Reader { said, at: 0 };
    let [version] = reader.array()?;
    if version != 1 {
        return Err(Lack::No);
    }
    reader.counted()?;
    reader.counted()?;
    Ok(((), reader.at))
}

/// ```text
///     5 | command | 0 | kind | address, or length and name | port (2)
/// ```
/// UDP ASSOCIATE is not read: the datagrams would have targets of their own.
fn request5(said: &[u8]) -> Read<(Asked, u8)> {
    let mut reader = Reader { said, at: 0 };
    let [version, command] = reader.array()?;
    if version != 5 || !matches!(command, CONNECT | BIND) {
        return Err(Lack::No);
    }
    let host = address5(&mut reader)?.ok_or(Lack::No)?;
    let port = u16::from_be_bytes(reader.array()?);
    Ok(((Asked { request: Request::Socks5, target: Target { host, port } }, command), reader.at))
}

/// From the reserved byte to the end of the address; `None`: a name that cannot be one.
fn address5(reader: &mut Reader<'_>) -> Result<Option<Host>, Lack> {
    let [_, kind] = reader.array()?;
    Ok(match kind {
        1 => Some(Host::address(IpAddr::V4(Ipv4Addr::from(reader.array::<4>()?)))),
        3 => {
            let name = reader.counted()?;
            // some clients send an address as if it were a name
            let address = std::str::from_utf8(name).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
            address.map(|address| Host::address(IpAddr::V6(address))).or_else(|| Host::named(name))
        }
        4 => Some(Host::address(IpAddr::V6(Ipv6Addr::from(reader.array::<16>()?)))),
        _ => return Err(Lack::No),
    })
}

/// Whether it was granted.
fn answer4(said: &[u8]) -> Read<bool> {
    let mut reader = Reader { said, at: 0 };
    let [_, code] = reader.array()?;
    reader.take(6)?;
    Ok((code == 0x5a, reader.at))
}

fn answer5(said: &[u8]) -> Read<bool> {
    let mut reader = Reader { said, at: 0 };
    let [version, code] = reader.array()?;
    if version != 5 {
        return Err(Lack::No);
    }
    address5(&mut reader)?;
    reader.take(2)?;
    Ok((code == 0, reader.at))
}
