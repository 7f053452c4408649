//! SIP (RFC 3261) and the sessions that its messages describe (SDP, RFC 8866): where the one who sends a message waits for media.

use std::net::IpAddr;

use super::{Word, number};
use crate::protocol::{Direction, Protocol};

/// Longest head of a message, and longest body.
const MESSAGE_MAX: usize = 16 << 10;
/// Ports that one side is believed to wait at, at once.
const PORTS_MAX: usize = 16;

/// What both sides have described last.
#[derive(Debug, Default)]
pub(super) struct Sip {
    /// By direction of who said it.
    media: [Vec<(IpAddr, u16)>; 2],
}

impl Sip {
    /// Reads messages. Each description renews the other side's too: a call may ring for longer than an announcement lives.
    pub fn read(&mut self, unread: &mut [Vec<u8>; 2], out: &mut Vec<Word>) {
        let mut heard = false;
        for direction in [Direction::ToServer, Direction::ToClient] {
            let unread = &mut unread[direction as usize];
            while let Some((body, length)) = message(unread) {
                if let Some(media) = body.map(|body| described(&unread[body])).filter(|media| !media.is_empty()) {
                    self.media[direction as usize] = media;
                    heard = true;
                }
                unread.drain(..length);
            }
            if unread.len() > 2 * MESSAGE_MAX {
                unread.clear();
            }
        }
        if !heard {
            return;
        }
        for direction in [Direction::ToServer, Direction::ToClient] {
            out.extend(self.media[direction as usize].iter().map(|(address, port)| Word {
                by: direction,
                address: Some(*address),
                port: Some(*port),
                udp: true,
                once: false,
                speaks: Some(Protocol::Rtp),
            }));
        }
    }
}

/// The first message: where its body lies, if it describes a session, and how long it is. `None`: it has not ended yet.
fn message(said: &[u8]) -> Option<(Option<std::ops::Range<usize>>, usize)> {
    // keep-alives between messages
    let start = said.iter().position(|byte| !matches!(byte, b'\r' | b'\n' | b' ' | 0))?;
    let head = said[start..].windows(4).take(MESSAGE_MAX).position(|bytes| bytes == b"\r\n\r\n")? + start;
    let body = head + 4;
    let (mut length, mut describes) = (0, false);
    for line in said[start..head].split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        // with their short forms (RFC 3261, 7.3.3)
        if name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l") {
            length = number(value).filter(|length| *length <= MESSAGE_MAX).unwrap_or(0);
        } else if name.eq_ignore_ascii_case(b"content-type") || name.eq_ignore_ascii_case(b"c") {
            let value = value.to_ascii_lowercase();
            describes = value.starts_with(b"application/sdp") || value.starts_with(b"multipart/");
        }
    }
    let end = body + length;
    (end <= said.len()).then_some((describes.then_some(body..end), end))
}

/// Where media over RTP and their reports (RTCP) are waited for.
fn described(body: &[u8]) -> Vec<(IpAddr, u16)> {
    let mut found: Vec<(IpAddr, u16)> = Vec::new();
    let mut session = None;
    // of the medium that is being described: its address, its ports, and that of its reports
    let mut medium: Option<(Option<IpAddr>, Vec<u16>, Option<u16>)> = None;
    let mut close = |medium: Option<(Option<IpAddr>, Vec<u16>, Option<u16>)>, session: Option<IpAddr>| {
        let Some((address, ports, reports)) = medium else { return };
        let Some(address) = address.or(session) else { return };
        for port in ports.into_iter().chain(reports) {
            if found.len() < PORTS_MAX && !found.contains(&(address, port)) {
                found.push((address, port));
            }
        }
    };
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if let Some(rest) = line.strip_prefix(b"m=") {
            close(medium.take(), session);
            medium = ports(rest).map(|ports| (None, ports, None));
        } else if let Some(rest) = line.strip_prefix(b"c=") {
            match &mut medium {
                Some((address, ..)) => *address = connection(rest),
                None => session = connection(rest),
            }
        } else if let Some(rest) = line.strip_prefix(b"a=rtcp:")
            && let Some((_, _, reports)) = &mut medium
        {
            *reports = rest.split(|byte| *byte == b' ').next().and_then(number);
        }
    }
    close(medium, session);
    found
}

/// `IN IP4 10.10.0.5`, perhaps with a time to live behind it.
fn connection(text: &[u8]) -> Option<IpAddr> {
    let address = text.strip_prefix(b"IN IP4 ").or_else(|| text.strip_prefix(b"IN IP6 "))?;
    let address = address.split(|byte| matches!(byte, b'/' | b' ')).next()?;
    std::str::from_utf8(address).ok()?.parse().ok()
}

/// The ports of `audio 49170/2 RTP/AVP 0`: pairs for media and reports. Port 0 is a medium that is refused.
fn ports(text: &[u8]) -> Option<Vec<u16>> {
    let mut words = text.split(|byte| *byte == b' ');
    let (kind, place, transport) = (words.next()?, words.next()?, words.next()?);
    if kind.is_empty() || ![&b"RTP/"[..], b"UDP/TLS/RTP/"].iter().any(|known| transport.starts_with(known)) {
        return None;
    }
    let mut place = place.split(|byte| *byte == b'/');
    let first: u16 = number(place.next()?).filter(|port| *port != 0)?;
    let pairs: u16 = place.next().map_or(Some(1), number).filter(|pairs| (1..=4).contains(pairs))?;
    Some((first..=first.checked_add(2 * pairs - 1)?).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str =
        "v=0\r\no=a 1 1 IN IP4 10.10.0.5\r\ns=-\r\nc=IN IP4 10.10.0.5\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\n";

    fn invite(body: &str) -> Vec<u8> {
        format!(
            "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP host\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn ports_of(body: &str) -> Vec<u16> {
        described(body.as_bytes()).iter().map(|(_, port)| *port).collect()
    }

    #[test]
    fn media_and_their_reports() {
        let address: IpAddr = "10.10.0.5".parse().unwrap();
        assert_eq!(described(BODY.as_bytes()), [(address, 49170), (address, 49171)]);
        assert_eq!(ports_of(&BODY.replace("49170", "49170/2")), [49170, 49171, 49172, 49173]);
        assert_eq!(ports_of(&format!("{BODY}a=rtcp:53020\r\n")), [49170, 49171, 53020]);
        assert_eq!(ports_of(&format!("{BODY}m=video 51372 RTP/SAVP 31\r\n")), [49170, 49171, 51372, 51373]);
        let own = described(format!("{BODY}c=IN IP6 fd10::5\r\n").as_bytes());
        assert_eq!(own[0].0, "fd10::5".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn what_describes_nothing() {
        for (from, to) in [
            ("49170", "0"),
            ("49170", "65535"),
            ("49170", "49170/9"),
            ("49170", "-1"),
            ("RTP/AVP", "udptl"),
            ("c=IN IP4 10.10.0.5", "c=IN IP4 host.example"),
            ("m=audio", "m="),
        ] {
            assert!(ports_of(&BODY.replace(from, to)).is_empty(), "{to}");
        }
        assert_eq!(
            ports_of(&(1..100).map(|at| BODY.replace("49170", &(2000 + 2 * at).to_string())).collect::<String>()).len(),
            PORTS_MAX
        );
    }

    #[test]
    fn split_and_joined() {
        let both = [b"\r\n\r\n".to_vec(), invite(BODY), invite(&BODY.replace("49170", "40000"))].concat();
        for size in [1, 7, both.len()] {
            let (mut sip, mut unread, mut words) = (Sip::default(), [Vec::new(), Vec::new()], Vec::new());
            for part in both.chunks(size) {
                unread[0].extend_from_slice(part);
                sip.read(&mut unread, &mut words);
            }
            let ports: std::collections::BTreeSet<Option<u16>> = words.iter().map(|word| word.port).collect();
            assert!(ports.contains(&Some(40000)) && ports.contains(&Some(40001)), "{size}: {ports:?}");
            assert!(unread[0].is_empty());
            assert!(words.iter().all(|word| word.by == Direction::ToServer && word.udp && !word.once));
        }
    }

    /// The answer renews what the call announced.
    #[test]
    fn an_answer_renews_the_call() {
        let (mut sip, mut unread, mut words) = (Sip::default(), [Vec::new(), Vec::new()], Vec::new());
        unread[0] = invite(BODY);
        sip.read(&mut unread, &mut words);
        words.clear();
        unread[1] = invite(&BODY.replace("10.10.0.5", "203.0.113.9"));
        sip.read(&mut unread, &mut words);
        assert_eq!(words.iter().filter(|word| word.by == Direction::ToServer).count(), 2);
        assert_eq!(words.iter().filter(|word| word.by == Direction::ToClient).count(), 2);
    }

    #[test]
    fn endless_messages_take_no_memory() {
        let (mut sip, mut unread, mut words) = (Sip::default(), [Vec::new(), Vec::new()], Vec::new());
        for _ in 0..200 {
            unread[1].extend_from_slice(&[b'A'; 1400]);
            sip.read(&mut unread, &mut words);
            assert!(unread[1].len() <= 2 * MESSAGE_MAX + 1400);
        }
    }
}
