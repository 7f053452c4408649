//! Any bytes as what two sides say over SMTP, FTP and POP3: however they are cut, the same is told, and everything ends.
#![no_main]

use dropgate::app::{Limits, Parser, ftp::Ftp, pop3::Pop3, smtp::Smtp};
use dropgate_signatures::subject::Direction;

/// Turns of either side: a byte that says whose and how long, and what is said.
fn turns(mut bytes: &[u8]) -> Vec<(Direction, &[u8])> {
    let mut turns = Vec::new();
    while let [head, rest @ ..] = bytes {
        let direction = if head & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        let (said, behind) = rest.split_at(rest.len().min(usize::from(head >> 1)));
        turns.push((direction, said));
        bytes = behind;
    }
    turns
}

fn told(parser: &mut dyn Parser, turns: &[(Direction, &[u8])], cut: usize) -> String {
    for (direction, said) in turns {
        said.chunks(cut).for_each(|piece| parser.hear(*direction, piece));
    }
    let ends = [Direction::ToServer, Direction::ToClient];
    ends.iter().for_each(|direction| parser.end(*direction));
    let mut told = String::new();
    for exchange in parser.transactions() {
        assert!(ends.iter().all(|direction| exchange.is_complete(*direction)));
        told += &format!("{} {:?} {:?}\n", exchange.id(), exchange.events(), exchange.context());
    }
    assert!(parser.footprint() < 64 << 20);
    told
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [which, cut, said @ ..] = bytes else { return };
    let limits = Limits { header: 512, transactions: 8, ..Limits::default() };
    let parser = || -> Box<dyn Parser> {
        match which % 3 {
            0 => Box::new(Smtp::new(&limits)),
            1 => Box::new(Ftp::new(&limits)),
            _ => Box::new(Pop3::new(&limits)),
        }
    };
    let turns = turns(said);
    let whole = told(&mut *parser(), &turns, usize::MAX);
    assert_eq!(told(&mut *parser(), &turns, usize::from(*cut) % 32 + 1), whole);
});
