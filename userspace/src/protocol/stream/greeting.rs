//! SMTP (RFC 5321) and FTP (RFC 959): both servers greet with 220 and a line of text. Which of them it is, a word in the
//! greeting tells, or else the client's first command.

use super::reader::{Lack, Read, Reader, one_of, require};
use crate::protocol::{Answer, Direction, Protocol, Stream};

/// Longest line (RFC 5321 section 4.5.3.1.5), with room for what servers do.
const LINE_MAX: usize = 1024;
/// Lines of a greeting that are looked at.
const LINES: usize = 32;
/// Ready; ready in a while; and three ways to be not ready.
const CODES: [&[u8]; 5] = [b"220", b"120", b"421", b"530", b"554"];
/// Client commands that are looked at when the first ones belong to both.
const COMMANDS: usize = 4;

/// SMTP, and LMTP (RFC 2033), which differs from it in one command.
pub fn smtp(said: Stream<'_>) -> Answer {
    detect(said, Protocol::Smtp)
}

pub fn ftp(said: Stream<'_>) -> Answer {
    detect(said, Protocol::Ftp)
}

/// What something in the conversation speaks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// For either, and nothing more will come of it.
    Both,
    Only(Protocol),
}

fn detect(said: Stream<'_>, protocol: Protocol) -> Answer {
    let mut greeted = false;
    if !said.to_client.is_empty() {
        let mut reader = Reader::new(said.to_client);
        match greeting(&mut reader) {
            Ok(Evidence::Only(found)) if found == protocol => return Answer::Yes(Direction::ToClient, reader.at()),
            Ok(Evidence::Only(_)) | Err(Lack::No) => return Answer::No,
            // a greeting that goes on may still tell; the client is not asked before its end
            Err(Lack::More) if said.to_server.is_empty() => return Answer::More,
            Ok(Evidence::Both) | Err(Lack::More) => greeted = true,
        }
    }
    let mut reader = Reader::new(said.to_server);
    match commands(&mut reader, greeted) {
        Ok(found) if found == protocol => Answer::Yes(Direction::ToServer, reader.at()),
        Ok(_) | Err(Lack::No) => Answer::No,
        Err(Lack::More) => Answer::More,
    }
}

/// `220 text`, or lines of `220-text` up to one.
fn greeting(said: &mut Reader<'_>) -> Read<Evidence> {
    let start = said.rest();
    for at in 1..=3 {
        let so_far = start.get(..at).ok_or(Lack::More)?;
        require(CODES.iter().any(|code| code.starts_with(so_far)))?;
    }
    let code = said.array::<3>()?;
    for _ in 0..LINES {
        let more = said.byte_that(|byte| byte == b' ' || byte == b'-' || byte == b'\r')?;
        if more == b'\r' {
            said.literal(b"\n")?;
            break;
        }
        let line = text(said)?;
        if let Some(found) = spoken_for(line) {
            return Ok(found);
        }
        if more == b' ' {
            break;
        }
        // RFC 959 lets the lines between start with anything
        while said.rest().get(..3).is_some_and(|start| start != code) {
            let line = text(said)?;
            if let Some(found) = spoken_for(line) {
                return Ok(found);
            }
        }
        said.literal(&code)?;
    }
    Ok(match code[0] {
        b'1' => Evidence::Only(Protocol::Ftp),
        _ => Evidence::Both,
    })
}

/// A line of text in whatever character set.
fn text<'a>(said: &mut Reader<'a>) -> Read<&'a [u8]> {
    let line = said.run(LINE_MAX, |byte| byte >= b' ' && byte != 0x7f || byte == b'\t' || byte == 0x1b)?;
    said.line_end()?;
    Ok(line)
}

/// Words that servers put into their greeting: the protocol's name, or that of the program.
fn spoken_for(line: &[u8]) -> Option<Evidence> {
    const SMTP: &[&str] = &["smtp", "lmtp", "postfix", "sendmail", "exim", "mail service", "mailserver"];
    const FTP: &[&str] = &["ftp", "filezilla", "microsoft ftp"];
    let has = |words: &[&str]| {
        words.iter().any(|word| line.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes())))
    };
    if has(SMTP) {
        Some(Evidence::Only(Protocol::Smtp))
    } else if has(FTP) {
        Some(Evidence::Only(Protocol::Ftp))
    } else {
        None
    }
}

/// The client's commands up to one that only one of the two has.
fn commands(said: &mut Reader<'_>, greeted: bool) -> Read<Protocol> {
    for _ in 0..COMMANDS {
        let verb = said.run(8, |byte| byte.is_ascii_alphabetic())?;
        require(verb.len() >= 3)?;
        let mut behind = *said;
        let end = behind.byte_that(|byte| byte == b' ' || byte == b'\r' || byte == b'\n')?;
        // the name of the client, or of the sender
        if one_of(verb, &["EHLO", "HELO", "LHLO"]) && (end == b' ' || greeted) {
            *said = behind;
            return Ok(Protocol::Smtp);
        }
        if one_of(verb, &["MAIL"]) && end == b' ' {
            *said = behind;
            literal_in_any_case(said, b"FROM:")?;
            return Ok(Protocol::Smtp);
        }
        if one_of(verb, &["AUTH"]) && end == b' ' {
            // RFC 4217 and RFC 2228, before RFC 4954, which needs a greeting first
            require(greeted)?;
            *said = behind;
            let mechanism = said.run(16, |byte| byte.is_ascii_graphic())?;
            return if one_of(mechanism, &["TLS", "SSL", "TLS-C", "TLS-P", "GSSAPI"]) {
                Ok(Protocol::Ftp)
            } else {
                Err(Lack::No)
            };
        }
        // IRC and POP3 have them too
        if one_of(verb, &["USER", "PASS", "ACCT"]) && greeted {
            *said = behind;
            return Ok(Protocol::Ftp);
        }
        if one_of(
            verb,
            &[
                "FEAT", "SYST", "PASV", "EPSV", "CLNT", "OPTS", "HOST", "ADAT", "PBSZ", "CWD", "LIST", "PORT", "EPRT",
                "TYPE", "RETR", "STOR", "PWD", "SIZE", "MODE", "STRU",
            ],
        ) && greeted
        {
            *said = behind;
            return Ok(Protocol::Ftp);
        }
        require(greeted && one_of(verb, &["NOOP", "HELP", "QUIT", "RSET", "STARTTLS"]))?;
        said.line(LINE_MAX)?;
    }
    Err(Lack::No)
}

fn literal_in_any_case(said: &mut Reader<'_>, expected: &[u8]) -> Read<()> {
    for byte in expected {
        said.byte_that(|found| found.eq_ignore_ascii_case(byte))?;
    }
    Ok(())
}
