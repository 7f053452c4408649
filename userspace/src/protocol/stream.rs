//! Detectors of protocols that are spoken over TCP.

use super::{Answer, Candidates, Protocol, Spoken, Stream, ask};

/// In order of precedence. At most 64.
const DETECTORS: &[(Protocol, fn(Stream<'_>) -> Answer)] = &[];

/// What a byte stream speaks.
pub fn stream(said: Stream<'_>, candidates: &mut Candidates) -> Spoken {
    ask(DETECTORS, said, candidates)
}
