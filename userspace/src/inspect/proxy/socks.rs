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

/// A conversation with a proxy.
#[derive(Debug, Default)]
pub struct Socks {
    state: State,
    /// Answers until the tunnel begins: two for BIND.
    answers: u8,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Greeting,
    /// The server's choice of a login.
    Method,
    /// The client's name and password, and what is said of them.
    Login,
    LoginAnswer,
    Request5,
    /// It was judged, and is the server's turn.
    Answer4,
    Answer5,
    /// The proxy has refused: nothing more is to come.
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

    pub fn step(&mut self, [to_server, to_client]: &mut [Vec<u8>; 2]) -> Step {
        loop {
            let (next, read, from_client) = match self.state {
                State::Greeting => match to_server.first() {
                    None => return Step::More,
                    Some(4) => match request4(to_server) {
                        Ok(((asked, command), read)) => {
                            to_server.drain(..read);
                            return self.asked(asked, command, State::Answer4);
                        }
                        Err(lack) => return lack.into(),
                    },
                    Some(5) => match greeting5(to_server) {
                        Ok(((), read)) => (State::Method, read, true),
                        Err(lack) => return lack.into(),
                    },
                    Some(_) => return Step::Unreadable,
                },
                State::Method => match to_client.as_slice() {
                    [5, NO_LOGIN, ..] => (State::Request5, 2, false),
                    [5, PASSWORD, ..] => (State::Login, 2, false),
                    [5, 0xff, ..] => (State::Refused, 2, false),
                    [] | [5] => return Step::More,
                    // what comes then may be wrapped
                    _ => return Step::Unreadable,
                },
                State::Login => match login(to_server) {
                    Ok(((), read)) => (State::LoginAnswer, read, true),
                    Err(lack) => return lack.into(),
                },
                State::LoginAnswer => match to_client.as_slice() {
                    [_, 0, ..] => (State::Request5, 2, false),
                    [_, _, ..] => (State::Refused, 2, false),
                    _ => return Step::More,
                },
                State::Request5 => match request5(to_server) {
                    Ok(((asked, command), read)) => {
                        to_server.drain(..read);
                        return self.asked(asked, command, State::Answer5);
                    }
                    Err(lack) => return lack.into(),
                },
                State::Answer4 | State::Answer5 => {
                    let answer = if self.state == State::Answer4 { answer4(to_client) } else { answer5(to_client) };
                    match answer {
                        Ok((true, read)) => {
                            to_client.drain(..read);
                            self.answers -= 1;
                            if self.answers == 0 {
                                return Step::Changed(Change::Tunnel);
                            }
                            continue;
                        }
                        Ok((false, read)) => (State::Refused, read, false),
                        Err(lack) => return lack.into(),
                    }
                }
                State::Refused => return if to_server.is_empty() { Step::More } else { Step::Unreadable },
            };
            self.state = next;
            let said = if from_client { &mut *to_server } else { &mut *to_client };
            said.drain(..read);
        }
    }

    fn asked(&mut self, asked: Asked, command: u8, next: State) -> Step {
        self.state = next;
        self.answers = if command == BIND { 2 } else { 1 };
        Step::Asked(asked)
    }
}

impl From<Lack> for Step {
    fn from(lack: Lack) -> Self {
        match lack {
            Lack::More => Self::More,
            Lack::No => Self::Unreadable,
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
