//! Any bytes as what two sides say over TCP, in segments of any length: an answer is about bytes that were said, and is
//! final.
#![no_main]

use dropgate::protocol::{Candidates, Direction, Spoken, Stream, stream};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // the first byte says where the directions part, the second how long segments are
    let [split, segment, said @ ..] = bytes else { return };
    let (to_server, to_client) = said.split_at(said.len() * usize::from(*split) / 255);
    let segment = usize::from(*segment) % 64 + 1;

    let mut candidates = Candidates::default();
    let mut settled: Option<Spoken> = None;
    let (mut asked, mut answered) = (0, 0);
    loop {
        let said = Stream { to_server: &to_server[..asked], to_client: &to_client[..answered] };
        let spoken = stream(said, &mut candidates);
        if let Spoken::Known(_, direction, evidence) = spoken {
            let length = if direction == Direction::ToServer { asked } else { answered };
            assert!((1..=length).contains(&evidence), "evidence of {evidence} bytes, {length} were said");
        }
        // what no detector wants, none wants later
        if settled == Some(Spoken::Unknown) {
            assert_eq!(spoken, Spoken::Unknown);
        }
        if spoken != Spoken::Pending {
            settled = Some(spoken);
        }
        if asked == to_server.len() && answered == to_client.len() {
            return;
        }
        asked = to_server.len().min(asked + segment);
        if asked == to_server.len() {
            answered = to_client.len().min(answered + segment);
        }
    }
});
