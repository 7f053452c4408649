//! For tests of parsers: what they make of what was said, however it was cut.

use dropgate_signatures::{
    buffer::Buffer,
    subject::{Direction, Field},
};

use super::{Exchange, Parser};

pub type Turn<'a> = (Direction, &'a [u8]);

/// All that can be asked of a transaction.
fn all(exchange: &dyn Exchange) -> String {
    let mut text = format!("{} {:?} {:?}\n", exchange.id(), exchange.app(), exchange.events());
    for direction in [Direction::ToServer, Direction::ToClient] {
        text += &format!("{direction:?} complete: {}\n", exchange.is_complete(direction));
        for &buffer in Buffer::ALL {
            for instance in 0..8 {
                let field = exchange.buffer(buffer, direction, instance);
                if field != Field::Absent {
                    text += &format!("{} {instance}: {field:?}\n", buffer.name());
                }
            }
        }
    }
    text + &format!("{:?}\n{:?}\n", exchange.records(), exchange.context())
}

/// What a parser knows.
pub fn known(parser: &dyn Parser) -> Vec<String> {
    parser.transactions().into_iter().map(all).collect()
}

/// Says it all.
pub fn say<P: Parser>(mut parser: P, turns: &[Turn<'_>]) -> P {
    for (direction, said) in turns {
        parser.hear(*direction, said);
    }
    parser
}

/// What is known does not depend on where a stream is cut; what is cut off is read as far as it goes.
pub fn cut_anywhere<P: Parser>(make: impl Fn() -> P, turns: &[Turn<'_>]) {
    let whole = known(&say(make(), turns));
    let bytes: Vec<Turn<'_>> = turns.iter().flat_map(|(way, said)| said.chunks(1).map(|byte| (*way, byte))).collect();
    assert_eq!(known(&say(make(), &bytes)), whole, "byte by byte");
    for (at, (way, said)) in turns.iter().enumerate() {
        for cut in 0..said.len() {
            let mut parser = say(make(), &turns[..at]);
            parser.hear(*way, &said[..cut]);
            let mut ended = say(make(), &turns[..at]);
            ended.hear(*way, &said[..cut]);
            ended.end(Direction::ToServer);
            ended.end(Direction::ToClient);
            known(&ended);
            parser.hear(*way, &said[cut..]);
            let parser = say(parser, &turns[at + 1..]);
            assert_eq!(known(&parser), whole, "turn {at} cut at {cut}");
        }
    }
}

/// The only one of a buffer's instances, or none.
pub fn text(exchange: &dyn Exchange, buffer: Buffer, direction: Direction, instance: usize) -> Option<String> {
    match exchange.buffer(buffer, direction, instance) {
        Field::Whole(data) | Field::Part(data) => Some(String::from_utf8_lossy(&data.bytes).into_owned()),
        Field::Pending | Field::Absent => None,
    }
}

/// The object of its first event.
pub fn object(exchange: &dyn Exchange) -> serde_json::Value {
    exchange.records().into_iter().next().map_or(serde_json::Value::Null, |record| record.json())
}
