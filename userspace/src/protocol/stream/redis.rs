//! Redis: commands as arrays of bulk strings (RESP), and inline commands.

use super::reader::{Lack, Read, Reader, one_of, read, require};
use crate::protocol::{Answer, Direction, Stream};

/// Longest command name; and what an array of arguments is believed to have.
const COMMAND_MAX: usize = 32;
const ARGUMENTS_MAX: u32 = 1 << 20;
const LINE_MAX: usize = 1024;

/// Inline commands that no other text protocol has in this form.
const OWN: &[&str] = &["PING", "INFO", "CONFIG", "SLAVEOF", "REPLICAOF", "FLUSHALL", "FLUSHDB", "DBSIZE"];
/// Inline commands that say something only with the server's answer.
const SHARED: &[&str] = &[
    "AUTH",
    "GET",
    "SET",
    "SELECT",
    "KEYS",
    "EVAL",
    "SAVE",
    "BGSAVE",
    "MODULE",
    "CLIENT",
    "SCAN",
    "DEL",
    "EXISTS",
    "TYPE",
    "COMMAND",
    "HELLO",
    "PUBLISH",
    "SUBSCRIBE",
    "INCR",
    "EXPIRE",
    "TTL",
    "LPUSH",
    "RPUSH",
    "HSET",
    "HGET",
    "HGETALL",
    "MULTI",
    "MONITOR",
    "ECHO",
    "MSET",
    "MGET",
    "SYNC",
    "PSYNC",
    "EVALSHA",
    "SCRIPT",
    "ACL",
    "DEBUG",
    "TIME",
    "ROLE",
];

pub fn detect(said: Stream<'_>) -> Answer {
    if said.to_server.is_empty() {
        return match read(said.to_client, refusal) {
            Ok(bytes) => Answer::Yes(Direction::ToClient, bytes),
            Err(Lack::No) => Answer::No,
            Err(Lack::More) => Answer::More,
        };
    }
    let answered = read(said.to_client, reply);
    let mut reader = Reader::new(said.to_server);
    match command(&mut reader) {
        Err(Lack::No) => Answer::No,
        _ if answered == Err(Lack::No) => Answer::No,
        Ok(true) => Answer::Yes(Direction::ToServer, reader.at()),
        Ok(false) if !said.to_client.is_empty() => Answer::Yes(Direction::ToServer, reader.at()),
        Ok(false) | Err(Lack::More) => Answer::More,
    }
}

/// Whether the command says it all.
fn command(said: &mut Reader<'_>) -> Read<bool> {
    if said.peek()? == b'*' {
        array(said)?;
        return Ok(true);
    }
    let word = said.run(COMMAND_MAX, |byte| byte.is_ascii_alphabetic())?;
    let own = one_of(word, OWN);
    require(own || one_of(word, SHARED))?;
    if one_of(word, &["CONFIG"]) {
        said.literal(b" ")?;
        let word = said.run(COMMAND_MAX, |byte| byte.is_ascii_alphabetic())?;
        require(one_of(word, &["GET", "SET", "REWRITE", "RESETSTAT"]))?;
    }
    let mut arguments = 0;
    loop {
        match said.byte_that(|byte| byte == b' ' || byte == b'\r' || byte == b'\n')? {
            b' ' => {}
            b'\r' => {
                said.literal(b"\n")?;
                break;
            }
            _ => break,
        }
        require(said.at() <= LINE_MAX)?;
        // IRC's last parameter, and HTTP's versions, are no arguments of Redis
        require(said.peek()? != b':')?;
        // a word or two, not a sentence
        require(!one_of(word, &["INFO", "PING"]) || arguments == 0)?;
        let argument = said.run(LINE_MAX, |byte| byte > b' ' && byte != 0x7f)?;
        require(!argument.starts_with(b"HTTP/") && !argument.starts_with(b"{"))?;
        require(!one_of(word, &["HELLO"]) || argument.first().is_some_and(u8::is_ascii_digit) || arguments > 0)?;
        arguments += 1;
    }
    // memcached's `set` has four numbers
    if one_of(word, &["SET"]) {
        require(arguments >= 2 && arguments != 4)?;
    }
    if one_of(word, &["GET"]) {
        require(arguments == 1)?;
    }
    Ok(own)
}

/// `*2\r\n$3\r\nGET\r\n`: the number of arguments, the length of the command, the command.
fn array(said: &mut Reader<'_>) -> Read<()> {
    said.literal(b"*")?;
    let arguments = said.number()?;
    require((1..=ARGUMENTS_MAX).contains(&arguments))?;
    said.literal(b"\r\n$")?;
    let length = said.number()? as usize;
    require((1..=COMMAND_MAX).contains(&length))?;
    said.literal(b"\r\n")?;
    for _ in 0..length {
        said.byte_that(|byte| byte.is_ascii_alphanumeric() || b"._-|".contains(&byte))?;
    }
    said.literal(b"\r\n")
}

/// With which a server in protected mode greets.
fn refusal(said: &mut Reader<'_>) -> Read<()> {
    said.literal(b"-DENIED Redis")
}

/// Any reply goes with a command, and none says enough without one.
fn reply(said: &mut Reader<'_>) -> Read<()> {
    match said.byte_that(|kind| b"+-:$*%~_#,(!=>|".contains(&kind))? {
        b'-' => said.byte_that(|byte| byte.is_ascii_uppercase()).and(Err(Lack::More)),
        b'+' => said.byte_that(|byte| byte.is_ascii_graphic()).and(Err(Lack::More)),
        b':' | b'$' | b'*' => said.byte_that(|byte| byte.is_ascii_digit() || byte == b'-').and(Err(Lack::More)),
        _ => Err(Lack::More),
    }
}
