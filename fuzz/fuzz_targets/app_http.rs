//! Any bytes as what two sides say in HTTP/1, HTTP/2 or WebSocket, in pieces of any length, with bytes missing between them:
//! nothing breaks, all that is told can be, and at the end everything is over.
#![no_main]

use dropgate::app::{Limits, Parser, http::Http1, http2::Http2, websocket::WebSocket};
use dropgate_signatures::{buffer::Buffer, subject::Direction};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // the first byte says which, the second how long pieces are, the third which of them are whose
    let [which, piece, turns, said @ ..] = bytes else { return };
    let limits = Limits::default();
    let mut parser: Box<dyn Parser> = match which % 3 {
        0 => Box::new(Http1::new(limits)),
        1 => Box::new(Http2::new(limits)),
        _ => Box::new(WebSocket::new(limits)),
    };
    let ways = [Direction::ToServer, Direction::ToClient];
    for (at, piece) in said.chunks(usize::from(*piece) + 1).enumerate() {
        let way = ways[usize::from(turns >> (at % 8) & 1)];
        if piece.len() == 1 && piece[0] == 0 {
            parser.lost(way, 3);
        } else {
            parser.hear(way, piece);
        }
        for exchange in parser.transactions() {
            exchange.records();
            for buffer in Buffer::ALL {
                ways.iter().for_each(|way| _ = exchange.buffer(*buffer, *way, 0));
            }
        }
    }
    ways.iter().for_each(|way| parser.end(*way));
    for exchange in parser.transactions() {
        assert!(ways.iter().all(|way| exchange.is_complete(*way)), "it is over");
    }
});
