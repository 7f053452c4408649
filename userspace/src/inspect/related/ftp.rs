//! FTP (RFC 959, RFC 2428): `PORT` and `EPRT` name where the client waits, the answers to `PASV` and `EPSV` where the server does.

use std::net::{IpAddr, Ipv4Addr};

use super::{Word, lines, number};
use crate::protocol::Direction;

/// Longest line that is read.
const LINE_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Ftp {
    /// Answers to `PASV` and `EPSV` that are still to come.
    asked: u8,
}

impl Ftp {
    pub fn read(&mut self, [to_server, to_client]: &mut [Vec<u8>; 2], out: &mut Vec<Word>) {
        lines(to_server, LINE_MAX, |line| match command(line) {
            Some(Command::Passive) => self.asked = self.asked.saturating_add(1),
            Some(Command::Active(address, port)) => out.push(word(Direction::ToServer, Some(address), port)),
            None => {}
        });
        lines(to_client, LINE_MAX, |line| {
            let Some(port) = reply(line).filter(|_| self.asked > 0) else { return };
            self.asked -= 1;
            // clients go to the server they know, whatever address it thinks it has
            out.push(word(Direction::ToClient, None, port));
        });
    }
}

fn word(by: Direction, address: Option<IpAddr>, port: u16) -> Word {
    Word { by, address, port: Some(port), udp: false, once: true, speaks: None }
}

enum Command {
    Passive,
    Active(IpAddr, u16),
}

fn command(line: &[u8]) -> Option<Command> {
    let line = line.trim_ascii();
    let (verb, rest) = line.split_at_checked(4)?;
    let rest = rest.trim_ascii();
    if verb.eq_ignore_ascii_case(b"PASV") || verb.eq_ignore_ascii_case(b"EPSV") {
        return Some(Command::Passive);
    }
    let (address, port) = if verb.eq_ignore_ascii_case(b"PORT") {
        host_port(rest)?
    } else if verb.eq_ignore_ascii_case(b"EPRT") {
        extended(rest)?
    } else {
        return None;
    };
    Some(Command::Active(address, port))
}

/// The port in `227 Entering Passive Mode (h1,h2,h3,h4,p1,p2)` or `229 Entering Extended Passive Mode (|||port|)`.
fn reply(line: &[u8]) -> Option<u16> {
    let (code, text) = line.split_at_checked(4)?;
    match code {
        b"227 " => {
            // not every server has the brackets (RFC 1123, 4.1.2.6)
            let start = text.iter().position(u8::is_ascii_digit)?;
            let end = text[start..].iter().position(|byte| !byte.is_ascii_digit() && *byte != b',');
            host_port(&text[start..end.map_or(text.len(), |length| start + length)]).map(|(_, port)| port)
        }
        b"229 " => {
            let start = text.iter().position(|byte| *byte == b'(')? + 1;
            let end = start + text[start..].iter().position(|byte| *byte == b')')?;
            let (bar, rest) = text[start..end].split_first()?;
            let mut parts = rest.split(|byte| byte == bar);
            (parts.next()?.is_empty() && parts.next()?.is_empty()).then_some(())?;
            number(parts.next()?)
        }
        _ => None,
    }
}

/// `h1,h2,h3,h4,p1,p2`.
fn host_port(text: &[u8]) -> Option<(IpAddr, u16)> {
    let mut numbers = text.split(|byte| *byte == b',').map(number::<u8>);
    let mut next = || numbers.next().flatten();
    let address = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    let port = u16::from_be_bytes([next()?, next()?]);
    numbers.next().is_none().then_some((address.into(), port))
}

/// `|1|10.0.0.1|6275|`, with any character for the bar.
fn extended(text: &[u8]) -> Option<(IpAddr, u16)> {
    let (bar, rest) = text.split_first()?;
    let mut parts = rest.split(|byte| byte == bar);
    let family: u8 = number(parts.next()?)?;
    let address: IpAddr = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let port = number(parts.next()?)?;
    ((family == 1) == address.is_ipv4() && family <= 2).then_some((address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(turns: &[(Direction, &[u8])]) -> Vec<Word> {
        let (mut ftp, mut unread, mut words) = (Ftp::default(), [Vec::new(), Vec::new()], Vec::new());
        for (direction, said) in turns {
            unread[*direction as usize].extend_from_slice(said);
            ftp.read(&mut unread, &mut words);
        }
        words
    }

    fn ports(turns: &[(Direction, &[u8])]) -> Vec<(Direction, Option<u16>)> {
        hear(turns).iter().map(|word| (word.by, word.port)).collect()
    }

    use Direction::{ToClient as S, ToServer as C};

    #[test]
    fn passive() {
        let answers: [(&[u8], &[u8], u16); 4] = [
            (b"PASV\r\n", b"227 Entering Passive Mode (203,0,113,9,195,80).\r\n", 50_000),
            (b"pasv\n", b"227 =10,0,0,1,4,1\n", 1025),
            (b"EPSV\r\n", b"229 Entering Extended Passive Mode (|||50000|)\r\n", 50_000),
            (b"EPSV 2\r\n", b"229 ok (!!!1024!)\r\n", 1024),
        ];
        for (asked, answered, port) in answers {
            assert_eq!(ports(&[(C, asked), (S, answered)]), [(S, Some(port))], "{}", answered.escape_ascii());
            // byte by byte
            let split: Vec<(Direction, &[u8])> =
                asked.chunks(1).map(|byte| (C, byte)).chain(answered.chunks(1).map(|byte| (S, byte))).collect();
            assert_eq!(ports(&split), [(S, Some(port))]);
        }
    }

    #[test]
    fn active() {
        let v4 = hear(&[(C, b"PORT 10,10,0,5,195,80\r\n")]);
        assert_eq!((v4[0].by, v4[0].port, v4[0].address), (C, Some(50_000), Some("10.10.0.5".parse().unwrap())));
        let v6 = hear(&[(C, b"eprt |2|fd10::5|50001|\r\n")]);
        assert_eq!((v6[0].by, v6[0].port, v6[0].address), (C, Some(50_001), Some("fd10::5".parse().unwrap())));
    }

    #[test]
    fn what_announces_nothing() {
        for turns in [
            // nobody asked
            &[(S, b"227 Entering Passive Mode (203,0,113,9,195,80).\r\n".as_slice())][..],
            &[(C, b"PASV\r\n"), (S, b"500 no\r\n"), (S, b"227 Entering (203,0,113,9,195)\r\n")],
            &[(C, b"PASV\r\n"), (S, b"227 (1,2,3,4,5,256)\r\n"), (S, b"227 (1,2,3,4,5,6,7)\r\n"), (S, b"227 none\r\n")],
            &[
                (C, b"EPSV\r\n"),
                (S, b"229 (|1||50000|)\r\n"),
                (S, b"229 (|||70000|)\r\n"),
                (S, b"229 (|||\r\n"),
                (S, b"229 ()\r\n"),
            ],
            &[
                (C, b"PORT 1,2,3,4,5\r\n"),
                (C, b"PORT +1,2,3,4,5,6\r\n"),
                (C, b"EPRT |1|fd10::5|5000|\r\n"),
                (C, b"EPRT\r\n"),
            ],
            &[(C, b"EPRT |3|10.0.0.1|5000|\r\n"), (C, b"EPRT |1|10.0.0.1\r\n"), (C, b"PORT\r\n"), (C, b"\r\n\n\n")],
        ] {
            assert_eq!(hear(turns), [], "{turns:?}");
        }
    }

    #[test]
    fn one_answer_a_question() {
        let answer = b"227 (203,0,113,9,195,80)\r\n".as_slice();
        assert_eq!(hear(&[(C, b"PASV\r\n"), (S, answer), (S, answer)]).len(), 1);
    }

    #[test]
    fn endless_lines_take_no_memory() {
        let (mut ftp, mut unread, mut words) = (Ftp::default(), [Vec::new(), Vec::new()], Vec::new());
        for _ in 0..1000 {
            unread[0].extend_from_slice(&[b'A'; 1000]);
            ftp.read(&mut unread, &mut words);
            assert!(unread[0].len() <= LINE_MAX + 1000);
        }
        assert!(words.is_empty());
    }
}
