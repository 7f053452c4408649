//! POP3 (RFC 1939 section 4): the greeting, or a greeting that says nothing and a client's first command.

use super::reader::{Lack, Read, Reader, one_of, read, require};
use crate::protocol::{Answer, Direction, Stream};

pub fn detect(said: Stream<'_>) -> Answer {
    let client = read(said.to_server, command);
    // the server speaks first
    if client == Err(Lack::No) || said.to_client.is_empty() && !said.to_server.is_empty() {
        return Answer::No;
    }
    match (client, read(said.to_client, greeting)) {
        (_, Err(Lack::No)) => Answer::No,
        (_, Ok(bytes)) => Answer::Yes(Direction::ToClient, bytes),
        // a greeting without text is what Redis answers with too
        (Ok(bytes), Err(Lack::More)) if said.to_client.get(3).is_some() => Answer::Yes(Direction::ToServer, bytes),
        _ => Answer::More,
    }
}

fn greeting(said: &mut Reader<'_>) -> Read<()> {
    match said.peek()? {
        b'+' => {
            said.literal(b"+OK")?;
            match said.peek()? {
                b' ' => {
                    said.byte()?;
                    // text in whatever character set
                    said.byte_that(|byte| byte >= b' ' && byte != 0x7f).map(|_| ())
                }
                _ => said.line_end().and(Err(Lack::More)),
            }
        }
        _ => said.literal(b"-ERR").and(Err(Lack::More)),
    }
}

/// A command of the authorization state.
fn command(said: &mut Reader<'_>) -> Read<()> {
    let word = said.run(4, |byte| byte.is_ascii_alphabetic())?;
    require(one_of(word, &["CAPA", "USER", "APOP", "STLS", "AUTH", "QUIT"]))?;
    if one_of(word, &["QUIT", "AUTH"]) {
        // others have these
        return Err(Lack::More);
    }
    said.byte_that(|byte| byte == b' ' || byte == b'\r').map(|_| ())
}
